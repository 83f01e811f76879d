//! From a cut to blocks: which bytes become which block, and which windows are written anew.
//!
//! Pure. A cut's data is split at block-size windows of the file; what touches in a window becomes one block. A window may
//! hold at most [`EXTENTS_PER_WINDOW`] extents; where a cut would exceed it, the window becomes one block, its missing parts
//! read back from the base. Counting is done twice: cheaply and too high first ([`pieces_by_window`]), exactly
//! ([`Window::after`]) only for windows where that is too many.

use dfs_journal::Location;
use std::collections::BTreeMap;

/// Most extents that touch one window (DESIGN §6.9).
pub(crate) const EXTENTS_PER_WINDOW: usize = 8;

/// A place of bytes in the journal; tests have another.
pub(crate) trait Spot: Copy {
    /// The place some bytes further.
    fn advanced(self, bytes: u64) -> Self;
}

impl Spot for Location {
    fn advanced(self, bytes: u64) -> Self {
        Location::advanced(self, bytes)
    }
}

/// Where a part of a block's bytes comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From<L = Location> {
    Log(L),
    Zero,
    /// The extents at the cut's `from_seq`; their holes are zeros.
    Base,
}

/// A part of a block to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill<L = Location> {
    pub offset: u64,
    pub len: u64,
    pub from: From<L>,
}

impl<L> Fill<L> {
    fn is_base(&self) -> bool {
        matches!(self.from, From::Base)
    }
}

/// A block to be: its parts follow each other without gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockSpec<L = Location> {
    pub fills: Vec<Fill<L>>,
    /// For a window written anew: the blocks to write where the base cannot be read.
    pub instead: Vec<BlockSpec<L>>,
}

impl<L: Spot> BlockSpec<L> {
    pub fn offset(&self) -> u64 {
        self.fills.first().map_or(0, |fill| fill.offset)
    }

    pub fn end(&self) -> u64 {
        self.fills.last().map_or(0, |fill| fill.offset + fill.len)
    }

    /// Bytes that are read back from the base.
    pub fn base_bytes(&self) -> u64 {
        self.fills.iter().filter(|fill| matches!(fill.from, From::Base)).map(|fill| fill.len).sum()
    }
}

/// Blocks of a cut without any rewriting.
pub(crate) fn blocks_of<L: Spot>(writes: &[(u64, u64, L)], block_size: u64) -> Vec<BlockSpec<L>> {
    let mut blocks: Vec<BlockSpec<L>> = Vec::new();
    for (offset, len, location) in writes {
        let (mut at, end) = (*offset, offset + len);
        while at < end {
            let to = end.min((at / block_size + 1) * block_size);
            let fill = Fill { offset: at, len: to - at, from: From::Log(location.advanced(at - offset)) };
            match blocks.last_mut() {
                Some(last) if last.end() == at && at % block_size != 0 => last.fills.push(fill),
                _ => blocks.push(BlockSpec { fills: vec![fill], instead: Vec::new() }),
            }
            at = to;
        }
    }
    blocks
}

/// For every window that a cut touches: how many extents it may add there at most, ends of holes included.
pub(crate) fn pieces_by_window<L>(
    writes: &[(u64, u64, L)],
    zeros: &[(u64, u64)],
    block_size: u64,
) -> BTreeMap<u64, usize> {
    let mut windows = BTreeMap::new();
    let mut last: Option<(u64, u64)> = None;
    for (offset, len, _) in writes {
        let (first_window, end) = (offset / block_size, offset + len);
        for window in first_window..=(end - 1) / block_size {
            let goes_on = last == Some((window, *offset)) && window == first_window;
            if !goes_on {
                *windows.entry(window).or_insert(0) += 1;
            }
        }
        last = Some(((end - 1) / block_size, end));
    }
    for (start, end) in zeros {
        for window in [start / block_size, (end - 1) / block_size] {
            *windows.entry(window).or_insert(0) += 1;
        }
    }
    windows
}

/// A window with everything that decides whether it is written anew.
pub(crate) struct Window<'a, L = Location> {
    pub start: u64,
    pub end: u64,
    /// The cut's lowest size: what the base holds from there on is gone.
    pub size_low: u64,
    /// The cut's holes.
    pub zeros: &'a [(u64, u64)],
    /// The cut's own blocks within it, in order.
    pub blocks: &'a [BlockSpec<L>],
    /// File ranges of the base's extents that touch it, in order.
    pub base: &'a [(u64, u64)],
}

impl<L: Spot> Window<'_, L> {
    /// What the base still shows in the window after the cut, in order, one entry per extent.
    pub fn survivors(&self) -> Vec<(u64, u64)> {
        let clip = |range: &(u64, u64)| (range.0.max(self.start), range.1.min(self.end).min(self.size_low));
        let mut left: Vec<(u64, u64)> =
            self.base.iter().map(clip).filter(|(start, end)| start < end).collect();
        for (start, end) in self.zeros {
            left = subtract(&left, *start, *end);
        }
        for block in self.blocks {
            left = subtract(&left, block.offset(), block.end());
        }
        left
    }

    /// Extents in the window after the cut, without rewriting.
    pub fn after(&self) -> usize {
        self.survivors().len() + self.blocks.len()
    }

    /// The window as one block, from its first byte with content to its last. `None` when nothing is left in it.
    pub fn rewritten(&self) -> Option<BlockSpec<L>> {
        let survivors = self.survivors();
        let starts = survivors.iter().map(|range| range.0).chain(self.blocks.iter().map(BlockSpec::offset));
        let ends = survivors.iter().map(|range| range.1).chain(self.blocks.iter().map(BlockSpec::end));
        let (start, end) = (starts.min()?, ends.max()?);
        let mut spec = BlockSpec { fills: Vec::new(), instead: self.blocks.to_vec() };
        let mut at = start;
        let mut parts: Vec<Fill<L>> =
            self.blocks.iter().flat_map(|block| block.fills.iter().copied()).collect();
        let base =
            survivors.iter().map(|(start, end)| Fill { offset: *start, len: end - start, from: From::Base });
        parts.extend(base);
        parts.sort_by_key(|fill| fill.offset);
        for part in parts {
            if part.offset > at {
                spec.fills.push(Fill { offset: at, len: part.offset - at, from: From::Zero });
            }
            at = part.offset + part.len;
            match spec.fills.last_mut() {
                Some(last) if last.is_base() && part.is_base() && last.offset + last.len == part.offset => {
                    last.len += part.len;
                }
                _ => spec.fills.push(part),
            }
        }
        (at == end).then_some(spec)
    }
}

/// Ranges without `[start, end)`.
pub(crate) fn subtract(ranges: &[(u64, u64)], start: u64, end: u64) -> Vec<(u64, u64)> {
    let mut out = Vec::with_capacity(ranges.len() + 1);
    for (from, to) in ranges {
        if *to <= start || *from >= end {
            out.push((*from, *to));
            continue;
        }
        if *from < start {
            out.push((*from, start));
        }
        if *to > end {
            out.push((end, *to));
        }
    }
    out
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

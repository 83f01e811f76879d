//! The layer algebra: what a run of one inode's records changed, as ranges, size and times.
//!
//! ```text
//!   bytes   0 ........ size_low ............... size
//!   ranges     [data]      [data]   [data]            non-overlapping, end at or below size
//!   gaps    older layer   ........ zero .......       below size_low the older layer shows; above, zeros
//! ```
//!
//! `size_low` is the lowest size that the file had while the layer was open (its size at the layer's start at first), so
//! whatever older layers and the extents hold at and beyond it is cut off. A hole below it is a range of kind zero.
//! Pure: knows neither disk nor segment format; `S` says where a record's bytes lie.

use crate::record::{Act, Effect, RecordMeta};
use dfs_model::{Change, Monotonic, Seq, Timestamp};
use std::collections::BTreeMap;

/// Where bytes of a record lie; can name the place some bytes further.
pub(crate) trait Spot: Copy {
    /// The place `bytes` after this one.
    fn advance(self, bytes: u64) -> Self;
}

/// What a range of a layer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill<S> {
    Data(S),
    Zero,
}

impl<S: Spot> Fill<S> {
    fn advance(self, bytes: u64) -> Self {
        match self {
            Fill::Data(spot) => Fill::Data(spot.advance(bytes)),
            Fill::Zero => Fill::Zero,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Range<S> {
    end: u64,
    fill: Fill<S>,
}

/// A part of a byte range as one layer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen<S> {
    /// The layer holds it.
    Here(Fill<S>),
    /// The next older layer, or the base, decides.
    Older,
}

/// A share of a layer's records in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold<K> {
    pub segment: K,
    pub records: u64,
    pub bytes: u64,
}

/// Changes of one inode from one seq to another.
#[derive(Clone, Debug)]
pub(crate) struct Layer<S, K> {
    /// Everything up to here is below this layer.
    pub from_seq: Seq,
    /// First record in it.
    pub first_seq: Seq,
    /// Last record in it.
    pub last_seq: Seq,
    /// When its first record was appended.
    pub oldest_at: Monotonic,
    /// No record is added any more: it is being flushed.
    pub frozen: bool,
    pub size_low: u64,
    pub size: u64,
    pub atime: Option<Timestamp>,
    pub mtime: Option<Timestamp>,
    pub ctime: Timestamp,
    pub change: Change,
    pub clear_suid: Option<Change>,
    pub set_archive: Option<Change>,
    /// Bytes of data ranges.
    pub data_bytes: u64,
    /// Segments that its records lie in.
    pub holds: Vec<Hold<K>>,
    ranges: BTreeMap<u64, Range<S>>,
}

impl<S: Spot, K: Copy + PartialEq> Layer<S, K> {
    /// An empty layer over a file of `size` bytes.
    pub fn new(from_seq: Seq, first_seq: Seq, size: u64, now: Monotonic) -> Self {
        Layer {
            from_seq,
            first_seq,
            last_seq: from_seq,
            oldest_at: now,
            frozen: false,
            size_low: size,
            size,
            atime: None,
            mtime: None,
            ctime: Timestamp::EPOCH,
            change: Change::ZERO,
            clear_suid: None,
            set_archive: None,
            data_bytes: 0,
            holds: Vec::new(),
            ranges: BTreeMap::new(),
        }
    }

    /// Number of ranges held.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Applies one record; `spot` is where a Write's data lies.
    pub fn apply(&mut self, seq: Seq, meta: &RecordMeta, effect: &Effect, spot: S) {
        match effect.act {
            Act::Write { offset, len } => self.write(offset, len, spot),
            Act::SetSize { size } => self.set_size(size),
            Act::Zero { offset, len } => self.zero(offset, len),
            Act::Times => {}
        }
        self.last_seq = seq;
        self.atime = effect.atime.or(self.atime);
        self.mtime = effect.mtime.or(self.mtime);
        self.ctime = self.ctime.max(meta.ctime);
        self.change = self.change.max(meta.change);
        if meta.clear_suid {
            self.clear_suid = self.clear_suid.max(Some(meta.change));
        }
        if meta.set_archive {
            self.set_archive = self.set_archive.max(Some(meta.change));
        }
    }

    /// Notes that a record of `bytes` lies in `segment`.
    pub fn hold(&mut self, segment: K, bytes: u64) {
        match self.holds.last_mut() {
            Some(hold) if hold.segment == segment => {
                hold.records += 1;
                hold.bytes += bytes;
            }
            _ => self.holds.push(Hold { segment, records: 1, bytes }),
        }
    }

    fn write(&mut self, offset: u64, len: u64, spot: S) {
        if len == 0 {
            return;
        }
        let end = offset.saturating_add(len);
        self.put(offset, end, Fill::Data(spot));
        self.size = self.size.max(end);
    }

    fn set_size(&mut self, size: u64) {
        self.carve(size, u64::MAX);
        self.size = size;
        self.size_low = self.size_low.min(size);
    }

    pub(crate) fn zero(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.size);
        self.carve(offset, end);
        self.put(offset, end.min(self.size_low), Fill::Zero);
    }

    /// Makes `[start, end)` hold `fill`.
    fn put(&mut self, start: u64, end: u64, fill: Fill<S>) {
        if start >= end {
            return;
        }
        self.carve(start, end);
        self.data_bytes += Self::weight(fill, end - start);
        self.ranges.insert(start, Range { end, fill });
    }

    fn weight(fill: Fill<S>, bytes: u64) -> u64 {
        match fill {
            Fill::Data(_) => bytes,
            Fill::Zero => 0,
        }
    }

    /// Makes `[start, end)` hold nothing, cutting ranges that reach into it.
    fn carve(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        while let Some((at, range)) = self.first_overlap(start, end) {
            let (cut_from, cut_to) = (at.max(start), range.end.min(end));
            self.data_bytes -= Self::weight(range.fill, cut_to - cut_from);
            self.ranges.remove(&at);
            if at < start {
                self.ranges.insert(at, Range { end: start, fill: range.fill });
            }
            if range.end > end {
                self.ranges.insert(end, Range { end: range.end, fill: range.fill.advance(end - at) });
            }
        }
    }

    fn first_overlap(&self, start: u64, end: u64) -> Option<(u64, Range<S>)> {
        let before = self.ranges.range(..=start).next_back().filter(|(_, range)| range.end > start);
        before.or_else(|| self.ranges.range(start..end).next()).map(|(at, range)| (*at, *range))
    }

    /// Calls `each` with the parts of `[start, end)` in order.
    pub fn look(&self, start: u64, end: u64, each: &mut impl FnMut(u64, u64, Seen<S>)) {
        if start >= end {
            return;
        }
        let mut at = start;
        let from = self.ranges.range(..=start).next_back().map_or(start, |(at, _)| *at);
        let overlapping = self.ranges.range(from..end).filter(|(_, range)| range.end > start);
        for (&range_at, range) in overlapping {
            let (from, to) = (range_at.max(start), range.end.min(end));
            self.look_gap(at, from, each);
            each(from, to, Seen::Here(range.fill.advance(from - range_at)));
            at = to;
        }
        self.look_gap(at, end, each);
    }

    fn look_gap(&self, start: u64, end: u64, each: &mut impl FnMut(u64, u64, Seen<S>)) {
        let middle = self.size_low.clamp(start, end.max(start));
        if start < middle {
            each(start, middle, Seen::Older);
        }
        if middle < end {
            each(middle, end, Seen::Here(Fill::Zero));
        }
    }

    /// Data ranges as (offset, length, place), in order.
    pub fn writes(&self) -> Vec<(u64, u64, S)> {
        let data = |(at, range): (&u64, &Range<S>)| match range.fill {
            Fill::Data(spot) => Some((*at, range.end - at, spot)),
            Fill::Zero => None,
        };
        self.ranges.iter().filter_map(data).collect()
    }

    /// Holes below `size_low` as `[start, end)`, in order, neighbours joined.
    pub fn zeros(&self) -> Vec<(u64, u64)> {
        let mut out: Vec<(u64, u64)> = Vec::new();
        for (&at, range) in &self.ranges {
            match (range.fill, out.last_mut()) {
                (Fill::Data(_), _) => {}
                (Fill::Zero, Some(last)) if last.1 == at => last.1 = range.end,
                (Fill::Zero, _) => out.push((at, range.end)),
            }
        }
        out
    }

    /// Takes the records of the next newer layer in: afterwards this one is exactly both.
    pub fn absorb(&mut self, newer: Self) {
        self.carve(newer.size_low, u64::MAX);
        self.size_low = self.size_low.min(newer.size_low);
        for (at, range) in newer.ranges {
            match range.fill {
                Fill::Data(_) => self.put(at, range.end, range.fill),
                Fill::Zero => {
                    self.carve(at, range.end);
                    self.put(at, range.end.min(self.size_low), Fill::Zero);
                }
            }
        }
        self.size = newer.size;
        self.last_seq = newer.last_seq;
        self.atime = newer.atime.or(self.atime);
        self.mtime = newer.mtime.or(self.mtime);
        self.ctime = self.ctime.max(newer.ctime);
        self.change = self.change.max(newer.change);
        self.clear_suid = self.clear_suid.max(newer.clear_suid);
        self.set_archive = self.set_archive.max(newer.set_archive);
        self.holds.extend(newer.holds);
    }

    /// Keeps only the data ranges whose place passes; the layer is no longer exact. For a mutation only.
    #[cfg(any(test, feature = "mutation"))]
    pub fn retain_data(&mut self, keep: impl Fn(&S) -> bool) {
        self.ranges.retain(|_, range| match &range.fill {
            Fill::Data(spot) => keep(spot),
            Fill::Zero => true,
        });
        self.data_bytes =
            self.ranges.iter().map(|(at, range)| Self::weight(range.fill, range.end - at)).sum();
    }
}

//! What one inode's unplaced records add up to: a stack of layers over its metadata row.
//!
//! ```text
//!   append ──▶ [ active ]  ── cut freezes it ──▶ [ frozen ] … [ frozen ]  ── placed drops the oldest ──▶ (row)
//! ```
//!
//! Invariants: layers are in the order of their seqs and each starts where the one below ends; only the newest may be
//! unfrozen. Pure; a crash loses it all, recovery builds it again from the records as one unfrozen layer.

use crate::layer::{Fill, Hold, Layer, Seen, Spot};
use crate::record::{Act, Effect, RecordMeta};
use dfs_model::{Change, Inode, Monotonic, Seq, Timestamp};
use std::collections::VecDeque;

/// Bytes of memory that a range takes, tree overhead included (measured on 64-bit: node share plus value).
const RANGE_BYTES: u64 = 96;
/// Bytes of memory that a layer takes beyond its ranges.
const LAYER_BYTES: u64 = 320;
/// Bytes of memory that an inode takes beyond its layers: map entry and two index entries.
const INODE_BYTES: u64 = 320;

/// Attributes of an inode as its unplaced records leave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverlayAttrs {
    /// Size in bytes.
    pub size: u64,
    /// Bytes of data held, estimated where the extents' holes are not known.
    pub allocated_estimate: u64,
    /// atime that a client set.
    pub atime: Option<Timestamp>,
    /// mtime after the newest record that moves it.
    pub mtime: Option<Timestamp>,
    /// Newest ctime; the row's may be newer.
    pub ctime: Timestamp,
    /// Newest change number; the row's may be newer.
    pub change: Change,
    /// Change number of the newest record that clears suid/sgid.
    pub clear_suid: Option<Change>,
    /// Change number of the newest record that sets ARCHIVE.
    pub set_archive: Option<Change>,
    /// Newest record.
    pub last_seq: Seq,
}

/// Where a piece comes from, before it has a public form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin<S> {
    Data(S),
    Zero,
    Base,
}

/// One inode's layers.
#[derive(Clone, Debug)]
pub(crate) struct Overlay<S, K> {
    layers: VecDeque<Layer<S, K>>,
    base_seq: Seq,
    base_size: u64,
    base_allocated: u64,
    allocated: u64,
    attrs: Option<OverlayAttrs>,
}

impl<S: Spot, K: Copy + PartialEq> Overlay<S, K> {
    /// An overlay without records over a metadata row.
    pub fn over(row: &Inode) -> Self {
        Overlay {
            layers: VecDeque::new(),
            base_seq: row.flushed_seq,
            base_size: row.size,
            base_allocated: row.allocated,
            allocated: row.allocated,
            attrs: None,
        }
    }

    /// Newest record, or the row's `flushed_seq`.
    pub fn last_seq(&self) -> Seq {
        self.layers.back().map_or(self.base_seq, |layer| layer.last_seq)
    }

    fn size(&self) -> u64 {
        self.layers.back().map_or(self.base_size, |layer| layer.size)
    }

    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// First unplaced record and when it came.
    pub fn oldest(&self) -> Option<(Seq, Monotonic)> {
        self.layers.front().map(|layer| (layer.first_seq, layer.oldest_at))
    }

    /// The layer that a cut would freeze.
    pub fn uncut(&self) -> Option<&Layer<S, K>> {
        self.layers.back().filter(|layer| !layer.frozen)
    }

    /// The attributes; `None` without records.
    pub fn attrs(&self) -> Option<OverlayAttrs> {
        self.attrs
    }

    /// Estimate of the memory it takes, in bytes.
    pub fn memory(&self) -> u64 {
        let layers: u64 =
            self.layers.iter().map(|layer| LAYER_BYTES + layer.len() as u64 * RANGE_BYTES).sum();
        INODE_BYTES + layers
    }

    /// Bytes of data in all layers.
    pub fn data_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.data_bytes).sum()
    }

    /// Its layers, oldest first: when the oldest record of each came, and the data bytes in it.
    pub fn ages(&self) -> impl Iterator<Item = (Monotonic, u64)> + '_ {
        self.layers.iter().map(|layer| (layer.oldest_at, layer.data_bytes))
    }

    /// Applies a record that lies in `segment` with `bytes`. Returns true when it opened a new layer.
    pub fn apply(&mut self, at: &Landed<S, K>, meta: &RecordMeta, effect: &Effect) -> bool {
        self.allocated = self.estimated(&effect.act);
        let (from, size) = (self.last_seq(), self.size());
        let opens = self.uncut().is_none();
        if opens {
            self.layers.push_back(Layer::new(from, at.seq, size, at.now));
        }
        if let Some(layer) = self.layers.back_mut() {
            layer.apply(at.seq, meta, effect, at.spot);
            layer.hold(at.segment, at.bytes);
        }
        self.refresh();
        opens
    }

    /// The estimate of held bytes after what an act would do.
    pub fn estimated(&self, act: &Act) -> u64 {
        let size = self.size();
        let (start, end, adds) = match *act {
            Act::Write { offset, len } => (offset, offset.saturating_add(len), len),
            Act::Zero { offset, len } => (offset, offset.saturating_add(len).min(size), 0),
            Act::SetSize { size: new } if new < size => (new, size, 0),
            Act::SetSize { .. } | Act::Times => return self.allocated,
        };
        let mut held = 0u64;
        self.resolve(start, end, &mut |from, to, source| {
            held += match source {
                Origin::Data(_) => to - from,
                Origin::Zero => 0,
                Origin::Base => self.base_held(to.min(self.base_size).saturating_sub(from)),
            };
        });
        (self.allocated + adds).saturating_sub(held)
    }

    /// Bytes that a stretch of the base is taken to hold: the row's density.
    fn base_held(&self, bytes: u64) -> u64 {
        if self.base_size == 0 {
            return 0;
        }
        let held = u128::from(bytes) * u128::from(self.base_allocated) / u128::from(self.base_size);
        u64::try_from(held).unwrap_or(u64::MAX).min(bytes)
    }

    /// Computes the attributes from the layers.
    fn refresh(&mut self) {
        self.attrs = self.layers.back().map(|newest| {
            let newest_first = || self.layers.iter().rev();
            OverlayAttrs {
                size: newest.size,
                allocated_estimate: self.allocated,
                atime: newest_first().find_map(|layer| layer.atime),
                mtime: newest_first().find_map(|layer| layer.mtime),
                ctime: newest_first().map(|layer| layer.ctime).max().unwrap_or(newest.ctime),
                change: newest_first().map(|layer| layer.change).max().unwrap_or(newest.change),
                clear_suid: newest_first().filter_map(|layer| layer.clear_suid).max(),
                set_archive: newest_first().filter_map(|layer| layer.set_archive).max(),
                last_seq: newest.last_seq,
            }
        });
    }

    /// Calls `each` with the parts of `[start, end)`, in no particular order, and where each comes from.
    pub fn resolve(&self, start: u64, end: u64, each: &mut impl FnMut(u64, u64, Origin<S>)) {
        let mut open = vec![(start, end)];
        for layer in self.layers.iter().rev() {
            let mut older = Vec::new();
            for (from, to) in open {
                layer.look(from, to, &mut |from, to, seen| match seen {
                    Seen::Here(Fill::Data(spot)) => each(from, to, Origin::Data(spot)),
                    Seen::Here(Fill::Zero) => each(from, to, Origin::Zero),
                    Seen::Older => older.push((from, to)),
                });
            }
            open = older;
        }
        open.into_iter().filter(|(from, to)| from < to).for_each(|(from, to)| each(from, to, Origin::Base));
    }

    /// Freezes the active layer and returns it; `None` when there is nothing new.
    pub fn freeze(&mut self) -> Option<&Layer<S, K>> {
        let layer = self.layers.back_mut().filter(|layer| !layer.frozen)?;
        layer.frozen = true;
        Some(layer)
    }

    /// The frozen layer that ends at `to_seq`.
    pub fn frozen(&self, to_seq: Seq) -> Option<&Layer<S, K>> {
        self.layers.iter().find(|layer| layer.frozen && layer.last_seq == to_seq)
    }

    /// Makes one layer of all frozen ones and returns it.
    pub fn merge_frozen(&mut self) -> Option<&Layer<S, K>> {
        let newer: Vec<_> = match self.layers.iter().position(|layer| !layer.frozen) {
            Some(active) => self.layers.drain(1.min(active)..active).collect(),
            None => self.layers.drain(1.min(self.layers.len())..).collect(),
        };
        let oldest = self.layers.front_mut().filter(|layer| layer.frozen)?;
        newer.into_iter().for_each(|layer| oldest.absorb(layer));
        Some(oldest)
    }

    /// Drops the layers that end at or below `to_seq` and returns their shares of segments.
    pub fn placed(&mut self, to_seq: Seq) -> Vec<Hold<K>> {
        let mut holds = Vec::new();
        while self.layers.front().is_some_and(|layer| layer.last_seq <= to_seq) {
            holds.extend(self.layers.pop_front().into_iter().flat_map(|layer| layer.holds));
        }
        self.refresh();
        holds
    }

    /// Drops every layer and returns their shares of segments.
    pub fn gone(&mut self) -> Vec<Hold<K>> {
        self.placed(Seq(u64::MAX))
    }

    /// Makes a hole in the newest layer, which no record tells of. For a mutation only.
    #[cfg(any(test, feature = "mutation"))]
    pub fn punch(&mut self, offset: u64, len: u64) -> Option<OverlayAttrs> {
        self.layers.back_mut()?.zero(offset, len);
        self.attrs
    }

    /// Gives up the shares of segments of the active layer but for its newest record, keeping its ranges. For a mutation
    /// only.
    #[cfg(any(test, feature = "mutation"))]
    pub fn forget_older_holds(&mut self, newest_bytes: u64) -> Vec<Hold<K>> {
        let Some(layer) = self.layers.back_mut() else { return Vec::new() };
        let mut holds = std::mem::take(&mut layer.holds);
        if let Some(last) = holds.last_mut() {
            last.records -= 1;
            last.bytes -= newest_bytes;
            layer.holds.push(Hold { segment: last.segment, records: 1, bytes: newest_bytes });
        }
        holds
    }

    /// Splits the active layer at its newest record `seq`: the newest-wins map without the newest record's bytes becomes
    /// a frozen layer. For a mutation only.
    #[cfg(any(test, feature = "mutation"))]
    pub fn freeze_inexact(&mut self, newest: impl Fn(&S) -> bool, previous: Seq) -> Option<&Layer<S, K>> {
        let full = self.layers.pop_back_if(|layer| !layer.frozen && layer.first_seq < layer.last_seq)?;
        let mut older = full.clone();
        older.retain_data(|spot| !newest(spot));
        older.last_seq = previous;
        older.frozen = true;
        let mut rest = full;
        rest.from_seq = previous;
        rest.first_seq = rest.last_seq;
        rest.retain_data(newest);
        rest.holds = Vec::new();
        self.layers.push_back(older);
        self.layers.push_back(rest);
        let at = self.layers.len().checked_sub(2)?;
        self.layers.get(at)
    }
}

/// Where and when a record was appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Landed<S, K> {
    pub seq: Seq,
    pub spot: S,
    pub segment: K,
    pub bytes: u64,
    pub now: Monotonic,
}

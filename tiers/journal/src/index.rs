//! The books of a journal behind one short mutex: segments, uncut inodes in the order of their oldest record, and what
//! was reported to the folder's pressure. Taken after an inode's shard, never before it.

use crate::journal::Location;
use crate::layer::Layer;
use crate::overlay::Overlay;
use crate::pressure::{Pressure, Usage};
use crate::segments::Segments;
use dfs_log::SegmentId;
use dfs_model::{InodeId, Monotonic, Seq};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

pub(crate) type InodeOverlay = Overlay<Location, SegmentId>;
pub(crate) type InodeLayer = Layer<Location, SegmentId>;
pub(crate) type Shard = HashMap<InodeId, InodeOverlay>;

/// An inode with records that no cut took yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uncut {
    pub inode: InodeId,
    pub at: Monotonic,
    pub segment: SegmentId,
}

/// Sums over all overlays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub inodes: u64,
    pub dirty_bytes: u64,
    pub uncut_bytes: u64,
    pub overlay_bytes: u64,
}

impl Totals {
    /// What one overlay contributes.
    pub fn of(overlay: Option<&InodeOverlay>) -> Totals {
        overlay.filter(|overlay| !overlay.is_empty()).map_or(Totals::default(), |overlay| Totals {
            inodes: 1,
            dirty_bytes: overlay.data_bytes(),
            uncut_bytes: overlay.uncut().map_or(0, |layer| layer.data_bytes),
            overlay_bytes: overlay.memory(),
        })
    }

    /// Replaces one overlay's former contribution.
    pub fn replace(&mut self, before: Totals, after: Totals) {
        let swap = |sum: &mut u64, before: u64, after: u64| *sum = (*sum + after).saturating_sub(before);
        swap(&mut self.inodes, before.inodes, after.inodes);
        swap(&mut self.dirty_bytes, before.dirty_bytes, after.dirty_bytes);
        swap(&mut self.uncut_bytes, before.uncut_bytes, after.uncut_bytes);
        swap(&mut self.overlay_bytes, before.overlay_bytes, after.overlay_bytes);
    }
}

/// Everything that changes with each record and is not one inode's own.
#[derive(Default)]
pub(crate) struct Books {
    pub segments: Segments<SegmentId>,
    pub uncut: BTreeMap<Seq, Uncut>,
    pub totals: Totals,
    /// Records appended since the start.
    pub records: u64,
    pub last_append: Monotonic,
    /// Samples (seq, time of its append) from about the oldest undurable record on.
    undurable: VecDeque<(Seq, Monotonic)>,
    reported: Usage,
}

/// Distance of two samples: how exact the age of the oldest undurable record is.
const SAMPLE: Duration = Duration::from_millis(10);
/// Samples kept at most: a journal that no longer syncs is poisoned and appends nothing.
const SAMPLES_MAX: usize = 4096;

impl Books {
    /// Notes an append, for the age of what is not durable.
    pub fn note_append(&mut self, seq: Seq, now: Monotonic, durable: Seq) {
        self.records += 1;
        self.last_append = now;
        while self.undurable.get(1).is_some_and(|(seq, _)| seq.0 <= durable.0 + 1) {
            self.undurable.pop_front();
        }
        let due = self.undurable.back().is_none_or(|(last, at)| *last < seq && now.since(*at) >= SAMPLE);
        if due && self.undurable.len() < SAMPLES_MAX {
            self.undurable.push_back((seq, now));
        }
    }

    /// When the oldest record that no sync covers came, at the earliest.
    pub fn oldest_undurable(&self, last_issued: Seq, durable: Seq) -> Option<Monotonic> {
        let next = Seq(durable.0 + 1);
        let sample = self.undurable.iter().rev().find(|(seq, _)| *seq <= next).or(self.undurable.front());
        sample.filter(|_| last_issued > durable).map(|(_, at)| *at)
    }

    /// Tells the folder what this journal uses now.
    pub fn report(&mut self, pressure: &Pressure) {
        let usage = Usage {
            span_bytes: self.segments.span_bytes(pressure.options().segment_bytes),
            dirty_segments: self.segments.dirty() as u64,
            overlay_bytes: self.totals.overlay_bytes,
        };
        if usage != self.reported {
            pressure.report(self.reported, usage);
            self.reported = usage;
        }
    }

    /// What the folder was told last.
    pub fn reported(&self) -> Usage {
        self.reported
    }

    /// Takes everything reported back.
    pub fn withdraw(&mut self, pressure: &Pressure) {
        pressure.report(self.reported, Usage::default());
        self.reported = Usage::default();
    }
}

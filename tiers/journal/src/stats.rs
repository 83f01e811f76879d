//! What a journal tells about itself.

use crate::journal::Journal;
use dfs_model::{Monotonic, Seq};
use std::time::Duration;

/// A moment's figures of one journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalStats {
    /// Data bytes whose only durable copy is the journal.
    pub dirty_bytes: u64,
    /// The part of them that no cut took yet.
    pub uncut_bytes: u64,
    /// Inodes with unplaced records.
    pub dirty_inodes: u64,
    /// Memory of the overlay in bytes, estimated.
    pub overlay_bytes: u64,
    /// Age of the oldest record that no sync covers yet.
    pub oldest_undurable_age: Option<Duration>,
    /// Age of the oldest unplaced record (since recovery for older ones).
    pub oldest_unplaced_age: Option<Duration>,
    /// Segments that the log holds, the active one and probation included.
    pub segments_held: usize,
    /// Segments with unplaced records.
    pub segments_dirty: usize,
    /// Placed segments kept readable.
    pub segments_probation: usize,
    /// Records appended since the start.
    pub records: u64,
    /// Newest seq given out.
    pub last_issued: Seq,
    /// Newest seq that is durable.
    pub durable_seq: Seq,
    /// Occupancy of the whole folder: 0 … 1, may exceed 1.
    pub occupancy: f64,
}

/// What an age band of dirty data holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgeBand {
    /// Data bytes.
    pub bytes: u64,
    /// Inodes whose oldest data is in it.
    pub inodes: u64,
}

impl Journal {
    /// Dirty data by age: `older_than`, growing, are the lower ends of the bands. An inode's data counts by the oldest record
    /// of each run of records that is flushed together, so an age is never told too low; records of before the start count
    /// from the start. Looks at every dirty inode: for people, not for hot paths.
    #[must_use]
    pub fn ages(&self, older_than: &[Duration]) -> Vec<AgeBand> {
        let now = self.clock.monotonic();
        let mut bands = vec![AgeBand::default(); older_than.len()];
        let mut add = |layers: &mut dyn Iterator<Item = (Monotonic, u64)>| {
            let mut counted = None;
            for (at, bytes) in layers.filter(|(_, bytes)| *bytes > 0) {
                let band = older_than.iter().rposition(|least| *least <= now.since(at));
                if let Some(found) = band.and_then(|band| bands.get_mut(band)) {
                    found.bytes += bytes;
                    // Once, in the band of its oldest data: layers come oldest first.
                    found.inodes += u64::from(counted.is_none());
                    counted = band;
                }
            }
        };
        for shard in self.shards.iter() {
            shard.lock().values().for_each(|overlay| add(&mut overlay.ages()));
        }
        bands
    }

    /// Figures of the moment.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        let now = self.clock.monotonic();
        let segments_held = self.log.segments().len();
        let books = self.books.lock();
        JournalStats {
            dirty_bytes: books.totals.dirty_bytes,
            uncut_bytes: books.totals.uncut_bytes,
            dirty_inodes: books.totals.inodes,
            overlay_bytes: books.totals.overlay_bytes,
            oldest_undurable_age: self.oldest_undurable(&books).map(|at| now.since(at)),
            oldest_unplaced_age: books.segments.oldest_at().map(|at| now.since(at)),
            segments_held,
            segments_dirty: books.segments.dirty(),
            segments_probation: books.segments.probation(),
            records: books.records,
            last_issued: self.log.last_issued(),
            durable_seq: self.log.durable_seq(),
            occupancy: self.pressure.occupancy(),
        }
    }

    /// Sets the gauges.
    pub(crate) fn publish_gauges(&self) {
        let stats = self.stats();
        let seconds = |age: Option<Duration>| age.map_or(0.0, |age| age.as_secs_f64());
        self.metrics.dirty_bytes.set(stats.dirty_bytes as f64);
        self.metrics.dirty_inodes.set(stats.dirty_inodes as f64);
        self.metrics.overlay_bytes.set(stats.overlay_bytes as f64);
        self.metrics.oldest_unplaced.set(seconds(stats.oldest_unplaced_age));
        self.metrics.oldest_undurable.set(seconds(stats.oldest_undurable_age));
        self.metrics.segments_dirty.set(stats.segments_dirty as f64);
        self.metrics.segments_probation.set(stats.segments_probation as f64);
        self.metrics.occupancy.set(stats.occupancy);
    }
}

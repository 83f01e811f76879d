//! The flusher's side: what is dirty, cuts, and the end of records that are placed or dead.
//!
//! *Invariants:* a cut is a whole frozen layer, so it is the exact state at its seq; cuts of one inode join without gap
//! (`from_seq` = the previous `to_seq`); nothing here appends (JOURNAL J6). A crash forgets cuts: recovery makes one layer
//! of all records above the durable `flushed_seq`, whatever was in flight.

use crate::index::{InodeLayer, InodeOverlay, Totals};
use crate::journal::{Journal, Location};
use crate::layer::Hold;
#[cfg(any(test, feature = "mutation"))]
use dfs_log::Rule;
use dfs_log::SegmentId;
use dfs_model::{Change, InodeId, Monotonic, Seq, Timestamp};

/// Beyond this share of the folder's journal, the oldest records are flushed whatever their age, so that a cold small
/// file does not hold the tail while a busy one fills the log.
const OLDEST_HOLDS_MAX: f64 = 0.30;

/// An inode with records that no cut took yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyInode {
    /// The inode.
    pub inode: InodeId,
    /// Its oldest uncut record.
    pub oldest_seq: Seq,
    /// When that record was appended (the start, for a recovered one).
    pub oldest_at: Monotonic,
    /// Data bytes that a cut would hold now.
    pub bytes: u64,
}

/// What an inode's records from `from_seq` (exclusive) to `to_seq` (inclusive) changed, exactly.
///
/// *To apply:* drop what the map holds at and beyond `size_low`; clear `zeros`; put `writes`; set `size`. Everything
/// else of the base stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The inode.
    pub inode: InodeId,
    /// The previous cut's `to_seq`, or the row's `flushed_seq`.
    pub from_seq: Seq,
    /// Newest record in it.
    pub to_seq: Seq,
    /// When its oldest record was appended.
    pub oldest_at: Monotonic,
    /// Data as (offset, length, place), in order, not overlapping.
    pub writes: Vec<(u64, u64, Location)>,
    /// Half-open byte ranges `[start, end)` below `size_low` that became holes.
    pub zeros: Vec<(u64, u64)>,
    /// Lowest size that the file had.
    pub size_low: u64,
    /// Size at `to_seq`.
    pub size: u64,
    /// atime that a client set.
    pub atime: Option<Timestamp>,
    /// mtime at `to_seq`.
    pub mtime: Option<Timestamp>,
    /// Newest ctime; never lowers the row's.
    pub ctime: Timestamp,
    /// Newest change number; never lowers the row's.
    pub change: Change,
    /// Change number of the newest record that clears suid/sgid.
    pub clear_suid: Option<Change>,
    /// Change number of the newest record that sets ARCHIVE.
    pub set_archive: Option<Change>,
    /// Sum of the lengths of `writes`.
    pub data_bytes: u64,
}

impl Cut {
    fn of(inode: InodeId, layer: &InodeLayer) -> Cut {
        Cut {
            inode,
            from_seq: layer.from_seq,
            to_seq: layer.last_seq,
            oldest_at: layer.oldest_at,
            writes: layer.writes(),
            zeros: layer.zeros(),
            size_low: layer.size_low,
            size: layer.size,
            atime: layer.atime,
            mtime: layer.mtime,
            ctime: layer.ctime,
            change: layer.change,
            clear_suid: layer.clear_suid,
            set_archive: layer.set_archive,
            data_bytes: layer.data_bytes,
        }
    }
}

impl Journal {
    /// Inodes with uncut records, oldest record first, at most `limit`.
    ///
    /// *Guarantees:* with `older_than`, those whose oldest uncut record came at or before it, and besides, whatever its
    /// age, every one whose record lies so far back that it holds more than 30 % of the folder's journal. An inode
    /// whose every record is in a cut is not listed, even while that cut is not placed.
    #[must_use]
    pub fn dirty_inodes(&self, limit: usize, older_than: Option<Monotonic>) -> Vec<DirtyInode> {
        let listed: Vec<(Seq, InodeId, Monotonic)> = {
            let books = self.books.lock();
            let due = |at: Monotonic, segment: SegmentId| {
                older_than.is_none_or(|limit| at <= limit) || {
                    let far =
                        books.segments.ordinals(segment).map_or(0, |(own, head)| head.saturating_sub(own));
                    let options = self.pressure.options();
                    far.saturating_mul(options.segment_bytes) as f64
                        > options.journal_bytes as f64 * OLDEST_HOLDS_MAX
                }
            };
            let in_order = books.uncut.iter().take_while(|(_, uncut)| due(uncut.at, uncut.segment));
            in_order.take(limit).map(|(seq, uncut)| (*seq, uncut.inode, uncut.at)).collect()
        };
        let sized = |(oldest_seq, inode, oldest_at)| {
            let shard = self.shard(inode).lock();
            let bytes = shard.get(&inode)?.uncut()?.data_bytes;
            Some(DirtyInode { inode, oldest_seq, oldest_at, bytes })
        };
        listed.into_iter().filter_map(sized).collect()
    }

    /// Freezes what an inode has above its previous cut and returns it, exactly; `None` when there is nothing new.
    /// *Guarantees:* the cut may hold records that no sync covers yet; placing it is allowed.
    #[must_use]
    pub fn cut(&self, inode: InodeId) -> Option<Cut> {
        let mut shard = self.shard(inode).lock();
        let overlay = shard.get_mut(&inode)?;
        let first_seq = overlay.uncut()?.first_seq;
        let before = Totals::of(Some(overlay));
        #[cfg(any(test, feature = "mutation"))]
        if self.options.mutations.off(Rule::ExactCut)
            && let Some(cut) = inexact(inode, overlay)
        {
            let mut books = self.books.lock();
            if let Some(uncut) = books.uncut.remove(&first_seq) {
                books.uncut.insert(overlay.last_seq(), uncut);
            }
            books.totals.replace(before, Totals::of(Some(overlay)));
            return Some(cut);
        }
        let cut = Cut::of(inode, overlay.freeze()?);
        let after = Totals::of(Some(overlay));
        let mut books = self.books.lock();
        books.uncut.remove(&first_seq);
        books.totals.replace(before, after);
        Some(cut)
    }

    /// The cut that ends at `to_seq` again, for another try after a failed upload; `None` when it is placed or gone.
    #[must_use]
    pub fn recut(&self, inode: InodeId, to_seq: Seq) -> Option<Cut> {
        let shard = self.shard(inode).lock();
        shard.get(&inode)?.frozen(to_seq).map(|layer| Cut::of(inode, layer))
    }

    /// Makes one cut of all cuts of an inode that are not placed, so that bytes overwritten meanwhile are not uploaded.
    /// Only while none of them is being placed: their `to_seq`s are forgotten but for the newest.
    #[must_use]
    pub fn recut_merged(&self, inode: InodeId) -> Option<Cut> {
        let mut shard = self.shard(inode).lock();
        let overlay = shard.get_mut(&inode)?;
        let before = Totals::of(Some(overlay));
        let cut = overlay.merge_frozen().map(|layer| Cut::of(inode, layer));
        let after = Totals::of(Some(overlay));
        let mut books = self.books.lock();
        books.totals.replace(before, after);
        books.report(&self.pressure);
        cut
    }

    /// Ends an inode's records up to `to_seq`: the transaction that placed them is **durable**, and whoever keeps the
    /// inode's row has the new one. *Guarantees:* idempotent; segments without other unsettled records become free.
    pub fn placed(&self, inode: InodeId, to_seq: Seq) {
        self.settle(inode, |overlay| overlay.placed(to_seq));
    }

    /// Ends all records of an inode: the transaction that removed it is **durable**, and no transaction in flight has
    /// it. *Guarantees:* idempotent; its overlay is gone, reads of it see `Moved` sooner or later.
    pub fn gone(&self, inode: InodeId) {
        self.settle(inode, InodeOverlay::gone);
    }

    fn settle(&self, inode: InodeId, end: impl FnOnce(&mut InodeOverlay) -> Vec<Hold<SegmentId>>) {
        let bytes = {
            let mut shard = self.shard(inode).lock();
            let Some(overlay) = shard.get_mut(&inode) else { return };
            let before = Totals::of(Some(overlay));
            let oldest_before = overlay.oldest().map(|(seq, _)| seq);
            let uncut_before = overlay.uncut().map(|layer| layer.first_seq);
            let holds = end(overlay);
            let after = Totals::of(Some(overlay));
            let (oldest_after, uncut_after) = (overlay.oldest(), overlay.uncut().is_some());
            let mut books = self.books.lock();
            if let (Some(seq), false) = (uncut_before, uncut_after) {
                books.uncut.remove(&seq);
            }
            books.segments.move_oldest(oldest_before, oldest_after);
            books.totals.replace(before, after);
            let (bytes, _) = books.segments.settled(&holds);
            books.report(&self.pressure);
            drop(books);
            if oldest_after.is_none() {
                shard.remove(&inode);
            }
            bytes
        };
        self.metrics.settled.increment(bytes);
        self.retire();
        self.pressure.drained(bytes);
    }

    /// Waits until there is something for the flusher to look at: the first dirty byte, a pack's worth of them, or
    /// pressure. *Guarantees:* what happens between two calls is not missed. *Cancel:* safe. Its timers are its own.
    pub async fn wait_progress(&self) {
        self.work.notified().await;
    }
}

/// What a newest-wins map would give: the bytes of older records minus those under the newest record. For a mutation.
#[cfg(any(test, feature = "mutation"))]
fn inexact(inode: InodeId, overlay: &mut InodeOverlay) -> Option<Cut> {
    let newest = overlay.uncut()?.last_seq;
    let layer = overlay.freeze_inexact(|spot| spot.seq() == newest, Seq(newest.0 - 1))?;
    Some(Cut::of(inode, layer))
}

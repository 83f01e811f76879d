//! The append-only log: one per journal id, in segments of a shared pool.
//!
//! ```text
//!   recover ──> start(epoch) ──> reserve ──> append ──> durable        segments ──> release
//!                                  │ waits     │ never      │ group sync
//!                                  └ roll: drain reservations, seal, sync, new header, sync (J1)
//! ```
//!
//! *Invariants:* `issued` and `durable` only grow; every record up to `issued` is in the page cache; records lie in the
//! order of their numbers; unsynced records are in the active segment only (J1); after a poisoning nothing is written,
//! confirmed or given out again (J3). Locks are taken in the order `state`, `sync`, pool, and never across an await.
//! *A crash* is recovery's business. *A cancelled* call leaves no trace: rolls and syncs run in tasks of their own.

pub mod append;
pub mod read;
pub mod recover;
pub mod reserve;
mod sync;
#[cfg(test)]
mod tests;

use crate::{
    disk::DiskFile,
    error::LogError,
    format::{self, SegmentHeader},
    metrics::LogMetrics,
    mutation::Mutations,
    pool::{HeldSegment, Segment, SegmentId, SegmentPool},
};
use dfs_model::{Clock, Epoch, Seq};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// Bytes that every segment keeps for its seal and one vouch record.
const TAIL_BYTES: u64 = 2 * format::RECORD_HEADER_BYTES;

/// Options of one log.
#[derive(Clone)]
pub struct LogOptions {
    /// Unsynced records are synced at the latest this long after the oldest.
    pub sync_max: Duration,
    /// A sync starts early once so many bytes are unsynced, so that a roll has little left to sync.
    pub sync_bytes_max: u64,
    /// Value of the metrics' label `log`.
    pub label: &'static str,
    /// Measures syncs and rolls.
    pub clock: Arc<dyn Clock>,
    /// Rules dropped by a test.
    pub mutations: Mutations,
}

impl LogOptions {
    /// Defaults: synced after 1 s or 4 MiB.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            sync_max: Duration::from_secs(1),
            sync_bytes_max: 4 << 20,
            label: "journal",
            clock,
            mutations: Mutations::none(),
        }
    }
}

/// Where a record lies. Valid while that life of the segment lasts; a stale one is answered with `Moved`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The segment.
    pub segment: SegmentId,
    /// Byte offset of the record's header in the segment.
    pub offset: u32,
    /// Payload bytes.
    pub length: u32,
}

/// The answer to an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The record's number.
    pub seq: Seq,
    /// Where it lies.
    pub position: Position,
}

/// What a segment of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// Appended to.
    Active,
    /// Full or sealed, synced, of this epoch.
    Sealed,
    /// Of an older epoch, kept by recovery.
    Recovered,
}

/// A segment that a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its name.
    pub id: SegmentId,
    /// Number that its first record has or will have.
    pub first: Seq,
    /// Number of its last record; `None` when it has none.
    pub last: Option<Seq>,
    /// Bytes in use, the segment header included.
    pub used_bytes: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// What it is.
    pub state: SegmentState,
}

/// A segment with what the log knows of it.
struct Entry {
    segment: Segment,
    header: SegmentHeader,
    seed: u32,
    last: Option<Seq>,
    head: u64,
    recovered: bool,
    /// Opened from the reserve for small records.
    from_reserve: bool,
}

impl Entry {
    fn info(&self, active: bool) -> SegmentInfo {
        SegmentInfo {
            id: self.segment.id,
            first: self.header.first,
            last: self.last,
            used_bytes: self.head,
            bytes: self.segment.bytes,
            state: match (active, self.recovered) {
                (true, _) => SegmentState::Active,
                (false, true) => SegmentState::Recovered,
                (false, false) => SegmentState::Sealed,
            },
        }
    }

    /// Bytes that records may still take.
    fn room(&self) -> u64 {
        self.segment.bytes.saturating_sub(self.head + TAIL_BYTES)
    }

    /// What readers need to find the entry again.
    fn held(&self) -> HeldSegment {
        HeldSegment { slot: self.segment.id.slot, header: self.header }
    }
}

/// A file to be synced, and the last record that its sync makes durable.
type SyncTarget = (Arc<dyn DiskFile>, Seq);

#[derive(Default)]
struct State {
    /// Oldest first.
    kept: Vec<Entry>,
    active: Option<Entry>,
    /// Bytes of outstanding reservations.
    reserved: u64,
    /// A roll task lives.
    rolling: bool,
    /// The active segment is being ended: nothing is granted. Whoever set it clears it.
    closing: bool,
    /// A small record wants the roll: it may open the reserve.
    want_small: bool,
    unsynced_bytes: u64,
}

struct Inner {
    pool: Arc<SegmentPool>,
    journal: u128,
    epoch: Epoch,
    /// Last record of older epochs that recovery accepted: every header of this epoch says so.
    vouched: Seq,
    options: LogOptions,
    state: Mutex<State>,
    issued: AtomicU64,
    durable: AtomicU64,
    sync: Mutex<sync::SyncState>,
    /// Held over every sync: one descriptor tells a failure to one caller only.
    sync_turn: tokio::sync::Mutex<()>,
    /// Room, reservations or the wish for a roll changed.
    room: Notify,
    timer: Arc<Notify>,
    armed: AtomicBool,
    is_closed: AtomicBool,
    /// Ends the timer's task.
    closed: watch::Sender<bool>,
    runtime: tokio::runtime::Handle,
    metrics: LogMetrics,
}

/// An open log. Dropping it closes it: waiters get `Closed`, its segments stay for the next recovery.
pub struct Log {
    inner: Arc<Inner>,
}

impl Log {
    /// The journal's id.
    #[must_use]
    pub fn journal(&self) -> u128 {
        self.inner.journal
    }

    /// The epoch that the log was started with.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.inner.epoch
    }

    /// The pool that the log takes its segments from.
    #[must_use]
    pub fn pool(&self) -> &Arc<SegmentPool> {
        &self.inner.pool
    }

    /// Number of the last record that was appended; (epoch, 0) before the first.
    #[must_use]
    pub fn last_issued(&self) -> Seq {
        Seq(self.inner.issued.load(Ordering::Acquire))
    }

    /// Every record up to this number survives a power cut.
    #[must_use]
    pub fn durable_seq(&self) -> Seq {
        Seq(self.inner.durable.load(Ordering::Acquire))
    }

    /// The segments held, oldest first; the active one, if any, is the last.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let state = self.inner.state.lock();
        let kept = state.kept.iter().map(|e| e.info(false));
        kept.chain(state.active.iter().map(|e| e.info(true))).collect()
    }

    /// Bytes from the start of the segment that holds `seq` to the head: this log's part of the occupancy when `seq` is
    /// its oldest unplaced record. Older segments that are merely kept do not count. Zero when `seq` is not held yet.
    #[must_use]
    pub fn bytes_since(&self, seq: Seq) -> u64 {
        let state = self.inner.state.lock();
        let held = state.kept.iter().chain(state.active.iter());
        held.filter(|e| e.last.is_some_and(|last| last >= seq)).map(|e| e.segment.bytes).sum()
    }

    /// Gives a segment back to the pool. The caller has proved JOURNAL J4 for every record in it.
    /// *Guarantees:* readers of its positions get `Moved` from now on.
    /// *Errors:* `Active` for the segment that is appended to (see [`Log::seal_active`]); `Moved` when not held.
    pub fn release(&self, id: SegmentId) -> Result<(), LogError> {
        let entry = {
            let mut state = self.inner.state.lock();
            if state.active.as_ref().is_some_and(|e| e.segment.id == id) {
                return Err(LogError::Active);
            }
            let at = state.kept.iter().position(|e| e.segment.id == id).ok_or(LogError::Moved)?;
            state.kept.remove(at)
        };
        self.inner.pool.give_back(id.slot, &entry.header);
        Ok(())
    }

    /// What poisoned the log's folder, if anything did.
    pub fn check(&self) -> Result<(), LogError> {
        self.inner.check()
    }

    /// Syncs what is unsynced. For an orderly stop: after it, dropping the log loses nothing in a power cut.
    pub async fn flush(&self) -> Result<(), LogError> {
        self.durable(self.last_issued()).await
    }

    /// Flushes and closes the log; on return the journal can be recovered and started again in this process.
    /// Reservations must have ended. *Errors:* as [`Log::durable`]; the log is closed all the same.
    pub async fn close(self) -> Result<(), LogError> {
        let flushed = self.flush().await;
        let (pool, journal) = (self.inner.pool.clone(), self.inner.journal);
        drop(self);
        pool.wait_parked(journal).await;
        flushed
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.inner.is_closed.store(true, Ordering::Release);
        self.inner.closed.send_replace(true);
        self.inner.room.notify_waiters();
        self.inner.fail_waiters(&LogError::Closed);
    }
}

impl Inner {
    fn check(&self) -> Result<(), LogError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(LogError::Closed);
        }
        match self.pool.poison().is_set() {
            true => self.pool.poisoned().map_or(Ok(()), |cause| Err(LogError::Poisoned(cause))),
            false => Ok(()),
        }
    }

    /// Poisons the folder and fails everybody who waits.
    fn poison(&self, what: &str, error: &std::io::Error) -> LogError {
        let failure = self.pool.poisoned_by(what, error);
        self.fail_waiters(&failure);
        self.room.notify_waiters();
        failure
    }

    fn number(&self, seq: &AtomicU64) -> Seq {
        Seq(seq.load(Ordering::Acquire))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let held = state.kept.iter().chain(state.active.iter()).map(Entry::held).collect();
        self.pool.park(self.journal, held);
    }
}

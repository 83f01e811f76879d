//! The segment pool: one folder of pre-allocated segment files that the logs of a data folder share.
//!
//! ```text
//!   raw (allocated) ── zero, sync, rename ──> ready ── take ──> in use (journal, epoch, generation)
//!                                              ^                  │
//!                                              └── give back ─────┘   (blocks stay, stale records cannot validate)
//! ```
//!
//! *Invariants:* every file has all its blocks from `open` on, so a full disk never breaks an append. A generation is
//! given once over the whole pool; nothing but the segment headers is persistent. A raw file is named `….new`, so a
//! file with a final name is known to be zeroed or to have been in use.
//! *A crash* leaves raw files, which the next `open` takes over, and segments that were given back but still look used:
//! their owner reads them again and gives them back again.

mod open;
mod prepare;

use crate::{
    disk::{Disk, DiskFile, DiskLock},
    error::{LogError, PoolError},
    format::SegmentHeader,
    metrics::PoolMetrics,
    mutation::{Mutations, Rule},
    poison::{Poison, PoisonCause},
};
use dfs_model::Epoch;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, watch};

/// Smallest segment: its header page and one more.
pub const SEGMENT_BYTES_MIN: u64 = 8192;
/// Largest segment: recovery reads one whole segment into memory.
pub const SEGMENT_BYTES_MAX: u64 = 256 << 20;

/// Who zeroes raw segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepare {
    /// The call that needs one: deterministic, for simulations.
    Inline,
    /// A thread of the pool's own, ahead of need.
    Background,
}

/// Configuration of a pool.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Bytes of one segment, a multiple of 4096.
    pub segment_bytes: u64,
    /// Bytes of all segments; rounded down to whole segments, at least two.
    pub total_bytes: u64,
    /// Zeroed segments kept ready while raw ones remain.
    pub ready_ahead: usize,
    /// Segments that only [`crate::Priority::Small`] reservations may open (JOURNAL J6).
    pub small_reserve: usize,
    /// Who zeroes.
    pub prepare: Prepare,
    /// Value of the metrics' label `pool`.
    pub label: &'static str,
    /// The data folder's mark, shared by all pools in it.
    pub poison: Poison,
    /// Rules dropped by a test.
    pub mutations: Mutations,
}

impl PoolConfig {
    /// Defaults for a pool of that size: segments of 16 MiB, four ready, one kept for small records.
    #[must_use]
    pub fn new(total_bytes: u64) -> Self {
        Self {
            segment_bytes: 16 << 20,
            total_bytes,
            ready_ahead: 4,
            small_reserve: 1,
            prepare: Prepare::Background,
            label: "journal",
            poison: Poison::new(),
            mutations: Mutations::none(),
        }
    }
}

/// Name of one life of one segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// Index of the file in the pool.
    pub slot: u32,
    /// Life of the file.
    pub generation: u64,
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.slot, self.generation)
    }
}

/// Figures of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// All segments.
    pub segments: usize,
    /// Segments that no log holds.
    pub free_segments: usize,
    /// Bytes of all segments.
    pub total_bytes: u64,
    /// Bytes of the segments that logs hold.
    pub used_bytes: u64,
}

/// A journal that was found on disk and is not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldJournal {
    /// The journal's id.
    pub journal: u128,
    /// Newest epoch in its segments.
    pub newest_epoch: Epoch,
    /// Number of its segments.
    pub segments: usize,
}

/// The pool. Dropping the last reference ends its thread and releases the folder's lock.
pub struct SegmentPool {
    shared: Arc<Shared>,
    worker: Option<std::thread::JoinHandle<()>>,
    _lock: DiskLock,
}

pub(crate) struct Shared {
    disk: Arc<dyn Disk>,
    config: PoolConfig,
    slots: Vec<Slot>,
    state: Mutex<PoolState>,
    /// Wakes the worker.
    work: parking_lot::Condvar,
    /// Wakes those who wait for a segment.
    changed: Notify,
    metrics: PoolMetrics,
}

/// One file of the pool.
struct Slot {
    name: String,
    bytes: u64,
    /// Generation in use; zero when free.
    life: AtomicU64,
    file: Mutex<Option<Arc<dyn DiskFile>>>,
}

#[derive(Default)]
struct PoolState {
    ready: Vec<u32>,
    raw: Vec<u32>,
    /// Slot that the worker is zeroing: neither raw nor ready, but free.
    preparing: usize,
    next_generation: u64,
    held: BTreeMap<u128, Vec<HeldSegment>>,
    open: BTreeSet<u128>,
    stop: bool,
}

impl PoolState {
    fn free(&self) -> usize {
        self.ready.len() + self.raw.len() + self.preparing
    }
}

/// A segment of a journal that is not open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldSegment {
    pub(crate) slot: u32,
    pub(crate) header: SegmentHeader,
}

/// A segment in use: the right to write to one life of one file.
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) file: Arc<dyn DiskFile>,
}

impl SegmentPool {
    /// Opens the pool in a folder of its own: takes the lock, reads every header from the device, allocates what is
    /// missing, removes what is too much and free.
    /// *Guarantees:* blocks for all `total_bytes` are allocated on return, durably; nothing that a log wrote is touched.
    /// *Errors:* see [`PoolError`]; none leaves anything changed but allocated files.
    pub fn open(disk: Arc<dyn Disk>, config: PoolConfig) -> Result<Arc<SegmentPool>, PoolError> {
        let lock = open::lock(&*disk)?;
        let shared = Arc::new(open::build(disk, config)?);
        shared.publish(&shared.state.lock());
        let worker = match shared.config.prepare {
            Prepare::Inline => None,
            Prepare::Background => Some(prepare::spawn(shared.clone())?),
        };
        Ok(Arc::new(SegmentPool { shared, worker, _lock: lock }))
    }

    /// Figures of now.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let state = self.shared.state.lock();
        let used = self.shared.slots.iter().filter(|s| s.life.load(Ordering::Relaxed) != 0);
        PoolStatus {
            segments: self.shared.slots.len(),
            free_segments: state.free(),
            total_bytes: self.shared.slots.iter().map(|s| s.bytes).sum(),
            used_bytes: used.map(|s| s.bytes).sum(),
        }
    }

    /// Bytes of one new segment.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.shared.config.segment_bytes
    }

    /// What failed first, once something did (JOURNAL J3).
    #[must_use]
    pub fn poisoned(&self) -> Option<PoisonCause> {
        self.shared.config.poison.get()
    }

    /// A receiver that sees the pool being poisoned.
    #[must_use]
    pub fn watch_poison(&self) -> watch::Receiver<Option<PoisonCause>> {
        self.shared.config.poison.watch()
    }

    /// The folder's mark; whoever else syncs in the folder sets it on failure.
    #[must_use]
    pub fn poison(&self) -> &Poison {
        &self.shared.config.poison
    }

    /// Journals on disk that are not open.
    #[must_use]
    pub fn journals(&self) -> Vec<HeldJournal> {
        let state = self.shared.state.lock();
        let held = state.held.iter().filter_map(|(journal, segments)| {
            let newest_epoch = segments.iter().map(|s| s.header.epoch).max()?;
            Some(HeldJournal { journal: *journal, newest_epoch, segments: segments.len() })
        });
        held.collect()
    }

    /// Gives back every segment of a journal that is not open: its share is gone, or it was abandoned on command.
    /// Returns the number of segments.
    pub fn discard(&self, journal: u128) -> usize {
        let held = self.shared.state.lock().held.remove(&journal).unwrap_or_default();
        for segment in &held {
            self.shared.give_back(segment.slot, &segment.header);
        }
        held.len()
    }

    /// Sets the folder's mark and its metric.
    pub(crate) fn poisoned_by(&self, what: &str, error: &std::io::Error) -> LogError {
        self.shared.poisoned_by(what, error)
    }

    pub(crate) fn held(&self, journal: u128) -> Option<Vec<HeldSegment>> {
        let state = self.shared.state.lock();
        match state.open.contains(&journal) {
            true => None,
            false => Some(state.held.get(&journal).cloned().unwrap_or_default()),
        }
    }

    /// Moves a journal from held to open. False when it is open already.
    pub(crate) fn claim(&self, journal: u128) -> bool {
        let mut state = self.shared.state.lock();
        state.held.remove(&journal);
        state.open.insert(journal)
    }

    /// Moves a journal from open back to held.
    pub(crate) fn park(&self, journal: u128, segments: Vec<HeldSegment>) {
        let mut state = self.shared.state.lock();
        state.open.remove(&journal);
        if !segments.is_empty() {
            state.held.insert(journal, segments);
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Waits until a journal is not open.
    pub(crate) async fn wait_parked(&self, journal: u128) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.shared.state.lock().open.contains(&journal) {
                return;
            }
            changed.await;
        }
    }

    /// Takes a ready segment, if the priority allows it.
    pub(crate) fn try_take(&self, small: bool) -> Result<Option<Segment>, LogError> {
        self.shared.try_take(small)
    }

    /// True when the reserve for small records is whole, so that data may use a segment opened from it.
    pub(crate) fn reserve_is_whole(&self) -> bool {
        self.shared.state.lock().free() >= self.shared.config.small_reserve
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.shared.disk
    }

    pub(crate) fn changed(&self) -> &Notify {
        &self.shared.changed
    }

    pub(crate) fn give_back(&self, slot: u32, header: &SegmentHeader) {
        self.shared.give_back(slot, header);
    }

    /// Puts back a segment that was taken and never used: its header was not written.
    pub(crate) fn put_back(&self, slot: u32) {
        self.shared.put_back(slot);
    }

    /// The segment of a held journal.
    pub(crate) fn segment(&self, slot: u32, generation: u64) -> std::io::Result<Segment> {
        let found = self.shared.slots.get(slot as usize);
        let found = found.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        let file = self.shared.file(found)?;
        Ok(Segment { id: SegmentId { slot, generation }, name: found.name.clone(), bytes: found.bytes, file })
    }

    /// The file of a segment while that life lasts.
    pub(crate) fn file_of(&self, id: SegmentId) -> Option<Arc<dyn DiskFile>> {
        let slot = self.shared.slots.get(id.slot as usize)?;
        match self.lives(id) || self.shared.config.mutations.off(Rule::ReaderVerifies) {
            true => slot.file.lock().clone(),
            false => None,
        }
    }

    /// True while that life of the segment lasts.
    pub(crate) fn lives(&self, id: SegmentId) -> bool {
        let slot = self.shared.slots.get(id.slot as usize);
        slot.is_some_and(|slot| slot.life.load(Ordering::SeqCst) == id.generation)
    }

    pub(crate) fn name_of(&self, id: SegmentId) -> String {
        self.shared.slots.get(id.slot as usize).map_or_else(String::new, |slot| slot.name.clone())
    }
}

impl Drop for SegmentPool {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        self.shared.work.notify_all();
        if let Some(worker) = self.worker.take() {
            // The worker ends after at most one segment; its panic was reported by the runtime already.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn file(&self, slot: &Slot) -> std::io::Result<Arc<dyn DiskFile>> {
        let mut file = slot.file.lock();
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        let opened = self.disk.open(&slot.name)?;
        *file = Some(opened.clone());
        Ok(opened)
    }

    fn publish(&self, state: &PoolState) {
        self.metrics.segments.set(self.slots.len() as f64);
        self.metrics.free.set(state.free() as f64);
        self.metrics.poisoned.set(f64::from(u8::from(self.config.poison.is_set())));
    }

    fn try_take(&self, small: bool) -> Result<Option<Segment>, LogError> {
        if let Some(cause) = self.config.poison.get() {
            return Err(LogError::Poisoned(cause));
        }
        let taken = {
            let mut state = self.state.lock();
            if !small && state.free() <= self.config.small_reserve {
                return Ok(None);
            }
            if state.ready.is_empty() && self.config.prepare == Prepare::Inline {
                self.prepare_inline(&mut state)?;
            }
            let taken = state.ready.pop();
            let taken = taken.map(|slot| {
                state.next_generation += 1;
                (slot, state.next_generation)
            });
            self.work.notify_one();
            self.publish(&state);
            taken
        };
        let Some((index, generation)) = taken else { return Ok(None) };
        let Some(slot) = self.slots.get(index as usize) else { return Ok(None) };
        let file =
            self.file(slot).map_err(|error| self.poisoned_by(&format!("open of {}", slot.name), &error))?;
        slot.life.store(generation, Ordering::SeqCst);
        let id = SegmentId { slot: index, generation };
        Ok(Some(Segment { id, name: slot.name.clone(), bytes: slot.bytes, file }))
    }

    fn poisoned_by(&self, what: &str, error: &std::io::Error) -> LogError {
        let cause = self.config.poison.set(what, error);
        self.publish(&self.state.lock());
        LogError::Poisoned(cause)
    }

    /// Ends the life of a segment and, so that the next recovery need not read it, marks its header. The mark needs no
    /// sync: without it the owner merely reads the segment once more. Nothing is written after a poisoning.
    fn give_back(&self, index: u32, header: &SegmentHeader) {
        let Some(slot) = self.slots.get(index as usize) else { return };
        slot.life.store(0, Ordering::SeqCst);
        if self.config.poison.is_set() {
            return;
        }
        let free = SegmentHeader { free: true, ..*header };
        let marked = self.file(slot).and_then(|file| file.write_at(0, &free.encode()));
        if let Err(error) = marked {
            self.poisoned_by(&format!("write of {}", slot.name), &error);
            return;
        }
        self.put_back(index);
    }

    fn put_back(&self, index: u32) {
        let Some(slot) = self.slots.get(index as usize) else { return };
        slot.life.store(0, Ordering::SeqCst);
        *slot.file.lock() = None;
        {
            let mut state = self.state.lock();
            state.ready.push(index);
            self.publish(&state);
        }
        self.changed.notify_waiters();
    }
}

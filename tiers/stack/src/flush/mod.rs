//! The flusher: from dirty to clean, the oldest record first.
//!
//! ```text
//!  journal ─ dirty_inodes ─ policy ─ batch (about a pack) ─ job: plan ─ packs ─ PUTs ─ (predecessors placed) ─ place ─ durable
//!                                                                                            journal.placed ◀──────────┘
//! ```
//! One loop forms batches and starts jobs; jobs run side by side. Cuts of one inode form a chain: each waits for the one
//! before it to be placed, so that places land in order and nothing is wasted. Writers are never waited for.
//!
//! Invariants: a cut is in `in_flight` from its cutting until `journal.placed`; nothing is placed before its PUTs are
//! confirmed; the journal is told only after the place is durable. A crash leaves rows `up` and objects of an older epoch.

mod batch;
mod draft;
mod held;
mod job;
mod place;
mod plan;
mod rewrite;
mod upload;

pub(crate) use upload::Uploads;

use crate::error::StackError;
use crate::fetch::Fetcher;
use crate::maps::FileMaps;
use crate::owner::OwnerState;
use crate::stack::Shared;
use crate::status::{PackCounts, TierStatus};
use batch::{InFlight, Step};
use dfs_model::{InodeId, Seq};
use held::Held;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// What a flush request covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushScope {
    /// One file.
    Inode(InodeId),
    /// Everything of the share.
    All,
}

/// Jobs at once: enough to keep every upload busy while others wait for their place.
const JOBS_PER_UPLOAD: usize = 2;
/// How long a stop waits for uploads under way.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    maps: Arc<FileMaps>,
    fetcher: Arc<Fetcher>,
    uploads: Arc<Uploads>,
    state: Mutex<State>,
    wake: Notify,
    /// Counts settled cuts; waiters for a flush look at the state whenever it moves.
    progress: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    in_flight: BTreeMap<InodeId, VecDeque<Arc<InFlight>>>,
    /// Inodes whose flush was asked for and whose cut is still to be made.
    forced: BTreeSet<InodeId>,
    /// Jobs under way that hold such cuts.
    forced_jobs: usize,
    /// Everything up to the largest of these was asked for.
    wanted: BTreeMap<Seq, usize>,
    /// Inodes whose bytes in the journal are damaged; nothing else waits for them.
    held: BTreeMap<InodeId, Held>,
    /// Why the flusher ended.
    stopped: Option<String>,
}

impl Flusher {
    pub fn new(shared: Arc<Shared>, maps: Arc<FileMaps>, fetcher: Arc<Fetcher>) -> Flusher {
        let uploads = Arc::new(Uploads::new(shared.clone(), fetcher.keys.clone()));
        Flusher {
            shared,
            maps,
            fetcher,
            uploads,
            state: Mutex::new(State::default()),
            wake: Notify::new(),
            progress: watch::Sender::new(0),
        }
    }

    pub fn uploads(&self) -> Arc<Uploads> {
        self.uploads.clone()
    }

    /// The loop. Ends at shutdown, after its jobs have seen it too.
    pub async fn run(self: Arc<Self>) {
        let jobs_max = self.shared.settings.uploads_max.max(1) * JOBS_PER_UPLOAD;
        let mut jobs = JoinSet::new();
        loop {
            while jobs.try_join_next().is_some() {}
            if self.shared.is_stopping() || self.state.lock().stopped.is_some() {
                break;
            }
            let step = if jobs.len() >= jobs_max { Step::Wait(None) } else { self.step() };
            match step {
                Step::Batch { tickets, forced } => {
                    let flusher = self.clone();
                    jobs.spawn(async move {
                        flusher.clone().run_job(tickets).await;
                        flusher.state.lock().forced_jobs -= usize::from(forced);
                    });
                    tokio::task::yield_now().await;
                }
                Step::Wait(at_most) => {
                    let sleep = async {
                        match at_most {
                            Some(time) => tokio::time::sleep(time).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        biased;
                        () = self.shared.stopping() => {}
                        Some(_) = jobs.join_next() => {}
                        () = self.wake.notified() => {}
                        () = self.shared.journal.wait_progress() => {}
                        () = sleep => {}
                    }
                }
            }
        }
        // What is under way may end, but an outage must not hold up a stop: what is cut short is as after a crash.
        let ended = async { while jobs.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_GRACE, ended).await.is_err() {
            tracing::info!(share = %self.shared.share, "uploads under way were given up; what is dirty stays in the journal");
        }
    }

    /// See [`crate::Stack::flush`].
    pub async fn flush(&self, scope: FlushScope) -> Result<(), StackError> {
        let target = match scope {
            FlushScope::All => Some(self.shared.journal.last_issued()),
            FlushScope::Inode(inode) => self.shared.journal.last_seq(inode),
        };
        let Some(target) = target else { return Ok(()) };
        let mut progress = self.progress.subscribe();
        let _want = Want::new(self, scope, target);
        loop {
            if self.is_clean(scope, target) {
                return self.held_in(scope).map_or(Ok(()), |why| Err(StackError::Held(why)));
            }
            if let Some(why) = &self.state.lock().stopped {
                return Err(StackError::Stopped(why.clone()));
            }
            if progress.changed().await.is_err() {
                return Err(StackError::Stopped(String::from("closed")));
            }
        }
    }

    /// Whether no record up to `target` is unplaced, but for inodes that are held.
    fn is_clean(&self, scope: FlushScope, target: Seq) -> bool {
        let state = self.state.lock();
        let under_way = |cuts: &VecDeque<Arc<InFlight>>| cuts.iter().any(|cut| cut.from_seq < target);
        match scope {
            FlushScope::Inode(inode) => {
                !state.forced.contains(&inode)
                    && !self.is_due(&state, inode)
                    && !state.in_flight.get(&inode).is_some_and(under_way)
            }
            FlushScope::All => {
                let oldest = self.oldest_uncut(&state);
                oldest.is_none_or(|dirty| dirty.oldest_seq > target)
                    && !state.in_flight.values().any(under_way)
                    && !state.held.keys().any(|inode| self.is_due(&state, *inode))
            }
        }
    }

    /// Ends the flusher for good, with the reason that status and waiters see.
    pub fn stopped(&self, why: &str) {
        let mut state = self.state.lock();
        if state.stopped.is_none() {
            if !self.shared.is_stopping() {
                tracing::error!(share = %self.shared.share, why, "the flusher stopped; what is dirty stays in the journal");
                self.shared.note_error(why);
            }
            state.stopped = Some(why.to_owned());
        }
        drop(state);
        self.progress.send_modify(|count| *count += 1);
        self.wake.notify_one();
    }

    /// Takes a settled cut out of the books.
    fn settled(&self, inode: InodeId, cut: &Arc<InFlight>) {
        let mut state = self.state.lock();
        if let Some(cuts) = state.in_flight.get_mut(&inode) {
            cuts.retain(|other| !Arc::ptr_eq(other, cut));
            if cuts.is_empty() {
                state.in_flight.remove(&inode);
            }
        }
        let again = state.held.get(&inode).is_some_and(|held| cut.from_seq >= held.from_seq);
        if let Some(held) = again.then(|| state.held.remove(&inode)).flatten() {
            tracing::info!(share = %self.shared.share, file = held.file, "the damaged file is placed, or gone");
        }
        drop(state);
        self.progress.send_modify(|count| *count += 1);
        self.wake.notify_one();
    }

    /// Figures; `fill` adds what others know.
    pub fn status(&self, fill: impl FnOnce(&mut TierStatus)) -> TierStatus {
        let stats = self.shared.journal.stats();
        let (uploads_in_flight, upload_window, pack_memory, cold_permanent) = self.uploads.figures();
        let mut status = TierStatus {
            dirty_bytes: stats.dirty_bytes,
            dirty_inodes: stats.dirty_inodes,
            oldest_unplaced: stats.oldest_unplaced_age,
            occupancy: stats.occupancy,
            uploads_in_flight,
            upload_window,
            pack_memory,
            packs_uploaded: self.uploads.packs.load(Ordering::Relaxed),
            bytes_uploaded: self.uploads.bytes.load(Ordering::Relaxed),
            bytes_rewritten: self.uploads.rewritten.load(Ordering::Relaxed),
            uploads_failed: self.uploads.failed.load(Ordering::Relaxed),
            packs: PackCounts::default(),
            owner: OwnerState::Pending,
            served: self.fetcher.served.figures(),
            bytes_fetched: self.fetcher.served.fetched.load(Ordering::Relaxed),
            cache: self.fetcher.cache_stats(),
            cold_down_for: None,
            cold_permanent,
            last_error: self.shared.last_error(),
            held: self.held_all(),
            stopped: self.state.lock().stopped.clone(),
        };
        fill(&mut status);
        status
    }
}

/// A flush request while its caller waits; a dropped caller takes it back.
struct Want<'a> {
    flusher: &'a Flusher,
    wanted: Option<Seq>,
}

impl<'a> Want<'a> {
    fn new(flusher: &'a Flusher, scope: FlushScope, target: Seq) -> Want<'a> {
        let mut state = flusher.state.lock();
        let wanted = match scope {
            FlushScope::All => {
                *state.wanted.entry(target).or_insert(0) += 1;
                Some(target)
            }
            FlushScope::Inode(inode) => {
                state.forced.insert(inode);
                None
            }
        };
        state.retry_held(scope);
        drop(state);
        flusher.wake.notify_one();
        Want { flusher, wanted }
    }
}

impl Drop for Want<'_> {
    fn drop(&mut self) {
        let Some(target) = self.wanted else { return };
        let mut state = self.flusher.state.lock();
        if let Some(count) = state.wanted.get_mut(&target) {
            *count -= 1;
            if *count == 0 {
                state.wanted.remove(&target);
            }
        }
    }
}

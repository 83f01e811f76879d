//! Which inodes are cut together, and when.

use super::held::HELD_AGAIN;
use super::plan::{EXTENTS_PER_WINDOW, pieces_by_window};
use super::{Flusher, State};
use dfs_journal::Cut;
use dfs_log::mutation::Rule;
use dfs_model::{InodeId, Seq};
use dfs_policy::{FlushChoice, FlushFacts};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Most inodes of one batch: bounds the place transaction and the pack's footer.
const INODES_PER_BATCH: usize = 4096;
/// Bytes that an inode without data counts for in a batch.
const INODE_COST: u64 = 512;

/// Jobs for files that somebody waits for, at once.
const FORCED_JOBS_MAX: usize = 4;

/// Rows that a place changes, in bytes, at most: the inode with its keys, an extent with its reference, what is taken out
/// of a window that was full, the two ends that a new extent may leave of an old one, and a block in a run.
const ROW_BYTES: u64 = 640;
const EXTENT_BYTES: u64 = 192;
const WINDOW_BYTES: u64 = EXTENTS_PER_WINDOW as u64 * 104;
const ENDS_BYTES: u64 = 2 * EXTENT_BYTES;
const BLOCK_BYTES: u64 = 16;

/// A cut on its way.
pub(crate) struct InFlight {
    pub from_seq: Seq,
    /// Extents that it may add, by window.
    pub windows: BTreeMap<u64, usize>,
    /// What became of the cut.
    pub fate: watch::Sender<Fate>,
}

/// `Open → Applied` or `Open → Held`, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// On its way.
    Open,
    /// In the metadata, durable or not, or dead.
    Applied,
    /// Not placed: its bytes are damaged, and what comes after it waits with it.
    Held,
}

impl InFlight {
    /// Waits until the cut is applied. `false`: it is held.
    async fn wait_applied(&self) -> bool {
        let mut fate = self.fate.subscribe();
        let end = fate.wait_for(|fate| *fate != Fate::Open).await.map(|fate| *fate);
        end.is_ok_and(|fate| fate == Fate::Applied)
    }
}

/// A cut in a job.
pub(crate) struct Ticket {
    pub cut: Arc<Cut>,
    pub mine: Arc<InFlight>,
    /// Cuts of the same inode that come before it, oldest first.
    pub before: Vec<Arc<InFlight>>,
    /// Placed in a transaction of its own: one with others was too large.
    pub alone: bool,
}

impl Ticket {
    /// Waits until every cut before this one is applied. `false`: one is held, and so must this one be.
    pub async fn wait_before(&self) -> bool {
        for earlier in &self.before {
            if !earlier.wait_applied().await {
                return false;
            }
        }
        true
    }

    pub fn before_is_applied(&self) -> bool {
        self.before.iter().all(|earlier| *earlier.fate.borrow() == Fate::Applied)
    }
}

/// What the loop does next.
pub(crate) enum Step {
    /// A job; whether somebody waits for a file of it.
    Batch { tickets: Vec<Ticket>, forced: bool },
    /// Until something happens, at most for this time.
    Wait(Option<Duration>),
}

impl Flusher {
    /// Decides and cuts. Synchronous: cutting and noting the cut are one step for whoever asks what is under way.
    pub(super) fn step(&self) -> Step {
        let mut state = self.state.lock();
        let mut batch = Batch {
            tickets: Vec::new(),
            bytes: 0,
            bytes_max: self.shared.settings.pack_size,
            rows: 0,
            rows_max: self.shared.store.place_bytes_max(),
        };
        self.take_held(&mut state, &mut batch);
        let held = batch.tickets.len();
        self.take_forced(&mut state, &mut batch);
        let forced = batch.tickets.len() > held;
        let wait = match self.choose(&state) {
            FlushChoice::Wait(time) => Some(time),
            FlushChoice::Oldest { bytes } => self.take_dirty(&mut state, &mut batch, None, bytes),
            FlushChoice::OlderThan(age) => self.take_dirty(&mut state, &mut batch, Some(age), u64::MAX),
            FlushChoice::Everything => self.take_dirty(&mut state, &mut batch, None, u64::MAX),
        };
        if !batch.tickets.is_empty() {
            state.forced_jobs += usize::from(forced);
            return Step::Batch { tickets: batch.tickets, forced };
        }
        let again = (!state.held.is_empty()).then_some(HELD_AGAIN);
        Step::Wait(wait.into_iter().chain(again).min())
    }

    fn choose(&self, state: &State) -> FlushChoice {
        let Some(oldest) = self.oldest_uncut(state) else {
            return FlushChoice::Wait(self.shared.settings.flush_after);
        };
        let requested = state.wanted.last_key_value().is_some_and(|(target, _)| oldest.oldest_seq <= *target);
        if !requested && !self.shared.settings.background {
            return FlushChoice::Wait(self.shared.settings.flush_after);
        }
        let stats = self.shared.journal.stats();
        let facts = FlushFacts {
            requested,
            dirty_bytes: stats.uncut_bytes.max(1),
            under_way: !state.in_flight.is_empty(),
            oldest_age: self.shared.clock.monotonic().since(oldest.oldest_at),
            occupancy: stats.occupancy,
            pack_size: self.shared.settings.pack_size,
            flush_after: self.shared.settings.flush_after,
        };
        self.shared.policy.flush(&facts).value
    }

    /// Cuts the files that somebody waits for. While some jobs for such files are under way the others gather, so that many
    /// waiters share a pack.
    fn take_forced(&self, state: &mut State, batch: &mut Batch) {
        if state.forced_jobs >= FORCED_JOBS_MAX {
            return;
        }
        let forced: Vec<InodeId> = state.forced.iter().copied().take(INODES_PER_BATCH).collect();
        let asked = !forced.is_empty();
        for inode in forced {
            if batch.is_full() {
                return;
            }
            if self.may_cut(state, inode) {
                state.forced.remove(&inode);
                self.take(state, batch, inode);
            }
        }
        if asked && batch.tickets.is_empty() {
            // A request about an inode that was clean already.
            self.progress.send_modify(|count| *count += 1);
        }
    }

    /// Cuts dirty inodes, oldest first. Answers how long to wait if nothing could be cut.
    fn take_dirty(
        &self,
        state: &mut State,
        batch: &mut Batch,
        age: Option<Duration>,
        bytes: u64,
    ) -> Option<Duration> {
        let now = self.shared.clock.monotonic();
        let older_than = age.map(|age| dfs_model::Monotonic(now.0.saturating_sub(age.as_nanos() as u64)));
        batch.bytes_max = batch.bytes_max.min(bytes);
        let most = INODES_PER_BATCH * 2 + state.held.len();
        for dirty in self.shared.journal.dirty_inodes(most, older_than) {
            if batch.is_full() {
                break;
            }
            if self.may_cut(state, dirty.inode) {
                self.take(state, batch, dirty.inode);
            }
        }
        // What could not be cut waits for a cut of the same inode, which wakes the loop when it ends.
        Some(self.shared.settings.flush_after)
    }

    fn may_cut(&self, state: &State, inode: InodeId) -> bool {
        let room = |cuts: &VecDeque<Arc<InFlight>>| cuts.len() < self.shared.settings.cuts_per_inode.max(1);
        !state.held.contains_key(&inode) && state.in_flight.get(&inode).is_none_or(room)
    }

    fn take(&self, state: &mut State, batch: &mut Batch, inode: InodeId) {
        if let Some(cut) = self.shared.journal.cut(inode) {
            self.take_cut(state, batch, cut);
        }
    }

    pub(super) fn take_cut(&self, state: &mut State, batch: &mut Batch, cut: Cut) {
        let inode = cut.inode;
        if cut.writes.is_empty() && self.shared.mutations.off(Rule::PlaceWithoutData) {
            return;
        }
        let mine = Arc::new(InFlight {
            from_seq: cut.from_seq,
            windows: pieces_by_window(&cut.writes, &cut.zeros, u64::from(self.shared.settings.block_size)),
            fate: watch::Sender::new(Fate::Open),
        });
        let cuts = state.in_flight.entry(inode).or_default();
        let before = cuts.iter().cloned().collect();
        cuts.push_back(mine.clone());
        batch.bytes += cut.data_bytes + INODE_COST;
        batch.rows += rows_at_most(&cut, &mine.windows, u64::from(self.shared.settings.block_size));
        batch.tickets.push(Ticket { cut: Arc::new(cut), mine, before, alone: false });
    }
}

pub(super) struct Batch {
    tickets: Vec<Ticket>,
    bytes: u64,
    bytes_max: u64,
    /// Bytes of rows that its place changes, and their bound.
    rows: u64,
    rows_max: u64,
}

impl Batch {
    pub(super) fn is_full(&self) -> bool {
        let room = self.bytes < self.bytes_max && self.rows < self.rows_max;
        !room || self.tickets.len() >= INODES_PER_BATCH
    }
}

/// Bytes of rows that placing a cut changes, but for what a truncation takes away beyond the windows that it touches.
fn rows_at_most(cut: &Cut, windows: &BTreeMap<u64, usize>, block_size: u64) -> u64 {
    let pieces: u64 = windows.values().map(|pieces| *pieces as u64).sum();
    ROW_BYTES
        + pieces * (EXTENT_BYTES + ENDS_BYTES)
        + windows.len() as u64 * WINDOW_BYTES
        + cut.data_bytes / block_size.max(1) * BLOCK_BYTES
}

//! Which inodes are cut together, and when.

use super::plan::pieces_by_window;
use super::{Flusher, State};
use dfs_journal::Cut;
use dfs_log::mutation::Rule;
use dfs_model::{InodeId, Seq};
use dfs_policy::{FlushChoice, FlushFacts};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Most inodes of one batch: bounds the place transaction and the pack's footer.
const INODES_PER_BATCH: usize = 4096;
/// Bytes that an inode without data counts for in a batch.
const INODE_COST: u64 = 512;

/// A cut on its way.
pub(crate) struct InFlight {
    pub from_seq: Seq,
    /// Extents that it may add, by window.
    pub windows: BTreeMap<u64, usize>,
    /// Turns true when the cut is in the metadata, durable or not, or dead.
    pub applied: watch::Sender<bool>,
}

impl InFlight {
    /// Waits until the cut is applied.
    pub async fn wait_applied(&self) {
        let mut applied = self.applied.subscribe();
        let _ = applied.wait_for(|applied| *applied).await;
    }
}

/// A cut in a job.
pub(crate) struct Ticket {
    pub cut: Arc<Cut>,
    pub mine: Arc<InFlight>,
    /// Cuts of the same inode that come before it, oldest first.
    pub before: Vec<Arc<InFlight>>,
}

impl Ticket {
    /// Waits until every cut before this one is applied.
    pub async fn wait_before(&self) {
        for earlier in &self.before {
            earlier.wait_applied().await;
        }
    }

    pub fn before_is_applied(&self) -> bool {
        self.before.iter().all(|earlier| *earlier.applied.borrow())
    }
}

/// What the loop does next.
pub(crate) enum Step {
    Batch(Vec<Ticket>),
    /// Until something happens, at most for this time.
    Wait(Option<Duration>),
}

impl Flusher {
    /// Decides and cuts. Synchronous: cutting and noting the cut are one step for whoever asks what is under way.
    pub(super) fn step(&self) -> Step {
        let mut state = self.state.lock();
        let mut batch = Batch { tickets: Vec::new(), bytes: 0, bytes_max: self.shared.settings.pack_size };
        self.take_forced(&mut state, &mut batch);
        let wait = match self.choose(&state) {
            FlushChoice::Wait(time) => Some(time),
            FlushChoice::Oldest { bytes } => self.take_dirty(&mut state, &mut batch, None, bytes),
            FlushChoice::OlderThan(age) => self.take_dirty(&mut state, &mut batch, Some(age), u64::MAX),
            FlushChoice::Everything => self.take_dirty(&mut state, &mut batch, None, u64::MAX),
        };
        if batch.tickets.is_empty() { Step::Wait(wait) } else { Step::Batch(batch.tickets) }
    }

    fn choose(&self, state: &State) -> FlushChoice {
        let oldest = self.shared.journal.dirty_inodes(1, None);
        let Some(oldest) = oldest.first() else { return FlushChoice::Wait(self.shared.settings.flush_after) };
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

    fn take_forced(&self, state: &mut State, batch: &mut Batch) {
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
        for dirty in self.shared.journal.dirty_inodes(INODES_PER_BATCH * 2, older_than) {
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
        state.in_flight.get(&inode).is_none_or(|cuts| cuts.len() < self.shared.settings.cuts_per_inode.max(1))
    }

    fn take(&self, state: &mut State, batch: &mut Batch, inode: InodeId) {
        let Some(cut) = self.shared.journal.cut(inode) else { return };
        if cut.writes.is_empty() && self.shared.mutations.off(Rule::PlaceWithoutData) {
            return;
        }
        let mine = Arc::new(InFlight {
            from_seq: cut.from_seq,
            windows: pieces_by_window(&cut.writes, &cut.zeros, u64::from(self.shared.settings.block_size)),
            applied: watch::Sender::new(false),
        });
        let cuts = state.in_flight.entry(inode).or_default();
        let before = cuts.iter().cloned().collect();
        cuts.push_back(mine.clone());
        batch.bytes += cut.data_bytes + INODE_COST;
        batch.tickets.push(Ticket { cut: Arc::new(cut), mine, before });
    }
}

struct Batch {
    tickets: Vec<Ticket>,
    bytes: u64,
    bytes_max: u64,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max || self.tickets.len() >= INODES_PER_BATCH
    }
}

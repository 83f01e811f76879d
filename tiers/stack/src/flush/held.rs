//! Files whose bytes in the journal are not what was written: each is held back by itself and told of; nothing else waits.
//!
//! ```text
//!  read of a record ─ wrong checksum ─▶ Held ─ a minute, or a flush request ─▶ cut anew (the newest state, exact) ─▶ placed
//!                                        ▲                                            │ still damaged
//!                                        └────────────────────────────────────────────┘
//! ```
//! What is damaged in memory only, or was written anew by a client, or belongs to a file that was removed, so heals by
//! itself. Invariant: while an inode is held none of its cuts is in flight but the one that tries again, and its records
//! keep their segments. A crash forgets what is held; the next flush finds it again.

use super::batch::{Batch, Fate, Ticket};
use super::{FlushScope, Flusher, State};
use dfs_journal::DirtyInode;
use dfs_model::{InodeId, Monotonic, Seq};
use std::time::Duration;

/// How long a held file is left alone.
pub(super) const HELD_AGAIN: Duration = Duration::from_secs(60);
/// The same for one whose failing costs uploads.
const LARGE_AGAIN: Duration = Duration::from_secs(3600);
/// Folders climbed for the path in a message.
const DEPTH_MAX: usize = 64;
/// Held files that one message names.
const NAMED_MAX: usize = 8;

/// Why a cut is not placed.
pub(super) enum Why<'a> {
    /// Bytes of it in the journal are not what was written: what was found, and where.
    Damaged(&'a str),
    /// It changes more rows than a transaction of the metadata store holds.
    TooLarge,
    /// A cut before it is held.
    Behind,
}

impl Why<'_> {
    /// What is wrong, and what to do.
    fn text(&self) -> String {
        let (what, cure) = match self {
            Why::Damaged(what) => (
                *what,
                "Copy what can be read of it to another name and remove it, or write it anew; if only memory is at \
                 fault, a restart helps",
            ),
            Why::TooLarge => (
                "its changes are too many for one transaction of the metadata store",
                "Copy it to another name and remove it",
            ),
            Why::Behind => ("what was written before is not placed", "It goes on once that is"),
        };
        format!("{what}. What was written to it since stays in the journal; every other file goes on. {cure}")
    }
}

/// A file that is held.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// Its path, as far as it is known.
    pub file: String,
    /// What is damaged, where, and what to do.
    why: String,
    /// Where its oldest cut that is held began.
    pub from_seq: Seq,
    /// When it is tried again.
    again_at: Monotonic,
}

impl State {
    /// Makes held inodes due now: somebody asked for a flush.
    pub(super) fn retry_held(&mut self, scope: FlushScope) {
        for (inode, held) in &mut self.held {
            if scope == FlushScope::All || scope == FlushScope::Inode(*inode) {
                held.again_at = Monotonic(0);
            }
        }
    }
}

impl Flusher {
    /// Takes a cut out of the books and holds its inode.
    pub(super) async fn hold(&self, ticket: Ticket, why: Why<'_>) {
        let inode = ticket.cut.inode;
        let file = self.path_of(inode).await;
        let wait = if matches!(why, Why::TooLarge) { LARGE_AGAIN } else { HELD_AGAIN };
        let again_at = self.shared.clock.monotonic().plus(wait);
        let mut state = self.state.lock();
        let from_seq = match state.held.get(&inode) {
            Some(known) => known.from_seq.min(ticket.cut.from_seq),
            None => ticket.cut.from_seq,
        };
        match state.held.get_mut(&inode) {
            Some(known) if matches!(why, Why::Behind) => known.from_seq = from_seq,
            known => {
                let text = format!("{file} (inode {}): {}", inode.0, why.text());
                if known.is_none_or(|known| known.why != text) {
                    tracing::error!(share = %self.shared.share, file, inode = inode.0, "a file cannot be flushed: {text}");
                }
                state.held.insert(inode, Held { file, why: text, from_seq, again_at });
            }
        }
        state.forced.remove(&inode);
        if let Some(cuts) = state.in_flight.get_mut(&inode) {
            cuts.retain(|other| !std::sync::Arc::ptr_eq(other, &ticket.mine));
            if cuts.is_empty() {
                state.in_flight.remove(&inode);
            }
        }
        drop(state);
        ticket.mine.fate.send_replace(Fate::Held);
        self.progress.send_modify(|count| *count += 1);
        self.wake.notify_one();
    }

    /// Cuts held inodes anew whose time has come, each with everything that it has.
    pub(super) fn take_held(&self, state: &mut State, batch: &mut Batch) {
        let due: Vec<InodeId> =
            state.held.keys().copied().filter(|inode| self.is_due(state, *inode)).collect();
        for inode in due {
            if batch.is_full() {
                return;
            }
            if state.in_flight.contains_key(&inode) {
                continue;
            }
            let again_at = self.shared.clock.monotonic().plus(HELD_AGAIN);
            // Frozen too, so that bytes written since are taken instead of damaged ones.
            let newest = self.shared.journal.cut(inode);
            match self.shared.journal.recut_merged(inode).or(newest) {
                Some(cut) => {
                    state.held.entry(inode).and_modify(|held| held.again_at = again_at);
                    self.take_cut(state, batch, cut);
                }
                None => {
                    state.held.remove(&inode);
                    self.progress.send_modify(|count| *count += 1);
                }
            }
        }
    }

    /// Forgets a held inode that was removed.
    pub fn let_go(&self, inode: InodeId) {
        if self.state.lock().held.remove(&inode).is_some() {
            self.progress.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn is_due(&self, state: &State, inode: InodeId) -> bool {
        let now = self.shared.clock.monotonic();
        state.held.get(&inode).is_some_and(|held| held.again_at <= now)
    }

    /// The inode with the oldest uncut record that is not held.
    pub(super) fn oldest_uncut(&self, state: &State) -> Option<DirtyInode> {
        let dirty = self.shared.journal.dirty_inodes(1 + state.held.len(), None);
        dirty.into_iter().find(|dirty| !state.held.contains_key(&dirty.inode))
    }

    /// What is held within a request's scope, for its caller.
    pub(super) fn held_in(&self, scope: FlushScope) -> Option<String> {
        let state = self.state.lock();
        let of_scope = |inode: &InodeId| scope == FlushScope::All || scope == FlushScope::Inode(*inode);
        let held: Vec<&str> = state
            .held
            .iter()
            .filter(|(inode, _)| of_scope(inode))
            .map(|(_, held)| held.why.as_str())
            .collect();
        match held.as_slice() {
            [] => None,
            [one] => Some((*one).to_owned()),
            [first, rest @ ..] => Some(format!("{first}; and {} more files", rest.len())),
        }
    }

    /// What is held, for the status.
    pub(super) fn held_all(&self) -> Vec<String> {
        self.state.lock().held.values().take(NAMED_MAX).map(|held| held.why.clone()).collect()
    }

    /// One path of a file, from the share's root; what cannot be found is left out.
    async fn path_of(&self, inode: InodeId) -> String {
        let (mut path, mut at) = (String::new(), inode);
        for _ in 0..DEPTH_MAX {
            let names = self.shared.store.names_of(self.shared.share, at, 1).await.unwrap_or_default();
            let Some((parent, name)) = names.into_iter().next() else { break };
            path = format!("/{}{path}", name.as_bytes().escape_ascii());
            if parent == InodeId::ROOT || parent == at {
                return path;
            }
            at = parent;
        }
        if path.is_empty() { String::from("a file without a name") } else { format!("…{path}") }
    }
}

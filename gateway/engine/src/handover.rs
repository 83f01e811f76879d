//! The share's end at this gateway: what may be told, what must be in the object store, how it is handed over or lost.
//!
//! ```text
//!   open ── drain ──▶ everything placed ── shutdown ──▶ the owner row is given back: another gateway needs no journal
//!     └──── lost ───▶ nothing is told or placed any more; the journal stays as it is (JOURNAL F4)
//! ```
//! *A crash* while draining leaves the share as any crash does: nothing says that it was handed over.

use crate::engine::Engine;
use dfs_log::Rule;
use dfs_model::{FsError, InodeId, Monotonic, Seq};
use dfs_stack::{FlushScope, StackError};
use dfs_store::LeaseState;
use dfs_vfs::Standing;
use std::time::Duration;

/// Dirty data that is not placed at a hand-over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unplaced {
    /// Bytes of records.
    pub bytes: u64,
    /// Files that have some.
    pub files: u64,
}

impl Engine {
    /// Whether replies may leave (JOURNAL F2).
    pub(crate) fn lease_standing(&self) -> Standing {
        if self.mutations.off(Rule::LeaseOnEveryReply) {
            return Standing::Valid;
        }
        match self.lease.state() {
            LeaseState::Valid => Standing::Valid,
            LeaseState::Lapsed => Standing::Lapsed,
            LeaseState::Lost => Standing::Lost,
        }
    }

    /// Whether another gateway owns the share now. Does not come back: this engine serves no more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lease_standing() == Standing::Lost
    }

    /// Tells the owner row, with its next renewal, what only the journal has.
    pub(crate) fn note_unplaced(&self) {
        let left = self.unplaced();
        self.lease.note_unplaced(left.bytes, left.files);
    }

    /// What only the journal has now.
    #[must_use]
    pub fn unplaced(&self) -> Unplaced {
        let stats = self.journal.stats();
        Unplaced { bytes: stats.dirty_bytes, files: stats.dirty_inodes }
    }

    /// Waits until an inode's records up to `seq` are in the object store and placed; at once where there are none. Waiters
    /// share packs. *Errors:* `Delay` at the deadline: what was written stays, and a later call waits for it again; `Fenced`;
    /// `Io` where its bytes in the journal are damaged, or the data folder failed.
    pub(crate) async fn placed(
        &self,
        inode: InodeId,
        seq: Option<Seq>,
        deadline: Option<Monotonic>,
    ) -> Result<(), FsError> {
        match seq {
            None => Ok(()),
            Some(_) => self.flush_inode(inode, deadline).await,
        }
    }

    /// Waits until what was written to an inode so far is in the object store and placed. Waiters share packs.
    /// *Errors:* as of [`Engine::placed`].
    pub(crate) async fn flush_inode(
        &self,
        inode: InodeId,
        deadline: Option<Monotonic>,
    ) -> Result<(), FsError> {
        let flush = self.stack.flush(FlushScope::Inode(inode));
        let flushed = match deadline {
            None => flush.await,
            Some(deadline) => {
                let left = deadline.since(self.clock.monotonic());
                match tokio::time::timeout(left, flush).await {
                    Ok(flushed) => flushed,
                    Err(_) => return Err(FsError::delay()),
                }
            }
        };
        match flushed {
            Ok(()) => Ok(()),
            Err(_) if self.is_lost() => Err(FsError::Fenced),
            Err(StackError::Held(_)) => Err(FsError::Io),
            // The flusher ended: with the data folder, for good, or with the share's closing.
            Err(_) if self.journal.poisoned().is_some() || self.store.poisoned().is_some() => {
                Err(FsError::Io)
            }
            Err(_) => Err(FsError::delay()),
        }
    }

    /// Places everything, so that the share needs no journal of this gateway any more; nobody may write meanwhile. Answers
    /// what is left at the deadline: nothing, or what an outage of the object store or a damaged file keeps back.
    pub async fn drain(&self, deadline: Duration) -> Unplaced {
        self.record_accesses().await;
        self.record_quotas().await;
        if let Ok(Err(error)) = tokio::time::timeout(deadline, self.stack.flush(FlushScope::All)).await {
            tracing::warn!(share = %self.share, %error, "not everything could be placed");
        }
        let left = self.unplaced();
        self.lease.note_unplaced(left.bytes, left.files);
        left
    }

    /// Ends an engine whose share is another gateway's: waiting calls are told, background work stops where it stands, the
    /// journal keeps what it has.
    pub async fn abandon(&self) {
        self.lease.lose();
        self.stack.shutdown(Duration::ZERO).await;
    }
}

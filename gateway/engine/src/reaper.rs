//! What follows an unlink, off the reply's path: waits until the removal is durable, then tells the journal that the
//! inode's records are dead and the stack that its extents are; frees orphans piece by piece.
//!
//! A crash before the job ran loses nothing: the next opening drops records of absent inodes and finds orphans in the store.

use crate::engine::Engine;
use dfs_log::Rule;
use dfs_model::InodeId;
use dfs_store::{CommitToken, StoreError};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc::UnboundedReceiver;

/// Work for the reaper. The queue is bounded by the name operations in flight and costs 24 bytes an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Job {
    /// The inode and its rows are gone with this transaction.
    Gone { inode: InodeId, commit: CommitToken },
    /// The inode is an orphan that nobody has open.
    Reap { inode: InodeId },
}

/// Runs until the engine is dropped.
pub(crate) async fn run(engine: Weak<Engine>, mut jobs: UnboundedReceiver<Job>) {
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, 256).await > 0 {
        let Some(engine) = engine.upgrade() else { return };
        for job in batch.drain(..) {
            if let Err(error) = engine.bury(job).await {
                tracing::warn!(share = %engine.share, ?job, %error, "an unlinked inode is freed at the next start");
            }
        }
    }
}

impl Engine {
    async fn bury(self: &Arc<Self>, job: Job) -> Result<(), StoreError> {
        let (inode, commit) = match job {
            Job::Gone { inode, commit } => (inode, commit),
            Job::Reap { inode } => (inode, self.reap(inode).await?),
        };
        if !self.mutations.off(Rule::FreeByDurableMetadata) {
            self.store.durable(commit).await?;
        }
        self.cells.forget(inode);
        self.journal.gone(inode);
        self.stack.note_removed(inode);
        Ok(())
    }

    async fn reap(&self, inode: InodeId) -> Result<CommitToken, StoreError> {
        let row = match self.quotas {
            Some(_) => self.store.inode(self.share, inode).await?,
            None => None,
        };
        loop {
            let applied = self.store.reap(self.share, self.epoch, inode).await?;
            if applied.value {
                row.iter().for_each(|row| self.note_quota_gone(row));
                return Ok(applied.commit);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Queues every orphan that an earlier life left behind.
    pub(crate) async fn reap_left_behind(&self) -> Result<usize, StoreError> {
        let mut after = InodeId(0);
        let mut found = 0;
        loop {
            let page = self.store.orphans(self.share, after, 1000).await?;
            let Some(last) = page.last().copied() else { return Ok(found) };
            found += page.len();
            after = last;
            for inode in page {
                let _ = self.reaper.send(Job::Reap { inode });
            }
        }
    }
}

//! Checkpoints: the changed rows go into redb in one durable commit, then the log below it is given back.
//!
//! ```text
//!   1 freeze (in the section, no I/O): active → frozen, an empty active; position = last record applied
//!   2 write the frozen rows and the position into redb, durably        (blocking thread, or inline in a simulation)
//!   3 `metadata.opening` says up to where the log may be given back, durably
//!   4 readers get the new redb snapshot and no frozen table; segments up to the position are released
//! ```
//! *A crash* before the commit of 2 ends leaves the old position: recovery replays from there. After it, segments may
//! still look used: recovery skips their records and the next checkpoint releases them. A failed write in 2 poisons the
//! folder: what redb then holds is only known to its next open.

use super::base::Meta;
use super::{Rows, Shared};
use crate::kv::Memtable;
use crate::shell::Store;
use crate::{StoreError, StoreResult};
use dfs_log::LogError;
use dfs_model::{FsError, Seq};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often old replay outcomes are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Bytes of redb pages that a checkpoint may dirty per byte of changed rows, and at least.
const CHECKPOINT_AMPLIFICATION: u64 = 8;
const CHECKPOINT_FREE_MIN: u64 = 16 << 20;
/// Free pages of redb are counted, on a full disk, for at most one in so many seconds.
const SLACK_PAUSE: u32 = 20;

/// Starts the task that checkpoints on time and on pressure. It ends with the store, or when the folder is poisoned.
pub fn spawn(shared: &Arc<Shared>) -> tokio::task::JoinHandle<()> {
    let weak = Arc::downgrade(shared);
    let pressed = Arc::clone(&shared.pressed);
    let mut stop = shared.stop.subscribe();
    let interval = shared.config.checkpoint_interval;
    tokio::spawn(async move {
        let mut since_prune = Duration::ZERO;
        let mut was_full = false;
        let mut pruning = JoinSet::new();
        loop {
            let by_time = tokio::select! {
                () = pressed.notified() => false,
                () = tokio::time::sleep(interval) => true,
                // Closed, or the last handle to the store is gone.
                _ = stop.changed() => return,
            };
            let Some(shared) = Weak::upgrade(&weak) else { return };
            if shared.log.check().is_err() {
                shared.relieved.notify_waiters();
                return;
            }
            let full = match Shared::checkpoint(&shared).await {
                Ok(()) => false,
                Err(StoreError::Refused(FsError::NoSpace)) => true,
                Err(error) => {
                    tracing::error!(%error, "checkpoint of the metadata store failed");
                    false
                }
            };
            if full && !was_full {
                tracing::error!(
                    "the disk is full: the metadata store cannot checkpoint, and once its name log is full changes of names wait; free some space"
                );
            } else if was_full && !full {
                tracing::info!("the metadata store checkpoints again");
            }
            was_full = full;
            since_prune += if by_time { interval } else { Duration::ZERO };
            while pruning.try_join_next().is_some() {}
            if since_prune >= PRUNE_EVERY && pruning.is_empty() {
                since_prune = Duration::ZERO;
                // Beside this task: pruning writes, and where the name log is full only a checkpoint makes room for that.
                pruning.spawn(prune(shared));
            }
        }
    })
}

async fn prune(shared: Arc<Shared>) {
    let now = shared.config.clock.wall();
    let store = Store { backend: super::Embedded::new(shared, None), leases: Default::default() };
    if let Err(error) = store.prune_replays(now).await {
        tracing::warn!(%error, "pruning of stored outcomes failed");
    }
}

impl Shared {
    /// Writes a checkpoint of everything applied so far. *Errors:* [`StoreError::Poisoned`]; [`StoreError::Refused`] with
    /// NoSpace where even the reserve does not make room (nothing changed, tried again later).
    pub(super) async fn checkpoint(this: &Arc<Shared>) -> StoreResult<()> {
        let turn = Arc::clone(&this.checkpointing).lock_owned().await;
        if let Some(cause) = this.config.poison.get() {
            return Err(StoreError::Poisoned(cause.to_string()));
        }
        // A small reserve must be enough for what it is kept for.
        let least = match this.config.reserve_bytes {
            0 => CHECKPOINT_FREE_MIN,
            reserve => CHECKPOINT_FREE_MIN.min(reserve / 2),
        };
        let pages = (this.memtable_bytes() as u64).saturating_mul(CHECKPOINT_AMPLIFICATION);
        if !this.has_room(pages, least).await? {
            return Err(FsError::NoSpace.into());
        }
        let frozen = this.freeze().await;
        let shared = Arc::clone(this);
        // The work holds the turn: whoever asked for it may go away, the next checkpoint still comes after it.
        let work = move || {
            let _turn = turn;
            let done = match frozen {
                Some((frozen, position)) => shared.write_frozen(&frozen, position),
                None => shared.release(Seq(shared.checkpointed.load(Ordering::Acquire))),
            };
            if let Err(error) = &done {
                let error = io::Error::other(error.to_string());
                shared.config.poison.set("checkpoint of metadata.redb", &error);
            }
            shared.relieved.notify_waiters();
            done
        };
        if this.config.inline {
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => Err(StoreError::Broken(format!("checkpoint: {error}"))),
        }
    }

    /// Whether a checkpoint finds room; without a reserve nobody asked for a look at it.
    async fn has_room(self: &Arc<Self>, pages: u64, least: u64) -> StoreResult<bool> {
        if self.config.reserve_bytes == 0 && self.config.min_free_bytes == 0 {
            return Ok(true);
        }
        if self.config.inline {
            return self.room(pages, least);
        }
        let shared = Arc::clone(self);
        match tokio::task::spawn_blocking(move || shared.room(pages, least)).await {
            Ok(room) => room,
            Err(error) => Err(StoreError::Broken(format!("checkpoint: {error}"))),
        }
    }

    /// Room on the disk, else in the blocks that redb's file has. Blocks.
    fn room(&self, pages: u64, least: u64) -> StoreResult<bool> {
        if self.space.check(pages.saturating_add(least))? {
            return Ok(true);
        }
        let begun = self.config.clock.monotonic();
        if begun < *self.slack_after.lock() {
            return Ok(false);
        }
        let slack = self.base.has_slack(pages);
        let ended = self.config.clock.monotonic();
        *self.slack_after.lock() = ended.plus(ended.since(begun) * SLACK_PAUSE);
        slack
    }

    /// Makes the active memtable the frozen one; `None` when there is nothing to write.
    async fn freeze(&self) -> Option<(Arc<Memtable>, Seq)> {
        let _section = self.section.lock().await;
        let rows = self.rows.load_full();
        if let Some(frozen) = &rows.frozen {
            // An earlier checkpoint ended before its commit: the same rows once more.
            return Some(frozen.clone());
        }
        if rows.active.is_empty() {
            return None;
        }
        let position = Seq(self.last.load(Ordering::Acquire));
        let frozen = Arc::clone(&rows.active);
        let active = Arc::new(Memtable::new(true));
        self.rows.store(Arc::new(Rows {
            active,
            frozen: Some((Arc::clone(&frozen), position)),
            base: rows.base.clone(),
        }));
        self.redo_since.store(0, Ordering::Release);
        Some((frozen, position))
    }

    fn write_frozen(&self, frozen: &Memtable, position: Seq) -> StoreResult<()> {
        let begun = self.config.clock.monotonic();
        let count = self.base.checkpoint(frozen, Meta { opening: self.log.epoch(), position })?;
        self.checkpointed.store(position.0, Ordering::Release);
        let base = self.base.snapshot()?;
        self.numbers.releases(position)?;
        // Only a freeze changes `active`, and freezes wait for this checkpoint: nothing is lost by this store.
        let active = Arc::clone(&self.rows.load().active);
        self.rows.store(Arc::new(Rows { active, frozen: None, base }));
        self.release(position)?;
        let now = self.config.clock.monotonic();
        *self.checkpoint_at.lock() = now;
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.metrics.checkpoints.increment(1);
        self.metrics.checkpoint_rows.increment(count);
        self.metrics.checkpoint_seconds.record(now.since(begun).as_secs_f64());
        self.metrics.memtable_bytes.set(self.memtable_bytes() as f64);
        self.metrics
            .log_bytes
            .set(self.log.segments().iter().map(|segment| segment.bytes).sum::<u64>() as f64);
        Ok(())
    }

    /// Gives back the segments that hold nothing above `position`, oldest first.
    fn release(&self, position: Seq) -> StoreResult<()> {
        for segment in self.log.segments() {
            if segment.last.is_none_or(|last| last > position) {
                break;
            }
            match self.log.release(segment.id) {
                Ok(()) | Err(LogError::Active | LogError::Moved) => {}
                Err(error) => return Err(super::log_failed(error)),
            }
        }
        Ok(())
    }
}

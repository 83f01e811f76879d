//! The group sync: one in flight, everybody who comes meanwhile shares the next.
//!
//! ```text
//!   idle ── durable / early / timer ──> running ── sync ok ──> answer all up to its target ── more waiters? ──> running
//!                                           └── failed ──> poisoned: everybody gets the cause, for ever (J3)
//! ```
//!
//! *Invariants:* `running` is set exactly while [`drive`] runs; a waiter is in the list only while a sync or a roll that
//! will answer it is under way; a sync's target is read before the sync begins. The timer's task ends with the log.

use super::{Inner, Log};
use crate::{error::LogError, mutation::Rule};
use dfs_model::Seq;
use futures_util::future::BoxFuture;
use std::{
    io,
    sync::{Arc, Weak, atomic::Ordering},
};
use tokio::sync::{Notify, oneshot, watch};

/// Who waits, and whether somebody works for them.
#[derive(Default)]
pub(super) struct SyncState {
    waiters: Vec<(Seq, oneshot::Sender<Result<(), LogError>>)>,
    running: bool,
}

impl Log {
    /// Waits until every record up to `seq` survives a power cut. Concurrent callers share syncs.
    /// A number not yet issued stands for the last issued one.
    /// *Errors:* `Poisoned` when a sync failed: the records may be lost, now or after the next power cut; permanent.
    /// *Cancel:* safe; the sync goes on.
    pub async fn durable(&self, seq: Seq) -> Result<(), LogError> {
        let inner = &self.inner;
        let target = seq.min(self.last_issued());
        if self.durable_seq() >= target {
            return Ok(());
        }
        let (sender, receiver) = oneshot::channel();
        let start = {
            let mut sync = inner.sync.lock();
            if self.durable_seq() >= target {
                return Ok(());
            }
            inner.check()?;
            sync.waiters.push((target, sender));
            !std::mem::replace(&mut sync.running, true)
        };
        if start {
            inner.drive();
        }
        receiver.await.unwrap_or(Err(LogError::Closed))
    }
}

/// Syncs until nobody waits.
async fn drive(inner: Arc<Inner>) {
    loop {
        let done = inner.sync_active().await;
        let mut sync = inner.sync.lock();
        if !matches!(done, Ok(true)) || sync.waiters.is_empty() {
            sync.running = false;
            return;
        }
    }
}

impl Inner {
    /// Has somebody sync. The caller has set `running`.
    fn drive(self: &Arc<Self>) {
        self.pool.disk().run(&self.runtime, Box::pin(drive(self.clone())));
    }

    /// Starts a sync unless one runs.
    pub(super) fn kick(self: &Arc<Self>) {
        let start = !std::mem::replace(&mut self.sync.lock().running, true);
        if start {
            self.drive();
        }
    }

    /// Syncs the active segment. False when there is none: whoever waits is answered by the roll under way.
    async fn sync_active(&self) -> Result<bool, LogError> {
        let _turn = self.sync_turn.lock().await;
        if let Err(failure) = self.check() {
            self.fail_waiters(&failure);
            return Err(failure);
        }
        let target = self.state.lock().sync_target(self);
        match target {
            Some((file, target)) => self.sync_file(target, || file.clone().sync_here()).await.map(|()| true),
            None => {
                if self.options.mutations.off(Rule::SealBeforeNext) {
                    // The mutant believes that what an ended segment holds is synced.
                    self.durable.fetch_max(self.issued.load(Ordering::Acquire), Ordering::AcqRel);
                    self.answer(self.number(&self.durable));
                }
                Ok(false)
            }
        }
    }

    /// Has a file synced and answers everybody up to `target`. The caller holds the turn.
    pub(super) async fn sync_file(
        &self,
        target: Seq,
        sync: impl Fn() -> BoxFuture<'static, io::Result<()>>,
    ) -> Result<(), LogError> {
        self.check()?;
        let before = self.number(&self.durable);
        let start = self.options.clock.monotonic();
        while let Err(error) = sync().await {
            if self.options.mutations.off(Rule::Poison) && !crate::disk::sim::is_power_cut(&error) {
                continue;
            }
            return Err(self.poison(&format!("sync of journal {:032x}", self.journal), &error));
        }
        // Another log of the folder may have failed meanwhile: nothing is confirmed any more.
        if let Err(failure) = self.check() {
            self.fail_waiters(&failure);
            return Err(failure);
        }
        self.durable.fetch_max(target.0, Ordering::AcqRel);
        self.metrics.syncs.increment(1);
        self.metrics.sync_seconds.record(self.options.clock.monotonic().since(start).as_secs_f64());
        self.metrics.sync_batch.record(target.0.saturating_sub(before.0) as f64);
        self.answer(target);
        Ok(())
    }

    fn answer(&self, durable: Seq) {
        let done: Vec<_> = {
            let mut sync = self.sync.lock();
            sync.waiters.extract_if(.., |(seq, _)| *seq <= durable).collect()
        };
        for (_, waiter) in done {
            // The waiter may have been cancelled.
            let _ = waiter.send(Ok(()));
        }
    }

    pub(super) fn fail_waiters(&self, failure: &LogError) {
        let waiters = std::mem::take(&mut self.sync.lock().waiters);
        for (_, waiter) in waiters {
            // The waiter may have been cancelled.
            let _ = waiter.send(Err(failure.clone()));
        }
    }

    /// After a segment was ended: somebody may have come while none was active.
    pub(super) fn kick_if_awaited(self: &Arc<Self>) {
        if !self.sync.lock().waiters.is_empty() {
            self.kick();
        }
    }

    /// Has everything up to `target` synced, without waiting for it.
    fn request(self: &Arc<Self>, target: Seq) {
        let (sender, _) = oneshot::channel();
        self.sync.lock().waiters.push((target, sender));
        self.kick();
    }
}

/// Syncs what is unsynced `sync_max` after the oldest, and lets an idle log vouch for its last records.
pub(super) async fn timer(log: Weak<Inner>, timer: Arc<Notify>, mut closed: watch::Receiver<bool>) {
    let Some(sync_max) = log.upgrade().map(|inner| inner.options.sync_max) else { return };
    let mut seen = Seq::ZERO;
    let mut vouched = Seq::ZERO;
    loop {
        tokio::select! {
            () = timer.notified() => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(sync_max) => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
        let Some(inner) = log.upgrade() else { return };
        inner.armed.store(false, Ordering::Release);
        let issued = inner.number(&inner.issued);
        if inner.number(&inner.durable) < issued && inner.check().is_ok() {
            inner.request(issued);
        }
        let idle = issued == seen && inner.number(&inner.durable) == issued;
        seen = issued;
        if vouched == issued || issued.counter() == 0 {
            continue;
        }
        if !idle {
            // Come back once more; arming is what an append would do.
            if !inner.armed.swap(true, Ordering::AcqRel) {
                inner.timer.notify_one();
            }
        } else if inner.vouch().unwrap_or(false) {
            vouched = issued;
            inner.kick();
        } else {
            vouched = issued;
        }
    }
}

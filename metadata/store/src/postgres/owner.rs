//! Who owns a share: the ownership row with its epoch, and the lease.
//!
//! ```text
//!   free ──take──▶ ours ──renew (each third of a lease)──▶ ours
//!                   │ ──renewal says another epoch, or the lease ran out──▶ lost: nothing more is ours
//!   another's ──watched for its whole lease without a renewal──▶ take
//! ```
//! *Invariants:* the lease is measured on the boot-time clock of whoever measures: an owner counts from before it sent the
//! renewal, and stops [`MARGIN`] early; another counts from after it saw a renewal, and its taking names what it saw, tested
//! in the same transaction. No clock of two machines is ever compared, so a step of any wall clock harms nobody. The epoch in
//! every write fences whoever misses all that. *A crash:* the same holder takes its share again at once; another waits.

use super::Inner;
use super::call::Effect;
use super::rows::Columns;
use super::sql::Query;
use super::values::{Param, Uuid};
use crate::rows::damaged;
use crate::{StoreError, StoreResult};
use dfs_model::{Epoch, Monotonic, ShareId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

/// An owner stops this part of a lease early: clocks of two machines drift apart by far less.
const MARGIN: u32 = 10;
/// Renewals per lease.
const RENEWALS: u32 = 3;

/// What this gateway knows of the ownership of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Ours in this epoch, until this moment of the boot-time clock if it is not renewed.
    Ours {
        /// The epoch.
        epoch: Epoch,
        /// After it no reply may leave.
        until: Monotonic,
    },
    /// Was ours in this epoch and is another's now.
    Lost {
        /// The epoch that was ours.
        epoch: Epoch,
    },
    /// Not taken by this gateway.
    NotTaken,
}

/// Another gateway's share as last seen.
#[derive(Clone, Copy)]
struct Watch {
    epoch: i32,
    renewals: i64,
    since: Monotonic,
    lease: Duration,
}

#[derive(Clone, Copy)]
struct Lease {
    epoch: Epoch,
    until: Monotonic,
    lost: bool,
}

/// Shares of this gateway and shares that it waits for.
#[derive(Default)]
pub struct Table {
    taken: Mutex<HashMap<ShareId, Lease>>,
    watched: Mutex<HashMap<ShareId, Watch>>,
}

impl Table {
    /// A deleted share is nobody's.
    pub fn forget(&self, share: ShareId) {
        self.taken.lock().remove(&share);
        self.watched.lock().remove(&share);
    }

    /// What is known of a share's ownership.
    pub fn of(&self, share: ShareId) -> Ownership {
        match self.taken.lock().get(&share) {
            None => Ownership::NotTaken,
            Some(lease) if lease.lost => Ownership::Lost { epoch: lease.epoch },
            Some(lease) => Ownership::Ours { epoch: lease.epoch, until: lease.until },
        }
    }

    /// Another gateway says that it took a share.
    pub fn lost(&self, share: ShareId) {
        if let Some(lease) = self.taken.lock().get_mut(&share) {
            lease.lost = true;
        }
    }
}

impl Inner {
    /// Takes the next epoch of a share. *Errors:* [`StoreError::Unusable`] where another gateway has its newest journal and
    /// nothing may be taken over; [`StoreError::Owned`] while another gateway has it; call again: it is
    /// watched from the first call on, and taken when its lease has ended.
    pub(super) async fn begin_epoch(&self, share: ShareId) -> StoreResult<Epoch> {
        let seen = self.ended_watch(share);
        let sent = self.config.clock.monotonic();
        let lease = i64::try_from(self.config.lease.as_millis()).unwrap_or(i64::MAX);
        let (epoch, renewals) = seen.map_or((-1, -1), |watch| (watch.epoch, watch.renewals));
        let params: [Param<'_>; 6] =
            [&Uuid(share.0), &self.config.holder, &lease, &epoch, &renewals, &self.config.take_over];
        let answered = self.call(Query::Take, Effect::Changes, &params).await?;
        let row = answered.rows.first().ok_or_else(|| damaged("ownership", "no answer"))?;
        let mut columns = Columns::of(row);
        let (what, epoch): (String, i32) = (columns.next()?, columns.next()?);
        match what.as_str() {
            "taken" => {
                let epoch = Epoch(u32::try_from(epoch).map_err(|error| damaged("ownership", error))?);
                let until = sent.plus(self.config.lease - self.config.lease / MARGIN);
                self.ownership.watched.lock().remove(&share);
                self.ownership.taken.lock().insert(share, Lease { epoch, until, lost: false });
                self.committed();
                Ok(epoch)
            }
            "owned" => {
                let holder: Option<String> = columns.next()?;
                self.watch(share, epoch, columns.next()?, columns.next()?);
                Err(StoreError::Owned { holder: holder.unwrap_or_default() })
            }
            "stranded" => {
                let holder: Option<String> = columns.next()?;
                Err(StoreError::Unusable(format!(
                    "the journal of share {share} is in the data folder of gateway '{}': what it acknowledged may be nowhere \
                    else; serve the share there, or with that data folder",
                    holder.unwrap_or_default()
                )))
            }
            "no share" => Err(StoreError::NoShare(share)),
            _ => Err(StoreError::Unusable(format!("share {share} has used all of its 2^23 openings"))),
        }
    }

    /// What was seen of another gateway's share, where that has not changed for its whole lease.
    fn ended_watch(&self, share: ShareId) -> Option<Watch> {
        let now = self.config.clock.monotonic();
        self.ownership
            .watched
            .lock()
            .get(&share)
            .copied()
            .filter(|watch| now.since(watch.since) >= watch.lease)
    }

    fn watch(&self, share: ShareId, epoch: i32, renewals: i64, lease_ms: i64) {
        let now = self.config.clock.monotonic();
        let lease = Duration::from_millis(u64::try_from(lease_ms).unwrap_or(u64::MAX));
        let mut watched = self.ownership.watched.lock();
        let seen =
            watched.get(&share).is_some_and(|watch| (watch.epoch, watch.renewals) == (epoch, renewals));
        if !seen {
            watched.insert(share, Watch { epoch, renewals, since: now, lease });
        }
    }

    /// Whether this gateway may still show a share that it took; a lease that ran out is renewed first. *Errors:*
    /// [`StoreError::Fenced`] where another gateway took it, [`StoreError::Unavailable`] where it is not known.
    pub(super) async fn licensed(&self, share: ShareId) -> StoreResult<()> {
        for _ in 0..2 {
            match self.ownership.of(share) {
                Ownership::NotTaken => return Ok(()),
                Ownership::Ours { until, .. } if self.config.clock.monotonic() < until => return Ok(()),
                Ownership::Ours { .. } => self.renew_now().await?,
                Ownership::Lost { epoch } => {
                    return Err(StoreError::Fenced { ours: epoch, current: epoch.next().unwrap_or(epoch) });
                }
            }
        }
        Err(StoreError::Unavailable(format!("the lease on share {share} has run out")))
    }

    /// Renews the leases of all shares that are ours; those that are not any more are marked lost.
    pub(super) async fn renew_now(&self) -> StoreResult<()> {
        let sent = self.config.clock.monotonic();
        let ours: Vec<(ShareId, Epoch)> = {
            let taken = self.ownership.taken.lock();
            taken
                .iter()
                .filter(|(_, lease)| !lease.lost)
                .map(|(share, lease)| (*share, lease.epoch))
                .collect()
        };
        if ours.is_empty() {
            return Ok(());
        }
        let shares: Vec<Uuid> = ours.iter().map(|(share, _)| Uuid(share.0)).collect();
        let epochs: Vec<i32> = ours.iter().map(|(_, epoch)| epoch.0 as i32).collect();
        let params: [Param<'_>; 3] = [&self.config.holder, &shares, &epochs];
        let rows = self.call(Query::Renew, Effect::Changes, &params).await?.rows;
        let kept = rows.iter().map(|row| Columns::of(row).next::<Uuid>()).collect::<StoreResult<Vec<_>>>()?;
        let until = sent.plus(self.config.lease - self.config.lease / MARGIN);
        let mut taken = self.ownership.taken.lock();
        for (share, epoch) in ours {
            let Some(lease) = taken.get_mut(&share).filter(|lease| lease.epoch == epoch) else { continue };
            if kept.contains(&Uuid(share.0)) {
                lease.until = lease.until.max(until);
            } else {
                lease.lost = true;
                tracing::error!(%share, %epoch, "another gateway owns the share now; this one stops serving it");
            }
        }
        Ok(())
    }

    /// Gives back what is ours, so that nobody waits for a lease to end.
    pub(super) async fn release_all(&self) {
        let ours: Vec<(ShareId, Epoch)> =
            self.ownership.taken.lock().drain().map(|(share, lease)| (share, lease.epoch)).collect();
        for (share, epoch) in ours {
            let params: [Param<'_>; 3] = [&self.config.holder, &Uuid(share.0), &(epoch.0 as i32)];
            if let Err(error) = self.call(Query::Release, Effect::Changes, &params).await {
                tracing::warn!(%share, %error, "the share was not given back; another gateway has to wait for the lease");
                return;
            }
        }
    }
}

/// Renews until the store is gone.
pub async fn renew(store: Weak<Inner>) {
    loop {
        let Some(pause) = store.upgrade().map(|store| store.config.lease / RENEWALS) else { return };
        tokio::time::sleep(pause).await;
        let Some(store) = store.upgrade() else { return };
        if let Err(error) = store.renew_now().await {
            tracing::warn!(%error, "leases were not renewed");
        }
    }
}

//! Who owns a share: the ownership row with its epoch, and the lease.
//!
//! ```text
//!   free ──take──▶ ours ──renew (each third of a lease)──▶ ours ──release──▶ free (clean: no journal is needed any more)
//!                   │ ──renewal says another epoch, or a write is fenced──▶ lost: nothing more is ours
//!   another's ──watched for its whole lease without a renewal──▶ take
//! ```
//! *Invariants:* the lease is measured on the boot-time clock of whoever measures: an owner counts from before it sent the
//! renewal, and stops [`MARGIN`] early; another counts from after it saw a renewal, and its taking names what it saw, tested
//! in the same transaction. No clock of two machines is ever compared, so a step of any wall clock harms nobody. The epoch in
//! every write fences whoever misses all that. Whose journal has the newest epoch is kept beside it: a share whose class does
//! not outlive its box is taken with that journal only, after a clean hand-over, or once it was abandoned by command (JOURNAL
//! F3). *A crash:* the same holder takes its share again at once; another waits.

use super::Inner;
use super::call::Effect;
use super::rows::Columns;
use super::sql::Query;
use super::values::{Param, Uuid};
use crate::rows::damaged;
use crate::{Lease, LeaseState, StoreError, StoreResult};
use dfs_model::{Epoch, Monotonic, ShareId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
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

/// The ownership row of a share, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its epoch.
    pub epoch: Epoch,
    /// The gateway that serves it; `None` where it was given back.
    pub holder: Option<String>,
    /// The gateway whose data folder has the newest journal; `None` where none is needed.
    pub journal_of: Option<String>,
    /// Bytes that only that journal has, as of the last renewal.
    pub unplaced_bytes: u64,
    /// Of how many files.
    pub unplaced_files: u64,
}

/// A journal that a share was taken without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrandedJournal {
    /// The gateway whose data folder has it.
    pub gateway: String,
    /// Bytes that only it had, as of that gateway's last renewal.
    pub bytes: u64,
    /// Of how many files.
    pub files: u64,
}

/// What abandoning a journal gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// The gateway whose data folder has it.
    pub journal_of: String,
    /// Bytes that only it has, as of that gateway's last renewal.
    pub bytes: u64,
    /// Of how many files.
    pub files: u64,
}

/// Another gateway's share as last seen.
#[derive(Clone, Copy)]
struct Watch {
    epoch: i32,
    renewals: i64,
    since: Monotonic,
    lease: Duration,
}

struct Taken {
    epoch: Epoch,
    lease: Arc<Lease>,
}

/// Shares of this gateway and shares that it waits for.
#[derive(Default)]
pub struct Table {
    taken: Mutex<HashMap<ShareId, Taken>>,
    watched: Mutex<HashMap<ShareId, Watch>>,
}

impl Table {
    /// A deleted share is nobody's.
    pub fn forget(&self, share: ShareId) {
        if let Some(taken) = self.taken.lock().remove(&share) {
            taken.lease.lose();
        }
        self.watched.lock().remove(&share);
    }

    /// What is known of a share's ownership.
    pub fn of(&self, share: ShareId) -> Ownership {
        match self.taken.lock().get(&share) {
            None => Ownership::NotTaken,
            Some(taken) => match taken.lease.state() {
                LeaseState::Lost => Ownership::Lost { epoch: taken.epoch },
                LeaseState::Valid | LeaseState::Lapsed => {
                    Ownership::Ours { epoch: taken.epoch, until: taken.lease.ends() }
                }
            },
        }
    }

    /// The lease of the newest opening.
    pub fn lease(&self, share: ShareId) -> Arc<Lease> {
        self.taken.lock().get(&share).map_or_else(Lease::over, |taken| taken.lease.clone())
    }

    /// A write in this epoch was refused because another opening owns the share.
    pub fn fenced(&self, share: ShareId, epoch: Epoch) {
        let taken = self.taken.lock();
        if let Some(taken) = taken.get(&share).filter(|taken| taken.epoch == epoch) {
            lose(share, taken);
        }
    }
}

fn lose(share: ShareId, taken: &Taken) {
    if taken.lease.lose() {
        let epoch = taken.epoch;
        tracing::error!(%share, %epoch, "another gateway owns the share now; this one stops serving it");
    }
}

/// A row that op_take or op_abandon answered.
struct Row {
    what: String,
    epoch: i32,
    holder: String,
    renewals: i64,
    lease_ms: i64,
    bytes: u64,
    files: u64,
}

impl Row {
    fn of(answered: &super::call::Answered) -> StoreResult<Row> {
        let row = answered.rows.first().ok_or_else(|| damaged("ownership", "no answer"))?;
        let mut columns = Columns::of(row);
        let (what, epoch) = (columns.next()?, columns.next()?);
        let holder: Option<String> = columns.next()?;
        let (renewals, lease_ms) = (columns.next()?, columns.next()?);
        let (bytes, files) = (unsigned(columns.next()?), unsigned(columns.next()?));
        Ok(Row { what, epoch, holder: holder.unwrap_or_default(), renewals, lease_ms, bytes, files })
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Inner {
    /// Takes the next epoch of a share. *Errors:* [`StoreError::Stranded`] where another gateway has its newest journal and
    /// its class needs it; [`StoreError::Owned`] while another gateway has it; call again: it is
    /// watched from the first call on, and taken when its lease has ended.
    pub(super) async fn begin_epoch(&self, share: ShareId) -> StoreResult<Epoch> {
        let (seen_epoch, seen_renewals) = self.ended_watch(share);
        let sent = self.config.clock.monotonic();
        let lease = i64::try_from(self.config.lease.as_millis()).unwrap_or(i64::MAX);
        let params: [Param<'_>; 5] =
            [&Uuid(share.0), &self.config.holder, &lease, &seen_epoch, &seen_renewals];
        let row = Row::of(&self.call(Query::Take, Effect::Changes, &params).await?)?;
        match row.what.as_str() {
            "taken" => {
                let epoch = Epoch(u32::try_from(row.epoch).map_err(|error| damaged("ownership", error))?);
                let lease = Lease::until(self.ends(sent), self.config.clock.clone());
                self.ownership.watched.lock().remove(&share);
                let before = self.ownership.taken.lock().insert(share, Taken { epoch, lease });
                if let Some(before) = before {
                    before.lease.lose();
                }
                self.committed();
                Ok(epoch)
            }
            "used up" => {
                Err(StoreError::Unusable(format!("share {share} has used all of its 2^23 openings")))
            }
            _ => Err(self.not_ours(share, row)),
        }
    }

    /// Gives up the journal that another gateway has, with what only it has; the share can be taken afterwards. `None`: no
    /// journal is elsewhere. *Errors:* [`StoreError::Owned`] while another gateway serves the share.
    pub(super) async fn abandon(&self, share: ShareId) -> StoreResult<Option<Abandoned>> {
        let (seen_epoch, seen_renewals) = self.ended_watch(share);
        let params: [Param<'_>; 4] = [&Uuid(share.0), &self.config.holder, &seen_epoch, &seen_renewals];
        let row = Row::of(&self.call(Query::Abandon, Effect::Changes, &params).await?)?;
        match row.what.as_str() {
            "abandoned" => Ok(Some(Abandoned { journal_of: row.holder, bytes: row.bytes, files: row.files })),
            "nothing" => Ok(None),
            _ => Err(self.not_ours(share, row)),
        }
    }

    /// Why the row cannot be had; a share of a living gateway is watched from now on.
    fn not_ours(&self, share: ShareId, row: Row) -> StoreError {
        match row.what.as_str() {
            "owned" => {
                self.watch(share, row.epoch, row.renewals, row.lease_ms);
                StoreError::Owned { holder: row.holder }
            }
            "stranded" => StoreError::Stranded { holder: row.holder, bytes: row.bytes, files: row.files },
            _ => StoreError::NoShare(share),
        }
    }

    /// The ownership row. *Errors:* [`StoreError::NoShare`].
    pub(super) async fn owner(&self, share: ShareId) -> StoreResult<Owner> {
        let rows = self.call(Query::Owner, Effect::Reads, &[&Uuid(share.0)]).await?.rows;
        let row = rows.first().ok_or(StoreError::NoShare(share))?;
        let mut columns = Columns::of(row);
        let (epoch, holder, journal_of): (i32, _, _) = (columns.next()?, columns.next()?, columns.next()?);
        let (renewals, lease_ms): (i64, i64) = (columns.next()?, columns.next()?);
        let (bytes, files) = (unsigned(columns.next()?), unsigned(columns.next()?));
        let owner = Owner {
            epoch: Epoch(u32::try_from(epoch).unwrap_or(0)),
            holder,
            journal_of,
            unplaced_bytes: bytes,
            unplaced_files: files,
        };
        if owner.holder.as_ref().is_some_and(|holder| *holder != self.config.holder) {
            self.watch(share, epoch, renewals, lease_ms);
        }
        Ok(owner)
    }

    /// Journals that the share was taken without, oldest first.
    pub(super) async fn stranded(&self, share: ShareId) -> StoreResult<Vec<StrandedJournal>> {
        let rows = self.call(Query::Stranded, Effect::Reads, &[&Uuid(share.0)]).await?.rows;
        let read = rows.iter().map(|row| {
            let mut columns = Columns::of(row);
            let gateway = columns.next()?;
            let (bytes, files) = (unsigned(columns.next()?), unsigned(columns.next()?));
            Ok(StrandedJournal { gateway, bytes, files })
        });
        read.collect()
    }

    /// Whether [`Inner::begin_epoch`] is worth a try: looks, watches, and changes nothing. *Errors:* those of `begin_epoch`.
    pub(super) async fn may_take(&self, share: ShareId) -> StoreResult<()> {
        let owner = self.owner(share).await?;
        match owner.holder {
            Some(holder) if holder != self.config.holder && self.ended_watch(share).0 < 0 => {
                Err(StoreError::Owned { holder })
            }
            _ => Ok(()),
        }
    }

    /// When a lease ends for its owner that was asked for at `sent`.
    fn ends(&self, sent: Monotonic) -> Monotonic {
        sent.plus(self.config.lease - self.config.lease / MARGIN)
    }

    /// Epoch and renewals seen of another gateway's share, where they have not changed for its whole lease; −1, −1 else.
    fn ended_watch(&self, share: ShareId) -> (i32, i64) {
        let now = self.config.clock.monotonic();
        let watched = self.ownership.watched.lock();
        let seen = watched.get(&share).filter(|watch| now.since(watch.since) >= watch.lease);
        seen.map_or((-1, -1), |watch| (watch.epoch, watch.renewals))
    }

    fn watch(&self, share: ShareId, epoch: i32, renewals: i64, lease_ms: i64) {
        let now = self.config.clock.monotonic();
        let lease = Duration::from_millis(unsigned(lease_ms));
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
        let mut ours: Vec<(ShareId, Epoch, Arc<Lease>)> = Vec::new();
        for (share, taken) in self.ownership.taken.lock().iter() {
            if taken.lease.state() != LeaseState::Lost {
                ours.push((*share, taken.epoch, taken.lease.clone()));
            }
        }
        if ours.is_empty() {
            return Ok(());
        }
        let shares: Vec<Uuid> = ours.iter().map(|(share, ..)| Uuid(share.0)).collect();
        let epochs: Vec<i32> = ours.iter().map(|(_, epoch, _)| epoch.0 as i32).collect();
        let (bytes, files): (Vec<i64>, Vec<i64>) = ours
            .iter()
            .map(|(.., lease)| lease.unplaced())
            .map(|(bytes, files)| (signed(bytes), signed(files)))
            .unzip();
        let params: [Param<'_>; 5] = [&self.config.holder, &shares, &epochs, &bytes, &files];
        let rows = self.call(Query::Renew, Effect::Changes, &params).await?.rows;
        let kept = rows.iter().map(|row| Columns::of(row).next::<Uuid>()).collect::<StoreResult<Vec<_>>>()?;
        let until = self.ends(sent);
        for (share, epoch, lease) in ours {
            match kept.contains(&Uuid(share.0)) {
                true => lease.extend(until),
                false => self.ownership.fenced(share, epoch),
            }
        }
        Ok(())
    }

    /// Gives a share back, so that nobody waits for its lease to end. `clean`: everything that it acknowledged is placed, so
    /// that any gateway may take it without our journal.
    pub(super) async fn release(&self, share: ShareId, clean: bool) -> StoreResult<()> {
        let Some(taken) = self.ownership.taken.lock().remove(&share) else { return Ok(()) };
        let (bytes, files) = taken.lease.unplaced();
        taken.lease.lose();
        let (bytes, files) = (signed(bytes), signed(files));
        let params: [Param<'_>; 6] =
            [&self.config.holder, &Uuid(share.0), &(taken.epoch.0 as i32), &clean, &bytes, &files];
        self.call(Query::Release, Effect::Changes, &params).await.map(drop)
    }

    /// Gives back what is ours as it is.
    pub(super) async fn release_all(&self) {
        let ours: Vec<ShareId> = self.ownership.taken.lock().keys().copied().collect();
        for share in ours {
            if let Err(error) = self.release(share, false).await {
                tracing::warn!(%share, %error, "the share was not given back; another gateway has to wait for the lease");
                return;
            }
        }
    }
}

/// Renews until the store is gone; at once where somebody says that a share has a new owner.
pub async fn renew(store: Weak<Inner>) {
    loop {
        let Some((pause, asked)) =
            store.upgrade().map(|store| (store.config.lease / RENEWALS, store.renew_asked.clone()))
        else {
            return;
        };
        let _ = tokio::time::timeout(pause, asked.notified()).await;
        let Some(store) = store.upgrade() else { return };
        if let Err(error) = store.renew_now().await {
            tracing::warn!(%error, "leases were not renewed");
        }
    }
}

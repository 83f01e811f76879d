//! The cleaner: packs that nothing refers to, and objects that no row knows.
//!
//! ```text
//!  live, no extent ─┐
//!  up, abandoned ───┼─ bury (transaction) ─ durable ─ a day ─ dead still? owner still? ─ delete ─ seen gone ─ row forgotten
//!  up, older epoch ─┘
//!  listed, then no row, older than a day by the store's clock ─ owner still? ─ delete
//! ```
//! Invariants: an object is deleted only when its death is durable and the owner object names this gateway at that moment;
//! the listing comes before the lookup that finds no row (JOURNAL P1). A crash repeats steps, each of which may be repeated.

use crate::error::StackError;
use crate::flush::Uploads;
use crate::owner::{Owner, OwnerState};
use crate::stack::Shared;
use crate::status::PackCounts;
use dfs_cold::{DeleteOutcome, Key, KeySpace, ListedObject};
use dfs_log::mutation::Rule;
use dfs_model::{PackId, Timestamp};
use dfs_store::{PackRow, PackState};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rows looked at, buried or deleted in one step.
const BATCH: usize = 500;

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Packs that became dead.
    pub buried: u64,
    /// Objects of dead packs deleted.
    pub deleted: u64,
    /// Rows of dead packs forgotten.
    pub forgotten: u64,
    /// Objects looked at in the listing.
    pub listed: u64,
    /// Objects without a row deleted.
    pub strays: u64,
    /// Objects without a row that are too young.
    pub young_strays: u64,
    /// Why nothing was deleted, if so.
    pub held_back: Option<&'static str>,
}

pub(crate) struct Collector {
    shared: Arc<Shared>,
    keys: KeySpace,
    owner: Arc<Owner>,
    uploads: Arc<Uploads>,
    counts: Mutex<PackCounts>,
    /// One round at a time.
    round: tokio::sync::Mutex<()>,
}

/// Rows that a scan found something to do with.
#[derive(Default)]
struct Found {
    bury: Vec<PackId>,
    dead: Vec<PackId>,
    counts: PackCounts,
}

impl Collector {
    pub fn new(shared: Arc<Shared>, keys: KeySpace, owner: Arc<Owner>, uploads: Arc<Uploads>) -> Collector {
        let counts = Mutex::new(PackCounts::default());
        Collector { shared, keys, owner, uploads, counts, round: tokio::sync::Mutex::new(()) }
    }

    pub fn counts(&self) -> PackCounts {
        *self.counts.lock()
    }

    /// The background task: owner object, dead packs, strays, each at its interval.
    pub async fn keep_clean(self: Arc<Self>) {
        let settings = &self.shared.settings;
        let mut owner = tokio::time::interval(settings.owner_check);
        let mut dead = tokio::time::interval(settings.gc_every);
        let mut strays = tokio::time::interval(settings.sweep_every);
        owner.tick().await;
        dead.tick().await;
        strays.tick().await;
        loop {
            // A step cut short is as after a crash: the next opening repeats it.
            let step = async {
                tokio::select! {
                    biased;
                    _ = strays.tick() => self.run(self.shared.clock.wall(), true).await.map(drop),
                    _ = dead.tick() => self.run(self.shared.clock.wall(), false).await.map(drop),
                    _ = owner.tick() => match self.owner.state() {
                        OwnerState::Lost { .. } => Ok(()),
                        OwnerState::Pending | OwnerState::Held { .. } => self.owner.check().await,
                    },
                }
            };
            let result = tokio::select! {
                biased;
                () = self.shared.stopping() => return,
                result = step => result,
            };
            if let Err(error) = result {
                tracing::warn!(share = %self.shared.share, %error, "the cleaner could not finish; it tries again");
                self.shared.note_error(&error.to_string());
            }
        }
    }

    /// One round. *Errors:* what the stores said; steps done stay done.
    pub async fn run(&self, now: Timestamp, sweep: bool) -> Result<GcReport, StackError> {
        let _alone = self.round.lock().await;
        let mut report = GcReport::default();
        let found = self.scan(now).await?;
        *self.counts.lock() = found.counts;
        let fresh = self.bury(&found.bury, now, &mut report).await?;
        let mut dead = found.dead;
        if self.shared.mutations.off(Rule::DeleteAfterDurable) {
            dead.extend(fresh);
        } else if !dead.is_empty() {
            // A row that shows a death is not proof that it is durable: the sync that it waited for may have failed.
            self.shared.store.durable(self.shared.store.last_commit()).await?;
        }
        for batch in dead.chunks(BATCH) {
            self.delete_dead(batch, &mut report).await?;
        }
        if sweep {
            self.sweep(now, &mut report).await?;
        }
        Ok(report)
    }

    async fn scan(&self, now: Timestamp) -> Result<Found, StackError> {
        let mut found = Found::default();
        let mut after = None;
        loop {
            let abandoned = self.uploads.abandoned();
            let rows = self.shared.store.packs(self.shared.share, after, BATCH).await?;
            let Some(last) = rows.last() else { return Ok(found) };
            after = Some(last.pack);
            let full = rows.len() == BATCH;
            rows.iter().for_each(|row| self.judge(row, &abandoned, now, &mut found));
            if !full {
                return Ok(found);
            }
        }
    }

    fn judge(&self, row: &PackRow, abandoned: &BTreeSet<PackId>, now: Timestamp, found: &mut Found) {
        match row.state {
            PackState::Up => {
                found.counts.up += 1;
                if row.epoch < self.shared.epoch || abandoned.contains(&row.pack) {
                    found.bury.push(row.pack);
                }
            }
            PackState::Live => {
                found.counts.live += 1;
                found.counts.live_pack_bytes += row.len;
                found.counts.referred_bytes += row.live_bytes;
                if row.live_bytes == 0 {
                    found.bury.push(row.pack);
                }
            }
            PackState::Dead => {
                found.counts.dead += 1;
                if row.since.plus(self.shared.settings.pack_delete_after) <= now {
                    found.dead.push(row.pack);
                }
            }
        }
    }

    /// Buries; on return the deaths are durable.
    async fn bury(
        &self,
        packs: &[PackId],
        now: Timestamp,
        report: &mut GcReport,
    ) -> Result<Vec<PackId>, StackError> {
        let mut buried = Vec::new();
        for batch in packs.chunks(BATCH) {
            let applied =
                self.shared.store.packs_bury(self.shared.share, self.shared.epoch, batch, now).await?;
            if !self.shared.mutations.off(Rule::DeleteAfterDurable) {
                self.shared.store.durable(applied.commit).await?;
            }
            self.uploads.buried(&applied.value);
            report.buried += applied.value.len() as u64;
            buried.extend(applied.value);
        }
        Ok(buried)
    }

    /// Whether deletes may go out at this moment.
    async fn may_delete(&self, report: &mut GcReport) -> Result<bool, StackError> {
        match self.owner.may_delete(self.shared.settings.owner_settle).await {
            Ok(true) => return Ok(true),
            Ok(false) => report.held_back = Some("the owner object is not ours, or not for long enough"),
            Err(StackError::Owned { .. }) => report.held_back = Some("another gateway took the owner object"),
            Err(error) => return Err(error),
        }
        Ok(false)
    }

    async fn delete_dead(&self, packs: &[PackId], report: &mut GcReport) -> Result<(), StackError> {
        if !self.may_delete(report).await? {
            return Ok(());
        }
        let mut keys = Vec::with_capacity(packs.len());
        let mut dead = Vec::with_capacity(packs.len());
        for pack in packs {
            let row = self.shared.store.pack(self.shared.share, *pack).await?;
            if row.is_some_and(|row| row.state == PackState::Dead) {
                keys.push(self.keys.pack(self.shared.share, *pack));
                dead.push(*pack);
            }
        }
        let gone = self.delete(&keys).await?;
        report.deleted += gone.iter().filter(|gone| **gone).count() as u64;
        self.uploads.metrics.deleted_dead.increment(gone.iter().filter(|gone| **gone).count() as u64);
        let mut forget = Vec::new();
        for ((pack, key), _) in dead.iter().zip(&keys).zip(&gone).filter(|(_, gone)| **gone) {
            match self.shared.cold.head(key).await {
                Err(error) if error.is_not_found() => forget.push(*pack),
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
        }
        if !forget.is_empty() {
            self.shared.store.packs_forget(self.shared.share, self.shared.epoch, &forget).await?;
            report.forgotten += forget.len() as u64;
        }
        Ok(())
    }

    /// Deletes; answers which are gone.
    async fn delete(&self, keys: &[Key]) -> Result<Vec<bool>, StackError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = self.shared.cold.delete_batch(keys).await?;
        let refused = |outcome: &DeleteOutcome| match outcome {
            DeleteOutcome::Gone => None,
            DeleteOutcome::Failed(error) => Some(error.to_string()),
        };
        let gone: Vec<bool> = outcomes.iter().map(|outcome| refused(outcome).is_none()).collect();
        if let Some(error) = outcomes.iter().find_map(refused) {
            let count = gone.iter().filter(|gone| !**gone).count();
            tracing::warn!(share = %self.shared.share, count, error, "objects were not deleted; they are tried again");
            self.shared.note_error(&error);
        }
        Ok(gone)
    }

    async fn sweep(&self, now: Timestamp, report: &mut GcReport) -> Result<(), StackError> {
        let prefix = self.keys.packs(self.shared.share);
        let mut after = None;
        loop {
            let page = self.shared.cold.list_page(&prefix, after.as_ref()).await?;
            report.listed += page.objects.len() as u64;
            let strays = self.strays(&page.objects, now, report).await?;
            for batch in strays.chunks(BATCH) {
                if self.may_delete(report).await? {
                    let gone = self.delete(batch).await?.into_iter().filter(|gone| *gone).count() as u64;
                    report.strays += gone;
                    self.uploads.metrics.deleted_stray.increment(gone);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Objects of a page, listed before these lookups, that have no row and are old enough.
    async fn strays(
        &self,
        listed: &[ListedObject],
        now: Timestamp,
        report: &mut GcReport,
    ) -> Result<Vec<Key>, StackError> {
        let mut strays = Vec::new();
        for object in listed {
            let Some(pack) = self.keys.parse_pack(self.shared.share, &object.key) else { continue };
            if self.shared.store.pack(self.shared.share, pack).await?.is_some() {
                continue;
            }
            if object.info.modified.plus(self.shared.settings.pack_delete_after) <= now {
                strays.push(object.key.clone());
            } else {
                report.young_strays += 1;
            }
        }
        Ok(strays)
    }
}

//! Who serves a share that several gateways may serve: waiting for it, losing it, handing it over, giving up a journal.
//!
//! ```text
//!   standby ──its lease has ended, or it was handed over──▶ serving ──hand over (drained)──▶ released
//!      ▲                                                      │
//!      └──────── its own requests have ended ◀── taken over ◀─┴── another epoch
//! ```
//! Whatever happens, the journal of this gateway stays as it is until the share is opened here again: then its ends, kept in
//! the database, say what of it still counts (JOURNAL F4). *A crash* anywhere is a crash of whoever owned the share then.

use super::{FailedShare, LiveShare, OpenFailure, Runtime};
use dfs_api::{AbandonedJournal, Problem, ShareConfig, StrandedJournal};
use dfs_model::ShareId;
use dfs_store::postgres::Changed;
use dfs_store::{PostgresStore, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

/// How often ownership is looked at: a look at memory only.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the name of a new owner may take to find out.
const NAME_WITHIN: Duration = Duration::from_secs(2);
/// How long a hand-over may take to place what is dirty while clients go on, and how long after they were stopped.
const PLACE_WITHIN: Duration = Duration::from_secs(600);
const LAST_WITHIN: Duration = Duration::from_secs(30);
/// How long requests under way may take to end.
const REQUESTS_WITHIN: Duration = Duration::from_secs(15);
/// How long closing a drained share may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

impl Runtime {
    /// The shared database that a share's names are in, if they are in one.
    pub(super) fn database_of(&self, config: &ShareConfig) -> Option<Arc<PostgresStore>> {
        self.state.read().databases.get(&config.metadata).cloned()
    }

    /// Stops serving what another gateway took, and tries what it waits for as soon as something changed; until its task is
    /// ended.
    pub async fn keep_owning(self: Arc<Self>) {
        let mut heard: BTreeMap<String, Receiver<Changed>> = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for live in self.shares().iter().filter(|live| live.engine.is_lost()) {
                self.lose(live).await;
            }
            let databases = self.state.read().databases.clone();
            heard.retain(|name, _| databases.contains_key(name));
            for (name, database) in databases {
                let changes = heard.entry(name).or_insert_with(|| database.changes());
                self.hear(changes);
            }
        }
    }

    /// Makes shares due that wait for another gateway, where something was told about them.
    fn hear(&self, changes: &mut Receiver<Changed>) {
        loop {
            let about = match changes.try_recv() {
                Ok(Changed::Share(share)) => Some(share),
                Ok(Changed::Everything) | Err(TryRecvError::Lagged(_)) => None,
                // Whoever shows a share's inodes owns it: nobody else changes them.
                Ok(Changed::Inodes(..)) => continue,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            let now = self.clock.monotonic();
            let mut state = self.state.write();
            let waiting = state.failed.values_mut().filter(|failed| about.is_none() || failed.id == about);
            waiting.for_each(|failed| failed.look_again(now));
        }
    }

    /// Stops serving a share that another gateway took.
    async fn lose(&self, live: &Arc<LiveShare>) {
        let _opening = self.opening.lock().await;
        let name = live.config.name.as_str();
        if self.state.write().shares.remove(name).is_none() {
            return;
        }
        let by = match self.database_of(&live.config) {
            Some(database) => {
                let owner = tokio::time::timeout(NAME_WITHIN, database.owner(live.id)).await;
                owner.ok().and_then(Result::ok).and_then(|owner| owner.holder)
            }
            None => None,
        };
        let left = live.engine.unplaced();
        let by = by.unwrap_or_else(|| "unknown".to_owned());
        let failed = FailedShare::taken_over(live, &by, left, self.clock.monotonic());
        tracing::error!(
            share = name,
            by,
            stranded_bytes = left.bytes,
            stranded_files = left.files,
            "the share was taken over; others are served on"
        );
        self.state.write().failed.insert(name.to_owned(), failed);
        self.export();
        live.engine.abandon().await;
    }

    /// Hands a share over: everything is placed, its clients are told to wait, and any gateway may take it without this one's
    /// journal. *Errors:* what keeps it from being placed; the share is served on then.
    pub(super) async fn hand_over(&self, name: &str) -> Result<(), Problem> {
        let live = self.share(name).ok_or_else(|| Problem::not_found("share that is served", name))?;
        let Some(database) = self.database_of(&live.config) else {
            let why = "only a share whose names are in a shared database can be served by another gateway";
            return Err(Problem::conflict(why));
        };
        let config = live.config.clone();
        live.engine.drain(PLACE_WITHIN).await;
        let _opening = self.opening.lock().await;
        if self.state.write().shares.remove(name).is_none() {
            return Err(Problem::conflict("the share was closed meanwhile"));
        }
        let failed = FailedShare::released(&live);
        self.state.write().failed.insert(name.to_owned(), failed);
        self.export();
        if let Err(why) = self.give_back(&database, live).await {
            let served = match self.open_or_keep(&config).await {
                Ok(_) => "it is served on",
                Err(_) => "it cannot be opened now; see its state",
            };
            return Err(Problem::new(503, "not-placed", format!("share '{name}': {why}; {served}")));
        }
        tracing::info!(share = name, "handed over: another gateway may serve it");
        Ok(())
    }

    /// Drains and closes a share that takes no new requests, and gives it back; clean where everything is placed. *Errors:*
    /// what is not placed: it is given back all the same, and needs this gateway's journal.
    pub(super) async fn give_back(
        &self,
        database: &PostgresStore,
        live: Arc<LiveShare>,
    ) -> Result<(), String> {
        let end = self.clock.monotonic().plus(REQUESTS_WITHIN);
        // Ours, and the list of shares to be closed at a stop, hold the engine through `live` alone.
        while Arc::strong_count(&live.engine) > 1 && self.clock.monotonic() < end {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let quiet = Arc::strong_count(&live.engine) == 1;
        let left = live.engine.drain(LAST_WITHIN).await;
        let closed = live.engine.shutdown(CLOSE_WITHIN).await;
        let clean = quiet && closed.is_ok() && live.engine.unplaced() == Default::default();
        let given = database.release(live.id, clean).await;
        match (clean, given) {
            (true, Ok(())) => Ok(()),
            (_, Err(error)) => Err(format!("it was not given back: {error}")),
            (false, Ok(())) if !quiet => Err("requests of its clients do not end".to_owned()),
            (false, Ok(())) => {
                Err(format!("{} bytes of {} files cannot be placed now", left.bytes, left.files))
            }
        }
    }

    /// At a stop: hands over what can be handed over, so that another gateway need not wait.
    pub(super) async fn hand_over_all(&self, within: Duration) {
        let end = self.clock.monotonic().plus(within);
        for live in self.shares() {
            let Some(database) = self.database_of(&live.config) else { continue };
            let name = live.config.name.clone();
            let left = live.engine.drain(end.since(self.clock.monotonic())).await;
            if left != Default::default() {
                tracing::warn!(share = %name, bytes = left.bytes, files = left.files,
                    "not everything was placed: the share needs this gateway's journal");
                continue;
            }
            self.state.write().shares.remove(&name);
            match self.give_back(&database, live).await {
                Ok(()) => tracing::info!(share = %name, "handed over: another gateway may serve it"),
                Err(why) => tracing::warn!(share = %name, why, "the share was not handed over"),
            }
        }
    }

    /// Tells what abandoning a share's journal elsewhere would lose, and with `confirm` does it and opens the share here.
    pub(super) async fn abandon(&self, name: &str, confirm: bool) -> Result<AbandonedJournal, Problem> {
        let failed = self.state.read().failed.get(name).cloned();
        let failed = failed.ok_or_else(|| {
            Problem::conflict(format!("share '{name}' is served here, or not configured: nothing to abandon"))
        })?;
        let (Some(database), Some(id)) = (self.database_of(&failed.config), failed.id) else {
            return Err(Problem::conflict("the share's names are not in a shared database"));
        };
        let owner = database.owner(id).await.map_err(|error| Problem::internal(error.to_string()))?;
        let elsewhere = owner.journal_of.clone().filter(|holder| *holder != database.holder());
        let Some(journal_of) = elsewhere else {
            return Err(Problem::conflict(
                "no other gateway has a journal of the share: `dfsctl share open`",
            ));
        };
        let (bytes, files) = (owner.unplaced_bytes, owner.unplaced_files);
        let told = AbandonedJournal { journal_of, bytes, files, abandoned: confirm };
        if !confirm {
            return Ok(told);
        }
        let lost = database.abandon(id).await.map_err(|error| match error {
            StoreError::Owned { .. } => Problem::conflict(format!(
                "{error}: as long as it lives, nothing is abandoned; try again once its lease has ended"
            )),
            other => Problem::internal(other.to_string()),
        })?;
        if let Some(lost) = lost {
            tracing::warn!(share = name, journal_of = %lost.journal_of, bytes = lost.bytes, files = lost.files,
                "the journal was abandoned by command: what only it has is lost");
        }
        self.retry_share(name).await.map_err(|failure| Problem::internal(failure.message))?;
        Ok(told)
    }

    /// Journals that a share was taken without; none where they cannot be found out now.
    pub(super) async fn stranded(&self, config: &ShareConfig, id: ShareId) -> Vec<StrandedJournal> {
        let Some(database) = self.database_of(config) else { return Vec::new() };
        let asked = tokio::time::timeout(NAME_WITHIN, database.stranded(id)).await;
        let found = asked.ok().and_then(Result::ok).unwrap_or_default();
        let shown = found.into_iter().map(|journal| StrandedJournal {
            gateway: journal.gateway,
            bytes: journal.bytes,
            files: journal.files,
        });
        shown.collect()
    }

    /// Refuses a deletion of a share that another gateway owns, or whose newest journal it has.
    pub(super) async fn check_ours(&self, config: &ShareConfig, id: ShareId) -> Result<(), Problem> {
        let Some(database) = self.database_of(config) else { return Ok(()) };
        match database.owner(id).await {
            Ok(owner) => match owner.holder.or(owner.journal_of).filter(|name| *name != database.holder()) {
                Some(name) => Err(Problem::conflict(format!(
                    "share '{}' belongs to gateway '{name}': delete it there",
                    config.name
                ))),
                None => Ok(()),
            },
            Err(StoreError::NoShare(_)) => Ok(()),
            Err(error) => Err(Problem::internal(error.to_string())),
        }
    }

    /// Whether a share in a shared database may be opened now, before anything is read or changed.
    pub(super) async fn may_open(&self, config: &ShareConfig, id: ShareId) -> Result<(), OpenFailure> {
        let Some(database) = self.database_of(config) else { return Ok(()) };
        let former = self.state.read().failed.get(&config.name).is_some_and(FailedShare::former_lives);
        if former {
            let why = "it is tried again once requests from its former life here have ended";
            return Err(OpenFailure::new(6, why).elsewhere());
        }
        database.may_take(id).await.map_err(|error| super::shares::refused(&config.name, &error))
    }
}

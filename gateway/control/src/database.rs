//! The control plane's database: a mirror of all rows in memory, and a store behind it.
//!
//! ```text
//!   reads ──▶ Snapshot (ArcSwap)              transact / commit ──▶ one at a time ──▶ store, durable ──▶ new Snapshot ──▶ watch
//!                  ▲                                                                      │
//!                  └───────── follow: what other gateways changed, every 200 ms ◀─────────┘ (Postgres)
//! ```
//! *Invariants:* a snapshot is what the store had at its revision. What is in the mirror is durable. *A crash* loses nothing
//! that returned. *A caller who goes away* does not undo a commit: it runs in a task of its own, and the mirror follows.

use crate::change::Change;
use crate::mirror::Snapshot;
use crate::rows::{RawRow, Row, SessionRow};
use crate::secrets::{SecretsError, SecretsKey};
use crate::store::{Commit, ControlStore, EmbeddedStore, Loaded, PostgresOptions, PostgresStore};
use arc_swap::ArcSwap;
use dfs_api::{AuditQuery, AuditRecord, Problem};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// How often a shared store is asked for its revision.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// How often a change is thought out again when another gateway was quicker.
const TRIES_MAX: usize = 20;

/// Why the database cannot be used, or did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// It was written by a newer program. Permanent.
    #[error(
        "the control database has format {found}, this program knows {known}: start the newer version again, or restore a backup of this one"
    )]
    Newer {
        /// In the database.
        found: u64,
        /// Known here.
        known: u64,
    },
    /// The store refused. Permanent.
    #[error("control database: {0}")]
    Broken(String),
    /// It is configured so that it cannot be used. Permanent.
    #[error("control database: {0}")]
    Unusable(String),
    /// The disk has no space; nothing happened.
    #[error("control database: no space: {0}")]
    Full(String),
    /// It cannot be reached; nothing happened; a retry may help.
    #[error("control database: {0}")]
    Unavailable(String),
    /// It cannot be reached since the commit was sent: whether it happened shows when it answers again.
    #[error("control database: it is not known whether the change was kept: {0}")]
    Unsure(String),
    /// Something else was changed in between; nothing happened; think the change out again.
    #[error("control database: something was changed in between; try again")]
    Conflict,
    /// A row is not what was written. Permanent.
    #[error("control database: row '{key}' of '{table}' is damaged: {reason}")]
    Row {
        /// The table.
        table: &'static str,
        /// The row.
        key: String,
        /// Why.
        reason: String,
    },
    /// The secrets cannot be sealed or opened.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Problem {
        let (status, kind) = match &error {
            DatabaseError::Conflict => (409, "changed-in-between"),
            DatabaseError::Full(_) | DatabaseError::Secrets(SecretsError::File { full: true, .. }) => {
                (507, "disk-full")
            }
            DatabaseError::Unavailable(_) | DatabaseError::Unsure(_) => (503, "database-unavailable"),
            DatabaseError::Newer { .. }
            | DatabaseError::Broken(_)
            | DatabaseError::Unusable(_)
            | DatabaseError::Row { .. }
            | DatabaseError::Secrets(_) => (500, "internal"),
        };
        if status != 409 {
            tracing::error!(%error, "the control database failed");
        }
        Problem::new(status, kind, error.to_string())
    }
}

/// What a change needs to be committed, and what its caller gets for it.
pub struct Planned<T> {
    /// The rows; without any, only the record is kept.
    pub change: Change,
    /// The record of it.
    pub audit: Option<AuditRecord>,
    /// The caller's.
    pub answer: T,
}

/// The database. Reads are cheap and never wait; writes are durable when they return.
pub struct ControlDatabase {
    inner: Arc<Inner>,
    follower: Option<tokio::task::JoinHandle<()>>,
}

struct Inner {
    store: Box<dyn ControlStore>,
    secrets: SecretsKey,
    mirror: ArcSwap<Snapshot>,
    /// Whoever changes the mirror.
    turn: Arc<Mutex<Turn>>,
    revision: watch::Sender<u64>,
}

/// What only the one who changes the mirror knows.
struct Turn {
    /// Every row must be written with the next commit: secrets still stand in the clear.
    clear: bool,
    mark: Option<String>,
}

impl ControlDatabase {
    /// Opens or makes the file of the embedded database; its mode becomes 0600. One of format 1 is read, and becomes format 2
    /// with the first commit.
    ///
    /// *Errors:* [`DatabaseError::Newer`], [`DatabaseError::Broken`], [`DatabaseError::Row`], and [`DatabaseError::Secrets`]
    /// when the key is not the one of this file; nothing is changed then.
    pub async fn open_embedded(path: &Path, secrets: SecretsKey) -> Result<ControlDatabase, DatabaseError> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path)).await;
        let store = opened.map_err(|error| DatabaseError::Broken(error.to_string()))??;
        ControlDatabase::over(Box::new(store), secrets).await
    }

    /// Connects to a Postgres database that gateways may share, makes its tables or brings them up to date, and follows what
    /// other gateways change.
    ///
    /// *Errors:* [`DatabaseError::Unusable`] and [`DatabaseError::Newer`], with nothing changed;
    /// [`DatabaseError::Unavailable`] where it cannot be reached; [`DatabaseError::Secrets`] when the key is not the one of
    /// this database.
    pub async fn open_postgres(
        options: PostgresOptions,
        secrets: SecretsKey,
    ) -> Result<ControlDatabase, DatabaseError> {
        ControlDatabase::over(Box::new(PostgresStore::open(options).await?), secrets).await
    }

    pub(crate) async fn over(
        store: Box<dyn ControlStore>,
        secrets: SecretsKey,
    ) -> Result<ControlDatabase, DatabaseError> {
        let loaded = store.load(None).await?;
        if let Some(mark) = &loaded.mark {
            secrets.check_mark(mark)?;
        }
        let turn = Turn { clear: loaded.clear, mark: loaded.mark.clone() };
        let snapshot = taken(&Snapshot::default(), &loaded, &secrets)?;
        let inner = Arc::new(Inner {
            revision: watch::Sender::new(snapshot.revision()),
            mirror: ArcSwap::from_pointee(snapshot),
            turn: Arc::new(Mutex::new(turn)),
            store,
            secrets,
        });
        let shared = inner.store.is_shared();
        let follower = shared.then(|| tokio::spawn(follow(Arc::downgrade(&inner))));
        Ok(ControlDatabase { inner, follower })
    }

    /// Every row as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.mirror.load_full()
    }

    /// A row.
    #[must_use]
    pub fn get<R: Row>(&self, key: &str) -> Option<R> {
        self.inner.mirror.load().get::<R>(key).map(|row| row.as_ref().clone())
    }

    /// Every row of a kind, by key.
    #[must_use]
    pub fn list<R: Row>(&self) -> Vec<R> {
        self.inner.mirror.load().rows::<R>().map(|row| row.as_ref().clone()).collect()
    }

    /// At most `limit` rows after a key; how many there are in all; whether there are more.
    #[must_use]
    pub fn page<R: Row>(&self, after: Option<&str>, limit: usize) -> (Vec<R>, usize, bool) {
        let (rows, total, more) = self.inner.mirror.load().page::<R>(after, limit);
        (rows.iter().map(|row| row.as_ref().clone()).collect(), total, more)
    }

    /// A keyed hash that only holders of the secrets key can make, in hex.
    #[must_use]
    pub fn mac(&self, purpose: &str, bytes: &[u8]) -> String {
        self.inner.secrets.mac(purpose, bytes)
    }

    /// The revision of the mirror.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.inner.mirror.load().revision()
    }

    /// Tells each new revision of the mirror, by whomever.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.revision.subscribe()
    }

    /// Commits a change and its record in one transaction. A change that was not thought out [on a snapshot](Change::on) is
    /// made on whatever there is.
    ///
    /// *Errors:* [`DatabaseError::Conflict`] when something was changed since; the store's. *Cancel:* it happens all the same.
    pub async fn commit(&self, change: Change, audit: Option<AuditRecord>) -> Result<(), DatabaseError> {
        let mut turn = self.inner.turn.clone().lock_owned().await;
        let inner = self.inner.clone();
        // In a task of its own: a caller who goes away must not leave a commit that the mirror does not know.
        apart(async move { inner.commit(&mut turn, &change, audit.as_ref()).await }).await
    }

    /// Thinks a change out on the newest rows and commits it, again when another gateway was quicker. Nothing else is
    /// committed here in between.
    ///
    /// *Errors:* what `plan` says; the store's. *Cancel:* a commit that began happens all the same.
    pub async fn transact<T, E: From<DatabaseError>>(
        &self,
        mut plan: impl FnMut(&Snapshot) -> Result<Planned<T>, E>,
    ) -> Result<T, E> {
        let mut tries = 0;
        loop {
            let mut turn = self.inner.turn.clone().lock_owned().await;
            let planned = plan(&self.inner.mirror.load())?;
            let (change, audit) = (planned.change, planned.audit);
            let inner = self.inner.clone();
            let done = apart(async move { inner.commit(&mut turn, &change, audit.as_ref()).await });
            match done.await {
                Ok(()) => return Ok(planned.answer),
                Err(DatabaseError::Conflict) if tries < TRIES_MAX => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Records of the audit log, newest first.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, DatabaseError> {
        self.inner.store.audit(query).await
    }

    /// Adds a record of something that changed no row. Its id is given here.
    pub async fn add_audit(&self, record: AuditRecord) -> Result<(), DatabaseError> {
        self.inner.store.add_audit(&record).await
    }

    /// Removes records from before a moment (milliseconds since 1970); answers how many.
    pub async fn trim_audit(&self, before_ms: i64) -> Result<u64, DatabaseError> {
        self.inner.store.trim_audit(before_ms).await
    }

    /// Whether the store answers.
    pub async fn health(&self) -> Result<(), DatabaseError> {
        self.inner.store.revision().await.map(drop)
    }

    /// Writes every row in the newest format, which the first change would do; answers whether it was an older one.
    ///
    /// *Errors:* the store's. *Cancel:* it happens all the same.
    pub async fn upgrade(&self) -> Result<bool, DatabaseError> {
        let mut turn = self.inner.turn.clone().lock_owned().await;
        if !turn.clear {
            return Ok(false);
        }
        let (inner, rows) = (self.inner.clone(), self.inner.mirror.load().as_ref().clone());
        apart(async move { inner.keep(&mut turn, rows, None, None).await }).await?;
        Ok(true)
    }

    /// Puts these rows in place of all that there are, in one transaction, if what there is allows it.
    pub(crate) async fn replace(
        &self,
        rows: Snapshot,
        allowed: impl FnOnce(&Snapshot) -> bool,
        audit: Option<AuditRecord>,
    ) -> Result<bool, DatabaseError> {
        let mut turn = self.inner.turn.clone().lock_owned().await;
        if !allowed(&self.inner.mirror.load()) {
            return Ok(false);
        }
        let inner = self.inner.clone();
        apart(async move { inner.keep(&mut turn, rows, None, audit.as_ref()).await }).await?;
        Ok(true)
    }
}

impl Drop for ControlDatabase {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
    }
}

async fn apart(
    work: impl Future<Output = Result<(), DatabaseError>> + Send + 'static,
) -> Result<(), DatabaseError> {
    tokio::spawn(work).await.map_err(|error| DatabaseError::Broken(error.to_string()))?
}

/// Whether rows that stay would be added: who logs in, changes or removes something adds none.
fn adds(before: &Snapshot, rows: &[RawRow]) -> bool {
    let stays = |row: &&RawRow| row.value.is_some() && row.table != SessionRow::TABLE;
    rows.iter().filter(stays).any(|row| !before.knows(row.table, &row.key))
}

/// A snapshot with what a store told.
fn taken(before: &Snapshot, loaded: &Loaded, secrets: &SecretsKey) -> Result<Snapshot, DatabaseError> {
    let mut snapshot = if loaded.everything { Snapshot::default() } else { before.clone() };
    for row in &loaded.rows {
        snapshot.take(row, secrets, loaded.clear)?;
    }
    snapshot.set_revision(loaded.revision);
    Ok(snapshot)
}

impl Inner {
    async fn commit(
        &self,
        turn: &mut Turn,
        change: &Change,
        audit: Option<&AuditRecord>,
    ) -> Result<(), DatabaseError> {
        let before = self.mirror.load_full();
        if change.base().is_some_and(|base| base != before.revision()) {
            return Err(DatabaseError::Conflict);
        }
        if change.is_empty() {
            return match audit {
                Some(record) => self.store.add_audit(record).await,
                None => Ok(()),
            };
        }
        let mut after = before.as_ref().clone();
        change.apply(&mut after);
        self.keep(turn, after, Some(change), audit).await
    }

    /// Writes a change, or a whole snapshot, and shows it.
    async fn keep(
        &self,
        turn: &mut Turn,
        mut after: Snapshot,
        change: Option<&Change>,
        audit: Option<&AuditRecord>,
    ) -> Result<(), DatabaseError> {
        let on = self.mirror.load().revision();
        self.secrets.keep()?;
        let mark = match &turn.mark {
            Some(mark) => mark.clone(),
            None => self.secrets.mark()?,
        };
        // Rows of an older format are all written anew, with their secrets sealed.
        let part = change.filter(|_| !turn.clear);
        let everything = part.is_none();
        let rows = match part {
            Some(change) => change.raw(&self.secrets)?,
            None => after.encoded(&self.secrets)?,
        };
        let grows = everything || adds(&self.mirror.load(), &rows);
        let done = self.store.commit(Commit { on, rows: &rows, audit, mark: &mark, everything, grows }).await;
        match done {
            Ok(revision) => {
                *turn = Turn { clear: false, mark: Some(mark) };
                after.set_revision(revision);
                self.show(after);
                Ok(())
            }
            Err(DatabaseError::Conflict) => {
                self.catch_up(turn).await?;
                Err(DatabaseError::Conflict)
            }
            Err(error) => Err(error),
        }
    }

    fn show(&self, snapshot: Snapshot) {
        let revision = snapshot.revision();
        self.mirror.store(Arc::new(snapshot));
        self.revision.send_replace(revision);
    }

    /// Takes over what others changed.
    async fn catch_up(&self, turn: &mut Turn) -> Result<(), DatabaseError> {
        let before = self.mirror.load_full();
        let loaded = self.store.load(Some(before.revision())).await?;
        if loaded.revision == before.revision() && !loaded.everything {
            return Ok(());
        }
        if let Some(mark) = &loaded.mark {
            self.secrets.check_mark(mark)?;
        }
        turn.mark = loaded.mark.clone();
        self.show(taken(&before, &loaded, &self.secrets)?);
        Ok(())
    }
}

/// Follows what other gateways change until the database is closed.
async fn follow(inner: std::sync::Weak<Inner>) {
    let mut told = false;
    loop {
        tokio::time::sleep(FOLLOW_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        let followed = match inner.store.revision().await {
            Ok(revision) if revision == inner.mirror.load().revision() => Ok(()),
            Ok(_) => {
                let mut turn = inner.turn.clone().lock_owned().await;
                inner.catch_up(&mut turn).await
            }
            Err(error) => Err(error),
        };
        match &followed {
            Ok(()) if told => tracing::info!("the control database answers again"),
            Err(error) if !told => tracing::error!(%error, "the control database cannot be followed"),
            _ => {}
        }
        told = followed.is_err();
    }
}

//! The embedded store: `control.redb` in the data folder, mode 0600, of one gateway.
//!
//! ```text
//!   meta:  format, revision        words: mark        audit: id → JSON        one table per kind: key → JSON
//! ```
//! *Format 2* (this one): secrets are sealed, commits are numbered, there is an audit log. *Format 1*: users, stores, shares
//! and netgroups, secrets in the clear. A file of format 1 is read as it is, and becomes format 2 with the first commit: what
//! ran before starts on a full disk. Every commit is synced. *A crash* leaves the last commit that returned or the one under
//! way, whole. After an error of the disk redb answers nothing more: the file is closed, and opened again by the next call.

use super::{Commit, ControlStore, Loaded, audit_limit};
use crate::database::DatabaseError;
use crate::mirror::{TABLES, table_named};
use crate::rows::RawRow;
use async_trait::async_trait;
use dfs_api::{AuditQuery, AuditRecord};
use parking_lot::Mutex;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of the file; a newer one is refused.
pub(crate) const FORMAT: u64 = 2;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const WORDS: TableDefinition<&str, &str> = TableDefinition::new("words");
const AUDIT: TableDefinition<u64, &[u8]> = TableDefinition::new("audit");

fn rows_of(name: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(name)
}

/// What redb says, as what a caller does about it.
fn judge(error: impl Into<redb::Error>) -> DatabaseError {
    match error.into() {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            DatabaseError::Full(error.to_string())
        }
        error => DatabaseError::Broken(error.to_string()),
    }
}

/// The store.
#[derive(Clone)]
pub(crate) struct EmbeddedStore {
    file: Arc<File>,
}

struct File {
    path: PathBuf,
    /// None after an error of the disk, until it is opened again.
    open: Mutex<Option<Database>>,
}

impl EmbeddedStore {
    /// Opens the file, or makes an empty one. Takes the time of the disk: not for async threads.
    ///
    /// *Errors:* [`DatabaseError::Newer`], with nothing changed; [`DatabaseError::Broken`]; [`DatabaseError::Full`].
    pub fn open(path: &Path) -> Result<EmbeddedStore, DatabaseError> {
        let database = open_file(path)?;
        let found = format_of(&database.begin_read().map_err(judge)?)?;
        match found {
            Some(found) if found > FORMAT => return Err(DatabaseError::Newer { found, known: FORMAT }),
            Some(_) => {}
            None => make_tables(&database)?,
        }
        let file = File { path: path.to_owned(), open: Mutex::new(Some(database)) };
        Ok(EmbeddedStore { file: Arc::new(file) })
    }

    /// Works on the file off the async threads; one call at a time, as redb writes.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let file = self.file.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut open = file.open.lock();
            let database = match open.take() {
                Some(database) => database,
                None => open_file(&file.path)?,
            };
            let done = work(&database);
            if !matches!(done, Err(DatabaseError::Broken(_) | DatabaseError::Full(_))) {
                *open = Some(database);
            }
            done
        });
        done.await.map_err(|error| DatabaseError::Broken(error.to_string()))?
    }
}

/// The file is its owner's alone from its first moment on.
fn open_file(path: &Path) -> Result<Database, DatabaseError> {
    let told = |error: &dyn std::fmt::Display| DatabaseError::Broken(format!("{}: {error}", path.display()));
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(|error| told(&error))?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(|error| told(&error))?;
    drop(file);
    Database::create(path).map_err(|error| match judge(error) {
        DatabaseError::Broken(error) => told(&error),
        other => other,
    })
}

fn make_tables(database: &Database) -> Result<(), DatabaseError> {
    let txn = database.begin_write().map_err(judge)?;
    {
        let mut meta = txn.open_table(META).map_err(judge)?;
        meta.insert("format", FORMAT).map_err(judge)?;
        meta.insert("revision", 0).map_err(judge)?;
    }
    for (table, _) in TABLES {
        txn.open_table(rows_of(table)).map_err(judge)?;
    }
    txn.open_table(AUDIT).map_err(judge)?;
    txn.commit().map_err(judge)
}

fn number(txn: &ReadTransaction, name: &str) -> Result<Option<u64>, DatabaseError> {
    match txn.open_table(META) {
        Ok(meta) => Ok(meta.get(name).map_err(judge)?.map(|value| value.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(judge(error)),
    }
}

fn format_of(txn: &ReadTransaction) -> Result<Option<u64>, DatabaseError> {
    number(txn, "format")
}

fn load(database: &Database) -> Result<Loaded, DatabaseError> {
    let txn = database.begin_read().map_err(judge)?;
    let mut loaded = Loaded {
        revision: number(&txn, "revision")?.unwrap_or(0),
        everything: true,
        clear: format_of(&txn)?.is_some_and(|format| format < 2),
        ..Loaded::default()
    };
    match txn.open_table(WORDS) {
        Ok(words) => {
            loaded.mark = words.get("mark").map_err(judge)?.map(|value| value.value().to_owned());
        }
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(judge(error)),
    }
    for (table, _) in TABLES {
        let rows = match txn.open_table(rows_of(table)) {
            Ok(rows) => rows,
            Err(redb::TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(judge(error)),
        };
        for entry in rows.iter().map_err(judge)? {
            let (key, value) = entry.map_err(judge)?;
            let key = key.value().to_owned();
            let value = std::str::from_utf8(value.value()).map_err(|error| DatabaseError::Row {
                table,
                key: key.clone(),
                reason: error.to_string(),
            })?;
            loaded.rows.push(RawRow { table, key, value: Some(value.to_owned()) });
        }
    }
    Ok(loaded)
}

/// A commit that owns what it needs on its way to another thread.
struct Work {
    on: u64,
    rows: Vec<RawRow>,
    audit: Option<AuditRecord>,
    mark: String,
    everything: bool,
}

fn commit(database: &Database, work: Work) -> Result<u64, DatabaseError> {
    let txn = database.begin_write().map_err(judge)?;
    let revision = {
        let mut meta = txn.open_table(META).map_err(judge)?;
        let found = meta.get("revision").map_err(judge)?.map_or(0, |value| value.value());
        if found != work.on {
            return Err(DatabaseError::Conflict);
        }
        meta.insert("format", FORMAT).map_err(judge)?;
        meta.insert("revision", found + 1).map_err(judge)?;
        found + 1
    };
    txn.open_table(WORDS).map_err(judge)?.insert("mark", work.mark.as_str()).map_err(judge)?;
    if work.everything {
        for (table, _) in TABLES {
            txn.open_table(rows_of(table)).map_err(judge)?.retain(|_, _| false).map_err(judge)?;
        }
    }
    for row in &work.rows {
        let table = table_named(row.table).unwrap_or(row.table);
        let mut rows = txn.open_table(rows_of(table)).map_err(judge)?;
        match &row.value {
            Some(value) => drop(rows.insert(row.key.as_str(), value.as_bytes()).map_err(judge)?),
            None => drop(rows.remove(row.key.as_str()).map_err(judge)?),
        }
    }
    if let Some(record) = &work.audit {
        note(&txn, record)?;
    }
    txn.commit().map_err(judge)?;
    Ok(revision)
}

fn note(txn: &WriteTransaction, record: &AuditRecord) -> Result<(), DatabaseError> {
    let mut audit = txn.open_table(AUDIT).map_err(judge)?;
    let last = audit.last().map_err(judge)?.map_or(0, |(id, _)| id.value());
    let record = AuditRecord { id: last + 1, ..record.clone() };
    let text = serde_json::to_vec(&record).map_err(|error| DatabaseError::Broken(error.to_string()))?;
    audit.insert(record.id, text.as_slice()).map_err(judge)?;
    Ok(())
}

fn wanted(query: &AuditQuery, record: &AuditRecord) -> bool {
    let begins = |action: &String| {
        record
            .action
            .strip_prefix(action.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    query.since.is_none_or(|since| record.at >= since)
        && query.until.is_none_or(|until| record.at < until)
        && query.user.as_ref().is_none_or(|user| record.user == *user)
        && query.target.as_ref().is_none_or(|target| record.target == *target)
        && query.action.as_ref().is_none_or(begins)
}

fn audit(database: &Database, query: &AuditQuery) -> Result<Vec<AuditRecord>, DatabaseError> {
    let txn = database.begin_read().map_err(judge)?;
    let table = match txn.open_table(AUDIT) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(judge(error)),
    };
    let below = query.after.unwrap_or(u64::MAX);
    let mut found = Vec::new();
    for entry in table.range(..below).map_err(judge)?.rev() {
        let (id, value) = entry.map_err(judge)?;
        let record: AuditRecord = serde_json::from_slice(value.value()).map_err(|error| {
            DatabaseError::Row { table: "audit", key: id.value().to_string(), reason: error.to_string() }
        })?;
        if wanted(query, &record) {
            found.push(record);
            if found.len() == audit_limit(query) {
                break;
            }
        }
    }
    Ok(found)
}

fn trim(database: &Database, before: i64) -> Result<u64, DatabaseError> {
    /// The part of a record that decides.
    #[derive(serde::Deserialize)]
    struct When {
        at: i64,
    }
    let txn = database.begin_write().map_err(judge)?;
    let mut removed = 0;
    {
        let mut table = txn.open_table(AUDIT).map_err(judge)?;
        // Ids grow with time; a record that does not tell its time is as old as its neighbours.
        let old = |value: &[u8]| serde_json::from_slice::<When>(value).is_ok_and(|when| when.at < before);
        let last = table.last().map_err(judge)?.map(|(id, _)| id.value());
        let is_old = |id: u64, value: &[u8]| {
            // The last one stays: ids are never given twice.
            let goes = old(value) && Some(id) != last;
            removed += u64::from(goes);
            !goes
        };
        table.retain(is_old).map_err(judge)?;
    }
    if removed > 0 {
        txn.commit().map_err(judge)?;
    }
    Ok(removed)
}

#[async_trait]
impl ControlStore for EmbeddedStore {
    async fn load(&self, _: Option<u64>) -> Result<Loaded, DatabaseError> {
        self.with(load).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<u64, DatabaseError> {
        let work = Work {
            on: commit.on,
            rows: commit.rows.to_vec(),
            audit: commit.audit.cloned(),
            mark: commit.mark.to_owned(),
            everything: commit.everything,
        };
        self.with(|database| self::commit(database, work)).await
    }

    async fn revision(&self) -> Result<u64, DatabaseError> {
        self.with(|database| {
            let txn = database.begin_read().map_err(judge)?;
            Ok(number(&txn, "revision")?.unwrap_or(0))
        })
        .await
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, DatabaseError> {
        let query = query.clone();
        self.with(move |database| audit(database, &query)).await
    }

    async fn add_audit(&self, record: &AuditRecord) -> Result<(), DatabaseError> {
        let record = record.clone();
        self.with(move |database| {
            let txn = database.begin_write().map_err(judge)?;
            note(&txn, &record)?;
            txn.commit().map_err(judge)
        })
        .await
    }

    async fn trim_audit(&self, before: i64) -> Result<u64, DatabaseError> {
        self.with(move |database| trim(database, before)).await
    }
}

//! The embedded store: `control.redb` in the data folder, mode 0600, of one gateway.
//!
//! ```text
//!   meta:  format, revision        words: mark        audit: id → JSON        one table per kind: key → JSON
//! ```
//! *Format 2* (this one): secrets are sealed, commits are numbered, there is an audit log. *Format 1*: users, stores, shares
//! and netgroups, secrets in the clear. A file of format 1 is read as it is, and becomes format 2 with the first commit (in
//! a new file that takes its place): what ran before starts on a full disk. Every commit is synced. *A crash* leaves the last commit that returned or the one under
//! way, whole. After an error of the disk redb answers nothing more: the file is closed, and opened again by the next call.
//! *A full disk:* a file beside it (`control.spare`) holds some room, which is given up for the first commit that finds none and
//! adds no row that stays, so that an administrator can still log in and make space; it is made again when there is room.

mod audit;
mod rows;
#[cfg(test)]
mod tests;

use super::{Commit, ControlStore, Loaded};
use crate::database::DatabaseError;
use async_trait::async_trait;
use dfs_api::{AuditQuery, AuditRecord};
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, TableDefinition};
use rows::{Work, format_of, number};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of the reserve for a full disk: hundreds of commits.
const SPARE_BYTES: usize = 1 << 20;

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

/// How a file is opened: by redb, or by a test that makes it fail.
type Opener = dyn Fn(&Path) -> Result<Database, redb::DatabaseError> + Send + Sync;

/// The store.
#[derive(Clone)]
pub(crate) struct EmbeddedStore {
    file: Arc<File>,
}

struct File {
    path: PathBuf,
    opener: Box<Opener>,
    /// None after an error of the disk, until it is opened again.
    open: Mutex<Option<Database>>,
}

impl EmbeddedStore {
    /// Opens the file, or makes an empty one. Takes the time of the disk: not for async threads.
    ///
    /// *Errors:* [`DatabaseError::Newer`], with nothing changed; [`DatabaseError::Broken`]; [`DatabaseError::Full`].
    pub fn open(path: &Path) -> Result<EmbeddedStore, DatabaseError> {
        EmbeddedStore::open_by(path, Box::new(|path| Database::create(path)))
    }

    fn open_by(path: &Path, opener: Box<Opener>) -> Result<EmbeddedStore, DatabaseError> {
        let file = File { path: path.to_owned(), opener, open: Mutex::new(None) };
        let database = file.open(path)?;
        let found = format_of(&database.begin_read().map_err(judge)?)?;
        match found {
            Some(found) if found > FORMAT => return Err(DatabaseError::Newer { found, known: FORMAT }),
            Some(_) => {}
            None => rows::make_tables(&database)?,
        }
        *file.open.lock() = Some(database);
        file.keep_spare();
        Ok(EmbeddedStore { file: Arc::new(file) })
    }

    /// Works on the file off the async threads; one call at a time, as redb writes. Work that adds nothing may give the reserve up.
    async fn with<T: Send + 'static>(
        &self,
        adds: bool,
        work: impl Fn(&File, &mut Database) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let file = self.file.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut open = file.open.lock();
            match file.attempt(&mut open, &work) {
                Err(DatabaseError::Full(_)) if !adds && file.give_up_spare() => {
                    file.attempt(&mut open, &work)
                }
                done => done,
            }
        });
        done.await.map_err(|error| DatabaseError::Broken(error.to_string()))?
    }
}

impl File {
    /// Works on the file, opened again if it must be, and closes it after an error of the disk.
    fn attempt<T>(
        &self,
        open: &mut Option<Database>,
        work: impl Fn(&File, &mut Database) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let mut database = match open.take() {
            Some(database) => database,
            None => self.open(&self.path)?,
        };
        let done = work(self, &mut database);
        if !matches!(done, Err(DatabaseError::Broken(_) | DatabaseError::Full(_))) {
            *open = Some(database);
        }
        done
    }

    fn spare(&self) -> PathBuf {
        self.path.with_extension("spare")
    }

    /// Makes the reserve where it is missing; a disk that has no room for it has none.
    fn keep_spare(&self) {
        let path = self.spare();
        if path.metadata().is_ok_and(|found| found.len() == SPARE_BYTES as u64) {
            return;
        }
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        let made = file.and_then(|mut file| {
            use std::io::Write;
            file.write_all(&vec![0; SPARE_BYTES])?;
            file.sync_all()
        });
        if let Err(error) = made {
            tracing::warn!(file = %path.display(), %error, "no reserve for a full disk could be made");
            // What there is of it only takes room away.
            let _ = std::fs::remove_file(&path);
        }
    }

    /// Gives the reserve up; tells whether there was one.
    fn give_up_spare(&self) -> bool {
        let given = std::fs::remove_file(self.spare()).is_ok();
        if given {
            tracing::warn!("the disk is full: the control plane goes on in the room that it had in reserve");
        }
        given
    }

    /// The file is its owner's alone from its first moment on.
    fn open(&self, path: &Path) -> Result<Database, DatabaseError> {
        let named =
            |error: &dyn std::fmt::Display| DatabaseError::Broken(format!("{}: {error}", path.display()));
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|error| named(&error))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(|error| named(&error))?;
        drop(file);
        (self.opener)(path).map_err(|error| match judge(error) {
            DatabaseError::Broken(error) => named(&error),
            other => other,
        })
    }

    /// Writes all rows into a new file, and puts it in the place of one of format 1: nothing of the secrets that stood there in
    /// the clear is left in the file.
    fn upgrade(&self, work: &Work) -> Result<(u64, Database), DatabaseError> {
        let told = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::StorageFull => DatabaseError::Full(error.to_string()),
            _ => DatabaseError::Broken(format!("{}: {error}", self.path.display())),
        };
        let aside = self.path.with_extension("new");
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(told(error)),
            _ => {}
        }
        let database = self.open(&aside)?;
        rows::make_tables(&database)?;
        let revision = rows::commit(&database, &Work { on: 0, ..work.clone() })?;
        std::fs::rename(&aside, &self.path).map_err(told)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = std::fs::File::open(folder.unwrap_or(Path::new("."))).map_err(told)?;
        folder.sync_all().map_err(told)?;
        tracing::info!(file = %self.path.display(), format = FORMAT, "the control database was upgraded");
        Ok((revision, database))
    }

    fn commit(&self, database: &mut Database, work: &Work) -> Result<u64, DatabaseError> {
        let is_old = format_of(&database.begin_read().map_err(judge)?)?.is_some_and(|found| found < FORMAT);
        if !is_old {
            return rows::commit(database, work);
        }
        if !work.everything || work.on != 0 {
            return Err(DatabaseError::Conflict);
        }
        let (revision, upgraded) = self.upgrade(work)?;
        *database = upgraded;
        Ok(revision)
    }
}

#[async_trait]
impl ControlStore for EmbeddedStore {
    async fn load(&self, _: Option<u64>) -> Result<Loaded, DatabaseError> {
        self.with(false, |_, database| rows::load(database)).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<u64, DatabaseError> {
        let work = Work {
            on: commit.on,
            rows: commit.rows.to_vec(),
            audit: commit.audit.cloned(),
            mark: commit.mark.to_owned(),
            everything: commit.everything,
        };
        self.with(commit.grows, move |file, database| file.commit(database, &work)).await
    }

    async fn revision(&self) -> Result<u64, DatabaseError> {
        self.with(false, |_, database| {
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
        self.with(false, move |_, database| audit::find(database, &query)).await
    }

    async fn add_audit(&self, record: &AuditRecord) -> Result<(), DatabaseError> {
        let record = record.clone();
        self.with(true, move |_, database| {
            let txn = database.begin_write().map_err(judge)?;
            audit::note(&txn, &record)?;
            txn.commit().map_err(judge)
        })
        .await
    }

    async fn trim_audit(&self, before: i64) -> Result<u64, DatabaseError> {
        self.with(false, move |file, database| {
            let trimmed = audit::trim(database, before)?;
            file.keep_spare();
            Ok(trimmed)
        })
        .await
    }
}

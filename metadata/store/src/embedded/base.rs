//! The checkpoint under the memtables: one redb file that always holds the rows as they were at one log position.
//!
//! Two tables: `rows` (key → value) and `meta` (format, opening number of the checkpoint, position of the last record
//! contained; the opening number that counts is in `metadata.opening`). Every
//! commit is durable and saves redb's allocator (quick repair), so an open after a crash reads no more than a few pages.
//! A new file is made under another name and gets its own with a rename, so *a crash* never leaves half a file.

use super::Folder;
use super::slack::{SLACK_ACCOUNT, SLACK_LEAST, Slack};
use crate::kv::{Entry, Layer, Memtable};
use crate::{StoreError, StoreResult};
use bytes::Bytes;
use dfs_log::{Disk, DiskFile};
use dfs_model::{Epoch, Seq};
use redb::{Database, ReadOnlyTable, ReadableDatabase, StorageBackend, TableDefinition, WriteTransaction};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The file's name in the data folder.
pub const FILE: &str = "metadata.redb";
const NEW_FILE: &str = "metadata.redb.new";
/// Version of keys, values, redo records and of what `meta` holds.
pub const FORMAT: u64 = 1;

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";
const OPENING_KEY: &str = "opening";
const POSITION_KEY: &str = "position";

/// redb on the disk seam.
struct Backend {
    file: Arc<dyn DiskFile>,
    slack: Arc<Slack>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backend")
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            let rest = out.get_mut(done..).unwrap_or_default();
            match self.file.read_at(offset + done as u64, rest)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.slack.may_cut(len)? {
            self.file.set_len(len)?;
        }
        // A cut gave up what was reserved; a growth gets its blocks now.
        self.slack.keep()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)
    }
}

/// What `meta` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Number of the newest opening: the name log's epoch.
    pub opening: Epoch,
    /// The last record that `rows` contain.
    pub position: Seq,
}

/// The open file.
pub struct Base {
    database: Database,
    slack: Arc<Slack>,
}

impl Base {
    /// Opens the file, or makes an empty one. *Errors:* [`StoreError::Unusable`] in an operator's words.
    pub fn open(disk: &Folder, cache_bytes: usize) -> StoreResult<(Base, Meta)> {
        let there = disk.list().map_err(|error| disk_failed("listing of the data folder", &error))?;
        let fresh = !there.iter().any(|name| name == FILE);
        let file = if fresh { create(disk.as_ref(), &there) } else { disk.open(FILE) };
        let file = file.map_err(|error| disk_failed("open of metadata.redb", &error))?;
        // redb may panic on bytes that no crash leaves; that must not end the process with a stack trace.
        let slack = Arc::new(Slack { file: Arc::clone(&file), disk: Arc::clone(disk) });
        slack.keep().map_err(|error| disk_failed("open of metadata.redb", &error))?;
        let backend = Backend { file, slack: Arc::clone(&slack) };
        let open = AssertUnwindSafe(|| {
            redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(backend)
        });
        let opened = catch_unwind(open).map_err(|_| damaged("its pages contradict each other"))?;
        let base = Base { database: opened.map_err(open_failed)?, slack };
        let meta = if fresh { base.initialise(disk.as_ref())? } else { base.meta()? };
        Ok((base, meta))
    }

    fn initialise(&self, disk: &dyn Disk) -> StoreResult<Meta> {
        let meta = Meta { opening: Epoch(0), position: Seq::ZERO };
        let transaction = self.begin()?;
        transaction.open_table(ROWS).map_err(broken)?;
        write_meta(&transaction, meta)?;
        transaction.commit().map_err(broken)?;
        let renamed = disk.rename(NEW_FILE, FILE).and_then(|()| disk.sync_dir());
        renamed.map_err(|error| disk_failed("making of metadata.redb", &error))?;
        Ok(meta)
    }

    fn meta(&self) -> StoreResult<Meta> {
        let transaction = self.database.begin_read().map_err(broken)?;
        let table = transaction.open_table(META).map_err(|error| damaged(&error.to_string()))?;
        let field = |key: &str| -> StoreResult<u64> {
            let value = table.get(key).map_err(broken)?;
            value.map(|value| value.value()).ok_or_else(|| damaged("a field of its head is missing"))
        };
        match field(FORMAT_KEY)? {
            FORMAT => {}
            newer => {
                return Err(StoreError::Unusable(format!(
                    "metadata.redb has format {newer}, this version reads up to {FORMAT}; start the newer version. Nothing was changed"
                )));
            }
        }
        let opening = u32::try_from(field(OPENING_KEY)?).ok().map(Epoch).filter(|epoch| *epoch <= Epoch::MAX);
        let opening = opening.ok_or_else(|| damaged("its opening number is impossible"))?;
        Ok(Meta { opening, position: Seq(field(POSITION_KEY)?) })
    }

    /// Writes the newest version of every row of a frozen memtable with the position that it ends at, in one durable
    /// commit; answers the number of rows. Blocks.
    pub fn checkpoint(&self, rows: &Memtable, meta: Meta) -> StoreResult<u64> {
        let transaction = self.begin()?;
        let mut count = 0;
        {
            let mut table = transaction.open_table(ROWS).map_err(broken)?;
            rows.for_each(|key, value| -> StoreResult<()> {
                count += 1;
                match value {
                    Some(value) => table.insert(key, value.as_ref()).map(drop),
                    None => table.remove(key).map(drop),
                }
                .map_err(broken)
            })?;
        }
        write_meta(&transaction, meta)?;
        transaction.commit().map_err(broken)?;
        Ok(count)
    }

    /// Whether a commit that dirties `bytes` of pages fits into blocks that the file has already, so that a full disk does
    /// not matter. Walks all pages. Blocks.
    pub fn has_slack(&self, bytes: u64) -> StoreResult<bool> {
        let held =
            self.slack.held().map_err(|error| disk_failed("look at the blocks of metadata.redb", &error))?;
        let transaction = self.begin()?;
        let stats = transaction.stats().map_err(broken)?;
        transaction.abort().map_err(broken)?;
        let used = stats.allocated_pages().saturating_mul(stats.page_size() as u64);
        // redb's own account of its pages is written with every commit, too.
        let account = SLACK_LEAST + held / SLACK_ACCOUNT;
        Ok(held.saturating_sub(used) >= bytes.saturating_add(account))
    }

    /// The rows as of the last commit.
    pub fn snapshot(&self) -> StoreResult<BaseSnapshot> {
        let transaction = self.database.begin_read().map_err(broken)?;
        Ok(BaseSnapshot { rows: Arc::new(transaction.open_table(ROWS).map_err(broken)?) })
    }

    fn begin(&self) -> StoreResult<WriteTransaction> {
        let mut transaction = self.database.begin_write().map_err(broken)?;
        transaction.set_quick_repair(true);
        Ok(transaction)
    }
}

fn create(disk: &dyn Disk, there: &[String]) -> io::Result<Arc<dyn DiskFile>> {
    if there.iter().any(|name| name == NEW_FILE) {
        disk.remove(NEW_FILE)?;
    }
    disk.create(NEW_FILE)
}

fn write_meta(transaction: &WriteTransaction, meta: Meta) -> StoreResult<()> {
    let mut table = transaction.open_table(META).map_err(broken)?;
    let fields =
        [(FORMAT_KEY, FORMAT), (OPENING_KEY, u64::from(meta.opening.0)), (POSITION_KEY, meta.position.0)];
    for (key, value) in fields {
        table.insert(key, value).map_err(broken)?;
    }
    Ok(())
}

/// Rows of one checkpoint; keeps its pages alive.
#[derive(Clone)]
pub struct BaseSnapshot {
    rows: Arc<ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

impl Layer for BaseSnapshot {
    fn find(&self, key: &[u8]) -> StoreResult<Option<Option<Bytes>>> {
        let found = self.rows.get(key).map_err(broken)?;
        Ok(found.map(|value| Some(Bytes::copy_from_slice(value.value()))))
    }

    fn chunk(&self, from: &[u8], to: &[u8], limit: usize) -> StoreResult<Vec<Entry>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let range = self.rows.range::<&[u8]>(from..to).map_err(broken)?;
        range
            .take(limit)
            .map(|row| row.map(|(key, value)| entry(key.value(), value.value())).map_err(broken))
            .collect()
    }

    fn last_entry(&self, from: &[u8], to: &[u8]) -> StoreResult<Option<Entry>> {
        if from >= to {
            return Ok(None);
        }
        let mut range = self.rows.range::<&[u8]>(from..to).map_err(broken)?;
        let last = range.next_back().transpose().map_err(broken)?;
        Ok(last.map(|(key, value)| entry(key.value(), value.value())))
    }
}

fn entry(key: &[u8], value: &[u8]) -> Entry {
    (key.into(), Some(Bytes::copy_from_slice(value)))
}

fn broken(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Broken(format!("metadata.redb: {}", error.into()))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Unusable(format!(
        "metadata.redb is damaged: {what}. Nothing was changed. Put the data folder back from a copy of the disk"
    ))
}

fn open_failed(error: redb::DatabaseError) -> StoreError {
    match error {
        redb::DatabaseError::UpgradeRequired(version) => StoreError::Unusable(format!(
            "metadata.redb has file format {version}, which this version does not read; start the version that wrote it. Nothing was changed"
        )),
        redb::DatabaseError::DatabaseAlreadyOpen => {
            StoreError::Unusable("metadata.redb is in use by another process; stop that server first".into())
        }
        redb::DatabaseError::Storage(redb::StorageError::Io(error))
            if error.kind() != io::ErrorKind::InvalidData =>
        {
            disk_failed("open of metadata.redb", &error)
        }
        other => damaged(&other.to_string()),
    }
}

/// The error of a disk call.
pub fn disk_failed(what: &str, error: &io::Error) -> StoreError {
    StoreError::Broken(format!("{what} failed: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests_support {
    use super::*;

    /// Makes the file say that a program of another format wrote it.
    pub fn set_format(disk: &Folder, format: u64) {
        let (base, _) = Base::open(disk, 1 << 20).unwrap();
        let transaction = base.begin().unwrap();
        transaction.open_table(META).unwrap().insert(FORMAT_KEY, format).unwrap();
        transaction.commit().unwrap();
    }
}

//! Loading and committing rows.

use super::{AUDIT, FORMAT, META, WORDS, audit, judge, rows_of};
use crate::database::DatabaseError;
use crate::mirror::{TABLES, table_named};
use crate::rows::RawRow;
use crate::store::Loaded;
use dfs_api::AuditRecord;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

/// Makes the tables of a new file.
pub(super) fn make_tables(database: &Database) -> Result<(), DatabaseError> {
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

/// A number of the file itself.
pub(super) fn number(txn: &ReadTransaction, name: &str) -> Result<Option<u64>, DatabaseError> {
    match txn.open_table(META) {
        Ok(meta) => Ok(meta.get(name).map_err(judge)?.map(|value| value.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(judge(error)),
    }
}

pub(super) fn format_of(txn: &ReadTransaction) -> Result<Option<u64>, DatabaseError> {
    number(txn, "format")
}

/// Everything.
pub(super) fn load(database: &Database) -> Result<Loaded, DatabaseError> {
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
#[derive(Clone)]
pub(super) struct Work {
    pub on: u64,
    pub rows: Vec<RawRow>,
    pub audit: Option<AuditRecord>,
    pub mark: String,
    pub everything: bool,
}

/// Commits. *Errors:* [`DatabaseError::Conflict`], with nothing changed.
pub(super) fn commit(database: &Database, work: &Work) -> Result<u64, DatabaseError> {
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
        audit::note(&txn, record)?;
    }
    txn.commit().map_err(judge)?;
    Ok(revision)
}

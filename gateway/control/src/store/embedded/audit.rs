//! The audit log: a table of its own, by id.

use super::{AUDIT, judge};
use crate::database::DatabaseError;
use crate::store::audit_limit;
use dfs_api::{AuditQuery, AuditRecord};
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};

/// Adds a record under the next id.
pub(super) fn note(txn: &WriteTransaction, record: &AuditRecord) -> Result<(), DatabaseError> {
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

/// Records that a query asks for, newest first.
pub(super) fn find(database: &Database, query: &AuditQuery) -> Result<Vec<AuditRecord>, DatabaseError> {
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

/// Removes records from before a moment.
pub(super) fn trim(database: &Database, before: i64) -> Result<u64, DatabaseError> {
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

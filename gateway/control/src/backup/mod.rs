//! Backups of the control plane: every row that is worth keeping, in one encrypted file.
//!
//! What is in it: users with their password hashes, groups, grants, mappings, netgroups, stores with their secret keys, shares,
//! adapters, settings. Not: sessions, answers kept for repeated requests, the audit log (it has its own export), keys of this
//! gateway. Secrets stand there in the clear within the encryption, so that a backup opens on another machine with nothing but
//! its passphrase. The format is that of `format.rs`.

mod format;
#[cfg(test)]
mod tests;

pub use format::BackupError;

use crate::database::{ControlDatabase, DatabaseError};
use crate::mirror::{Kept, Snapshot, TABLES};
use crate::rows::{GrantRow, GroupRow, IdmapRow, UserRow};
use dfs_api::{
    AuditRecord, ColdStoreConfig, MetadataStoreConfig, Netgroup, Problem, RestoreReport, Role, ShareConfig,
};
use dfs_model::Entropy;
use serde_json::{Map, Value};

/// Makes a backup of a snapshot. `version`: that of this program. Takes tenths of a second: not for async threads.
///
/// *Errors:* [`BackupError::Passphrase`] for one that is too short or too long.
pub fn backup(
    snapshot: &Snapshot,
    passphrase: &str,
    version: &str,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, BackupError> {
    let mut tables = Map::new();
    for (table, _) in TABLES.iter().filter(|(_, kept)| *kept == Kept::Backup) {
        let rows = snapshot.clear_rows(table);
        let rows = rows.map_err(|error| BackupError::Damaged(format!("table '{table}': {error}")))?;
        tables.insert((*table).to_owned(), Value::Array(rows));
    }
    let body = serde_json::json!({ "tables": tables }).to_string();
    format::seal(body.as_bytes(), passphrase, version, entropy)
}

/// Opens a backup; its rows are in the answer. Takes tenths of a second: not for async threads.
///
/// *Errors:* [`BackupError`]'s, each for one thing to do about it.
pub fn open_backup(file: &[u8], passphrase: &str, version: &str) -> Result<Snapshot, BackupError> {
    let body = format::open(file, passphrase, version)?;
    let damaged = |text: String| BackupError::Damaged(text);
    let mut body: Value = serde_json::from_slice(&body).map_err(|error| damaged(error.to_string()))?;
    let Some(Value::Object(tables)) = body.get_mut("tables").map(Value::take) else {
        return Err(damaged("it has no tables".to_owned()));
    };
    let mut snapshot = Snapshot::default();
    for (table, rows) in tables {
        let Value::Array(rows) = rows else { return Err(damaged(format!("table '{table}' has no rows"))) };
        for row in rows {
            snapshot.put_clear(&table, row).map_err(|why| damaged(format!("table '{table}': {why}")))?;
        }
    }
    let is_admin = |user: &UserRow| user.enabled && user.role == Role::Admin;
    if !snapshot.rows::<UserRow>().any(|user| is_admin(user)) {
        return Err(damaged("it has no enabled administrator".to_owned()));
    }
    Ok(snapshot)
}

/// Whether a database is as `dfs init` leaves it: nothing would be overwritten but its first administrator.
#[must_use]
pub fn is_fresh(snapshot: &Snapshot) -> bool {
    let others = TABLES.iter().filter(|(table, kept)| *kept == Kept::Backup && *table != "users");
    let empty = others.clone().all(|(table, _)| snapshot.clear_rows(table).is_ok_and(|rows| rows.is_empty()));
    empty && snapshot.count::<UserRow>() <= 1
}

/// How many rows of each kind a backup holds.
#[must_use]
pub fn counted(rows: &Snapshot) -> RestoreReport {
    RestoreReport {
        users: rows.count::<UserRow>() as u64,
        groups: rows.count::<GroupRow>() as u64,
        grants: rows.count::<GrantRow>() as u64,
        shares: rows.count::<ShareConfig>() as u64,
        metadata_stores: rows.count::<MetadataStoreConfig>() as u64,
        cold_stores: rows.count::<ColdStoreConfig>() as u64,
        netgroups: rows.count::<Netgroup>() as u64,
        identity_mappings: rows.count::<IdmapRow>() as u64,
        adapters: rows.count::<crate::rows::AdapterRow>() as u64,
        settings: rows.count::<crate::rows::SettingRow>() as u64,
        restart_needed: true,
    }
}

/// Whether two databases hold the same, but for what a backup leaves out.
#[must_use]
pub fn holds_the_same(one: &Snapshot, other: &Snapshot) -> bool {
    let kept = TABLES.iter().filter(|(_, kept)| *kept == Kept::Backup);
    kept.map(|(table, _)| (one.clear_rows(table), other.clear_rows(table)))
        .all(|pair| matches!(pair, (Ok(one), Ok(other)) if one == other))
}

/// Everything that a backup holds, to be read by people and programs: what is secret is `***`.
///
/// *Errors:* [`BackupError::Damaged`] for a row that cannot be written down.
pub fn readable(snapshot: &Snapshot, version: &str) -> Result<Value, BackupError> {
    let mut tables = Map::new();
    for (table, _) in TABLES.iter().filter(|(_, kept)| *kept == Kept::Backup) {
        let rows = snapshot.clear_rows(table);
        let rows = rows.map_err(|error| BackupError::Damaged(format!("table '{table}': {error}")))?;
        tables.insert((*table).to_owned(), Value::Array(rows.into_iter().map(without_secrets).collect()));
    }
    Ok(serde_json::json!({ "version": version, "tables": tables }))
}

/// Fields of rows that nobody may read.
const SECRET_FIELDS: [&str; 4] = ["password_hash", "nt_hash", "secret_key", "access_key"];

fn without_secrets(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let hidden = |(name, value): (String, Value)| {
                let secret = SECRET_FIELDS.contains(&name.as_str()) && !value.is_null();
                let value = if secret { Value::from("***") } else { without_secrets(value) };
                (name, value)
            };
            Value::Object(fields.into_iter().map(hidden).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_secrets).collect()),
        plain => plain,
    }
}

/// Puts the rows of a backup in place of all that there are, in one transaction; every session ends.
///
/// *Errors:* 409 `not-empty` for a database in use without `force`; the store's. *Cancel:* a transaction that began happens.
pub async fn restore(
    database: &ControlDatabase,
    rows: Snapshot,
    force: bool,
    audit: Option<AuditRecord>,
) -> Result<RestoreReport, Problem> {
    let report = counted(&rows);
    let allowed = move |there: &Snapshot| force || is_fresh(there);
    match database.replace(rows, allowed, audit).await {
        Ok(true) => Ok(report),
        Ok(false) => {
            let why =
                "the control plane has users, shares or stores, which a restore would replace; force does it";
            Err(Problem::new(409, "not-empty", why))
        }
        Err(error @ DatabaseError::Conflict) => Err(Problem::conflict(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

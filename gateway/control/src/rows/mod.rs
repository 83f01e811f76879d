//! What the control plane remembers: one type per kind of row, and the one list of them all.
//!
//! The list is the macro call in `mirror.rs`: mirror, stores, backup and restore are made from it, so that a new kind of row
//! cannot be forgotten in one of them.

mod gateway;
mod people;
mod sessions;
mod table;

pub use gateway::{AdapterRow, SettingRow};
pub use people::{GrantRow, GroupRow, IdmapRow, UserRow};
pub use sessions::{IdempotencyRow, SessionRow};
pub use table::Table;

use crate::database::DatabaseError;
use crate::mirror::Snapshot;
use crate::secrets::SecretsKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A kind of row. Implemented for the types in the list of `mirror.rs` only.
pub trait Row: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Name of its table, the same in every store.
    const TABLE: &'static str;
    /// Fields of its JSON that are sealed where they are stored.
    const SECRETS: &'static [&'static str];
    /// Its key, unique within the table.
    fn key(&self) -> String;
    /// Its table in a snapshot.
    #[doc(hidden)]
    fn table(snapshot: &Snapshot) -> &Table<Self>;
    /// Its table in a snapshot that is being made.
    #[doc(hidden)]
    fn table_mut(snapshot: &mut Snapshot) -> &mut Table<Self>;
}

/// A row as a store keeps it; without a value it is to be removed, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawRow {
    pub table: &'static str,
    pub key: String,
    pub value: Option<String>,
}

fn damaged(table: &'static str, key: &str, reason: impl std::fmt::Display) -> DatabaseError {
    DatabaseError::Row { table, key: key.to_owned(), reason: reason.to_string() }
}

/// A row as JSON with its secrets sealed.
pub(crate) fn encode<R: Row>(row: &R, secrets: &SecretsKey) -> Result<String, DatabaseError> {
    let key = row.key();
    let wrong = |error: &dyn std::fmt::Display| damaged(R::TABLE, &key, error);
    let mut value = serde_json::to_value(row).map_err(|error| wrong(&error))?;
    for field in R::SECRETS {
        if let Some(Value::String(clear)) = value.get(*field) {
            let sealed = secrets.seal(clear, R::TABLE, &key, field)?;
            value[*field] = serde_json::json!({ "sealed": sealed });
        }
    }
    Ok(value.to_string())
}

/// A row from what [`encode`] made. `clear`: secrets may stand there unsealed, as in format 1.
///
/// *Errors:* [`DatabaseError::Row`] for a row that is not what was written, that stands under another key, or whose secrets
/// were sealed for another place.
pub(crate) fn decode<R: Row>(
    key: &str,
    text: &[u8],
    secrets: &SecretsKey,
    clear: bool,
) -> Result<R, DatabaseError> {
    let wrong = |error: &dyn std::fmt::Display| damaged(R::TABLE, key, error);
    let mut value: Value = serde_json::from_slice(text).map_err(|error| wrong(&error))?;
    for field in R::SECRETS {
        match value.get(*field) {
            None | Some(Value::Null) => {}
            Some(Value::String(_)) if clear => {}
            Some(found) => {
                let Some(sealed) = found.get("sealed").and_then(Value::as_str) else {
                    return Err(wrong(&format!("{field} is not sealed")));
                };
                let opened =
                    secrets.open_sealed(sealed, R::TABLE, key, field).map_err(|error| wrong(&error))?;
                value[*field] = Value::String(opened);
            }
        }
    }
    let row: R = serde_json::from_value(value).map_err(|error| wrong(&error))?;
    match row.key() == key {
        true => Ok(row),
        false => Err(wrong(&format!("it is the row '{}'", row.key()))),
    }
}

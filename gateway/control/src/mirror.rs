//! The mirror: every row in memory, as one immutable snapshot that is swapped whole.
//!
//! Reading never waits and never fails: rows were parsed when they were loaded. Whoever holds a snapshot sees one state of all
//! tables. Here stands the list of tables that everything else is made from.

use crate::database::DatabaseError;
use crate::rows::{
    AdapterRow, GrantRow, GroupRow, IdempotencyRow, IdmapRow, RawRow, Row, SessionRow, SettingRow, Table,
    UserRow, decode, encode,
};
use crate::secrets::SecretsKey;
use dfs_api::{ColdStoreConfig, MetadataStoreConfig, Netgroup, ShareConfig};
use serde_json::Value;
use std::ops::Bound;
use std::sync::Arc;

/// Whether the rows of a table go into a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// They do.
    Backup,
    /// They are of use to this gateway's callers of today only.
    Here,
}

macro_rules! tables {
    ($($field:ident: $row:ty, $kept:ident, |$this:ident| $key:expr, [$($secret:literal),*];)*) => {
        /// Every row at one moment.
        #[derive(Clone, Default)]
        pub struct Snapshot {
            revision: u64,
            $($field: Arc<Table<$row>>,)*
        }

        /// Name of every table, and whether it goes into a backup.
        pub(crate) const TABLES: &[(&str, Kept)] = &[$((stringify!($field), Kept::$kept)),*];

        $(impl Row for $row {
            const TABLE: &'static str = stringify!($field);
            const SECRETS: &'static [&'static str] = &[$($secret),*];
            fn key(&self) -> String {
                let $this = self;
                $key
            }
            fn table(snapshot: &Snapshot) -> &Table<Self> {
                &snapshot.$field
            }
            fn table_mut(snapshot: &mut Snapshot) -> &mut Table<Self> {
                Arc::make_mut(&mut snapshot.$field)
            }
        })*

        impl Snapshot {
            /// Takes over what a store has of a row.
            pub(crate) fn take(&mut self, raw: &RawRow, secrets: &SecretsKey, clear: bool) -> Result<(), DatabaseError> {
                match raw.table {
                    $(stringify!($field) => self.take_one::<$row>(raw, secrets, clear),)*
                    table => Err(DatabaseError::Broken(format!("there is a table '{table}' that nobody knows"))),
                }
            }

            /// Every row as a store keeps it.
            pub(crate) fn encoded(&self, secrets: &SecretsKey) -> Result<Vec<RawRow>, DatabaseError> {
                let mut rows = Vec::new();
                $(for (key, row) in self.$field.iter() {
                    let value = Some(encode(row.as_ref(), secrets)?);
                    rows.push(RawRow { table: stringify!($field), key: key.to_string(), value });
                })*
                Ok(rows)
            }

            /// Whether a table has a row under a key.
            pub(crate) fn knows(&self, table: &str, key: &str) -> bool {
                match table {
                    $(stringify!($field) => self.$field.get(key).is_some(),)*
                    _ => false,
                }
            }

            /// The rows of a table in the clear.
            pub(crate) fn clear_rows(&self, table: &str) -> Result<Vec<Value>, serde_json::Error> {
                match table {
                    $(stringify!($field) => self.$field.iter().map(|(_, row)| serde_json::to_value(row.as_ref())).collect(),)*
                    _ => Ok(Vec::new()),
                }
            }

            /// Puts a row that [`Snapshot::clear_rows`] gave. *Errors:* what is wrong with it.
            pub(crate) fn put_clear(&mut self, table: &str, row: Value) -> Result<(), String> {
                match table {
                    $(stringify!($field) => {
                        let row: $row = serde_json::from_value(row).map_err(|error| error.to_string())?;
                        self.put(Arc::new(row));
                        Ok(())
                    })*
                    _ => Err(format!("there is no table '{table}'")),
                }
            }
        }
    };
}

tables! {
    users: UserRow, Backup, |row| row.name.clone(), ["nt_hash"];
    groups: GroupRow, Backup, |row| row.name.clone(), [];
    grants: GrantRow, Backup, |row| GrantRow::key_of(&row.share, row.kind, &row.name), [];
    identity_mappings: IdmapRow, Backup, |row| row.principal.clone(), [];
    netgroups: Netgroup, Backup, |row| row.name.clone(), [];
    metadata_stores: MetadataStoreConfig, Backup, |row| row.name.clone(), [];
    cold_stores: ColdStoreConfig, Backup, |row| row.name.clone(), ["secret_key"];
    shares: ShareConfig, Backup, |row| row.name.clone(), [];
    adapters: AdapterRow, Backup, |row| AdapterRow::key_of(&row.gateway, row.kind), [];
    settings: SettingRow, Backup, |row| row.key.clone(), [];
    sessions: SessionRow, Here, |row| SessionRow::key_of(&row.user, &row.id), [];
    idempotency: IdempotencyRow, Here, |row| row.id.clone(), [];
}

/// The constant of a table's name. *Errors:* `None` for a table that this program does not know.
pub(crate) fn table_named(name: &str) -> Option<&'static str> {
    TABLES.iter().map(|(table, _)| *table).find(|table| *table == name)
}

impl Snapshot {
    /// Raised by every change, by whichever gateway.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether a table is the one of another snapshot: nothing in it was changed between the two. Never wrong when it says so.
    #[must_use]
    pub fn same<R: Row>(&self, other: &Snapshot) -> bool {
        std::ptr::eq(R::table(self), R::table(other))
    }

    pub(crate) fn set_revision(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// A row.
    #[must_use]
    pub fn get<R: Row>(&self, key: &str) -> Option<&Arc<R>> {
        R::table(self).get(key)
    }

    /// Whether there is such a row.
    #[must_use]
    pub fn has<R: Row>(&self, key: &str) -> bool {
        self.get::<R>(key).is_some()
    }

    /// Number of rows of a kind.
    #[must_use]
    pub fn count<R: Row>(&self) -> usize {
        R::table(self).len()
    }

    /// Every row of a kind, by key.
    pub fn rows<R: Row>(&self) -> impl Iterator<Item = &Arc<R>> {
        R::table(self).iter().map(|(_, row)| row)
    }

    /// Rows whose keys begin so, by key.
    pub fn prefixed<'a, R: Row>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<R>> {
        R::table(self).prefixed(prefix).map(|(_, row)| row)
    }

    /// At most `limit` rows after a key; how many there are in all; whether there are more.
    #[must_use]
    pub fn page<R: Row>(&self, after: Option<&str>, limit: usize) -> (Vec<Arc<R>>, usize, bool) {
        let table = R::table(self);
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows: Vec<Arc<R>> =
            table.from(start).take(limit.saturating_add(1)).map(|(_, row)| row.clone()).collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        (rows, table.len(), more)
    }

    /// Whether two snapshots have rows of a kind that are alike, one by one. Rows that both share are not looked at.
    pub(crate) fn alike<R: Row>(&self, other: &Snapshot, same: impl Fn(&R, &R) -> bool) -> bool {
        let (one, other) = (R::table(self), R::table(other));
        std::ptr::eq(one, other)
            || one.len() == other.len()
                && one.iter().zip(other.iter()).all(|((_, a), (_, b))| Arc::ptr_eq(a, b) || same(a, b))
    }

    pub(crate) fn put<R: Row>(&mut self, row: Arc<R>) {
        let key = row.key();
        R::table_mut(self).insert(key.into(), row);
    }

    pub(crate) fn remove<R: Row>(&mut self, key: &str) -> bool {
        self.has::<R>(key) && R::table_mut(self).remove(key)
    }

    fn take_one<R: Row>(
        &mut self,
        raw: &RawRow,
        secrets: &SecretsKey,
        clear: bool,
    ) -> Result<(), DatabaseError> {
        match &raw.value {
            Some(text) => self.put(Arc::new(decode::<R>(&raw.key, text.as_bytes(), secrets, clear)?)),
            None => {
                self.remove::<R>(&raw.key);
            }
        }
        Ok(())
    }
}

//! The control plane's own database: users, stores, shares, netgroups, as JSON rows in redb. Every write is durable on return.

use dfs_api::{ColdStoreConfig, MetadataStoreConfig, Netgroup, ShareConfig};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

use crate::users::User;

/// Version of the rows; a newer one is refused.
const FORMAT: u64 = 1;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const USERS: TableDefinition<&str, &[u8]> = TableDefinition::new("users");
const METADATA: TableDefinition<&str, &[u8]> = TableDefinition::new("metadata_stores");
const COLD: TableDefinition<&str, &[u8]> = TableDefinition::new("cold_stores");
const SHARES: TableDefinition<&str, &[u8]> = TableDefinition::new("shares");
const NETGROUPS: TableDefinition<&str, &[u8]> = TableDefinition::new("netgroups");

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file was written by a newer program.
    #[error(
        "the control database has format {found}, this program knows {known}: start the newer version again, or restore a backup of this one"
    )]
    Newer {
        /// In the file.
        found: u64,
        /// Known here.
        known: u64,
    },
    /// redb refused.
    #[error("control database: {0}")]
    Broken(String),
    /// A row is not what was written.
    #[error("control database: row '{key}' of '{table}' is damaged: {reason}")]
    Row {
        /// The table.
        table: &'static str,
        /// The row.
        key: String,
        /// Why.
        reason: String,
    },
}

fn broken(error: impl std::fmt::Display) -> DatabaseError {
    DatabaseError::Broken(error.to_string())
}

/// A kind of row.
pub(crate) trait Row: Serialize + DeserializeOwned {
    const TABLE: TableDefinition<'static, &'static str, &'static [u8]>;
    const NAME: &'static str;
    fn key(&self) -> &str;
}

macro_rules! row {
    ($type:ty, $table:ident, $name:literal, $key:ident) => {
        impl Row for $type {
            const TABLE: TableDefinition<'static, &'static str, &'static [u8]> = $table;
            const NAME: &'static str = $name;
            fn key(&self) -> &str {
                &self.$key
            }
        }
    };
}
row!(User, USERS, "users", name);
row!(MetadataStoreConfig, METADATA, "metadata_stores", name);
row!(ColdStoreConfig, COLD, "cold_stores", name);
row!(ShareConfig, SHARES, "shares", name);
row!(Netgroup, NETGROUPS, "netgroups", name);

/// The database. Cheap calls, made from async code: rows are few and small.
pub struct ControlDatabase {
    db: Database,
}

impl ControlDatabase {
    /// Opens or makes the file; its mode becomes 0600.
    ///
    /// *Errors:* [`DatabaseError::Newer`] and [`DatabaseError::Broken`]; nothing is changed then.
    pub fn open(path: &Path) -> Result<ControlDatabase, DatabaseError> {
        let db = Database::create(path).map_err(|error| broken(format!("{}: {error}", path.display())))?;
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(broken)?;
        let this = ControlDatabase { db };
        this.check_format()?;
        Ok(this)
    }

    /// Looks at the format, and writes only into a file that is new: what ran before starts on a full disk.
    fn check_format(&self) -> Result<(), DatabaseError> {
        let found = match self.db.begin_read().map_err(broken)?.open_table(META) {
            Ok(meta) => meta.get("format").map_err(broken)?.map(|value| value.value()),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(broken(error)),
        };
        match found {
            Some(found) if found > FORMAT => Err(DatabaseError::Newer { found, known: FORMAT }),
            Some(_) => Ok(()),
            None => self.make_tables(),
        }
    }

    fn make_tables(&self) -> Result<(), DatabaseError> {
        let txn = self.db.begin_write().map_err(broken)?;
        txn.open_table(META).map_err(broken)?.insert("format", FORMAT).map_err(broken)?;
        for table in [USERS, METADATA, COLD, SHARES, NETGROUPS] {
            txn.open_table(table).map_err(broken)?;
        }
        txn.commit().map_err(broken)
    }

    /// Every user.
    pub fn users(&self) -> Result<Vec<User>, DatabaseError> {
        self.list()
    }

    /// Every metadata store.
    pub fn metadata_stores(&self) -> Result<Vec<MetadataStoreConfig>, DatabaseError> {
        self.list()
    }

    /// Every cold store, secrets included.
    pub fn cold_stores(&self) -> Result<Vec<ColdStoreConfig>, DatabaseError> {
        self.list()
    }

    /// Every share.
    pub fn shares(&self) -> Result<Vec<ShareConfig>, DatabaseError> {
        self.list()
    }

    /// Every netgroup.
    pub fn netgroups(&self) -> Result<Vec<Netgroup>, DatabaseError> {
        self.list()
    }

    /// Writes a user.
    pub fn put_user(&self, user: &User) -> Result<(), DatabaseError> {
        self.put(user)
    }

    /// A table to read; none in a file made before there were rows of this kind.
    fn table<R: Row>(&self) -> Result<Option<ReadOnlyTable<&'static str, &'static [u8]>>, DatabaseError> {
        match self.db.begin_read().map_err(broken)?.open_table(R::TABLE) {
            Ok(table) => Ok(Some(table)),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(broken(error)),
        }
    }

    pub(crate) fn list<R: Row>(&self) -> Result<Vec<R>, DatabaseError> {
        let Some(table) = self.table::<R>()? else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        for entry in table.iter().map_err(broken)? {
            let (key, value) = entry.map_err(broken)?;
            rows.push(parse::<R>(key.value(), value.value())?);
        }
        Ok(rows)
    }

    pub(crate) fn get<R: Row>(&self, key: &str) -> Result<Option<R>, DatabaseError> {
        let Some(table) = self.table::<R>()? else { return Ok(None) };
        let found = table.get(key).map_err(broken)?;
        found.map(|value| parse::<R>(key, value.value())).transpose()
    }

    pub(crate) fn put<R: Row>(&self, row: &R) -> Result<(), DatabaseError> {
        let value = serde_json::to_vec(row).map_err(broken)?;
        let txn = self.db.begin_write().map_err(broken)?;
        txn.open_table(R::TABLE).map_err(broken)?.insert(row.key(), value.as_slice()).map_err(broken)?;
        txn.commit().map_err(broken)
    }

    pub(crate) fn remove<R: Row>(&self, key: &str) -> Result<bool, DatabaseError> {
        let txn = self.db.begin_write().map_err(broken)?;
        let was_there = txn.open_table(R::TABLE).map_err(broken)?.remove(key).map_err(broken)?.is_some();
        txn.commit().map_err(broken)?;
        Ok(was_there)
    }
}

fn parse<R: Row>(key: &str, value: &[u8]) -> Result<R, DatabaseError> {
    serde_json::from_slice(value).map_err(|error| DatabaseError::Row {
        table: R::NAME,
        key: key.to_owned(),
        reason: error.to_string(),
    })
}

//! Where the control plane's rows are kept: a file in the data folder, or a Postgres database that gateways share.
//!
//! A store knows rows as text and gives each commit the next revision. Two things hold whatever the store: a commit happens
//! whole or not at all, and only on the revision that it was made for. A commit that is made again after a lost answer finds
//! its own revision taken, so it cannot happen twice.

#[cfg(test)]
pub(crate) mod conformance;
mod embedded;
mod postgres;

pub(crate) use embedded::EmbeddedStore;
pub(crate) use postgres::PostgresStore;
pub use postgres::{CONTROL_SCHEMA_VERSION, PostgresLook, PostgresOptions, PostgresTls, look_at_postgres};

use crate::database::DatabaseError;
use crate::rows::RawRow;
use async_trait::async_trait;
use dfs_api::{AuditQuery, AuditRecord};

/// Records of one answer of the audit log when the query does not say.
const AUDIT_PAGE: usize = 100;
/// Most records of one answer.
const AUDIT_PAGE_MAX: usize = 1000;

/// What a store holds, or what changed in it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Its revision.
    pub revision: u64,
    /// Rows by table and key; removed ones only where changes were asked for.
    pub rows: Vec<RawRow>,
    /// Whether these are all rows, not those that changed.
    pub everything: bool,
    /// The mark that only the right key of the secrets opens; none in a database without sealed rows.
    pub mark: Option<String>,
    /// Whether secrets stand there in the clear, as in format 1.
    pub clear: bool,
}

/// A commit.
pub(crate) struct Commit<'a> {
    /// The revision that it was made for.
    pub on: u64,
    /// Rows to put and to remove, each once.
    pub rows: &'a [RawRow],
    /// The record of it.
    pub audit: Option<&'a AuditRecord>,
    /// The mark of the key that sealed the rows.
    pub mark: &'a str,
    /// Whether `rows` are all rows that shall be there.
    pub everything: bool,
    /// Whether it adds rows that stay: those have to do without what is held in reserve for a full disk.
    pub grows: bool,
}

/// Keeps rows and the audit log.
///
/// *Guarantees:* what returned is durable. *Errors:* after any but [`DatabaseError::Unsure`] nothing happened. *Cancel:* a
/// dropped commit has happened whole or not at all; the caller reads again.
#[async_trait]
pub(crate) trait ControlStore: Send + Sync + 'static {
    /// Everything, or what changed after a revision where the store still knows that.
    async fn load(&self, since: Option<u64>) -> Result<Loaded, DatabaseError>;
    /// Commits and answers the new revision. *Errors:* [`DatabaseError::Conflict`] when the revision is another.
    async fn commit(&self, commit: Commit<'_>) -> Result<u64, DatabaseError>;
    /// The revision now: cheap, and proof that the store answers.
    async fn revision(&self) -> Result<u64, DatabaseError>;
    /// Whether others change it too.
    fn is_shared(&self) -> bool;
    /// Records that a query asks for, newest first.
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, DatabaseError>;
    /// Adds a record; its id is given by the store.
    async fn add_audit(&self, record: &AuditRecord) -> Result<(), DatabaseError>;
    /// Removes records from before a moment (milliseconds since 1970); answers how many.
    async fn trim_audit(&self, before: i64) -> Result<u64, DatabaseError>;
}

fn audit_limit(query: &AuditQuery) -> usize {
    query.limit.unwrap_or(AUDIT_PAGE).clamp(1, AUDIT_PAGE_MAX)
}

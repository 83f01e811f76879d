//! The shared store: relational tables in Postgres, one round trip per operation.
//!
//! ```text
//!   MetadataStore (store.rs) ─▶ names, reads, data, shares ─▶ call ─▶ pool of links ─▶ SQL function or statement (sql/)
//!                                                                └▶ conflict, outage, lost answer: again, exactly
//!   owner:  ownership row, lease      notify: LISTEN / NOTIFY      upkeep: deltas, deleted shares, old outcomes
//! ```
//! *Invariants:* an operation is one SQL function, its fence, tests and changes in one transaction (`sql/` is the twin of
//! `ops/`; one conformance suite and one model hold them together). What commits is durable when it returns
//! (`synchronous_commit`, checked at the start), so every token is durable at once. Two changes in one directory by one
//! gateway come one after the other at the gateway: they would at the database, and wait there with a connection in hand.
//! *A crash* of gateway or database leaves whole operations. *A lost answer* is settled before the call is answered
//! (call.rs). *A cancelled* call has happened whole or not at all.

mod call;
mod copies;
mod data;
mod holdings;
mod link;
#[cfg(test)]
mod live;
mod look;
mod names;
mod notify;
mod owner;
mod past;
mod reads;
mod rows;
mod schema;
mod shares;
mod sql;
mod store;
mod upkeep;
mod values;

pub use notify::Changed;
pub use owner::{Abandoned, Owner, Ownership, StrandedJournal};
pub use schema::SCHEMA_VERSION as POSTGRES_SCHEMA_VERSION;

use crate::metrics::PostgresMetrics;
use crate::{CommitToken, StoreError, StoreResult};
use deadpool::Runtime;
use deadpool::managed::Pool;
use dfs_model::{Clock, Entropy};
use link::Connector;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Whether connections are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresTls {
    /// Never: for a database on this machine or behind a tunnel.
    Off,
    /// Always, with the server's certificate and name verified.
    On {
        /// PEM file of the certificates to trust; `None`: those of the system.
        ca: Option<PathBuf>,
    },
}

/// How to reach the database, and who asks.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgres://user@host:port/database`, or `key=value` pairs, as libpq reads them.
    pub url: String,
    /// The password; the URL has none, so that it can be shown.
    pub password: Option<String>,
    /// Schema of the tables; made when it is missing.
    pub schema: String,
    /// Encryption.
    pub tls: PostgresTls,
    /// Most connections.
    pub connections: usize,
    /// How long an operation waits for a database that cannot be used before it answers "try later".
    pub patience: Duration,
    /// Name of this gateway in ownership rows: its own, and the same after a restart.
    pub holder: String,
    /// How long a share stays this gateway's without a renewal.
    pub lease: Duration,
    /// Measures leases: boot time.
    pub clock: Arc<dyn Clock>,
    /// Names connections and calls.
    pub entropy: Arc<dyn Entropy>,
}

impl PostgresConfig {
    /// Defaults: schema `dfs`, TLS with the system's certificates, 16 connections, 10 s of patience, a lease of 15 s.
    #[must_use]
    pub fn new(
        url: String,
        holder: String,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> PostgresConfig {
        PostgresConfig {
            url,
            password: None,
            schema: "dfs".into(),
            tls: PostgresTls::On { ca: None },
            connections: 16,
            patience: Duration::from_secs(10),
            holder,
            lease: Duration::from_secs(15),
            clock,
            entropy,
        }
    }
}

/// The store.
pub struct PostgresStore {
    inner: Arc<Inner>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

struct Inner {
    config: PostgresConfig,
    pool: Pool<Connector>,
    shown: String,
    /// Changes that returned.
    commits: AtomicU64,
    /// This opening of the store, in the keys of its calls.
    id: u128,
    calls: AtomicU64,
    doors: names::Doors,
    looks: look::Looks,
    ownership: owner::Table,
    /// A share has a new owner, somebody says: renew and see whether it was ours.
    renew_asked: Arc<tokio::sync::Notify>,
    changes: notify::Outbox,
    down: AtomicBool,
    metrics: PostgresMetrics,
}

impl PostgresStore {
    /// Connects, brings the schema up to date and starts the background work in the current runtime.
    ///
    /// *Errors:* [`StoreError::Unusable`] in an operator's words, with nothing changed: a wrong URL, a newer or foreign
    /// schema, a server that would lose confirmed names; [`StoreError::Unavailable`] where it cannot be reached.
    pub async fn open(config: PostgresConfig) -> StoreResult<PostgresStore> {
        let connector = Connector::new(&config)?;
        schema::migrate(&connector, &config.schema).await?;
        let shown = connector.shown();
        let pool = Pool::builder(connector)
            .max_size(config.connections.max(1))
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(config.patience))
            .build()
            .map_err(|error| StoreError::Unusable(format!("the pool of connections: {error}")))?;
        let (changes, published) = notify::outbox();
        let inner = Arc::new(Inner {
            id: config.entropy.random_u128(),
            pool,
            shown,
            commits: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            doors: names::Doors::new(),
            looks: look::Looks::default(),
            ownership: owner::Table::default(),
            renew_asked: Arc::default(),
            changes,
            down: AtomicBool::new(false),
            metrics: PostgresMetrics::new(),
            config,
        });
        let tasks = vec![
            tokio::spawn(owner::renew(Arc::downgrade(&inner))),
            tokio::spawn(notify::run(Arc::downgrade(&inner), published)),
            tokio::spawn(upkeep::run(Arc::downgrade(&inner))),
        ];
        Ok(PostgresStore { inner, tasks })
    }

    /// Why the database cannot be used right now, if so.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let down = self.inner.down.load(Ordering::Relaxed);
        down.then(|| format!("{} does not answer; operations wait", self.inner.shown))
    }

    /// Gives every share back, so that another gateway need not wait for the leases, and closes the connections.
    pub async fn close(&self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        self.inner.release_all().await;
        self.inner.pool.close();
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Inner {
    /// The token of a change that returned: durable already.
    fn committed(&self) -> CommitToken {
        self.metrics.commits.increment(1);
        CommitToken(self.commits.fetch_add(1, Ordering::AcqRel) + 1)
    }

    fn last_commit(&self) -> CommitToken {
        CommitToken(self.commits.load(Ordering::Acquire))
    }

    /// What names a call for ever.
    fn own_call(&self) -> (u128, u64) {
        (self.id, self.calls.fetch_add(1, Ordering::Relaxed))
    }
}

//! The shared store: tables in Postgres that several gateways use.
//!
//! ```text
//!   commit: lock state ─▶ revision as expected? ─▶ rows, removals, audit ─▶ revision + 1, commit id ─▶ COMMIT
//!   follow: rows and removals with a revision above the one seen last, in one snapshot of the database
//! ```
//! *A lost answer:* the commit is made again under the same id. If it happened, its id is found; if it did not, it happens now,
//! and the lost one, should it still arrive, finds another revision and does nothing. *A crash* of gateway or database leaves
//! whole commits. *Cancel:* a dropped commit has happened whole or not at all.

mod audit;
mod link;
#[cfg(test)]
mod live;
mod look;
mod schema;
mod work;

pub use look::{CONTROL_SCHEMA_VERSION, PostgresLook, look_at_postgres};

use super::{Commit, ControlStore, Loaded};
use crate::database::DatabaseError;
use async_trait::async_trait;
use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError};
use dfs_api::{AuditQuery, AuditRecord};
use dfs_model::Entropy;
use link::{Connector, Trouble, judge};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// First and longest pause before a call is made again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A call that is not answered for so long is taken for lost.
const SILENCE_MAX: Duration = Duration::from_secs(15);

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

/// How to reach the database.
#[derive(Clone)]
pub struct PostgresOptions {
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
    /// How long a call waits for a database that cannot be used.
    pub patience: Duration,
    /// Names connections and commits.
    pub entropy: Arc<dyn Entropy>,
}

impl PostgresOptions {
    /// Defaults: schema `dfs_control`, TLS with the system's certificates, 4 connections, 10 s of patience.
    #[must_use]
    pub fn new(url: String, entropy: Arc<dyn Entropy>) -> PostgresOptions {
        PostgresOptions {
            url,
            password: None,
            schema: "dfs_control".into(),
            tls: PostgresTls::On { ca: None },
            connections: 4,
            patience: Duration::from_secs(10),
            entropy,
        }
    }
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("url", &self.url)
            .field("schema", &self.schema)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// The store.
pub(crate) struct PostgresStore {
    pool: Pool<Connector>,
    shown: String,
    patience: Duration,
    entropy: Arc<dyn Entropy>,
}

type Link = Object<Connector>;

impl PostgresStore {
    /// Connects and brings the schema up to date.
    ///
    /// *Errors:* [`DatabaseError::Unusable`] in an operator's words, with nothing changed; [`DatabaseError::Newer`];
    /// [`DatabaseError::Unavailable`] where it cannot be reached.
    pub async fn open(options: PostgresOptions) -> Result<PostgresStore, DatabaseError> {
        let connector = Connector::new(&options)?;
        schema::migrate(&connector, &options.schema).await?;
        let shown = connector.shown();
        let pool = Pool::builder(connector)
            .max_size(options.connections.max(2))
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(options.patience))
            .wait_timeout(Some(options.patience))
            .build()
            .map_err(|error| DatabaseError::Unusable(format!("the pool of connections: {error}")))?;
        Ok(PostgresStore { pool, shown, patience: options.patience, entropy: options.entropy })
    }

    async fn link(&self) -> Result<Link, Trouble> {
        self.pool.get().await.map_err(|error| match error {
            // Nothing was asked yet, and an administrator may put right whatever is wrong.
            PoolError::Backend(error) => Trouble::Later(link::said(&error)),
            other => Trouble::Later(other.to_string()),
        })
    }

    /// Makes a call, again while the database cannot be used and patience lasts.
    async fn call<T, F>(&self, changes: bool, mut attempt: impl FnMut(Link) -> F) -> Result<T, DatabaseError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let deadline = Instant::now() + self.patience;
        let (mut unsure, mut pause) = (false, PAUSE_MIN);
        loop {
            let trouble = match self.link().await {
                Err(trouble) => trouble,
                Ok(link) => match timeout(SILENCE_MAX, attempt(link)).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(Failed::Told(error))) => return Err(error),
                    Ok(Err(Failed::Asked(trouble))) => trouble,
                    Err(_) => Trouble::Lost("it does not answer".to_owned()),
                },
            };
            let why = match trouble {
                Trouble::Wrong(why) => return Err(DatabaseError::Broken(why)),
                Trouble::Full(why) if !unsure => return Err(DatabaseError::Full(why)),
                Trouble::Lost(why) => {
                    unsure |= changes;
                    why
                }
                Trouble::Again(why) | Trouble::Later(why) | Trouble::Full(why) => why,
            };
            if Instant::now() >= deadline {
                let why = format!("{}: {why}", self.shown);
                return Err(if unsure {
                    DatabaseError::Unsure(why)
                } else {
                    DatabaseError::Unavailable(why)
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// How an attempt ended without an answer.
enum Failed {
    /// The database said something about itself.
    Asked(Trouble),
    /// The call has its answer, which is an error.
    Told(DatabaseError),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Failed {
        Failed::Asked(judge(&error))
    }
}

/// A connection that was in trouble is not for the next caller.
async fn discarding<T>(
    link: Link,
    work: impl AsyncFnOnce(&mut Link) -> Result<T, Failed>,
) -> Result<T, Failed> {
    /// Closes the connection unless the work came to its end.
    struct Guard(Option<Link>);
    impl Drop for Guard {
        fn drop(&mut self) {
            if let Some(link) = self.0.take() {
                drop(Object::take(link));
            }
        }
    }
    let mut guard = Guard(Some(link));
    let Some(link) = guard.0.as_mut() else {
        return Err(Failed::Asked(Trouble::Later("no connection".to_owned())));
    };
    let done = work(link).await;
    if !matches!(done, Err(Failed::Asked(_))) {
        drop(guard.0.take());
    }
    done
}

#[async_trait]
impl ControlStore for PostgresStore {
    async fn load(&self, since: Option<u64>) -> Result<Loaded, DatabaseError> {
        self.call(false, |link| discarding(link, async move |link| work::load(link, since).await)).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<u64, DatabaseError> {
        let id = format!("{:032x}", self.entropy.random_u128());
        let (commit, id) = (&commit, id.as_str());
        self.call(true, |link| discarding(link, async move |link| work::commit(link, commit, id).await)).await
    }

    async fn revision(&self) -> Result<u64, DatabaseError> {
        self.call(false, |link| discarding(link, async |link| work::revision(link).await)).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, DatabaseError> {
        self.call(false, |link| discarding(link, async move |link| audit::find(link, query).await)).await
    }

    /// After a lost answer the record may be there twice: better than not at all.
    async fn add_audit(&self, record: &AuditRecord) -> Result<(), DatabaseError> {
        self.call(true, |link| discarding(link, async move |link| audit::add(link, record).await)).await
    }

    async fn trim_audit(&self, before: i64) -> Result<u64, DatabaseError> {
        self.call(true, |link| discarding(link, async move |link| audit::trim(link, before).await)).await
    }
}

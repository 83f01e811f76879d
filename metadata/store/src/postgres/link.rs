//! One connection: how it is made, the session it runs in, its prepared statements.
//!
//! Every connection has a name of its own (`application_name`), so that whatever a lost one still runs can be found and ended
//! before its outcome is judged. The session is set up by the start message, without a round trip: the schema, the isolation
//! that the fence builds on (a statement after a lock sees what was committed before), and plans that only ever follow an
//! index, since every statement touches a few rows of large tables.

use super::sql::{Query, TEXTS};
use super::values::Param;
use super::{PostgresConfig, PostgresTls};
use crate::{StoreError, StoreResult};
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use futures_util::future::try_join_all;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest time for one address to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Data that nobody acknowledges for so long ends a connection.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// What every session runs with.
const SESSION: &str = "-c jit=off -c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off \
    -c enable_sort=off -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off \
    -c client_min_messages=warning -c idle_in_transaction_session_timeout=60s";

/// Makes connections.
pub struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    name: String,
    made: AtomicU64,
}

impl Connector {
    /// Reads the configuration; connects to nothing yet. *Errors:* [`StoreError::Unusable`] in an operator's words.
    pub fn new(config: &PostgresConfig) -> StoreResult<Connector> {
        let unusable = |text: String| StoreError::Unusable(text);
        let mut parsed: Config = config
            .url
            .parse()
            .map_err(|error| unusable(format!("the URL of the metadata database: {error}")))?;
        let plain = |text: &str| {
            text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if !plain(&config.schema) {
            return Err(unusable(format!(
                "the schema '{}' of the metadata database: use lower-case letters, digits and _",
                config.schema
            )));
        }
        if parsed.get_password().is_some() {
            return Err(unusable(
                "the URL of the metadata database has a password, which would be shown: name a file with it instead".into(),
            ));
        }
        if let Some(password) = &config.password {
            parsed.password(password);
        }
        let theirs = parsed.get_options().map(|options| format!("{options} ")).unwrap_or_default();
        parsed.options(format!("{theirs}-c search_path={} {SESSION}", config.schema));
        if parsed.get_connect_timeout().is_none() {
            parsed.connect_timeout(CONNECT_TIMEOUT);
        }
        parsed
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .tcp_user_timeout(SILENCE_MAX)
            .keepalives_idle(SILENCE_MAX);
        let tls = match &config.tls {
            PostgresTls::Off => {
                parsed.ssl_mode(SslMode::Disable);
                None
            }
            PostgresTls::On { ca } => {
                parsed.ssl_mode(SslMode::Require);
                Some(tls(ca.as_deref())?)
            }
        };
        let name = format!("dfs {:032x}", config.entropy.random_u128());
        Ok(Connector { config: parsed, tls, name, made: AtomicU64::new(0) })
    }

    /// Where it connects to, without secrets.
    pub fn shown(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        });
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("database '{database}' at {}", hosts.collect::<Vec<_>>().join(", "))
    }

    /// A connection without prepared statements, and the task that carries it.
    pub async fn plain(&self) -> Result<(Client, String), tokio_postgres::Error> {
        let name = self.next_name();
        let mut config = self.config.clone();
        config.application_name(&name);
        let client = match &self.tls {
            Some(tls) => carry(config.connect(tls.clone()).await?),
            None => carry(config.connect(NoTls).await?),
        };
        Ok((client, name))
    }

    /// A connection whose asynchronous messages are handed to `heard`; ends when the connection does.
    pub async fn listening(
        &self,
        heard: tokio::sync::mpsc::Sender<tokio_postgres::Notification>,
    ) -> Result<Client, tokio_postgres::Error> {
        let mut config = self.config.clone();
        config.application_name(self.next_name());
        Ok(match &self.tls {
            Some(tls) => listen(config.connect(tls.clone()).await?, heard),
            None => listen(config.connect(NoTls).await?, heard),
        })
    }

    /// At most 63 bytes: what Postgres keeps of a name.
    fn next_name(&self) -> String {
        format!("{} {}", self.name, self.made.fetch_add(1, Ordering::Relaxed))
    }
}

fn carry<S, T>((client, connection): (Client, tokio_postgres::Connection<S, T>)) -> Client
where
    tokio_postgres::Connection<S, T>: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
{
    tokio::spawn(async move {
        // Whoever uses the connection is told of its end; here is nobody to tell.
        let _ = connection.await;
    });
    client
}

fn listen<S, T>(
    (client, mut connection): (Client, tokio_postgres::Connection<S, T>),
    heard: tokio::sync::mpsc::Sender<tokio_postgres::Notification>,
) -> Client
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(tokio_postgres::AsyncMessage::Notification(note))) => {
                    if heard.send(note).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    });
    client
}

/// Certificates are always verified, with the name of the host.
fn tls(ca: Option<&Path>) -> StoreResult<MakeRustlsConnect> {
    let unusable = |text: String| StoreError::Unusable(text);
    let mut roots = rustls::RootCertStore::empty();
    let certificates: Vec<CertificateDer<'static>> = match ca {
        Some(path) => {
            let wrong = |error: &dyn std::fmt::Display| {
                unusable(format!("the certificates in {} of the metadata database: {error}", path.display()))
            };
            let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
            read.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?
        }
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (good, _) = roots.add_parsable_certificates(certificates);
    if good == 0 {
        return Err(unusable(
            "TLS to the metadata database: no certificate to trust was found; name a file with one".into(),
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(format!("TLS to the metadata database: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// A connection of the pool.
pub struct Link {
    client: Client,
    statements: Vec<Statement>,
    /// Its `application_name`.
    pub name: String,
}

impl Link {
    /// Runs a statement: one round trip.
    pub async fn query(&self, query: Query, params: &[Param<'_>]) -> Result<Vec<Row>, tokio_postgres::Error> {
        match self.statements.get(query as usize) {
            Some(statement) => self.client.query(statement, params).await,
            None => Ok(Vec::new()),
        }
    }

    /// Whether nothing more can be asked of it.
    pub fn is_lost(&self) -> bool {
        self.client.is_closed()
    }
}

impl Manager for Connector {
    type Type = Link;
    type Error = tokio_postgres::Error;

    async fn create(&self) -> Result<Link, tokio_postgres::Error> {
        let (client, name) = self.plain().await?;
        let statements = try_join_all(TEXTS.iter().map(|text| client.prepare(text))).await?;
        Ok(Link { client, statements, name })
    }

    async fn recycle(&self, link: &mut Link, _: &Metrics) -> RecycleResult<tokio_postgres::Error> {
        match link.is_lost() {
            true => Err(RecycleError::message("lost")),
            false => Ok(()),
        }
    }
}

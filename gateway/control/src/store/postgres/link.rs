//! One connection: how it is made, the session it runs in, and what its errors mean.

use super::{PostgresOptions, PostgresTls};
use crate::database::DatabaseError;
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Connection, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest time for one address to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Data that nobody acknowledges for so long ends a connection.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// What every session runs with: a lost one gives its locks back soon, and whoever waits for them is told.
const SESSION: &str = "-c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off \
    -c client_min_messages=warning -c idle_in_transaction_session_timeout=5s -c lock_timeout=8s -c statement_timeout=30s";

/// Makes connections.
pub(super) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

fn unusable(text: impl Into<String>) -> DatabaseError {
    DatabaseError::Unusable(text.into())
}

impl Connector {
    /// Reads the options; connects to nothing yet. *Errors:* [`DatabaseError::Unusable`] in an operator's words.
    pub fn new(options: &PostgresOptions) -> Result<Connector, DatabaseError> {
        let mut config: Config =
            options.url.parse().map_err(|error| unusable(format!("its URL: {error}")))?;
        let plain = |text: &str| {
            text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if !plain(&options.schema) {
            let rule = "use lower-case letters, digits and _";
            return Err(unusable(format!("its schema '{}': {rule}", options.schema)));
        }
        if config.get_password().is_some() {
            return Err(unusable(
                "its URL has a password, which would be shown: name a file with it instead",
            ));
        }
        if let Some(password) = &options.password {
            config.password(password);
        }
        let theirs = config.get_options().map(|options| format!("{options} ")).unwrap_or_default();
        config.options(format!("{theirs}-c search_path={} {SESSION}", options.schema));
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .tcp_user_timeout(SILENCE_MAX)
            .keepalives_idle(SILENCE_MAX)
            .application_name(format!("dfs control {:032x}", options.entropy.random_u128()));
        let tls = match &options.tls {
            PostgresTls::Off => {
                config.ssl_mode(SslMode::Disable);
                None
            }
            PostgresTls::On { ca } => {
                config.ssl_mode(SslMode::Require);
                Some(tls(ca.as_deref())?)
            }
        };
        Ok(Connector { config, tls })
    }

    /// Where it connects to, without secrets.
    pub fn shown(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("database '{database}' at {}", hosts.collect::<Vec<_>>().join(", "))
    }

    /// A connection, and the task that carries it.
    pub async fn connect(&self) -> Result<Client, Error> {
        Ok(match &self.tls {
            Some(tls) => carry(self.config.connect(tls.clone()).await?),
            None => carry(self.config.connect(NoTls).await?),
        })
    }
}

fn carry<S, T>((client, connection): (Client, Connection<S, T>)) -> Client
where
    Connection<S, T>: Future<Output = Result<(), Error>> + Send + 'static,
{
    tokio::spawn(async move {
        // Whoever uses the connection is told of its end; here is nobody to tell.
        let _ = connection.await;
    });
    client
}

/// Certificates are always verified, with the name of the host.
fn tls(ca: Option<&Path>) -> Result<MakeRustlsConnect, DatabaseError> {
    let mut roots = rustls::RootCertStore::empty();
    let certificates: Vec<CertificateDer<'static>> = match ca {
        Some(path) => {
            let wrong = |error: &dyn std::fmt::Display| {
                unusable(format!("the certificates in {}: {error}", path.display()))
            };
            let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
            read.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?
        }
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (good, _) = roots.add_parsable_certificates(certificates);
    if good == 0 {
        return Err(unusable("TLS: no certificate to trust was found; name a file with one"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(format!("TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

impl Manager for Connector {
    type Type = Client;
    type Error = Error;

    async fn create(&self) -> Result<Client, Error> {
        self.connect().await
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<Error> {
        match client.is_closed() {
            true => Err(RecycleError::message("lost")),
            false => Ok(()),
        }
    }
}

/// What an error says about the call.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another transaction was in the way; nothing happened.
    Again(String),
    /// Not now; nothing happened.
    Later(String),
    /// The database has no space; nothing happened.
    Full(String),
    /// The connection ended: it may have happened.
    Lost(String),
    /// It will not work later either.
    Wrong(String),
}

pub(super) fn judge(error: &Error) -> Trouble {
    let said = said(error);
    let Some(state) = error.code() else {
        let refused = error.is_closed()
            || std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
        return if refused { Trouble::Lost(said) } else { Trouble::Wrong(said) };
    };
    match *state {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => Trouble::Again(said),
        SqlState::DISK_FULL => Trouble::Full(said),
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::IDLE_SESSION_TIMEOUT
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Trouble::Lost(said),
        SqlState::QUERY_CANCELED
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::CANNOT_CONNECT_NOW => Trouble::Later(said),
        // class 53 insufficient resources, 57 operator intervention, 58 system error, 08 connection
        _ if ["53", "57", "58"].iter().any(|class| state.code().starts_with(class)) => Trouble::Later(said),
        _ if state.code().starts_with("08") => Trouble::Lost(said),
        _ => Trouble::Wrong(said),
    }
}

/// The server's words, or the error with its causes.
pub(super) fn said(error: &Error) -> String {
    if let Some(server) = error.as_db_error() {
        return format!("{} ({})", server.message(), server.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

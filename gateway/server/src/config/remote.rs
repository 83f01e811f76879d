//! Sections that speak of what is elsewhere: databases and certificates.

use super::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Whether connections to the database are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Always; the server's certificate and name are verified.
    #[default]
    On,
    /// Never.
    Off,
}

/// The shared metadata database.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// `postgres://user@host:port/database`, without a password.
    pub url: String,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// Encryption.
    pub tls: TlsMode,
    /// PEM file of the certificates to trust; default those of the system.
    pub ca: Option<PathBuf>,
    /// Schema of the tables; default `dfs`.
    pub schema: Option<String>,
    /// Most connections; default 16.
    pub connections: Option<usize>,
    /// How long a share stays a gateway's that says nothing, and so how long another waits before it takes over; default 15 s.
    pub lease: Option<Duration>,
    /// How long operations wait for a database that cannot be used before clients are told to come later; default 10 s.
    pub patience: Option<Duration>,
}

/// A Postgres database of the control plane; several gateways may share it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlDatabaseConfig {
    /// `postgres://user@host:port/database`, without a password.
    pub url: String,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// Encryption.
    pub tls: TlsMode,
    /// PEM file of the certificates to trust; default those of the system.
    pub ca: Option<PathBuf>,
    /// Schema of the tables; default `dfs_control`.
    pub schema: Option<String>,
    /// Most connections; default 4.
    pub connections: Option<usize>,
}

/// TLS of a listener: 1.2 or newer. The files are read again when they change, and at SIGHUP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file of the certificate and those that lead to its root.
    pub cert: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
    /// PEM file of the certificates that clients must be signed by; without it clients need none.
    pub client_ca: Option<PathBuf>,
}

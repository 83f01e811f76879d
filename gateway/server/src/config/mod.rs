//! The configuration file: YAML, every key optional, unknown keys refused with the nearest known one named.
//!
//! Precedence: command line, then the file, then defaults computed from the machine (a tenth of the disk for the journal, a
//! quarter of the memory …).

mod load;
mod values;

pub use load::{ConfigError, load};
pub use values::{Duration, Size};

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of all local state; made by `dfs init`, mode 0700.
    pub data_dir: Option<PathBuf>,
    /// NFS and MOUNT.
    pub nfs: NfsConfig,
    /// Portmap.
    pub portmap: PortmapConfig,
    /// REST.
    pub control: ControlConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// Prometheus.
    pub metrics: MetricsConfig,
    /// The write-back journal.
    pub journal: JournalConfig,
    /// When dirty data goes to the object store.
    pub flush: FlushConfig,
    /// Packs in the object store.
    pub pack: PackConfig,
    /// Memory.
    pub memory: MemoryConfig,
    /// The warm tier on this machine's disk.
    pub warm: WarmConfig,
    /// The disk of the data folder.
    pub disk: DiskConfig,
    /// Names.
    pub metadata: MetadataConfig,
    /// Logs.
    pub logging: LoggingConfig,
    /// How long a stop waits for requests under way.
    pub shutdown_timeout: Option<Duration>,
}

/// NFS and MOUNT, on one port.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct NfsConfig {
    pub listen: SocketAddr,
    pub max_connections: usize,
    /// Requests of one connection that run at the same time.
    pub max_requests_per_connection: usize,
    /// Bytes of requests in memory, all connections together.
    pub request_memory: Option<Size>,
    /// Refuse clients that do not come from a port below 1024.
    pub require_privileged_port: bool,
    /// A client that says nothing for so long is disconnected, and connects again when it needs to; `0s`: never.
    pub idle_timeout: Duration,
}

impl Default for NfsConfig {
    fn default() -> Self {
        NfsConfig {
            listen: SocketAddr::from(([0, 0, 0, 0], 12049)),
            max_connections: 4096,
            max_requests_per_connection: 128,
            request_memory: None,
            require_privileged_port: false,
            idle_timeout: Duration(std::time::Duration::from_secs(15 * 60)),
        }
    }
}

/// Portmap version 2, off by default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct PortmapConfig {
    pub enabled: bool,
    pub listen: SocketAddr,
}

impl Default for PortmapConfig {
    fn default() -> Self {
        PortmapConfig { enabled: false, listen: SocketAddr::from(([127, 0, 0, 1], 10111)) }
    }
}

/// TLS of a listener: 1.2 or newer. The files are read again when they change, and at SIGHUP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file of the certificate and those that lead to its root.
    pub cert: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
    /// PEM file of the certificates that clients must be signed by; without it clients need none.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// REST. Only loopback unless it has TLS, or `insecure_listen` says that plain HTTP on a network is meant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ControlConfig {
    pub listen: SocketAddr,
    pub insecure_listen: bool,
    /// TLS; plain HTTP without it.
    pub tls: Option<TlsConfig>,
    /// Where users, shares and stores are kept; in the data folder without it.
    pub database: Option<ControlDatabaseConfig>,
    /// Requests that one address may send in a second.
    pub requests_per_second: u32,
    /// Requests worked on at the same time.
    pub max_requests: usize,
    /// Logins that one address may try in a minute without the right password.
    pub login_tries_per_minute: u32,
    /// Hours after which a login ends that is not used.
    pub session_hours: u32,
}

impl Default for ControlConfig {
    fn default() -> Self {
        ControlConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            insecure_listen: false,
            tls: None,
            database: None,
            requests_per_second: 200,
            max_requests: 256,
            login_tries_per_minute: 10,
            session_hours: 7 * 24,
        }
    }
}

/// The audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Days that records are kept.
    pub keep_days: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        AuditConfig { keep_days: 365 }
    }
}

/// Prometheus metrics at `/metrics`. Only loopback unless it has TLS, or `insecure_listen`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct MetricsConfig {
    pub enabled: bool,
    pub listen: SocketAddr,
    pub insecure_listen: bool,
    /// TLS; plain HTTP without it.
    pub tls: Option<TlsConfig>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 9090));
        MetricsConfig { enabled: true, listen, insecure_listen: false, tls: None }
    }
}

/// The write-back journal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// Bytes of pre-allocated log, shared by all shares; default a tenth of the disk, 1 to 64 GiB.
    pub size: Option<Size>,
    /// Bytes of one segment.
    pub segment: Option<Size>,
    /// Longest time until a record is synced (relaxed shares: at most 100 ms).
    pub sync_max: Option<Duration>,
}

/// When dirty data goes to the object store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlushConfig {
    /// Age at which a record is flushed.
    pub after: Option<Duration>,
}

/// Packs in the object store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackConfig {
    /// Target bytes of a pack.
    pub size: Option<Size>,
    /// How long a dead pack's object is kept.
    pub delete_after: Option<Duration>,
    /// Packs uploaded at the same time.
    pub uploads: Option<usize>,
    /// How often the bucket is listed for objects that no row knows; default 6 hours.
    pub sweep_every: Option<Duration>,
    /// How long the owner object must have been ours, undisputed, before anything is deleted; default 10 minutes.
    pub owner_settle: Option<Duration>,
}

/// Memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// Bytes for caches and buffers; default a quarter of the memory, at least 256 MiB.
    pub budget: Option<Size>,
}

/// The warm tier.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WarmConfig {
    /// Bytes on disk; `0` turns it off; default what fills the disk to 80 %.
    pub size: Option<Size>,
    /// Folder; default `warm` in the data folder.
    pub dir: Option<PathBuf>,
}

/// The disk of the data folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskConfig {
    /// Creates are refused below this much free space; default 5 %, at least 1 GiB.
    pub min_free: Option<Size>,
}

/// Names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataConfig {
    /// Disk space set aside so that deleting works on a full disk.
    pub reserve: Option<Size>,
    /// The database of metadata stores of kind `postgres`; several gateways may share it.
    pub postgres: Option<DatabaseConfig>,
}

/// Whether connections to the database are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Always; the server's certificate and name are verified.
    #[default]
    On,
    /// Never.
    Off,
}

/// The shared metadata database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://user@host:port/database`, without a password.
    pub url: String,
    /// File with the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Encryption.
    #[serde(default)]
    pub tls: TlsMode,
    /// PEM file of the certificates to trust; default those of the system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Schema of the tables; default `dfs`.
    #[serde(default)]
    pub schema: Option<String>,
    /// Most connections; default 16.
    #[serde(default)]
    pub connections: Option<usize>,
    /// How long a share stays a gateway's that says nothing, and so how long another waits before it takes over; default 15 s.
    #[serde(default)]
    pub lease: Option<Duration>,
    /// How long operations wait for a database that cannot be used before clients are told to come later; default 10 s.
    #[serde(default)]
    pub patience: Option<Duration>,
}

/// A Postgres database of the control plane; several gateways may share it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlDatabaseConfig {
    /// `postgres://user@host:port/database`, without a password.
    pub url: String,
    /// File with the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Encryption.
    #[serde(default)]
    pub tls: TlsMode,
    /// PEM file of the certificates to trust; default those of the system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Schema of the tables; default `dfs_control`.
    #[serde(default)]
    pub schema: Option<String>,
    /// Most connections; default 4.
    #[serde(default)]
    pub connections: Option<usize>,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Logs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoggingConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,dfs_nfs=debug`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

impl Default for LoggingConfig {
    fn default() -> Self {
        LoggingConfig { level: "info".to_owned(), format: LogFormat::Text }
    }
}

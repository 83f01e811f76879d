//! The configuration: YAML, every key optional, unknown keys refused with the nearest known one named.
//!
//! Precedence: command line, then environment (`DFS_SECTION__KEY`), then the file, then defaults, some of them computed from
//! the machine (a tenth of the disk for the journal, a quarter of the memory …). Settings that the control plane may change
//! live are kept in its database and go before all of these but the command line.

mod environment;
mod keys;
mod lines;
mod load;
mod machine;
mod remote;
mod show;
mod values;

pub use keys::schema;
pub use load::{ConfigError, Loaded, Source, load, load_with};
pub(crate) use load::{Wrong, bad_level, check_text, process_environment};
pub(crate) use machine::{Finding, certificates, check_machine};
pub use remote::{ControlDatabaseConfig, DatabaseConfig, TlsConfig, TlsMode};
pub(crate) use show::{as_json, as_yaml, effective, hidden, sizes_of};
pub use values::{Duration, Size};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
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
    /// The record of who changed what.
    pub audit: AuditConfig,
    /// Logs.
    pub logging: LoggingConfig,
    /// How long a stop waits for requests under way.
    pub shutdown_timeout: Option<Duration>,
}

/// NFS and MOUNT, on one port.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NfsConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// Connections of all clients together; more are refused.
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
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PortmapConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// Address and port.
    pub listen: SocketAddr,
}

impl Default for PortmapConfig {
    fn default() -> Self {
        PortmapConfig { enabled: false, listen: SocketAddr::from(([127, 0, 0, 1], 10111)) }
    }
}

/// REST. Only loopback unless it has TLS, or `insecure_listen` says that plain HTTP on a network is meant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// Plain HTTP on an address that a network reaches is meant.
    pub insecure_listen: bool,
    /// Certificate and key; with them the address need not be of this machine only.
    pub tls: Option<TlsConfig>,
    /// Requests per second that one client address may make on the long run; twice as many at once.
    pub requests_per_second: u32,
    /// Requests served at the same time; more are told to come later.
    pub max_requests: usize,
    /// Wrong logins a minute that one client address may try.
    pub login_tries_per_minute: u32,
    /// Hours that a login lasts without being used.
    pub session_hours: u32,
    /// The Postgres database of users, shares and stores, which gateways may share; default one in the data folder.
    pub database: Option<ControlDatabaseConfig>,
}

impl Default for ControlConfig {
    fn default() -> Self {
        ControlConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            insecure_listen: false,
            tls: None,
            requests_per_second: 200,
            max_requests: 256,
            login_tries_per_minute: 10,
            session_hours: 168,
            database: None,
        }
    }
}

/// Prometheus metrics at `/metrics`. Only loopback unless TLS or `insecure_listen`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Whether there are any.
    pub enabled: bool,
    /// Address and port.
    pub listen: SocketAddr,
    /// Plain HTTP on an address that a network reaches is meant.
    pub insecure_listen: bool,
    /// Certificate and key.
    pub tls: Option<TlsConfig>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 9090));
        MetricsConfig { enabled: true, listen, insecure_listen: false, tls: None }
    }
}

/// The write-back journal.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlushConfig {
    /// Age at which a record is flushed.
    pub after: Option<Duration>,
}

/// Packs in the object store.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// Bytes for caches and buffers; default a quarter of the memory, at least 256 MiB.
    pub budget: Option<Size>,
}

/// The warm tier.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WarmConfig {
    /// Bytes on disk; `0` turns it off; default what fills the disk to 80 %.
    pub size: Option<Size>,
    /// Folder; default `warm` in the data folder.
    pub dir: Option<PathBuf>,
}

/// The disk of the data folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiskConfig {
    /// Creates are refused below this much free space; default 5 %, at least 1 GiB.
    pub min_free: Option<Size>,
}

/// Names.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataConfig {
    /// Disk space set aside so that deleting works on a full disk.
    pub reserve: Option<Size>,
    /// The database of metadata stores of kind `postgres`; several gateways may share it.
    pub postgres: Option<DatabaseConfig>,
}

/// The audit log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Days that a record is kept.
    pub keep_days: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        AuditConfig { keep_days: 365 }
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Logs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoggingConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,dfs_nfs=debug`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
    /// File of a gateway in the background; default `dfs.log` in the data folder. One in the foreground logs to standard error.
    pub file: Option<PathBuf>,
    /// The file is put aside when it has so many bytes; `0` never.
    pub rotate_bytes: Size,
    /// The file is put aside when it is so old; `0s` never.
    pub rotate_after: Duration,
    /// Files that were put aside and are kept, as `FILE.1` (the newest), `FILE.2` …
    pub keep_files: u32,
}

impl Default for LoggingConfig {
    fn default() -> Self {
        LoggingConfig {
            level: "info".to_owned(),
            format: LogFormat::Text,
            file: None,
            rotate_bytes: Size(64 << 20),
            rotate_after: Duration(std::time::Duration::from_secs(7 * 86_400)),
            keep_files: 8,
        }
    }
}

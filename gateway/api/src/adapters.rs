//! Adapters: the protocols that clients speak, each with a listener and settings that change while it serves; and the
//! clients that are connected.

use crate::shares::Operation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// NFS version 3 with MOUNT on the same port.
    Nfs,
}

impl AdapterKind {
    /// Its name as paths have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AdapterKind::Nfs => "nfs",
        }
    }
}

/// An adapter as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Adapter {
    /// Its protocol.
    pub kind: AdapterKind,
    /// Whether it shall serve.
    pub enabled: bool,
    /// Address and port, for instance `0.0.0.0:12049`.
    pub listen: String,
    /// `serving`, `stopped`, or `failed: ` and why.
    pub state: String,
    /// Clients connected now.
    pub connections: u64,
    /// Its settings.
    pub settings: NfsSettings,
}

/// Adds an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddAdapter {
    /// Its protocol.
    pub kind: AdapterKind,
    /// Address and port; that of the configuration file when absent.
    #[serde(default)]
    pub listen: Option<String>,
    /// Whether it serves at once.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// Changes an adapter; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeAdapter {
    /// Whether it shall serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Address and port. The new port is open before the old one closes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
}

/// Settings of the NFS adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NfsSettings {
    /// Clients connected at the same time; more are closed at once.
    pub max_connections: u32,
    /// Requests of one client that are worked on at the same time; more are read later.
    pub max_requests_per_connection: u32,
    /// Bytes of memory for requests with data.
    pub request_memory_bytes: u64,
    /// Refuse clients that do not come from a port below 1024.
    pub require_privileged_port: bool,
    /// Operations that are refused in every share, whoever asks.
    pub blocked_operations: Vec<Operation>,
    /// A client that says nothing for so long is disconnected; 0: never.
    pub idle_timeout_seconds: u64,
}

/// Changes settings of the NFS adapter; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeNfsSettings {
    /// Clients connected at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Requests of one client that are worked on at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests_per_connection: Option<u32>,
    /// Bytes of memory for requests with data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_memory_bytes: Option<u64>,
    /// Refuse clients that do not come from a port below 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_privileged_port: Option<bool>,
    /// Operations that are refused in every share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_operations: Option<Vec<Operation>>,
    /// A client that says nothing for so long is disconnected; 0: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_seconds: Option<u64>,
}

impl NfsSettings {
    /// The settings with what a request changes.
    #[must_use]
    pub fn changed(mut self, change: ChangeNfsSettings) -> NfsSettings {
        let ChangeNfsSettings {
            max_connections,
            max_requests_per_connection,
            request_memory_bytes,
            require_privileged_port,
            blocked_operations,
            idle_timeout_seconds,
        } = change;
        self.max_connections = max_connections.unwrap_or(self.max_connections);
        self.max_requests_per_connection =
            max_requests_per_connection.unwrap_or(self.max_requests_per_connection);
        self.request_memory_bytes = request_memory_bytes.unwrap_or(self.request_memory_bytes);
        self.require_privileged_port = require_privileged_port.unwrap_or(self.require_privileged_port);
        self.blocked_operations = blocked_operations.unwrap_or(self.blocked_operations);
        self.idle_timeout_seconds = idle_timeout_seconds.unwrap_or(self.idle_timeout_seconds);
        self
    }
}

/// A connected client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientStatus {
    /// Names it in other calls, as long as it is connected.
    pub id: String,
    /// `nfs3`.
    pub protocol: String,
    /// Address and port.
    pub address: String,
    /// Seconds since 1970.
    pub connected_at: i64,
    /// Requests answered.
    pub requests: u64,
    /// Bytes that it sent.
    pub received_bytes: u64,
    /// Bytes that were sent to it.
    pub sent_bytes: u64,
    /// Shares that it used lately.
    pub shares: Vec<String>,
    /// User ids that it acted for lately.
    pub user_ids: Vec<u32>,
}

/// A share that a client has mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mount {
    /// Address of the client.
    pub client: String,
    /// The share.
    pub share: String,
    /// `nfs3`.
    pub protocol: String,
    /// Seconds since 1970.
    pub mounted_at: i64,
}

fn yes() -> bool {
    true
}

//! Rows about the gateway that are not types of the API themselves.

use dfs_api::{AdapterKind, NfsSettings};
use serde::{Deserialize, Serialize};

/// A protocol adapter as the administrator left it. An address means something on one machine only: of several gateways on
/// one control database each has its own rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterRow {
    /// The gateway's name, [`crate::ManageBackend::gateway`]; empty where the database is one gateway's own.
    #[serde(default)]
    pub gateway: String,
    /// Its protocol.
    pub kind: AdapterKind,
    /// Whether it serves.
    pub enabled: bool,
    /// Whether it was removed: without a row there is the adapter of the configuration file.
    #[serde(default)]
    pub removed: bool,
    /// Address that it listens on; none: that of the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Its settings, if they were ever changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<NfsSettings>,
}

impl AdapterRow {
    /// The key of a gateway's adapter.
    #[must_use]
    pub fn key_of(gateway: &str, kind: AdapterKind) -> String {
        match gateway {
            "" => kind.name().to_owned(),
            gateway => format!("{gateway}/{}", kind.name()),
        }
    }
}

/// A setting that was changed while the gateway runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingRow {
    /// For instance `logging.level`.
    pub key: String,
    /// Its value.
    pub value: serde_json::Value,
}

//! Rows about the gateway that are not types of the API themselves.

use dfs_api::{AdapterKind, NfsSettings};
use serde::{Deserialize, Serialize};

/// A protocol adapter as the administrator left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterRow {
    /// Its protocol.
    pub kind: AdapterKind,
    /// Whether it serves.
    pub enabled: bool,
    /// Address that it listens on; none: that of the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Its settings, if they were ever changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<NfsSettings>,
}

/// A setting that was changed while the gateway runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingRow {
    /// For instance `logging.level`.
    pub key: String,
    /// Its value.
    pub value: serde_json::Value,
}

//! Settings that change while the gateway runs, identity mappings, the audit log, backups of the control plane.

use crate::auth::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a setting's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SettingSource {
    /// Nobody said anything.
    Default,
    /// The configuration file or the environment.
    File,
    /// It was set here.
    Database,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Its name, as in the configuration file: `logging.level`.
    pub key: String,
    /// As it is in force.
    pub value: serde_json::Value,
    /// What holds without a value.
    pub default: serde_json::Value,
    /// What it does.
    pub description: String,
    /// Whether it can be set here and acts at once; the others are set in the configuration file.
    pub live: bool,
    /// Where the value comes from.
    pub source: SettingSource,
}

/// Sets a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSetting {
    /// A text, a number or a boolean, whatever the setting takes.
    pub value: serde_json::Value,
}

/// Tells for which user a principal acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityMapping {
    /// `uid:1234` (a user id that clients send) or `name@REALM` (Kerberos).
    pub principal: String,
    /// Name of the user.
    pub user: String,
}

/// How something that was asked for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditResult {
    /// It was done.
    Done,
    /// It was refused; nothing changed.
    Refused,
    /// It failed.
    Failed,
}

/// Who did what, from where, and what it changed. Secrets in it are shown as `***`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// Grows with time.
    pub id: u64,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Name of the caller, or the name that a login was tried with.
    pub user: String,
    /// His role; absent where nobody was logged in.
    #[serde(default)]
    pub role: Option<Role>,
    /// Address that the request came from.
    pub address: String,
    /// That of the request.
    pub request_id: String,
    /// What was asked for, for instance `share.create`.
    pub action: String,
    /// What it was about: the name of a share, user, store …
    pub target: String,
    /// How it ended.
    pub result: AuditResult,
    /// Type of the problem where it was refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// What it was afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
}

/// Which records of the audit log are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditQuery {
    /// Not earlier; milliseconds since 1970.
    pub since: Option<i64>,
    /// Earlier; milliseconds since 1970.
    pub until: Option<i64>,
    /// By this user.
    pub user: Option<String>,
    /// This action, or all that begin with it and a dot: `share` finds `share.create`.
    pub action: Option<String>,
    /// About this.
    pub target: Option<String>,
    /// Records of one answer.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    /// Id of the last record seen; older ones follow.
    pub after: Option<u64>,
}

/// Asks for a backup of the control plane.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// What the backup is encrypted with; at least 8 characters.
    pub passphrase: String,
}

/// What a restore of the control plane brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RestoreReport {
    /// Rows by kind.
    pub users: u64,
    /// See `users`.
    pub groups: u64,
    /// See `users`.
    pub grants: u64,
    /// See `users`.
    pub shares: u64,
    /// See `users`.
    pub metadata_stores: u64,
    /// See `users`.
    pub cold_stores: u64,
    /// See `users`.
    pub netgroups: u64,
    /// See `users`.
    pub identity_mappings: u64,
    /// See `users`.
    pub adapters: u64,
    /// See `users`.
    pub settings: u64,
    /// Whether the gateway must be started again to serve what was restored.
    pub restart_needed: bool,
}

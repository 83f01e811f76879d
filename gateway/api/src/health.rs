//! How the gateway is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the gateway is, told without logging in: no names of shares or stores are in it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`, `degraded` (serving, with something to look at: a cold store that does not answer, a share that could not be
    /// opened) or `failed` (a share is read-only). That it answers at all means that every share was tried: the gateway is
    /// ready, and stays so while a share is down.
    pub status: String,
    /// Version of the server.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Process id.
    pub pid: u32,
    /// Shares served.
    pub shares: usize,
    /// Shares that are configured and could not be opened; the share list says why.
    #[serde(default)]
    pub shares_failed: usize,
}

/// Whether the gateway can take requests, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// Whether it is ready.
    pub ready: bool,
    /// What it waits for, in words; no names of shares or stores are in it.
    pub waiting: Vec<String>,
}

/// Kind of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum StoreKind {
    Metadata,
    Cold,
}

/// How a store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreHealth {
    /// Whether it keeps names or packs.
    pub kind: StoreKind,
    /// Its name.
    pub name: String,
    /// `up`, or what is wrong.
    pub health: String,
}

/// What answers at `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// `dfs`.
    pub name: String,
    /// Version of the server.
    pub version: String,
    /// Path of the readable description of every route.
    pub docs: String,
}

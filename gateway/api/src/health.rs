//! How the gateway is.

use serde::{Deserialize, Serialize};

/// How the gateway is, told without logging in: no names of shares or stores are in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, `degraded` (serving, with something to look at) or `failed` (a share is read-only).
    pub status: String,
    /// Version of the server.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Process id.
    pub pid: u32,
    /// Shares served.
    pub shares: usize,
}

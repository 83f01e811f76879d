//! How the gateway is.

use serde::{Deserialize, Serialize};

/// How the gateway is, told without logging in: no names of shares or stores are in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

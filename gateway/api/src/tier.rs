//! The tiers: what is where, what is at risk, and flushing.

use serde::{Deserialize, Serialize};

/// The tiers of the whole gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TierStatus {
    /// Bytes from the oldest unplaced record to the head over the journal's size, 0 … 1.
    pub occupancy: f64,
    pub journal_bytes: u64,
    pub hot_bytes: u64,
    pub hot_hits: u64,
    pub hot_misses: u64,
    pub warm_bytes: u64,
    pub warm_hits: u64,
    pub warm_misses: u64,
    pub cache_drops: u64,
    pub shares: Vec<ShareTierStatus>,
}

/// The tiers of one share.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ShareTierStatus {
    pub share: String,
    pub durability: String,
    /// Bytes whose only durable copy is the log.
    pub dirty_bytes: u64,
    pub dirty_inodes: u64,
    /// Age of the oldest record that a power cut would lose, in seconds; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_undurable_seconds: Option<f64>,
    /// Age of the oldest record that is not in the object store, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_unplaced_seconds: Option<f64>,
    pub uploads_in_flight: u64,
    pub uploaded_bytes: u64,
    pub uploads: u64,
    pub fetched_bytes: u64,
    /// `up`, or what is wrong with the cold store.
    pub cold: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Asks for dirty data to be placed in the cold store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlushRequest {
    /// One share; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
}

/// A piece of work that goes on after the reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Job {
    pub id: u64,
    pub what: String,
    /// `running`, `done` or `failed`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

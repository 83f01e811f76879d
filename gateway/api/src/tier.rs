//! The tiers: what is where, what is at risk, and flushing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tiers of the whole gateway. Sizes are bytes; counts are since the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TierStatus {
    /// Bytes from the oldest unplaced record to the head over the journal's size, 0 … 1; may exceed 1.
    pub occupancy: f64,
    /// The journal's size.
    pub journal_bytes: u64,
    /// Bytes a second that leave the journal, as measured while it drains.
    pub drain_bytes_per_second: u64,
    /// Memory that decoded blocks take, and may take.
    pub hot_bytes: u64,
    /// See `hot_bytes`.
    pub hot_capacity_bytes: u64,
    /// Look-ups in memory that found a block.
    pub hot_hits: u64,
    /// Look-ups in memory that did not.
    pub hot_misses: u64,
    /// Bytes that the tier on disk may take.
    pub warm_bytes: u64,
    /// Bytes of disk that it had at the start: less than `warm_bytes` where the file system cannot give them beforehand.
    pub warm_allocated_bytes: u64,
    /// Look-ups on disk that found a block.
    pub warm_hits: u64,
    /// Look-ups on disk that did not.
    pub warm_misses: u64,
    /// Blocks that the tier on disk did not take.
    pub cache_drops: u64,
    /// Every configured share.
    pub shares: Vec<ShareTierStatus>,
}

/// Dirty data of one age: its only durable copy is this machine's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AtRisk {
    /// Least age in seconds; the next band's is where this one ends.
    pub older_than_seconds: u64,
    /// Bytes.
    pub bytes: u64,
    /// Files whose oldest dirty data is that old.
    pub files: u64,
}

/// The tiers of one share. Counts are since the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ShareTierStatus {
    /// Its name.
    pub share: String,
    /// `serving`, or why not.
    pub state: String,
    /// Its class.
    pub durability: String,
    /// Bytes whose only durable copy is the journal.
    pub dirty_bytes: u64,
    /// Files that have some.
    pub dirty_inodes: u64,
    /// Bytes in this gateway's journal that were not in the object store when another gateway took the share over.
    pub stranded_bytes: u64,
    /// The same by age: what the loss of this machine's disk would lose.
    pub at_risk: Vec<AtRisk>,
    /// Age of the oldest record that a power cut would lose, in seconds; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_undurable_seconds: Option<f64>,
    /// Age of the oldest record that is not in the object store, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_unplaced_seconds: Option<f64>,
    /// Files that are not flushed because their bytes in the journal are damaged: what, where, what to do.
    pub held: Vec<String>,
    /// Packs being uploaded now.
    pub uploads_in_flight: u64,
    /// Packs uploaded, and their bytes.
    pub uploads: u64,
    /// See `uploads`.
    pub uploaded_bytes: u64,
    /// Uploads that failed or whose outcome is unknown; each was made again.
    pub uploads_failed: u64,
    /// Bytes fetched from the object store.
    pub fetched_bytes: u64,
    /// Blocks that readers got from memory, from disk, from the object store.
    pub blocks_hot: u64,
    /// See `blocks_hot`.
    pub blocks_warm: u64,
    /// See `blocks_hot`.
    pub blocks_cold: u64,
    /// Bytes in the object store that files refer to.
    pub placed_bytes: u64,
    /// `up`, or what is wrong with the cold store.
    pub cold: String,
    /// Since when it has been failing, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold_down_seconds: Option<f64>,
    /// The last error of flusher or cleaner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl ShareTierStatus {
    /// Share of reads' blocks that needed no object store, 0 … 1; `None` before the first.
    #[must_use]
    pub fn local_ratio(&self) -> Option<f64> {
        let local = self.blocks_hot + self.blocks_warm;
        let all = local + self.blocks_cold;
        (all > 0).then(|| local as f64 / all as f64)
    }
}

/// Asks for dirty data to be placed in the cold store.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlushRequest {
    /// One share; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
}

/// A piece of work that goes on after the reply.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Job {
    pub id: u64,
    pub what: String,
    /// `running`, `done` or `failed`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

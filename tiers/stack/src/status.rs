//! What an administrator sees of the tiers of one share.

use crate::owner::OwnerState;
use dfs_cache::CacheStats;
use std::time::Duration;

/// Packs of the ledger by state, as of the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PackCounts {
    pub up: u64,
    pub live: u64,
    pub dead: u64,
    /// Bytes of live packs.
    pub live_pack_bytes: u64,
    /// Bytes in live packs that extents refer to.
    pub referred_bytes: u64,
}

/// Blocks that readers of a share got, by the tier that had them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct BlocksServed {
    pub hot: u64,
    pub warm: u64,
    pub cold: u64,
}

/// State of a share's tiers at one moment.
#[derive(Clone, Debug)]
pub struct TierStatus {
    /// Bytes of records that are not placed.
    pub dirty_bytes: u64,
    /// Inodes with such records.
    pub dirty_inodes: u64,
    /// Age of the oldest unplaced record.
    pub oldest_unplaced: Option<Duration>,
    /// Occupancy of the data folder's log, 0 … 1.
    pub occupancy: f64,
    /// Packs being uploaded now, and the most that may be at once.
    pub uploads_in_flight: usize,
    /// Current width of the upload window.
    pub upload_window: usize,
    /// Bytes of packs in memory now.
    pub pack_memory: u64,
    /// Packs uploaded since the start.
    pub packs_uploaded: u64,
    /// Their bytes.
    pub bytes_uploaded: u64,
    /// Bytes read back in order to rewrite windows (write amplification).
    pub bytes_rewritten: u64,
    /// Uploads that failed or whose outcome is unknown, since the start.
    pub uploads_failed: u64,
    /// Packs by state.
    pub packs: PackCounts,
    /// Who owns the share's objects.
    pub owner: OwnerState,
    /// Where the share's blocks came from since the start.
    pub served: BlocksServed,
    /// Bytes fetched from the object store for its readers and its flusher since the start.
    pub bytes_fetched: u64,
    /// Cache figures.
    pub cache: CacheStats,
    /// Since when the object store has been failing, if it is.
    pub cold_down_for: Option<Duration>,
    /// A cause that does not go away by itself, in the operator's words.
    pub cold_permanent: Option<String>,
    /// The last error of flusher or cleaner.
    pub last_error: Option<String>,
    /// Files that are not flushed because their bytes in the journal are damaged: what, where, and what to do.
    pub held: Vec<String>,
    /// Why the flusher stopped for good, if it did.
    pub stopped: Option<String>,
}

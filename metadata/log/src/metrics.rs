//! Metrics of logs and pools. Every name is in [`TABLE`]; handles are made once per log and per pool.

use metrics::{Counter, Gauge, Histogram};

/// Name, unit, labels and meaning of every metric of this crate.
pub const TABLE: &[(&str, &str, &[&str], &str)] = &[
    ("dfs_log_appended_count_total", "count", &["log"], "Records appended"),
    (
        "dfs_log_appended_bytes_total",
        "bytes",
        &["log"],
        "Bytes appended, record headers and padding included",
    ),
    ("dfs_log_syncs_count_total", "count", &["log"], "Syncs of a segment that ended well"),
    ("dfs_log_sync_seconds", "seconds", &["log"], "Time of one sync of a segment"),
    ("dfs_log_sync_batch_count", "count", &["log"], "Records that one sync made durable"),
    ("dfs_log_rolls_count_total", "count", &["log"], "Segments opened"),
    ("dfs_log_roll_seconds", "seconds", &["log"], "Time from closing a segment to the next one being usable"),
    ("dfs_log_reserve_waits_count_total", "count", &["log"], "Reservations that had to wait"),
    ("dfs_log_pool_segments_count", "count", &["pool"], "Segments of the pool"),
    ("dfs_log_pool_free_segments_count", "count", &["pool"], "Segments of the pool that no log holds"),
    (
        "dfs_log_pool_poisoned_count",
        "count",
        &["pool"],
        "1 after a sync or write failed: shares are read-only",
    ),
];

/// Handles of one log.
pub(crate) struct LogMetrics {
    pub(crate) appended: Counter,
    pub(crate) appended_bytes: Counter,
    pub(crate) syncs: Counter,
    pub(crate) sync_seconds: Histogram,
    pub(crate) sync_batch: Histogram,
    pub(crate) rolls: Counter,
    pub(crate) roll_seconds: Histogram,
    pub(crate) reserve_waits: Counter,
}

impl LogMetrics {
    pub(crate) fn new(log: &'static str) -> Self {
        Self {
            appended: metrics::counter!("dfs_log_appended_count_total", "log" => log),
            appended_bytes: metrics::counter!("dfs_log_appended_bytes_total", "log" => log),
            syncs: metrics::counter!("dfs_log_syncs_count_total", "log" => log),
            sync_seconds: metrics::histogram!("dfs_log_sync_seconds", "log" => log),
            sync_batch: metrics::histogram!("dfs_log_sync_batch_count", "log" => log),
            rolls: metrics::counter!("dfs_log_rolls_count_total", "log" => log),
            roll_seconds: metrics::histogram!("dfs_log_roll_seconds", "log" => log),
            reserve_waits: metrics::counter!("dfs_log_reserve_waits_count_total", "log" => log),
        }
    }
}

/// Handles of one pool.
pub(crate) struct PoolMetrics {
    pub(crate) segments: Gauge,
    pub(crate) free: Gauge,
    pub(crate) poisoned: Gauge,
}

impl PoolMetrics {
    pub(crate) fn new(pool: &'static str) -> Self {
        Self {
            segments: metrics::gauge!("dfs_log_pool_segments_count", "pool" => pool),
            free: metrics::gauge!("dfs_log_pool_free_segments_count", "pool" => pool),
            poisoned: metrics::gauge!("dfs_log_pool_poisoned_count", "pool" => pool),
        }
    }
}

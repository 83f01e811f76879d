//! Metrics of the cache. Every name is in [`TABLE`].

use metrics::{Counter, Gauge};

/// Name, unit, labels and meaning of every metric of this crate.
pub const TABLE: &[(&str, &str, &[&str], &str)] = &[
    ("dfs_cache_hits_count_total", "count", &["tier"], "Lookups that found their block, by tier (hot, warm)"),
    ("dfs_cache_misses_count_total", "count", &["tier"], "Lookups that did not, by tier (hot, warm)"),
    ("dfs_cache_hot_bytes", "bytes", &[], "Bytes of decoded blocks in memory"),
    ("dfs_cache_warm_written_bytes_total", "bytes", &[], "Bytes of blocks handed to the NVMe tier"),
    ("dfs_cache_queue_bytes", "bytes", &[], "Bytes of blocks that wait to be handed to the NVMe tier"),
    (
        "dfs_cache_dropped_count_total",
        "count",
        &["reason"],
        "Offers to the NVMe tier that were lost, by reason (queue: ours was full; engine: not kept)",
    ),
];

pub(crate) struct CacheMetrics {
    pub hot_hits: Counter,
    pub hot_misses: Counter,
    pub warm_hits: Counter,
    pub warm_misses: Counter,
    pub hot_bytes: Gauge,
    pub warm_written: Counter,
    pub queue_bytes: Gauge,
    pub dropped_queue: Counter,
    pub dropped_engine: Counter,
}

impl CacheMetrics {
    pub(crate) fn new() -> CacheMetrics {
        CacheMetrics {
            hot_hits: metrics::counter!("dfs_cache_hits_count_total", "tier" => "hot"),
            hot_misses: metrics::counter!("dfs_cache_misses_count_total", "tier" => "hot"),
            warm_hits: metrics::counter!("dfs_cache_hits_count_total", "tier" => "warm"),
            warm_misses: metrics::counter!("dfs_cache_misses_count_total", "tier" => "warm"),
            hot_bytes: metrics::gauge!("dfs_cache_hot_bytes"),
            warm_written: metrics::counter!("dfs_cache_warm_written_bytes_total"),
            queue_bytes: metrics::gauge!("dfs_cache_queue_bytes"),
            dropped_queue: metrics::counter!("dfs_cache_dropped_count_total", "reason" => "queue"),
            dropped_engine: metrics::counter!("dfs_cache_dropped_count_total", "reason" => "engine"),
        }
    }
}

//! Metrics of the metadata stores.
//!
//! | name | unit | labels | meaning |
//! |---|---|---|---|
//! | `dfs_metadata_commits_total` | transactions | – | transactions applied |
//! | `dfs_metadata_redo_bytes_total` | bytes | – | redo records appended to the name log |
//! | `dfs_metadata_memtable_bytes` | bytes | – | memory of rows that no checkpoint holds yet |
//! | `dfs_metadata_log_bytes` | bytes | – | name log segments in use |
//! | `dfs_metadata_checkpoints_total` | checkpoints | – | checkpoints written |
//! | `dfs_metadata_checkpoint_rows_total` | rows | – | rows written or deleted by checkpoints |
//! | `dfs_metadata_checkpoint_seconds` | seconds | – | how long a checkpoint took |
//! | `dfs_metadata_create_waits_total` | waits | – | creates that waited for a lagging checkpoint |
//! | `dfs_metadata_nospace_total` | refusals | – | creates refused because the disk is nearly full |
//! | `dfs_metadata_database_up_flag` | 1 or 0 | – | whether the Postgres metadata database answers |
//! | `dfs_metadata_database_commits_total` | transactions | – | changes committed in it |
//! | `dfs_metadata_database_conflicts_total` | attempts | – | attempts repeated because another transaction was in the way |
//! | `dfs_metadata_database_retries_total` | attempts | – | attempts repeated because it could not be used |

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::fmt;

/// Name, unit, labels and meaning of each metric; what dashboards and alerts are checked against.
pub const TABLE: &[(&str, &str, &str, &str)] = &[
    ("dfs_metadata_commits_total", "transactions", "", "transactions applied"),
    ("dfs_metadata_redo_bytes_total", "bytes", "", "redo records appended to the name log"),
    ("dfs_metadata_memtable_bytes", "bytes", "", "memory of rows that no checkpoint holds yet"),
    ("dfs_metadata_log_bytes", "bytes", "", "name log segments in use"),
    ("dfs_metadata_checkpoints_total", "checkpoints", "", "checkpoints written"),
    ("dfs_metadata_checkpoint_rows_total", "rows", "", "rows written or deleted by checkpoints"),
    ("dfs_metadata_checkpoint_seconds", "seconds", "", "how long a checkpoint took"),
    ("dfs_metadata_create_waits_total", "waits", "", "creates that waited for a lagging checkpoint"),
    ("dfs_metadata_nospace_total", "refusals", "", "creates refused because the disk is nearly full"),
    ("dfs_metadata_database_up_flag", "1 or 0", "", "whether the Postgres metadata database answers"),
    ("dfs_metadata_database_commits_total", "transactions", "", "changes committed in it"),
    (
        "dfs_metadata_database_conflicts_total",
        "attempts",
        "",
        "attempts repeated because another transaction was in the way",
    ),
    ("dfs_metadata_database_retries_total", "attempts", "", "attempts repeated because it could not be used"),
];

/// Handles to the metrics.
pub(crate) struct StoreMetrics {
    pub commits: Counter,
    pub redo_bytes: Counter,
    pub memtable_bytes: Gauge,
    pub log_bytes: Gauge,
    pub checkpoints: Counter,
    pub checkpoint_rows: Counter,
    pub checkpoint_seconds: Histogram,
    pub create_waits: Counter,
    pub no_space: Counter,
}

impl StoreMetrics {
    pub fn new() -> StoreMetrics {
        StoreMetrics {
            commits: counter!("dfs_metadata_commits_total"),
            redo_bytes: counter!("dfs_metadata_redo_bytes_total"),
            memtable_bytes: gauge!("dfs_metadata_memtable_bytes"),
            log_bytes: gauge!("dfs_metadata_log_bytes"),
            checkpoints: counter!("dfs_metadata_checkpoints_total"),
            checkpoint_rows: counter!("dfs_metadata_checkpoint_rows_total"),
            checkpoint_seconds: histogram!("dfs_metadata_checkpoint_seconds"),
            create_waits: counter!("dfs_metadata_create_waits_total"),
            no_space: counter!("dfs_metadata_nospace_total"),
        }
    }
}

impl fmt::Debug for StoreMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreMetrics")
    }
}

/// Handles to the metrics of the Postgres store.
pub(crate) struct PostgresMetrics {
    pub up: Gauge,
    pub commits: Counter,
    pub conflicts: Counter,
    pub retries: Counter,
}

impl PostgresMetrics {
    pub fn new() -> PostgresMetrics {
        let up = gauge!("dfs_metadata_database_up_flag");
        up.set(1.0);
        PostgresMetrics {
            up,
            commits: counter!("dfs_metadata_database_commits_total"),
            conflicts: counter!("dfs_metadata_database_conflicts_total"),
            retries: counter!("dfs_metadata_database_retries_total"),
        }
    }
}

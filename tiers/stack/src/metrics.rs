//! Metrics of the stack. Every name is in [`TABLE`].

use metrics::{Counter, Gauge, Histogram};

/// Name, unit, labels and meaning of every metric of this crate.
pub const TABLE: &[(&str, &str, &[&str], &str)] = &[
    ("dfs_stack_probation_bytes_total", "bytes", &[], "Decoded bytes that came from placed journal segments"),
    ("dfs_stack_warm_bytes_total", "bytes", &[], "Decoded bytes that came from NVMe"),
    ("dfs_stack_cold_bytes_total", "bytes", &[], "Decoded bytes that came from the object store"),
    ("dfs_stack_gets_count_total", "count", &[], "Ranged GETs sent for blocks"),
    ("dfs_stack_ahead_bytes_total", "bytes", &[], "Stored bytes asked for ahead of readers"),
    (
        "dfs_stack_warm_damaged_count_total",
        "count",
        &[],
        "Blocks on NVMe whose checksum was wrong; they were fetched again",
    ),
    (
        "dfs_stack_cold_damaged_count_total",
        "count",
        &[],
        "Blocks in the object store whose checksum was wrong twice",
    ),
    ("dfs_stack_uploads_in_flight_count", "count", &[], "Packs being uploaded now"),
    ("dfs_stack_upload_window_count", "count", &[], "Packs that may be uploaded at once"),
    (
        "dfs_stack_uploads_count_total",
        "count",
        &["outcome"],
        "Uploads ended, by outcome (stored, exists, throttled, failed)",
    ),
    ("dfs_stack_uploaded_bytes_total", "bytes", &[], "Bytes of packs stored"),
    ("dfs_stack_upload_seconds", "seconds", &[], "Time of a pack's upload"),
    ("dfs_stack_flushed_bytes_total", "bytes", &[], "Bytes of files placed, before compression"),
    (
        "dfs_stack_rewritten_bytes_total",
        "bytes",
        &[],
        "Bytes of files read back to rewrite a window: write amplification",
    ),
    (
        "dfs_stack_places_count_total",
        "count",
        &["outcome"],
        "Inodes placed, by outcome (placed, absent, out_of_order)",
    ),
    ("dfs_stack_packs_deleted_count_total", "count", &["why"], "Objects deleted, by reason (dead, stray)"),
    ("dfs_stack_owner_lost_count_total", "count", &[], "Times that the owner object named somebody else"),
];

pub(crate) struct StackMetrics {
    pub probation_bytes: Counter,
    pub warm_bytes: Counter,
    pub cold_bytes: Counter,
    pub gets: Counter,
    pub ahead_bytes: Counter,
    pub warm_damaged: Counter,
    pub cold_damaged: Counter,
    pub uploads_in_flight: Gauge,
    pub upload_window: Gauge,
    pub uploads_stored: Counter,
    pub uploads_exists: Counter,
    pub uploads_throttled: Counter,
    pub uploads_failed: Counter,
    pub uploaded_bytes: Counter,
    pub upload_seconds: Histogram,
    pub flushed_bytes: Counter,
    pub rewritten_bytes: Counter,
    pub placed: Counter,
    pub absent: Counter,
    pub out_of_order: Counter,
    pub deleted_dead: Counter,
    pub deleted_stray: Counter,
    pub owner_lost: Counter,
}

impl StackMetrics {
    pub(crate) fn new() -> StackMetrics {
        let uploads =
            |outcome: &'static str| metrics::counter!("dfs_stack_uploads_count_total", "outcome" => outcome);
        let places =
            |outcome: &'static str| metrics::counter!("dfs_stack_places_count_total", "outcome" => outcome);
        let deleted =
            |why: &'static str| metrics::counter!("dfs_stack_packs_deleted_count_total", "why" => why);
        StackMetrics {
            probation_bytes: metrics::counter!("dfs_stack_probation_bytes_total"),
            warm_bytes: metrics::counter!("dfs_stack_warm_bytes_total"),
            cold_bytes: metrics::counter!("dfs_stack_cold_bytes_total"),
            gets: metrics::counter!("dfs_stack_gets_count_total"),
            ahead_bytes: metrics::counter!("dfs_stack_ahead_bytes_total"),
            warm_damaged: metrics::counter!("dfs_stack_warm_damaged_count_total"),
            cold_damaged: metrics::counter!("dfs_stack_cold_damaged_count_total"),
            uploads_in_flight: metrics::gauge!("dfs_stack_uploads_in_flight_count"),
            upload_window: metrics::gauge!("dfs_stack_upload_window_count"),
            uploads_stored: uploads("stored"),
            uploads_exists: uploads("exists"),
            uploads_throttled: uploads("throttled"),
            uploads_failed: uploads("failed"),
            uploaded_bytes: metrics::counter!("dfs_stack_uploaded_bytes_total"),
            upload_seconds: metrics::histogram!("dfs_stack_upload_seconds"),
            flushed_bytes: metrics::counter!("dfs_stack_flushed_bytes_total"),
            rewritten_bytes: metrics::counter!("dfs_stack_rewritten_bytes_total"),
            placed: places("placed"),
            absent: places("absent"),
            out_of_order: places("out_of_order"),
            deleted_dead: deleted("dead"),
            deleted_stray: deleted("stray"),
            owner_lost: metrics::counter!("dfs_stack_owner_lost_count_total"),
        }
    }
}

//! Metrics of journals. Every name is in [`TABLE`]; handles are made once per journal.

use dfs_model::ShareId;
use metrics::{Counter, Gauge, Histogram};

/// Name, unit, labels and meaning of every metric of this crate.
pub const TABLE: &[(&str, &str, &[&str], &str)] = &[
    ("dfs_journal_records_count_total", "count", &["share"], "Records appended"),
    ("dfs_journal_appended_bytes_total", "bytes", &["share"], "Bytes appended, framing included"),
    ("dfs_journal_settled_bytes_total", "bytes", &["share"], "Bytes of records that were placed or died"),
    ("dfs_journal_dirty_bytes", "bytes", &["share"], "Data bytes whose only durable copy is the journal"),
    ("dfs_journal_dirty_inodes_count", "count", &["share"], "Inodes with unplaced records"),
    ("dfs_journal_overlay_bytes", "bytes", &["share"], "Memory of the overlay, estimated"),
    ("dfs_journal_oldest_unplaced_seconds", "seconds", &["share"], "Age of the oldest unplaced record"),
    (
        "dfs_journal_oldest_undurable_seconds",
        "seconds",
        &["share"],
        "Age of the oldest record that no sync covers yet",
    ),
    ("dfs_journal_segments_dirty_count", "count", &["share"], "Segments with unplaced records"),
    ("dfs_journal_segments_probation_count", "count", &["share"], "Placed segments kept readable"),
    (
        "dfs_journal_reserve_wait_seconds",
        "seconds",
        &["share"],
        "Time that a reservation waited for pressure and room",
    ),
    (
        "dfs_journal_refused_count_total",
        "count",
        &["share", "reason"],
        "Reservations refused, by reason (delay, nospace, poisoned)",
    ),
    (
        "dfs_journal_moved_count_total",
        "count",
        &["share"],
        "Reads that found their segment recycled and resolved again",
    ),
    (
        "dfs_journal_occupancy_ratio",
        "ratio",
        &[],
        "Occupancy of the data folder's journals: 0 to 1, may exceed 1",
    ),
];

pub(crate) struct JournalMetrics {
    pub records: Counter,
    pub appended: Counter,
    pub settled: Counter,
    pub dirty_bytes: Gauge,
    pub dirty_inodes: Gauge,
    pub overlay_bytes: Gauge,
    pub oldest_unplaced: Gauge,
    pub oldest_undurable: Gauge,
    pub segments_dirty: Gauge,
    pub segments_probation: Gauge,
    pub reserve_wait: Histogram,
    pub delayed: Counter,
    pub no_space: Counter,
    pub poisoned: Counter,
    pub moved: Counter,
    pub occupancy: Gauge,
}

impl JournalMetrics {
    pub(crate) fn new(share: ShareId) -> JournalMetrics {
        let share = share.to_string();
        let refused = |reason: &'static str| metrics::counter!("dfs_journal_refused_count_total", "share" => share.clone(), "reason" => reason);
        let counter = |name: &'static str| metrics::counter!(name, "share" => share.clone());
        let gauge = |name: &'static str| metrics::gauge!(name, "share" => share.clone());
        JournalMetrics {
            records: counter("dfs_journal_records_count_total"),
            appended: counter("dfs_journal_appended_bytes_total"),
            settled: counter("dfs_journal_settled_bytes_total"),
            dirty_bytes: gauge("dfs_journal_dirty_bytes"),
            dirty_inodes: gauge("dfs_journal_dirty_inodes_count"),
            overlay_bytes: gauge("dfs_journal_overlay_bytes"),
            oldest_unplaced: gauge("dfs_journal_oldest_unplaced_seconds"),
            oldest_undurable: gauge("dfs_journal_oldest_undurable_seconds"),
            segments_dirty: gauge("dfs_journal_segments_dirty_count"),
            segments_probation: gauge("dfs_journal_segments_probation_count"),
            reserve_wait: metrics::histogram!("dfs_journal_reserve_wait_seconds", "share" => share.clone()),
            delayed: refused("delay"),
            no_space: refused("nospace"),
            poisoned: refused("poisoned"),
            moved: counter("dfs_journal_moved_count_total"),
            occupancy: metrics::gauge!("dfs_journal_occupancy_ratio"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_made_is_in_the_table_with_its_unit_in_the_name() {
        let source = include_str!("metrics.rs");
        let (_, code) = source.split_once("impl JournalMetrics").unwrap();
        let (code, _) = code.split_once("#[cfg(test)]").unwrap();
        for (name, unit, _, _) in TABLE {
            let bare = name.strip_suffix("_total").unwrap_or(name);
            assert!(bare.ends_with(unit), "{name} does not end with its unit {unit}");
            assert!(code.contains(&format!("\"{name}\"")), "{name} is declared but never made");
        }
        let made = code.matches("\"dfs_journal_").count();
        assert_eq!(made, TABLE.len(), "a metric is made that the table does not declare");
    }
}

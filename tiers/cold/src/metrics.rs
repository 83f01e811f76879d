//! Metrics of the cold stores. Every name is in [`TABLE`]; `store` is the configured name of the cold store.

use crate::ColdOp;
use metrics::{Counter, Gauge, Histogram};
use std::collections::BTreeMap;

/// Name, unit, labels and meaning of every metric of this crate.
pub const TABLE: &[(&str, &str, &[&str], &str)] = &[
    (
        "dfs_cold_requests_count_total",
        "count",
        &["store", "op", "outcome"],
        "Attempts at the store, by outcome (ok, exists, dropped, or the kind of the error)",
    ),
    ("dfs_cold_request_seconds", "seconds", &["store", "op"], "Time of an attempt at the store, histogram"),
    ("dfs_cold_sent_bytes_total", "bytes", &["store"], "Body bytes of attempts that stored something"),
    ("dfs_cold_received_bytes_total", "bytes", &["store"], "Body bytes received"),
    ("dfs_cold_in_flight_count", "count", &["store"], "Attempts under way"),
    ("dfs_cold_retries_count_total", "count", &["store", "op"], "Attempts made again after a failure"),
    ("dfs_cold_unknown_puts_count_total", "count", &["store"], "Puts given up with an outcome nobody knows"),
    ("dfs_cold_up_count", "count", &["store"], "1 up, 0 unreachable, -1 refusing until something is changed"),
];

/// The handles of one store, made once.
pub(crate) struct ColdMetrics {
    store: String,
    seconds: BTreeMap<ColdOp, Histogram>,
    retries: BTreeMap<ColdOp, Counter>,
    pub sent: Counter,
    pub received: Counter,
    pub in_flight: Gauge,
    pub unknown_puts: Counter,
    pub up: Gauge,
}

impl ColdMetrics {
    pub(crate) fn new(store: &str) -> ColdMetrics {
        let name = || store.to_owned();
        let seconds = |op: ColdOp| metrics::histogram!("dfs_cold_request_seconds", "store" => name(), "op" => op.name());
        let retries = |op: ColdOp| metrics::counter!("dfs_cold_retries_count_total", "store" => name(), "op" => op.name());
        ColdMetrics {
            store: name(),
            seconds: ColdOp::ALL.iter().map(|op| (*op, seconds(*op))).collect(),
            retries: ColdOp::ALL.iter().map(|op| (*op, retries(*op))).collect(),
            sent: metrics::counter!("dfs_cold_sent_bytes_total", "store" => name()),
            received: metrics::counter!("dfs_cold_received_bytes_total", "store" => name()),
            in_flight: metrics::gauge!("dfs_cold_in_flight_count", "store" => name()),
            unknown_puts: metrics::counter!("dfs_cold_unknown_puts_count_total", "store" => name()),
            up: metrics::gauge!("dfs_cold_up_count", "store" => name()),
        }
    }

    pub(crate) fn attempt(&self, op: ColdOp, outcome: &'static str, seconds: f64) {
        metrics::counter!(
            "dfs_cold_requests_count_total",
            "store" => self.store.clone(), "op" => op.name(), "outcome" => outcome
        )
        .increment(1);
        if let Some(histogram) = self.seconds.get(&op) {
            histogram.record(seconds);
        }
    }

    pub(crate) fn retried(&self, op: ColdOp) {
        if let Some(counter) = self.retries.get(&op) {
            counter.increment(1);
        }
    }
}

//! Metrics: the table of what this crate sets, and `/metrics` for Prometheus on a listener of its own.

use crate::doors::Door;
use crate::runtime::Runtime;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::Duration;

/// Name, unit, labels and meaning of each.
pub const METRICS: &[(&str, &str, &[&str], &str)] = &[
    (
        "dfs_server_share_open_flag",
        "0 or 1",
        &["share"],
        "Whether the share is open; 0 for one that could not be opened.",
    ),
    (
        "dfs_server_held_files_number",
        "files",
        &["share"],
        "Files that are not flushed because their bytes in the journal are damaged.",
    ),
    ("dfs_server_log_lines_dropped_total", "lines", &[], "Lines of the log that could not be written."),
    ("dfs_server_dirty_bytes", "bytes", &["share"], "Bytes whose only durable copy is the journal."),
    (
        "dfs_server_oldest_undurable_seconds",
        "seconds",
        &["share"],
        "Age of the oldest record that a power cut would lose; 0 without one.",
    ),
    (
        "dfs_server_oldest_unplaced_seconds",
        "seconds",
        &["share"],
        "Age of the oldest record that is not in the object store; 0 without one.",
    ),
    (
        "dfs_server_occupancy_ratio",
        "0 … 1",
        &[],
        "Journal from the oldest unplaced record to the head, over its size.",
    ),
];

/// How often figures are gathered while nobody asks for them: what histograms collect would grow without it.
const GATHER_EVERY: Duration = Duration::from_secs(5);

/// Gathers now and then, until its task is ended.
pub(crate) async fn gather(gateway: Arc<Runtime>, prometheus: PrometheusHandle) {
    loop {
        gateway.export_gauges();
        prometheus.run_upkeep();
        tokio::time::sleep(GATHER_EVERY).await;
    }
}

/// Serves until its task is ended.
pub(crate) async fn serve(listener: Door, gateway: Arc<Runtime>, prometheus: PrometheusHandle) {
    let render = move || {
        let (gateway, prometheus) = (gateway.clone(), prometheus.clone());
        async move {
            gateway.export_gauges();
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], prometheus.render())
        }
    };
    let app = Router::new().route("/metrics", get(render));
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the metrics listener ended");
    }
}

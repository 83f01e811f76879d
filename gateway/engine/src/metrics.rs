//! Metrics of the engine; gauges are set by whoever scrapes, from the share's status.

/// Name, unit, labels and meaning of each.
pub const METRICS: &[(&str, &str, &[&str], &str)] = &[
    (
        "dfs_engine_epoch_number",
        "number",
        &["share"],
        "Epoch of the share's opening; a new one is a new write verifier.",
    ),
    ("dfs_engine_cells_count", "inodes", &["share"], "Inodes with their attributes in memory."),
    (
        "dfs_engine_relaxed_flag",
        "0 or 1",
        &["share"],
        "1 when COMMIT claims more than is on disk (durability class relaxed).",
    ),
];

use crate::engine::{DurabilityClass, Engine};

impl Engine {
    /// Sets the gauges under the share's name.
    pub fn export_metrics(&self, name: &str) {
        let share = name.to_owned();
        metrics::gauge!("dfs_engine_epoch_number", "share" => share.clone()).set(f64::from(self.epoch.0));
        metrics::gauge!("dfs_engine_cells_count", "share" => share.clone()).set(self.cells.len() as f64);
        let relaxed = if self.settings.class == DurabilityClass::Relaxed { 1.0 } else { 0.0 };
        metrics::gauge!("dfs_engine_relaxed_flag", "share" => share).set(relaxed);
    }
}

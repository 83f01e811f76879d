//! The metrics endpoint under load: every figure is declared, and the ones that matter move.

use crate::bed::{Bed, http, noise};
use std::collections::{BTreeMap, BTreeSet};

/// Figures by name with labels.
fn scrape(bed: &Bed, at: std::net::SocketAddr) -> BTreeMap<String, f64> {
    let (status, text) = http(at, "GET", "/metrics", None, "");
    assert_eq!(status, 200, "{}", bed.log());
    let rows = text.lines().filter(|line| line.starts_with("dfs_")).filter_map(|line| line.rsplit_once(' '));
    rows.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn sum(figures: &BTreeMap<String, f64>, name: &str) -> f64 {
    let mine = figures.iter().filter(|(key, _)| key.split('{').next() == Some(name));
    mine.map(|(_, value)| *value).sum()
}

/// Name and labels of every declared metric of the crates that the gateway is made of.
fn declared() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut all = BTreeMap::new();
    let tables = [
        dfs_log::metrics::TABLE,
        dfs_journal::metrics::TABLE,
        dfs_cache::metrics::TABLE,
        dfs_cold::metrics::TABLE,
        dfs_stack::metrics::TABLE,
        dfs_engine::metrics::METRICS,
        dfs_net::metrics::TABLE,
        dfs_nfs::metrics::TABLE,
        dfs_control::metrics::METRICS,
        dfs_server::metrics::METRICS,
    ];
    for (name, unit, labels, meaning) in tables.into_iter().flatten() {
        assert!(!unit.is_empty() && meaning.len() > 10, "{name}");
        assert!(all.insert(*name, labels.iter().copied().collect()).is_none(), "{name} is declared twice");
    }
    for (name, _, labels, _) in dfs_store::metrics::TABLE {
        let labels = labels.split([',', ' ']).filter(|label| !label.is_empty() && *label != "-").collect();
        assert!(all.insert(*name, labels).is_none(), "{name} is declared twice");
    }
    all
}

#[test]
fn figures_under_load_are_all_declared_and_tell_of_the_load() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.share(&client);
    let mut mounted = bed.mounted(&doors);
    mounted.write("file", &noise(4, 500_000));
    let before = scrape(&bed, doors.metrics);
    assert!(sum(&before, "dfs_server_dirty_bytes") >= 500_000.0, "{before:#?}");
    assert!(sum(&before, "dfs_server_occupancy_ratio") > 0.0);
    bed.flush(&client);
    mounted.read("file").unwrap();
    let after = scrape(&bed, doors.metrics);
    assert_eq!(sum(&after, "dfs_server_dirty_bytes"), 0.0);
    for name in [
        "dfs_nfs_requests_count_total",
        "dfs_nfs_written_bytes_total",
        "dfs_nfs_read_bytes_total",
        "dfs_nfs_request_seconds_count",
        "dfs_net_accepted_count_total",
        "dfs_journal_appended_bytes_total",
        "dfs_log_syncs_count_total",
        "dfs_cold_requests_count_total",
        "dfs_cold_sent_bytes_total",
        "dfs_stack_uploaded_bytes_total",
        "dfs_metadata_commits_total",
        "dfs_control_logins_total",
        "dfs_control_requests_total",
    ] {
        assert!(sum(&after, name) > 0.0, "{name} did not move: {after:#?}");
    }
    let declared = declared();
    let mut odd = BTreeSet::new();
    for key in after.keys() {
        let (name, labels) = key.split_once('{').unwrap_or((key, ""));
        let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| {
            let base = name.strip_suffix(end)?;
            declared.contains_key(base).then_some(base)
        });
        let Some(known) = declared.get(base.unwrap_or(name)) else {
            odd.insert(format!("{name} is in no table"));
            continue;
        };
        for label in labels
            .trim_end_matches('}')
            .split("\",")
            .filter_map(|label| label.split_once('='))
            .map(|(name, _)| name)
        {
            if !known.contains(label) && label != "le" && label != "quantile" {
                odd.insert(format!("{name} has the undeclared label {label}"));
            }
        }
    }
    assert!(odd.is_empty(), "{odd:#?}");
    assert!(after.len() < 2_000, "{} time series after one small load", after.len());
}

#[test]
fn metrics_that_are_turned_off_take_no_port() {
    let bed = Bed::made();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    bed.configure(&format!(
        "metrics: {{enabled: false, listen: 127.0.0.1:{port}}}\njournal: {{size: 64MiB}}"
    ));
    bed.start();
}

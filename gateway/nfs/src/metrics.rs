//! Metrics of the NFS services. Every name is in [`TABLE`]; label values are procedures, statuses and fixed words.

use crate::wire::{Status, mount, nfs3};
use metrics::{Counter, Gauge, Histogram};
use std::sync::OnceLock;
use std::time::Duration;

/// Name, unit, labels and meaning of every metric of this crate.
pub const TABLE: &[(&str, &str, &[&str], &str)] = &[
    (
        "dfs_nfs_requests_count_total",
        "count",
        &["proc", "status"],
        "NFSv3 requests answered, by procedure and status",
    ),
    (
        "dfs_nfs_request_seconds",
        "seconds",
        &["proc"],
        "Time from decoding to the reply being ready, by procedure (histogram)",
    ),
    ("dfs_nfs_mount_requests_count_total", "count", &["proc"], "MOUNT requests answered, by procedure"),
    ("dfs_nfs_read_bytes_total", "bytes", &[], "File bytes sent in READ replies"),
    ("dfs_nfs_written_bytes_total", "bytes", &[], "File bytes accepted in WRITE requests"),
    (
        "dfs_nfs_drops_count_total",
        "count",
        &["reason"],
        "Requests refused before their procedure ran: rpc, auth, args, stale_share, client, permission, blocked, cancelled",
    ),
    (
        "dfs_nfs_replay_hits_count_total",
        "count",
        &["state"],
        "Repeats found in the replay cache: done, running",
    ),
    ("dfs_nfs_replay_entries_count", "count", &[], "Entries in the replay cache"),
    ("dfs_nfs_replay_bytes", "bytes", &[], "Bytes of replies in the replay cache"),
    ("dfs_nfs_mounts_count", "count", &[], "Mounts that clients have told of or are seen to use"),
];

/// Why a request did not reach its procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drop {
    Rpc,
    Auth,
    Args,
    StaleShare,
    Client,
    Permission,
    Blocked,
    Cancelled,
}

const DROPS: [(Drop, &str); 8] = [
    (Drop::Rpc, "rpc"),
    (Drop::Auth, "auth"),
    (Drop::Args, "args"),
    (Drop::StaleShare, "stale_share"),
    (Drop::Client, "client"),
    (Drop::Permission, "permission"),
    (Drop::Blocked, "blocked"),
    (Drop::Cancelled, "cancelled"),
];

pub(crate) struct NfsMetrics {
    requests: Vec<Vec<OnceLock<Counter>>>,
    seconds: Vec<Histogram>,
    mount_requests: Vec<Counter>,
    pub read_bytes: Counter,
    pub written_bytes: Counter,
    drops: [Counter; 8],
    pub mounts: Gauge,
}

impl NfsMetrics {
    pub(crate) fn new() -> NfsMetrics {
        let statuses = || Status::ALL.iter().map(|_| OnceLock::new()).collect();
        let seconds = |name: &&'static str| metrics::histogram!("dfs_nfs_request_seconds", "proc" => *name);
        let mount_request =
            |name: &&'static str| metrics::counter!("dfs_nfs_mount_requests_count_total", "proc" => *name);
        NfsMetrics {
            requests: nfs3::NAMES.iter().map(|_| statuses()).collect(),
            seconds: nfs3::NAMES.iter().map(seconds).collect(),
            mount_requests: mount::NAMES.iter().map(mount_request).collect(),
            read_bytes: metrics::counter!("dfs_nfs_read_bytes_total"),
            written_bytes: metrics::counter!("dfs_nfs_written_bytes_total"),
            drops: DROPS
                .map(|(_, reason)| metrics::counter!("dfs_nfs_drops_count_total", "reason" => reason)),
            mounts: metrics::gauge!("dfs_nfs_mounts_count"),
        }
    }

    pub(crate) fn answered(&self, procedure: u32, status: Status, took: Duration) {
        let procedure = procedure as usize;
        let index = Status::ALL.iter().position(|known| *known == status).unwrap_or_default();
        if let Some(cell) = self.requests.get(procedure).and_then(|statuses| statuses.get(index)) {
            let name = nfs3::NAMES.get(procedure).copied().unwrap_or_default();
            let make = || metrics::counter!("dfs_nfs_requests_count_total", "proc" => name, "status" => status.name());
            cell.get_or_init(make).increment(1);
        }
        if let Some(histogram) = self.seconds.get(procedure) {
            histogram.record(took.as_secs_f64());
        }
    }

    pub(crate) fn mount_answered(&self, procedure: u32) {
        if let Some(counter) = self.mount_requests.get(procedure as usize) {
            counter.increment(1);
        }
    }

    pub(crate) fn dropped(&self, why: Drop) {
        for ((known, _), counter) in DROPS.iter().zip(&self.drops) {
            if *known == why {
                counter.increment(1);
            }
        }
    }
}

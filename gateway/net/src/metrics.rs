//! Metrics of connections. Every name is in [`TABLE`]; handles are made once per listener.

use metrics::{Counter, Gauge};

/// Name, unit, labels and meaning of every metric of this crate.
pub const TABLE: &[(&str, &str, &[&str], &str)] = &[
    ("dfs_net_connections_count", "count", &["service"], "Connections open now"),
    ("dfs_net_accepted_count_total", "count", &["service"], "Connections accepted"),
    (
        "dfs_net_refused_count_total",
        "count",
        &["service"],
        "Connections closed at once: too many in all or from one address",
    ),
    ("dfs_net_closed_count_total", "count", &["service", "reason"], "Connections closed, by reason"),
    ("dfs_net_received_bytes_total", "bytes", &["service"], "Bytes read from sockets"),
    ("dfs_net_sent_bytes_total", "bytes", &["service"], "Bytes written to sockets"),
    (
        "dfs_net_permit_waits_count_total",
        "count",
        &["service"],
        "Times that a connection was not read for want of permits",
    ),
    (
        "dfs_net_spawned_count_total",
        "count",
        &["service"],
        "Requests that did not finish at once and got a task of their own",
    ),
    (
        "dfs_net_requests_in_flight_count",
        "count",
        &["service"],
        "Requests between their mark and the last byte of their reply",
    ),
    ("dfs_net_permit_bytes", "bytes", &["pool"], "Bytes of permits in use, by pool (small, large)"),
];

/// Why connections close; label values of `dfs_net_closed_count_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    Peer,
    Error,
    Garbage,
    Oversized,
    Idle,
    Slow,
    Stalled,
    Drained,
    /// A reply may not leave.
    Shut,
    /// By an administrator's word.
    Evicted,
}

impl CloseReason {
    pub(crate) const ALL: [CloseReason; 10] = [
        CloseReason::Peer,
        CloseReason::Error,
        CloseReason::Garbage,
        CloseReason::Oversized,
        CloseReason::Idle,
        CloseReason::Slow,
        CloseReason::Stalled,
        CloseReason::Drained,
        CloseReason::Shut,
        CloseReason::Evicted,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            CloseReason::Peer => "peer",
            CloseReason::Error => "error",
            CloseReason::Garbage => "garbage",
            CloseReason::Oversized => "oversized",
            CloseReason::Idle => "idle",
            CloseReason::Slow => "slow",
            CloseReason::Stalled => "stalled",
            CloseReason::Drained => "drained",
            CloseReason::Shut => "shut",
            CloseReason::Evicted => "evicted",
        }
    }

    /// Whether the peer did something wrong, so that a log line is due.
    pub(crate) fn is_fault(self) -> bool {
        matches!(
            self,
            CloseReason::Garbage | CloseReason::Oversized | CloseReason::Slow | CloseReason::Stalled
        )
    }
}

pub(crate) struct NetMetrics {
    pub connections: Gauge,
    pub accepted: Counter,
    pub refused: Counter,
    pub received: Counter,
    pub sent: Counter,
    pub waits: Counter,
    pub spawned: Counter,
    pub in_flight: Gauge,
    closed: [Counter; 10],
}

impl NetMetrics {
    pub(crate) fn new(service: &'static str) -> NetMetrics {
        NetMetrics {
            connections: metrics::gauge!("dfs_net_connections_count", "service" => service),
            accepted: metrics::counter!("dfs_net_accepted_count_total", "service" => service),
            refused: metrics::counter!("dfs_net_refused_count_total", "service" => service),
            received: metrics::counter!("dfs_net_received_bytes_total", "service" => service),
            sent: metrics::counter!("dfs_net_sent_bytes_total", "service" => service),
            waits: metrics::counter!("dfs_net_permit_waits_count_total", "service" => service),
            spawned: metrics::counter!("dfs_net_spawned_count_total", "service" => service),
            in_flight: metrics::gauge!("dfs_net_requests_in_flight_count", "service" => service),
            closed: CloseReason::ALL.map(|reason| {
                metrics::counter!("dfs_net_closed_count_total", "service" => service, "reason" => reason.label())
            }),
        }
    }

    pub(crate) fn closed(&self, reason: CloseReason) {
        for (known, counter) in CloseReason::ALL.iter().zip(&self.closed) {
            if *known == reason {
                counter.increment(1);
            }
        }
    }
}

//! Metrics of the control plane.

/// Name, unit, labels and meaning of each.
pub const METRICS: &[(&str, &str, &[&str], &str)] = &[
    (
        "dfs_control_logins_total",
        "logins",
        &["outcome"],
        "Logins by outcome: right, wrong, refused (rate limit).",
    ),
    ("dfs_control_requests_total", "requests", &["route", "status"], "REST requests by route and status."),
];

pub(crate) fn login(outcome: &'static str) {
    ::metrics::counter!("dfs_control_logins_total", "outcome" => outcome).increment(1);
}

pub(crate) fn request(route: String, status: u16) {
    ::metrics::counter!("dfs_control_requests_total", "route" => route, "status" => status.to_string())
        .increment(1);
}

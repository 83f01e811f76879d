//! Names, units and meaning of what this crate counts. Dashboards and alerts are checked against [`TABLE`].

use crate::lease::LeaseKind;

/// One metric: name, unit, labels, meaning.
pub type Metric = (&'static str, &'static str, &'static [&'static str], &'static str);

const BREAKS: &str = "dfs_locks_breaks_total";
const REVOKED: &str = "dfs_locks_revoked_total";

/// All metrics of the claim table.
pub const TABLE: &[Metric] = &[
    (
        BREAKS,
        "count",
        &["kind", "answer"],
        "Break notices sent, by lease kind and whether an answer is needed",
    ),
    (REVOKED, "count", &[], "Leases and delegations taken away because the holder did not answer in time"),
];

fn kind_name(kind: LeaseKind) -> &'static str {
    match kind {
        LeaseKind::Oplock => "oplock",
        LeaseKind::SmbV1 | LeaseKind::SmbV2 => "lease",
        LeaseKind::Delegation => "delegation",
    }
}

pub(crate) fn break_begun(kind: LeaseKind, needs_answer: bool) {
    let answer = if needs_answer { "needed" } else { "none" };
    metrics::counter!(BREAKS, "kind" => kind_name(kind), "answer" => answer).increment(1);
}

pub(crate) fn revoked() {
    metrics::counter!(REVOKED).increment(1);
}

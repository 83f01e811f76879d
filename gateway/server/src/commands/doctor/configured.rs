//! What the configuration says: its warnings, its ports, its certificates; and whether its gateway runs.

use super::Check;
use crate::commands::config_command::findings;
use crate::config::{Config, Loaded, TlsConfig, certificates as read_certificates};
use crate::ready::{ready, running_pid};
use crate::system::SystemClock;
use dfs_model::Clock;
use std::path::Path;

/// A certificate that ends sooner is told of.
const DAYS_LEFT_MIN: i64 = 30;

/// The findings of `dfs config validate`, but for those that have a line of their own.
pub(super) fn configuration(loaded: &Loaded) -> Vec<Check> {
    const FIX: &str = "`dfs config edit`, then `dfs config validate`";
    let found = findings(loaded, Vec::new());
    let mut checks: Vec<Check> = Vec::new();
    for finding in found.iter().filter(|finding| finding.fatal || finding.key != "data_dir") {
        let name = if finding.key.ends_with(".listen") { "ports" } else { "configuration" };
        let text = format!("{}: {}", finding.key, finding.message);
        checks.push(if finding.fatal { Check::fail(name, text, FIX) } else { Check::warn(name, text, FIX) });
    }
    for (name, text) in [
        ("configuration", "every setting is understood and fits this machine"),
        ("ports", "every port is free, or this gateway's own"),
    ] {
        if !checks.iter().any(|check| check.check == name) {
            checks.push(Check::ok(name, text));
        }
    }
    checks
}

/// Whether the folder's gateway runs; either is right.
pub(super) fn gateway(data_dir: &Path) -> Check {
    const NAME: &str = "gateway";
    let Some(pid) = running_pid(data_dir) else {
        return Check::ok(NAME, "none runs on the data folder (dfs start)");
    };
    match ready(data_dir) {
        None => Check::warn(NAME, format!("pid {pid} is starting or stopping"), "look at `dfs logs`"),
        Some(at) if at.shares_failed > 0 => {
            let text = format!(
                "pid {pid} serves at {}; {} shares could not be opened",
                at.nfs_shown(),
                at.shares_failed
            );
            Check::warn(NAME, text, "`dfsctl share list` says why")
        }
        Some(at) => Check::ok(NAME, format!("pid {pid} serves at {}", at.nfs_shown())),
    }
}

/// When the certificates of the listeners end.
pub(super) fn certificates(config: &Config) -> Vec<Check> {
    let sections = [("control.tls", &config.control.tls), ("metrics.tls", &config.metrics.tls)];
    let now = SystemClock.wall().secs;
    let each = sections.into_iter().filter_map(|(section, tls)| Some((section, tls.as_ref()?)));
    each.filter_map(|(section, tls)| certificate(section, tls, now)).collect()
}

/// `None`: it cannot be read, which the configuration's line tells.
fn certificate(section: &str, tls: &TlsConfig, now: i64) -> Option<Check> {
    let chain = read_certificates(&tls.cert).ok()?;
    let Some((from, until)) = chain.first().and_then(|first| super::der::validity(first)) else {
        let text = format!("{}: when the certificate ends cannot be read", tls.cert.display());
        return Some(Check::warn(section, text, "look at it with openssl x509 -dates"));
    };
    Some(judge(section, from, until, now))
}

fn judge(section: &str, from: i64, until: i64, now: i64) -> Check {
    let shown = |at: i64| crate::logs::time::show(dfs_model::Timestamp::new(at, 0));
    let renew = "renew it; a running gateway takes the new file by itself";
    let days = (until - now) / 86_400;
    if now < from {
        let text = format!("the certificate is valid only from {} on", shown(from));
        return Check::fail(section, text, "set the clock, or make another certificate");
    }
    if now >= until {
        return Check::fail(section, format!("the certificate ended at {}", shown(until)), renew);
    }
    if days < DAYS_LEFT_MIN {
        let text = format!("the certificate ends in {days} days, at {}", shown(until));
        return Check::warn(section, text, renew);
    }
    Check::ok(section, format!("the certificate is valid for {days} more days"))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn certificate_that_ends_is_told_before_and_after() {
        let day = 86_400;
        let verdict = |now| judge("control.tls", 10 * day, 100 * day, now).verdict;
        assert_eq!(verdict(9 * day), Verdict::Fail);
        assert_eq!(verdict(11 * day), Verdict::Ok);
        assert_eq!(verdict(71 * day), Verdict::Warn);
        assert_eq!(verdict(100 * day), Verdict::Fail);
    }
}

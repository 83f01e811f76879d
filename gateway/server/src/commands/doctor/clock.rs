//! Whether the clock can be believed: leases, sessions, certificates and signatures of S3 all rest on it.

use super::Check;
use crate::commands::pause;
use crate::logs::time::show;
use crate::system::SystemClock;
use dfs_model::{Clock, Timestamp};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the two clocks are watched.
const WATCH: Duration = Duration::from_millis(200);
/// They may part by this much in that time: a clock that is being slewed parts by far less.
const PART_MAX: Duration = Duration::from_millis(20);
/// Nobody ran this program before 2025-01-01.
const YEAR_MIN: i64 = 1_735_689_600;
/// Nor is it 2100 yet.
const YEAR_MAX: i64 = 4_102_444_800;
/// Files of the folder may be from so far in the future: clocks of one machine over a restart.
const FUTURE_MAX: i64 = 120;

/// What was seen.
#[derive(Clone, Debug)]
struct Facts {
    now: Timestamp,
    /// How far the wall clock went while the other went on by `watched`.
    wall: i128,
    watched: i128,
    /// Whether something keeps it right; `None`: nobody can tell.
    synchronised: Option<bool>,
    /// The newest change of a file in the data folder.
    newest: Option<i64>,
}

pub(super) fn look(data_dir: Option<&Path>) -> Vec<Check> {
    let clock = SystemClock;
    let nanos = |at: Timestamp| i128::from(at.secs) * 1_000_000_000 + i128::from(at.nanos);
    let (wall, monotonic) = (clock.wall(), clock.monotonic());
    pause(WATCH);
    let (wall_after, monotonic_after) = (clock.wall(), clock.monotonic());
    let facts = Facts {
        now: wall_after,
        wall: nanos(wall_after) - nanos(wall),
        watched: monotonic_after.since(monotonic).as_nanos() as i128,
        synchronised: synchronised(),
        newest: data_dir.and_then(newest),
    };
    vec![judge_time(&facts), judge_source(facts.synchronised)]
}

/// The newest change among the files of a folder; a clock that is behind it went back.
fn newest(folder: &Path) -> Option<i64> {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).ok()?;
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.ctime()).max()
}

/// Asks those who keep the time. `None`: there is nobody to ask.
fn synchronised() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let said = |program: &str, args: &[&str]| {
        let run = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output();
        run.ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if let Some(text) = said("timedatectl", &["show", "--property=NTPSynchronized", "--value"]) {
        return Some(text.trim() == "yes");
    }
    let tracked = said("chronyc", &["-n", "tracking"])?;
    Some(tracked.lines().any(|line| line.starts_with("Leap status") && line.ends_with("Normal")))
}

fn judge_time(facts: &Facts) -> Check {
    const NAME: &str = "clock";
    let now = show(facts.now);
    let set = "set the clock (timedatectl set-ntp true, or chrony), then start the gateway";
    if !(YEAR_MIN..YEAR_MAX).contains(&facts.now.secs) {
        return Check::fail(NAME, format!("it is {now} here: that cannot be"), set);
    }
    if let Some(newest) = facts.newest.filter(|newest| *newest > facts.now.secs + FUTURE_MAX) {
        let newest = show(Timestamp::new(newest, 0));
        let text =
            format!("it is {now} here, but the data folder was changed at {newest}: the clock went back");
        return Check::fail(NAME, text, set);
    }
    let parted = (facts.wall - facts.watched).unsigned_abs();
    if parted > PART_MAX.as_nanos() {
        let text =
            format!("the clock jumped by {} ms within {} ms", parted / 1_000_000, facts.watched / 1_000_000);
        return Check::warn(
            NAME,
            text,
            "let one program keep the time, by slewing it; look for a second one that steps it",
        );
    }
    Check::ok(NAME, format!("it is {now}, and time passes evenly"))
}

fn judge_source(synchronised: Option<bool>) -> Check {
    const NAME: &str = "time source";
    match synchronised {
        Some(true) => Check::ok(NAME, "the clock is kept by a time server"),
        Some(false) => Check::warn(
            NAME,
            "no time server keeps the clock: S3 refuses signatures that are 15 minutes off, and leases suffer before",
            "timedatectl set-ntp true, or install chrony",
        ),
        None => Check::warn(
            NAME,
            "whether a time server keeps the clock cannot be told (neither systemd nor chrony answers)",
            "on a virtual machine the host may do it; else install chrony",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn clock_that_cannot_be_right_is_told() {
        let good = Facts {
            now: Timestamp::new(1_800_000_000, 0),
            wall: 200_000_000,
            watched: 200_100_000,
            synchronised: Some(true),
            newest: Some(1_799_999_990),
        };
        let verdict = |facts: &Facts| judge_time(facts).verdict;
        assert_eq!(verdict(&good), Verdict::Ok);
        assert_eq!(verdict(&Facts { now: Timestamp::new(3600, 0), ..good.clone() }), Verdict::Fail);
        assert_eq!(verdict(&Facts { now: Timestamp::new(5_000_000_000, 0), ..good.clone() }), Verdict::Fail);
        assert_eq!(verdict(&Facts { newest: Some(1_800_086_400), ..good.clone() }), Verdict::Fail);
        assert_eq!(verdict(&Facts { wall: -3_600_000_000_000, ..good.clone() }), Verdict::Warn);
        assert_eq!(verdict(&Facts { wall: 230_000_000, ..good.clone() }), Verdict::Warn);
        assert_eq!(judge_source(Some(true)).verdict, Verdict::Ok);
        assert_eq!(judge_source(Some(false)).verdict, Verdict::Warn);
        assert_eq!(judge_source(None).verdict, Verdict::Warn);
    }
}

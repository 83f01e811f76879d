//! `dfsctl snapshot …`.

use crate::cli::{Failure, Session};
use crate::credentials;
use clap::Subcommand;
use dfs_api::units::show_size;
use dfs_api::{
    Client, RestoreSnapshot, RestoredSnapshot, SnapshotPlan, SnapshotSchedule, SnapshotStatus, TakeSnapshot,
};

/// Snapshots of shares: clients see them, read-only, below `.snapshots` in the share's root.
#[derive(Subcommand)]
pub(crate) enum Snapshot {
    /// Takes one: everything that was acknowledged before, at once and without room.
    Create { share: String, name: String },
    /// Lists them.
    List { share: String },
    /// Shows one, with the bytes that only it and older ones still hold.
    Show { share: String, name: String },
    /// Ends one; what only it held is given back in the background.
    Delete { share: String, name: String },
    /// Gives a file or a tree back, or the whole share after a snapshot of what it is.
    Restore {
        share: String,
        name: String,
        /// Path of the file or tree, from the share's root.
        path: Option<String>,
        /// Where to; where it was when left out.
        #[arg(long, requires = "path")]
        to: Option<String>,
        /// Restore the whole share: what was made since is removed.
        #[arg(long, conflicts_with = "path")]
        whole_share: bool,
    },
    /// Shows, sets (with --every) or ends (with --off) the share's schedule.
    Schedule {
        share: String,
        /// Time from one to the next, for instance 15m, 1h or 1d.
        #[arg(long)]
        every: Option<String>,
        /// Keep the newest so many.
        #[arg(long, requires = "every")]
        keep: Option<u32>,
        /// Keep those that are younger, for instance 7d.
        #[arg(long, requires = "every")]
        keep_for: Option<String>,
        /// End it; the snapshots that it took stay.
        #[arg(long, conflicts_with = "every")]
        off: bool,
    },
}

impl Snapshot {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = credentials::client(session).await?;
        let of = |share: &str| format!("/shares/{}/snapshots", Client::segment(share));
        let one = |share: &str, name: &str| format!("{}/{}", of(share), Client::segment(name));
        match self {
            Snapshot::Create { share, name } => {
                let taken: SnapshotStatus = client.post(&of(&share), &TakeSnapshot { name }).await?;
                let sentence = format!("snapshot '{}' taken: /.snapshots/{}", taken.name, taken.name);
                session.output.done(&taken, &sentence)
            }
            Snapshot::List { share } => {
                let all: Vec<SnapshotStatus> = client.get(&of(&share)).await?;
                let rows = all.iter().map(row).collect();
                session.output.show(&all, &["name", "taken", "origin"], rows)
            }
            Snapshot::Show { share, name } => {
                let found: SnapshotStatus = client.get(&one(&share, &name)).await?;
                let mut line = row(&found);
                line.push(show_size(found.held_bytes.unwrap_or(0)));
                session.output.show(&found, &["name", "taken", "origin", "held"], vec![line])
            }
            Snapshot::Delete { share, name } => {
                client.delete(&one(&share, &name)).await?;
                session.output.done(&name, &format!("snapshot '{name}' deleted"))
            }
            Snapshot::Restore { share, name, path, to, whole_share } => {
                if path.is_none() && !whole_share {
                    let why = "give a path, or --whole-share: that removes what was made since the snapshot";
                    return Err(Failure::new(2, why));
                }
                let request = RestoreSnapshot { path, to };
                let done: RestoredSnapshot =
                    client.post(&format!("{}/restore", one(&share, &name)), &request).await?;
                session.output.done(&done, &sentence(&done))
            }
            Snapshot::Schedule { share, every, keep, keep_for, off } => {
                let path = format!("/shares/{}/snapshot-schedule", Client::segment(&share));
                let plan = match (&every, off) {
                    (None, false) => client.get(&path).await?,
                    (None, true) => client.put(&path, &SnapshotPlan::default()).await?,
                    (Some(every), _) => {
                        let schedule = SnapshotSchedule {
                            every_seconds: seconds("--every", every)?,
                            keep,
                            keep_seconds: keep_for.map(|age| seconds("--keep-for", &age)).transpose()?,
                        };
                        client.put(&path, &SnapshotPlan { schedule: Some(schedule) }).await?
                    }
                };
                session.output.done(&plan, &told(&plan))
            }
        }
    }
}

fn row(snapshot: &SnapshotStatus) -> Vec<String> {
    vec![snapshot.name.clone(), utc(snapshot.taken_at), snapshot.origin.clone()]
}

fn sentence(done: &RestoredSnapshot) -> String {
    let before = done
        .before
        .as_ref()
        .map_or_else(String::new, |name| format!("; what was there is snapshot '{name}'"));
    let RestoredSnapshot { restored, removed, unchanged, .. } = done;
    format!("{restored} restored, {removed} removed, {unchanged} unchanged{before}")
}

fn told(plan: &SnapshotPlan) -> String {
    let Some(schedule) = plan.schedule else { return "no schedule".to_owned() };
    let count = schedule.keep.map_or_else(String::new, |keep| format!(", the newest {keep} stay"));
    let age = schedule
        .keep_seconds
        .map_or_else(String::new, |age| format!(", they stay for {}", show_seconds(age)));
    format!("every {}{count}{age}", show_seconds(schedule.every_seconds))
}

/// Units of time with their seconds, largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

/// A number of seconds, minutes, hours or days.
fn seconds(flag: &str, text: &str) -> Result<u64, Failure> {
    let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let value = unit.and_then(|(number, seconds)| number.parse::<u64>().ok()?.checked_mul(seconds));
    let wrong = || Failure::new(2, format!("{flag}: '{text}' is no time; say for instance 15m, 1h or 7d"));
    value.ok_or_else(wrong)
}

fn show_seconds(seconds: u64) -> String {
    let unit = UNITS.iter().find(|(_, unit)| seconds.is_multiple_of(*unit) && seconds > 0);
    unit.map_or_else(|| format!("{seconds}s"), |(unit, length)| format!("{}{unit}", seconds / length))
}

/// A time as people write it, in UTC.
fn utc(at: i64) -> String {
    let (days, second) = (at.div_euclid(86_400) + 719_468, at.rem_euclid(86_400));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * march + 2) / 5 + 1, if march < 10 { march + 3 } else { march - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02}Z", second % 60)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown_in_the_largest_unit() {
        for (text, value) in [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800)] {
            assert_eq!(seconds("--every", text).unwrap(), value);
            assert_eq!(show_seconds(value), text);
        }
        for wrong in ["", "h", "5", "1.5h", "-1h", "18446744073709551615d"] {
            assert!(seconds("--every", wrong).unwrap_err().message.contains("is no time"), "{wrong}");
        }
    }

    #[test]
    fn time_of_a_snapshot_is_shown_in_utc() {
        assert_eq!(utc(951_825_599), "2000-02-29 11:59:59Z");
    }
}

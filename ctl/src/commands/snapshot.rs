//! `dfsctl snapshot …`.

use crate::args::{ShareArg, share_name};
use crate::ask::Sure;
use crate::completion;
use crate::connection::path;
use crate::failure::Failure;
use crate::session::Session;
use crate::time::{date, seconds, show_seconds};
use clap::{Args, Subcommand};
use dfs_api::units::show_size;
use dfs_api::{
    RestoreSnapshot, RestoredSnapshot, SnapshotPlan, SnapshotSchedule, SnapshotStatus, TakeSnapshot,
};
use std::io::IsTerminal;

/// Snapshots of shares: clients see them, read-only, below `.snapshots` in the share's root.
#[derive(Subcommand)]
pub(crate) enum Snapshot {
    /// Takes one: everything that was acknowledged before, at once and without room.
    Create(Named),
    /// Lists them.
    List(ShareArg),
    /// Shows one, with the bytes that only it and older ones still hold.
    Show(Named),
    /// Ends one; what only it held is given back in the background.
    #[command(visible_alias = "remove")]
    Delete {
        #[command(flatten)]
        snapshot: Named,
        #[command(flatten)]
        sure: Sure,
    },
    /// Gives a file or a tree back, or the whole share after a snapshot of what it is.
    Restore {
        #[command(flatten)]
        snapshot: Named,
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
        #[command(flatten)]
        share: ShareArg,
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

/// A snapshot of a share.
#[derive(Args)]
pub(crate) struct Named {
    /// The share.
    #[arg(value_parser = share_name, add = completion::shares())]
    share: String,
    /// Name of the snapshot.
    name: String,
}

impl Named {
    fn path(&self) -> String {
        path(&["shares", &self.share, "snapshots", &self.name])
    }
}

impl Snapshot {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        let of = |share: &str| format!("{}/snapshots", path(&["shares", share]));
        match self {
            Snapshot::Create(Named { share, name }) => {
                let taken = connection.post::<_, SnapshotStatus>(&of(&share), &TakeSnapshot { name }).await?;
                let sentence = format!("snapshot '{}' taken: /.snapshots/{}", taken.name, taken.name);
                session.output.done(&taken, &sentence)
            }
            Snapshot::List(ShareArg { share }) => {
                let all = connection.list::<SnapshotStatus>(&of(&share)).await?;
                let rows = all.iter().map(row).collect();
                session.output.show(&all, &["name", "taken", "origin"], rows)
            }
            Snapshot::Show(snapshot) => {
                let found = connection.get::<SnapshotStatus>(&snapshot.path()).await?;
                let mut line = row(&found);
                line.push(show_size(found.held_bytes.unwrap_or(0)));
                session.output.show(&found, &["name", "taken", "origin", "held"], vec![line])
            }
            Snapshot::Delete { snapshot, sure } => {
                let name = &snapshot.name;
                // Without a terminal it goes, as scripts that rotate snapshots have always done it.
                if std::io::stdin().is_terminal() {
                    sure.confirm(&format!("ends snapshot '{name}' of share '{}'", snapshot.share))?;
                }
                connection.delete(&snapshot.path()).await?;
                session.output.done(name, &format!("snapshot '{name}' deleted"))
            }
            Snapshot::Restore { snapshot, path, to, whole_share } => {
                if path.is_none() && !whole_share {
                    let why = "give a path, or --whole-share: that removes what was made since the snapshot";
                    return Err(Failure::usage(why));
                }
                let request = RestoreSnapshot { path, to };
                let at = format!("{}/restore", snapshot.path());
                let done = connection.post::<_, RestoredSnapshot>(&at, &request).await?;
                session.output.done(&done, &sentence(&done))
            }
            Snapshot::Schedule { share, every, keep, keep_for, off } => {
                let path = format!("{}/snapshot-schedule", path(&["shares", &share.share]));
                let plan = match (&every, off) {
                    (None, false) => connection.get::<SnapshotPlan>(&path).await?,
                    (None, true) => {
                        connection.put::<_, SnapshotPlan>(&path, &SnapshotPlan::default()).await?
                    }
                    (Some(every), _) => {
                        let schedule = SnapshotSchedule {
                            every_seconds: seconds("--every", every)?,
                            keep,
                            keep_seconds: keep_for.map(|age| seconds("--keep-for", &age)).transpose()?,
                        };
                        connection
                            .put::<_, SnapshotPlan>(&path, &SnapshotPlan { schedule: Some(schedule) })
                            .await?
                    }
                };
                session.output.done(&plan, &told(&plan))
            }
        }
    }
}

fn row(snapshot: &SnapshotStatus) -> Vec<String> {
    vec![snapshot.name.clone(), date(snapshot.taken_at), snapshot.origin.clone()]
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

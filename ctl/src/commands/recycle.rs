//! `dfsctl recycle …`.

use super::share::rules::bin;
use crate::args::ShareArg;
use crate::ask::confirm;
use crate::connection::Connection;
use crate::failure::{CONFLICT, Failure};
use crate::session::Session;
use crate::time::date;
use clap::Subcommand;
use dfs_api::units::show_size;
use dfs_api::{ChangeShare, Client, Emptied, EmptyBin, Recycle, RecycledFile, RestoreFile, ShareStatus};
use serde::Serialize;

/// The recycle bin of a share.
#[derive(Subcommand)]
pub(crate) enum RecycleCommand {
    /// Lists what is in it, oldest first.
    List(ShareArg),
    /// Tells how much is in it, and how long it stays.
    Status(ShareArg),
    /// Takes a file out of it.
    Restore {
        #[command(flatten)]
        share: ShareArg,
        /// The file's number, as `list` shows it.
        file: u64,
        /// Where it shall be, as a path from the share's root; without it where it was.
        #[arg(long)]
        to: Option<String>,
    },
    /// Removes files from it for good.
    Empty {
        #[command(flatten)]
        share: ShareArg,
        /// Only those that were removed so many days ago or earlier.
        #[arg(long, default_value_t = 0)]
        older_than_days: u32,
        /// Do not ask.
        #[arg(short, long, visible_alias = "force")]
        yes: bool,
    },
    /// Shows how long it keeps what is removed, or changes it at once.
    Policy {
        #[command(flatten)]
        share: ShareArg,
        /// Days that removed files stay.
        #[arg(long, conflicts_with = "off")]
        keep_days: Option<u32>,
        /// Size beyond which the oldest files leave it.
        #[arg(long, requires = "keep_days")]
        max: Option<String>,
        /// Files that are removed from now on are gone at once; what is in the bin stays until it is emptied.
        #[arg(long)]
        off: bool,
    },
}

impl RecycleCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            RecycleCommand::List(ShareArg { share }) => {
                let files = connection.list::<RecycledFile>(&path(&share, "/recycled")).await?;
                session.output.show(&files, &HEADER, files.iter().map(row).collect())
            }
            RecycleCommand::Status(ShareArg { share }) => status(&connection, session, &share).await,
            RecycleCommand::Restore { share, file, to } => {
                let request = RestoreFile { inode: file, path: to };
                let to = path(&share.share, "/recycled/restore");
                let left = connection.post::<_, Vec<RecycledFile>>(&to, &request).await?;
                session
                    .output
                    .done(&left, &format!("file {file} is restored; {} left in the bin", left.len()))
            }
            RecycleCommand::Empty { share, older_than_days, yes } => {
                let what = match older_than_days {
                    0 => "everything in the bin".to_owned(),
                    days => format!("everything in the bin that was removed {days} days ago or earlier"),
                };
                confirm(yes, &format!("removes {what} for good"))?;
                let to = path(&share.share, "/recycled/empty");
                let emptied = connection.post::<_, Emptied>(&to, &EmptyBin { older_than_days }).await?;
                session.output.done(&emptied, &format!("{} files removed for good", emptied.removed))
            }
            RecycleCommand::Policy { share, keep_days, max, off } => {
                let recycle = match (keep_days, off) {
                    (None, false) => None,
                    (None, true) => Some(None),
                    (Some(days), _) => Some(Some(bin(days, max.as_deref())?)),
                };
                policy(&connection, session, &share.share, recycle).await
            }
        }
    }
}

/// What is in a bin, as far as it can be counted.
#[derive(Serialize)]
struct BinStatus {
    share: String,
    files: usize,
    bytes: u64,
    oldest_removed_at: Option<i64>,
    policy: Option<Recycle>,
}

async fn status(connection: &Connection, session: &Session, share: &str) -> Result<(), Failure> {
    let config = connection.get::<ShareStatus>(&path(share, "")).await?;
    let listed = connection.list::<RecycledFile>(&path(share, "/recycled")).await;
    let files: &[RecycledFile] = match &listed {
        Ok(files) => files,
        // A share that was made without a bin has nothing in it.
        Err(failure) if failure.code == CONFLICT && config.config.rules.recycle.is_none() => &[],
        Err(_) => &listed?,
    };
    let told = BinStatus {
        share: share.to_owned(),
        files: files.len(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        oldest_removed_at: files.iter().map(|file| file.removed_at).min(),
        policy: config.config.rules.recycle,
    };
    let days = told.policy.map_or_else(|| "off".to_owned(), |policy| format!("{} days", policy.keep_days));
    let oldest = told.oldest_removed_at.map_or_else(|| "-".to_owned(), date);
    let row = vec![told.files.to_string(), show_size(told.bytes), oldest, days];
    session.output.show(&told, &["files", "size", "oldest", "kept for"], vec![row])
}

async fn policy(
    connection: &Connection,
    session: &Session,
    share: &str,
    recycle: Option<Option<Recycle>>,
) -> Result<(), Failure> {
    let status = match recycle {
        None => connection.get::<ShareStatus>(&path(share, "")).await?,
        Some(_) => {
            connection
                .patch::<_, ShareStatus>(&path(share, ""), &ChangeShare { recycle, ..ChangeShare::default() })
                .await?
        }
    };
    let policy = status.config.rules.recycle;
    let sentence = match policy {
        Some(Recycle { keep_days, bytes_max }) => {
            let size = show_size(bytes_max);
            format!("removed files stay for {keep_days} days, {size} of them at most")
        }
        None => "removed files are gone at once: the share has no recycle bin".to_owned(),
    };
    session.output.done(&policy, &sentence)
}

fn path(share: &str, rest: &str) -> String {
    format!("/shares/{}{rest}", Client::segment(share))
}

const HEADER: [&str; 6] = ["file", "name", "size", "removed", "by", "directory"];

fn row(file: &RecycledFile) -> Vec<String> {
    vec![
        file.inode.to_string(),
        file.name.clone(),
        show_size(file.bytes),
        date(file.removed_at),
        file.removed_by.to_string(),
        file.directory.to_string(),
    ]
}

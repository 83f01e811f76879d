//! `dfsctl recycle …`.

use super::rules::bin;
use crate::cli::{Failure, Session};
use crate::credentials;
use clap::Subcommand;
use dfs_api::units::show_size;
use dfs_api::{ChangeShare, Client, Emptied, EmptyBin, Recycle, RecycledFile, RestoreFile, ShareStatus};

/// The recycle bin of a share.
#[derive(Subcommand)]
pub(crate) enum RecycleCommand {
    /// Lists what is in it, oldest first.
    List { share: String },
    /// Takes a file out of it.
    Restore {
        share: String,
        /// The file's number, as `list` shows it.
        file: u64,
        /// Where it shall be, as a path from the share's root; without it where it was.
        #[arg(long)]
        to: Option<String>,
    },
    /// Removes files from it for good.
    Empty {
        share: String,
        /// Only those that were removed so many days ago or earlier.
        #[arg(long, default_value_t = 0)]
        older_than_days: u32,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Shows how long it keeps what is removed, or changes it at once.
    Policy {
        share: String,
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
        let client = credentials::client(session).await?;
        match self {
            RecycleCommand::List { share } => {
                let files: Vec<RecycledFile> = client.get(&path(&share, "/recycled")).await?;
                session.output.show(&files, &HEADER, files.iter().map(row).collect())
            }
            RecycleCommand::Restore { share, file, to } => {
                let request = RestoreFile { inode: file, path: to };
                let left: Vec<RecycledFile> =
                    client.post(&path(&share, "/recycled/restore"), &request).await?;
                session
                    .output
                    .done(&left, &format!("file {file} is restored; {} left in the bin", left.len()))
            }
            RecycleCommand::Empty { share, older_than_days, yes } => {
                if !yes {
                    let what = match older_than_days {
                        0 => "everything in the bin".to_owned(),
                        days => format!("everything in the bin that was removed {days} days ago or earlier"),
                    };
                    return Err(Failure::new(
                        2,
                        format!("this removes {what} for good; say --yes if that is meant"),
                    ));
                }
                let emptied: Emptied =
                    client.post(&path(&share, "/recycled/empty"), &EmptyBin { older_than_days }).await?;
                session.output.done(&emptied, &format!("{} files removed for good", emptied.removed))
            }
            RecycleCommand::Policy { share, keep_days, max, off } => {
                let recycle = match (keep_days, off) {
                    (None, false) => None,
                    (None, true) => Some(None),
                    (Some(days), _) => Some(Some(bin(days, max.as_deref())?)),
                };
                policy(&client, session, &share, recycle).await
            }
        }
    }
}

async fn policy(
    client: &Client,
    session: &Session,
    share: &str,
    recycle: Option<Option<Recycle>>,
) -> Result<(), Failure> {
    let status: ShareStatus = match recycle {
        None => client.get(&path(share, "")).await?,
        Some(_) => client.patch(&path(share, ""), &ChangeShare { recycle, ..ChangeShare::default() }).await?,
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

/// Seconds since 1970 as a date and time in UTC. Civil calendar from days, after Howard Hinnant's algorithm.
fn date(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, wanted) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (1_795_676_017, "2026-11-26 06:53:37 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(seconds), wanted);
        }
    }
}

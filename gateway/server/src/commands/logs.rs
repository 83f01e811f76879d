//! `dfs logs`: the gateway's log, the last lines or as they come.

use super::{Common, Failure, pause};
use crate::logging;
use crate::logs::{Follower, Tail, last_lines, time};
use crate::system::SystemClock;
use clap::Args;
use dfs_model::{Clock, Timestamp};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Lines shown where nothing is asked for.
const LINES: usize = 100;
/// Pause between two looks at a file that is followed.
const STEP: Duration = Duration::from_millis(200);

/// Shows the log.
#[derive(Args)]
pub(super) struct Logs {
    /// Go on with the lines to come, until it is interrupted; also when the file is put aside.
    #[arg(short, long)]
    follow: bool,
    /// The last so many lines [default: 100, or all that --since asks for].
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Only since a moment: an age such as 10m, 2h or 1d, or a time such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// The log of a gateway that was started with --log-file.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Since {
    Ago(Duration),
    At(Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    if let Some(at) = time::parse(text) {
        return Ok(Since::At(at));
    }
    dfs_api::units::parse_duration(text).map(Since::Ago).map_err(|_| {
        format!("'{text}' is neither an age such as 10m, 2h or 1d nor a time such as 2026-01-31T12:00:00Z")
    })
}

impl Since {
    fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Since::At(at) => at,
            Since::Ago(age) => {
                let secs = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
                Timestamp::new(now.secs.saturating_sub(secs), now.nanos)
            }
        }
    }
}

impl Logs {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        let path = match &self.file {
            Some(path) => path.clone(),
            None => {
                let (config, data_dir) = common.configured()?;
                config.logging.file.unwrap_or_else(|| data_dir.join(logging::FILE))
            }
        };
        let count = self.lines.or(self.since.is_none().then_some(LINES));
        let since = self.since.map(|since| since.moment(SystemClock.wall()));
        let cannot = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(
                1,
                format!(
                    "there is no log {}: the gateway was not started in the background, or with another --log-file (name it with --file)",
                    path.display()
                ),
            ),
            _ => super::cannot("read the log", &path, &error),
        };
        let Tail { lines, file, end } = last_lines(&path, count, since).map_err(cannot)?;
        if !print(&lines) || !self.follow {
            return Ok(());
        }
        let mut follower = Follower::new(&path, file, end);
        loop {
            if !print(&follower.poll().map_err(cannot)?) {
                return Ok(());
            }
            pause(STEP);
        }
    }
}

/// `false`: nobody reads any more.
fn print(lines: &[String]) -> bool {
    let mut out = io::stdout().lock();
    lines.iter().all(|line| writeln!(out, "{line}").is_ok()) && out.flush().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_an_age_or_a_time() {
        let now = Timestamp::new(1_800_000_000, 0);
        assert_eq!(since("10m").unwrap().moment(now).secs, 1_800_000_000 - 600);
        assert_eq!(since("2027-01-15T07:00:00Z").unwrap().moment(now).secs, 1_800_000_000 - 3600);
        assert!(since("yesterday").unwrap_err().contains("10m"));
    }
}

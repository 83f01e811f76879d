//! `dfsctl tier …`.

use super::job::finished;
use crate::args::share_name;
use crate::completion;
use crate::connection::{Answer, Connection};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::Session;
use clap::Subcommand;
use dfs_api::units::show_size;
use dfs_api::{FlushRequest, Job, ShareTierStatus, TierStatus};

/// The tiers.
#[derive(Subcommand)]
pub(crate) enum Tier {
    /// What is where, and what is at risk.
    Status,
    /// Places dirty data in the cold store.
    Flush {
        /// One share; all without it.
        #[arg(long, value_parser = share_name, add = completion::shares())]
        share: Option<String>,
        /// Wait until everything that was dirty is placed and durable.
        #[arg(long)]
        wait: bool,
    },
}

impl Tier {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            Tier::Status => status(&connection, session).await,
            Tier::Flush { share, wait } => {
                let request = FlushRequest { share: share.clone() };
                let mut job = connection.post::<_, Job>("/tier/flush", &request).await?;
                if wait {
                    job = placed(&connection, job, share.as_deref()).await?;
                }
                session.output.done(&job, &format!("{}: {}", job.what, job.state))
            }
        }
    }
}

/// Waits until everything is placed, showing on a terminal how much is left.
async fn placed(
    connection: &Connection,
    job: Answer<Job>,
    share: Option<&str>,
) -> Result<Answer<Job>, Failure> {
    use std::io::IsTerminal;
    if !std::io::stderr().is_terminal() {
        return finished(connection, job, async || {}).await;
    }
    let what = job.what.clone();
    let progress = Progress::start(&what, Some(dirty(connection, share).await?));
    let meanwhile = async || {
        if let Ok(left) = dirty(connection, share).await {
            progress.left(&what, left);
        }
    };
    finished(connection, job, meanwhile).await
}

/// Bytes that are not in the cold store yet.
async fn dirty(connection: &Connection, share: Option<&str>) -> Result<u64, Failure> {
    let status = connection.get::<TierStatus>("/tier/status").await?;
    let meant = status.shares.iter().filter(|one| share.is_none_or(|name| one.share == name));
    Ok(meant.map(|one| one.dirty_bytes).sum())
}

/// An age as people say it.
fn age(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 90.0 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 90.0 * 60.0 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) if seconds < 48.0 * 3600.0 => format!("{:.1} h", seconds / 3600.0),
        Some(seconds) => format!("{:.1} days", seconds / 86_400.0),
    }
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}

fn ratio(hits: u64, misses: u64) -> Option<f64> {
    (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64)
}

/// The first word or two of a state: the whole of it is told below the table.
fn short(state: &str) -> String {
    state.split([':', '(']).next().unwrap_or_default().trim().to_owned()
}

async fn status(connection: &Connection, session: &Session) -> Result<(), Failure> {
    let status = connection.get::<TierStatus>("/tier/status").await?;
    let header = [
        "share",
        "state",
        "durability",
        "only here",
        "files",
        "oldest",
        "power cut loses",
        "uploading",
        "uploaded",
        "local reads",
        "cold store",
    ];
    let rows = status.shares.iter().map(row).collect();
    session.output.show(&status, &header, rows)?;
    if session.output.for_people() {
        session.output.line(&below(&status))?;
    }
    Ok(())
}

fn row(share: &ShareTierStatus) -> Vec<String> {
    let lost = match share.oldest_undurable_seconds {
        None => "nothing".to_owned(),
        some => format!("the last {}", age(some)),
    };
    let cold = if share.cold == "up" { "up" } else { "down" };
    vec![
        share.share.clone(),
        short(&share.state),
        share.durability.clone(),
        show_size(share.dirty_bytes),
        share.dirty_inodes.to_string(),
        age(share.oldest_unplaced_seconds),
        lost,
        share.uploads_in_flight.to_string(),
        show_size(share.uploaded_bytes),
        percent(share.local_ratio()),
        cold.to_owned(),
    ]
}

/// What stands below the table: the tiers of the gateway, what is at risk by age, and everything that is wrong.
fn below(status: &TierStatus) -> String {
    let mut lines = vec![String::new()];
    let drain = match status.drain_bytes_per_second {
        0 => String::new(),
        bytes => format!(", drains {} a second", show_size(bytes)),
    };
    lines.push(format!(
        "journal  {:.1} % of {} in use{drain}",
        status.occupancy * 100.0,
        show_size(status.journal_bytes)
    ));
    lines.push(format!(
        "hot      {} of {}, {} of look-ups hit",
        show_size(status.hot_bytes),
        show_size(status.hot_capacity_bytes),
        percent(ratio(status.hot_hits, status.hot_misses))
    ));
    lines.push(match status.warm_bytes {
        0 => "warm     off".to_owned(),
        bytes => format!(
            "warm     {} ({} on disk), {} of look-ups hit, {} blocks dropped",
            show_size(bytes),
            show_size(status.warm_allocated_bytes),
            percent(ratio(status.warm_hits, status.warm_misses)),
            status.cache_drops
        ),
    });
    for share in status.shares.iter().filter(|share| share.dirty_bytes > 0) {
        let bands = share.at_risk.iter().filter(|band| band.files > 0);
        let said: Vec<String> = bands
            .map(|band| {
                let (size, least) = (show_size(band.bytes), band.older_than_seconds);
                let since =
                    if least == 0 { "new".to_owned() } else { format!("over {}", age(Some(least as f64))) };
                format!("{size} in {} files {since}", band.files)
            })
            .collect();
        lines.push(format!("at risk  {}: {}", share.share, said.join(", ")));
    }
    status.shares.iter().for_each(|share| lines.extend(wrong(share)));
    lines.join("\n")
}

/// What is wrong with a share, a line each.
fn wrong(share: &ShareTierStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if short(&share.state) != "serving" {
        lines.push(share.state.clone());
    }
    if share.cold != "up" {
        let since = share
            .cold_down_seconds
            .map_or_else(String::new, |_| format!(" for {}", age(share.cold_down_seconds)));
        lines.push(format!("cold store down{since}: {}", share.cold));
    }
    lines.extend(share.held.iter().map(|held| format!("not flushed: {held}")));
    let told = lines.iter().any(|line| share.last_error.as_ref().is_some_and(|error| line.contains(error)));
    if let Some(error) = share.last_error.as_ref().filter(|_| !told) {
        lines.push(format!("last error: {error}"));
    }
    lines.into_iter().map(|line| format!("!        {}: {line}", share.share)).collect()
}

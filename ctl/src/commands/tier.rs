//! `dfsctl tier …` and `dfsctl status`.

use crate::cli::{Failure, Session};
use crate::credentials;
use clap::Subcommand;
use dfs_api::units::show_size;
use dfs_api::{Client, FlushRequest, Job, TierStatus};
use std::time::Duration;

/// The tiers.
#[derive(Subcommand)]
pub(crate) enum Tier {
    /// What is where, and what is at risk.
    Status,
    /// Places dirty data in the cold store.
    Flush {
        /// One share; all without it.
        #[arg(long)]
        share: Option<String>,
        /// Wait until everything that was dirty is placed and durable.
        #[arg(long)]
        wait: bool,
    },
}

/// How often a job is looked at.
const POLL: Duration = Duration::from_millis(200);

impl Tier {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = credentials::client(session).await?;
        match self {
            Tier::Status => status(&client, session).await,
            Tier::Flush { share, wait } => {
                let job: Job = client.post("/tier/flush", &FlushRequest { share }).await?;
                let job = if wait { finished(&client, job).await? } else { job };
                if let Some(error) = &job.error {
                    return Err(Failure::new(8, format!("{} failed: {error}", job.what)));
                }
                session.output.done(&job, &format!("{}: {}", job.what, job.state))
            }
        }
    }
}

async fn finished(client: &Client, mut job: Job) -> Result<Job, Failure> {
    while job.state == "running" {
        tokio::time::sleep(POLL).await;
        job = client.get(&format!("/jobs/{}", job.id)).await?;
    }
    Ok(job)
}

fn age(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"))
}

async fn status(client: &Client, session: &Session) -> Result<(), Failure> {
    let status: TierStatus = client.get("/tier/status").await?;
    let rows = status.shares.iter().map(|share| {
        vec![
            share.share.clone(),
            share.durability.clone(),
            show_size(share.dirty_bytes),
            share.dirty_inodes.to_string(),
            age(share.oldest_undurable_seconds),
            age(share.oldest_unplaced_seconds),
            share.uploads_in_flight.to_string(),
            show_size(share.uploaded_bytes),
            share.cold.clone(),
        ]
    });
    let header = [
        "share",
        "durability",
        "dirty",
        "files",
        "oldest undurable",
        "oldest unplaced",
        "uploads",
        "uploaded",
        "cold store",
    ];
    session.output.show(&status, &header, rows.collect())?;
    if session.output.format == crate::output::Format::Table {
        println!();
        println!("journal  {:.1} % of {}", status.occupancy * 100.0, show_size(status.journal_bytes));
        println!(
            "hot      {} ({} hits, {} misses)",
            show_size(status.hot_bytes),
            status.hot_hits,
            status.hot_misses
        );
        println!(
            "warm     {} ({} hits, {} misses, {} drops)",
            show_size(status.warm_bytes),
            status.warm_hits,
            status.warm_misses,
            status.cache_drops
        );
    }
    Ok(())
}

/// `dfsctl status`: needs no login.
pub(crate) async fn health(session: &Session) -> Result<(), Failure> {
    let health = Client::new(&credentials::server(session), None).health().await?;
    let row = vec![
        health.status.clone(),
        health.version.clone(),
        format!("{} s", health.uptime_seconds),
        health.shares.to_string(),
    ];
    session.output.show(&health, &["status", "version", "uptime", "shares"], vec![row])
}

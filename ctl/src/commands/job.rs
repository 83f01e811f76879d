//! `dfsctl job …`: work of the gateway that goes on after its answer.

use crate::connection::{Answer, Connection, path};
use crate::failure::{Failure, JOB};
use crate::output::text_or_dash;
use crate::progress::Progress;
use crate::session::Session;
use clap::Subcommand;
use dfs_api::Job;
use std::time::Duration;

/// How often a job is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Work of the gateway that goes on after its answer, such as a flush.
#[derive(Subcommand)]
pub(crate) enum JobCommand {
    /// Lists them.
    List,
    /// Shows one.
    #[command(visible_alias = "get")]
    Show {
        /// Its number.
        id: u64,
    },
    /// Waits until one has ended.
    Wait {
        /// Its number.
        id: u64,
    },
}

impl JobCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            JobCommand::List => {
                let jobs = connection.list::<Job>("/jobs").await?;
                session.output.show(&jobs, &HEADER, jobs.iter().map(row).collect())
            }
            JobCommand::Show { id } => {
                let job = connection.get::<Job>(&path(&["jobs", &id.to_string()])).await?;
                session.output.show(&job, &HEADER, vec![row(&job)])
            }
            JobCommand::Wait { id } => {
                let job = connection.get::<Job>(&path(&["jobs", &id.to_string()])).await?;
                let progress = Progress::start(&job.what, None);
                let job = finished(&connection, job, async || progress.tick()).await?;
                drop(progress);
                session.output.done(&job, &format!("{}: {}", job.what, job.state))
            }
        }
    }
}

const HEADER: [&str; 4] = ["id", "what", "state", "error"];

fn row(job: &Job) -> Vec<String> {
    let error = text_or_dash(job.error.as_deref().unwrap_or_default());
    vec![job.id.to_string(), job.what.clone(), job.state.clone(), error]
}

/// Waits until a job has ended, telling `meanwhile` each time that it has not. *Errors:* it failed.
pub(crate) async fn finished(
    connection: &Connection,
    mut job: Answer<Job>,
    meanwhile: impl AsyncFn(),
) -> Result<Answer<Job>, Failure> {
    while job.state == "running" {
        meanwhile().await;
        tokio::time::sleep(POLL).await;
        job = connection.get(&path(&["jobs", &job.id.to_string()])).await?;
    }
    match &job.error {
        Some(error) => Err(Failure::new(JOB, format!("{} failed: {error}", job.what))),
        None => Ok(job),
    }
}

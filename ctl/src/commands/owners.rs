//! `dfsctl share adopt | release | abandon`: shares that several gateways may serve, one at a time.

use crate::cli::{Failure, Session};
use crate::commands::tier;
use clap::Args;
use dfs_api::units::show_size;
use dfs_api::{AbandonJournal, AbandonedJournal, AdoptShare, Client, Job, ShareStatus, StrandedJournal};

/// A share of another gateway, and this one's names of the stores that it is in.
#[derive(Args)]
pub(crate) struct Adopt {
    /// Name of the share.
    name: String,
    /// Metadata store (of kind postgres).
    #[arg(long, default_value = "default")]
    metadata: String,
    /// Cold store with the bucket and prefix that its packs are in.
    #[arg(long, visible_alias = "payload", default_value = "default")]
    cold: String,
}

fn path(name: &str, action: &str) -> String {
    format!("/shares/{}/{action}", Client::segment(name))
}

impl Adopt {
    pub async fn run(self, client: &Client, session: &Session) -> Result<(), Failure> {
        let asked = AdoptShare { metadata: self.metadata, cold: self.cold };
        let adopted: ShareStatus = client.post(&path(&self.name, "adopt"), &asked).await?;
        session.output.done(&adopted, &format!("share '{}': {}", self.name, adopted.state))
    }
}

/// Hands a share over and waits until that is done.
pub(crate) async fn release(client: &Client, session: &Session, name: &str) -> Result<(), Failure> {
    let job: Job = client.post(&path(name, "release"), &()).await?;
    let job = tier::finished(client, job).await?;
    match &job.error {
        Some(error) => Err(Failure::new(8, format!("{} failed: {error}", job.what))),
        None => {
            session.output.done(&job, &format!("share '{name}' is handed over: any gateway may serve it"))
        }
    }
}

/// Tells what abandoning a journal loses, and with `yes` does it.
pub(crate) async fn abandon(
    client: &Client,
    session: &Session,
    name: &str,
    yes: bool,
) -> Result<(), Failure> {
    let asked = AbandonJournal { confirm: yes };
    let told: AbandonedJournal = client.post(&path(name, "abandon"), &asked).await?;
    let (size, files, holder) = (show_size(told.bytes), told.files, &told.journal_of);
    let lost = format!(
        "{size} ({} bytes) of {files} files that only the journal of gateway '{holder}' had at its last word, and what it acknowledged after that",
        told.bytes
    );
    if !told.abandoned {
        return Err(Failure::new(2, format!("this loses {lost}; say --yes if that is meant")));
    }
    session.output.done(&told, &format!("share '{name}' is served here; lost: {lost}"))
}

/// A journal that a share was taken without, in one line.
pub(crate) fn stranded(journal: &StrandedJournal) -> String {
    format!("{} of {} files at gateway '{}'", show_size(journal.bytes), journal.files, journal.gateway)
}

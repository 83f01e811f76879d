//! `dfsctl share adopt | release | abandon`: shares that several gateways may serve, one at a time.

use super::{ShareArg, of};
use crate::commands::job;
use crate::completion;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::Session;
use clap::Args;
use dfs_api::units::show_size;
use dfs_api::{AbandonJournal, AbandonedJournal, AdoptShare, Job, ShareStatus, StrandedJournal};

/// A share of another gateway, and this one's names of the stores that it is in.
#[derive(Args)]
pub(crate) struct Adopt {
    #[command(flatten)]
    share: ShareArg,
    /// Metadata store (of kind postgres).
    #[arg(long, default_value = "default", add = completion::metadata_stores())]
    metadata: String,
    /// Cold store with the bucket and prefix that its packs are in.
    #[arg(long, visible_alias = "payload", default_value = "default", add = completion::cold_stores())]
    cold: String,
}

fn path(name: &str, action: &str) -> String {
    format!("{}/{action}", of(name))
}

impl Adopt {
    pub async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let asked = AdoptShare { metadata: self.metadata, cold: self.cold };
        let name = self.share.share;
        let adopted = connection.post::<_, ShareStatus>(&path(&name, "adopt"), &asked).await?;
        session.output.done(&adopted, &format!("share '{name}': {}", adopted.state))
    }
}

/// Hands a share over and waits until that is done.
pub(crate) async fn release(connection: &Connection, session: &Session, name: &str) -> Result<(), Failure> {
    let asked = connection.post::<_, Job>(&path(name, "release"), &()).await?;
    let progress = Progress::start(&asked.what, None);
    let job = job::finished(connection, asked, async || progress.tick()).await?;
    drop(progress);
    session.output.done(&job, &format!("share '{name}' is handed over: any gateway may serve it"))
}

/// Tells what abandoning a journal loses, and with `yes` does it.
pub(crate) async fn abandon(
    connection: &Connection,
    session: &Session,
    name: &str,
    yes: bool,
) -> Result<(), Failure> {
    let asked = AbandonJournal { confirm: yes };
    let told = connection.post::<_, AbandonedJournal>(&path(name, "abandon"), &asked).await?;
    let (size, files, holder) = (show_size(told.bytes), told.files, &told.journal_of);
    let lost = format!(
        "{size} ({} bytes) of {files} files that only the journal of gateway '{holder}' had at its last word, and what it acknowledged after that",
        told.bytes
    );
    if !told.abandoned {
        return Err(Failure::usage(format!("this loses {lost}; say --yes if that is meant")));
    }
    session.output.done(&told, &format!("share '{name}' is served here; lost: {lost}"))
}

/// A journal that a share was taken without, in one line.
pub(crate) fn stranded(journal: &StrandedJournal) -> String {
    format!("{} of {} files at gateway '{}'", show_size(journal.bytes), journal.files, journal.gateway)
}

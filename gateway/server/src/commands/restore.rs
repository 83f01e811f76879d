//! `dfs restore controlplane`: what a backup holds in place of what there is.
//!
//! The backup is opened and looked through before anything is touched. What was there is written to a backup of its own in the
//! data folder first. The rows are replaced in one transaction: *a crash* leaves all of the old ones or all of the new ones.

use super::backup::{failure, keep_copy};
use super::control::{Reach, reach, record, refusal};
use super::{Common, Failure, Form, VERSION, cannot, local, passphrase, print, print_as};
use crate::system::OsEntropy;
use clap::{Args, Subcommand};
use dfs_api::{BackupRequest, Client, RestoreReport};
use dfs_control::backup::{backup, counted, is_fresh, open_backup, restore};
use dfs_control::{ControlDatabase, Snapshot};
use dfs_model::Entropy;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No backup is larger: ten thousand users take a few MiB.
const BYTES_MAX: u64 = 1 << 30;

/// Restores backups.
#[derive(Args)]
pub(super) struct Restore {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Puts what a backup holds in place of users, permissions, shares, stores and settings; everybody has to log in again.
    Controlplane(ControlPlane),
}

#[derive(Args)]
struct ControlPlane {
    /// A file that `dfs backup controlplane` or `dfsctl backup controlplane` wrote.
    #[arg(long, value_name = "PATH")]
    input: PathBuf,
    /// Replace what there is, also a control database that cannot be used; a copy of it is kept in the data folder.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    passphrase: passphrase::Source,
    /// How the outcome is told.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Form,
}

/// What happened.
struct Outcome {
    report: RestoreReport,
    copy: Option<PathBuf>,
    running: bool,
}

impl Restore {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        let What::Controlplane(command) = &self.what;
        command.run(common)
    }
}

impl ControlPlane {
    fn run(&self, common: &Common) -> Result<(), Failure> {
        let (config, data_dir) = common.configured()?;
        let file = read(&self.input)?;
        let word = self.passphrase.read()?;
        let steps = super::progress::Steps::begin("opening the backup");
        let rows = open_backup(&file, &word, VERSION).map_err(failure)?;
        steps.next("restoring");
        let outcome = local::block(async {
            match reach(&config, &data_dir, self.force).await? {
                Reach::Running(client) => self.to_running(&client, &data_dir, rows, &word).await,
                Reach::Stopped(database, _folder) => self.to_stopped(&database, &data_dir, rows, &word).await,
            }
        })?;
        steps.end();
        self.tell(&outcome)
    }

    async fn to_stopped(
        &self,
        database: &ControlDatabase,
        data_dir: &Path,
        rows: Snapshot,
        word: &str,
    ) -> Result<Outcome, Failure> {
        let before = database.snapshot();
        let copy = match self.force && !is_fresh(&before) {
            true => {
                let file = backup(&before, word, VERSION, &OsEntropy).map_err(failure)?;
                Some(keep_copy(data_dir, &file)?)
            }
            false => None,
        };
        let told = serde_json::to_value(counted(&rows)).unwrap_or_default();
        let done = restore(database, rows, self.force, Some(record("controlplane.restore", told))).await;
        let report = done.map_err(|problem| match problem.status {
            409 => Failure::new(
                2,
                "the control plane has users, shares or stores: --force replaces them, and keeps a copy in the data folder",
            ),
            507 => Failure::new(5, problem.detail),
            _ => Failure::new(1, problem.detail),
        })?;
        Ok(Outcome { report, copy, running: false })
    }

    async fn to_running(
        &self,
        client: &Client,
        data_dir: &Path,
        rows: Snapshot,
        word: &str,
    ) -> Result<Outcome, Failure> {
        let copy = match self.force {
            true => {
                let request = BackupRequest { passphrase: word.to_owned() };
                let file = client.post_for_bytes("/backup", &request).await.map_err(refusal)?;
                Some(keep_copy(data_dir, &file)?)
            }
            false => None,
        };
        // A passphrase of any letters does not fit a header: on its way the backup has another.
        let way = format!("{:032x}", OsEntropy.random_u128());
        let file = backup(&rows, &way, VERSION, &OsEntropy).map_err(failure)?;
        let path = Client::forced("/restore", self.force);
        let report = client.post_bytes(&path, &file, &[("x-passphrase", &way)]).await.map_err(refusal)?;
        Ok(Outcome { report, copy, running: true })
    }

    fn tell(&self, outcome: &Outcome) -> Result<(), Failure> {
        let report = &outcome.report;
        if self.output != Form::Table {
            let mut told =
                serde_json::to_value(report).map_err(|error| Failure::new(1, error.to_string()))?;
            told["copy"] = serde_json::json!(outcome.copy);
            told["restart_needed"] = serde_json::json!(outcome.running && report.restart_needed);
            return print_as(self.output, &told);
        }
        print(&format!(
            "restored {} users, {} groups, {} permissions, {} shares, {} metadata stores, {} cold stores\n",
            report.users,
            report.groups,
            report.grants,
            report.shares,
            report.metadata_stores,
            report.cold_stores
        ));
        if let Some(copy) = &outcome.copy {
            print(&format!("what was there is in {} (same passphrase)\n", copy.display()));
        }
        print(match outcome.running && report.restart_needed {
            true => "next: dfs stop, then dfs start: the gateway still serves the shares of before\n",
            false if outcome.running => "",
            false => "next: dfs start\n",
        });
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure { code: 2, ..cannot("read the backup", path, &error) })?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Failure::new(2, format!("{} is too large for a backup", path.display())));
    }
    Ok(bytes)
}

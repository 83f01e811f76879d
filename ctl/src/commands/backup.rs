//! `dfsctl backup controlplane` and `dfsctl restore controlplane`.

use crate::ask::{confirm, hidden, line, new_secret};
use crate::failure::Failure;
use crate::fresh::Fresh;
use crate::output::PAIRS;
use crate::progress::Progress;
use crate::session::Session;
use clap::{Args, Subcommand};
use dfs_api::{BackupRequest, Client, ClientError, RestoreReport};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where the passphrase comes from.
#[derive(Args)]
struct Passphrase {
    /// Read the passphrase from standard input, one line; without it, it is asked for.
    #[arg(long)]
    passphrase_stdin: bool,
}

/// Backups.
#[derive(Subcommand)]
pub(crate) enum Backup {
    /// Users, groups, permissions, shares, stores and settings in one encrypted file; no files of shares.
    Controlplane(Take),
}

/// A backup.
#[derive(Args)]
pub(crate) struct Take {
    /// The file.
    #[arg(long = "file", visible_alias = "to", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    passphrase: Passphrase,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

/// Restores.
#[derive(Subcommand)]
pub(crate) enum Restore {
    /// Users, groups, permissions, shares, stores and settings out of a backup.
    Controlplane(Bring),
}

/// A restore.
#[derive(Args)]
pub(crate) struct Bring {
    /// The file.
    #[arg(long = "file", visible_alias = "from", visible_alias = "input", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    passphrase: Passphrase,
    /// Do not ask, and replace what the gateway has.
    #[arg(long)]
    force: bool,
}

impl Backup {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let Backup::Controlplane(take) = self;
        let connection = session.connect()?;
        let mut file = Fresh::begin(&take.file, take.force)?;
        let prompt = "Passphrase of the backup";
        let passphrase = new_secret(prompt, take.passphrase.passphrase_stdin, "--passphrase-stdin")?;
        let passphrase = sendable(passphrase)?;
        let progress = Progress::start("the gateway packs the control plane", None);
        progress.tick();
        let bytes = connection.client().post_for_bytes("/backup", &BackupRequest { passphrase }).await?;
        drop(progress);
        file.write(&bytes).map_err(|error| Failure::io(take.file.display(), &error))?;
        file.finish()?;
        let done = json!({"file": take.file, "bytes": bytes.len()});
        let sentence = format!(
            "{} holds the control plane ({} bytes); without its passphrase nobody can read it",
            take.file.display(),
            bytes.len()
        );
        session.output.done(&done, &sentence)
    }
}

impl Restore {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let Restore::Controlplane(bring) = self;
        let connection = session.connect()?;
        let bytes = std::fs::read(&bring.file).map_err(|error| Failure::io(bring.file.display(), &error))?;
        let prompt = "Passphrase of the backup";
        let passphrase = match bring.passphrase.passphrase_stdin {
            true => line(prompt)?,
            false => hidden(prompt, "--passphrase-stdin")?,
        };
        let passphrase = sendable(passphrase)?;
        if !bring.force && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            confirm(false, "brings back users, shares and stores out of the backup")?;
        }
        let progress = Progress::start("the gateway takes the backup in", None);
        progress.tick();
        let path = Client::forced("/restore", bring.force);
        let headers = [("x-passphrase", passphrase.as_str())];
        let report: Result<Value, ClientError> =
            connection.client().post_bytes(&path, &bytes, &headers).await;
        drop(progress);
        let json = report?;
        let report: RestoreReport = serde_json::from_value(json.clone())
            .map_err(|error| ClientError::BadAnswer(error.to_string()))?;
        let sentence = match report.restart_needed {
            true => "the control plane is restored; start the gateway again to serve it",
            false => "the control plane is restored",
        };
        session.output.done_with(&json, sentence, &PAIRS, rows(&json))
    }
}

/// A restore sends the passphrase as a header: a backup takes none that would not arrive there as it is. *Errors:* usage.
fn sendable(passphrase: String) -> Result<String, Failure> {
    if passphrase.chars().any(char::is_control) || passphrase.trim() != passphrase {
        return Err(Failure::usage(
            "a passphrase may have blanks only between its words, and no control characters",
        ));
    }
    Ok(passphrase)
}

fn rows(report: &Value) -> Vec<Vec<String>> {
    let counts = report.as_object().into_iter().flatten().filter(|(_, value)| value.is_u64());
    counts.map(|(name, value)| vec![name.replace('_', " "), value.to_string()]).collect()
}

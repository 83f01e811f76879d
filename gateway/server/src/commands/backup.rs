//! `dfs backup controlplane`: users, permissions, shares, stores and settings in one encrypted file.

use super::control::{Reach, reach, refusal};
use super::files::{exists, replace};
use super::{Common, Failure, Form, VERSION, local, passphrase, print, print_as};
use crate::system::OsEntropy;
use clap::{Args, Subcommand, ValueEnum};
use dfs_api::BackupRequest;
use dfs_control::Snapshot;
use dfs_control::backup::{BackupError, backup, counted, open_backup, readable};
use dfs_model::Entropy;
use std::path::{Path, PathBuf};

/// Writes backups.
#[derive(Args)]
pub(super) struct Backup {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Users, groups, permissions, shares, stores with their keys, adapters, netgroups, settings; of a gateway that runs, or of one
    /// that does not.
    Controlplane(ControlPlane),
}

#[derive(Args)]
struct ControlPlane {
    /// File to write, mode 0600.
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
    /// `native` is encrypted and can be restored; `json` can be read, holds no secrets and cannot be restored.
    #[arg(long, value_enum, default_value = "native")]
    format: Format,
    #[command(flatten)]
    passphrase: passphrase::Source,
    /// How the outcome is told.
    #[arg(short = 'o', long = "form", value_enum, default_value = "table", value_name = "FORM")]
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Encrypted; can be restored.
    #[value(alias = "native-cli")]
    Native,
    /// Readable; without secrets.
    Json,
}

impl Backup {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        let What::Controlplane(command) = &self.what;
        command.run(common)
    }
}

impl ControlPlane {
    fn run(&self, common: &Common) -> Result<(), Failure> {
        let (config, data_dir) = common.configured()?;
        if self.output.exists() && !self.force {
            return Err(exists(&self.output));
        }
        let word = match self.format {
            Format::Native => self.passphrase.read()?,
            // Only on its way from the gateway to here.
            Format::Json => format!("{:032x}", OsEntropy.random_u128()),
        };
        let steps = super::progress::Steps::begin("reading");
        let file = local::block(async {
            match reach(&config, &data_dir, false).await? {
                Reach::Running(client) => {
                    let request = BackupRequest { passphrase: word.clone() };
                    client.post_for_bytes("/backup", &request).await.map_err(refusal)
                }
                Reach::Stopped(database, _folder) => {
                    backup(&database.snapshot(), &word, VERSION, &OsEntropy).map_err(failure)
                }
            }
        })?;
        // What cannot be opened again is no backup.
        steps.next("verifying");
        let rows = open_backup(&file, &word, VERSION).map_err(failure)?;
        steps.next("writing");
        let bytes = match self.format {
            Format::Native => file,
            Format::Json => as_text(&rows)?,
        };
        replace(&self.output, &bytes, 0o600, self.force)?;
        steps.end();
        self.tell(&rows, bytes.len())
    }

    fn tell(&self, rows: &Snapshot, bytes: usize) -> Result<(), Failure> {
        let rows = counted(rows);
        if self.form != Form::Table {
            let told = serde_json::json!({ "file": self.output, "bytes": bytes, "rows": rows_of(&rows)? });
            return print_as(self.form, &told);
        }
        print(&format!(
            "{} has {bytes} bytes: {} users, {} groups, {} permissions, {} shares, {} cold stores\n",
            self.output.display(),
            rows.users,
            rows.groups,
            rows.grants,
            rows.shares,
            rows.cold_stores
        ));
        Ok(())
    }
}

/// Numbers of rows alone: that a restart is needed says nothing of a backup.
fn rows_of(report: &dfs_api::RestoreReport) -> Result<serde_json::Value, Failure> {
    let mut rows = serde_json::to_value(report).map_err(|error| Failure::new(1, error.to_string()))?;
    if let Some(rows) = rows.as_object_mut() {
        rows.remove("restart_needed");
    }
    Ok(rows)
}

fn as_text(rows: &Snapshot) -> Result<Vec<u8>, Failure> {
    let value = readable(rows, VERSION).map_err(failure)?;
    let mut text = serde_json::to_vec_pretty(&value).map_err(|error| Failure::new(1, error.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// Why a backup cannot be made or opened, with its exit code.
pub(super) fn failure(error: BackupError) -> Failure {
    let code = match &error {
        BackupError::Passphrase | BackupError::WrongPassphrase | BackupError::NotABackup => 2,
        BackupError::Newer { .. } | BackupError::Damaged(_) => 6,
    };
    let text = match &error {
        BackupError::Newer { .. } => format!("a newer version is needed: {error}"),
        _ => error.to_string(),
    };
    Failure::new(code, text)
}

/// Writes a backup of what a restore is about to replace; answers its name.
pub(super) fn keep_copy(data_dir: &Path, file: &[u8]) -> Result<PathBuf, Failure> {
    let path = super::control::stamped(&data_dir.join("controlplane"), "before-restore");
    replace(&path, file, 0o600, true)?;
    Ok(path)
}

//! `dfs migrate`: the control database in the format of this program, or moved between the data folder and Postgres.
//!
//! Made while no gateway runs, and again without harm. A move copies: what it came from stays as it was, and is used again as
//! soon as the configuration says so.

use super::control::{embedded, failure, postgres, record};
use super::{Common, Failure, Form, print, print_as};
use crate::config::ControlDatabaseConfig;
use crate::runtime::Folder;
use clap::Args;
use dfs_control::ControlDatabase;
use dfs_control::backup::{holds_the_same, is_fresh, restore};
use std::path::Path;

/// Brings the control database up to date, or moves it.
#[derive(Args)]
pub(super) struct Migrate {
    /// Copy from the data folder into the Postgres database of control.database.
    #[arg(long, conflicts_with = "to_embedded")]
    to_postgres: bool,
    /// Copy from the Postgres database of control.database into the data folder.
    #[arg(long)]
    to_embedded: bool,
    /// Replace what is there already.
    #[arg(long)]
    force: bool,
    /// How the outcome is told.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Form,
}

impl Migrate {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        let (config, data_dir) = common.configured()?;
        if let Some(pid) = crate::ready::running_pid(&data_dir) {
            return Err(Failure::new(4, format!("the gateway (pid {pid}) runs: stop it first (dfs stop)")));
        }
        let _folder = Folder::lock(&data_dir)?;
        let database = config.control.database.as_ref();
        let (changed, told) = super::local::block(async {
            match (self.to_postgres, self.to_embedded) {
                (false, false) => upgrade(database, &data_dir).await,
                (to_postgres, _) => self.copy(database, &data_dir, to_postgres).await,
            }
        })?;
        match self.output {
            Form::Table => print(&format!("{told}\n")),
            form => print_as(form, &serde_json::json!({ "changed": changed, "message": told }))?,
        }
        Ok(())
    }

    async fn copy(
        &self,
        config: Option<&ControlDatabaseConfig>,
        data_dir: &Path,
        to_postgres: bool,
    ) -> Result<(bool, String), Failure> {
        let Some(config) = config else {
            let text = "control.database is not set: name the Postgres database in the configuration first";
            return Err(Failure::new(2, text));
        };
        let (from, to): (ControlDatabase, ControlDatabase) = match to_postgres {
            true => (embedded(data_dir, false).await?, postgres(config, data_dir).await?),
            false => (postgres(config, data_dir).await?, embedded(data_dir, true).await?),
        };
        let next = match to_postgres {
            true => "next: dfs start; control.redb in the data folder stays as it was",
            false => {
                "next: take control.database out of the configuration, then dfs start; Postgres stays as it was"
            }
        };
        let rows = from.snapshot();
        if holds_the_same(&rows, &to.snapshot()) {
            return Ok((false, format!("nothing to do: both hold the same; {next}")));
        }
        if is_fresh(&rows) && !is_fresh(&to.snapshot()) && !self.force {
            let text = "there is nothing to move but a first administrator, and the other database is in use; --force replaces it";
            return Err(Failure::new(2, text));
        }
        let audit = record("controlplane.migrate", serde_json::json!({ "to_postgres": to_postgres }));
        let done = restore(&to, rows.as_ref().clone(), self.force, Some(audit)).await;
        let report = done.map_err(|problem| match problem.status {
            409 => Failure::new(
                2,
                "the other database has users, shares or stores of its own: --force replaces them",
            ),
            _ => Failure::new(5, problem.detail),
        })?;
        let text = format!(
            "moved {} users, {} groups, {} shares, {} cold stores (not the audit log, nor logins); {next}",
            report.users, report.groups, report.shares, report.cold_stores
        );
        Ok((true, text))
    }
}

async fn upgrade(config: Option<&ControlDatabaseConfig>, data_dir: &Path) -> Result<(bool, String), Failure> {
    let database = match config {
        Some(config) => postgres(config, data_dir).await?,
        None => embedded(data_dir, false).await?,
    };
    Ok(match database.upgrade().await.map_err(failure)? {
        true => (true, "the control database was written in the format of this program".to_owned()),
        false => (false, "nothing to do: the control database has the format of this program".to_owned()),
    })
}

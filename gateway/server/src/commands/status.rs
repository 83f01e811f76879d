//! `dfs status`: whether the gateway runs, and how it is.

use super::{Common, Failure, Form, local, print, print_as};
use clap::Args;
use dfs_api::{ClientOptions, Health};
use serde::Serialize;

/// Tells how the gateway is.
#[derive(Args)]
pub(super) struct Status {
    /// How it is shown.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Form,
    /// Ask REST at this port of this machine instead of where the gateway says it is.
    #[arg(long, value_name = "PORT")]
    api_port: Option<u16>,
}

/// What is told as JSON and YAML: the gateway's own words, and where it can be reached.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    health: Health,
    data_dir: String,
    /// Nothing while the adapter does not serve.
    nfs: Option<String>,
    rest: String,
    metrics: Option<String>,
}

impl Status {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        let (config, data_dir) = common.configured()?;
        let at = match local::serving(&data_dir) {
            Ok(at) => at,
            Err(failure) => {
                if self.output != Form::Table {
                    let pid = crate::ready::running_pid(&data_dir);
                    let status = if pid.is_some() { "not-ready" } else { "stopped" };
                    print_as(self.output, &serde_json::json!({ "status": status, "pid": pid }))?;
                }
                return Err(failure);
            }
        };
        let options = ClientOptions { timeout: Some(local::ANSWER_WITHIN), ..ClientOptions::default() };
        let client = local::client(&config, &data_dir, &at, self.api_port, options)?;
        let pid = at.pid;
        let health = local::block(async {
            let unwell = |error: dfs_api::ClientError| {
                Failure::new(3, format!("pid {pid} holds the data folder, but: {error}"))
            };
            client.health().await.map_err(unwell)
        })?;
        let scheme = if config.control.tls.is_some() { "https" } else { "http" };
        let told = Told {
            health,
            data_dir: data_dir.display().to_string(),
            nfs: at.nfs.map(|at| at.to_string()),
            rest: format!("{scheme}://{}{}", at.control, dfs_api::PREFIX),
            metrics: at.metrics.map(|at| at.to_string()),
        };
        match self.output {
            Form::Table => print(&table(&told)),
            form => print_as(form, &told)?,
        }
        Ok(())
    }
}

fn table(told: &Told) -> String {
    let health = &told.health;
    let metrics = told.metrics.as_deref().unwrap_or("off");
    format!(
        "status   {}\nversion  {}\npid      {}\nuptime   {} s\nshares   {}{}\nnfs      {}\nrest     {}\nmetrics  {metrics}\ndata     {}\n",
        health.status,
        health.version,
        health.pid,
        health.uptime_seconds,
        health.shares,
        failed_shares(health.shares_failed),
        told.nfs.as_deref().unwrap_or("off"),
        told.rest,
        told.data_dir,
    )
}

fn failed_shares(failed: usize) -> String {
    match failed {
        0 => String::new(),
        failed => format!(", and {failed} that could not be opened (dfsctl share list)"),
    }
}

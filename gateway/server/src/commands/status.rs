//! `dfs status`: whether the gateway runs, and how it is.

use super::{Failure, configured};
use crate::ready::{ready, running_pid};
use clap::Args;
use std::path::Path;

/// Tells how the gateway is.
#[derive(Args)]
pub(super) struct Status {
    /// `text` or `json`.
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

impl Status {
    pub(super) fn run(&self, config_path: &Path) -> Result<(), Failure> {
        let (_, data_dir) = configured(config_path)?;
        let Some(pid) = running_pid(&data_dir) else {
            return Err(Failure::new(3, format!("no gateway runs on {}", data_dir.display())));
        };
        let Some(ready) = ready(&data_dir) else {
            return Err(Failure::new(
                3,
                format!("the gateway (pid {pid}) is starting or stopping on {}", data_dir.display()),
            ));
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(1, error.to_string()))?;
        let client = dfs_api::Client::new(&format!("http://{}", ready.control), None);
        let health = runtime.block_on(client.health());
        let health = health
            .map_err(|error| Failure::new(3, format!("pid {pid} holds the data folder, but: {error}")))?;
        if self.output == "json" {
            let text =
                serde_json::to_string_pretty(&health).map_err(|error| Failure::new(1, error.to_string()))?;
            println!("{text}");
        } else {
            println!("status   {}", health.status);
            println!("version  {}", health.version);
            println!("pid      {pid}");
            println!("uptime   {} s", health.uptime_seconds);
            println!("shares   {}{}", health.shares, failed_shares(health.shares_failed));
            println!("nfs      {}", ready.nfs);
            println!("rest     http://{}{}", ready.control, dfs_api::PREFIX);
        }
        Ok(())
    }
}

fn failed_shares(failed: usize) -> String {
    match failed {
        0 => String::new(),
        failed => format!(", and {failed} that could not be opened (dfsctl share list)"),
    }
}

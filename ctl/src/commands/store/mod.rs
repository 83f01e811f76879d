//! `dfsctl store …`.

mod cold;
mod metadata;

use crate::failure::Failure;
use crate::session::Session;
use clap::Subcommand;

/// Metadata stores and cold stores.
#[derive(Subcommand)]
pub(crate) enum Store {
    /// Where names are kept.
    #[command(subcommand)]
    Metadata(metadata::Metadata),
    /// Where packs are kept.
    #[command(subcommand, visible_alias = "payload")]
    Cold(cold::Cold),
}

impl Store {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Store::Metadata(command) => command.run(session).await,
            Store::Cold(command) => command.run(session).await,
        }
    }
}

/// Reads `--config`: JSON, or `@FILE` with JSON in it. *Errors:* usage.
fn config(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    let text = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("--config {file}: {error}")))?,
        None => text.to_owned(),
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("--config is no JSON object: {error}")))
}

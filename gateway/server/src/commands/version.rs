//! `dfs version`: what this program is and how it was built.

use super::{Failure, Form, VERSION, print, print_as};
use clap::Args;
use serde::Serialize;

/// Tells the version.
#[derive(Args)]
pub(super) struct VersionCommand {
    /// How it is shown.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Form,
}

/// What is told, also as JSON.
#[derive(Serialize)]
struct Told {
    name: &'static str,
    version: &'static str,
    /// `optimised` or `debug`.
    build: &'static str,
    /// The compiler, where the build told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rustc: Option<&'static str>,
    target: String,
}

impl VersionCommand {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let told = Told {
            name: "dfs",
            version: VERSION,
            build: if cfg!(debug_assertions) { "debug" } else { "optimised" },
            rustc: option_env!("DFS_RUSTC"),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        };
        match self.output {
            Form::Table => print(&format!("dfs {VERSION}\n")),
            form => print_as(form, &told)?,
        }
        Ok(())
    }
}

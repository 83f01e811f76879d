//! `dfs completion`: the script that a shell loads.

use super::{Cli, Failure};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Prints a completion script.
#[derive(Args)]
pub(super) struct Completion {
    /// The shell that will load it.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completion {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "dfs", &mut script);
        super::print(&String::from_utf8_lossy(&script));
        Ok(())
    }
}

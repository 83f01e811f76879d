//! Completion: of commands and options by clap, of live names by asking the gateway.
//!
//! The scripts that `dfsctl completion` prints call the program back with the words typed so far. Names are asked for with the
//! login of the context, within a second and without a question; where that does not work there are none, and no word is said.

mod names;

pub(crate) use names::*;

use crate::failure::Failure;
use crate::output::Output;
use clap::{CommandFactory, ValueEnum};
use clap_complete::env::{CompleteEnv, Shells};

/// The variable by which the scripts tell that a completion is wanted.
const VARIABLE: &str = "DFSCTL_COMPLETE";

/// A shell with completion.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// Friendly interactive shell.
    Fish,
    /// PowerShell.
    Powershell,
    /// Elvish.
    Elvish,
}

/// Answers a script's question, if this is one: then the program ends.
pub(crate) fn answer<C: CommandFactory>() {
    CompleteEnv::with_factory(C::command).var(VARIABLE).bin("dfsctl").completer("dfsctl").complete();
}

/// Prints the script for a shell.
pub(crate) fn script(shell: Shell, output: &Output) -> Result<(), Failure> {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
        Shell::Powershell => "powershell",
        Shell::Elvish => "elvish",
    };
    let shells = Shells::builtins();
    let known = shells.completer(name).ok_or_else(|| Failure::usage(format!("no completion for {name}")))?;
    let mut text = Vec::new();
    let written = known.write_registration(VARIABLE, "dfsctl", "dfsctl", "dfsctl", &mut text);
    written.map_err(|error| Failure::io("the script", &error))?;
    output.bytes(&text)
}

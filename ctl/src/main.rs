//! `dfsctl`: manages a gateway over its REST control plane.

#![forbid(unsafe_code)]

mod cli;
mod commands;
mod credentials;
mod output;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}

//! `dfsctl`: manages a gateway over its REST control plane.

#![forbid(unsafe_code)]

mod args;
mod ask;
mod cli;
mod commands;
mod completion;
mod connection;
mod contexts;
mod edit;
mod failure;
mod fresh;
mod man;
mod output;
mod progress;
mod session;
mod time;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}

//! The laboratory: one program with the tools that the test groups need, each a subcommand.
//!
//! It shares no code with the product on purpose, so that a mistake in the product's codec or clock cannot hide itself.
//! It measures the machine's own clock and rolls its own seeded dice; the product may do neither.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods)]

mod cli;
mod copy;
mod hostile;
mod load;
mod manifest;
mod nfs;
mod proxy;

fn main() -> std::process::ExitCode {
    cli::run()
}

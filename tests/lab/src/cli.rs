//! The command line of the laboratory: parses, dispatches, turns an error into exit status 2.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{copy, hostile, load, manifest, proxy};

#[derive(Parser)]
#[command(name = "dfs-lab", about = "Tools of the project's tests")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints one line for each file under a folder: type, mode, owner, times, size, links, contents.
    Manifest(ManifestArgs),
    /// Compares two manifests: exit status 0 where they agree, 1 and a readable list where not.
    Compare(CompareArgs),
    /// A TCP or HTTP proxy that can be told to fail; commands on stdin, one answer line each.
    Proxy(proxy::ProxyArgs),
    /// Copies a tree over NFSv3 without a mount, reads it back and compares.
    Copy(copy::CopyArgs),
    /// Loads a gateway, or measures the machine without it; prints one line of figures.
    Load(load::LoadArgs),
    /// Attacks a gateway with damaged records.
    Hostile(hostile::HostileArgs),
}

#[derive(Args)]
struct ManifestArgs {
    folder: PathBuf,
    /// Where to write; standard output without it.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Files read at the same time.
    #[arg(long, default_value_t = 4)]
    threads: usize,
}

#[derive(Args)]
struct CompareArgs {
    wanted: PathBuf,
    found: PathBuf,
    /// The most differences to print.
    #[arg(long, default_value_t = 40)]
    show: usize,
    /// Fields to leave out, such as `owner` or `mtime`; may be repeated.
    #[arg(long)]
    ignore: Vec<String>,
}

/// Runs the command line of this process and returns its exit status.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Manifest(args) => manifest::print(&args.folder, args.out.as_deref(), args.threads),
        Command::Compare(args) => manifest::compare_files(&args.wanted, &args.found, args.show, &args.ignore),
        Command::Proxy(args) => proxy::run(args),
        Command::Copy(args) => copy::run(args),
        Command::Load(args) => load::run(args),
        Command::Hostile(args) => hostile::run(args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("dfs-lab: {error}");
            ExitCode::from(2)
        }
    }
}

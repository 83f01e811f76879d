//! The commands of `dfs`.

mod init;
mod start;
mod status;
mod stop;

use clap::{Parser, Subcommand};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Version as told by `dfs version` and `/health`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The tiered-storage cache gateway: serves files over NFS, keeps blocks in memory, on NVMe and in an object store.
#[derive(Parser)]
#[command(name = "dfs", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    /// Configuration file.
    #[arg(long, global = true, env = "DFS_CONFIG", default_value = "/etc/dfs/config.yaml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the configuration file, the data folder, its keys and the administrator.
    Init(init::Init),
    /// Starts the gateway, in the background unless --foreground.
    Start(start::Start),
    /// Stops the gateway: requests under way end, journals are synced.
    Stop(stop::Stop),
    /// Tells whether the gateway runs and how it is.
    Status(status::Status),
    /// Tells the version.
    Version,
}

/// Why a command failed, with its exit code.
#[derive(Debug)]
pub struct Failure {
    /// Exit code: 1 anything else, 2 usage or configuration, 3 not running, 4 already running or port in use, 5 data folder
    /// unusable, 6 data damaged or of a newer format.
    pub code: u8,
    /// One sentence that says what to do.
    pub message: String,
}

impl Failure {
    /// Makes a failure.
    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }
}

/// What could not be done to a path of the data folder or beside it, with exit code 5.
pub(crate) fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(5, format!("cannot {what} {}: {error}", path.display()))
}

/// How the system says that the disk, or the user's part of it, is full: the libraries in between keep only its words.
const FULL: [&str; 2] = ["(os error 28)", "(os error 122)"];
/// What to do about it.
const FREE_SPACE: &str = ": the disk is full: free some space on it, then try again";

impl Failure {
    /// Whether the disk is full: no matter of one share.
    pub(crate) fn is_full_disk(&self) -> bool {
        FULL.iter().any(|words| self.message.contains(words))
    }

    /// A full disk is not damage: another exit code, and what to do about it. Told once, whoever tells it on.
    fn with_advice(mut self) -> Failure {
        if self.is_full_disk() && !self.message.ends_with(FREE_SPACE) {
            self.message.push_str(FREE_SPACE);
            self.code = 5;
        }
        self
    }
}

/// Runs the command line. Never panics on what the user or the disk says.
#[must_use]
pub fn run() -> ExitCode {
    // One TLS provider for the process, before anything could ask for one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Init(command) => command.run(&cli.config),
        Command::Start(command) => command.run(&cli.config),
        Command::Stop(command) => command.run(&cli.config),
        Command::Status(command) => command.run(&cli.config),
        Command::Version => {
            println!("dfs {VERSION}");
            Ok(())
        }
    };
    match done.map_err(Failure::with_advice) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("dfs: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// Reads the configuration and its data folder.
fn configured(path: &Path) -> Result<(crate::Config, PathBuf), Failure> {
    if !path.exists() {
        return Err(Failure::new(
            2,
            format!(
                "there is no configuration {}: run `dfs init` first, or name one with --config",
                path.display()
            ),
        ));
    }
    let config = crate::config::load(path).map_err(|error| Failure::new(2, error.to_string()))?;
    let data_dir = config.data_dir.clone();
    let data_dir = data_dir.ok_or_else(|| {
        Failure::new(
            2,
            format!("{}: data_dir is missing: name the folder of the local state", path.display()),
        )
    })?;
    Ok((config, data_dir))
}

/// Waits between two looks at another process.
#[allow(
    clippy::disallowed_methods,
    reason = "one process waits for another; nothing else runs in this one yet"
)]
pub(crate) fn pause(step: Duration) {
    std::thread::sleep(step);
}

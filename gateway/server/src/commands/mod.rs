//! The commands of `dfs`.

mod backup;
mod completion;
mod config_command;
mod config_edit;
mod control;
mod doctor;
mod files;
mod init;
mod local;
mod logs;
mod man;
mod migrate;
mod passphrase;
mod progress;
mod restore;
mod start;
mod status;
mod stop;
mod version;

use crate::config;
use clap::{Args, Parser, Subcommand};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Version as told by `dfs version` and `/health`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The tiered-storage cache gateway: serves files over NFS, keeps blocks in memory, on NVMe and in an object store.
#[derive(Parser)]
#[command(name = "dfs", version, propagate_version = true, arg_required_else_help = true, after_long_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
struct Common {
    /// Configuration file.
    #[arg(
        long,
        global = true,
        env = "DFS_CONFIG",
        value_name = "PATH",
        default_value = "/etc/dfs/config.yaml"
    )]
    config: PathBuf,
    /// Put a setting over the environment and the file, for this command; may be repeated.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

const AFTER_HELP: &str = "\
Settings: the command line (--set) goes before the environment, that before the file, that before the defaults. Every key of
the file is a variable of the environment too: DFS_SECTION__KEY, for instance DFS_JOURNAL__SIZE=16GiB or
DFS_METADATA__POSTGRES__URL=…; the two keys without a section are DFS_DATA_DIR and DFS_SHUTDOWN_TIMEOUT. `dfs config show`
tells where each setting comes from.

Exit codes: 0 done; 1 anything else; 2 usage or configuration; 3 no gateway runs; 4 another gateway runs on the folder, or a
port is in use; 5 the data folder cannot be used (missing, not writable, full); 6 data is damaged or of a newer format.";

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
    /// Shows the gateway's log.
    Logs(logs::Logs),
    /// Makes, shows, checks and changes the configuration.
    Config(config_command::ConfigCommand),
    /// Writes a backup of what the control plane knows.
    Backup(backup::Backup),
    /// Puts a backup in place of what the control plane knows.
    Restore(restore::Restore),
    /// Brings the control database up to date, or moves it to Postgres or back; while no gateway runs.
    Migrate(migrate::Migrate),
    /// Looks for what is wrong or will be, and says what to fix.
    Doctor(doctor::Doctor),
    /// Prints the completion script of a shell.
    Completion(completion::Completion),
    /// Writes the manual pages.
    Man(man::Man),
    /// Tells the version.
    Version(version::VersionCommand),
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
    let Cli { common, command } = Cli::parse();
    match run_command(command, &common).map_err(Failure::with_advice) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("dfs: {}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run_command(command: Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::Init(command) => command.run(&common.config),
        Command::Start(command) => command.run(common),
        Command::Stop(command) => command.run(common),
        Command::Status(command) => command.run(common),
        Command::Logs(command) => command.run(common),
        Command::Config(command) => command.run(common),
        Command::Backup(command) => command.run(common),
        Command::Restore(command) => command.run(common),
        Command::Migrate(command) => command.run(common),
        Command::Doctor(command) => command.run(common),
        Command::Completion(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::Version(command) => command.run(),
    }
}

impl Common {
    /// Reads the configuration, with the environment and --set over it.
    fn loaded(&self) -> Result<config::Loaded, Failure> {
        if !self.config.exists() {
            return Err(Failure::new(
                2,
                format!(
                    "there is no configuration {}: run `dfs init` first, or name one with --config",
                    self.config.display()
                ),
            ));
        }
        config::load_with(&self.config, &config::process_environment(), &self.set)
            .map_err(|error| Failure::new(2, error.to_string()))
    }

    /// Reads the configuration and its data folder.
    fn configured(&self) -> Result<(config::Config, PathBuf), Failure> {
        let config = self.loaded()?.config;
        let data_dir = config.data_dir.clone();
        let data_dir = data_dir.ok_or_else(|| {
            Failure::new(
                2,
                format!("{}: data_dir is missing: name the folder of the local state", self.config.display()),
            )
        })?;
        Ok((config, data_dir))
    }
}

/// Writes to standard output. A reader that went away is no failure.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Shows a value in a form that programs read.
fn print_as(form: Form, value: &impl serde::Serialize) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(1, error.to_string());
    let text = match form {
        Form::Yaml => serde_saphyr::to_string(value).map_err(|error| failed(&error))?,
        _ => serde_json::to_string_pretty(value).map_err(|error| failed(&error))? + "\n",
    };
    print(&text);
    Ok(())
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    #[value(alias = "text")]
    Table,
    /// As JSON.
    Json,
    /// As YAML.
    Yaml,
}

/// Waits between two looks at another process.
#[allow(
    clippy::disallowed_methods,
    reason = "one process waits for another; nothing else runs in this one yet"
)]
pub(crate) fn pause(step: Duration) {
    std::thread::sleep(step);
}

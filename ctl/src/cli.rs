//! The command line: what there is, and where each command goes.

use crate::commands::{file, login, netgroup, quota, recycle, share, snapshot, store, tier};
use crate::output::{Format, Output};
use clap::{Parser, Subcommand};
use dfs_api::ClientError;
use std::process::ExitCode;

/// Manages a gateway over its REST control plane.
#[derive(Parser)]
#[command(name = "dfsctl", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    /// The gateway's control plane; default the one of the last login, else http://127.0.0.1:8080.
    #[arg(long, global = true, env = "DFSCTL_SERVER")]
    server: Option<String>,
    /// Access token; default that of the last login.
    #[arg(long, global = true, env = "DFSCTL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Form of what is printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Logs in and remembers it (in a file that only you can read).
    Login(login::Login),
    /// Metadata stores and cold stores.
    #[command(subcommand)]
    Store(store::Store),
    /// Shares.
    #[command(subcommand)]
    Share(share::Share),
    /// Files of a share.
    #[command(subcommand)]
    File(file::File),
    /// Quotas of a share.
    #[command(subcommand)]
    Quota(quota::Quota),
    /// The recycle bin of a share.
    #[command(subcommand)]
    Recycle(recycle::RecycleCommand),
    /// Machines under one name, for client lists.
    #[command(subcommand)]
    Netgroup(netgroup::NetgroupCommand),
    /// Snapshots of shares.
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// The tiers: what is where, what is at risk.
    #[command(subcommand)]
    Tier(tier::Tier),
    /// How the gateway is.
    Status,
    /// Tells the version.
    Version,
}

/// Why a command failed, with its exit code: 1 anything else, 2 usage, 3 unreachable, 4 not logged in, 5 refused, 6 not found,
/// 7 not understood, 8 a job failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub code: u8,
    pub message: String,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Failure { code: error.exit_code(), message: error.to_string() }
    }
}

impl Failure {
    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }
}

/// What every command works with.
pub(crate) struct Session {
    pub server: Option<String>,
    pub token: Option<String>,
    pub output: Output,
}

/// Parses, runs, and tells what went wrong in one line.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let session = Session { server: cli.server, token: cli.token, output: Output { format: cli.output } };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli.command, &session)),
        Err(error) => Err(Failure::new(1, error.to_string())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("dfsctl: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

async fn dispatch(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Login(command) => command.run(session).await,
        Command::Store(command) => command.run(session).await,
        Command::Share(command) => command.run(session).await,
        Command::File(command) => command.run(session).await,
        Command::Quota(command) => command.run(session).await,
        Command::Recycle(command) => command.run(session).await,
        Command::Netgroup(command) => command.run(session).await,
        Command::Snapshot(command) => command.run(session).await,
        Command::Tier(command) => command.run(session).await,
        Command::Status => tier::health(session).await,
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            session.output.done(&version, &format!("dfsctl {version}"))
        }
    }
}

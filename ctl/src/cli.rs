//! The command line: what there is, and where each command goes.

use crate::commands::{
    adapter, audit, backup, client, context, file, group, idmap, job, login, netgroup, quota, recycle,
    settings, share, snapshot, status, store, tier, user,
};
use crate::completion::{self, Shell};
use crate::failure::Failure;
use crate::man;
use crate::output::{Format, Output};
use crate::session::{Globals, Session};
use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Manages a gateway over its REST control plane.
#[derive(Parser)]
#[command(name = "dfsctl", version, propagate_version = true, arg_required_else_help = true)]
#[command(subcommand_required = true, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    /// Form of what is printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, help_heading = "Global options")]
    output: Format,
    /// Let nothing stand out by color; the environment variable NO_COLOR says the same.
    #[arg(long, global = true, help_heading = "Global options")]
    no_color: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Logs in and remembers it, in a file that only you can read.
    Login(login::Login),
    /// Ends the login.
    Logout(login::Logout),
    /// Logs in as another user at the same gateway.
    SwitchUser(login::SwitchUser),
    /// Remembered gateways.
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// How the gateway is; needs no login.
    Status,
    /// Users.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Groups of users.
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Shares, their permissions and mounts.
    #[command(subcommand)]
    Share(share::Share),
    /// Metadata stores and cold stores.
    #[command(subcommand)]
    Store(store::Store),
    /// Adapters: the protocols that clients speak.
    #[command(subcommand)]
    Adapter(adapter::AdapterCommand),
    /// Clients that are connected now.
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Machines under one name, for client lists.
    #[command(subcommand)]
    Netgroup(netgroup::NetgroupCommand),
    /// For which user a principal of a protocol acts.
    #[command(subcommand)]
    Idmap(idmap::IdmapCommand),
    /// Settings of the gateway.
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// Quotas of a share.
    #[command(subcommand)]
    Quota(quota::Quota),
    /// Snapshots of shares.
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// The recycle bin of a share.
    #[command(subcommand, visible_alias = "trash")]
    Recycle(recycle::RecycleCommand),
    /// Files of a share.
    #[command(subcommand)]
    File(file::File),
    /// The tiers: what is where, what is at risk.
    #[command(subcommand)]
    Tier(tier::Tier),
    /// Work of the gateway that goes on after its answer.
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Who did what, from where.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Takes a backup.
    #[command(subcommand)]
    Backup(backup::Backup),
    /// Brings a backup back.
    #[command(subcommand)]
    Restore(backup::Restore),
    /// Prints the script that completes commands and live names in a shell.
    #[command(long_about = COMPLETION)]
    Completion {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Writes the manual pages.
    Man {
        /// The folder, for instance /usr/local/share/man/man1.
        #[arg(long, value_hint = clap::ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Tells the version.
    Version,
}

const COMPLETION: &str = "Prints the script that completes commands and live names in a shell.

For every new shell:
  bash        eval \"$(dfsctl completion bash)\"             in ~/.bashrc
  zsh         eval \"$(dfsctl completion zsh)\"              in ~/.zshrc, after compinit
  fish        dfsctl completion fish | source              in ~/.config/fish/config.fish
  powershell  dfsctl completion powershell | Out-String | Invoke-Expression
  elvish      eval (dfsctl completion elvish | slurp)      in rc.elv";

/// Parses, runs, and tells what went wrong in one line.
pub(crate) fn run() -> ExitCode {
    completion::answer::<Cli>();
    let cli = parsed();
    let session = Session::new(cli.globals, Output::new(cli.output, cli.no_color));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli.command, &session)),
        Err(error) => Err(Failure::io("cannot begin", &error)),
    };
    let Err(failure) = done else { return ExitCode::SUCCESS };
    eprintln!("dfsctl: {}", failure.message);
    if let Some(id) = failure.request_id.filter(|_| session.globals.verbose) {
        eprintln!("dfsctl: the gateway's log has it as request {}", crate::failure::one_line(&id));
    }
    ExitCode::from(failure.code)
}

/// The command line as it is understood; help and mistakes end the program, colored only where that is wanted.
fn parsed() -> Cli {
    let plain = std::env::args_os().any(|word| word == "--no-color");
    let color = if plain { ColorChoice::Never } else { ColorChoice::Auto };
    let matches = Cli::command().color(color).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

async fn dispatch(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Login(command) => command.run(session).await,
        Command::Logout(command) => command.run(session).await,
        Command::SwitchUser(command) => command.run(session).await,
        Command::Context(command) => command.run(session).await,
        Command::Status => status::run(session).await,
        Command::User(command) => command.run(session).await,
        Command::Group(command) => command.run(session).await,
        Command::Share(command) => command.run(session).await,
        Command::Store(command) => command.run(session).await,
        Command::Adapter(command) => command.run(session).await,
        Command::Client(command) => command.run(session).await,
        Command::Netgroup(command) => command.run(session).await,
        Command::Idmap(command) => command.run(session).await,
        Command::Settings(command) => command.run(session).await,
        Command::Quota(command) => command.run(session).await,
        Command::Snapshot(command) => command.run(session).await,
        Command::Recycle(command) => command.run(session).await,
        Command::File(command) => command.run(session).await,
        Command::Tier(command) => command.run(session).await,
        Command::Job(command) => command.run(session).await,
        Command::Audit(command) => command.run(session).await,
        Command::Backup(command) => command.run(session).await,
        Command::Restore(command) => command.run(session).await,
        Command::Completion { shell } => completion::script(shell, &session.output),
        Command::Man { dir } => {
            let pages = man::write(Cli::command(), &dir)?;
            session.output.done(&pages, &format!("{pages} pages are in {}", dir.display()))
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            session.output.done(&serde_json::json!({"version": version}), &format!("dfsctl {version}"))
        }
    }
}

#[cfg(test)]
mod tests;

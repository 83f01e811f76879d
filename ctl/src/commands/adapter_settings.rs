//! `dfsctl adapter settings …`.

use super::share::rules::OperationArg;
use crate::connection::{Answer, Connection};
use crate::edit;
use crate::failure::Failure;
use crate::output::{PAIRS, pairs, text_or_dash, word};
use crate::session::Session;
use crate::time::{seconds, show_seconds};
use clap::{ArgAction, Args, Subcommand};
use dfs_api::units::{parse_size, show_size};
use dfs_api::{ChangeNfsSettings, Client, NfsSettings, Operation};
use serde_json::{Value, json};

/// Settings of adapters; they act while clients are served.
#[derive(Subcommand)]
pub(crate) enum SettingsCommand {
    /// Settings of the NFS adapter.
    #[command(subcommand)]
    Nfs(NfsCommand),
}

/// Settings of the NFS adapter.
#[derive(Subcommand)]
pub(crate) enum NfsCommand {
    /// Shows them beside what they are by default.
    #[command(visible_alias = "get")]
    Show,
    /// Changes some; without an option, in your editor.
    #[command(visible_aliases = ["edit", "set"])]
    Update(Box<Change>),
    /// Gives all the value that they have by default.
    Reset {
        /// Show what would change and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do it although it cuts clients off.
        #[arg(long)]
        force: bool,
    },
}

/// What is changed; what is left out stays.
#[derive(Args)]
pub(crate) struct Change {
    /// Clients connected at the same time; more are closed at once.
    #[arg(long)]
    max_connections: Option<u32>,
    /// Requests of one client that are worked on at the same time; more are read later.
    #[arg(long)]
    max_requests_per_connection: Option<u32>,
    /// Memory for requests with data, for instance 256MiB.
    #[arg(long, value_name = "SIZE")]
    request_memory: Option<String>,
    /// Refuse clients that do not come from a port below 1024.
    #[arg(long, action = ArgAction::Set)]
    require_privileged_port: Option<bool>,
    /// Refuses an operation in every share, whoever asks; may be repeated.
    #[arg(long, value_enum)]
    block: Vec<OperationArg>,
    /// Allows a blocked operation again; may be repeated.
    #[arg(long, value_enum)]
    unblock: Vec<OperationArg>,
    /// A client that says nothing for so long is disconnected, for instance 10m; 0: never.
    #[arg(long, value_name = "TIME")]
    idle_timeout: Option<String>,
    /// Show what would change and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do it although it cuts clients off.
    #[arg(long)]
    force: bool,
}

const SETTINGS: &str = "/adapters/nfs/settings";
const DEFAULTS: &str = "/adapters/nfs/settings/defaults";

impl SettingsCommand {
    pub async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let SettingsCommand::Nfs(command) = self;
        match command {
            NfsCommand::Show => {
                let now = connection.get::<NfsSettings>(SETTINGS).await?;
                let mut rows = rows(&now);
                if session.output.for_people() {
                    let defaults = connection.get::<NfsSettings>(DEFAULTS).await?;
                    let values = self::rows(&defaults).into_iter().filter_map(|mut pair| pair.pop());
                    rows.iter_mut().zip(values).for_each(|(row, default)| row.push(default));
                }
                session.output.show(&now, &["setting", "value", "default"], rows)
            }
            NfsCommand::Update(change) => change.run(connection, session).await,
            NfsCommand::Reset { dry_run, force } => reset(connection, session, dry_run, force).await,
        }
    }
}

async fn reset(
    connection: &Connection,
    session: &Session,
    dry_run: bool,
    force: bool,
) -> Result<(), Failure> {
    let before = connection.get::<NfsSettings>(SETTINGS).await?;
    if dry_run {
        let defaults = connection.get::<NfsSettings>(DEFAULTS).await?;
        return told(session, &before, &defaults, true);
    }
    let path = Client::forced(&format!("{SETTINGS}/reset"), force);
    let after = connection.post::<_, NfsSettings>(&path, &json!({})).await?;
    told(session, &before, &after, false)
}

impl Change {
    async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let before = connection.get::<NfsSettings>(SETTINGS).await?;
        let (dry_run, force) = (self.dry_run, self.force);
        let path = if dry_run { format!("{SETTINGS}?dry_run=true") } else { SETTINGS.to_owned() };
        let path = Client::forced(&path, force);
        let asked = self.asked(&before)?;
        let after = if asked == ChangeNfsSettings::default() {
            let Value::Object(fields) = before.json().clone() else {
                return Err(Failure::new(7, "the settings are no list of fields"));
            };
            let apply = async |change: edit::Fields| connection.patch::<_, NfsSettings>(&path, &change).await;
            match edit::edit(&session.output, "Settings of the NFS adapter", &fields, apply).await? {
                Some(after) => after,
                None => return session.output.done(&before, "nothing was changed"),
            }
        } else {
            connection.patch::<_, NfsSettings>(&path, &asked).await?
        };
        told(session, &before, &after, dry_run)
    }

    fn asked(self, now: &NfsSettings) -> Result<ChangeNfsSettings, Failure> {
        let size = |text: String| {
            parse_size(&text).map_err(|why| Failure::usage(format!("--request-memory: {why}")))
        };
        let idle = |text: String| if text == "0" { Ok(0) } else { seconds("--idle-timeout", &text) };
        let mut blocked = now.blocked_operations.clone();
        blocked.extend(
            self.block.into_iter().map(Operation::from).filter(|word| !now.blocked_operations.contains(word)),
        );
        let unblocked: Vec<Operation> = self.unblock.into_iter().map(Operation::from).collect();
        blocked.retain(|word| !unblocked.contains(word));
        let blocks = blocked != now.blocked_operations || !unblocked.is_empty();
        Ok(ChangeNfsSettings {
            max_connections: self.max_connections,
            max_requests_per_connection: self.max_requests_per_connection,
            request_memory_bytes: self.request_memory.map(size).transpose()?,
            require_privileged_port: self.require_privileged_port,
            blocked_operations: blocks.then_some(blocked),
            idle_timeout_seconds: self.idle_timeout.map(idle).transpose()?,
        })
    }
}

/// Tells what is others now, or would be.
fn told(
    session: &Session,
    before: &NfsSettings,
    after: &Answer<NfsSettings>,
    dry_run: bool,
) -> Result<(), Failure> {
    let pairs = rows(before).into_iter().zip(rows(after)).filter(|(old, new)| old != new);
    let changes: Vec<Vec<String>> =
        pairs.map(|(old, new)| vec![old[0].clone(), format!("{} -> {}", old[1], new[1])]).collect();
    let sentence = match (changes.is_empty(), dry_run) {
        (true, _) => "every setting is as it was",
        (false, true) => "this would change:",
        (false, false) => "changed:",
    };
    if changes.is_empty() {
        return session.output.done(after, sentence);
    }
    session.output.done_with(after, sentence, &PAIRS, changes)
}

fn rows(settings: &NfsSettings) -> Vec<Vec<String>> {
    let blocked: Vec<String> = settings.blocked_operations.iter().map(word).collect();
    let idle = match settings.idle_timeout_seconds {
        0 => "never".to_owned(),
        seconds => show_seconds(seconds),
    };
    pairs([
        ("max connections", settings.max_connections.to_string()),
        ("max requests per connection", settings.max_requests_per_connection.to_string()),
        ("request memory", show_size(settings.request_memory_bytes)),
        ("require privileged port", settings.require_privileged_port.to_string()),
        ("blocked operations", text_or_dash(&blocked.join(", "))),
        ("idle timeout", idle),
    ])
}

//! `dfsctl adapter …`.

use super::adapter_settings::SettingsCommand;
use crate::ask::confirm;
use crate::connection::{Answer, Connection, path};
use crate::edit;
use crate::failure::{Failure, NOT_FOUND};
use crate::output::word;
use crate::session::Session;
use clap::{ArgAction, Args, Subcommand};
use dfs_api::{Adapter, AdapterKind, AddAdapter, ChangeAdapter, Client};
use serde_json::Value;

/// Adapters: the protocols that clients speak. Changes act while clients are served.
#[derive(Subcommand)]
pub(crate) enum AdapterCommand {
    /// Lists them.
    List,
    /// Shows one.
    #[command(visible_alias = "get")]
    Show(Kind),
    /// Adds one and starts it.
    Add(Add),
    /// Starts one; adds it where it is not there.
    Enable(Enable),
    /// Stops one.
    Disable {
        #[command(flatten)]
        kind: Kind,
        /// Do it although clients are connected.
        #[arg(long)]
        force: bool,
    },
    /// Changes one; without an option, in your editor.
    #[command(visible_aliases = ["edit", "set"])]
    Update(Change),
    /// Stops one and forgets it with its settings.
    #[command(visible_alias = "delete")]
    Remove {
        #[command(flatten)]
        kind: Kind,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Do not ask, and do it although clients are connected.
        #[arg(long)]
        force: bool,
    },
    /// Settings of one.
    #[command(subcommand)]
    Settings(SettingsCommand),
}

/// A protocol.
#[derive(Args)]
pub(crate) struct Kind {
    /// The protocol: nfs.
    #[arg(value_name = "KIND", add = clap_complete::engine::ArgValueCandidates::new(|| vec!["nfs".into()]))]
    kind: String,
}

impl Kind {
    fn path(&self) -> String {
        path(&["adapters", &self.kind])
    }
}

/// Where it listens.
#[derive(Args)]
struct Listen {
    /// Port; the address stays.
    #[arg(long, conflicts_with = "listen")]
    port: Option<u16>,
    /// Address and port, for instance 192.0.2.1:2049. The new port is open before the old one closes.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

impl Listen {
    /// The address, given the one as it is.
    fn address(self, now: Option<&str>) -> Option<String> {
        let host = now.and_then(|now| now.rsplit_once(':')).map_or("0.0.0.0", |(host, _)| host);
        self.listen.or_else(|| self.port.map(|port| format!("{host}:{port}")))
    }
}

/// A new adapter.
#[derive(Args)]
pub(crate) struct Add {
    /// The protocol: nfs.
    #[arg(value_name = "KIND", required_unless_present = "type_flag")]
    kind: Option<String>,
    /// The same as KIND, the protocol.
    #[arg(
        long = "type",
        id = "type_flag",
        value_name = "KIND",
        conflicts_with = "kind",
        hide_short_help = true
    )]
    type_flag: Option<String>,
    #[command(flatten)]
    listen: Listen,
    /// Do not start it.
    #[arg(long)]
    disabled: bool,
}

/// An adapter that shall serve.
#[derive(Args)]
pub(crate) struct Enable {
    #[command(flatten)]
    kind: Kind,
    #[command(flatten)]
    listen: Listen,
    /// Do it although a new address cuts clients off.
    #[arg(long)]
    force: bool,
}

/// What is changed about an adapter; what is left out stays.
#[derive(Args)]
pub(crate) struct Change {
    #[command(flatten)]
    kind: Kind,
    #[command(flatten)]
    listen: Listen,
    /// Whether it shall serve.
    #[arg(long, action = ArgAction::Set)]
    enabled: Option<bool>,
    /// Do it although it cuts clients off.
    #[arg(long)]
    force: bool,
}

impl AdapterCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            AdapterCommand::List => {
                let adapters = connection.list::<Adapter>("/adapters").await?;
                session.output.show(&adapters, &HEADER, adapters.iter().map(row).collect())
            }
            AdapterCommand::Show(kind) => {
                let adapter = connection.get::<Adapter>(&kind.path()).await?;
                session.output.show(&adapter, &HEADER, vec![row(&adapter)])
            }
            AdapterCommand::Add(add) => {
                let kind = add.kind.or(add.type_flag).unwrap_or_default();
                let adapter = new(&connection, &kind, add.listen.address(None), !add.disabled).await?;
                done(session, &adapter)
            }
            AdapterCommand::Enable(enable) => enable.run(&connection, session).await,
            AdapterCommand::Disable { kind, force } => {
                let change = ChangeAdapter { enabled: Some(false), listen: None };
                let at = Client::forced(&kind.path(), force);
                done(session, &connection.patch::<_, Adapter>(&at, &change).await?)
            }
            AdapterCommand::Update(change) => change.run(&connection, session).await,
            AdapterCommand::Remove { kind, yes, force } => {
                let name = &kind.kind;
                confirm(yes || force, &format!("stops adapter '{name}' and forgets its settings"))?;
                connection.delete(&Client::forced(&kind.path(), force)).await?;
                session.output.done(name, &format!("adapter '{name}' removed"))
            }
            AdapterCommand::Settings(settings) => settings.run(&connection, session).await,
        }
    }
}

async fn new(
    connection: &Connection,
    kind: &str,
    listen: Option<String>,
    enabled: bool,
) -> Result<Answer<Adapter>, Failure> {
    // The gateway says what is not built; a kind that this program does not know is one of those.
    let known: Option<AdapterKind> = serde_json::from_value(Value::String(kind.to_owned())).ok();
    let Some(kind) = known else {
        connection.get::<Value>(&path(&["adapters", kind])).await?;
        return Err(Failure::usage(format!("this program does not know adapter '{kind}'; it knows nfs")));
    };
    connection.post("/adapters", &AddAdapter { kind, listen, enabled }).await
}

impl Enable {
    async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let now = match connection.get::<Adapter>(&self.kind.path()).await {
            Ok(now) => now,
            Err(failure) if failure.code == NOT_FOUND && self.kind.kind == "nfs" => {
                let listen = self.listen.address(None);
                return done(session, &new(connection, &self.kind.kind, listen, true).await?);
            }
            Err(failure) => return Err(failure),
        };
        let change = ChangeAdapter { enabled: Some(true), listen: self.listen.address(Some(&now.listen)) };
        let at = Client::forced(&self.kind.path(), self.force);
        done(session, &connection.patch::<_, Adapter>(&at, &change).await?)
    }
}

impl Change {
    async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let at = Client::forced(&self.kind.path(), self.force);
        let now = connection.get::<Adapter>(&self.kind.path()).await?;
        let asked = ChangeAdapter { enabled: self.enabled, listen: self.listen.address(Some(&now.listen)) };
        if asked != ChangeAdapter::default() {
            return done(session, &connection.patch::<_, Adapter>(&at, &asked).await?);
        }
        let fields = edit::fields(now.json(), &["enabled", "listen"]);
        let apply = async |change: edit::Fields| connection.patch::<_, Adapter>(&at, &change).await;
        match edit::edit(&session.output, &format!("Adapter {}", self.kind.kind), &fields, apply).await? {
            Some(changed) => done(session, &changed),
            None => session.output.done(&now, "nothing was changed"),
        }
    }
}

const HEADER: [&str; 5] = ["kind", "enabled", "listen", "state", "clients"];

fn row(adapter: &Adapter) -> Vec<String> {
    vec![
        word(&adapter.kind),
        adapter.enabled.to_string(),
        adapter.listen.clone(),
        adapter.state.clone(),
        adapter.connections.to_string(),
    ]
}

fn done(session: &Session, adapter: &Answer<Adapter>) -> Result<(), Failure> {
    let sentence = format!("adapter '{}' at {}: {}", word(&adapter.kind), adapter.listen, adapter.state);
    session.output.done(adapter, &sentence)
}

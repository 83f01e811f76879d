//! `dfsctl store metadata …`.

use crate::args::NewStore;
use crate::ask::Sure;
use crate::completion;
use crate::connection::path;
use crate::failure::Failure;
use crate::output::{text_or_dash, word};
use crate::session::Session;
use clap::{Args, Subcommand, ValueEnum};
use dfs_api::{MetadataKind, MetadataStoreConfig, MetadataStoreStatus, StoreHealth};

/// Where names live.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum KindArg {
    /// In memory: for tests, and shares that may vanish.
    Memory,
    /// In the data folder.
    #[value(alias = "badger")]
    Embedded,
    /// In the database at `metadata.postgres` of the gateway's configuration.
    #[value(alias = "postgresql")]
    Postgres,
}

impl From<KindArg> for MetadataKind {
    fn from(kind: KindArg) -> MetadataKind {
        match kind {
            KindArg::Memory => MetadataKind::Memory,
            KindArg::Embedded => MetadataKind::Embedded,
            KindArg::Postgres => MetadataKind::Postgres,
        }
    }
}

/// Metadata stores.
#[derive(Subcommand)]
pub(crate) enum Metadata {
    /// Adds one.
    Add(Add),
    /// Lists them.
    List,
    /// Shows one.
    #[command(visible_alias = "get")]
    Show(Name),
    /// Asks one how it is, now.
    Health(Name),
    /// Tells what of one can be changed: nothing, since its names are where its kind says.
    Edit(Name),
    /// Removes one that no share uses.
    #[command(visible_alias = "delete")]
    Remove {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        sure: Sure,
    },
}

/// A new metadata store.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    name: NewStore,
    /// Where its names live.
    #[arg(long, visible_alias = "type", value_enum, default_value = "embedded")]
    kind: KindArg,
    /// Settings as JSON, or @FILE with JSON in it; a metadata store has none, so `{}`.
    #[arg(long, value_name = "JSON", hide_short_help = true)]
    config: Option<String>,
}

/// A metadata store.
#[derive(Args)]
pub(crate) struct Name {
    /// Name of the metadata store.
    #[arg(value_name = "STORE", add = completion::metadata_stores())]
    name: String,
}

impl Name {
    fn path(&self) -> String {
        path(&["metadata-stores", &self.name])
    }
}

impl Metadata {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            Metadata::Add(add) => {
                let settings = add.config.as_deref().map(super::config).transpose()?.unwrap_or_default();
                if let Some(odd) = settings.keys().next() {
                    let why = format!(
                        "--config: a metadata store has no setting '{odd}'; names lie in the data folder"
                    );
                    return Err(Failure::usage(why));
                }
                let request = MetadataStoreConfig { name: add.name.take(), kind: add.kind.into() };
                let made = connection.post::<_, MetadataStoreConfig>("/metadata-stores", &request).await?;
                session.output.done(&made, &format!("metadata store '{}' added", made.name))
            }
            Metadata::List => {
                let stores = connection.list::<MetadataStoreStatus>("/metadata-stores").await?;
                session.output.show(&stores, &HEADER, stores.iter().map(row).collect())
            }
            Metadata::Show(name) => {
                let store = connection.get::<MetadataStoreStatus>(&name.path()).await?;
                session.output.show(&store, &HEADER, vec![row(&store)])
            }
            Metadata::Health(name) => {
                let health = connection.get::<StoreHealth>(&format!("{}/health", name.path())).await?;
                session.output.done(&health, &format!("metadata store '{}': {}", health.name, health.health))
            }
            Metadata::Edit(name) => {
                let store = connection.get::<MetadataStoreStatus>(&name.path()).await?;
                let kind = word(&store.config.kind);
                let why = format!("metadata store '{}' of kind {kind} has nothing to change", name.name);
                Err(Failure::new(5, format!("{why}: add another, and make shares there")))
            }
            Metadata::Remove { name: Name { name }, sure } => {
                sure.confirm(&format!("removes metadata store '{name}'"))?;
                connection.delete(&path(&["metadata-stores", &name])).await?;
                session.output.done(&name, &format!("metadata store '{name}' removed"))
            }
        }
    }
}

const HEADER: [&str; 4] = ["name", "kind", "health", "shares"];

fn row(store: &MetadataStoreStatus) -> Vec<String> {
    let shares = text_or_dash(&store.shares.join(", "));
    vec![store.config.name.clone(), word(&store.config.kind), store.health.clone(), shares]
}

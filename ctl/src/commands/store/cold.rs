//! `dfsctl store cold …`.

use crate::args::NewStore;
use crate::ask::Sure;
use crate::completion;
use crate::connection::{Connection, path};
use crate::edit;
use crate::failure::{Failure, OTHER};
use crate::output::text_or_dash;
use crate::session::Session;
use clap::{Args, Subcommand, ValueEnum};
use dfs_api::{
    ChangeColdStore, ColdBackend, ColdStoreConfig, ColdStoreStatus, S3Config, StoreCheck, StoreHealth,
};
use serde_json::Value;

/// Kind of a cold store.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// Memory of the gateway: for tests, gone with the process.
    Memory,
    /// A directory, for instance on a mounted file system.
    #[value(aliases = ["filesystem", "fs"])]
    Dir,
    /// A bucket that speaks S3.
    S3,
}

/// Cold stores.
#[derive(Subcommand)]
pub(crate) enum Cold {
    /// Adds one, after proving that it can be written, read and deleted.
    Add(Box<Add>),
    /// Lists them.
    List,
    /// Shows one, without its secrets.
    #[command(visible_alias = "get")]
    Show(Name),
    /// Changes how a bucket is logged in to, at once; without an option, in your editor.
    #[command(visible_aliases = ["update", "set"])]
    Edit(Change),
    /// Tells how one is, as the gateway saw it last.
    Health(Name),
    /// Writes, reads and deletes an object in one, now.
    Check(Name),
    /// Removes one that no share uses. Its objects stay.
    #[command(visible_alias = "delete")]
    Remove {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        sure: Sure,
    },
}

/// A cold store.
#[derive(Args)]
pub(crate) struct Name {
    /// Name of the cold store.
    #[arg(value_name = "STORE", add = completion::cold_stores())]
    name: String,
}

impl Name {
    fn path(&self) -> String {
        path(&["cold-stores", &self.name])
    }
}

/// Where a secret key comes from: never an argument, which everybody on the machine can read.
#[derive(Args)]
struct SecretArgs {
    /// (s3) Read the secret key from standard input (else from the environment variable DFSCTL_SECRET_KEY).
    #[arg(long)]
    secret_key_stdin: bool,
}

impl SecretArgs {
    fn take(&self) -> Result<Option<String>, Failure> {
        if self.secret_key_stdin {
            return crate::ask::line("the secret key").map(Some);
        }
        Ok(std::env::var("DFSCTL_SECRET_KEY").ok().filter(|key| !key.is_empty()))
    }
}

/// Settings of a new cold store.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    name: NewStore,
    /// Kind of store.
    #[arg(long, visible_alias = "type", value_enum)]
    kind: KindArg,
    /// (dir) The directory.
    #[arg(long, value_hint = clap::ValueHint::DirPath)]
    path: Option<String>,
    /// (s3) The bucket; it must exist.
    #[arg(long)]
    bucket: Option<String>,
    /// (s3) URL of a store that is not AWS.
    #[arg(long)]
    endpoint: Option<String>,
    /// (s3) Region.
    #[arg(long)]
    region: Option<String>,
    /// (s3) Key prefix of everything that is written.
    #[arg(long)]
    prefix: Option<String>,
    /// (s3) Bucket in the path (true) or in the host name (false); default true with an endpoint.
    #[arg(long)]
    path_style: Option<bool>,
    /// (s3) Access key; without one the usual credential chain is asked.
    #[arg(long)]
    access_key: Option<String>,
    #[command(flatten)]
    secret: SecretArgs,
    /// Settings as JSON, or @FILE with JSON in it; options come before them.
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
}

/// What is changed about how a bucket is logged in to.
#[derive(Args)]
pub(crate) struct Change {
    #[command(flatten)]
    name: Name,
    /// Access key.
    #[arg(long)]
    access_key: Option<String>,
    #[command(flatten)]
    secret: SecretArgs,
    /// Region.
    #[arg(long)]
    region: Option<String>,
}

impl Cold {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            Cold::Add(add) => {
                let made = connection.post::<_, ColdStoreConfig>("/cold-stores", &add.config()?).await?;
                session.output.done(&made, &format!("cold store '{}' added", made.name))
            }
            Cold::List => {
                let stores = connection.list::<ColdStoreStatus>("/cold-stores").await?;
                session.output.show(&stores, &HEADER, stores.iter().map(row).collect())
            }
            Cold::Show(name) => {
                let store = connection.get::<ColdStoreStatus>(&name.path()).await?;
                session.output.show(&store, &HEADER, vec![row(&store)])
            }
            Cold::Edit(change) => change.run(&connection, session).await,
            Cold::Health(name) => {
                let health = connection.get::<StoreHealth>(&format!("{}/health", name.path())).await?;
                session.output.done(&health, &format!("cold store '{}': {}", health.name, health.health))
            }
            Cold::Check(name) => check(&connection, session, &name).await,
            Cold::Remove { name: Name { name }, sure } => {
                sure.confirm(&format!("removes cold store '{name}'"))?;
                connection.delete(&path(&["cold-stores", &name])).await?;
                session.output.done(&name, &format!("cold store '{name}' removed; its objects stay"))
            }
        }
    }
}

async fn check(connection: &Connection, session: &Session, name: &Name) -> Result<(), Failure> {
    let check =
        connection.post::<_, StoreCheck>(&format!("{}/check", name.path()), &serde_json::json!({})).await?;
    let said = format!("cold store '{}': {} ({} ms)", name.name, check.detail, check.milliseconds);
    let mut whole = check.json().clone();
    whole["name"] = Value::String(name.name.clone());
    if check.usable {
        return session.output.done(&whole, &said);
    }
    if !session.output.for_people() {
        session.output.done(&whole, "")?;
    }
    Err(Failure::new(OTHER, format!("{said}; it cannot be used")))
}

impl Change {
    async fn run(self, connection: &Connection, session: &Session) -> Result<(), Failure> {
        let name = self.name.name.clone();
        let at = self.name.path();
        let asked = ChangeColdStore {
            access_key: self.access_key,
            secret_key: self.secret.take()?,
            region: self.region,
        };
        let changed = if asked == ChangeColdStore::default() {
            let store = connection.get::<ColdStoreStatus>(&at).await?;
            let fields = edit::fields(store.json(), &["access_key", "region"]);
            let apply = async |change: edit::Fields| connection.patch::<_, Value>(&at, &change).await;
            match edit::edit(&session.output, &format!("Cold store {name}"), &fields, apply).await? {
                Some(changed) => changed,
                None => return session.output.done(&store, "nothing was changed"),
            }
        } else {
            connection.patch::<_, Value>(&at, &asked).await?
        };
        session.output.done(&changed, &format!("cold store '{name}' changed; uploads go on with it"))
    }
}

const HEADER: [&str; 5] = ["name", "kind", "where", "health", "shares"];

fn row(store: &ColdStoreStatus) -> Vec<String> {
    let (kind, place) = place(&store.config.backend);
    let shares = text_or_dash(&store.shares.join(", "));
    vec![store.config.name.clone(), kind, text_or_dash(&place), store.health.clone(), shares]
}

fn place(backend: &ColdBackend) -> (String, String) {
    match backend {
        ColdBackend::Memory => ("memory".to_owned(), String::new()),
        ColdBackend::Dir { path } => ("dir".to_owned(), path.clone()),
        ColdBackend::S3(s3) => {
            let endpoint = s3.endpoint.as_deref().unwrap_or("AWS");
            ("s3".to_owned(), format!("{endpoint} {}/{}", s3.bucket, s3.prefix))
        }
    }
}

/// Settings out of `--config`, taken one by one so that what is left is known to be a mistake.
struct Given(serde_json::Map<String, Value>);

impl Given {
    /// A text under one of its names; other gateways have their own.
    fn text(&mut self, names: &[&str]) -> Result<Option<String>, Failure> {
        let found = names.iter().find_map(|name| Some((*name, self.0.remove(*name)?)));
        match found {
            None | Some((_, Value::Null)) => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text)),
            Some((name, other)) => Err(Failure::usage(format!("--config: {name} is a text, not {other}"))),
        }
    }

    fn flag(&mut self, names: &[&str]) -> Result<Option<bool>, Failure> {
        let found = names.iter().find_map(|name| Some((*name, self.0.remove(*name)?)));
        match found {
            None | Some((_, Value::Null)) => Ok(None),
            Some((_, Value::Bool(flag))) => Ok(Some(flag)),
            Some((name, other)) => {
                Err(Failure::usage(format!("--config: {name} is true or false, not {other}")))
            }
        }
    }

    fn end(self) -> Result<(), Failure> {
        let odd =
            self.0.keys().next().map(|name| format!("--config: there is no setting '{name}' for this kind"));
        odd.map_or(Ok(()), |why| Err(Failure::usage(why)))
    }
}

impl Add {
    fn config(self) -> Result<ColdStoreConfig, Failure> {
        let mut given = Given(self.config.as_deref().map(super::config).transpose()?.unwrap_or_default());
        let s3_said = [&self.bucket, &self.endpoint, &self.region, &self.prefix, &self.access_key];
        if self.kind != KindArg::S3 && (s3_said.iter().any(|one| one.is_some()) || self.path_style.is_some())
        {
            return Err(Failure::usage(
                "--bucket, --endpoint, --region, --prefix, --path-style and --access-key are for --kind s3",
            ));
        }
        if self.kind != KindArg::Dir && self.path.is_some() {
            return Err(Failure::usage("--path is for --kind dir"));
        }
        let backend = match self.kind {
            KindArg::Memory => ColdBackend::Memory,
            KindArg::Dir => {
                let path = self.path.or(given.text(&["path", "base_path", "root"])?);
                let path =
                    path.ok_or_else(|| Failure::usage("--path is needed: the directory for the packs"))?;
                let absolute = std::path::absolute(&path);
                let absolute = absolute.map_err(|error| Failure::usage(format!("--path: {error}")))?;
                ColdBackend::Dir { path: absolute.display().to_string() }
            }
            KindArg::S3 => {
                let in_config = given.text(&["secret_key", "secret_access_key"])?;
                if in_config.is_some() && !self.config.as_deref().unwrap_or_default().starts_with('@') {
                    let why = "a secret key on the command line can be read by everybody on this machine";
                    eprintln!("dfsctl: warning: {why}; use --secret-key-stdin, or --config @FILE");
                }
                let bucket = self.bucket.or(given.text(&["bucket"])?);
                ColdBackend::S3(S3Config {
                    bucket: bucket.ok_or_else(|| Failure::usage("--bucket is needed"))?,
                    prefix: self.prefix.or(given.text(&["prefix", "key_prefix"])?).unwrap_or_default(),
                    endpoint: self.endpoint.or(given.text(&["endpoint"])?),
                    region: self.region.or(given.text(&["region"])?),
                    path_style: self.path_style.or(given.flag(&["path_style", "force_path_style"])?),
                    access_key: self.access_key.or(given.text(&["access_key", "access_key_id"])?),
                    secret_key: self.secret.take()?.or(in_config),
                })
            }
        };
        given.end()?;
        Ok(ColdStoreConfig { name: self.name.take(), backend })
    }
}

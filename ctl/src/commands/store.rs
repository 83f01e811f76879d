//! `dfsctl store metadata …` and `dfsctl store cold …`.

use crate::cli::{Failure, Session};
use crate::credentials;
use clap::{Args, Subcommand, ValueEnum};
use dfs_api::{
    Client, ColdBackend, ColdStoreConfig, ColdStoreStatus, MetadataKind, MetadataStoreConfig,
    MetadataStoreStatus, S3Config,
};
use std::io::BufRead;

/// Metadata stores and cold stores.
#[derive(Subcommand)]
pub(crate) enum Store {
    /// Where names are kept.
    #[command(subcommand)]
    Metadata(Metadata),
    /// Where packs are kept.
    #[command(subcommand, visible_alias = "payload")]
    Cold(Cold),
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum MetadataKindArg {
    Memory,
    Embedded,
    /// The database at `metadata.postgres` of the gateway's configuration.
    Postgres,
}

/// Metadata stores.
#[derive(Subcommand)]
pub(crate) enum Metadata {
    /// Adds one.
    Add {
        name: String,
        /// Where its names live.
        #[arg(long = "kind", value_enum, default_value = "embedded")]
        kind: MetadataKindArg,
    },
    /// Lists them.
    List,
    /// Removes one that no share uses.
    Remove { name: String },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ColdKindArg {
    Memory,
    Dir,
    S3,
}

/// Settings of a new cold store.
#[derive(Args)]
pub(crate) struct ColdAdd {
    name: String,
    /// Kind of store.
    #[arg(long = "kind", value_enum)]
    kind: ColdKindArg,
    /// (dir) The directory.
    #[arg(long, required_if_eq("kind", "dir"))]
    path: Option<String>,
    /// (s3) The bucket; it must exist.
    #[arg(long, required_if_eq("kind", "s3"))]
    bucket: Option<String>,
    /// (s3) URL of a store that is not AWS.
    #[arg(long)]
    endpoint: Option<String>,
    /// (s3) Region.
    #[arg(long)]
    region: Option<String>,
    /// (s3) Key prefix of everything that is written.
    #[arg(long, default_value = "")]
    prefix: String,
    /// (s3) Bucket in the path (true) or in the host name (false); default true with an endpoint.
    #[arg(long)]
    path_style: Option<bool>,
    /// (s3) Access key; without one the usual credential chain is asked.
    #[arg(long)]
    access_key: Option<String>,
    /// (s3) Read the secret key from standard input (else from the environment variable DFSCTL_SECRET_KEY).
    #[arg(long)]
    secret_key_stdin: bool,
}

/// Cold stores.
#[derive(Subcommand)]
pub(crate) enum Cold {
    /// Adds one, after proving that it can be written, read and deleted.
    Add(Box<ColdAdd>),
    /// Lists them.
    List,
    /// Removes one that no share uses. Its objects stay.
    Remove { name: String },
}

impl Store {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Store::Metadata(command) => metadata(command, session).await,
            Store::Cold(command) => cold(command, session).await,
        }
    }
}

async fn metadata(command: Metadata, session: &Session) -> Result<(), Failure> {
    let client = credentials::client(session).await?;
    match command {
        Metadata::Add { name, kind } => {
            let kind = match kind {
                MetadataKindArg::Memory => MetadataKind::Memory,
                MetadataKindArg::Embedded => MetadataKind::Embedded,
                MetadataKindArg::Postgres => MetadataKind::Postgres,
            };
            let made: MetadataStoreConfig =
                client.post("/metadata-stores", &MetadataStoreConfig { name, kind }).await?;
            session.output.done(&made, &format!("metadata store '{}' added", made.name))
        }
        Metadata::List => {
            let stores: Vec<MetadataStoreStatus> = client.get("/metadata-stores").await?;
            let rows = stores.iter().map(|store| {
                let kind = format!("{:?}", store.config.kind).to_lowercase();
                vec![store.config.name.clone(), kind, store.health.clone(), store.shares.join(", ")]
            });
            session.output.show(&stores, &["name", "kind", "health", "shares"], rows.collect())
        }
        Metadata::Remove { name } => {
            client.delete(&format!("/metadata-stores/{}", Client::segment(&name))).await?;
            session.output.done(&name, &format!("metadata store '{name}' removed"))
        }
    }
}

async fn cold(command: Cold, session: &Session) -> Result<(), Failure> {
    let client = credentials::client(session).await?;
    match command {
        Cold::Add(add) => {
            let made: ColdStoreConfig = client.post("/cold-stores", &add.config()?).await?;
            session.output.done(&made, &format!("cold store '{}' added", made.name))
        }
        Cold::List => {
            let stores: Vec<ColdStoreStatus> = client.get("/cold-stores").await?;
            let rows = stores.iter().map(|store| {
                let (kind, place) = place(&store.config.backend);
                vec![store.config.name.clone(), kind, place, store.health.clone(), store.shares.join(", ")]
            });
            session.output.show(&stores, &["name", "kind", "where", "health", "shares"], rows.collect())
        }
        Cold::Remove { name } => {
            client.delete(&format!("/cold-stores/{}", Client::segment(&name))).await?;
            session.output.done(&name, &format!("cold store '{name}' removed; its objects stay"))
        }
    }
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

impl ColdAdd {
    fn config(self) -> Result<ColdStoreConfig, Failure> {
        let backend = match self.kind {
            ColdKindArg::Memory => ColdBackend::Memory,
            ColdKindArg::Dir => {
                let path = self
                    .path
                    .ok_or_else(|| Failure::new(2, "--path is needed: the directory for the packs"))?;
                let absolute = std::path::absolute(&path)
                    .map_err(|error| Failure::new(2, format!("--path: {error}")))?;
                ColdBackend::Dir { path: absolute.display().to_string() }
            }
            ColdKindArg::S3 => ColdBackend::S3(S3Config {
                bucket: self.bucket.ok_or_else(|| Failure::new(2, "--bucket is needed"))?,
                prefix: self.prefix,
                endpoint: self.endpoint,
                region: self.region,
                path_style: self.path_style,
                secret_key: secret(self.secret_key_stdin)?,
                access_key: self.access_key,
            }),
        };
        Ok(ColdStoreConfig { name: self.name, backend })
    }
}

fn secret(from_stdin: bool) -> Result<Option<String>, Failure> {
    if !from_stdin {
        return Ok(std::env::var("DFSCTL_SECRET_KEY").ok().filter(|key| !key.is_empty()));
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::new(2, format!("cannot read the secret key: {error}")))?;
    Ok(Some(line.trim_end().to_owned()))
}

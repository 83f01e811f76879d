//! Opening and closing metadata stores and cold stores.

use super::folder::with_causes;
use super::{OpenFailure, Runtime};
use dfs_api::{ColdBackend, ColdStoreConfig, MetadataKind, MetadataStoreConfig, S3Config};
use dfs_cold::{ColdConfig, ColdStack, ColdStore, DirCold, MemoryCold, S3Cold, S3Credentials};
use dfs_model::{Clock, Entropy};
use dfs_store::{EmbeddedConfig, EmbeddedStore, MemoryStore, MetadataStore};
use std::sync::Arc;

/// A cold store in use.
#[derive(Clone)]
pub(crate) struct LiveCold {
    pub stack: ColdStack,
    /// First part of every key.
    pub prefix: String,
    /// As it is configured, secrets included.
    pub config: ColdStoreConfig,
}

impl LiveCold {
    /// `up`, or what is wrong.
    pub fn health(&self) -> String {
        let health = self.stack.health();
        let health = health.borrow();
        if health.is_up() {
            return "up".to_owned();
        }
        let said = health.last_error.as_ref().map(|(_, text)| text.as_str());
        said.unwrap_or("down").to_owned()
    }
}

impl Runtime {
    /// Opens (or makes) a metadata store.
    pub async fn open_metadata(
        &self,
        config: &MetadataStoreConfig,
    ) -> Result<Arc<dyn MetadataStore>, OpenFailure> {
        match config.kind {
            MetadataKind::Memory => Ok(Arc::new(MemoryStore::new())),
            MetadataKind::Postgres => {
                let database = self.open_database(&config.name).await?;
                self.state.write().databases.insert(config.name.clone(), database.clone());
                Ok(database)
            }
            MetadataKind::Embedded => {
                let name = format!("metadata-{}", config.name);
                let io = |error: std::io::Error| {
                    OpenFailure::new(
                        5,
                        format!("cannot use {}: {error}", self.data_dir.join(&name).display()),
                    )
                };
                let disk = self.disk.sub(&name).map_err(io)?;
                let sizes = super::budget::sizes(
                    &self.config,
                    self.disk.total_bytes().map_err(io)?,
                    self.disk.free_bytes().map_err(io)?,
                );
                let mut options = EmbeddedConfig::new(self.clock.clone());
                options.cache_bytes = usize::try_from(self.split.metadata / 2).unwrap_or(usize::MAX);
                options.min_free_bytes = sizes.min_free;
                options.poison = self.poison.clone();
                options.reserve_bytes = sizes.reserve;
                let store = EmbeddedStore::open(disk, options).await.map_err(|error| {
                    OpenFailure::new(
                        6,
                        format!(
                            "metadata store '{}' in {}: {}",
                            config.name,
                            self.data_dir.join(&name).display(),
                            with_causes(&error)
                        ),
                    )
                })?;
                Ok(Arc::new(store))
            }
        }
    }

    /// Whether a metadata store is in the data folder of another gateway, as far as this one can tell: it is in the control
    /// database that they share, and not in this folder. Opening it here would make an empty one of its name.
    pub fn is_elsewhere(&self, config: &MetadataStoreConfig) -> bool {
        self.config.control.database.is_some()
            && config.kind == MetadataKind::Embedded
            && !self.data_dir.join(format!("metadata-{}", config.name)).is_dir()
    }

    /// A cold store that could not be opened, tried again; `None` for one that is not configured.
    pub async fn reopen_cold(&self, name: &str) -> Result<Option<LiveCold>, OpenFailure> {
        let failed = self.state.read().cold_failed.get(name).cloned();
        match failed {
            Some((config, _)) => self.open_cold_or_keep(&config).await.map(Some),
            None => Ok(None),
        }
    }

    /// Opens a cold store of an earlier life; one that cannot be opened is kept as failed, with the shares on it.
    pub async fn open_cold_or_keep(&self, config: &ColdStoreConfig) -> Result<LiveCold, OpenFailure> {
        let opened = self.open_cold(config, false).await;
        let mut state = self.state.write();
        match &opened {
            Ok(live) => {
                state.cold_failed.remove(&config.name);
                state.cold.insert(config.name.clone(), live.clone());
            }
            Err(failure) => {
                let failed = (config.clone(), failure.message.clone());
                state.cold_failed.insert(config.name.clone(), failed);
            }
        }
        opened
    }

    /// Connects a cold store; asks nothing of it yet. A directory is made only when the store is new (`create`): at a restart
    /// a missing one is a disk that is not mounted, and an empty one in its place would lose packs.
    pub async fn open_cold(&self, config: &ColdStoreConfig, create: bool) -> Result<LiveCold, OpenFailure> {
        let (base, prefix) = open_base(config, create, &self.clock, &self.entropy).await?;
        let layers = ColdConfig::named(config.name.clone());
        let stack = ColdStack::build(base, layers, self.clock.clone(), self.entropy.clone());
        Ok(LiveCold { stack, prefix, config: config.clone() })
    }
}

/// A cold store without its layers, and the prefix of its keys. *Errors:* exit code 5, in the store's words.
pub(crate) async fn open_base(
    config: &ColdStoreConfig,
    create: bool,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<(Arc<dyn ColdStore>, String), OpenFailure> {
    let refused = |error: dfs_cold::ColdError| {
        OpenFailure::new(5, format!("cold store '{}': {}", config.name, with_causes(&error))).passing(true)
    };
    Ok(match &config.backend {
        ColdBackend::Memory => (Arc::new(MemoryCold::new(clock.clone())), String::new()),
        ColdBackend::Dir { path } => {
            let path = std::path::Path::new(path);
            let dir = DirCold::open(path, create, entropy.clone()).await.map_err(refused)?;
            (Arc::new(dir), String::new())
        }
        ColdBackend::S3(s3) => {
            (Arc::new(S3Cold::open(s3_config(s3)).await.map_err(refused)?), s3.prefix.clone())
        }
    })
}

pub(super) fn s3_config(config: &S3Config) -> dfs_cold::S3Config {
    let mut made = dfs_cold::S3Config::bucket(config.bucket.clone());
    made.endpoint = config.endpoint.clone();
    made.region = config.region.clone();
    made.path_style = config.path_style;
    made.credentials = match (&config.access_key, &config.secret_key) {
        (Some(access), Some(secret)) => Some(S3Credentials {
            access_key_id: access.clone(),
            secret_access_key: secret.clone(),
            session_token: None,
        }),
        _ => None,
    };
    made
}

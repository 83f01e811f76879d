//! Opening, exporting and deleting shares.

use super::adopt::{check_settings, config_of, settings_of};
use super::folder::with_causes;
use super::{FailedShare, OpenFailure, Runtime, rules};
use dfs_api::{Compression, Durability, PermissionLevel, ShareConfig, Squash};
use dfs_auth::{Admission, ClientList, ClientRule, Level, SquashMode};
use dfs_engine::{DurabilityClass, Engine, EngineDeps, EngineSettings, OpenError};
use dfs_model::{Entropy, Generation, ShareCeiling, ShareId};
use dfs_nfs::{ShareDown, ShareExport};
use dfs_stack::StackSettings;
use dfs_store::{MetadataStore, ShareRecord, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Longest time until a record of a relaxed share is synced.
const RELAXED_SYNC_MAX: Duration = Duration::from_millis(100);
/// Default of `journal.sync_max`.
pub(crate) const SYNC_MAX: Duration = Duration::from_secs(1);
/// Memory that one cell with its attributes takes, roughly.
const CELL_BYTES: u64 = 1024;

/// A share that is served.
pub(crate) struct LiveShare {
    pub config: ShareConfig,
    pub id: ShareId,
    pub engine: Arc<Engine>,
}

impl Runtime {
    /// Opens a share, makes it first where its metadata store does not know it, and exports it.
    pub async fn open_share(&self, config: &ShareConfig) -> Result<Arc<LiveShare>, OpenFailure> {
        let (metadata, cold) = {
            let state = self.state.read();
            let metadata = state.metadata.get(&config.metadata).cloned();
            (metadata, state.cold.get(&config.cold).cloned())
        };
        let missing = |what: &str, name: &str| {
            OpenFailure::new(
                2,
                format!("share '{}' refers to {what} '{name}', which does not exist", config.name),
            )
        };
        let Some(metadata) = metadata else {
            if self.config.control.database.is_some() {
                let why = format!(
                    "its metadata store '{}' is in the data folder of another gateway",
                    config.metadata
                );
                return Err(OpenFailure::new(6, why).elsewhere());
            }
            return Err(missing("metadata store", &config.metadata));
        };
        let cold = match cold {
            Some(cold) => cold,
            None => {
                self.reopen_cold(&config.cold).await?.ok_or_else(|| missing("cold store", &config.cold))?
            }
        };
        let record = self.record(config, metadata.as_ref()).await?;
        self.may_open(config, record.share).await?;
        let config = &self.as_stored(config, &record)?;
        if !config.enabled {
            return Err(OpenFailure::new(6, "it is disabled, perhaps by another gateway").elsewhere());
        }
        self.client_list(config)?;
        if self.database_of(config).is_none() {
            self.keep_rules(config, &record, metadata.as_ref()).await?;
        }
        let deps = EngineDeps {
            store: metadata.clone(),
            pool: self.pool.clone(),
            pressure: self.pressure.clone(),
            cache: self.cache.clone(),
            cold: cold.stack.store(),
            health: Some(cold.stack.health()),
            policy: self.policy.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            sync_max: self.sync_max(config.durability),
            stack: self.stack_settings(config, &record, cold.prefix),
            mutations: dfs_log::Mutations::none(),
        };
        let opened = Engine::open(record.share, self.engine_settings(config), deps).await;
        let engine = opened.map_err(|error| open_failure(&config.name, &error))?;
        if self.database_of(config).is_some() {
            self.keep_settings(config, &record, metadata.as_ref()).await;
        }
        let live = Arc::new(LiveShare { config: config.clone(), id: record.share, engine });
        self.state.write().shares.insert(config.name.clone(), live.clone());
        self.export();
        if config.durability == Durability::Relaxed {
            tracing::warn!(share = %config.name, "durability class relaxed: COMMIT claims more than is on disk");
        }
        Ok(live)
    }

    async fn keep_rules(
        &self,
        config: &ShareConfig,
        record: &ShareRecord,
        store: &dyn MetadataStore,
    ) -> Result<(), OpenFailure> {
        let kept = rules::store(&config.rules, record, store).await;
        kept.map_err(|error| OpenFailure::new(6, format!("share '{}': {}", config.name, with_causes(&error))))
    }

    /// Keeps the settings of a share that an older version made with it, for other gateways. The share serves without, too.
    async fn keep_settings(&self, config: &ShareConfig, record: &ShareRecord, store: &dyn MetadataStore) {
        if matches!(config_of(record, &config.metadata, &config.cold), Ok(Some(_))) {
            return;
        }
        let settings = shared_settings(config);
        if let Err(error) = store.set_share_settings(record.share, settings).await {
            tracing::warn!(share = %config.name, %error, "the share's settings are not kept with it: no other gateway can adopt it");
        }
    }

    /// The share's record in its metadata store. Made when it is new, unless the store is shared: a share that is not there
    /// was deleted by another gateway.
    async fn record(
        &self,
        config: &ShareConfig,
        store: &dyn MetadataStore,
    ) -> Result<ShareRecord, OpenFailure> {
        let failed = |error: dfs_store::StoreError| {
            let may_pass =
                error.retry() == dfs_store::Retry::Later || matches!(error, dfs_store::StoreError::Broken(_));
            OpenFailure::new(6, format!("share '{}': {}", config.name, with_causes(&error))).passing(may_pass)
        };
        let known = store.shares().await.map_err(failed)?;
        if let Some(record) = known.into_iter().find(|record| record.name == config.name) {
            return Ok(record);
        }
        if self.database_of(config).is_some() {
            let why = format!(
                "share '{}' is not in metadata store '{}' any more: it was deleted, perhaps by another gateway; `dfsctl share delete {}` \
                 takes it off this one's list",
                config.name, config.metadata, config.name
            );
            return Err(OpenFailure::new(6, why).passing(true));
        }
        self.make(config, store).await
    }

    /// Makes a share. *Errors:* the store's.
    async fn make(
        &self,
        config: &ShareConfig,
        store: &dyn MetadataStore,
    ) -> Result<ShareRecord, OpenFailure> {
        let mut record = new_record(config, self.entropy.as_ref(), self.clock.wall());
        if self.database_of(config).is_some() {
            record.settings = shared_settings(config);
            check_settings(&record.settings).map_err(|why| OpenFailure::new(2, why))?;
        }
        let made =
            store.create_share(record.clone(), config.root_mode, config.root_uid, config.root_gid).await;
        made.map_err(|error| {
            let text = format!(
                "share '{}' cannot be made in its metadata store: {}",
                config.name,
                with_causes(&error)
            );
            OpenFailure::new(6, text)
        })?;
        Ok(record)
    }

    /// Makes a new share in a shared database. *Errors:* where that has one of the name: it is another gateway's, or was, and
    /// must be adopted. Answers its id.
    pub async fn make_shared(&self, config: &ShareConfig) -> Result<Option<ShareId>, dfs_api::Problem> {
        let Some(database) = self.database_of(config) else { return Ok(None) };
        let known = database.shares().await;
        let known = known.map_err(|error| dfs_api::Problem::internal(error.to_string()))?;
        if let Some(record) = known.iter().find(|record| record.name == config.name) {
            let holder =
                database.owner(record.share).await.ok().and_then(|owner| owner.holder.or(owner.journal_of));
            let by = holder.map_or_else(String::new, |holder| format!(" of gateway '{holder}'"));
            let name = &config.name;
            let text = format!(
                "metadata store '{}' has a share '{name}'{by}: `dfsctl share adopt {name} --metadata {} --cold {}` makes this gateway a standby for it",
                config.metadata, config.metadata, config.cold
            );
            return Err(dfs_api::Problem::conflict(text));
        }
        let made = self.make(config, database.as_ref()).await;
        made.map(|record| Some(record.share))
            .map_err(|failure| dfs_api::Problem::new(422, "unusable", failure.message))
    }

    /// Takes a share away again that was just made and could not be opened.
    pub async fn unmake(&self, config: &ShareConfig, made: Option<ShareId>) {
        let (Some(share), Some(database)) = (made, self.database_of(config)) else { return };
        if self.check_ours(config, share).await.is_err() {
            return;
        }
        if let Err(error) = database.delete_share(share).await {
            tracing::warn!(share = %config.name, %error, "the share stays in its metadata store, and nobody serves it");
        }
    }

    fn sync_max(&self, class: Durability) -> Duration {
        let configured = self.config.journal.sync_max.map_or(SYNC_MAX, |limit| limit.0);
        match class {
            Durability::Relaxed => configured.min(RELAXED_SYNC_MAX),
            Durability::Local | Durability::Remote => configured,
        }
    }

    fn engine_settings(&self, config: &ShareConfig) -> EngineSettings {
        let mut settings = EngineSettings {
            class: match config.durability {
                Durability::Relaxed => DurabilityClass::Relaxed,
                Durability::Local => DurabilityClass::Local,
                Durability::Remote => DurabilityClass::Remote,
            },
            capacity: config.capacity,
            label: config.name.clone(),
            cells: usize::try_from(self.split.metadata / 4 / CELL_BYTES).unwrap_or(usize::MAX),
            ..EngineSettings::default()
        };
        rules::apply(config, &mut settings);
        settings
    }

    fn stack_settings(&self, config: &ShareConfig, record: &ShareRecord, prefix: String) -> StackSettings {
        let defaults = StackSettings::default();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        StackSettings {
            block_size: record.block_size,
            compression: match config.compression {
                Compression::None => dfs_model::Compression::None,
                Compression::Lz4 => dfs_model::Compression::Lz4,
                Compression::Zstd => dfs_model::Compression::Zstd,
            },
            pack_size: self.config.pack.size.map_or(defaults.pack_size, |size| size.0),
            flush_after: self.config.flush.after.map_or(defaults.flush_after, |limit| limit.0),
            uploads_max: self.config.pack.uploads.unwrap_or(defaults.uploads_max),
            pack_memory: self.split.packs,
            read_ahead_memory: self.split.read_ahead,
            pack_delete_after: self
                .config
                .pack
                .delete_after
                .map_or(defaults.pack_delete_after, |limit| limit.0),
            // an interval of nothing would never come to an end
            sweep_every: self
                .config
                .pack
                .sweep_every
                .map_or(defaults.sweep_every, |time| time.0.max(Duration::from_secs(1))),
            owner_settle: self.config.pack.owner_settle.map_or(defaults.owner_settle, |time| time.0),
            prefix,
            host,
            ..defaults
        }
    }

    /// Tells the NFS server which shares there are.
    pub fn export(&self) {
        let shares = self.shares();
        let exports = shares.iter().filter_map(|live| {
            let clients = self.client_list(&live.config).ok()?;
            Some(ShareExport {
                id: live.id,
                name: live.config.name.clone(),
                vfs: live.engine.clone(),
                clients,
                admission: admission(&live.config),
                secure: self.nfs.needs_privileged_port(),
                fsid: live.engine.record().fsid,
            })
        });
        let down = |failed: FailedShare| ShareDown { id: failed.id, name: failed.config.name };
        self.exports.set(exports.collect(), self.failed().into_iter().map(down).collect());
    }

    /// The rules of who may mount, with the members of netgroups and what is known of host names.
    fn client_list(&self, config: &ShareConfig) -> Result<ClientList, OpenFailure> {
        let mut rules = Vec::new();
        for text in &config.clients {
            let rule: ClientRule =
                text.parse().map_err(|error| OpenFailure::new(2, format!("clients: {error}")))?;
            rules.push(rule);
        }
        let list = ClientList::new(rules);
        let members = {
            let state = self.state.read();
            let of = |name: &str| Some((name.to_owned(), state.netgroups.get(name)?.clone()));
            list.netgroups().filter_map(of).collect::<Vec<_>>()
        };
        let list = list.with_netgroups(members);
        let hosts: Vec<_> =
            list.host_names().map(|host| (host.to_owned(), self.hosts.addresses(host))).collect();
        Ok(list.with_hosts(hosts))
    }

    /// Resolves the host names of all client lists whose answers are too old, and exports what changed.
    pub async fn refresh_hosts(&self) {
        let names: BTreeSet<String> = self
            .shares()
            .iter()
            .filter_map(|live| self.client_list(&live.config).ok())
            .flat_map(|list| list.host_names().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        if self.hosts.refresh(&names).await {
            self.export();
        }
    }

    /// Refreshes host names now and then, until its task is ended.
    pub async fn keep_hosts(self: Arc<Self>) {
        loop {
            self.refresh_hosts().await;
            tokio::time::sleep(super::hosts::TTL / 4).await;
        }
    }

    /// Stops serving a share; what was acknowledged stays in its journal.
    pub async fn close_share(&self, name: &str, deadline: Duration) -> Option<Arc<LiveShare>> {
        let live = self.state.write().shares.remove(name)?;
        self.export();
        if let Err(error) = live.engine.shutdown(deadline).await {
            tracing::error!(share = name, %error, "the share did not close in order");
        }
        Some(live)
    }
}

fn new_record(config: &ShareConfig, entropy: &dyn Entropy, now: dfs_model::Timestamp) -> ShareRecord {
    let share = ShareId(entropy.random_u128());
    ShareRecord {
        share,
        name: config.name.clone(),
        incarnation: Generation(1),
        fsid: (share.0 as u64) | 1,
        handle_key: entropy.random_u128().to_le_bytes(),
        fold_version: dfs_model::Name::FOLD_VERSION,
        block_size: config.block_size,
        created: now,
        epoch: Default::default(),
        settings: Vec::new(),
    }
}

/// Settings of a share that are kept with it in a shared database.
pub(super) fn shared_settings(config: &ShareConfig) -> Vec<(String, String)> {
    let mut settings = settings_of(config);
    settings.push(rules::acl_setting(&config.rules));
    settings
}

/// What a metadata store's refusal says of a share that another gateway may have.
pub(super) fn refused(name: &str, error: &StoreError) -> OpenFailure {
    match error {
        StoreError::Owned { holder } => {
            let text = format!(
                "served by gateway '{holder}'; it is taken over by itself when that one's lease has ended, or when it is handed over"
            );
            OpenFailure::new(6, text).elsewhere()
        }
        StoreError::Stranded { holder, bytes, files } => {
            let text = format!(
                "its journal is in the data folder of gateway '{holder}', with {bytes} bytes of {files} files that are nowhere else as of its \
                 last word; it is served here by itself when that gateway has come back and handed it over (`dfsctl share release {name}` \
                 there); `dfsctl share abandon {name}` gives that journal up"
            );
            OpenFailure::new(6, text).elsewhere()
        }
        other => OpenFailure::new(6, format!("share '{name}': {}", with_causes(other)))
            .passing(other.retry() == dfs_store::Retry::Later),
    }
}

fn open_failure(name: &str, error: &OpenError) -> OpenFailure {
    if let OpenError::Store(error @ (StoreError::Owned { .. } | StoreError::Stranded { .. })) = error {
        return refused(name, error);
    }
    OpenFailure::new(
        6,
        format!("share '{name}' cannot be opened, no data was touched: {}", with_causes(error)),
    )
    .passing(error.may_pass())
}

/// Whom a share takes its callers for, and what they may do at most.
fn admission(config: &ShareConfig) -> Admission {
    Admission {
        squash: squash(config),
        ceiling: if config.read_only { ShareCeiling::ReadOnly } else { ShareCeiling::ReadWrite },
        default: match config.default_permission {
            PermissionLevel::None => Level::None,
            PermissionLevel::Read => Level::Read,
            PermissionLevel::ReadWrite => Level::ReadWrite,
            PermissionLevel::Admin => Level::Admin,
        },
        manage_gids: config.manage_gids,
    }
}

fn squash(config: &ShareConfig) -> dfs_auth::Squash {
    dfs_auth::Squash {
        mode: match config.squash {
            Squash::None => SquashMode::None,
            Squash::RootToGuest => SquashMode::RootToGuest,
            Squash::RootToAdmin => SquashMode::RootToAdmin,
            Squash::AllToGuest => SquashMode::AllToGuest,
            Squash::AllToAdmin => SquashMode::AllToAdmin,
        },
        anon_uid: config.anon_uid,
        anon_gid: config.anon_gid,
    }
}

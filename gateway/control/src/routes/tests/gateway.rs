//! A gateway in memory: it remembers what it was told, and refuses what its tests tell it to.

use crate::backend::{Backend, HealthFacts, ShareFacts};
use crate::copies::CopiesBackend;
use crate::manage::ManageBackend;
use async_trait::async_trait;
use dfs_api::*;
use dfs_auth::Identities;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

/// What it knows, and what it shall do.
#[derive(Default)]
pub(super) struct Known {
    pub shares: Vec<ShareConfig>,
    pub stores: Vec<String>,
    /// Credentials that cold stores were given.
    pub credentials: Vec<ColdStoreConfig>,
    pub identities: Option<Arc<Identities>>,
    pub netgroups: Vec<Netgroup>,
    pub adapter: Option<Adapter>,
    pub clients: Vec<ClientStatus>,
    pub applied: Vec<(String, Option<Value>)>,
    /// Everything that needs a working store fails so.
    pub fails: Option<Problem>,
    pub waiting: Vec<String>,
}

#[derive(Default)]
pub(super) struct Gateway(pub Mutex<Known>);

pub(super) fn settings() -> NfsSettings {
    NfsSettings {
        max_connections: 4096,
        max_requests_per_connection: 128,
        request_memory_bytes: 1 << 28,
        require_privileged_port: false,
        blocked_operations: Vec::new(),
        idle_timeout_seconds: 0,
    }
}

pub(super) fn adapter() -> Adapter {
    Adapter {
        kind: AdapterKind::Nfs,
        enabled: true,
        listen: "127.0.0.1:12049".to_owned(),
        state: "serving".to_owned(),
        connections: 0,
        settings: settings(),
    }
}

pub(super) fn client(id: &str) -> ClientStatus {
    ClientStatus {
        id: id.to_owned(),
        protocol: "nfs3".to_owned(),
        address: "192.0.2.7:1001".to_owned(),
        connected_at: 1,
        requests: 2,
        received_bytes: 3,
        sent_bytes: 4,
        shares: vec!["s".to_owned()],
        user_ids: vec![1001],
    }
}

impl Gateway {
    fn works(&self) -> Result<(), Problem> {
        self.0.lock().fails.clone().map_or(Ok(()), Err)
    }

    fn cuts(&self, force: bool) -> Result<(), Problem> {
        let known = self.0.lock();
        if force || known.clients.is_empty() {
            return Ok(());
        }
        let clients = known.clients.iter().map(|client| format!("{} (share s)", client.address)).collect();
        Err(Problem::would_cut("this", clients))
    }

    fn share(&self, name: &str) -> Result<ShareConfig, Problem> {
        let known = self.0.lock();
        let share = known.shares.iter().find(|share| share.name == name).cloned();
        share.ok_or_else(|| Problem::not_found("share", name))
    }

    fn replace(&self, config: &ShareConfig) -> Result<(), Problem> {
        self.share(&config.name)?;
        let mut known = self.0.lock();
        known.shares.retain(|share| share.name != config.name);
        known.shares.push(config.clone());
        Ok(())
    }
}

fn snapshot(id: u64) -> SnapshotStatus {
    let (name, origin) = (format!("n{id:04}"), "asked".to_owned());
    SnapshotStatus { id, name, origin, taken_at: 1, held_bytes: None }
}

#[async_trait]
impl CopiesBackend for Gateway {
    async fn clone_file(&self, share: &str, _: &CloneFile) -> Result<ClonedFile, Problem> {
        self.share(share).map(|_| ClonedFile { bytes: 7 })
    }

    async fn list_snapshots(&self, share: &str) -> Result<Vec<SnapshotStatus>, Problem> {
        self.share(share).map(|_| (1..=250).map(snapshot).collect())
    }

    async fn show_snapshot(&self, share: &str, name: &str) -> Result<SnapshotStatus, Problem> {
        self.share(share)?;
        let found = (1..=250).map(snapshot).find(|known| known.name == name);
        found.ok_or_else(|| Problem::not_found("snapshot", name))
    }

    async fn take_snapshot(&self, share: &str, _: &TakeSnapshot) -> Result<SnapshotStatus, Problem> {
        self.share(share).map(|_| snapshot(251))
    }

    async fn delete_snapshot(&self, share: &str, name: &str) -> Result<(), Problem> {
        self.show_snapshot(share, name).await.map(drop)
    }

    async fn restore_snapshot(
        &self,
        share: &str,
        name: &str,
        _: &RestoreSnapshot,
    ) -> Result<RestoredSnapshot, Problem> {
        self.show_snapshot(share, name).await?;
        Ok(RestoredSnapshot { restored: 1, removed: 0, unchanged: 0, before: None })
    }

    async fn snapshot_plan(&self, share: &str) -> Result<SnapshotPlan, Problem> {
        self.share(share).map(|_| SnapshotPlan::default())
    }

    async fn set_snapshot_plan(&self, share: &str, _: &SnapshotPlan) -> Result<(), Problem> {
        self.share(share).map(drop)
    }
}

#[async_trait]
impl ManageBackend for Gateway {
    fn set_identities(&self, identities: Arc<Identities>) {
        self.0.lock().identities = Some(identities);
    }

    fn gateway(&self) -> String {
        String::new()
    }

    async fn adapters(&self) -> Vec<Adapter> {
        self.0.lock().adapter.clone().into_iter().collect()
    }

    async fn add_adapter(&self, request: &AddAdapter) -> Result<Adapter, Problem> {
        let mut known = self.0.lock();
        if known.adapter.is_some() {
            return Err(Problem::conflict("the adapter 'nfs' is there"));
        }
        let added = Adapter { enabled: request.enabled, ..adapter() };
        known.adapter = Some(added.clone());
        Ok(added)
    }

    async fn change_adapter(
        &self,
        kind: AdapterKind,
        change: &ChangeAdapter,
        force: bool,
    ) -> Result<Adapter, Problem> {
        self.cuts(force)?;
        let mut known = self.0.lock();
        let adapter = known.adapter.as_mut().ok_or_else(|| Problem::not_found("adapter", kind.name()))?;
        adapter.enabled = change.enabled.unwrap_or(adapter.enabled);
        adapter.listen = change.listen.clone().unwrap_or(adapter.listen.clone());
        Ok(adapter.clone())
    }

    async fn remove_adapter(&self, _: AdapterKind, force: bool) -> Result<(), Problem> {
        self.cuts(force)?;
        self.0.lock().adapter = None;
        Ok(())
    }

    fn default_adapter_settings(&self, _: AdapterKind) -> NfsSettings {
        settings()
    }

    async fn check_adapter_settings(
        &self,
        _: AdapterKind,
        settings: &NfsSettings,
        _: bool,
    ) -> Result<(), Problem> {
        match settings.max_connections {
            0 => Err(Problem::field("max_connections", "at least one client must be able to connect")),
            _ => Ok(()),
        }
    }

    async fn set_adapter_settings(
        &self,
        _: AdapterKind,
        settings: &NfsSettings,
        _: bool,
    ) -> Result<(), Problem> {
        if let Some(adapter) = &mut self.0.lock().adapter {
            adapter.settings = settings.clone();
        }
        Ok(())
    }

    async fn clients(&self) -> Vec<ClientStatus> {
        self.0.lock().clients.clone()
    }

    async fn evict(&self, id: &str) -> Result<(), Problem> {
        let mut known = self.0.lock();
        let before = known.clients.len();
        known.clients.retain(|client| client.id != id);
        if known.clients.len() < before { Ok(()) } else { Err(Problem::not_found("client", id)) }
    }

    async fn mounts(&self) -> Vec<Mount> {
        let known = self.0.lock();
        let mount = |client: &ClientStatus| Mount {
            client: client.address.clone(),
            share: "s".to_owned(),
            protocol: "nfs3".to_owned(),
            mounted_at: 1,
        };
        known.clients.iter().map(mount).collect()
    }

    async fn enable_share(&self, config: &ShareConfig) -> Result<(), Problem> {
        self.replace(config)
    }

    async fn disable_share(&self, config: &ShareConfig, force: bool) -> Result<(), Problem> {
        self.cuts(force)?;
        self.replace(config)
    }

    async fn share_clients(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    async fn change_cold_store(&self, config: &ColdStoreConfig) -> Result<(), Problem> {
        self.works()?;
        self.0.lock().credentials.push(config.clone());
        Ok(())
    }

    async fn check_cold_store(&self, _: &str) -> Result<StoreCheck, Problem> {
        self.works()?;
        Ok(StoreCheck { usable: true, detail: "good".to_owned(), milliseconds: 1 })
    }

    async fn settings(&self) -> Vec<Setting> {
        let setting = |key: &str, live| Setting {
            key: key.to_owned(),
            value: json!("info"),
            default: json!("info"),
            description: "Something.".to_owned(),
            live,
            source: SettingSource::Default,
        };
        vec![setting("logging.level", true), setting("logging.format", false)]
    }

    async fn apply_setting(&self, key: &str, value: Option<&Value>) -> Result<(), Problem> {
        if value.is_some_and(|value| !value.is_string()) {
            return Err(Problem::field("value", "logging.level is a text"));
        }
        self.0.lock().applied.push((key.to_owned(), value.cloned()));
        Ok(())
    }

    async fn waiting(&self) -> Vec<String> {
        self.0.lock().waiting.clone()
    }
}

#[async_trait]
impl Backend for Gateway {
    async fn add_metadata_store(&self, config: &MetadataStoreConfig) -> Result<(), Problem> {
        self.works()?;
        self.0.lock().stores.push(config.name.clone());
        Ok(())
    }

    async fn remove_metadata_store(&self, name: &str) -> Result<(), Problem> {
        self.0.lock().stores.retain(|known| known != name);
        Ok(())
    }

    async fn metadata_health(&self, _: &str) -> String {
        "up".to_owned()
    }

    async fn add_cold_store(&self, config: &ColdStoreConfig) -> Result<(), Problem> {
        self.works()?;
        self.0.lock().stores.push(config.name.clone());
        Ok(())
    }

    async fn remove_cold_store(&self, name: &str) -> Result<(), Problem> {
        self.0.lock().stores.retain(|known| known != name);
        Ok(())
    }

    async fn cold_health(&self, _: &str) -> String {
        "up".to_owned()
    }

    async fn create_share(&self, config: &ShareConfig) -> Result<String, Problem> {
        self.works()?;
        self.0.lock().shares.push(config.clone());
        Ok("id".to_owned())
    }

    async fn open_share(&self, name: &str) -> Result<(), Problem> {
        self.works()?;
        self.share(name).map(drop)
    }

    async fn adopt_share(&self, name: &str, request: &AdoptShare) -> Result<ShareConfig, Problem> {
        self.works()?;
        Ok(ShareConfig::named(name, &request.metadata, &request.cold))
    }

    async fn release_share(&self, _: &str) -> Result<(), Problem> {
        Ok(())
    }

    async fn abandon_journal(&self, _: &str, confirm: bool) -> Result<AbandonedJournal, Problem> {
        Ok(AbandonedJournal { journal_of: "other".to_owned(), bytes: 1, files: 1, abandoned: confirm })
    }

    async fn change_share(&self, config: &ShareConfig) -> Result<(), Problem> {
        self.works()?;
        self.replace(config)
    }

    async fn set_netgroups(&self, groups: &[Netgroup]) {
        self.0.lock().netgroups = groups.to_vec();
    }

    async fn delete_share(&self, name: &str, force: bool) -> Result<(), Problem> {
        self.cuts(force)?;
        self.share(name)?;
        self.0.lock().shares.retain(|share| share.name != name);
        Ok(())
    }

    async fn share_facts(&self, name: &str) -> ShareFacts {
        let config = self.share(name).ok();
        let state = "serving".to_owned();
        ShareFacts { id: "00".to_owned(), state, config, ..ShareFacts::default() }
    }

    async fn quotas(&self, share: &str) -> Result<Vec<QuotaStatus>, Problem> {
        self.share(share)?;
        let subject = QuotaSubject::Share;
        Ok(vec![QuotaStatus { subject, limits: None, used_bytes: 0, used_inodes: 0 }])
    }

    async fn set_quota(&self, share: &str, _: &SetQuota) -> Result<(), Problem> {
        self.share(share).map(drop)
    }

    async fn recycled(&self, share: &str) -> Result<Vec<RecycledFile>, Problem> {
        self.share(share)?;
        let name = "gone".to_owned();
        Ok(vec![RecycledFile { inode: 9, name, directory: 1, removed_at: 1, removed_by: 0, bytes: 1 }])
    }

    async fn restore(&self, share: &str, _: &RestoreFile) -> Result<(), Problem> {
        self.share(share).map(drop)
    }

    async fn empty_bin(&self, share: &str, _: &EmptyBin) -> Result<usize, Problem> {
        self.share(share).map(|_| 1)
    }

    async fn tier_status(&self) -> TierStatus {
        TierStatus::default()
    }

    async fn share_tier_status(&self, _: &str) -> Option<ShareTierStatus> {
        None
    }

    async fn flush(&self, _: Option<&str>) -> Result<(), Problem> {
        self.works()
    }

    async fn health(&self) -> HealthFacts {
        HealthFacts { status: "ok".to_owned(), shares: self.0.lock().shares.len(), shares_failed: 0 }
    }
}

//! What changes while the gateway serves, as the control plane asks for it.

use super::Runtime;
use super::nfs::refuse_cut;
use async_trait::async_trait;
use dfs_api::{
    Adapter, AdapterKind, AddAdapter, ChangeAdapter, ClientStatus, ColdStoreConfig, Mount, NfsSettings,
    Problem, Setting, ShareConfig, StoreCheck,
};
use dfs_auth::Identities;
use dfs_control::ManageBackend;
use serde_json::Value;
use std::sync::Arc;

#[async_trait]
impl ManageBackend for Runtime {
    fn set_identities(&self, identities: Arc<Identities>) {
        tracing::debug!(version = identities.version, users = identities.len(), "identities changed");
        self.identities.set(identities);
    }

    fn gateway(&self) -> String {
        self.told.name.get().cloned().unwrap_or_default()
    }

    async fn adapters(&self) -> Vec<Adapter> {
        self.nfs.show().into_iter().collect()
    }

    async fn add_adapter(&self, request: &AddAdapter) -> Result<Adapter, Problem> {
        let AdapterKind::Nfs = request.kind;
        self.nfs.add(request.listen.as_deref(), request.enabled, self.config.nfs.listen).await?;
        self.announce();
        self.adapter()
    }

    async fn change_adapter(
        &self,
        kind: AdapterKind,
        change: &ChangeAdapter,
        force: bool,
    ) -> Result<Adapter, Problem> {
        let AdapterKind::Nfs = kind;
        let changed = self.nfs.change(change, force, || self.clients_of(None)).await;
        // Also after a refusal: a move that failed may have opened the old port anew.
        self.announce();
        changed?;
        self.adapter()
    }

    async fn remove_adapter(&self, kind: AdapterKind, force: bool) -> Result<(), Problem> {
        let AdapterKind::Nfs = kind;
        let (settings, listen) = (self.default_nfs_settings(), self.config.nfs.listen);
        self.nfs.remove(force, settings, listen, || self.clients_of(None)).await?;
        self.export();
        self.announce();
        Ok(())
    }

    fn default_adapter_settings(&self, kind: AdapterKind) -> NfsSettings {
        let AdapterKind::Nfs = kind;
        self.default_nfs_settings()
    }

    async fn check_adapter_settings(
        &self,
        kind: AdapterKind,
        settings: &NfsSettings,
        force: bool,
    ) -> Result<(), Problem> {
        let AdapterKind::Nfs = kind;
        self.nfs.check(settings, force)
    }

    async fn set_adapter_settings(
        &self,
        kind: AdapterKind,
        settings: &NfsSettings,
        force: bool,
    ) -> Result<(), Problem> {
        let AdapterKind::Nfs = kind;
        self.nfs.check(settings, force)?;
        self.nfs.set(settings).await;
        self.export();
        Ok(())
    }

    async fn clients(&self) -> Vec<ClientStatus> {
        self.list_clients()
    }

    async fn evict(&self, id: &str) -> Result<(), Problem> {
        self.cut_client(id)
    }

    async fn mounts(&self) -> Vec<Mount> {
        self.list_mounts()
    }

    async fn enable_share(&self, config: &ShareConfig) -> Result<(), Problem> {
        self.put_into_service(config).await
    }

    async fn disable_share(&self, config: &ShareConfig, force: bool) -> Result<(), Problem> {
        self.take_out_of_service(config, force).await
    }

    async fn share_clients(&self, name: &str) -> Vec<String> {
        self.clients_of(Some(name))
    }

    async fn change_cold_store(&self, config: &ColdStoreConfig) -> Result<(), Problem> {
        self.replace_credentials(config).await
    }

    async fn check_cold_store(&self, name: &str) -> Result<StoreCheck, Problem> {
        self.probe_cold(name).await
    }

    async fn settings(&self) -> Vec<Setting> {
        super::settings::list(&self.config)
    }

    async fn apply_setting(&self, key: &str, value: Option<&Value>) -> Result<(), Problem> {
        super::settings::apply(&self.config, key, value)
    }

    async fn waiting(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        if self.nfs.trouble().is_some() {
            waiting.push("the NFS port".to_owned());
        }
        match self.failures() {
            0 => {}
            1 => waiting.push("1 share".to_owned()),
            more => waiting.push(format!("{more} shares")),
        }
        let cold = self.state.read().cold_failed.len();
        if cold > 0 {
            waiting.push(format!("{cold} cold stores"));
        }
        waiting
    }
}

impl Runtime {
    fn adapter(&self) -> Result<Adapter, Problem> {
        self.nfs.show().ok_or_else(|| Problem::internal("the adapter was removed meanwhile"))
    }

    /// Refuses to delete a share that clients use, unless forced.
    pub(super) fn check_unused(&self, name: &str, force: bool) -> Result<(), Problem> {
        match force {
            true => Ok(()),
            false => refuse_cut(&format!("deleting share '{name}'"), self.clients_of(Some(name))),
        }
    }
}

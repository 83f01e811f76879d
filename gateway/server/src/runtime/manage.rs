//! What changes while the gateway serves.

use super::Runtime;
use async_trait::async_trait;
use dfs_api::{
    Adapter, AdapterKind, AddAdapter, ChangeAdapter, ClientStatus, ColdStoreConfig, Mount, NfsSettings,
    Problem, Setting, ShareConfig, StoreCheck,
};
use dfs_auth::Identities;
use dfs_control::ManageBackend;
use serde_json::Value;
use std::sync::Arc;

fn not_built<T>() -> Result<T, Problem> {
    Err(Problem::new(501, "not-built", "this gateway cannot do that yet"))
}

#[async_trait]
impl ManageBackend for Runtime {
    fn set_identities(&self, identities: Arc<Identities>) {
        tracing::debug!(version = identities.version, users = identities.len(), "identities changed");
        self.identities.set(identities);
    }

    fn gateway(&self) -> String {
        String::new()
    }

    async fn adapters(&self) -> Vec<Adapter> {
        Vec::new()
    }

    async fn add_adapter(&self, _request: &AddAdapter) -> Result<Adapter, Problem> {
        not_built()
    }

    async fn change_adapter(
        &self,
        _kind: AdapterKind,
        _change: &ChangeAdapter,
        _force: bool,
    ) -> Result<Adapter, Problem> {
        not_built()
    }

    async fn remove_adapter(&self, _kind: AdapterKind, _force: bool) -> Result<(), Problem> {
        not_built()
    }

    fn default_adapter_settings(&self, _kind: AdapterKind) -> NfsSettings {
        NfsSettings {
            max_connections: 4096,
            max_requests_per_connection: 128,
            request_memory_bytes: self.split.requests,
            require_privileged_port: false,
            blocked_operations: Vec::new(),
            idle_timeout_seconds: 0,
        }
    }

    async fn check_adapter_settings(
        &self,
        _kind: AdapterKind,
        _settings: &NfsSettings,
        _force: bool,
    ) -> Result<(), Problem> {
        not_built()
    }

    async fn set_adapter_settings(
        &self,
        _kind: AdapterKind,
        _settings: &NfsSettings,
        _force: bool,
    ) -> Result<(), Problem> {
        not_built()
    }

    async fn clients(&self) -> Vec<ClientStatus> {
        Vec::new()
    }

    async fn evict(&self, _id: &str) -> Result<(), Problem> {
        not_built()
    }

    async fn mounts(&self) -> Vec<Mount> {
        Vec::new()
    }

    async fn enable_share(&self, _config: &ShareConfig) -> Result<(), Problem> {
        not_built()
    }

    async fn disable_share(&self, _config: &ShareConfig, _force: bool) -> Result<(), Problem> {
        not_built()
    }

    async fn share_clients(&self, _name: &str) -> Vec<String> {
        Vec::new()
    }

    async fn change_cold_store(&self, _config: &ColdStoreConfig) -> Result<(), Problem> {
        not_built()
    }

    async fn check_cold_store(&self, _name: &str) -> Result<StoreCheck, Problem> {
        not_built()
    }

    async fn settings(&self) -> Vec<Setting> {
        Vec::new()
    }

    async fn apply_setting(&self, _key: &str, _value: Option<&Value>) -> Result<(), Problem> {
        not_built()
    }

    async fn waiting(&self) -> Vec<String> {
        Vec::new()
    }
}

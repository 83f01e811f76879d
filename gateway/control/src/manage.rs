//! What changes in the running gateway while it serves: adapters, clients, shares taken in and out, credentials, settings.

use async_trait::async_trait;
use dfs_api::{
    Adapter, AdapterKind, AddAdapter, ChangeAdapter, ClientStatus, ColdStoreConfig, Mount, NfsSettings,
    Problem, Setting, ShareConfig, StoreCheck,
};
use dfs_auth::Identities;
use serde_json::Value;
use std::sync::Arc;

/// Live management of the running gateway; part of [`crate::Backend`].
///
/// What takes `force` answers `would-cut-clients` with their addresses, and changes nothing, while clients would be cut off
/// and it is not set.
#[async_trait]
pub trait ManageBackend: Send + Sync + 'static {
    /// Tells whom the gateway knows. The next request of every client goes by it.
    fn set_identities(&self, identities: Arc<Identities>);
    /// What this gateway's own rows are kept under in the control database ([`crate::rows::AdapterRow`]); empty where the
    /// database is this gateway's alone.
    fn gateway(&self) -> String;
    /// Every adapter that there is, serving or not.
    async fn adapters(&self) -> Vec<Adapter>;
    /// Adds an adapter, and serves it if it is enabled. *Errors:* 409 when it is there; 422 when the port cannot be had.
    async fn add_adapter(&self, request: &AddAdapter) -> Result<Adapter, Problem>;
    /// Starts, stops or moves an adapter. The new port is open before the old one closes.
    async fn change_adapter(
        &self,
        kind: AdapterKind,
        change: &ChangeAdapter,
        force: bool,
    ) -> Result<Adapter, Problem>;
    /// Stops an adapter and forgets it.
    async fn remove_adapter(&self, kind: AdapterKind, force: bool) -> Result<(), Problem>;
    /// The settings that hold where nobody said anything.
    fn default_adapter_settings(&self, kind: AdapterKind) -> NfsSettings;
    /// Tests settings without changing anything. *Errors:* the field that is wrong; clients that would be cut off.
    async fn check_adapter_settings(
        &self,
        kind: AdapterKind,
        settings: &NfsSettings,
        force: bool,
    ) -> Result<(), Problem>;
    /// Puts settings into force while the adapter serves.
    async fn set_adapter_settings(
        &self,
        kind: AdapterKind,
        settings: &NfsSettings,
        force: bool,
    ) -> Result<(), Problem>;
    /// Clients that are connected, by id.
    async fn clients(&self) -> Vec<ClientStatus>;
    /// Cuts a client off. It may connect again.
    async fn evict(&self, id: &str) -> Result<(), Problem>;
    /// What clients have mounted.
    async fn mounts(&self) -> Vec<Mount>;
    /// Serves a share that was disabled.
    async fn enable_share(&self, config: &ShareConfig) -> Result<(), Problem>;
    /// Stops serving a share; everything in it stays.
    async fn disable_share(&self, config: &ShareConfig, force: bool) -> Result<(), Problem>;
    /// Clients that use a share now, as `address (share name)`; those that deleting it would cut off.
    async fn share_clients(&self, name: &str) -> Vec<String>;
    /// Lets a cold store log in otherwise: the new credentials are proved first, then they take over under way.
    async fn change_cold_store(&self, config: &ColdStoreConfig) -> Result<(), Problem>;
    /// Writes, reads and deletes an object in a cold store.
    async fn check_cold_store(&self, name: &str) -> Result<StoreCheck, Problem>;
    /// Every setting of the configuration file with its value there; secrets are left out.
    async fn settings(&self) -> Vec<Setting>;
    /// Puts a live setting into force; `None`: what the configuration file says. *Errors:* a value that it does not take.
    async fn apply_setting(&self, key: &str, value: Option<&Value>) -> Result<(), Problem>;
    /// What the gateway waits for before it serves everything, in words and without names; nothing when it is ready.
    async fn waiting(&self) -> Vec<String>;
}

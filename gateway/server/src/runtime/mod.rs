//! The running gateway: one data folder, its stores, its shares; what the control plane manages.
//!
//! A change is made here first and written down by the control plane when it worked. Calls that change something come one
//! at a time (the control plane holds a lock); reads take a snapshot and wait for nothing.

mod access;
mod adopt;
mod backend;
pub(crate) mod budget;
mod clients;
mod copies;
mod credentials;
mod database;
mod failed;
mod folder;
mod follow;
mod hosts;
mod keep;
mod manage;
mod nfs;
mod owners;
mod rules;
mod service;
mod settings;
mod shares;
mod status;
mod stores;
#[cfg(test)]
mod tests;

pub(crate) use database::gateway_id;
pub(crate) use failed::FailedShare;
pub(crate) use folder::{Folder, OpenFailure};
pub(crate) use nfs::{NfsAdapter, NfsPlan};
pub(crate) use shares::{LiveShare, SYNC_MAX};
pub(crate) use stores::{LiveCold, open_base};

use crate::config::Config;
use crate::listeners::Addresses;
use dfs_api::ColdStoreConfig;
use dfs_auth::IdentityTable;
use dfs_cache::BlockCache;
use dfs_journal::Pressure;
use dfs_log::{Disk, Poison, SegmentPool};
use dfs_model::{Clock, Entropy};
use dfs_nfs::ExportTable;
use dfs_nfs::portmap::PortmapTable;
use dfs_policy::{MemorySplit, Policy};
use dfs_store::{MetadataStore, PostgresStore};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Everything that runs.
pub(crate) struct Runtime {
    pub config: Config,
    pub data_dir: PathBuf,
    pub disk: Arc<dyn Disk>,
    /// The folder's mark: the first failed sync of any log stops them all.
    pub poison: Poison,
    pub pool: Arc<SegmentPool>,
    pub pressure: Arc<Pressure>,
    pub cache: Arc<dyn BlockCache>,
    pub policy: Arc<dyn Policy>,
    pub split: MemorySplit,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub exports: Arc<ExportTable>,
    /// Who may do what, for every protocol.
    pub identities: Arc<IdentityTable>,
    /// The door of NFS clients.
    pub nfs: NfsAdapter,
    /// What is told of the doors, once the gateway serves.
    pub told: Told,
    pub hosts: hosts::HostNames,
    /// Shares are opened and closed one at a time.
    pub opening: tokio::sync::Mutex<()>,
    pub state: RwLock<State>,
}

/// Where the gateway is, as it tells others: the ready file and portmap.
#[derive(Default)]
pub(crate) struct Told {
    /// Addresses of REST and metrics, once the gateway serves.
    pub doors: Mutex<Option<(SocketAddr, Option<SocketAddr>)>>,
    /// What its own rows are kept under in a control database that it shares.
    pub name: OnceLock<String>,
    /// The portmapper's table, where there is one.
    pub portmap: OnceLock<Arc<PortmapTable>>,
}

/// What is configured and running.
#[derive(Default)]
pub(crate) struct State {
    pub metadata: BTreeMap<String, Arc<dyn MetadataStore>>,
    /// Those of `metadata` that are shared databases.
    pub databases: BTreeMap<String, Arc<PostgresStore>>,
    pub cold: BTreeMap<String, LiveCold>,
    /// Cold stores that could not be opened, and why; tried again with the shares that need them.
    pub cold_failed: BTreeMap<String, (ColdStoreConfig, String)>,
    pub shares: BTreeMap<String, Arc<LiveShare>>,
    pub failed: BTreeMap<String, FailedShare>,
    pub netgroups: access::Netgroups,
}

impl Runtime {
    /// Snapshot of the shares.
    pub fn shares(&self) -> Vec<Arc<LiveShare>> {
        self.state.read().shares.values().cloned().collect()
    }

    /// One share.
    pub fn share(&self, name: &str) -> Option<Arc<LiveShare>> {
        self.state.read().shares.get(name).cloned()
    }

    /// Tells where NFS is now: in the ready file, once the gateway serves, and through portmap.
    pub fn announce(&self) {
        let nfs = self.nfs.local_addr();
        if let Some(table) = self.told.portmap.get() {
            table.set_nfs(nfs.map(|at| at.port()));
        }
        // Held while the file is written: the last word is the last change.
        let doors = self.told.doors.lock();
        let Some((control, metrics)) = *doors else { return };
        let at = Addresses { nfs, control, metrics };
        if let Err(failure) = crate::ready::announce_ready(&self.data_dir, &at, self.failures()) {
            tracing::warn!("{}", failure.message);
        }
    }

    /// Ends everything in order: shares, then cold stores, cache and metadata stores; names who was late in the log.
    pub async fn shutdown(&self, deadline: Duration) {
        self.exports.set(Vec::new(), Vec::new());
        self.hand_over_all(deadline / 2).await;
        for share in self.shares() {
            if let Err(error) = share.engine.shutdown(deadline).await {
                tracing::error!(share = %share.config.name, %error, "the share did not close in order; its journal has what was acknowledged");
            }
        }
        let (metadata, cold) = {
            let state = self.state.read();
            let metadata: Vec<Arc<dyn MetadataStore>> = state.metadata.values().cloned().collect();
            let cold: Vec<LiveCold> = state.cold.values().cloned().collect();
            (metadata, cold)
        };
        for store in cold {
            store.stack.close();
        }
        self.cache.close().await;
        for store in metadata {
            if let Err(error) = store.checkpoint().await {
                tracing::error!(%error, "the last checkpoint failed; the name log has what was acknowledged");
            }
        }
        let databases: Vec<Arc<PostgresStore>> = self.state.read().databases.values().cloned().collect();
        for database in databases {
            database.close().await;
        }
    }
}

//! The running gateway: one data folder, its stores, its shares; what the control plane manages.
//!
//! A change is made here first and written down by the control plane when it worked. Calls that change something come one
//! at a time (the control plane holds a lock); reads take a snapshot and wait for nothing.

mod access;
mod adopt;
mod backend;
pub(crate) mod budget;
mod copies;
mod database;
mod failed;
mod folder;
mod hosts;
mod keep;
mod manage;
mod owners;
mod rules;
mod shares;
mod status;
mod stores;

pub(crate) use failed::FailedShare;
pub(crate) use folder::{Folder, OpenFailure};
pub(crate) use shares::{LiveShare, SYNC_MAX};
pub(crate) use stores::LiveCold;

use crate::config::Config;
use dfs_api::ColdStoreConfig;
use dfs_auth::IdentityTable;
use dfs_cache::BlockCache;
use dfs_journal::Pressure;
use dfs_log::{Disk, Poison, SegmentPool};
use dfs_model::{Clock, Entropy};
use dfs_nfs::ExportTable;
use dfs_policy::{MemorySplit, Policy};
use dfs_store::{MetadataStore, PostgresStore};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
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
    pub hosts: hosts::HostNames,
    /// Shares are opened and closed one at a time.
    pub opening: tokio::sync::Mutex<()>,
    pub state: RwLock<State>,
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

//! The running gateway as the control plane sees it.

use super::folder::with_causes;
use super::{FailedShare, OpenFailure, Runtime};
use async_trait::async_trait;
use dfs_api::{
    AbandonedJournal, AdoptShare, ColdStoreConfig, EmptyBin, MetadataStoreConfig, Netgroup, Problem,
    QuotaStatus, RecycledFile, RestoreFile, SetQuota, ShareConfig, ShareTierStatus, TierStatus,
};
use dfs_cold::KeySpace;
use dfs_control::backend::{Backend, HealthFacts, ShareFacts};
use dfs_stack::FlushScope;
use std::time::Duration;

/// How long closing a share may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

fn problem(failure: OpenFailure) -> Problem {
    match failure.code {
        2 => Problem::new(400, "invalid", failure.message),
        5 => Problem::new(422, "unusable", failure.message),
        _ => Problem::internal(failure.message),
    }
}

#[async_trait]
impl Backend for Runtime {
    async fn add_metadata_store(&self, config: &MetadataStoreConfig) -> Result<(), Problem> {
        let store = self.open_metadata(config).await.map_err(problem)?;
        self.state.write().metadata.insert(config.name.clone(), store);
        Ok(())
    }

    async fn remove_metadata_store(&self, name: &str) -> Result<(), Problem> {
        let (store, database) = {
            let mut state = self.state.write();
            (state.metadata.remove(name), state.databases.remove(name))
        };
        if let Some(database) = database {
            database.close().await;
        }
        match store {
            Some(store) => store.checkpoint().await.map_err(|error| Problem::internal(error.to_string())),
            None => Ok(()),
        }
    }

    async fn metadata_health(&self, name: &str) -> String {
        let (live, database) = {
            let state = self.state.read();
            (state.metadata.get(name).cloned(), state.databases.get(name).cloned())
        };
        match live {
            None => "not open".to_owned(),
            Some(store) => {
                let trouble = || database.and_then(|database| database.trouble());
                store.poisoned().or_else(trouble).unwrap_or_else(|| "up".to_owned())
            }
        }
    }

    async fn add_cold_store(&self, config: &ColdStoreConfig) -> Result<(), Problem> {
        let live = self.open_cold(config, true).await.map_err(problem)?;
        let space =
            KeySpace::new(&live.prefix).map_err(|error| Problem::field("prefix", error.to_string()))?;
        let report = dfs_cold::probe(live.stack.base().as_ref(), &space, self.entropy.as_ref()).await;
        if !report.is_good() {
            let why = report.text();
            return Err(Problem::new(
                422,
                "unusable",
                format!("cold store '{}' cannot be used: {why}", config.name),
            ));
        }
        self.state.write().cold.insert(config.name.clone(), live);
        Ok(())
    }

    async fn remove_cold_store(&self, name: &str) -> Result<(), Problem> {
        let mut state = self.state.write();
        state.cold_failed.remove(name);
        if let Some(live) = state.cold.remove(name) {
            live.stack.close();
        }
        Ok(())
    }

    async fn cold_health(&self, name: &str) -> String {
        let state = self.state.read();
        match (state.cold.get(name), state.cold_failed.get(name)) {
            (Some(live), _) => live.health(),
            (None, Some((_, why))) => format!("failed: {why}"),
            (None, None) => "not connected".to_owned(),
        }
    }

    async fn create_share(&self, config: &ShareConfig) -> Result<String, Problem> {
        let _opening = self.opening.lock().await;
        let made = self.make_shared(config).await?;
        let live = match self.open_share(config).await {
            Ok(live) => live,
            Err(failure) => {
                self.unmake(config, made).await;
                return Err(problem(failure));
            }
        };
        self.refresh_hosts().await;
        Ok(live.id.to_string())
    }

    async fn open_share(&self, name: &str) -> Result<(), Problem> {
        self.retry_share(name).await.map_err(problem)
    }

    async fn adopt_share(&self, name: &str, request: &AdoptShare) -> Result<ShareConfig, Problem> {
        let config = self.adopted(name, request).await?;
        let _opening = self.opening.lock().await;
        match self.open_or_keep(&config).await {
            Ok(_) => self.refresh_hosts().await,
            Err(failure) if failure.may_pass => {}
            Err(failure) => {
                self.state.write().failed.remove(name);
                self.export();
                return Err(problem(failure));
            }
        }
        Ok(config)
    }

    async fn release_share(&self, name: &str) -> Result<(), Problem> {
        self.hand_over(name).await
    }

    async fn abandon_journal(&self, name: &str, confirm: bool) -> Result<AbandonedJournal, Problem> {
        self.abandon(name, confirm).await
    }

    async fn change_share(&self, config: &ShareConfig) -> Result<(), Problem> {
        self.apply_change(config).await
    }

    async fn set_netgroups(&self, groups: &[Netgroup]) {
        self.take_netgroups(groups).await;
    }

    async fn delete_share(&self, name: &str, force: bool) -> Result<(), Problem> {
        self.check_unused(name, force)?;
        let _opening = self.opening.lock().await;
        let waiting = self.state.read().failed.get(name).map(|failed| (failed.config.clone(), failed.id));
        let store = waiting.as_ref().map(|(config, _)| config.metadata.clone());
        if self.config.control.database.is_some()
            && store.is_some_and(|store| !self.state.read().metadata.contains_key(&store))
        {
            let why = "its metadata store is in the data folder of another gateway: delete it there";
            return Err(Problem::conflict(format!("share '{name}': {why}")));
        }
        if let Some((config, Some(id))) = waiting {
            self.check_ours(&config, id).await?;
        }
        let failed = self.state.write().failed.remove(name);
        let (config, id) = match (self.close_share(name, CLOSE_WITHIN).await, failed) {
            (Some(live), _) => (live.config.clone(), Some(live.id)),
            (None, Some(failed)) => (failed.config, failed.id),
            (None, None) => return Err(Problem::not_found("share", name)),
        };
        self.export();
        let Some(id) = id else { return Ok(()) };
        let metadata = self.state.read().metadata.get(&config.metadata).cloned();
        let metadata = metadata.ok_or_else(|| Problem::not_found("metadata store", &config.metadata))?;
        match metadata.delete_share(id).await {
            Ok(()) => {}
            Err(dfs_store::StoreError::NoShare(_)) => {
                tracing::info!(share = name, "the share was deleted from its metadata store before");
            }
            Err(error) => return Err(Problem::internal(error.to_string())),
        }
        let segments = self.pool.discard(id.0);
        tracing::info!(share = name, segments, "the journal of the deleted share was given back");
        Ok(())
    }

    async fn share_facts(&self, name: &str) -> ShareFacts {
        let Some(live) = self.share(name) else {
            let failed = self.state.read().failed.get(name).cloned();
            let state = failed.as_ref().map_or_else(|| "not served".to_owned(), FailedShare::state);
            let config = failed.as_ref().map(|failed| failed.config.clone());
            let known = failed.and_then(|failed| failed.id);
            let id = known.map_or_else(String::new, |id| id.to_string());
            let stranded = match (&config, known) {
                (Some(config), Some(id)) => self.stranded(config, id).await,
                _ => Vec::new(),
            };
            return ShareFacts { id, state, config, stranded, ..ShareFacts::default() };
        };
        let metadata = self.state.read().metadata.get(&live.config.metadata).cloned();
        let usage = match metadata {
            Some(metadata) => metadata.usage(live.id).await.unwrap_or_default(),
            None => Default::default(),
        };
        ShareFacts {
            id: live.id.to_string(),
            state: self.share_state(&live),
            config: Some(live.config.clone()),
            stranded: self.stranded(&live.config, live.id).await,
            epoch: live.engine.epoch().0,
            used_bytes: usage.bytes,
            inodes: usage.inodes,
        }
    }

    async fn quotas(&self, share: &str) -> Result<Vec<QuotaStatus>, Problem> {
        self.list_quotas(share)
    }

    async fn set_quota(&self, share: &str, request: &SetQuota) -> Result<(), Problem> {
        self.change_quota(share, request).await
    }

    async fn recycled(&self, share: &str) -> Result<Vec<RecycledFile>, Problem> {
        self.list_recycled(share).await
    }

    async fn restore(&self, share: &str, request: &RestoreFile) -> Result<(), Problem> {
        self.restore_file(share, request).await
    }

    async fn empty_bin(&self, share: &str, request: &EmptyBin) -> Result<usize, Problem> {
        self.remove_recycled(share, request).await
    }

    async fn tier_status(&self) -> TierStatus {
        self.tiers()
    }

    async fn share_tier_status(&self, name: &str) -> Option<ShareTierStatus> {
        self.tiers().shares.into_iter().find(|share| share.share == name)
    }

    async fn flush(&self, share: Option<&str>) -> Result<(), Problem> {
        let asked = |name: &str| share.is_none_or(|share| share == name);
        let (mut known, mut refused) = (false, Vec::new());
        for live in self.shares().iter().filter(|live| asked(&live.config.name)) {
            known = true;
            if let Err(error) = live.engine.stack().flush(FlushScope::All).await {
                refused.push(format!("share '{}': {}", live.config.name, with_causes(&error)));
            }
        }
        for failed in self.failed().iter().filter(|failed| asked(&failed.config.name)) {
            known = true;
            if share.is_none() && !failed.is_failure() {
                continue;
            }
            refused.push(format!("share '{}' is not open: {}", failed.config.name, failed.cause));
        }
        match (share, known) {
            (Some(name), false) => Err(Problem::not_found("share", name)),
            _ if refused.is_empty() => Ok(()),
            _ => Err(Problem::internal(refused.join("; "))),
        }
    }

    async fn health(&self) -> HealthFacts {
        let (shares, failed) = (self.shares(), self.failures());
        let stopped = shares.iter().any(|live| self.share_state(live).starts_with("read-only"));
        let cold_down = self.state.read().cold.values().any(|cold| cold.health() != "up");
        let status = match (stopped, cold_down || failed > 0) {
            (true, _) => "failed",
            (false, true) => "degraded",
            (false, false) => "ok",
        };
        HealthFacts { status: status.to_owned(), shares: shares.len(), shares_failed: failed }
    }
}

impl Runtime {
    pub(super) fn share_state(&self, live: &super::LiveShare) -> String {
        match live.engine.journal().poisoned() {
            Some(why) => format!("read-only: {why}"),
            None if live.config.read_only => "serving (read-only by configuration)".to_owned(),
            None => "serving".to_owned(),
        }
    }
}

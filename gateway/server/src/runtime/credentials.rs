//! Cold stores while they are used: other credentials, and whether they work.

use super::Runtime;
use super::folder::with_causes;
use dfs_api::{ColdBackend, ColdStoreConfig, Problem, StoreCheck};
use dfs_cold::{ColdStore, KeySpace};
use std::sync::Arc;

impl Runtime {
    /// Goes on with other credentials under way. They are proved first: every operation once, and the objects of the shares on
    /// the store must be there. Dirty data stays where it is; uploads that the old credentials cannot end are tried again with
    /// the new ones. *Errors:* 422 with what the store said; the old ones stay in force.
    pub(super) async fn replace_credentials(&self, config: &ColdStoreConfig) -> Result<(), Problem> {
        let ColdBackend::S3(s3) = &config.backend else {
            return Err(Problem::conflict(format!("cold store '{}' has no credentials", config.name)));
        };
        let refused =
            |why: String| Problem::new(422, "unusable", format!("cold store '{}': {why}", config.name));
        let opened = dfs_cold::S3Cold::open(super::stores::s3_config(s3)).await;
        let store: Arc<dyn ColdStore> = Arc::new(opened.map_err(|error| refused(with_causes(&error)))?);
        let space = KeySpace::new(&s3.prefix).map_err(|error| Problem::field("prefix", error.to_string()))?;
        let report = dfs_cold::probe(store.as_ref(), &space, self.entropy.as_ref()).await;
        if !report.is_good() {
            return Err(refused(format!("the new credentials cannot be used: {}", report.text())));
        }
        let live = self.state.read().cold.get(&config.name).cloned();
        let Some(live) = live else {
            // It could not be opened with the old ones: the shares on it come back by themselves.
            let mut state = self.state.write();
            if let Some(failed) = state.cold_failed.get_mut(&config.name) {
                failed.0 = config.clone();
                return Ok(());
            }
            return Err(Problem::not_found("cold store", &config.name));
        };
        for share in self.shares().iter().filter(|share| share.config.cold == config.name) {
            let key = space.owner(share.id);
            let missing = store.get_owner(&key).await.err().filter(dfs_cold::ColdError::is_not_found);
            if missing.is_some() && live.stack.base().get_owner(&key).await.is_ok() {
                let why = format!(
                    "with the new credentials it is another bucket: nothing of share '{}' is there",
                    share.config.name
                );
                return Err(refused(why));
            }
        }
        live.stack.replace(store);
        if let Some(live) = self.state.write().cold.get_mut(&config.name) {
            live.config = config.clone();
        }
        tracing::info!(cold = %config.name, "goes on with other credentials");
        Ok(())
    }

    /// Writes, reads and deletes an object of the probe's own.
    pub(super) async fn probe_cold(&self, name: &str) -> Result<StoreCheck, Problem> {
        let (live, failed) = {
            let state = self.state.read();
            (state.cold.get(name).cloned(), state.cold_failed.get(name).map(|(_, why)| why.clone()))
        };
        let Some(live) = live else {
            let why = failed.ok_or_else(|| Problem::not_found("cold store", name))?;
            return Ok(StoreCheck { usable: false, detail: why, milliseconds: 0 });
        };
        let space = KeySpace::new(&live.prefix).map_err(|error| Problem::internal(error.to_string()))?;
        let started = self.clock.monotonic();
        let report = dfs_cold::probe(live.stack.base().as_ref(), &space, self.entropy.as_ref()).await;
        let took = self.clock.monotonic().since(started);
        let detail = match report.is_good() {
            true => "an object was written, read, listed and deleted".to_owned(),
            false => report.text(),
        };
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Ok(StoreCheck { usable: report.is_good(), detail, milliseconds })
    }
}

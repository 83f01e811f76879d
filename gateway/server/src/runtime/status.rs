//! What is told of the tiers, to REST and to Prometheus.

use super::{LiveShare, Runtime};
use dfs_api::{ShareTierStatus, TierStatus};
use std::time::Duration;

impl Runtime {
    /// The tiers of one share.
    pub fn share_tiers(&self, live: &LiveShare) -> ShareTierStatus {
        let tiers = live.engine.stack().status();
        let journal = live.engine.journal().stats();
        let cold = self
            .state
            .read()
            .cold
            .get(&live.config.cold)
            .map_or_else(|| "missing".to_owned(), |cold| cold.health());
        let seconds = |age: Option<Duration>| age.map(|age| age.as_secs_f64());
        ShareTierStatus {
            share: live.config.name.clone(),
            durability: live.engine.settings().class.as_str().to_owned(),
            dirty_bytes: tiers.dirty_bytes,
            dirty_inodes: tiers.dirty_inodes,
            oldest_undurable_seconds: seconds(journal.oldest_undurable_age),
            oldest_unplaced_seconds: seconds(tiers.oldest_unplaced),
            uploads_in_flight: tiers.uploads_in_flight as u64,
            uploaded_bytes: tiers.bytes_uploaded,
            uploads: tiers.packs_uploaded,
            fetched_bytes: self.fetched(live),
            cold,
            last_error: tiers.stopped.or(tiers.cold_permanent).or(tiers.last_error),
        }
    }

    fn fetched(&self, live: &LiveShare) -> u64 {
        let state = self.state.read();
        state.cold.get(&live.config.cold).map_or(0, |cold| cold.stack.counters().received_bytes())
    }

    /// The tiers of the gateway.
    pub fn tiers(&self) -> TierStatus {
        let shares: Vec<ShareTierStatus> = self.shares().iter().map(|live| self.share_tiers(live)).collect();
        let cache = self.cache.stats();
        let pressure = self.pressure.status();
        TierStatus {
            occupancy: pressure.occupancy,
            journal_bytes: pressure.journal_bytes,
            hot_bytes: cache.hot_bytes,
            hot_hits: cache.hot_hits,
            hot_misses: cache.hot_misses,
            warm_bytes: cache.warm_capacity,
            warm_hits: cache.warm_hits,
            warm_misses: cache.warm_misses,
            cache_drops: cache.dropped_queue + cache.dropped_engine,
            shares,
        }
    }

    /// Sets the gauges that are read, not counted, before a scrape.
    pub fn export_gauges(&self) {
        let tiers = self.tiers();
        for share in &tiers.shares {
            let name = || share.share.clone();
            metrics::gauge!("dfs_server_dirty_bytes", "share" => name()).set(share.dirty_bytes as f64);
            metrics::gauge!("dfs_server_oldest_undurable_seconds", "share" => name())
                .set(share.oldest_undurable_seconds.unwrap_or(0.0));
            metrics::gauge!("dfs_server_oldest_unplaced_seconds", "share" => name())
                .set(share.oldest_unplaced_seconds.unwrap_or(0.0));
        }
        metrics::gauge!("dfs_server_occupancy_ratio").set(tiers.occupancy);
        for live in self.shares() {
            live.engine.export_metrics(&live.config.name);
        }
    }
}

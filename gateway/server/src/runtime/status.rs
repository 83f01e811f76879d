//! What is told of the tiers, to REST and to Prometheus.

use super::{FailedShare, LiveShare, Runtime};
use dfs_api::{AtRisk, ShareTierStatus, TierStatus};
use dfs_journal::Journal;
use std::time::Duration;

/// Least ages of the bands of dirty data: what waits for `flush.after`, what is late, what an outage left.
const BANDS: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(600), Duration::from_secs(3600)];

fn at_risk(journal: &Journal) -> Vec<AtRisk> {
    let bands = BANDS.iter().zip(journal.ages(&BANDS));
    bands
        .map(|(least, band)| AtRisk {
            older_than_seconds: least.as_secs(),
            bytes: band.bytes,
            files: band.inodes,
        })
        .collect()
}

impl Runtime {
    /// The tiers of one share.
    pub fn share_tiers(&self, live: &LiveShare) -> ShareTierStatus {
        let tiers = live.engine.stack().status();
        let journal = live.engine.journal();
        let stats = journal.stats();
        let cold = self
            .state
            .read()
            .cold
            .get(&live.config.cold)
            .map_or_else(|| "missing".to_owned(), |cold| cold.health());
        let seconds = |age: Option<Duration>| age.map(|age| age.as_secs_f64());
        ShareTierStatus {
            share: live.config.name.clone(),
            state: self.share_state(live),
            durability: live.engine.settings().class.as_str().to_owned(),
            dirty_bytes: tiers.dirty_bytes,
            dirty_inodes: tiers.dirty_inodes,
            stranded_bytes: 0,
            at_risk: at_risk(journal),
            oldest_undurable_seconds: seconds(stats.oldest_undurable_age),
            oldest_unplaced_seconds: seconds(tiers.oldest_unplaced),
            held: tiers.held,
            uploads_in_flight: tiers.uploads_in_flight as u64,
            uploads: tiers.packs_uploaded,
            uploaded_bytes: tiers.bytes_uploaded,
            uploads_failed: tiers.uploads_failed,
            fetched_bytes: tiers.bytes_fetched,
            blocks_hot: tiers.served.hot,
            blocks_warm: tiers.served.warm,
            blocks_cold: tiers.served.cold,
            placed_bytes: tiers.packs.referred_bytes,
            cold,
            cold_down_seconds: seconds(tiers.cold_down_for),
            last_error: tiers.stopped.or(tiers.cold_permanent).or(tiers.last_error),
        }
    }

    /// A share that is not open: nothing of its journal is known beyond that it is there.
    fn failed_tiers(&self, failed: &FailedShare) -> ShareTierStatus {
        let state = self.state.read();
        let cold = match (state.cold.get(&failed.config.cold), state.cold_failed.get(&failed.config.cold)) {
            (Some(live), _) => live.health(),
            (None, Some((_, why))) => format!("failed: {why}"),
            (None, None) => "missing".to_owned(),
        };
        ShareTierStatus {
            share: failed.config.name.clone(),
            state: failed.state(),
            durability: format!("{:?}", failed.config.durability).to_lowercase(),
            stranded_bytes: failed.stranded().bytes,
            cold,
            ..ShareTierStatus::default()
        }
    }

    /// The tiers of the gateway.
    pub fn tiers(&self) -> TierStatus {
        let mut shares: Vec<ShareTierStatus> =
            self.shares().iter().map(|live| self.share_tiers(live)).collect();
        shares.extend(self.failed().iter().map(|failed| self.failed_tiers(failed)));
        shares.sort_by(|a, b| a.share.cmp(&b.share));
        let cache = self.cache.stats();
        let pressure = self.pressure.status();
        TierStatus {
            occupancy: pressure.occupancy,
            journal_bytes: pressure.journal_bytes,
            drain_bytes_per_second: pressure.drain_bytes_per_second,
            hot_bytes: cache.hot_bytes,
            hot_capacity_bytes: cache.hot_capacity,
            hot_hits: cache.hot_hits,
            hot_misses: cache.hot_misses,
            warm_bytes: cache.warm_capacity,
            warm_allocated_bytes: cache.warm_allocated,
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
            let open = share.state.starts_with("serving") || share.state.starts_with("read-only");
            metrics::gauge!("dfs_server_share_open_flag", "share" => name()).set(f64::from(u8::from(open)));
            metrics::gauge!("dfs_server_dirty_bytes", "share" => name()).set(share.dirty_bytes as f64);
            metrics::gauge!("dfs_server_held_files_number", "share" => name()).set(share.held.len() as f64);
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

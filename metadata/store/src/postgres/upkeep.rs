//! Housekeeping off every request's path: folds deltas into totals, deletes rows of deleted shares, old outcomes, unused ACLs.
//!
//! Several gateways may do it at once: rows that another works on are skipped. *A crash* leaves some of it to the next round.

use super::Inner;
use super::call::Effect;
use super::rows::Columns;
use super::sql::Query;
use super::values::Uuid;
use crate::StoreResult;
use std::sync::Weak;
use std::time::Duration;

/// Pause between rounds.
const EVERY: Duration = Duration::from_secs(2);
/// Rounds between looks for old outcomes, and for ACLs that nobody names.
const OUTCOMES_EVERY: u64 = 30;
const ACLS_EVERY: u64 = 1800;
/// Rows that one transaction takes.
const ROWS: i32 = 4096;

/// Works until the store is gone.
pub async fn run(store: Weak<Inner>) {
    for round in 1u64.. {
        tokio::time::sleep(EVERY).await;
        let Some(store) = store.upgrade() else { return };
        if let Err(error) = store.upkeep(round).await {
            tracing::debug!(%error, "housekeeping of the metadata database waits");
        }
    }
}

impl Inner {
    async fn upkeep(&self, round: u64) -> StoreResult<()> {
        self.fold_deltas().await?;
        self.finish_deletions().await?;
        if round.is_multiple_of(OUTCOMES_EVERY) {
            let now = self.config.clock.wall().secs;
            while self.count(Query::PruneReplays, &[&now, &ROWS]).await? >= i64::from(ROWS) {}
        }
        if round.is_multiple_of(ACLS_EVERY) {
            for share in self.shares(None).await? {
                self.count(Query::PruneAcls, &[&Uuid(share.share.0)]).await?;
            }
        }
        Ok(())
    }

    /// Folds every delta that is there.
    pub(super) async fn fold_deltas(&self) -> StoreResult<()> {
        while self.count(Query::Fold, &[&ROWS]).await? >= i64::from(ROWS) {}
        Ok(())
    }

    /// Deletes what is left of deleted shares.
    pub(super) async fn finish_deletions(&self) -> StoreResult<()> {
        loop {
            let rows = self.call(Query::DeleteSome, Effect::Changes, &[&ROWS]).await?.rows;
            let more = rows.first().map(|row| Columns::of(row).next::<bool>()).transpose()?;
            if more != Some(true) {
                return Ok(());
            }
        }
    }

    async fn count(&self, query: Query, params: &[super::values::Param<'_>]) -> StoreResult<i64> {
        let rows = self.call(query, Effect::Changes, params).await?.rows;
        rows.first().map_or(Ok(0), |row| Columns::of(row).next())
    }
}

//! Stored outcomes of name operations.

use super::Tx;
use super::tx::pre;
use crate::key::{Table, key, prefix_end};
use crate::rows::{damaged, replay};
use crate::{OpContext, ReplayOp, ReplayOutcome, RowChange, StoreError, StoreResult};
use dfs_model::{InodeId, ReplayKey, Timestamp};
use std::time::Duration;

/// How long an outcome answers repeats: well above the longest time that a client goes on resending.
pub const REPLAY_AGE_MAX: Duration = Duration::from_secs(600);

/// The stored outcome of an earlier operation.
pub fn replayed(tx: &Tx<'_>, replay_key: &ReplayKey) -> StoreResult<Option<ReplayOutcome>> {
    match tx.get(&replay::row_key(tx.share, replay_key))? {
        Some(bytes) => replay::decode(replay_key, &bytes).map_err(|error| damaged("replay", error)),
        None => Ok(None),
    }
}

/// Refuses an operation that was done before. *Errors:* [`StoreError::Replayed`].
pub(super) fn check(tx: &Tx<'_>, cx: &OpContext<'_>) -> StoreResult<()> {
    let Some(replay_key) = cx.replay else { return Ok(()) };
    match replayed(tx, replay_key)? {
        Some(outcome) if cx.now <= outcome.at.plus(REPLAY_AGE_MAX) => {
            Err(StoreError::Replayed(Box::new(outcome)))
        }
        _ => Ok(()),
    }
}

/// Stores the outcome of an operation in its transaction.
pub(super) fn store(
    tx: &mut Tx<'_>,
    cx: &OpContext<'_>,
    op: ReplayOp,
    inode: InodeId,
    dir: &RowChange,
    to_dir: Option<&RowChange>,
) {
    let Some(replay_key) = cx.replay else { return };
    let outcome = ReplayOutcome {
        op,
        inode,
        dir: dir.pre.id,
        dir_pre: pre(&dir.pre),
        to_dir: to_dir.map(|to| (to.pre.id, pre(&to.pre))),
        at: cx.now,
    };
    tx.put(replay::row_key(tx.share, replay_key), replay::encode(replay_key, &outcome));
}

/// Deletes outcomes older than [`REPLAY_AGE_MAX`], looking at `limit` rows from `after` on; answers where to go on.
pub fn prune_replays(
    tx: &mut Tx<'_>,
    now: Timestamp,
    after: Option<Vec<u8>>,
    limit: usize,
) -> StoreResult<Option<Vec<u8>>> {
    let prefix = key(tx.share, Table::Replay).done();
    let from = after.unwrap_or_else(|| prefix.clone());
    let (mut old, mut seen, mut next) = (Vec::new(), 0usize, None);
    tx.scan(&from, &prefix_end(&prefix), &mut |row_key, bytes| {
        if seen == limit {
            next = Some(row_key.to_vec());
            return Ok(false);
        }
        seen += 1;
        let outcome = replay::decode_any(bytes).map_err(|error| damaged("replay", error))?;
        if outcome.at.plus(REPLAY_AGE_MAX) < now {
            old.push(row_key.to_vec());
        }
        Ok(true)
    })?;
    old.into_iter().for_each(|row_key| tx.delete(row_key));
    Ok(next)
}

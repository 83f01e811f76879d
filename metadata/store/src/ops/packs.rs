//! The pack ledger: rows go `up → live → dead` and never back (JOURNAL P1, P2).

use super::Tx;
use crate::key::{self, Table, key, prefix_end};
use crate::rows::{PackLedgerRow, damaged};
use crate::{PackRow, PackState, StoreResult};
use bytes::Bytes;
use dfs_model::{Epoch, FsError, PackId, Timestamp};
use std::collections::BTreeMap;

/// Inserts a row `up`. *Errors:* [`FsError::Exists`] for an id that has a row: it was used before.
pub fn pack_begin(tx: &mut Tx<'_>, epoch: Epoch, pack: PackId, len: u64, now: Timestamp) -> StoreResult<()> {
    tx.fenced_head(epoch)?;
    if find(tx, pack)?.is_some() {
        return Err(FsError::Exists.into());
    }
    let row = PackRow { pack, state: PackState::Up, len, live_bytes: 0, since: now, epoch };
    put(tx, &PackLedgerRow { row, tail: Bytes::new() });
    Ok(())
}

/// Moves packs to `dead` where the rules allow; answers those that are dead now.
pub fn packs_bury(
    tx: &mut Tx<'_>,
    epoch: Epoch,
    packs: &[PackId],
    now: Timestamp,
) -> StoreResult<Vec<PackId>> {
    tx.fenced_head(epoch)?;
    let mut dead = Vec::new();
    for pack in packs {
        let Some(mut ledger) = find(tx, *pack)? else { continue };
        match ledger.row.state {
            PackState::Live if tx.has_any(&key::pack_refs(tx.share, *pack))? => continue,
            PackState::Up | PackState::Live => {
                ledger.row.state = PackState::Dead;
                ledger.row.since = now;
                put(tx, &ledger);
            }
            PackState::Dead => {}
        }
        dead.push(*pack);
    }
    Ok(dead)
}

/// Forgets dead packs; rows in other states stay.
pub fn packs_forget(tx: &mut Tx<'_>, epoch: Epoch, packs: &[PackId]) -> StoreResult<()> {
    tx.fenced_head(epoch)?;
    for pack in packs {
        if find(tx, *pack)?.is_some_and(|ledger| ledger.row.state == PackState::Dead) {
            tx.delete(key::pack(tx.share, *pack));
        }
    }
    Ok(())
}

/// Rows above `after` in order of id.
pub fn packs(tx: &Tx<'_>, after: Option<PackId>, limit: usize) -> StoreResult<Vec<PackRow>> {
    tx.head()?;
    let prefix = key(tx.share, Table::Pack).done();
    let from = match after {
        Some(PackId(u128::MAX)) => return Ok(Vec::new()),
        Some(PackId(after)) => key::pack(tx.share, PackId(after + 1)),
        None => prefix.clone(),
    };
    let mut rows = Vec::new();
    tx.scan(&from, &prefix_end(&prefix), &mut |row_key, bytes| {
        if rows.len() == limit {
            return Ok(false);
        }
        let id = row_key.get(key::PREFIX_LEN..).and_then(|id| <[u8; 16]>::try_from(id).ok());
        let pack = PackId(u128::from_be_bytes(id.ok_or_else(|| damaged("pack", "short key"))?));
        rows.push(decode(pack, bytes)?.row);
        Ok(true)
    })?;
    Ok(rows)
}

/// One row.
pub fn pack(tx: &Tx<'_>, pack: PackId) -> StoreResult<Option<PackRow>> {
    Ok(find(tx, pack)?.map(|ledger| ledger.row))
}

/// A pack's row with its tail.
pub(super) fn find(tx: &Tx<'_>, pack: PackId) -> StoreResult<Option<PackLedgerRow>> {
    match tx.get(&key::pack(tx.share, pack))? {
        Some(bytes) => decode(pack, &bytes).map(Some),
        None => Ok(None),
    }
}

/// Stores a pack's row.
pub(super) fn put(tx: &mut Tx<'_>, ledger: &PackLedgerRow) {
    tx.put(key::pack(tx.share, ledger.row.pack), ledger.encode());
}

/// Adds deltas to the live bytes of packs. A pack without a row is left alone: references decide, not this hint.
pub(super) fn adjust_live(tx: &mut Tx<'_>, deltas: &BTreeMap<PackId, i64>) -> StoreResult<()> {
    for (pack, delta) in deltas.iter().filter(|(_, delta)| **delta != 0) {
        if let Some(mut ledger) = find(tx, *pack)? {
            ledger.row.live_bytes = ledger.row.live_bytes.saturating_add_signed(*delta);
            put(tx, &ledger);
        }
    }
    Ok(())
}

fn decode(pack: PackId, bytes: &[u8]) -> StoreResult<PackLedgerRow> {
    PackLedgerRow::decode(pack, bytes).map_err(|error| damaged(&format!("pack {pack}"), error))
}

//! Snapshots of a share: taken and deleted with two rows, given back in bounded steps.
//!
//! What a deleted snapshot kept passes to the one before it, where that shows it, and dies else.

use super::as_of::AsOf;
use super::retain::{self, is_younger, run_of};
use super::{Tx, packs};
use crate::key::{self, PREFIX_LEN, Table, key, prefix_end, suffix_u64};
use crate::rows::damaged;
use crate::rows::share::SnapshotMark;
use crate::rows::snapshot::SnapshotRow;
use crate::{OpContext, SNAPSHOTS_MAX, Snapshot, SnapshotOrigin, StoreResult};
use bytes::Bytes;
use dfs_model::{Epoch, ExtentRun, FsError, InodeId, Name, PackId, SnapshotId};
use std::collections::BTreeMap;

/// Kept rows that one step gives back: its transaction stays far below a segment.
const ROWS_PER_STEP: usize = 1024;

/// Takes a snapshot: its row and the share's head, whatever the share holds.
pub fn snapshot_create(
    tx: &mut Tx<'_>,
    cx: &OpContext<'_>,
    name: &Name,
    origin: SnapshotOrigin,
) -> StoreResult<Snapshot> {
    let mut head = tx.fenced_head(cx.epoch)?;
    let all = rows(tx)?;
    let there = all.iter().filter(|row| !row.deleted);
    if there.clone().any(|row| row.snapshot.name == *name) {
        return Err(FsError::Exists.into());
    }
    let used_up = head.snapshots.last >= SnapshotId::MAX || head.next_inode >= InodeId::SNAPSHOT_LIMIT;
    if there.count() >= SNAPSHOTS_MAX || used_up {
        return Err(FsError::Limit.into());
    }
    let snapshot = Snapshot {
        id: SnapshotId(head.snapshots.last.0 + 1),
        name: name.clone(),
        origin,
        taken: cx.now,
        change: cx.changes.take(),
        inodes_below: head.next_inode,
    };
    head.snapshots =
        SnapshotMark { last: snapshot.id, newest: snapshot.id, inodes_below: snapshot.inodes_below };
    tx.put_head(&head);
    put(tx, &SnapshotRow { snapshot: snapshot.clone(), deleted: false, tail: Bytes::new() });
    Ok(snapshot)
}

/// Snapshots that are there, oldest first.
pub fn snapshots(tx: &Tx<'_>) -> StoreResult<Vec<Snapshot>> {
    tx.head()?;
    Ok(rows(tx)?.into_iter().filter(|row| !row.deleted).map(|row| row.snapshot).collect())
}

/// Takes a snapshot out of sight; [`snapshot_reap`] gives back what it kept. *Errors:* [`FsError::NotFound`].
pub fn snapshot_delete(tx: &mut Tx<'_>, epoch: Epoch, id: SnapshotId) -> StoreResult<()> {
    let mut head = tx.fenced_head(epoch)?;
    let mut found = row(tx, id)?.filter(|row| !row.deleted).ok_or(FsError::NotFound)?;
    found.deleted = true;
    put(tx, &found);
    let newest = snapshots(tx)?.pop();
    head.snapshots.newest = newest.as_ref().map_or(SnapshotId(0), |snapshot| snapshot.id);
    head.snapshots.inodes_below = newest.map_or(InodeId(0), |snapshot| snapshot.inodes_below);
    tx.put_head(&head);
    Ok(())
}

/// Whether anything is left of deleted snapshots.
pub fn has_deleted(tx: &Tx<'_>, epoch: Epoch) -> StoreResult<bool> {
    tx.fenced_head(epoch)?;
    Ok(rows(tx)?.iter().any(|row| row.deleted))
}

/// Gives back some of what deleted snapshots kept; `true`: nothing is left of them.
pub fn snapshot_reap(tx: &mut Tx<'_>, epoch: Epoch) -> StoreResult<bool> {
    tx.fenced_head(epoch)?;
    let all = rows(tx)?;
    let Some(gone) = all.iter().find(|row| row.deleted) else { return Ok(true) };
    let gone = gone.snapshot.id;
    let older = all.iter().rev().map(|row| (&row.snapshot, row.deleted));
    let heir = older.filter(|(older, deleted)| !deleted && older.id < gone).map(|(older, _)| older).next();
    let prefix = key(tx.share, Table::RetainedOf).u64(gone.0).done();
    let mut kept = Vec::new();
    tx.scan(&prefix, &prefix_end(&prefix), &mut |index, _| {
        let mut row_key = tx.share.0.to_be_bytes().to_vec();
        row_key.extend_from_slice(index.get(prefix.len()..).unwrap_or_default());
        kept.push(row_key);
        Ok(kept.len() < ROWS_PER_STEP)
    })?;
    if kept.is_empty() {
        tx.delete(key::snapshot(tx.share, gone));
        return Ok(all.iter().filter(|row| row.deleted).count() == 1);
    }
    let mut live: BTreeMap<PackId, i64> = BTreeMap::new();
    for row_key in kept {
        let bytes = tx.get(&key::retained(tx.share, &row_key, gone))?;
        let bytes = bytes.ok_or_else(|| damaged("retained row", "it is missing"))?;
        let value = retain::decode(&bytes)?;
        let passes = match heir {
            Some(heir) => {
                !is_younger(&row_key, heir.inodes_below) && tx.kept_for(&row_key, heir.id)? == Some(gone)
            }
            None => false,
        };
        tx.unkeep(&row_key, gone, value.as_ref())?;
        match heir {
            Some(heir) if passes => tx.keep(&row_key, heir.id, value.as_ref())?,
            _ => {
                if let Some(run) = run_of(&row_key, value.as_ref())? {
                    *live.entry(run.pack).or_default() -= run.stored_bytes() as i64;
                }
            }
        }
    }
    packs::adjust_live(tx, &live)?;
    Ok(false)
}

/// Bytes of data that rows kept for a snapshot refer to.
pub fn snapshot_bytes(tx: &Tx<'_>, id: SnapshotId) -> StoreResult<u64> {
    tx.head()?;
    let prefix = key(tx.share, Table::RetainedOf).u64(id.0).raw(&[Table::Extent as u8]).done();
    let mut keys = Vec::new();
    tx.scan(&prefix, &prefix_end(&prefix), &mut |index, _| {
        let mut row_key = tx.share.0.to_be_bytes().to_vec();
        row_key.extend_from_slice(index.get(PREFIX_LEN + 8..).unwrap_or_default());
        keys.push(row_key);
        Ok(true)
    })?;
    let mut bytes = 0u64;
    for row_key in keys {
        let Some(kept) = tx.get(&key::retained(tx.share, &row_key, id))? else { continue };
        bytes += run_of(&row_key, retain::decode(&kept)?.as_ref())?.map_or(0, |run: ExtentRun| run.len);
    }
    Ok(bytes)
}

/// The rows as of a snapshot. *Errors:* [`FsError::StaleHandle`] when it is not there.
pub fn as_of<'a>(tx: &'a Tx<'_>, id: SnapshotId) -> StoreResult<AsOf<'a>> {
    let found = row(tx, id)?.filter(|row| !row.deleted).ok_or(FsError::StaleHandle)?;
    Ok(AsOf::new(tx.view(), tx.share, id, found.snapshot.inodes_below))
}

fn row(tx: &Tx<'_>, id: SnapshotId) -> StoreResult<Option<SnapshotRow>> {
    let bytes = tx.get(&key::snapshot(tx.share, id))?;
    bytes.map(|bytes| decode(id, &bytes)).transpose()
}

fn rows(tx: &Tx<'_>) -> StoreResult<Vec<SnapshotRow>> {
    let prefix = key(tx.share, Table::Snapshot).done();
    let mut found = Vec::new();
    tx.scan(&prefix, &prefix_end(&prefix), &mut |row_key, bytes| {
        let id = suffix_u64(row_key, 0).ok_or_else(|| damaged("snapshot", "short key"))?;
        found.push(decode(SnapshotId(id), bytes)?);
        Ok(true)
    })?;
    Ok(found)
}

fn decode(id: SnapshotId, bytes: &Bytes) -> StoreResult<SnapshotRow> {
    SnapshotRow::decode(id, bytes).map_err(|error| damaged(&format!("snapshot {id}"), error))
}

fn put(tx: &mut Tx<'_>, row: &SnapshotRow) {
    tx.put(key::snapshot(tx.share, row.snapshot.id), row.encode());
}

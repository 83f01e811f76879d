//! `place`: dirty state becomes clean (JOURNAL §5.3).
//!
//! Per inode, in this order: map parts at and beyond `size_low` go (the file was that short once within the cut), zero
//! ranges are cleared, new extents take their ranges; what of an old run is covered is cut off and the rest stays. Every
//! extent row has exactly one row in `PackRef`, and each pack's live bytes move by what its rows gained and lost.

use super::attrs::without_set_id;
use super::{Tx, packs, usage};
use crate::key::{self, suffix_u64};
use crate::rows::{Head, InodeRow, damaged};
use crate::{PackState, PlaceInode, PlaceRequest, Placed, PlacedInode, StoreResult};
use dfs_log::Rule;
use dfs_model::extent::{BLOCK_LEN_MAX, BLOCKS_PER_RUN_MAX};
use dfs_model::inode::dos;
use dfs_model::{Epoch, ExtentRun, FsError, Identity, Inode, InodeId, InodeKind, PackId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Longest part of a file that one run covers.
const RUN_LEN_MAX: u64 = BLOCKS_PER_RUN_MAX as u64 * BLOCK_LEN_MAX as u64;

/// Places a whole request. *Errors:* [`FsError::Internal`] when a pack's row is not `up` (cut again under a new id);
/// [`FsError::InvalidArgument`] for extents that are not valid, not in order or not of the packs.
pub fn place(tx: &mut Tx<'_>, epoch: Epoch, request: &PlaceRequest) -> StoreResult<Placed> {
    let mut head = tx.fenced_head(epoch)?;
    check_shape(request)?;
    for pack in &request.packs {
        match packs::find(tx, *pack)? {
            Some(mut ledger) if ledger.row.state == PackState::Up => {
                ledger.row.state = PackState::Live;
                packs::put(tx, &ledger);
            }
            _ if tx.mutations.off(Rule::RowBeforeObject) => {}
            _ => return Err(FsError::Internal.into()),
        }
    }
    let mut live: BTreeMap<PackId, i64> = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(request.inodes.len());
    let mut held: HashMap<(Identity, Identity), i64> = HashMap::new();
    for part in &request.inodes {
        outcomes.push(place_inode(tx, &mut head, &mut live, &mut held, part)?);
    }
    for ((owner, group), bytes) in &held {
        usage::add(tx, (owner, group), *bytes, 0)?;
    }
    packs::adjust_live(tx, &live)?;
    tx.put_head(&head);
    Ok(Placed { inodes: outcomes })
}

/// *Errors:* [`FsError::InvalidArgument`] for extents that are not valid, not in order or not of the packs.
pub fn check_shape(request: &PlaceRequest) -> StoreResult<()> {
    for part in &request.inodes {
        let runs_ok = part
            .extents
            .iter()
            .all(|run| run.validate().is_ok() && request.packs.contains(&run.pack) && run.end() <= part.size);
        let apart = part.extents.iter().zip(part.extents.iter().skip(1)).all(|(a, b)| a.end() <= b.offset);
        let zeros_ok = part.zeros.iter().all(|(start, end)| start < end);
        if !runs_ok || !apart || !zeros_ok || part.from_seq > part.to_seq {
            return Err(FsError::InvalidArgument.into());
        }
    }
    Ok(())
}

fn place_inode(
    tx: &mut Tx<'_>,
    head: &mut Head,
    live: &mut BTreeMap<PackId, i64>,
    held: &mut HashMap<(Identity, Identity), i64>,
    part: &PlaceInode,
) -> StoreResult<PlacedInode> {
    let Some(mut row) = find_or_mutate(tx, part)? else { return Ok(PlacedInode::Absent) };
    if row.inode.kind != InodeKind::File {
        return Err(FsError::InvalidArgument.into());
    }
    if row.inode.flushed_seq != part.from_seq && !tx.mutations.off(Rule::PlaceComparesFrom) {
        return Ok(PlacedInode::OutOfOrder { flushed_seq: row.inode.flushed_seq });
    }
    let mut map = Map { inode: part.inode, live, bytes: 0 };
    // A file that was never placed has nothing to take out: one look instead of two for every range.
    if !overlapping(tx, part.inode, 0, u64::MAX, 1)?.is_empty() {
        map.clear(tx, part.size_low, u64::MAX)?;
        for (start, end) in &part.zeros {
            map.clear(tx, *start, *end)?;
        }
        for run in &part.extents {
            map.clear(tx, run.offset, run.end())?;
        }
    }
    for run in &part.extents {
        map.add(tx, run);
    }
    let delta = map.bytes;
    head.bytes = head.bytes.saturating_add_signed(delta);
    if delta != 0 {
        *held.entry((row.inode.owner.clone(), row.inode.group.clone())).or_default() += delta;
    }
    row.inode.allocated = row.inode.allocated.saturating_add_signed(delta);
    set_attributes(&mut row, part);
    tx.put_inode(&row);
    Ok(PlacedInode::Placed(Arc::new(row.inode)))
}

/// The inode's row; a place never makes one, unless a test dropped that rule.
fn find_or_mutate(tx: &Tx<'_>, part: &PlaceInode) -> StoreResult<Option<InodeRow>> {
    let found = tx.find_inode(part.inode)?;
    if found.is_some() || !tx.mutations.off(Rule::PlaceNeedsInode) {
        return Ok(found);
    }
    let mut row = tx.inode(InodeId::ROOT)?;
    row.inode.id = part.inode;
    row.inode.kind = InodeKind::File;
    row.inode.nlink = 1;
    row.inode.flushed_seq = part.from_seq;
    Ok(Some(row))
}

/// Size, times, numbers and flags of the cut.
fn set_attributes(row: &mut InodeRow, part: &PlaceInode) {
    let inode: &mut Inode = &mut row.inode;
    inode.size = part.size;
    if let Some(atime) = part.atime {
        inode.atime = atime;
    }
    if let Some(mtime) = part.mtime {
        inode.mtime = mtime;
    }
    inode.ctime = inode.ctime.max(part.ctime);
    inode.change = inode.change.max(part.change);
    if part.clear_suid.is_some_and(|change| change > inode.mode_change) {
        inode.mode = without_set_id(inode.mode);
    }
    if part.set_archive.is_some_and(|change| change > inode.dos_change) {
        inode.dos |= dos::ARCHIVE;
    }
    inode.flushed_seq = part.to_seq;
}

/// One file's map under change.
pub(super) struct Map<'a> {
    /// The file.
    pub inode: InodeId,
    /// Stored bytes that packs gained.
    pub live: &'a mut BTreeMap<PackId, i64>,
    /// Bytes of data gained.
    pub bytes: i64,
}

impl Map<'_> {
    /// Takes `[start, end)` out of the map.
    pub fn clear(&mut self, tx: &mut Tx<'_>, start: u64, end: u64) -> StoreResult<()> {
        if start >= end {
            return Ok(());
        }
        for run in overlapping(tx, self.inode, start, end, usize::MAX)? {
            self.drop_row(tx, &run);
            let (before, behind) = run.without(start, end);
            for rest in [before, behind].into_iter().flatten() {
                self.add(tx, &rest);
            }
        }
        Ok(())
    }

    fn drop_row(&mut self, tx: &mut Tx<'_>, run: &ExtentRun) {
        tx.delete(key::extent(tx.share, self.inode, run.offset));
        tx.delete(key::pack_ref(tx.share, run.pack, self.inode, run.offset));
        *self.live.entry(run.pack).or_default() -= run.stored_bytes() as i64;
        self.bytes -= run.len as i64;
    }

    /// Puts a run into the map, where nothing is.
    pub fn add(&mut self, tx: &mut Tx<'_>, run: &ExtentRun) {
        let mut bytes = Vec::new();
        run.encode(&mut bytes);
        tx.put(key::extent(tx.share, self.inode, run.offset), bytes.into());
        tx.put(key::pack_ref(tx.share, run.pack, self.inode, run.offset), bytes::Bytes::new());
        *self.live.entry(run.pack).or_default() += run.stored_bytes() as i64;
        self.bytes += run.len as i64;
    }
}

/// The runs that share a byte with `[start, end)`, in order, at most `limit`.
pub(super) fn overlapping(
    tx: &Tx<'_>,
    inode: InodeId,
    start: u64,
    end: u64,
    limit: usize,
) -> StoreResult<Vec<ExtentRun>> {
    let decode = |bytes: &[u8]| {
        ExtentRun::decode(bytes).map_err(|error| damaged(&format!("extent of inode {inode}"), error))
    };
    // A run that starts earlier than its longest length before `start` cannot reach it.
    let first = key::extent(tx.share, inode, start.saturating_sub(RUN_LEN_MAX));
    let from = key::extent(tx.share, inode, start);
    let mut runs = Vec::new();
    if first < from
        && let Some((_, bytes)) = tx.last(&first, &from)?
    {
        let run = decode(&bytes)?;
        if run.overlaps(start, end) && limit > 0 {
            runs.push(run);
        }
    }
    tx.scan(&from, &key::extent(tx.share, inode, end), &mut |row_key, bytes| {
        if runs.len() >= limit {
            return Ok(false);
        }
        let run = decode(bytes)?;
        if suffix_u64(row_key, 8) != Some(run.offset) {
            return Err(damaged(&format!("extent of inode {inode}"), "key and row name different offsets"));
        }
        runs.push(run);
        Ok(true)
    })?;
    Ok(runs)
}

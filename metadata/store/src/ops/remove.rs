//! `remove` and `reap`: the end of names and of inodes.

use super::tx::{Stamp, changed, mutable};
use super::{Tx, acl, replay, usage, xattr};
use crate::key::{self, Table, prefix_end, suffix_u64};
use crate::rows::{DentryRow, Head, InodeRow, damaged};
use crate::{
    Fate, OpContext, RemoveKind, RemoveRequest, Removed, ReplayOp, StoreError, StoreResult, Unlinked,
};
use bytes::Bytes;
use dfs_model::{Epoch, ExtentRun, FsError, InodeFlags, InodeId, PackId, access};
use std::collections::BTreeMap;

/// Extent rows that an unlink frees in its own transaction; an inode with more becomes an orphan for `reap`.
pub const EXTENTS_FREED_AT_ONCE: usize = 128;
/// Extent rows that one `reap` frees: its transaction stays far below a segment.
const EXTENTS_PER_REAP: usize = 2048;

/// Takes a name away.
pub fn remove(tx: &mut Tx<'_>, cx: &OpContext<'_>, request: &RemoveRequest) -> StoreResult<Removed> {
    let mut head = tx.fenced_head(cx.epoch)?;
    replay::check(tx, cx)?;
    let mut dir = tx.directory(request.dir)?;
    access::check(&dir.inode, cx.credentials, dfs_model::Rights::EXECUTE)?;
    let found = tx.find_dentry(request.dir, &request.name)?;
    let Some(DentryRow { dentry, .. }) = found else { return Err(FsError::NotFound.into()) };
    if request.expect.is_some_and(|expected| expected != dentry.inode) {
        return Err(StoreError::Raced);
    }
    let victim = tx.named_inode(dentry.inode)?;
    access::check_delete(&dir.inode, &victim.inode, cx.credentials)?;
    mutable(&dir.inode)?;
    mutable(&victim.inode)?;
    let is_dir = victim.inode.is_dir();
    match request.kind {
        RemoveKind::NonDirectory if is_dir => return Err(FsError::IsDirectory.into()),
        RemoveKind::Directory if !is_dir => return Err(FsError::NotDirectory.into()),
        _ => {}
    }
    if is_dir {
        require_empty(tx, victim.inode.id)?;
    }
    let stamp = Stamp::take(cx);
    let dir_pre = dir.inode.clone();
    tx.delete_dentry(&dentry);
    if is_dir {
        dir.inode.nlink = dir.inode.nlink.saturating_sub(1);
    }
    stamp.touch_entries(&mut dir.inode);
    tx.put_inode(&dir);
    let victim = unlink(tx, &mut head, victim, stamp, request.keep_orphan)?;
    let dir = changed(dir_pre, &dir.inode);
    replay::store(tx, cx, ReplayOp::Remove, dentry.inode, &dir, None);
    Ok(Removed { dir, victim, dentry })
}

/// *Errors:* [`FsError::NotEmpty`].
pub(super) fn require_empty(tx: &Tx<'_>, dir: InodeId) -> StoreResult<()> {
    let names = key::key(tx.share, Table::DirCookie).u64(dir.0).done();
    if tx.has_any(&names)? { Err(FsError::NotEmpty.into()) } else { Ok(()) }
}

/// Lowers an inode's link count after one of its names went, and frees or orphans it with the last one. Stores the head.
pub(super) fn unlink(
    tx: &mut Tx<'_>,
    head: &mut Head,
    mut victim: InodeRow,
    stamp: Stamp,
    keep_orphan: bool,
) -> StoreResult<Unlinked> {
    let pre = victim.inode.clone();
    victim.inode.nlink = match victim.inode.is_dir() {
        true => 0,
        false => victim.inode.nlink.saturating_sub(1),
    };
    stamp.touch(&mut victim.inode);
    let fate = if victim.inode.nlink > 0 {
        tx.put_inode(&victim);
        Fate::Linked
    } else if keep_orphan || !free_extents(tx, head, &mut victim, Free::AllOr(EXTENTS_FREED_AT_ONCE))? {
        victim.inode.flags = victim.inode.flags.with(InodeFlags::ORPHAN, true);
        tx.put_inode(&victim);
        tx.put(key::orphan(tx.share, victim.inode.id), Bytes::new());
        Fate::Orphan
    } else {
        free_inode(tx, head, &mut victim)?;
        Fate::Gone
    };
    tx.put_head(head);
    Ok(Unlinked { inode: changed(pre, &victim.inode), fate })
}

/// Frees an orphan with bounded work; `false`: more is left.
pub fn reap(tx: &mut Tx<'_>, epoch: Epoch, inode: InodeId) -> StoreResult<bool> {
    let mut head = tx.fenced_head(epoch)?;
    let Some(mut row) = tx.find_inode(inode)? else { return Ok(true) };
    if !row.inode.flags.has(InodeFlags::ORPHAN) {
        return Err(FsError::InvalidArgument.into());
    }
    let done = free_extents(tx, &mut head, &mut row, Free::Some(EXTENTS_PER_REAP))?;
    if done {
        free_inode(tx, &mut head, &mut row)?;
        tx.delete(key::orphan(tx.share, inode));
    } else {
        tx.put_inode(&row);
    }
    tx.put_head(&head);
    Ok(done)
}

/// Deletes an inode's row, whose names and extents are gone.
fn free_inode(tx: &mut Tx<'_>, head: &mut Head, row: &mut InodeRow) -> StoreResult<()> {
    let shown = row.inode.clone();
    acl::replace(tx, row, None)?;
    xattr::free(tx, &shown)?;
    row.inode = shown;
    tx.delete(key::inode(tx.share, row.inode.id));
    head.inodes = head.inodes.saturating_sub(1);
    usage::add(tx, (&row.inode.owner, &row.inode.group), 0, -1)?;
    Ok(())
}

/// How many extent rows to free.
#[derive(Clone, Copy)]
enum Free {
    /// All of them, or none where there are more.
    AllOr(usize),
    /// The first so many.
    Some(usize),
}

/// Deletes an inode's extent rows; answers whether none is left.
fn free_extents(tx: &mut Tx<'_>, head: &mut Head, row: &mut InodeRow, free: Free) -> StoreResult<bool> {
    let inode = row.inode.id;
    let (Free::AllOr(limit) | Free::Some(limit)) = free;
    let mut runs: Vec<(u64, ExtentRun)> = Vec::new();
    let prefix = key::key(tx.share, Table::Extent).u64(inode.0).done();
    tx.scan(&prefix, &prefix_end(&prefix), &mut |row_key, bytes| {
        let offset = suffix_u64(row_key, 8).ok_or_else(|| damaged("extent", "short key"))?;
        let run =
            ExtentRun::decode(bytes).map_err(|error| damaged(&format!("extent of inode {inode}"), error))?;
        runs.push((offset, run));
        Ok(runs.len() <= limit)
    })?;
    let all = runs.len() <= limit;
    if !all && matches!(free, Free::AllOr(_)) {
        return Ok(false);
    }
    let mut dead: BTreeMap<PackId, i64> = BTreeMap::new();
    let mut bytes = 0;
    for (offset, run) in runs.iter().take(limit) {
        tx.delete(key::extent(tx.share, inode, *offset));
        tx.delete(key::pack_ref(tx.share, run.pack, inode, *offset));
        *dead.entry(run.pack).or_default() -= run.stored_bytes() as i64;
        bytes += run.len;
    }
    super::packs::adjust_live(tx, &dead)?;
    head.bytes = head.bytes.saturating_sub(bytes);
    usage::add(tx, (&row.inode.owner, &row.inode.group), -i64::try_from(bytes).unwrap_or(i64::MAX), 0)?;
    row.inode.allocated = row.inode.allocated.saturating_sub(bytes);
    Ok(all)
}

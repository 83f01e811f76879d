//! Reads.

use super::Tx;
use super::place::overlapping;
use crate::key::{self, Table, key, prefix_end, suffix_u64};
use crate::rows::{DentryRow, damaged};
use crate::{Dentry, DirPage, ReadDirRequest, StateTable, StoreResult, Usage};
use bytes::Bytes;
use dfs_model::{Cookie, ExtentRun, Inode, InodeId, Name};
use std::sync::Arc;

/// A name with the inode it leads to.
type Found = Option<(Dentry, Arc<Inode>)>;

/// One inode.
pub fn inode(tx: &Tx<'_>, inode: InodeId) -> StoreResult<Option<Arc<Inode>>> {
    match tx.find_inode(inode)? {
        Some(row) => Ok(Some(Arc::new(row.inode))),
        None => tx.head().map(|_| None),
    }
}

/// Several inodes, in order.
pub fn inodes(tx: &Tx<'_>, inodes: &[InodeId]) -> StoreResult<Vec<Option<Arc<Inode>>>> {
    inodes.iter().map(|id| inode(tx, *id)).collect()
}

/// A name, exactly as spelled.
pub fn lookup(tx: &Tx<'_>, dir: InodeId, name: &Name) -> StoreResult<Found> {
    match tx.find_dentry(dir, name)? {
        Some(row) => {
            let inode = tx.named_inode(row.dentry.inode)?;
            Ok(Some((row.dentry, Arc::new(inode.inode))))
        }
        None => tx.head().map(|_| None),
    }
}

/// A name in any case: exact spelling first, then the lowest cookie.
pub fn lookup_fold(tx: &Tx<'_>, dir: InodeId, name: &Name) -> StoreResult<Found> {
    if let Some(found) = lookup(tx, dir, name)? {
        return Ok(Some(found));
    }
    let prefix = key::fold_prefix(tx.share, dir, &name.fold_key());
    let mut cookie = None;
    tx.scan(&prefix, &prefix_end(&prefix), &mut |row_key, _| {
        let tail = row_key.get(prefix.len()..).and_then(|tail| <[u8; 8]>::try_from(tail).ok());
        cookie = tail.map(|tail| Cookie(u64::from_be_bytes(tail)));
        Ok(false)
    })?;
    let Some(cookie) = cookie else { return Ok(None) };
    let row = by_cookie(tx, dir, cookie)?;
    let inode = tx.named_inode(row.dentry.inode)?;
    Ok(Some((row.dentry, Arc::new(inode.inode))))
}

fn by_cookie(tx: &Tx<'_>, dir: InodeId, cookie: Cookie) -> StoreResult<DentryRow> {
    let what = || format!("listing of directory {dir}");
    let bytes = tx.get(&key::dir_cookie(tx.share, dir, cookie))?;
    let bytes = bytes.ok_or_else(|| damaged(&what(), format!("cookie {cookie} is missing")))?;
    DentryRow::decode_by_cookie(dir, cookie, &bytes).map_err(|error| damaged(&what(), error))
}

/// A page of a directory in the order of cookies.
pub fn read_dir(tx: &Tx<'_>, request: &ReadDirRequest) -> StoreResult<DirPage> {
    // No name has a larger cookie; those that came after a snapshot have, and are not its.
    let up_to = request.up_to.min(tx.directory(request.dir)?.last_cookie);
    let start = Cookie(request.after.0.saturating_add(1));
    let from = key::dir_cookie(tx.share, request.dir, start);
    let to = match up_to.0.checked_add(1) {
        Some(end) => key::dir_cookie(tx.share, request.dir, Cookie(end)),
        None => prefix_end(&key(tx.share, Table::DirCookie).u64(request.dir.0).done()),
    };
    let (mut names, mut end) = (Vec::new(), true);
    tx.scan(&from, &to, &mut |row_key, bytes| {
        if names.len() == request.limit {
            end = false;
            return Ok(false);
        }
        let damage = |error: &dyn std::fmt::Display| damaged(&format!("listing of {}", request.dir), error);
        let cookie = suffix_u64(row_key, 8).ok_or_else(|| damage(&"short key"))?;
        let row = DentryRow::decode_by_cookie(request.dir, Cookie(cookie), bytes);
        names.push(row.map_err(|error| damage(&error))?.dentry);
        Ok(true)
    })?;
    let with_row = |dentry: Dentry| -> StoreResult<(Dentry, Option<Arc<Inode>>)> {
        let row = match request.rows {
            true => Some(Arc::new(tx.named_inode(dentry.inode)?.inode)),
            false => None,
        };
        Ok((dentry, row))
    };
    let entries = names.into_iter().map(with_row).collect::<StoreResult<Vec<_>>>()?;
    Ok(DirPage { entries, end })
}

/// The largest cookie the directory has given out; [`Cookie::DOT_DOT`] before the first name.
pub fn last_cookie(tx: &Tx<'_>, dir: InodeId) -> StoreResult<Cookie> {
    Ok(tx.directory(dir)?.last_cookie.max(Cookie::DOT_DOT))
}

/// Names that lead to an inode, at most `limit`.
pub fn names_of(tx: &Tx<'_>, inode: InodeId, limit: usize) -> StoreResult<Vec<(InodeId, Name)>> {
    tx.head()?;
    let prefix = key::reverse_prefix(tx.share, inode);
    let mut places = Vec::new();
    tx.scan(&prefix, &prefix_end(&prefix), &mut |row_key, _| {
        if places.len() == limit {
            return Ok(false);
        }
        let (dir, cookie) = (suffix_u64(row_key, 8), suffix_u64(row_key, 16));
        let (Some(dir), Some(cookie)) = (dir, cookie) else { return Err(damaged("name", "short key")) };
        places.push((InodeId(dir), Cookie(cookie)));
        Ok(true)
    })?;
    let name = |(dir, cookie): (InodeId, Cookie)| Ok((dir, by_cookie(tx, dir, cookie)?.dentry.name));
    places.into_iter().map(name).collect()
}

/// Extent runs that touch `[start, end)`, in order, at most `limit`.
pub fn extents(
    tx: &Tx<'_>,
    inode: InodeId,
    start: u64,
    end: u64,
    limit: usize,
) -> StoreResult<Vec<ExtentRun>> {
    if start >= end {
        return Ok(Vec::new());
    }
    overlapping(tx, inode, start, end, limit)
}

/// What the share holds.
pub fn usage(tx: &Tx<'_>) -> StoreResult<Usage> {
    let head = tx.head()?;
    Ok(Usage { bytes: head.bytes, inodes: head.inodes })
}

/// Orphans above `after`, at most `limit`.
pub fn orphans(tx: &Tx<'_>, after: InodeId, limit: usize) -> StoreResult<Vec<InodeId>> {
    tx.head()?;
    let from = key::orphan(tx.share, InodeId(after.0.saturating_add(1)));
    let prefix = key(tx.share, Table::Orphan).done();
    let mut found = Vec::new();
    tx.scan(&from, &prefix_end(&prefix), &mut |row_key, _| {
        if found.len() == limit {
            return Ok(false);
        }
        found.push(InodeId(suffix_u64(row_key, 0).ok_or_else(|| damaged("orphan", "short key"))?));
        Ok(true)
    })?;
    Ok(found)
}

/// Every row of a state table.
pub fn state_list(tx: &Tx<'_>, table: StateTable) -> StoreResult<Vec<(Bytes, Bytes)>> {
    tx.head()?;
    let prefix = key(tx.share, Table::State).raw(&[table as u8]).done();
    let mut rows = Vec::new();
    tx.scan(&prefix, &prefix_end(&prefix), &mut |row_key, value| {
        let name = row_key.get(prefix.len()..).unwrap_or_default();
        rows.push((Bytes::copy_from_slice(name), value.clone()));
        Ok(true)
    })?;
    Ok(rows)
}

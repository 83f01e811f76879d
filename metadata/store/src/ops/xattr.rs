//! Extended attributes: a row each, all of an inode's in one range. An inode without any is not looked up: its flag says so.
//! Row v1: version · the value.

use super::tx::{Stamp, changed, mutable};
use super::{Tx, replay};
use crate::key::{self, Table, key, prefix_end};
use crate::rows::damaged;
use crate::wire::Reader;
use crate::{OpContext, ReplayOp, RowChange, StoreResult, XattrSetRequest};
use bytes::Bytes;
use dfs_model::xattr::{self, Xattrs};
use dfs_model::{FsError, Inode, InodeFlags, InodeId, InodeKind, Rights, access};

const VERSION: u8 = 1;

/// Attributes of an inode: those named, or all where `names` is empty. Names that it lacks are left out.
pub fn xattrs(tx: &Tx<'_>, inode: InodeId, names: &[Bytes]) -> StoreResult<Vec<(Bytes, Bytes)>> {
    let row = tx.inode(inode)?;
    if !row.inode.flags.has(InodeFlags::HAS_XATTR) {
        return Ok(Vec::new());
    }
    if names.is_empty() {
        return Ok(all(tx, inode)?.into_iter().collect());
    }
    let one = |name: &Bytes| -> StoreResult<Option<(Bytes, Bytes)>> {
        let found = tx.get(&key::xattr(tx.share, inode, name))?;
        found.map(|bytes| Ok((name.clone(), value(inode, &bytes)?))).transpose()
    };
    names.iter().filter_map(|name| one(name).transpose()).collect()
}

/// Sets and ends attributes in one step. Tests WRITE_NAMED_ATTRS.
pub fn xattr_set(tx: &mut Tx<'_>, cx: &OpContext<'_>, request: &XattrSetRequest) -> StoreResult<RowChange> {
    tx.fenced_head(cx.epoch)?;
    replay::check(tx, cx)?;
    let mut row = tx.inode(request.inode)?;
    check_kind(&row.inode)?;
    access::check(&row.inode, cx.credentials, Rights::WRITE_NAMED_ATTRS)?;
    mutable(&row.inode)?;
    let old = match row.inode.flags.has(InodeFlags::HAS_XATTR) {
        true => all(tx, request.inode)?,
        false => Xattrs::new(),
    };
    let mut new = old.clone();
    xattr::change(&mut new, &request.values, request.mode, request.any_case)?;
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        tx.delete(key::xattr(tx.share, request.inode, name));
    }
    for (name, value) in new.iter().filter(|(name, value)| old.get(*name) != Some(value)) {
        let mut form = Vec::with_capacity(1 + value.len());
        form.push(VERSION);
        form.extend_from_slice(value);
        tx.put(key::xattr(tx.share, request.inode, name), form.into());
    }
    let pre = row.inode.clone();
    row.inode.flags = row.inode.flags.with(InodeFlags::HAS_XATTR, !new.is_empty());
    Stamp::take(cx).touch(&mut row.inode);
    tx.put_inode(&row);
    let change = changed(pre, &row.inode);
    replay::store(tx, cx, ReplayOp::SetAttr, request.inode, &change, None);
    Ok(change)
}

/// Deletes all attributes of an inode that goes.
pub(super) fn free(tx: &mut Tx<'_>, inode: &Inode) -> StoreResult<()> {
    if inode.flags.has(InodeFlags::HAS_XATTR) {
        for name in all(tx, inode.id)?.into_keys() {
            tx.delete(key::xattr(tx.share, inode.id, &name));
        }
    }
    Ok(())
}

/// Only files and directories have them (xattr(7)). *Errors:* [`FsError::NotPermitted`].
fn check_kind(inode: &Inode) -> StoreResult<()> {
    match inode.kind {
        InodeKind::File | InodeKind::Directory => Ok(()),
        _ => Err(FsError::NotPermitted.into()),
    }
}

fn all(tx: &Tx<'_>, inode: InodeId) -> StoreResult<Xattrs> {
    let prefix = key(tx.share, Table::Xattr).u64(inode.0).done();
    let mut found = Xattrs::new();
    tx.scan(&prefix, &prefix_end(&prefix), &mut |row_key, bytes| {
        let name = row_key.get(prefix.len()..).unwrap_or_default();
        found.insert(Bytes::copy_from_slice(name), value(inode, bytes)?);
        Ok(true)
    })?;
    Ok(found)
}

fn value(inode: InodeId, bytes: &[u8]) -> StoreResult<Bytes> {
    let reader = Reader::versioned(bytes, VERSION);
    Ok(reader.map_err(|error| damaged(&format!("extended attribute of inode {inode}"), error))?.tail())
}

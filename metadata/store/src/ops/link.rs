//! `link`: another name of an inode.

use super::create::LINKS_MAX;
use super::tx::{Stamp, changed, mutable};
use super::{Tx, replay};
use crate::rows::DentryRow;
use crate::{Dentry, LinkRequest, Linked, OpContext, ReplayOp, StoreResult};
use bytes::Bytes;
use dfs_model::{FsError, InodeFlags, Rights, access};

/// Adds a name to an inode that is not a directory.
pub fn link(tx: &mut Tx<'_>, cx: &OpContext<'_>, request: &LinkRequest) -> StoreResult<Linked> {
    tx.fenced_head(cx.epoch)?;
    replay::check(tx, cx)?;
    let mut target = tx.inode(request.inode)?;
    let mut dir = tx.directory(request.dir)?;
    access::check(&dir.inode, cx.credentials, Rights::EXECUTE)?;
    if tx.find_dentry(request.dir, &request.name)?.is_some() {
        return Err(FsError::Exists.into());
    }
    access::check(&dir.inode, cx.credentials, Rights::ADD_FILE)?;
    if target.inode.is_dir() {
        return Err(FsError::NotPermitted.into());
    }
    mutable(&dir.inode)?;
    mutable(&target.inode)?;
    let gone = |flags: InodeFlags| flags.has(InodeFlags::ORPHAN);
    if gone(target.inode.flags) || gone(dir.inode.flags) {
        return Err(FsError::NotFound.into());
    }
    if target.inode.flags.has(InodeFlags::DELETE_PENDING) {
        return Err(FsError::DeletePending.into());
    }
    if target.inode.nlink >= LINKS_MAX {
        return Err(FsError::TooManyLinks.into());
    }
    let stamp = Stamp::take(cx);
    let (target_pre, dir_pre) = (target.inode.clone(), dir.inode.clone());
    let dentry = Dentry {
        dir: request.dir,
        name: request.name.clone(),
        inode: request.inode,
        kind: target.inode.kind,
        cookie: Tx::next_cookie(&mut dir)?,
        born: stamp.change,
        delete_pending: false,
    };
    target.inode.nlink += 1;
    stamp.touch(&mut target.inode);
    stamp.touch_entries(&mut dir.inode);
    tx.put_inode(&target);
    tx.put_inode(&dir);
    let named = DentryRow { dentry, tail: Bytes::new() };
    tx.put_dentry(&named);
    let dir = changed(dir_pre, &dir.inode);
    replay::store(tx, cx, ReplayOp::Link, request.inode, &dir, None);
    Ok(Linked { inode: changed(target_pre, &target.inode), dir, dentry: named.dentry })
}

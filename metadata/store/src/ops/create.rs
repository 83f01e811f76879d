//! `create`: a new inode under a new name.

use super::tx::{Stamp, mutable, unchanged};
use super::{Tx, acl, replay, usage};
use crate::rows::identity::storable;
use crate::rows::{DentryRow, InodeRow};
use crate::{CreateMode, CreateRequest, Created, Dentry, OpContext, ReplayOp, StoreResult};
use bytes::Bytes;
use dfs_log::Rule;
use dfs_model::acl::Heir;
use dfs_model::acl::apply::{self, Newborn};
use dfs_model::inode::{dos, mode};
use dfs_model::{
    AclMode, AclRef, Cookie, FsError, Identity, Inode, InodeFlags, InodeId, InodeKind, Rights, Seq, access,
};

/// Most names of an inode, and most subdirectories of a directory: what fits a signed 32-bit link count.
pub const LINKS_MAX: u32 = i32::MAX as u32;
/// Longest target of a symlink: what every client's path buffer holds.
pub const LINK_TARGET_MAX: usize = 4095;

/// Makes an inode under a name, or answers the one that is there (`existed`).
pub fn create(tx: &mut Tx<'_>, cx: &OpContext<'_>, request: &CreateRequest) -> StoreResult<Created> {
    let mut head = tx.fenced_head(cx.epoch)?;
    replay::check(tx, cx)?;
    let mut dir = tx.directory(request.dir)?;
    access::check(&dir.inode, cx.credentials, Rights::EXECUTE)?;
    if let Some(there) = tx.find_dentry(request.dir, &request.name)? {
        return existing(tx, request, &dir, &there);
    }
    let is_dir = request.kind == InodeKind::Directory;
    let right = if is_dir { Rights::ADD_SUBDIRECTORY } else { Rights::ADD_FILE };
    access::check(&dir.inode, cx.credentials, right)?;
    mutable(&dir.inode)?;
    if dir.inode.flags.has(InodeFlags::ORPHAN) {
        return Err(FsError::NotFound.into());
    }
    if head.next_inode >= InodeId::LIMIT {
        return Err(FsError::NoSpace.into());
    }
    let stamp = Stamp::take(cx);
    let dir_pre = dir.inode.clone();
    let mut row = newborn(tx, cx, request, &dir.inode, head.next_inode, stamp)?;
    row.inode.generation = head.incarnation;
    head.next_inode = InodeId(head.next_inode.0 + 1);
    head.inodes += 1;
    usage::add(tx, (&row.inode.owner, &row.inode.group), 0, 1)?;
    if is_dir {
        if dir.inode.nlink >= LINKS_MAX {
            return Err(FsError::TooManyLinks.into());
        }
        dir.inode.nlink += 1;
    }
    let dentry = Dentry {
        dir: request.dir,
        name: request.name.clone(),
        inode: row.inode.id,
        kind: request.kind,
        cookie: Tx::next_cookie(&mut dir)?,
        born: stamp.change,
        delete_pending: false,
    };
    stamp.touch_entries(&mut dir.inode);
    tx.put_head(&head);
    tx.put_inode(&dir);
    tx.put_inode(&row);
    let named = DentryRow { dentry, tail: Bytes::new() };
    tx.put_dentry(&named);
    let dir = super::tx::changed(dir_pre, &dir.inode);
    replay::store(tx, cx, ReplayOp::Create, row.inode.id, &dir, None);
    Ok(Created { inode: row.inode.into(), dentry: named.dentry, existed: false, dir })
}

/// The answer for a name that is there already.
fn existing(tx: &Tx<'_>, request: &CreateRequest, dir: &InodeRow, there: &DentryRow) -> StoreResult<Created> {
    if there.dentry.delete_pending {
        return Err(FsError::DeletePending.into());
    }
    let row = tx.named_inode(there.dentry.inode)?;
    let both_files = request.kind == InodeKind::File && row.inode.kind == InodeKind::File;
    let same = match request.mode {
        CreateMode::Guarded => false,
        CreateMode::Unchecked => both_files,
        CreateMode::Exclusive(verifier) => both_files && row.inode.create_verifier == Some(verifier),
    };
    if !same {
        return Err(FsError::Exists.into());
    }
    let dir = unchanged(&dir.inode);
    Ok(Created { inode: row.inode.into(), dentry: there.dentry.clone(), existed: true, dir })
}

/// The row of the new inode.
fn newborn(
    tx: &mut Tx<'_>,
    cx: &OpContext<'_>,
    request: &CreateRequest,
    dir: &Inode,
    id: InodeId,
    stamp: Stamp,
) -> StoreResult<InodeRow> {
    let kind = request.kind;
    kind_rules(cx, request)?;
    let (owner, group) = ownership(cx, request, dir)?;
    let (bits, list) = initial_mode(tx, cx, request, dir, (&owner, &group))?;
    let patch = &request.attrs;
    let is_dir = kind == InodeKind::Directory;
    let now = stamp.now;
    let verifier = match request.mode {
        CreateMode::Exclusive(verifier) => Some(verifier),
        _ => None,
    };
    let born_seq = if tx.mutations.off(Rule::BirthFlushedSeq) { Seq::ZERO } else { cx.born_seq };
    let inode = Inode {
        id,
        generation: dfs_model::Generation(0),
        kind,
        mode: bits,
        nlink: if is_dir { 2 } else { 1 },
        owner,
        group,
        size: request.link_target.as_ref().map_or(0, |target| target.len() as u64),
        allocated: 0,
        atime: patch.atime.resolve(now).unwrap_or(now),
        mtime: patch.mtime.resolve(now).unwrap_or(now),
        ctime: now,
        btime: patch.btime.resolve(now).unwrap_or(now),
        change: stamp.change,
        born: stamp.change,
        dos: patch.dos.as_set().copied().unwrap_or(if kind == InodeKind::File { dos::ARCHIVE } else { 0 }),
        create_verifier: verifier,
        acl: None,
        parent: if is_dir { dir.id } else { InodeId(0) },
        flags: InodeFlags::default().with(InodeFlags::DOS_EXPLICIT, !patch.dos.is_keep()),
        link_target: request.link_target.clone(),
        device: request.device,
        flushed_seq: born_seq,
        mode_change: stamp.change,
        dos_change: stamp.change,
    };
    let mut row = InodeRow { inode, acl_hash: None, last_cookie: Cookie(0), tail: Bytes::new() };
    acl::replace(tx, &mut row, list)?;
    Ok(row)
}

/// What each kind needs. *Errors:* [`FsError::InvalidArgument`], [`FsError::NameTooLong`] for a link target,
/// [`FsError::NotPermitted`] for a device node made by anybody but the superuser.
pub fn kind_rules(cx: &OpContext<'_>, request: &CreateRequest) -> StoreResult<()> {
    match (request.kind, &request.link_target) {
        (InodeKind::Symlink, Some(target)) if target.len() > LINK_TARGET_MAX => {
            Err(FsError::NameTooLong.into())
        }
        (InodeKind::Symlink, Some(target)) if target.is_empty() => Err(FsError::InvalidArgument.into()),
        (InodeKind::Symlink, Some(_)) => Ok(()),
        (InodeKind::Symlink, None) | (_, Some(_)) => Err(FsError::InvalidArgument.into()),
        (InodeKind::BlockDevice | InodeKind::CharDevice, None) if !cx.credentials.is_root() => {
            Err(FsError::NotPermitted.into())
        }
        _ => Ok(()),
    }
}

/// Owner and group of the new inode. *Errors:* [`FsError::NotPermitted`] where chown would be refused,
/// [`FsError::InvalidOwner`].
fn ownership(cx: &OpContext<'_>, request: &CreateRequest, dir: &Inode) -> StoreResult<(Identity, Identity)> {
    let who = cx.credentials;
    let own = Identity::Uid(who.uid);
    let owner = request.attrs.owner.as_set().cloned().unwrap_or_else(|| own.clone());
    if owner != own && !who.is_root() {
        return Err(FsError::NotPermitted.into());
    }
    let inherited = if dir.mode & mode::SGID != 0 { dir.group.clone() } else { Identity::Gid(who.gid) };
    let group = request.attrs.group.as_set().cloned().unwrap_or_else(|| inherited.clone());
    let member = matches!(group, Identity::Gid(gid) if who.in_group(gid));
    if group != inherited && !member && !who.is_root() {
        return Err(FsError::NotPermitted.into());
    }
    if !storable(&owner) || !storable(&group) {
        return Err(FsError::InvalidOwner.into());
    }
    Ok((owner, group))
}

/// Mode and ACL of the new inode. *Errors:* [`FsError::InvalidArgument`], [`FsError::PrivilegeNotHeld`] for the ACL.
fn initial_mode(
    tx: &Tx<'_>,
    cx: &OpContext<'_>,
    request: &CreateRequest,
    dir: &Inode,
    (owner, group): (&Identity, &Identity),
) -> StoreResult<(u16, Option<AclRef>)> {
    let is_dir = request.kind == InodeKind::Directory;
    if let Some(new) = request.attrs.acl.as_set() {
        acl::check_audit(None, new, cx.credentials)?;
    }
    let how = if dir.acl.is_some() { acl::mode_of_share(tx)? } else { AclMode::default() };
    let new = Newborn {
        kind: request.kind,
        heir: Heir { is_dir, owner, group },
        parent: dir.acl.as_ref(),
        asked: &request.attrs,
        default_mode: if is_dir { 0o755 } else { 0o644 },
        umask: cx.credentials.umask.unwrap_or(0),
    };
    let (mut bits, list) = apply::newborn(new, how)?;
    if request.kind == InodeKind::Symlink {
        return Ok((bits, list));
    }
    let member = matches!(group, Identity::Gid(gid) if cx.credentials.in_group(*gid));
    if !is_dir && !member && !cx.credentials.is_root() {
        bits &= !mode::SGID;
    }
    if is_dir && dir.mode & mode::SGID != 0 {
        bits |= mode::SGID;
    }
    Ok((bits, list))
}

//! `set_attr`: explicit changes of attributes that are not journal records (mode, owner, group, ACL, DOS bits, birth time,
//! and times of what is not a regular file).

use super::tx::{Stamp, changed, mutable, unchanged};
use super::{Tx, acl, replay, usage};
use crate::rows::identity::storable;
use crate::{OpContext, ReplayOp, RowChange, SetAttrRequest, StoreResult};
use dfs_model::acl::apply::changed as changed_list;
use dfs_model::inode::{dos, mode};
use dfs_model::{
    AclMode, AttrPatch, Credentials, FsError, Guard, Identity, Inode, InodeFlags, InodeKind, Rights,
    ShareCeiling, TimePatch, Timestamp, access,
};

/// DOS bits that a client may set (SEAM §3.1).
pub const DOS_SETTABLE: u32 = dos::READONLY
    | dos::HIDDEN
    | dos::SYSTEM
    | dos::ARCHIVE
    | 0x100
    | 0x200
    | 0x1000
    | 0x2000
    | 0x8_0000
    | 0x10_0000;

/// Changes attributes after testing who may change which.
pub fn set_attr(tx: &mut Tx<'_>, cx: &OpContext<'_>, request: &SetAttrRequest) -> StoreResult<RowChange> {
    tx.fenced_head(cx.epoch)?;
    replay::check(tx, cx)?;
    let mut row = tx.inode(request.inode)?;
    check_guard(&row.inode, request.guard)?;
    let patch = &request.patch;
    check_shape(&row.inode, patch)?;
    if nothing_to_set(patch) {
        return Ok(unchanged(&row.inode));
    }
    writable(cx.credentials)?;
    mutable(&row.inode)?;
    check_rights(&row.inode, patch, cx.credentials)?;
    let stamp = Stamp::take(cx);
    let pre = row.inode.clone();
    let touched = row.inode.acl.is_some() && !patch.mode.is_keep();
    let how = if touched { acl::mode_of_share(tx)? } else { AclMode::default() };
    let (bits, list) = changed_list(&row.inode, patch, how)?;
    acl::replace(tx, &mut row, list)?;
    apply(&mut row.inode, patch, bits, cx.credentials, stamp);
    move_usage(tx, &pre, &row.inode)?;
    tx.put_inode(&row);
    let change = changed(pre, &row.inode);
    replay::store(tx, cx, ReplayOp::SetAttr, request.inode, &change, None);
    Ok(change)
}

/// What an inode holds follows it to its new owner and group.
fn move_usage(tx: &mut Tx<'_>, pre: &Inode, post: &Inode) -> StoreResult<()> {
    if pre.owner == post.owner && pre.group == post.group {
        return Ok(());
    }
    let bytes = i64::try_from(post.allocated).unwrap_or(i64::MAX);
    usage::add(tx, (&pre.owner, &pre.group), -bytes, -1)?;
    usage::add(tx, (&post.owner, &post.group), bytes, 1)
}

/// *Errors:* [`FsError::GuardMismatch`].
fn check_guard(inode: &Inode, guard: Guard) -> StoreResult<()> {
    let holds = match guard {
        Guard::None => true,
        Guard::Change(change) => change == inode.change,
        Guard::CtimeAs3(secs, nanos) => {
            let shown = inode.ctime.secs.clamp(0, i64::from(u32::MAX));
            shown == i64::from(secs) && inode.ctime.nanos == nanos
        }
    };
    if holds { Ok(()) } else { Err(FsError::GuardMismatch.into()) }
}

/// *Errors:* [`FsError::InvalidArgument`] for what is a journal record; [`FsError::InvalidOwner`].
fn check_shape(inode: &Inode, patch: &AttrPatch) -> StoreResult<()> {
    let times_kept = patch.atime.is_keep() && patch.mtime.is_keep();
    if !patch.size.is_keep() || (inode.kind == InodeKind::File && !times_kept) {
        return Err(FsError::InvalidArgument.into());
    }
    let identities = [patch.owner.as_set(), patch.group.as_set()];
    if !identities.into_iter().flatten().all(storable) {
        return Err(FsError::InvalidOwner.into());
    }
    if patch.dos.as_set().is_some_and(|bits| bits & !DOS_SETTABLE != 0) {
        return Err(FsError::InvalidArgument.into());
    }
    Ok(())
}

fn nothing_to_set(patch: &AttrPatch) -> bool {
    let times = [patch.atime, patch.mtime, patch.btime];
    let no_times = times.iter().all(|time| time.resolve(Timestamp::EPOCH).is_none());
    let no_owner = patch.owner.is_keep() && patch.group.is_keep() && patch.acl.is_keep();
    no_times && no_owner && patch.mode.is_keep() && patch.dos.is_keep()
}

/// *Errors:* [`FsError::ReadOnlyShare`], [`FsError::AccessDenied`] where the share's ceiling is in the way.
fn writable(who: &Credentials) -> StoreResult<()> {
    match who.ceiling {
        ShareCeiling::None => Err(FsError::AccessDenied.into()),
        ShareCeiling::ReadOnly => Err(FsError::ReadOnlyShare.into()),
        ShareCeiling::ReadWrite | ShareCeiling::Admin => Ok(()),
    }
}

fn check_rights(inode: &Inode, patch: &AttrPatch, who: &Credentials) -> StoreResult<()> {
    if !patch.mode.is_keep() || !patch.acl.is_keep() {
        access::check_chmod(inode, who)?;
    }
    access::check_chown(inode, who, patch.owner.as_set(), patch.group.as_set())?;
    if let Some(new) = patch.acl.as_set() {
        acl::check_audit(inode.acl.as_deref(), new, who)?;
    }
    let attributes = !patch.dos.is_keep() || !patch.btime.is_keep();
    let may = access::is_owner(inode, who) || access::granted(inode, who).has(Rights::WRITE_ATTRIBUTES);
    if attributes && !may {
        return Err(FsError::AccessDenied.into());
    }
    let times = [patch.atime, patch.mtime];
    if times.iter().all(|time| time.resolve(Timestamp::EPOCH).is_none()) {
        return Ok(());
    }
    let explicit = times.iter().any(|time| matches!(time, TimePatch::Set(_)));
    Ok(access::check_times(inode, who, explicit)?)
}

/// Applies all of a patch but the ACL; `bits` is the mode that goes with it.
fn apply(inode: &mut Inode, patch: &AttrPatch, bits: u16, who: &Credentials, stamp: Stamp) {
    inode.mode = bits;
    let chown = !patch.owner.is_keep() || !patch.group.is_keep();
    if let Some(new) = patch.owner.as_set() {
        inode.owner = new.clone();
    }
    if let Some(new) = patch.group.as_set() {
        inode.group = new.clone();
    }
    if chown && !inode.is_dir() {
        inode.mode = without_set_id(inode.mode);
    }
    let member = matches!(inode.group, Identity::Gid(gid) if who.in_group(gid));
    let bits_set = !patch.mode.is_keep() || !patch.acl.is_keep();
    if bits_set && !member && !who.is_root() {
        inode.mode &= !mode::SGID;
    }
    if let Some(bits) = patch.dos.as_set() {
        inode.dos = *bits;
        inode.flags = inode.flags.with(InodeFlags::DOS_EXPLICIT, true);
        inode.dos_change = stamp.change;
    }
    for (field, time) in
        [(&mut inode.atime, patch.atime), (&mut inode.mtime, patch.mtime), (&mut inode.btime, patch.btime)]
    {
        if let Some(at) = time.resolve(stamp.now) {
            *field = at;
        }
    }
    if bits_set || chown {
        inode.mode_change = stamp.change;
    }
    inode.create_verifier = None;
    stamp.touch(inode);
}

/// The mode after something that revokes set-id bits: SUID always, SGID where the group may execute (without that bit it
/// once meant mandatory locking and stays).
pub(super) fn without_set_id(bits: u16) -> u16 {
    let bits = bits & !mode::SUID;
    if bits & 0o010 != 0 { bits & !mode::SGID } else { bits }
}

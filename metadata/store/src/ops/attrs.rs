//! `set_attr`: explicit changes of attributes that are not journal records (mode, owner, group, ACL, DOS bits, birth time,
//! and times of what is not a regular file).

use super::tx::{Stamp, changed, mutable, unchanged};
use super::{Tx, acl, replay};
use crate::rows::identity::storable;
use crate::{OpContext, ReplayOp, RowChange, SetAttrRequest, StoreResult};
use dfs_model::inode::{dos, mode};
use dfs_model::{
    AttrPatch, Credentials, FsError, Guard, Identity, Inode, InodeFlags, InodeKind, Rights, ShareCeiling,
    TimePatch, Timestamp, access,
};

/// DOS bits that a client may set (SEAM §3.1).
const DOS_SETTABLE: u32 = dos::READONLY
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
    if let Some(new) = patch.acl.as_set() {
        acl::replace(tx, &mut row, Some(new.clone()))?;
        row.inode.flags = row.inode.flags.with(InodeFlags::HAS_ACL, true);
        row.inode.mode = (row.inode.mode & !0o777) | mode_of_acl(&row.inode);
    }
    apply(&mut row.inode, patch, cx.credentials, stamp);
    tx.put_inode(&row);
    let change = changed(pre, &row.inode);
    replay::store(tx, cx, ReplayOp::SetAttr, request.inode, &change, None);
    Ok(change)
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

/// *Errors:* [`FsError::InvalidArgument`] for what is a journal record; [`FsError::InvalidOwner`];
/// [`FsError::NotSupported`] for a chmod of an inode that has an ACL (the share's `acl_mode` comes with SMB and NFSv4).
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
    if !patch.mode.is_keep() && inode.acl.is_some() && patch.acl.is_keep() {
        return Err(FsError::NotSupported.into());
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
    let owner = access::is_owner(inode, who);
    let refused = Err(FsError::NotPermitted.into());
    if !patch.mode.is_keep() && !owner && !access::granted(inode, who).has(Rights::WRITE_ACL) {
        return refused;
    }
    if !patch.acl.is_keep() && !owner && !access::granted(inode, who).has(Rights::WRITE_ACL) {
        return refused;
    }
    if let Some(new) = patch.owner.as_set() {
        let takes = who.privileges.take_ownership && *new == Identity::Uid(who.uid);
        let unchanged = owner && *new == inode.owner;
        if !(who.is_root() || takes || unchanged) {
            return refused;
        }
    }
    if let Some(new) = patch.group.as_set() {
        let member = *new == inode.group || matches!(new, Identity::Gid(gid) if who.in_group(*gid));
        let own = owner && member;
        if !(who.is_root() || own) {
            return refused;
        }
    }
    let attributes = !patch.dos.is_keep() || !patch.btime.is_keep();
    if attributes && !owner && !access::granted(inode, who).has(Rights::WRITE_ATTRIBUTES) {
        return Err(FsError::AccessDenied.into());
    }
    check_times(inode, patch, who, owner)
}

/// utimes: anybody who may write sets both times to now; other times are the owner's to set.
fn check_times(inode: &Inode, patch: &AttrPatch, who: &Credentials, owner: bool) -> StoreResult<()> {
    let times = [patch.atime, patch.mtime];
    if owner || times.iter().all(|time| time.resolve(Timestamp::EPOCH).is_none()) {
        return Ok(());
    }
    if times.iter().any(|time| matches!(time, TimePatch::Set(_))) {
        return match access::granted(inode, who).has(Rights::WRITE_ATTRIBUTES) {
            true => Ok(()),
            false => Err(FsError::NotPermitted.into()),
        };
    }
    Ok(access::check(inode, who, Rights::WRITE_DATA)?)
}

fn apply(inode: &mut Inode, patch: &AttrPatch, who: &Credentials, stamp: Stamp) {
    if let Some(new) = patch.mode.as_set() {
        let mask = patch.mode_mask.unwrap_or(mode::ALL) & mode::ALL;
        inode.mode = (inode.mode & !mask) | (new & mask);
    }
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
    if !patch.mode.is_keep() && !member && !who.is_root() {
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
    if !patch.mode.is_keep() || chown || !patch.acl.is_keep() {
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

/// The nine permission bits that an ACL gives owner, group and everybody else (RFC 8881 §6.4.1: read, write and execute
/// by the special subjects' entries, in order).
fn mode_of_acl(inode: &Inode) -> u16 {
    use dfs_model::{AceType, WellKnown};
    let Some(dacl) = inode.acl.as_ref().and_then(|acl| acl.dacl.as_ref()) else { return 0o777 };
    let bits_for = |class: Option<WellKnown>| -> u16 {
        let (mut allowed, mut denied) = (0u32, 0u32);
        for ace in dacl.iter().filter(|ace| ace.flags & 0x8 == 0) {
            let everyone = ace.who == Identity::WellKnown(WellKnown::Everyone);
            if !everyone && class.is_none_or(|class| ace.who != Identity::WellKnown(class)) {
                continue;
            }
            match ace.kind {
                AceType::Allow => allowed |= ace.mask & !denied,
                AceType::Deny => denied |= ace.mask & !allowed,
                AceType::Audit | AceType::Alarm => {}
            }
        }
        let has = |right: Rights| u16::from(allowed & right.0 == right.0);
        let write = Rights::WRITE_DATA.and(Rights::APPEND_DATA);
        (has(Rights::READ_DATA) << 2) | (has(write) << 1) | has(Rights::EXECUTE)
    };
    (bits_for(Some(WellKnown::Owner)) << 6) | (bits_for(Some(WellKnown::Group)) << 3) | bits_for(None)
}

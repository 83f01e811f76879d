//! Attributes: the POSIX rules of chmod, chown, utimes and truncate, one after another.

use super::ModelVfs;
use super::tree::Tree;
use crate::*;
use dfs_model::inode::mode;
use dfs_model::{
    AclMode, Credentials, FsError, Guard, Identity, Inode, InodeId, InodeKind, Rights, ShareCeiling, Target,
    TimePatch, Timestamp, Wcc, access, acl,
};

pub(super) fn stateless(target: Target) -> Result<InodeId, FsError> {
    match target {
        Target::Inode(inode) => Ok(inode),
        Target::Open(_) | Target::Lease(_) => Err(FsError::OpenUnknown),
    }
}

pub(super) fn changes_allowed(who: &Credentials) -> Result<(), FsError> {
    match who.ceiling {
        ShareCeiling::None => Err(FsError::AccessDenied),
        ShareCeiling::ReadOnly => Err(FsError::ReadOnlyShare),
        ShareCeiling::ReadWrite | ShareCeiling::Admin => Ok(()),
    }
}

/// Writing and truncating: the owner always may.
pub(super) fn may_write(row: &Inode, who: &Credentials, rule: AccessRule) -> Result<(), FsError> {
    changes_allowed(who)?;
    if rule == AccessRule::ByOpen || access::is_owner(row, who) {
        return Ok(());
    }
    access::check(row, who, Rights::WRITE_DATA)
}

/// Reading: the owner always may, and execute implies read.
pub(super) fn may_read(row: &Inode, who: &Credentials, rule: AccessRule) -> Result<(), FsError> {
    let rights = access::granted(row, who);
    let owner = access::is_owner(row, who) && who.ceiling != ShareCeiling::None;
    let allowed =
        rule == AccessRule::ByOpen || owner || rights.has(Rights::READ_DATA) || rights.has(Rights::EXECUTE);
    if allowed { Ok(()) } else { Err(FsError::AccessDenied) }
}

/// A write by anybody but the superuser takes set-user-id away, and set-group-id where the group may execute.
pub(super) fn drop_privilege_bits(row: &mut Inode, who: &Credentials) {
    if !who.is_root() {
        strip(row);
    }
}

fn strip(row: &mut Inode) {
    row.mode &= !mode::SUID;
    if row.mode & 0o010 != 0 {
        row.mode &= !mode::SGID;
    }
}

impl ModelVfs {
    pub(super) fn set_attr_now(&self, cx: &RequestContext, request: &SetAttr) -> VfsResult<Changed> {
        let id = stateless(request.target)?;
        let now = self.clock.wall();
        let mut tree = self.tree.lock();
        let before = tree.attrs(id)?;
        match set_attr(&mut tree, cx, id, request, now) {
            Ok(()) => Ok(Changed { wcc: Wcc { pre: before.pre(), post: tree.attrs(id)? } }),
            Err(error) => Err(Failed::with(error, Some(Wcc::unchanged(before)))),
        }
    }
}

impl ModelVfs {
    pub(super) fn set_security_now(&self, cx: &RequestContext, request: &SetSecurity) -> VfsResult<Changed> {
        let id = stateless(request.target)?;
        let now = self.clock.wall();
        let mut tree = self.tree.lock();
        let before = tree.attrs(id)?;
        let refuse = |error| Failed::with(error, Some(Wcc::unchanged(before.clone())));
        let patch = request.patch(&tree.node(id)?.row).map_err(refuse)?;
        let rule = AccessRule::ByOpen;
        let asked = SetAttr { target: request.target, patch, guard: Guard::None, rule };
        set_attr(&mut tree, cx, id, &asked, now).map_err(refuse)?;
        Ok(Changed { wcc: Wcc { pre: before.pre(), post: tree.attrs(id)? } })
    }
}

fn set_attr(
    tree: &mut Tree,
    cx: &RequestContext,
    id: InodeId,
    request: &SetAttr,
    now: Timestamp,
) -> Result<(), FsError> {
    let (who, patch) = (&*cx.credentials, &request.patch);
    changes_allowed(who)?;
    let mut row = tree.node(id)?.row.clone();
    let size = patch.size.as_set().copied();
    match (size, row.kind) {
        (None, _) | (Some(_), InodeKind::File) => {}
        (Some(_), InodeKind::Directory) => return Err(FsError::IsDirectory),
        (Some(_), _) => return Err(FsError::WrongType),
    }
    if size.is_some_and(|size| size > FILE_SIZE_MAX) {
        return Err(FsError::TooLarge);
    }
    let guarded = match request.guard {
        Guard::None => true,
        Guard::Change(change) => row.change == change,
        Guard::CtimeAs3(secs, nanos) => row.ctime.as_nfs3() == (secs, nanos),
    };
    if !guarded {
        return Err(FsError::GuardMismatch);
    }
    if patch.is_empty() {
        return Ok(());
    }
    if size.is_some() {
        may_write(&row, who, request.rule)?;
    }
    let before = row.clone();
    change_owner_and_mode(&mut row, who, patch)?;
    check_times(&before, who, patch.atime, patch.mtime)?;
    let at = now.after(row.ctime);
    if let Some(size) = size {
        drop_privilege_bits(&mut row, who);
        row.size = size;
        row.mtime = at;
    }
    row.atime = patch.atime.resolve(at).unwrap_or(row.atime);
    row.mtime = patch.mtime.resolve(at).unwrap_or(row.mtime);
    row.ctime = at;
    row.change = tree.change();
    let node = tree.node_mut(id)?;
    node.row = row;
    if let Some(size) = size {
        node.bytes.truncate(size);
    }
    Ok(())
}

fn check_times(row: &Inode, who: &Credentials, atime: TimePatch, mtime: TimePatch) -> Result<(), FsError> {
    if atime.is_keep() && mtime.is_keep() {
        return Ok(());
    }
    let explicit = matches!(atime, TimePatch::Set(_)) || matches!(mtime, TimePatch::Set(_));
    access::check_times(row, who, explicit)
}

/// chmod, chown and ACL (POSIX.1-2017, SEAM §3.5): a change of owner or group takes privilege bits of a plain file away; mode
/// and ACL follow each other.
fn change_owner_and_mode(
    row: &mut Inode,
    who: &Credentials,
    patch: &dfs_model::AttrPatch,
) -> Result<(), FsError> {
    let asked = !patch.owner.is_keep() || !patch.group.is_keep();
    let bits_asked = !patch.mode.is_keep() || !patch.acl.is_keep();
    if bits_asked {
        access::check_chmod(row, who)?;
    }
    access::check_chown(row, who, patch.owner.as_set(), patch.group.as_set())?;
    if let Some(new) = patch.acl.as_set() {
        let audit = row.acl.as_ref().and_then(|acl| acl.sacl.as_ref());
        if audit != new.sacl.as_ref() && !(who.is_root() || who.privileges.security) {
            return Err(FsError::PrivilegeNotHeld);
        }
    }
    (row.mode, row.acl) = acl::apply::changed(row, patch, AclMode::default())?;
    if let Some(owner) = patch.owner.as_set() {
        row.owner = owner.clone();
    }
    if let Some(group) = patch.group.as_set() {
        row.group = group.clone();
    }
    if asked && !row.is_dir() {
        strip(row);
    }
    let sgid_stays = who.is_root() || matches!(row.group, Identity::Gid(gid) if who.in_group(gid));
    if bits_asked && !sgid_stays {
        row.mode &= !mode::SGID;
    }
    if asked || bits_asked {
        row.create_verifier = None;
    }
    Ok(())
}

//! Effective rights: the one function that access checks, opens and every operation use (SEAM §3.5).

use crate::identity::{AceType, Acl};
use crate::inode::mode;
use crate::{Credentials, FsError, Identity, Inode, ShareCeiling, WellKnown};

/// A set of rights in the bits that NT and NFSv4 share (RFC 8881 §6.2.1.3, MS-DTYP §2.4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(pub u32);

#[allow(missing_docs)]
impl Rights {
    pub const NONE: Rights = Rights(0);
    pub const READ_DATA: Rights = Rights(0x1);
    pub const LIST_DIRECTORY: Rights = Rights(0x1);
    pub const WRITE_DATA: Rights = Rights(0x2);
    pub const ADD_FILE: Rights = Rights(0x2);
    pub const APPEND_DATA: Rights = Rights(0x4);
    pub const ADD_SUBDIRECTORY: Rights = Rights(0x4);
    pub const READ_NAMED_ATTRS: Rights = Rights(0x8);
    pub const WRITE_NAMED_ATTRS: Rights = Rights(0x10);
    pub const EXECUTE: Rights = Rights(0x20);
    pub const DELETE_CHILD: Rights = Rights(0x40);
    pub const READ_ATTRIBUTES: Rights = Rights(0x80);
    pub const WRITE_ATTRIBUTES: Rights = Rights(0x100);
    pub const DELETE: Rights = Rights(0x1_0000);
    pub const READ_ACL: Rights = Rights(0x2_0000);
    pub const WRITE_ACL: Rights = Rights(0x4_0000);
    pub const WRITE_OWNER: Rights = Rights(0x8_0000);
    pub const SYNCHRONIZE: Rights = Rights(0x10_0000);
    /// Every right there is.
    pub const ALL: Rights = Rights(0x1f_01ff);
    /// Rights that change something.
    pub const MUTATING: Rights = Rights(0x2 | 0x4 | 0x10 | 0x40 | 0x100 | 0x1_0000 | 0x4_0000 | 0x8_0000);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }

    /// Whether all of `other` is in the set.
    #[must_use]
    pub const fn has(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Rights that every caller has on every object, whatever its mode or ACL says.
const ALWAYS: Rights = Rights(
    Rights::SYNCHRONIZE.0 | Rights::READ_ATTRIBUTES.0 | Rights::READ_ACL.0 | Rights::READ_NAMED_ATTRS.0,
);
/// What the read bit of a mode stands for.
const MODE_READ: Rights = Rights::READ_DATA;
/// What the write bit of a mode stands for (the child's deletion on a directory).
const MODE_WRITE: Rights = Rights(Rights::WRITE_DATA.0 | Rights::APPEND_DATA.0 | Rights::WRITE_NAMED_ATTRS.0);
/// What the owner may do on top.
const OWNER: Rights = Rights(Rights::WRITE_ATTRIBUTES.0 | Rights::WRITE_ACL.0 | Rights::READ_ACL.0);

/// Rights that the caller has on the inode, before the parent's say in deletion and before the share's ceiling is applied
/// to nothing else: the ceiling is applied here.
#[must_use]
pub fn granted(row: &Inode, who: &Credentials) -> Rights {
    let raw = match &row.acl {
        Some(acl) => by_acl(row, acl, who),
        None => by_mode(row, who),
    };
    Rights(raw.0 & ceiling(who.ceiling).0)
}

/// Tests rights. *Errors:* [`FsError::ReadOnlyShare`] when only the share's ceiling is in the way, else
/// [`FsError::AccessDenied`].
pub fn check(row: &Inode, who: &Credentials, wanted: Rights) -> Result<(), FsError> {
    if Rights(wanted.0 & !ceiling(who.ceiling).0).0 != 0 {
        return Err(if who.ceiling == ShareCeiling::None {
            FsError::AccessDenied
        } else {
            FsError::ReadOnlyShare
        });
    }
    if granted(row, who).has(wanted) { Ok(()) } else { Err(FsError::AccessDenied) }
}

/// Whether the caller owns the inode or is the superuser.
#[must_use]
pub fn is_owner(row: &Inode, who: &Credentials) -> bool {
    who.is_root()
        || row.owner == Identity::Uid(who.uid)
        || matches!(&row.owner, Identity::Sid(sid) if who.sids.contains(sid))
}

/// Tests whether a name may leave a directory: the right to delete children, or to delete the object itself, and the
/// sticky bit (owner of the directory, of the object, or superuser).
///
/// *Errors:* [`FsError::AccessDenied`] or, for the sticky bit, [`FsError::NotPermitted`]; [`FsError::ReadOnlyShare`].
pub fn check_delete(dir: &Inode, victim: &Inode, who: &Credentials) -> Result<(), FsError> {
    let by_dir = check(dir, who, Rights::DELETE_CHILD.and(Rights::EXECUTE));
    if let Err(refused) = by_dir {
        let by_itself = victim.acl.is_some() && granted(victim, who).has(Rights::DELETE);
        if !(by_itself && granted(dir, who).has(Rights::EXECUTE)) {
            return Err(refused);
        }
    }
    if dir.mode & mode::STICKY != 0 && !is_owner(dir, who) && !is_owner(victim, who) {
        return Err(FsError::NotPermitted);
    }
    Ok(())
}

fn ceiling(ceiling: ShareCeiling) -> Rights {
    match ceiling {
        ShareCeiling::None => Rights::NONE,
        ShareCeiling::ReadOnly => Rights(Rights::ALL.0 & !Rights::MUTATING.0),
        ShareCeiling::ReadWrite | ShareCeiling::Admin => Rights::ALL,
    }
}

fn by_mode(row: &Inode, who: &Credentials) -> Rights {
    if who.is_root() {
        let executable = row.is_dir() || row.mode & 0o111 != 0;
        return if executable { Rights::ALL } else { Rights(Rights::ALL.0 & !Rights::EXECUTE.0) };
    }
    let owner = is_owner(row, who);
    let bits = if owner {
        row.mode >> 6
    } else if matches!(row.group, Identity::Gid(gid) if who.in_group(gid)) {
        row.mode >> 3
    } else {
        row.mode
    };
    let mut rights = ALWAYS;
    if bits & 4 != 0 {
        rights = rights.and(MODE_READ);
    }
    if bits & 2 != 0 {
        rights = rights.and(MODE_WRITE);
        if row.is_dir() {
            rights = rights.and(Rights::DELETE_CHILD);
        }
    }
    if bits & 1 != 0 {
        rights = rights.and(Rights::EXECUTE);
    }
    if owner {
        rights = rights.and(OWNER);
    }
    rights
}

fn by_acl(row: &Inode, acl: &Acl, who: &Credentials) -> Rights {
    let Some(dacl) = &acl.dacl else { return Rights::ALL };
    if who.is_root() {
        return by_mode(row, who);
    }
    let owner = is_owner(row, who);
    let mut allowed = ALWAYS.0;
    let mut denied = 0;
    let names_owner_rights = dacl.iter().any(|ace| ace.who == Identity::WellKnown(WellKnown::OwnerRights));
    if owner && !names_owner_rights {
        allowed |= Rights::READ_ACL.0 | Rights::WRITE_ACL.0 | Rights::WRITE_ATTRIBUTES.0;
    }
    const INHERIT_ONLY: u16 = 0x8;
    for ace in dacl.iter().filter(|ace| ace.flags & INHERIT_ONLY == 0 && means(&ace.who, row, who, owner)) {
        match ace.kind {
            AceType::Allow => allowed |= ace.mask & !denied,
            AceType::Deny => denied |= ace.mask & !allowed,
            AceType::Audit | AceType::Alarm => {}
        }
    }
    Rights(allowed & Rights::ALL.0)
}

/// Whether an entry's subject means the caller.
fn means(subject: &Identity, row: &Inode, who: &Credentials, owner: bool) -> bool {
    match subject {
        Identity::Uid(uid) => who.uid == *uid,
        Identity::Gid(gid) => who.in_group(*gid),
        Identity::Sid(sid) => who.sids.contains(sid),
        Identity::WellKnown(WellKnown::Owner | WellKnown::OwnerRights) => owner,
        Identity::WellKnown(WellKnown::Group) => matches!(row.group, Identity::Gid(gid) if who.in_group(gid)),
        Identity::WellKnown(WellKnown::Everyone) => true,
        Identity::WellKnown(WellKnown::Anonymous) => who.strength <= crate::Strength::Guest,
        Identity::WellKnown(WellKnown::Authenticated) => who.strength > crate::Strength::Guest,
        Identity::WellKnown(_) | Identity::Opaque { .. } => false,
    }
}

//! Effective rights: the one function that access checks, opens and every operation use (SEAM §3.5).

use crate::acl::{Decided, evaluate};
use crate::inode::mode;
use crate::{Ace, Credentials, FsError, Identity, Inode, ShareCeiling, WellKnown};

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

/// Rights that every caller has on every object without an ACL, whatever its mode says.
pub(crate) const ALWAYS: Rights =
    Rights(Rights::SYNCHRONIZE.0 | Rights::READ_ATTRIBUTES.0 | Rights::READ_ACL.0);
/// Rights that no ACL takes away: nobody can be kept from waiting, and every protocol shows attributes on a look-up.
const PAST_ACL: Rights = Rights(Rights::SYNCHRONIZE.0 | Rights::READ_ATTRIBUTES.0);
/// What the owner may do on top, unless an ACL speaks of his rights.
pub(crate) const OWNER: Rights =
    Rights(Rights::WRITE_ATTRIBUTES.0 | Rights::WRITE_ACL.0 | Rights::READ_ACL.0);

/// What three permission bits (`rwx`, the lowest of `bits`) stand for. On a directory the write bit brings the deletion of
/// children; extended attributes go with the bytes, as xattr(7) says of user attributes.
#[must_use]
pub(crate) fn rights_of_bits(bits: u16, is_dir: bool) -> Rights {
    let mut rights = Rights::NONE;
    if bits & 4 != 0 {
        rights = rights.and(Rights::READ_DATA).and(Rights::READ_NAMED_ATTRS);
    }
    if bits & 2 != 0 {
        rights = rights.and(Rights::WRITE_DATA).and(Rights::APPEND_DATA).and(Rights::WRITE_NAMED_ATTRS);
        if is_dir {
            rights = rights.and(Rights::DELETE_CHILD);
        }
    }
    if bits & 1 != 0 {
        rights = rights.and(Rights::EXECUTE);
    }
    rights
}

/// Rights that the caller has on the inode, before the parent's say in deletion. The share's ceiling is applied here.
#[must_use]
pub fn granted(row: &Inode, who: &Credentials) -> Rights {
    let raw = match &row.acl {
        Some(acl) => by_acl(row, acl.dacl.as_deref(), who),
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
/// sticky bit (owner of the directory, of the object, or superuser). A right to delete children that only follows from the
/// right to add files yields to an object whose own ACL denies its deletion (RFC 7530 §6.2.1.3.2).
///
/// *Errors:* [`FsError::AccessDenied`] or, for the sticky bit, [`FsError::NotPermitted`]; [`FsError::ReadOnlyShare`].
pub fn check_delete(dir: &Inode, victim: &Inode, who: &Credentials) -> Result<(), FsError> {
    let by_dir = check(dir, who, Rights::DELETE_CHILD.and(Rights::EXECUTE));
    if dir.acl.is_some() || victim.acl.is_some() {
        let by_itself = victim.acl.is_some() && granted(victim, who).has(Rights::DELETE);
        if !(by_itself && granted(dir, who).has(Rights::EXECUTE)) {
            by_dir?;
            let denied = decided(victim, who).denied & Rights::DELETE.0 != 0;
            if denied && implied_delete_child(dir, decided(dir, who)) && !who.is_root() {
                return Err(FsError::AccessDenied);
            }
        }
    } else {
        by_dir?;
    }
    if dir.mode & mode::STICKY != 0 && !is_owner(dir, who) && !is_owner(victim, who) {
        return Err(FsError::NotPermitted);
    }
    Ok(())
}

/// Tests a change of the mode or the ACL: the owner's, or whoever has WRITE_ACL. *Errors:* [`FsError::NotPermitted`].
pub fn check_chmod(row: &Inode, who: &Credentials) -> Result<(), FsError> {
    let may = is_owner(row, who) || granted(row, who).has(Rights::WRITE_ACL);
    if may { Ok(()) } else { Err(FsError::NotPermitted) }
}

/// Tests a change of owner, group or both: the superuser gives to anybody; the owner gives to a group of his; WRITE_OWNER or
/// the privilege takes for oneself. *Errors:* [`FsError::NotPermitted`].
pub fn check_chown(
    row: &Inode,
    who: &Credentials,
    owner: Option<&Identity>,
    group: Option<&Identity>,
) -> Result<(), FsError> {
    if who.is_root() {
        return Ok(());
    }
    let own = is_owner(row, who);
    let takes = who.privileges.take_ownership || granted(row, who).has(Rights::WRITE_OWNER);
    let owner_ok = owner.is_none_or(|new| {
        let himself =
            *new == Identity::Uid(who.uid) || matches!(new, Identity::Sid(sid) if who.sids.contains(sid));
        (own && *new == row.owner) || (takes && himself)
    });
    let group_ok = group.is_none_or(|new| {
        let member = matches!(new, Identity::Gid(gid) if who.in_group(*gid));
        (own || takes) && (member || *new == row.group)
    });
    if owner_ok && group_ok { Ok(()) } else { Err(FsError::NotPermitted) }
}

/// Tests a change of the times: to the server's clock whoever may write; to anything (`explicit`) the owner, or whoever has
/// WRITE_ATTRIBUTES. *Errors:* [`FsError::NotPermitted`], [`FsError::AccessDenied`], [`FsError::ReadOnlyShare`].
pub fn check_times(row: &Inode, who: &Credentials, explicit: bool) -> Result<(), FsError> {
    if is_owner(row, who) || granted(row, who).has(Rights::WRITE_ATTRIBUTES) {
        return Ok(());
    }
    if explicit { Err(FsError::NotPermitted) } else { check(row, who, Rights::WRITE_DATA) }
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
    let rights = ALWAYS.and(rights_of_bits(bits, row.is_dir()));
    if owner { rights.and(OWNER) } else { rights }
}

fn by_acl(row: &Inode, dacl: Option<&[Ace]>, who: &Credentials) -> Rights {
    let Some(dacl) = dacl else { return Rights::ALL };
    if who.is_root() {
        return by_mode(row, who);
    }
    let decided = decided(row, who);
    let mut rights = PAST_ACL.0 | decided.allowed;
    let of_owner = Identity::WellKnown(WellKnown::OwnerRights);
    if is_owner(row, who) && !dacl.iter().any(|ace| ace.is_effective() && ace.who == of_owner) {
        rights |= OWNER.0;
    }
    if implied_delete_child(row, decided) {
        rights |= Rights::DELETE_CHILD.0;
    }
    Rights(rights & Rights::ALL.0)
}

/// What an inode's list says of the caller; nothing where it has none.
fn decided(row: &Inode, who: &Credentials) -> Decided {
    let Some(dacl) = row.acl.as_ref().and_then(|acl| acl.dacl.as_ref()) else { return Decided::default() };
    let owner = is_owner(row, who);
    evaluate(dacl, |ace| means(&ace.who, row, who, owner))
}

/// Whether whoever may add files may delete them: where the directory's list leaves it open and the sticky bit is not set.
fn implied_delete_child(row: &Inode, decided: Decided) -> bool {
    let open = row.is_dir() && row.acl.is_some() && decided.leaves_open(Rights::DELETE_CHILD.0);
    open && row.mode & mode::STICKY == 0 && decided.allowed & Rights::ADD_FILE.0 != 0
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

//! Access control lists: NFSv4-shaped, kept as set (SEAM §3.5, RFC 7530 §6, MS-DTYP §2.4).
//!
//! Invariants. The order of entries is the setter's and is never sorted; the first entry that speaks of a right decides it
//! ([`evaluate`]). An inode's nine permission bits are always what its list says of owner, group and everybody
//! ([`Acl::mode`]); whatever changes the one changes the other ([`apply`]). A list that says no more than the mode does is
//! not stored: such an inode has no ACL, and [`Acl::of_mode`] shows one. Pure: nothing here knows who is asked or stored.

pub mod apply;
mod evaluate;
mod inherit;
mod mode;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use evaluate::{Decided, evaluate};
pub use inherit::Heir;

use crate::{FsError, FsResult, Identity, Rights, WellKnown};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Kind of an access control entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum AceType {
    Allow = 0,
    Deny = 1,
    Audit = 2,
    Alarm = 3,
}

/// Flag bits of an entry (RFC 8881 §6.2.1.4; the values on the wire).
pub mod flag {
    /// New files below get the entry.
    pub const FILE_INHERIT: u16 = 0x1;
    /// New directories below get the entry, and hand it on.
    pub const DIRECTORY_INHERIT: u16 = 0x2;
    /// Whoever inherits the entry does not hand it on.
    pub const NO_PROPAGATE: u16 = 0x4;
    /// The entry is here to be inherited only and says nothing about this directory.
    pub const INHERIT_ONLY: u16 = 0x8;
    /// Of an audit or alarm entry: access that was granted.
    pub const SUCCESSFUL_ACCESS: u16 = 0x10;
    /// Of an audit or alarm entry: access that was refused.
    pub const FAILED_ACCESS: u16 = 0x20;
    /// The subject is a group.
    pub const IDENTIFIER_GROUP: u16 = 0x40;
    /// The entry came from the parent directory.
    pub const INHERITED: u16 = 0x80;
    /// Those that say how an entry is inherited.
    pub const INHERITANCE: u16 = FILE_INHERIT | DIRECTORY_INHERIT | NO_PROPAGATE | INHERIT_ONLY;
    /// Every flag.
    pub const ALL: u16 = 0xff;
}

/// Control bits of a list (MS-DTYP §2.4.6).
pub mod control {
    /// The list was made by default.
    pub const DACL_DEFAULTED: u16 = 0x8;
    /// The audit list was made by default.
    pub const SACL_DEFAULTED: u16 = 0x20;
    /// The list follows its parent's.
    pub const DACL_AUTO_INHERITED: u16 = 0x400;
    /// The audit list follows its parent's.
    pub const SACL_AUTO_INHERITED: u16 = 0x800;
    /// Changes of the parent's list do not come through.
    pub const DACL_PROTECTED: u16 = 0x1000;
    /// Changes of the parent's audit list do not come through.
    pub const SACL_PROTECTED: u16 = 0x2000;
    /// Every control bit that is stored.
    pub const ALL: u16 = DACL_DEFAULTED
        | SACL_DEFAULTED
        | DACL_AUTO_INHERITED
        | SACL_AUTO_INHERITED
        | DACL_PROTECTED
        | SACL_PROTECTED;
}

/// One access control entry. `mask` holds the NT/NFSv4 bits, which are identical ([`Rights`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ace {
    /// Allow, deny, audit or alarm.
    pub kind: AceType,
    /// Inheritance and audit flags ([`flag`]).
    pub flags: u16,
    /// The rights meant.
    pub mask: u32,
    /// Whom it means.
    pub who: Identity,
}

impl Ace {
    /// An entry without flags.
    #[must_use]
    pub fn new(kind: AceType, who: Identity, rights: Rights) -> Ace {
        Ace { kind, flags: 0, mask: rights.0, who }
    }

    /// Whether it says something about the object that carries it.
    #[must_use]
    pub fn is_effective(&self) -> bool {
        self.flags & flag::INHERIT_ONLY == 0
    }

    /// Whether new objects below may get it.
    #[must_use]
    pub fn is_inheritable(&self) -> bool {
        self.flags & (flag::FILE_INHERIT | flag::DIRECTORY_INHERIT) != 0
    }

    /// Whether its subject is one that the mode speaks of too.
    fn is_special(&self) -> bool {
        use WellKnown::{Everyone, Group, Owner};
        matches!(self.who, Identity::WellKnown(Owner | Group | Everyone))
    }
}

/// A discretionary and a system list with their control bits. Order is kept as set; the first match decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Acl {
    /// Protected, auto-inherited, defaulted ([`control`]).
    pub control: u16,
    /// `None` is the null list (everything allowed), which differs from an empty one (nothing allowed).
    pub dacl: Option<Vec<Ace>>,
    /// Audit entries; `None` when there is no system list.
    pub sacl: Option<Vec<Ace>>,
}

/// An ACL as inodes hold it: many files share one.
pub type AclRef = Arc<Acl>;

/// What a change of the mode does to an ACL; the share setting `acl_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AclMode {
    /// Entries of owner, group and everybody are made anew; what others are allowed is cut down to the group's bits.
    #[default]
    Masked,
    /// Entries of owner, group and everybody are made anew; the others stay.
    Passthrough,
    /// The ACL goes; the mode alone decides.
    Discard,
    /// The mode of an object with an ACL cannot be changed.
    Refuse,
}

impl AclMode {
    const WORDS: [(&'static str, AclMode); 4] = [
        ("masked", AclMode::Masked),
        ("passthrough", AclMode::Passthrough),
        ("discard", AclMode::Discard),
        ("refuse", AclMode::Refuse),
    ];
    /// Name of the share setting that holds it.
    pub const SETTING: &'static str = "acl_mode";

    /// The mode among a share's settings; the default where none is set or its word is not known (the setting is checked
    /// when it is made).
    #[must_use]
    pub fn of_settings(settings: &[(String, String)]) -> AclMode {
        let found = settings.iter().find(|(name, _)| name == AclMode::SETTING);
        found.and_then(|(_, word)| word.parse().ok()).unwrap_or_default()
    }
}

impl FromStr for AclMode {
    type Err = FsError;

    fn from_str(word: &str) -> FsResult<AclMode> {
        let found = AclMode::WORDS.iter().find(|(known, _)| *known == word);
        found.map(|(_, mode)| *mode).ok_or(FsError::InvalidArgument)
    }
}

impl fmt::Display for AclMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = AclMode::WORDS.iter().find(|(_, mode)| mode == self).map_or("", |(word, _)| word);
        f.write_str(word)
    }
}

/// The generic rights (MS-DTYP §2.4.3) and what they stand for on files (MS-SMB2 §2.2.13.1).
const GENERIC: [(u32, u32); 4] = [
    (0x8000_0000, 0x0012_0089),
    (0x4000_0000, 0x0012_0116),
    (0x2000_0000, 0x0012_00a0),
    (0x1000_0000, Rights::ALL.0),
];
/// Bits that a stored mask may hold: the rights, the two retention bits of NFSv4.1 and ACCESS_SYSTEM_SECURITY.
const MASK_STORED: u32 = Rights::ALL.0 | 0x600 | 0x0100_0000;

impl Acl {
    /// Most entries in one list.
    pub const ACES_MAX: usize = 1820;
    /// Largest stored form in bytes.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// The list as it is stored: generic rights spelled out. *Errors:* [`FsError::InvalidArgument`] for too many entries,
    /// unknown bits, audit entries among the discretionary ones or the other way round.
    pub fn checked(&self) -> FsResult<Acl> {
        let list = |aces: &Option<Vec<Ace>>, audits: bool| -> FsResult<Option<Vec<Ace>>> {
            let Some(aces) = aces else { return Ok(None) };
            if aces.len() > Acl::ACES_MAX {
                return Err(FsError::InvalidArgument);
            }
            aces.iter().map(|ace| checked_ace(ace, audits)).collect::<FsResult<Vec<_>>>().map(Some)
        };
        if self.control & !control::ALL != 0 {
            return Err(FsError::InvalidArgument);
        }
        Ok(Acl { control: self.control, dacl: list(&self.dacl, false)?, sacl: list(&self.sacl, true)? })
    }
}

fn checked_ace(ace: &Ace, audits: bool) -> FsResult<Ace> {
    let is_audit = matches!(ace.kind, AceType::Audit | AceType::Alarm);
    let mut mask = ace.mask;
    for (generic, rights) in GENERIC {
        if mask & generic != 0 {
            mask = (mask & !generic) | rights;
        }
    }
    if is_audit != audits || ace.flags & !flag::ALL != 0 || mask & !MASK_STORED != 0 {
        return Err(FsError::InvalidArgument);
    }
    Ok(Ace { mask, ..ace.clone() })
}

//! Who owns a file and whom an access control entry means, stored as the setter said it (SEAM §3.4, §3.5).

use bytes::Bytes;
use std::sync::Arc;

/// An owner, a group or the subject of an access control entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A Unix user id.
    Uid(u32),
    /// A Unix group id.
    Gid(u32),
    /// A Windows security identifier, at most 68 bytes, binary form (MS-DTYP §2.4.2.2).
    Sid(Bytes),
    /// A special subject.
    WellKnown(WellKnown),
    /// A `name@domain` without mapping, kept for the round trip.
    Opaque {
        /// The domain part.
        domain: Bytes,
        /// The name part.
        name: Bytes,
    },
}

/// Special subjects that NFSv4 and Windows share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum WellKnown {
    Owner = 1,
    Group = 2,
    Everyone = 3,
    Anonymous = 4,
    Authenticated = 5,
    CreatorOwner = 6,
    CreatorGroup = 7,
    OwnerRights = 8,
    System = 9,
    Interactive = 10,
    Network = 11,
    Dialup = 12,
    Batch = 13,
    Service = 14,
}

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

/// One access control entry. `mask` holds the NT/NFSv4 bits, which are identical ([`crate::Rights`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ace {
    /// Allow, deny, audit or alarm.
    pub kind: AceType,
    /// Inheritance and audit flags (RFC 8881 §6.2.1.4 values).
    pub flags: u16,
    /// The rights meant.
    pub mask: u32,
    /// Whom it means.
    pub who: Identity,
}

/// A discretionary and a system list with their control bits. Order is kept as set; the first match decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Acl {
    /// Protected, auto-inherited, defaulted (MS-DTYP §2.4.6 control bits).
    pub control: u16,
    /// `None` is the null list (everything allowed), which differs from an empty one (nothing allowed).
    pub dacl: Option<Vec<Ace>>,
    /// Audit entries; `None` when there is no system list.
    pub sacl: Option<Vec<Ace>>,
}

/// An ACL as inodes hold it: many files share one.
pub type AclRef = Arc<Acl>;

impl Acl {
    /// Most entries in one list.
    pub const ACES_MAX: usize = 1820;
    /// Largest stored form in bytes.
    pub const BYTES_MAX: usize = 64 * 1024;
}

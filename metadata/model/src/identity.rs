//! Who owns a file and whom an access control entry means, stored as the setter said it (SEAM §3.4).

use bytes::Bytes;

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

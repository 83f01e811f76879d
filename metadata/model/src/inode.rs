//! The inode record as stored (SEAM §3.1). Fields marked ◇ may be ahead in the journal's overlay until `place`.

use crate::{AclRef, Change, Generation, Identity, InodeId, Seq, Timestamp};
use bytes::Bytes;

/// Kind of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum InodeKind {
    File = 1,
    Directory = 2,
    Symlink = 3,
    BlockDevice = 4,
    CharDevice = 5,
    Fifo = 6,
    Socket = 7,
}

/// Major and minor number of a device node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct DeviceNumber {
    pub major: u32,
    pub minor: u32,
}

/// Flag bits of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InodeFlags(pub u32);

impl InodeFlags {
    /// No name leads here any more; it lives while opens or recent handles need it.
    pub const ORPHAN: u32 = 1;
    /// An SMB client marked it for deletion at its last close.
    pub const DELETE_PENDING: u32 = 1 << 1;
    /// Nothing about it may change.
    pub const IMMUTABLE: u32 = 1 << 2;
    /// Bytes may only be added at its end.
    pub const APPEND_ONLY: u32 = 1 << 3;
    /// It has named streams.
    pub const HAS_STREAM: u32 = 1 << 4;
    /// It has an ACL beyond its mode.
    pub const HAS_ACL: u32 = 1 << 5;
    /// A directory whose names are found in any case.
    pub const CASE_FOLD: u32 = 1 << 6;
    /// The DOS bits were set by a client, not defaulted.
    pub const DOS_EXPLICIT: u32 = 1 << 7;
    /// It has extended attributes.
    pub const HAS_XATTR: u32 = 1 << 8;

    /// Whether all of `bits` are set.
    #[must_use]
    pub fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }

    /// With `bits` set or cleared.
    #[must_use]
    pub fn with(self, bits: u32, on: bool) -> InodeFlags {
        InodeFlags(if on { self.0 | bits } else { self.0 & !bits })
    }
}

/// DOS attribute bits that are stored (MS-FSCC §2.6).
pub mod dos {
    /// FILE_ATTRIBUTE_READONLY
    pub const READONLY: u32 = 0x1;
    /// FILE_ATTRIBUTE_HIDDEN
    pub const HIDDEN: u32 = 0x2;
    /// FILE_ATTRIBUTE_SYSTEM
    pub const SYSTEM: u32 = 0x4;
    /// FILE_ATTRIBUTE_ARCHIVE
    pub const ARCHIVE: u32 = 0x20;
}

/// Permission bits of `mode`.
pub mod mode {
    /// All twelve bits.
    pub const ALL: u16 = 0o7777;
    /// Set user id on execution.
    pub const SUID: u16 = 0o4000;
    /// Set group id on execution; on a directory, new entries inherit its group.
    pub const SGID: u16 = 0o2000;
    /// Only owners delete from the directory.
    pub const STICKY: u16 = 0o1000;
}

/// One file, directory, link or special file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Number in the share.
    pub id: InodeId,
    /// Incarnation of the share at its creation.
    pub generation: Generation,
    /// Kind.
    pub kind: InodeKind,
    /// Twelve permission bits and nothing else.
    pub mode: u16,
    /// Names that lead here; for a directory 2 + subdirectories.
    pub nlink: u32,
    /// Owner.
    pub owner: Identity,
    /// Group.
    pub group: Identity,
    /// ◇ Size in bytes, at most 2^63 − 1.
    pub size: u64,
    /// ◇ Bytes of data held, before compression; holes count nothing.
    pub allocated: u64,
    /// ◇ Last access.
    pub atime: Timestamp,
    /// ◇ Last change of the bytes (of the entries, for a directory).
    pub mtime: Timestamp,
    /// ◇ Last change of anything.
    pub ctime: Timestamp,
    /// Birth.
    pub btime: Timestamp,
    /// ◇ The change number.
    pub change: Change,
    /// Change number at birth: tells whether the row is older than a snapshot.
    pub born: Change,
    /// Stored DOS bits ([`dos`]).
    pub dos: u32,
    /// Verifier of the exclusive create that made the file.
    pub create_verifier: Option<[u8; 8]>,
    /// `None`: the mode decides.
    pub acl: Option<AclRef>,
    /// A directory's one parent (the root's is itself).
    pub parent: InodeId,
    /// Flag bits.
    pub flags: InodeFlags,
    /// Target bytes of a symlink.
    pub link_target: Option<Bytes>,
    /// Number of a device node.
    pub device: DeviceNumber,
    /// Every journal record up to here is in this row (JOURNAL §2).
    pub flushed_seq: Seq,
    /// Change number of the last explicit change of mode, owner or ACL: an older record's suid clear is not applied over it.
    pub mode_change: Change,
    /// Change number of the last explicit change of the DOS bits.
    pub dos_change: Change,
}

impl Inode {
    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind == InodeKind::Directory
    }

    /// The owner as a Unix id; identities of other kinds show as the anonymous 65534 until they are mapped.
    #[must_use]
    pub fn uid(&self) -> u32 {
        match self.owner {
            Identity::Uid(id) => id,
            _ => 65534,
        }
    }

    /// The group as a Unix id, likewise.
    #[must_use]
    pub fn gid(&self) -> u32 {
        match self.group {
            Identity::Gid(id) => id,
            _ => 65534,
        }
    }
}

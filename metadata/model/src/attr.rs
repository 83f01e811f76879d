//! Attributes as the seam shows them, patches to them, and the pre/post attributes of a change (SEAM §1, §3, §8).

use crate::{AclRef, Change, DeviceNumber, Generation, Identity, Inode, InodeId, InodeKind, Timestamp};

/// Which attributes a caller wants. The basic set costs nothing extra; the others may cost a look-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttrMask(pub u32);

impl AttrMask {
    /// Everything in [`Attrs`] but the ACL.
    pub const BASIC: AttrMask = AttrMask(1);
    /// The ACL.
    pub const ACL: AttrMask = AttrMask(2);
    /// Effective access of the caller.
    pub const ACCESS: AttrMask = AttrMask(4);
    /// Total size of the extended attributes.
    pub const EA_SIZE: AttrMask = AttrMask(8);
    /// Reparse tag.
    pub const REPARSE: AttrMask = AttrMask(16);

    /// Whether all of `other` is asked for.
    #[must_use]
    pub fn has(self, other: AttrMask) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One consistent version of an inode's attributes: its row with the journal's overlay applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Attrs {
    pub inode: InodeId,
    pub generation: Generation,
    pub kind: InodeKind,
    pub mode: u16,
    pub nlink: u32,
    pub owner: Identity,
    pub group: Identity,
    /// Bytes.
    pub size: u64,
    /// Bytes of data held, before compression.
    pub allocated: u64,
    pub atime: Timestamp,
    pub mtime: Timestamp,
    pub ctime: Timestamp,
    pub btime: Timestamp,
    pub change: Change,
    pub dos: u32,
    pub device: DeviceNumber,
    pub acl: Option<AclRef>,
}

impl Attrs {
    /// Attributes of a row that has no overlay.
    #[must_use]
    pub fn of(row: &Inode) -> Attrs {
        Attrs {
            inode: row.id,
            generation: row.generation,
            kind: row.kind,
            mode: row.mode,
            nlink: row.nlink,
            owner: row.owner.clone(),
            group: row.group.clone(),
            size: row.size,
            allocated: row.allocated,
            atime: row.atime,
            mtime: row.mtime,
            ctime: row.ctime,
            btime: row.btime,
            change: row.change,
            dos: row.dos,
            device: row.device,
            acl: row.acl.clone(),
        }
    }

    /// What a client compares to notice a change.
    #[must_use]
    pub fn pre(&self) -> PreAttrs {
        PreAttrs { size: self.size, mtime: self.mtime, ctime: self.ctime, change: self.change }
    }
}

/// Attributes from just before a change (RFC 1813 §2.6 `wcc_attr`, RFC 8881 §5.8.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PreAttrs {
    pub size: u64,
    pub mtime: Timestamp,
    pub ctime: Timestamp,
    pub change: Change,
}

/// Attributes before and after a change, from inside the change; on failure both describe the untouched object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Wcc {
    pub pre: PreAttrs,
    pub post: Attrs,
}

impl Wcc {
    /// An object that a call looked at and did not change.
    #[must_use]
    pub fn unchanged(attrs: Attrs) -> Wcc {
        Wcc { pre: attrs.pre(), post: attrs }
    }
}

/// One field of a patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Leave as it is.
    #[default]
    Keep,
    /// Set to this.
    Set(T),
}

impl<T> Patch<T> {
    /// The value to set, if any.
    pub fn as_set(&self) -> Option<&T> {
        match self {
            Patch::Keep => None,
            Patch::Set(value) => Some(value),
        }
    }

    /// Whether the field stays.
    pub fn is_keep(&self) -> bool {
        matches!(self, Patch::Keep)
    }
}

/// A time in a patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimePatch {
    /// Leave as it is.
    #[default]
    Keep,
    /// Set to this.
    Set(Timestamp),
    /// Set to the server's clock.
    ServerNow,
    /// This open no longer moves the time (SMB −1).
    Freeze,
    /// This open moves it again (SMB −2).
    Thaw,
}

impl TimePatch {
    /// Whether the field stays.
    #[must_use]
    pub fn is_keep(self) -> bool {
        matches!(self, TimePatch::Keep)
    }

    /// The time to store, `now` for the server's.
    #[must_use]
    pub fn resolve(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            TimePatch::Set(at) => Some(at),
            TimePatch::ServerNow => Some(now),
            TimePatch::Keep | TimePatch::Freeze | TimePatch::Thaw => None,
        }
    }
}

/// What `set_attr`, `create` and `open` may set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AttrPatch {
    pub mode: Patch<u16>,
    /// Only these bits of `mode` are set when given (RFC 8881 §5.8.2 `mode_set_masked`).
    pub mode_mask: Option<u16>,
    pub owner: Patch<Identity>,
    pub group: Patch<Identity>,
    pub size: Patch<u64>,
    pub atime: TimePatch,
    pub mtime: TimePatch,
    pub btime: TimePatch,
    pub ctime: TimePatch,
    pub dos: Patch<u32>,
    pub acl: Patch<AclRef>,
}

impl AttrPatch {
    /// Whether nothing is to be set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == AttrPatch::default()
    }
}

/// Condition of a `set_attr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// None.
    #[default]
    None,
    /// The ctime as NFSv3 encodes it (seconds, nanoseconds; clamped, SEAM §3.3) must be equal (RFC 1813 §3.3.2).
    CtimeAs3(u32, u32),
    /// The change number must be equal.
    Change(Change),
}

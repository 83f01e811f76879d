//! Requests and replies about names.

use crate::NameCase;
use bytes::Bytes;
use dfs_model::{AttrMask, AttrPatch, Attrs, DeviceNumber, InodeId, InodeKind, LeaseKey, Name, OpenId, Wcc};

/// What a handle names now.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Resolved {
    pub inode: InodeId,
    pub kind: InodeKind,
}

/// Most names in one walk.
pub const WALK_NAMES_MAX: usize = 64;

/// One step of a walk: a name, or up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// Down to this name.
    Down(Name),
    /// To the parent; the root's parent is the root.
    Up,
    /// Stay (`.`).
    Stay,
}

/// Asks where names lead. Stops at a symlink that is not the last step.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Walk {
    pub dir: InodeId,
    /// At most [`WALK_NAMES_MAX`]; empty asks for `dir` itself.
    pub steps: Vec<WalkStep>,
    pub case: NameCase,
    pub want: AttrMask,
}

/// Where one step led.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct WalkedStep {
    pub inode: InodeId,
    /// The spelling that is stored.
    pub name: Option<Name>,
    pub attrs: Attrs,
}

/// Where a walk led.
#[derive(Clone, Debug)]
pub struct Walked {
    /// Attributes of the directory it began in.
    pub dir: Attrs,
    /// One per step.
    pub steps: Vec<WalkedStep>,
}

/// How `create` treats an existing name (RFC 1813 §3.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateExisting {
    /// An existing regular file is opened; of the attributes only `size = 0` counts.
    Unchecked,
    /// `Exists`.
    Guarded,
    /// An existing file with this verifier is success.
    Exclusive([u8; 8]),
}

/// What to make.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum NewKind {
    File,
    Directory,
    Symlink(Bytes),
    BlockDevice(DeviceNumber),
    CharDevice(DeviceNumber),
    Fifo,
    Socket,
}

impl NewKind {
    /// The kind of the inode it makes.
    #[must_use]
    pub fn kind(&self) -> InodeKind {
        match self {
            NewKind::File => InodeKind::File,
            NewKind::Directory => InodeKind::Directory,
            NewKind::Symlink(_) => InodeKind::Symlink,
            NewKind::BlockDevice(_) => InodeKind::BlockDevice,
            NewKind::CharDevice(_) => InodeKind::CharDevice,
            NewKind::Fifo => InodeKind::Fifo,
            NewKind::Socket => InodeKind::Socket,
        }
    }
}

/// Asks for a new inode under a name.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Create {
    pub dir: InodeId,
    pub name: Name,
    pub kind: NewKind,
    /// Only files may be `Unchecked` or `Exclusive`.
    pub existing: CreateExisting,
    pub attrs: AttrPatch,
}

/// What `create` made or found.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct CreateReply {
    pub inode: InodeId,
    pub attrs: Attrs,
    pub existed: bool,
    pub dir: Wcc,
}

/// Asks for another name of an inode.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Link {
    pub inode: InodeId,
    pub dir: InodeId,
    pub name: Name,
    /// Whether an existing name is replaced (SMB only).
    pub replace: bool,
}

/// What `link` did.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct LinkReply {
    pub inode: Wcc,
    pub dir: Wcc,
}

/// Which kinds `remove` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RemoveWhat {
    Any,
    NonDirectory,
    Directory,
}

/// Asks for the end of a name.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Remove {
    pub dir: InodeId,
    pub name: Name,
    pub what: RemoveWhat,
    /// Refuses (`NotFound`) when the name leads elsewhere.
    pub expect: Option<InodeId>,
}

/// What `remove` did.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RemoveReply {
    pub dir: Wcc,
    pub nlink: u32,
    /// The inode lives on: somebody has it open.
    pub orphaned: bool,
}

/// What a rename does with an existing destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RenameReplace {
    Never,
    Posix,
    Windows,
}

/// Asks for a name to move.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Rename {
    pub from_dir: InodeId,
    pub from_name: Name,
    /// SMB renames through an open.
    pub open: Option<OpenId>,
    pub to_dir: InodeId,
    pub to_name: Name,
    pub replace: RenameReplace,
    pub case: NameCase,
    pub parent_lease_keys: [Option<LeaseKey>; 2],
}

/// What `rename` did.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RenameReply {
    pub from_dir: Wcc,
    pub to_dir: Wcc,
    /// `false`: both names were one inode; nothing happened.
    pub moved: bool,
    pub replaced: Option<InodeId>,
}

/// Marks an open file for deletion (SMB).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct SetDelete {
    pub open: OpenId,
    pub delete: bool,
    /// Unlink at once.
    pub posix: bool,
    pub ignore_readonly: bool,
}

/// A symlink's target.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ReadLinkReply {
    pub target: Bytes,
    pub attrs: Attrs,
}

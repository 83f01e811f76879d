//! Requests and replies about listings and watches.

use crate::FileHandle;
use bytes::Bytes;
use dfs_model::{AttrMask, Attrs, Cookie, FsError, InodeId, InodeKind, Name, OpenId, Target};

/// Identifies one scan: the directory's high-water cookie at its first page, and the share's incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirVerifier(pub u64);

/// Asks for a page of a listing. Entries come in the order of cookies, `.` and `..` first unless `real_only`.
#[derive(Clone)]
pub struct ReadDir<'a> {
    /// The directory.
    pub dir: Target,
    /// After this cookie.
    pub cookie: Cookie,
    /// The verifier of the first page; 0 starts a new scan (also accepted with a cookie, for clients that lost it).
    pub verifier: DirVerifier,
    /// Which attributes each entry shall carry; `None`: none.
    pub want: Option<AttrMask>,
    /// Whether handles are wanted.
    pub handles: bool,
    /// Without `.` and `..`.
    pub real_only: bool,
    /// Most bytes of the page by the caller's cost function.
    pub bytes_max: usize,
    /// Most entries.
    pub entries_max: usize,
    /// What an entry costs on the wire.
    pub cost: &'a (dyn Fn(&DirEntry) -> usize + Send + Sync),
    /// Only names that match (SMB wildcards, folded).
    pub pattern: Option<Bytes>,
}

/// One entry of a page.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct DirEntry {
    /// `.` and `..` are told as such by their cookies; their name bytes are as shown.
    pub name: Bytes,
    pub inode: InodeId,
    pub kind: InodeKind,
    pub cookie: Cookie,
    /// An entry whose attributes cannot be read says why.
    pub attrs: Option<Result<Attrs, FsError>>,
    pub handle: Option<FileHandle>,
}

/// A page.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ReadDirReply {
    pub entries: Vec<DirEntry>,
    /// Nothing follows.
    pub end: bool,
    /// This was the first page of the scan.
    pub first: bool,
    pub verifier: DirVerifier,
    pub dir: Attrs,
}

/// What a watch wants to hear of (bits of MS-SMB2 §2.2.35 CompletionFilter).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Watch {
    pub open: OpenId,
    pub filter: u32,
    pub subtree: bool,
    pub buffer_bytes: usize,
}

/// Kind of a change event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ChangeKind {
    Created,
    Removed,
    Linked,
    RenamedFrom,
    RenamedTo,
    Attributes,
    Data,
    Size,
}

/// A change, told from its commit point.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ChangeEvent {
    pub kind: ChangeKind,
    pub inode: InodeId,
    pub is_dir: bool,
    /// Directory and name of a name event; for a change of data or attributes `None` (the reverse index tells).
    pub dir: Option<InodeId>,
    pub name: Option<Name>,
}

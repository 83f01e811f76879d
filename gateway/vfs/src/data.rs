//! Requests and replies about bytes.

use crate::AccessRule;
use bytes::Bytes;
use dfs_model::{Attrs, Epoch, InodeId, ShareId, Target, Wcc};

/// Largest offset + length of a file: 2^63 − 1 bytes.
pub const FILE_SIZE_MAX: u64 = i64::MAX as u64;

/// Changes whenever data that was acknowledged as unstable may have been lost: share and epoch (JOURNAL §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct WriteVerifier {
    pub share: ShareId,
    pub epoch: Epoch,
}

impl WriteVerifier {
    /// The eight bytes that NFS sends: folded share id, then epoch.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let id = self.share.0;
        let folded = (id ^ (id >> 32) ^ (id >> 64) ^ (id >> 96)) as u32;
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&folded.to_be_bytes());
        bytes[4..].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes
    }
}

/// Asks for bytes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Read {
    pub target: Target,
    pub offset: u64,
    pub len: u32,
    pub rule: AccessRule,
}

/// Bytes, in pieces that need not be copied together.
#[derive(Clone, Debug)]
pub struct ReadReply {
    /// The bytes in order; holes are zeros.
    pub data: Vec<Bytes>,
    /// Total length of `data`.
    pub len: usize,
    /// The read reached the end of the file.
    pub eof: bool,
    /// Attributes of one moment with the bytes.
    pub attrs: Attrs,
}

/// How stable a write must be, or is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stability {
    /// Survives the death of the process.
    Unstable,
    /// Data survives what the share's class promises.
    DataSync,
    /// Data and attributes survive what the share's class promises.
    FileSync,
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAt {
    /// At this offset.
    Offset(u64),
    /// At the end of the file, wherever it is when the write begins.
    Append,
}

/// Asks for bytes to be written.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Write {
    pub target: Target,
    pub at: WriteAt,
    pub payload: Bytes,
    pub stability: Stability,
    pub rule: AccessRule,
}

/// What was written.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct WriteReply {
    pub count: u32,
    /// What was reached; never more than is true.
    pub stability: Stability,
    pub verifier: WriteVerifier,
    pub wcc: Wcc,
}

/// Asks for everything written to be stable. The range is a hint; all of the file is made stable.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Commit {
    pub target: Target,
    pub offset: u64,
    pub len: u64,
}

/// What `commit` reached.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct CommitReply {
    pub verifier: WriteVerifier,
    pub wcc: Wcc,
}

/// Asks for space, or for a hole.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Allocate {
    pub target: Target,
    pub offset: u64,
    pub len: u64,
    pub keep_size: bool,
    /// The range shall read as zeros.
    pub zero: bool,
    /// Give the space back (punch a hole).
    pub deallocate: bool,
}

/// What `seek` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SeekWhat {
    Data,
    Hole,
}

/// Asks where data or a hole begins.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Seek {
    pub target: Target,
    pub offset: u64,
    pub what: SeekWhat,
}

/// Where it begins.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct SeekReply {
    pub offset: u64,
    pub eof: bool,
}

/// Asks which parts of a range hold data.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct MapRange {
    pub target: Target,
    pub offset: u64,
    pub len: u64,
}

/// Half-open ranges that hold data.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct MapReply {
    pub data: Vec<(u64, u64)>,
}

/// Whether to share blocks or to copy bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHow {
    /// Share the blocks of a range (RFC 7862 §15.13): both offsets are multiples of `FsInfo::clone_unit`, a length of 0 is to
    /// the source's end.
    Clone,
    /// Share all blocks: the target ends with the source's bytes, size and modification time. Offsets and length are 0.
    Replace,
    /// Copy bytes.
    Copy,
}

/// Asks for a range to be cloned or copied within the share. A clone answers `ColdUnavailable` while what is dirty of the two
/// files cannot be drained, and copies nothing then.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct CopyRange {
    pub from: Target,
    pub from_offset: u64,
    pub to: Target,
    pub to_offset: u64,
    pub len: u64,
    pub how: CopyHow,
    /// Token of an earlier call that did not finish.
    pub resume: Option<u64>,
}

/// How far a copy went.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct CopyReply {
    pub copied: u64,
    pub wcc: Wcc,
    pub verifier: WriteVerifier,
    pub resume: Option<u64>,
}

/// A hint how a range will be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Advice {
    Normal,
    Sequential,
    Random,
    WillNeed,
    DontNeed,
    NoReuse,
}

/// Tells how a range will be used.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Advise {
    pub target: Target,
    pub offset: u64,
    pub len: u64,
    pub advice: Advice,
}

/// Attributes of an inode together with its id.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AttrsOf {
    pub inode: InodeId,
    pub attrs: Attrs,
}

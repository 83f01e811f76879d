//! Copies without copying: clones of files. Part of [`crate::MetadataStore`].

use crate::api::{Applied, OpContext, RowChange};
use crate::error::StoreResult;
use async_trait::async_trait;
use dfs_model::{Inode, InodeId, Seq};
use std::sync::Arc;

/// Which bytes of a file a clone of a part takes, and where they go. Bytes; the two offsets differ by whole blocks of the
/// share, and both are multiples of its block size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ClonePart {
    pub from_offset: u64,
    pub to_offset: u64,
    /// At least 1, within the source.
    pub len: u64,
}

/// Asks for a file to hold the bytes of another without a copy of them (JOURNAL P5).
#[derive(Clone, Copy, Debug)]
pub struct CloneRequest {
    /// The source.
    pub from: InodeId,
    /// The target, a file that is there.
    pub to: InodeId,
    /// `None`: all of the source; the target then has the source's size and modification time and nothing of its own bytes.
    pub part: Option<ClonePart>,
    /// `flushed_seq` of source and target as the caller, who keeps both gates closed, drained them:
    /// [`crate::StoreError::Raced`] when the rows have others.
    pub drained: [Option<Seq>; 2],
    /// Whether the target loses its set-id bits, as by a write.
    pub clear_suid: bool,
}

/// What a clone did.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Cloned {
    pub from: Arc<Inode>,
    pub to: RowChange,
    /// Bytes of the target that are the source's now.
    pub len: u64,
}

/// Copies that share blocks. See [`crate::MetadataStore`] for what every call promises.
#[async_trait]
pub trait Copies: Send + Sync + 'static {
    /// Gives a file the extents of another, in one transaction. The target's `flushed_seq` becomes `cx.born_seq`, so that no
    /// record that was issued before applies to it; its packs count what both refer to, its owner holds the bytes.
    ///
    /// The caller tests permissions, closes the gates of both files, drains them, and appends no record to the target before
    /// the transaction is durable. *Errors:* `InvalidArgument` for what are not two files, for a part that is empty, not
    /// aligned, beyond the source or the largest file, or that overlaps itself; `NotPermitted` for an immutable target; `TooLarge` for
    /// more extents than one transaction takes; [`crate::StoreError::Raced`].
    async fn clone_file(&self, cx: OpContext<'_>, request: CloneRequest) -> StoreResult<Applied<Cloned>>;
}

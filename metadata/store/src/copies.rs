//! Copies without copying: clones of files, snapshots of shares. Part of [`crate::MetadataStore`].

use crate::api::{Applied, OpContext, RowChange};
use crate::error::StoreResult;
use async_trait::async_trait;
use dfs_model::{Change, Epoch, Inode, InodeId, Name, Seq, ShareId, SnapshotId, Timestamp};
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
    /// The source; may be of a snapshot.
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

/// Most snapshots of a share.
pub const SNAPSHOTS_MAX: usize = 1024;

/// Why a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SnapshotOrigin {
    /// Somebody asked for it.
    Asked = 0,
    /// By the share's schedule, whose retention ends it.
    Schedule = 1,
    /// So that a restore can be taken back.
    BeforeRestore = 2,
}

/// A snapshot of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number.
    pub id: SnapshotId,
    /// Its name, unique in the share.
    pub name: Name,
    /// Why it was taken.
    pub origin: SnapshotOrigin,
    /// When.
    pub taken: Timestamp,
    /// The share's change number of then.
    pub change: Change,
    /// Inodes from this number on were born later.
    pub inodes_below: InodeId,
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

    /// Takes a snapshot of the share: everything as the transactions before this one left it. One transaction of constant
    /// size. Until it is deleted, reads of ids of the snapshot ([`InodeId::in_snapshot`], beginning with its root) answer
    /// from then, and no pack that it shows is buried. The directory [`InodeId::SNAPSHOTS`] lists the snapshots.
    ///
    /// *Errors:* `Exists` for a name that is taken; `Limit` for more than [`SNAPSHOTS_MAX`], and where numbers are used up.
    async fn snapshot_create(
        &self,
        cx: OpContext<'_>,
        name: Name,
        origin: SnapshotOrigin,
    ) -> StoreResult<Applied<Snapshot>>;
    /// Snapshots of a share, oldest first.
    async fn snapshots(&self, share: ShareId) -> StoreResult<Vec<Snapshot>>;
    /// Ends a snapshot at once: nobody sees it any more. What it kept is given back by [`Copies::snapshot_reap`].
    /// *Errors:* `NotFound`.
    async fn snapshot_delete(
        &self,
        share: ShareId,
        epoch: Epoch,
        snapshot: SnapshotId,
    ) -> StoreResult<Applied<()>>;
    /// Gives back some of what deleted snapshots kept (bounded work per call); `true`: nothing is left.
    async fn snapshot_reap(&self, share: ShareId, epoch: Epoch) -> StoreResult<Applied<bool>>;
    /// Bytes of data that the share no longer has and that are there for this snapshot, and perhaps older ones.
    async fn snapshot_bytes(&self, share: ShareId, snapshot: SnapshotId) -> StoreResult<u64>;
}

//! The trait. No default bodies: what a share lacks it refuses with `NotSupported` in so many words.

use crate::*;
use async_trait::async_trait;
use dfs_model::{Attrs, InodeId, LockHolder, Name, Rights, ShareId};

/// One share as every protocol sees it.
///
/// *Guarantees:* every call is atomic on all inodes it touches and linearizable per inode; the reply leaves only when the
/// share's durability class allows it; attributes before and after come from inside the change, on failure too.
/// *Errors:* [`Failed`]; `Delay` when `cx.deadline` passed while waiting. *Cancel:* dropping a future before the begin point
/// (first journal append or metadata commit) leaves nothing; mutating calls must be driven to their end by a task of their
/// own, which the protocol crates do.
#[async_trait]
pub trait Vfs: Send + Sync + 'static {
    /// The share's id.
    fn share_id(&self) -> ShareId;
    /// The share's root directory.
    fn root(&self) -> InodeId;
    /// Makes the wire form of a handle.
    fn encode_handle(&self, handle: &FileHandle) -> [u8; FileHandle::LEN];
    /// The handle of an inode whose attributes are known.
    fn handle_of(&self, attrs: &Attrs) -> FileHandle;
    /// The write verifier of this epoch.
    fn verifier(&self) -> WriteVerifier;
    /// Whether replies about the share may leave (JOURNAL F2). A protocol asks after the work, as late as it can, for every
    /// reply, of reads too; it sends none and ends the connection unless the answer is [`Standing::Valid`]. Costs little.
    fn standing(&self) -> Standing;

    /// Checks a handle and finds its inode. *Errors:* `BadHandle` for bytes that we did not make, `StaleHandle` for what
    /// is gone.
    async fn resolve(&self, cx: &RequestContext, handle: &[u8]) -> VfsResult<Resolved>;
    /// Follows names.
    async fn walk(&self, cx: &RequestContext, request: Walk) -> VfsResult<Walked>;
    /// A directory's parent.
    async fn parent(&self, cx: &RequestContext, dir: InodeId) -> VfsResult<Attrs>;
    /// Names of an inode, at most `limit`.
    async fn names_of(
        &self,
        cx: &RequestContext,
        inode: InodeId,
        limit: usize,
    ) -> VfsResult<Vec<(InodeId, Name)>>;
    /// Path of an open from the share's root.
    async fn path_of(&self, cx: &RequestContext, open: dfs_model::OpenId) -> VfsResult<Vec<Name>>;

    /// Reads attributes.
    async fn get_attr(&self, cx: &RequestContext, request: GetAttr) -> VfsResult<Attrs>;
    /// Evaluates access.
    async fn access(&self, cx: &RequestContext, request: Access) -> VfsResult<AccessReply>;
    /// Changes attributes, size included.
    async fn set_attr(&self, cx: &RequestContext, request: SetAttr) -> VfsResult<Changed>;
    /// Reads extended attributes.
    async fn xattr_get(
        &self,
        cx: &RequestContext,
        request: XattrGet,
    ) -> VfsResult<Vec<(bytes::Bytes, bytes::Bytes)>>;
    /// Changes extended attributes.
    async fn xattr_set(&self, cx: &RequestContext, request: XattrSet) -> VfsResult<Changed>;
    /// Lists extended attributes.
    async fn xattr_list(&self, cx: &RequestContext, request: XattrList) -> VfsResult<XattrNames>;
    /// Reads a security descriptor.
    async fn get_security(&self, cx: &RequestContext, request: GetSecurity) -> VfsResult<SecurityDescriptor>;
    /// Changes a security descriptor.
    async fn set_security(&self, cx: &RequestContext, request: SetSecurity) -> VfsResult<Changed>;
    /// Reads or changes reparse data.
    async fn reparse(&self, cx: &RequestContext, request: Reparse) -> VfsResult<Option<(u32, bytes::Bytes)>>;

    /// Makes an inode under a name.
    async fn create(&self, cx: &RequestContext, request: Create) -> VfsResult<CreateReply>;
    /// Adds a name.
    async fn link(&self, cx: &RequestContext, request: Link) -> VfsResult<LinkReply>;
    /// Takes a name away.
    async fn remove(&self, cx: &RequestContext, request: Remove) -> VfsResult<RemoveReply>;
    /// Moves a name.
    async fn rename(&self, cx: &RequestContext, request: Rename) -> VfsResult<RenameReply>;
    /// Marks an open for deletion.
    async fn set_delete(&self, cx: &RequestContext, request: SetDelete) -> VfsResult<()>;
    /// Reads a symlink.
    async fn read_link(&self, cx: &RequestContext, inode: InodeId) -> VfsResult<ReadLinkReply>;
    /// Reads a page of a directory.
    async fn read_dir(&self, cx: &RequestContext, request: ReadDir<'_>) -> VfsResult<ReadDirReply>;

    /// Reads bytes.
    async fn read(&self, cx: &RequestContext, request: Read) -> VfsResult<ReadReply>;
    /// Writes bytes.
    async fn write(&self, cx: &RequestContext, request: Write) -> VfsResult<WriteReply>;
    /// Makes what was written stable.
    async fn commit(&self, cx: &RequestContext, request: Commit) -> VfsResult<CommitReply>;
    /// Allocates, zeroes or punches.
    async fn allocate(&self, cx: &RequestContext, request: Allocate) -> VfsResult<Changed>;
    /// Finds data or a hole.
    async fn seek(&self, cx: &RequestContext, request: Seek) -> VfsResult<SeekReply>;
    /// Maps data.
    async fn map(&self, cx: &RequestContext, request: MapRange) -> VfsResult<MapReply>;
    /// Clones or copies a range.
    async fn copy(&self, cx: &RequestContext, request: CopyRange) -> VfsResult<CopyReply>;
    /// Takes a hint.
    async fn advise(&self, cx: &RequestContext, request: Advise) -> VfsResult<()>;

    /// Opens.
    async fn open(&self, cx: &RequestContext, request: Open) -> VfsResult<Opened>;
    /// Changes an open.
    async fn open_change(&self, cx: &RequestContext, request: OpenChange) -> VfsResult<()>;
    /// Closes.
    async fn close(&self, cx: &RequestContext, request: Close) -> VfsResult<CloseReply>;
    /// Tells that a client or session is gone; the answer says what became of each open.
    async fn open_lost(&self, cx: &RequestContext) -> VfsResult<Vec<(dfs_model::OpenId, OpenLost)>>;
    /// Takes a preserved open back.
    async fn reconnect(&self, cx: &RequestContext, request: Reconnect) -> VfsResult<Opened>;
    /// Takes locks.
    async fn lock(&self, cx: &RequestContext, request: Lock) -> VfsResult<LockReply>;
    /// Tests a lock: who is in the way?
    async fn lock_test(&self, cx: &RequestContext, request: LockTest) -> VfsResult<Option<LockHolder>>;
    /// Gives locks back.
    async fn unlock(&self, cx: &RequestContext, request: Unlock) -> VfsResult<()>;
    /// Ends a parked request.
    async fn cancel_park(&self, cx: &RequestContext, request: CancelPark) -> VfsResult<Cancelled>;
    /// Answers a break or returns a lease.
    async fn lease_ack(&self, cx: &RequestContext, request: LeaseAck) -> VfsResult<LeaseBits>;
    /// Asks for a lease without an open.
    async fn lease_get(&self, cx: &RequestContext, request: LeaseGet) -> VfsResult<Option<u64>>;
    /// Brings a holder's answer.
    async fn holder_answer(&self, cx: &RequestContext, request: HolderAnswer) -> VfsResult<()>;
    /// Subscribes to the notices of the caller's client.
    async fn notices(&self, cx: &RequestContext) -> VfsResult<Notices>;
    /// Watches a directory.
    async fn watch(&self, cx: &RequestContext, request: Watch) -> VfsResult<u64>;
    /// Ends a watch.
    async fn unwatch(&self, cx: &RequestContext, watch: u64) -> VfsResult<()>;

    /// Lists streams.
    async fn stream_list(&self, cx: &RequestContext, request: StreamList) -> VfsResult<Vec<StreamInfo>>;
    /// Renames or deletes a stream.
    async fn stream_change(&self, cx: &RequestContext, request: StreamChange) -> VfsResult<Changed>;
    /// Space, limits, features.
    async fn fs_info(&self, cx: &RequestContext) -> VfsResult<FsInfo>;
    /// Client records.
    async fn client(&self, cx: &RequestContext, call: ClientCall) -> VfsResult<ClientReply>;
    /// Snapshots.
    async fn snapshots(&self, cx: &RequestContext) -> VfsResult<Vec<SnapshotInfo>>;
    /// Effective rights of the caller on an inode, for listings that hide what is not accessible.
    async fn effective_rights(&self, cx: &RequestContext, inode: InodeId) -> VfsResult<Rights>;
}

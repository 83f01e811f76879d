//! The seam's trait over the engine. What this share does not serve it refuses in so many words.

use crate::attributes::stateless;
use crate::engine::Engine;
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::{Attrs, FsError, InodeId, LockHolder, Name, OpenId, Rights, ShareId};
use dfs_vfs::*;

/// Refuses changes of what is past. *Errors:* `ReadOnlyShare`.
fn present(inodes: &[InodeId]) -> VfsResult<()> {
    if inodes.iter().any(|inode| inode.is_past()) { Err(FsError::ReadOnlyShare.into()) } else { Ok(()) }
}

impl Engine {
    /// Refuses to make what the directory of snapshots is called. *Errors:* `Exists`.
    async fn not_reserved(&self, dir: InodeId, name: &Name) -> VfsResult<()> {
        if !crate::snapshots::is_folder(dir, name) {
            return Ok(());
        }
        Err(Failed::with(FsError::Exists, self.wcc_now(dir).await))
    }
}

/// Refuses an operation that no served protocol uses yet.
fn not_served<T>() -> VfsResult<T> {
    Err(FsError::NotSupported.into())
}

#[async_trait]
impl Vfs for Engine {
    fn share_id(&self) -> ShareId {
        self.share
    }

    fn root(&self) -> InodeId {
        InodeId::ROOT
    }

    fn encode_handle(&self, handle: &FileHandle) -> [u8; FileHandle::LEN] {
        handle.encode(&self.record.handle_key)
    }

    fn handle_of(&self, attrs: &Attrs) -> FileHandle {
        self.handle(attrs)
    }

    fn verifier(&self) -> WriteVerifier {
        self.write_verifier()
    }

    fn standing(&self) -> Standing {
        self.lease_standing()
    }

    async fn resolve(&self, _cx: &RequestContext, handle: &[u8]) -> VfsResult<Resolved> {
        self.do_resolve(handle).await
    }

    async fn walk(&self, cx: &RequestContext, request: Walk) -> VfsResult<Walked> {
        self.do_walk(cx, request).await
    }

    async fn parent(&self, _cx: &RequestContext, dir: InodeId) -> VfsResult<Attrs> {
        self.do_parent(dir).await
    }

    async fn names_of(
        &self,
        _cx: &RequestContext,
        inode: InodeId,
        limit: usize,
    ) -> VfsResult<Vec<(InodeId, Name)>> {
        Ok(self.store.names_of(self.share, inode, limit).await.map_err(|error| error.to_fs())?)
    }

    async fn path_of(&self, _cx: &RequestContext, _open: OpenId) -> VfsResult<Vec<Name>> {
        not_served()
    }

    async fn get_attr(&self, _cx: &RequestContext, request: GetAttr) -> VfsResult<Attrs> {
        self.do_get_attr(request).await
    }

    async fn access(&self, cx: &RequestContext, request: Access) -> VfsResult<AccessReply> {
        self.do_access(cx, request).await
    }

    async fn set_attr(&self, cx: &RequestContext, request: SetAttr) -> VfsResult<Changed> {
        present(&[stateless(request.target)?])?;
        self.do_set_attr(cx, request).await
    }

    async fn xattr_get(&self, cx: &RequestContext, request: XattrGet) -> VfsResult<Vec<(Bytes, Bytes)>> {
        self.do_xattr_get(cx, request).await
    }

    async fn xattr_set(&self, cx: &RequestContext, request: XattrSet) -> VfsResult<Changed> {
        present(&[stateless(request.target)?])?;
        self.do_xattr_set(cx, request).await
    }

    async fn xattr_list(&self, cx: &RequestContext, request: XattrList) -> VfsResult<XattrNames> {
        self.do_xattr_list(cx, request).await
    }

    async fn get_security(&self, cx: &RequestContext, request: GetSecurity) -> VfsResult<SecurityDescriptor> {
        self.do_get_security(cx, request).await
    }

    async fn set_security(&self, cx: &RequestContext, request: SetSecurity) -> VfsResult<Changed> {
        present(&[stateless(request.target)?])?;
        self.do_set_security(cx, request).await
    }

    async fn reparse(&self, _cx: &RequestContext, _request: Reparse) -> VfsResult<Option<(u32, Bytes)>> {
        not_served()
    }

    async fn create(&self, cx: &RequestContext, request: Create) -> VfsResult<CreateReply> {
        present(&[request.dir])?;
        self.not_reserved(request.dir, &request.name).await?;
        self.do_create(cx, request).await
    }

    async fn link(&self, cx: &RequestContext, request: Link) -> VfsResult<LinkReply> {
        present(&[request.inode, request.dir])?;
        self.not_reserved(request.dir, &request.name).await?;
        self.do_link(cx, request).await
    }

    async fn remove(&self, cx: &RequestContext, request: Remove) -> VfsResult<RemoveReply> {
        present(&[request.dir])?;
        self.do_remove(cx, request).await
    }

    async fn rename(&self, cx: &RequestContext, request: Rename) -> VfsResult<RenameReply> {
        present(&[request.from_dir, request.to_dir])?;
        self.not_reserved(request.to_dir, &request.to_name).await?;
        self.do_rename(cx, request).await
    }

    async fn set_delete(&self, _cx: &RequestContext, _request: SetDelete) -> VfsResult<()> {
        not_served()
    }

    async fn read_link(&self, _cx: &RequestContext, inode: InodeId) -> VfsResult<ReadLinkReply> {
        self.do_read_link(inode).await
    }

    async fn read_dir(&self, cx: &RequestContext, request: ReadDir<'_>) -> VfsResult<ReadDirReply> {
        self.do_read_dir(cx, request).await
    }

    async fn read(&self, cx: &RequestContext, request: Read) -> VfsResult<ReadReply> {
        self.do_read(cx, request).await
    }

    async fn write(&self, cx: &RequestContext, request: Write) -> VfsResult<WriteReply> {
        present(&[stateless(request.target)?])?;
        self.do_write(cx, request).await
    }

    async fn commit(&self, cx: &RequestContext, request: Commit) -> VfsResult<CommitReply> {
        self.do_commit(cx, request).await
    }

    async fn allocate(&self, _cx: &RequestContext, _request: Allocate) -> VfsResult<Changed> {
        not_served()
    }

    async fn seek(&self, _cx: &RequestContext, _request: Seek) -> VfsResult<SeekReply> {
        not_served()
    }

    async fn map(&self, _cx: &RequestContext, _request: MapRange) -> VfsResult<MapReply> {
        not_served()
    }

    async fn copy(&self, cx: &RequestContext, request: CopyRange) -> VfsResult<CopyReply> {
        present(&[stateless(request.to)?])?;
        self.do_copy(cx, request).await
    }

    async fn advise(&self, _cx: &RequestContext, _request: Advise) -> VfsResult<()> {
        not_served()
    }

    async fn open(&self, _cx: &RequestContext, _request: Open) -> VfsResult<Opened> {
        not_served()
    }

    async fn open_change(&self, _cx: &RequestContext, _request: OpenChange) -> VfsResult<()> {
        not_served()
    }

    async fn close(&self, _cx: &RequestContext, _request: Close) -> VfsResult<CloseReply> {
        not_served()
    }

    async fn open_lost(&self, _cx: &RequestContext) -> VfsResult<Vec<(OpenId, OpenLost)>> {
        not_served()
    }

    async fn reconnect(&self, _cx: &RequestContext, _request: Reconnect) -> VfsResult<Opened> {
        not_served()
    }

    async fn lock(&self, _cx: &RequestContext, _request: Lock) -> VfsResult<LockReply> {
        not_served()
    }

    async fn lock_test(&self, _cx: &RequestContext, _request: LockTest) -> VfsResult<Option<LockHolder>> {
        not_served()
    }

    async fn unlock(&self, _cx: &RequestContext, _request: Unlock) -> VfsResult<()> {
        not_served()
    }

    async fn cancel_park(&self, _cx: &RequestContext, _request: CancelPark) -> VfsResult<Cancelled> {
        not_served()
    }

    async fn lease_ack(&self, _cx: &RequestContext, _request: LeaseAck) -> VfsResult<LeaseBits> {
        not_served()
    }

    async fn lease_get(&self, _cx: &RequestContext, _request: LeaseGet) -> VfsResult<Option<u64>> {
        not_served()
    }

    async fn holder_answer(&self, _cx: &RequestContext, _request: HolderAnswer) -> VfsResult<()> {
        not_served()
    }

    async fn notices(&self, _cx: &RequestContext) -> VfsResult<Notices> {
        not_served()
    }

    async fn watch(&self, _cx: &RequestContext, _request: Watch) -> VfsResult<u64> {
        not_served()
    }

    async fn unwatch(&self, _cx: &RequestContext, _watch: u64) -> VfsResult<()> {
        not_served()
    }

    async fn stream_list(&self, _cx: &RequestContext, _request: StreamList) -> VfsResult<Vec<StreamInfo>> {
        not_served()
    }

    async fn stream_change(&self, _cx: &RequestContext, _request: StreamChange) -> VfsResult<Changed> {
        not_served()
    }

    async fn fs_info(&self, cx: &RequestContext) -> VfsResult<FsInfo> {
        self.do_fs_info(cx).await
    }

    async fn client(&self, _cx: &RequestContext, _call: ClientCall) -> VfsResult<ClientReply> {
        not_served()
    }

    async fn snapshots(&self, _cx: &RequestContext) -> VfsResult<Vec<SnapshotInfo>> {
        let told = |snapshot: dfs_store::Snapshot| SnapshotInfo {
            id: snapshot.id.0,
            name: String::from_utf8_lossy(snapshot.name.as_bytes()).into_owned(),
            taken: snapshot.taken,
            root: InodeId::ROOT.in_snapshot(snapshot.id),
        };
        Ok(self.all_snapshots().await?.into_iter().map(told).collect())
    }

    async fn effective_rights(&self, cx: &RequestContext, inode: InodeId) -> VfsResult<Rights> {
        let cell = self.cells.get(inode).await?;
        let rights = self.rights_of(&cell.state.lock(), &cx.credentials);
        Ok(rights)
    }
}

//! The seam's trait over the model.

use super::ModelVfs;
use super::attributes::{drop_privilege_bits, may_read, may_write, stateless};
use super::names::walk;
use crate::*;
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::{
    Attrs, FsError, Inode, InodeId, InodeKind, LockHolder, Name, OpenId, Rights, ShareId, Timestamp, Wcc,
    access,
};
use std::time::Duration;

/// Refuses an operation that no served protocol uses yet.
fn not_served<T>() -> VfsResult<T> {
    Err(FsError::NotSupported.into())
}

fn must_be_file(attrs: &Attrs) -> Result<(), FsError> {
    match attrs.kind {
        InodeKind::File => Ok(()),
        InodeKind::Directory => Err(FsError::IsDirectory),
        _ => Err(FsError::WrongType),
    }
}

/// Reading moves an atime that is a day old, or not newer than a change.
fn relatime(row: &mut Inode, now: Timestamp) {
    let day = Duration::from_secs(24 * 60 * 60);
    let old = row.atime <= row.mtime || row.atime <= row.ctime || row.atime.plus(day) <= now;
    if old && now > row.atime {
        row.atime = now;
    }
}

impl ModelVfs {
    fn read_now(&self, cx: &RequestContext, request: &Read) -> VfsResult<ReadReply> {
        let now = self.clock.wall();
        let mut tree = self.tree.lock();
        let node = tree.node_mut(stateless(request.target)?)?;
        let attrs = node.attrs();
        let checked = must_be_file(&attrs).and_then(|()| may_read(&node.row, &cx.credentials, request.rule));
        if let Err(error) = checked {
            return Err(Failed::with(error, Some(Wcc::unchanged(attrs))));
        }
        if request.len > 0 {
            relatime(&mut node.row, now);
        }
        let attrs = node.attrs();
        let left = attrs.size.saturating_sub(request.offset);
        let len = left.min(u64::from(request.len)) as usize;
        let eof = request.offset.saturating_add(len as u64) >= attrs.size;
        let data =
            if len == 0 { Vec::new() } else { vec![Bytes::from(node.bytes.read(request.offset, len))] };
        Ok(ReadReply { data, len, eof, attrs })
    }

    fn write_now(&self, cx: &RequestContext, request: &Write) -> VfsResult<WriteReply> {
        let now = self.clock.wall();
        let mut tree = self.tree.lock();
        let id = stateless(request.target)?;
        let before = tree.attrs(id)?;
        let refuse = |error| Failed::with(error, Some(Wcc::unchanged(before.clone())));
        must_be_file(&before).map_err(refuse)?;
        may_write(&tree.node(id)?.row, &cx.credentials, request.rule).map_err(refuse)?;
        let offset = match request.at {
            WriteAt::Offset(offset) => offset,
            WriteAt::Append => before.size,
        };
        let count = request.payload.len() as u64;
        let end = offset
            .checked_add(count)
            .filter(|end| *end <= FILE_SIZE_MAX)
            .ok_or_else(|| refuse(FsError::TooLarge))?;
        if count > 0 {
            tree.touch(id, now, true)?;
            let node = tree.node_mut(id)?;
            node.bytes.write(offset, &request.payload);
            node.row.size = node.row.size.max(end);
            node.row.allocated = node.bytes.held();
            drop_privilege_bits(&mut node.row, &cx.credentials);
        }
        let wcc = Wcc { pre: before.pre(), post: tree.attrs(id)? };
        let stability =
            if request.stability == Stability::Unstable { Stability::Unstable } else { Stability::FileSync };
        Ok(WriteReply { count: count as u32, stability, verifier: self.verifier_now(), wcc })
    }

    fn commit_now(&self, cx: &RequestContext, request: &Commit) -> VfsResult<CommitReply> {
        let tree = self.tree.lock();
        let node = tree.node(stateless(request.target)?)?;
        let wcc = Wcc::unchanged(node.attrs());
        let checked = match node.row.kind {
            InodeKind::File => may_write(&node.row, &cx.credentials, AccessRule::ByOpen),
            _ => Err(FsError::InvalidArgument),
        };
        match checked {
            Ok(()) => Ok(CommitReply { verifier: self.verifier_now(), wcc }),
            Err(error) => Err(Failed::with(error, Some(wcc))),
        }
    }

    fn info_now(&self) -> FsInfo {
        let tree = self.tree.lock();
        let used: u64 = tree.nodes.values().map(|node| node.bytes.held()).sum();
        let inodes = tree.nodes.len() as u64;
        let total = 1 << 50;
        FsInfo {
            share: self.share,
            fsid: 1,
            space_total: total,
            space_free: total - used,
            space_available: total - used,
            inodes_total: 1 << 40,
            inodes_free: (1 << 40) - inodes,
            inodes_available: (1 << 40) - inodes,
            file_size_max: FILE_SIZE_MAX,
            name_len_max: Name::LEN_MAX as u32,
            links_max: 65_000,
            read_max: 1 << 20,
            write_max: 1 << 20,
            time_granularity_nanos: 1,
            features: Features { clone: true, ..Features::default() },
            label: String::new(),
            serial: 1,
            clone_unit: super::clone::CLONE_UNIT as u32,
            case_sensitive: true,
            read_only: false,
        }
    }
}

#[async_trait]
impl Vfs for ModelVfs {
    fn share_id(&self) -> ShareId {
        self.share
    }

    fn root(&self) -> InodeId {
        InodeId::ROOT
    }

    fn encode_handle(&self, handle: &FileHandle) -> [u8; FileHandle::LEN] {
        handle.encode(&self.handle_key)
    }

    fn handle_of(&self, attrs: &Attrs) -> FileHandle {
        FileHandle {
            kind: HandleKind::Inode,
            share: self.share,
            inode: attrs.inode,
            generation: attrs.generation,
        }
    }

    fn verifier(&self) -> WriteVerifier {
        self.verifier_now()
    }

    fn standing(&self) -> Standing {
        *self.standing.lock()
    }

    async fn resolve(&self, _cx: &RequestContext, handle: &[u8]) -> VfsResult<Resolved> {
        let handle = FileHandle::decode(handle, &self.handle_key).map_err(|_| FsError::BadHandle)?;
        if handle.share != self.share || handle.kind != HandleKind::Inode {
            return Err(FsError::BadHandle.into());
        }
        let tree = self.tree.lock();
        let row = &tree.node(handle.inode)?.row;
        if row.generation != handle.generation {
            return Err(FsError::StaleHandle.into());
        }
        Ok(Resolved { inode: handle.inode, kind: row.kind })
    }

    async fn walk(&self, cx: &RequestContext, request: Walk) -> VfsResult<Walked> {
        let tree = self.tree.lock();
        let dir = tree.attrs(request.dir)?;
        if request.steps.len() > WALK_NAMES_MAX {
            return Err(FsError::InvalidArgument.into());
        }
        if request.case == NameCase::Fold {
            return not_served();
        }
        match walk(&tree, &cx.credentials, &request) {
            Ok(steps) => {
                let steps =
                    steps.into_iter().map(|(inode, name, attrs)| WalkedStep { inode, name, attrs }).collect();
                Ok(Walked { dir, steps })
            }
            Err(error) => Err(Failed::with(error, Some(Wcc::unchanged(dir)))),
        }
    }

    async fn parent(&self, _cx: &RequestContext, dir: InodeId) -> VfsResult<Attrs> {
        let tree = self.tree.lock();
        let row = &tree.node(dir)?.row;
        if !row.is_dir() {
            return Err(FsError::NotDirectory.into());
        }
        Ok(tree.attrs(row.parent)?)
    }

    async fn names_of(
        &self,
        _cx: &RequestContext,
        inode: InodeId,
        limit: usize,
    ) -> VfsResult<Vec<(InodeId, Name)>> {
        let tree = self.tree.lock();
        let mut names = Vec::new();
        for (dir, node) in &tree.nodes {
            let here = node.entries.iter().filter(|(_, (_, id))| *id == inode);
            names.extend(here.map(|(name, _)| (*dir, name.clone())));
        }
        names.truncate(limit);
        Ok(names)
    }

    async fn path_of(&self, _cx: &RequestContext, _open: OpenId) -> VfsResult<Vec<Name>> {
        not_served()
    }

    async fn get_attr(&self, _cx: &RequestContext, request: GetAttr) -> VfsResult<Attrs> {
        Ok(self.tree.lock().attrs(stateless(request.target)?)?)
    }

    async fn access(&self, cx: &RequestContext, request: Access) -> VfsResult<AccessReply> {
        let tree = self.tree.lock();
        let node = tree.node(stateless(request.target)?)?;
        let granted = Rights(access::granted(&node.row, &cx.credentials).0 & request.rights.0);
        Ok(AccessReply { granted, decided: request.rights, attrs: node.attrs() })
    }

    async fn set_attr(&self, cx: &RequestContext, request: SetAttr) -> VfsResult<Changed> {
        self.set_attr_now(cx, &request)
    }

    async fn xattr_get(&self, cx: &RequestContext, request: XattrGet) -> VfsResult<Vec<(Bytes, Bytes)>> {
        self.xattr_get_now(cx, &request)
    }

    async fn xattr_set(&self, cx: &RequestContext, request: XattrSet) -> VfsResult<Changed> {
        self.xattr_set_now(cx, &request)
    }

    async fn xattr_list(&self, cx: &RequestContext, request: XattrList) -> VfsResult<XattrNames> {
        self.xattr_list_now(cx, &request)
    }

    async fn get_security(&self, cx: &RequestContext, request: GetSecurity) -> VfsResult<SecurityDescriptor> {
        let tree = self.tree.lock();
        let node = tree.node(stateless(request.target)?)?;
        SecurityDescriptor::of(&node.row, request.parts, &cx.credentials)
            .map_err(|error| Failed::with(error, Some(Wcc::unchanged(node.attrs()))))
    }

    async fn set_security(&self, cx: &RequestContext, request: SetSecurity) -> VfsResult<Changed> {
        self.set_security_now(cx, &request)
    }

    async fn reparse(&self, _cx: &RequestContext, _request: Reparse) -> VfsResult<Option<(u32, Bytes)>> {
        not_served()
    }

    async fn create(&self, cx: &RequestContext, request: Create) -> VfsResult<CreateReply> {
        self.create_now(cx, request)
    }

    async fn link(&self, cx: &RequestContext, request: Link) -> VfsResult<LinkReply> {
        self.link_now(cx, &request)
    }

    async fn remove(&self, cx: &RequestContext, request: Remove) -> VfsResult<RemoveReply> {
        self.remove_now(cx, &request)
    }

    async fn rename(&self, cx: &RequestContext, request: Rename) -> VfsResult<RenameReply> {
        self.rename_now(cx, &request)
    }

    async fn set_delete(&self, _cx: &RequestContext, _request: SetDelete) -> VfsResult<()> {
        not_served()
    }

    async fn read_link(&self, _cx: &RequestContext, inode: InodeId) -> VfsResult<ReadLinkReply> {
        let tree = self.tree.lock();
        let node = tree.node(inode)?;
        match &node.row.link_target {
            Some(target) => Ok(ReadLinkReply { target: target.clone(), attrs: node.attrs() }),
            None => Err(Failed::with(FsError::InvalidArgument, Some(Wcc::unchanged(node.attrs())))),
        }
    }

    async fn read_dir(&self, cx: &RequestContext, request: ReadDir<'_>) -> VfsResult<ReadDirReply> {
        self.read_dir_now(cx, &request)
    }

    async fn read(&self, cx: &RequestContext, request: Read) -> VfsResult<ReadReply> {
        self.read_now(cx, &request)
    }

    async fn write(&self, cx: &RequestContext, request: Write) -> VfsResult<WriteReply> {
        self.write_now(cx, &request)
    }

    async fn commit(&self, cx: &RequestContext, request: Commit) -> VfsResult<CommitReply> {
        self.commit_now(cx, &request)
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
        self.copy_now(cx, &request)
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

    async fn fs_info(&self, _cx: &RequestContext) -> VfsResult<FsInfo> {
        Ok(self.info_now())
    }

    async fn client(&self, _cx: &RequestContext, _call: ClientCall) -> VfsResult<ClientReply> {
        not_served()
    }

    async fn snapshots(&self, _cx: &RequestContext) -> VfsResult<Vec<SnapshotInfo>> {
        // Nobody takes any of a model.
        Ok(Vec::new())
    }

    async fn effective_rights(&self, cx: &RequestContext, inode: InodeId) -> VfsResult<Rights> {
        Ok(access::granted(&self.tree.lock().node(inode)?.row, &cx.credentials))
    }
}

//! The fixture: a store, a fresh share, and short forms of the calls.

use crate::{
    Applied, ChangeCounter, CreateMode, CreateRequest, Created, LinkRequest, Linked, MetadataStore,
    OpContext, PackRow, PlaceInode, PlaceRequest, Placed, ReadDirRequest, RemoveKind, RemoveRequest, Removed,
    RenameRequest, Renamed, Replace, RowChange, SetAttrRequest, ShareRecord, StoreError, StoreResult,
};
use bytes::Bytes;
use dfs_model::extent::Compression;
use dfs_model::{
    AttrPatch, BlockRef, Change, Cookie, Credentials, DeviceNumber, Epoch, ExtentRun, FsError, Generation,
    Guard, Inode, InodeId, InodeKind, Name, PackId, Patch, ReplayKey, Seq, ShareId, Timestamp,
};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A share under test. Time moves one second per call.
pub struct Bed {
    pub store: Arc<dyn MetadataStore>,
    pub share: ShareId,
    pub epoch: Epoch,
    pub changes: ChangeCounter,
    pub root: Credentials,
    pub user: Credentials,
    pub other: Credentials,
    seconds: AtomicI64,
    seq: AtomicU64,
    packs: AtomicU64,
}

/// A name that is valid.
pub fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// Asserts that a call was refused with this error.
#[track_caller]
pub fn refused<T: Debug>(result: StoreResult<T>, wanted: FsError) {
    match result {
        Err(StoreError::Refused(found)) => assert_eq!(found, wanted),
        other => panic!("wanted {wanted:?}, found {other:?}"),
    }
}

impl Bed {
    /// A record as the control plane would make it.
    pub fn record(number: u128) -> ShareRecord {
        ShareRecord {
            share: ShareId(number),
            name: format!("share-{number}"),
            incarnation: Generation(7),
            fsid: number as u64,
            handle_key: [9; 16],
            fold_version: Name::FOLD_VERSION,
            block_size: 256 * 1024,
            created: Timestamp::new(1_000, 0),
            epoch: Epoch(0),
            settings: vec![("names".into(), "bytes".into())],
        }
    }

    /// Makes share `number` (root 0777, owned by root) and opens it.
    pub async fn new(store: Arc<dyn MetadataStore>, number: u128) -> Bed {
        store.create_share(Bed::record(number), 0o777, 0, 0).await.unwrap();
        Bed::open(store, number).await
    }

    /// Opens a share that is there.
    pub async fn open(store: Arc<dyn MetadataStore>, number: u128) -> Bed {
        store.begin_epoch(ShareId(number)).await.unwrap();
        Bed::open_at(store, number).await
    }

    /// Goes on in the share's current epoch.
    pub async fn open_at(store: Arc<dyn MetadataStore>, number: u128) -> Bed {
        let share = ShareId(number);
        let epoch = store.share(share).await.unwrap().epoch;
        Bed {
            store,
            share,
            epoch,
            changes: ChangeCounter::new(epoch),
            root: Credentials::unix(0, 0, &[]),
            user: Credentials::unix(1000, 1000, &[2000]),
            other: Credentials::unix(1001, 1001, &[]),
            seconds: AtomicI64::new(2_000 + i64::from(epoch.0) * 100_000),
            seq: AtomicU64::new(Seq::new(epoch, 0).0),
            packs: AtomicU64::new(u64::from(epoch.0) << 32),
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::new(self.seconds.fetch_add(1, Ordering::Relaxed), 500)
    }

    pub fn cx<'a>(&'a self, who: &'a Credentials) -> OpContext<'a> {
        OpContext {
            share: self.share,
            epoch: self.epoch,
            credentials: who,
            now: self.now(),
            changes: &self.changes,
            born_seq: Seq(self.seq.load(Ordering::Relaxed)),
            replay: None,
        }
    }

    pub fn cx_replay<'a>(&'a self, who: &'a Credentials, key: &'a ReplayKey) -> OpContext<'a> {
        OpContext { replay: Some(key), ..self.cx(who) }
    }

    /// The seq of one more journal record.
    pub fn next_seq(&self) -> Seq {
        Seq(self.seq.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub fn request(dir: InodeId, text: &str, kind: InodeKind) -> CreateRequest {
        CreateRequest {
            dir,
            name: name(text),
            kind,
            mode: CreateMode::Guarded,
            attrs: AttrPatch::default(),
            link_target: (kind == InodeKind::Symlink).then(|| Bytes::from_static(b"target")),
            device: DeviceNumber::default(),
        }
    }

    pub async fn create(&self, who: &Credentials, request: CreateRequest) -> StoreResult<Created> {
        self.store.create(self.cx(who), request).await.map(|applied| applied.value)
    }

    /// A file made by root with this mode.
    pub async fn file(&self, dir: InodeId, text: &str) -> InodeId {
        self.made(dir, text, InodeKind::File, 0o644, &self.root).await
    }

    /// A directory made by root, 0777.
    pub async fn mkdir(&self, dir: InodeId, text: &str) -> InodeId {
        self.made(dir, text, InodeKind::Directory, 0o777, &self.root).await
    }

    pub async fn made(
        &self,
        dir: InodeId,
        text: &str,
        kind: InodeKind,
        mode: u16,
        who: &Credentials,
    ) -> InodeId {
        let mut request = Bed::request(dir, text, kind);
        request.attrs.mode = Patch::Set(mode);
        self.create(who, request).await.unwrap().inode.id
    }

    pub async fn lookup(&self, dir: InodeId, text: &str) -> Option<InodeId> {
        let found = self.store.lookup(self.share, dir, &name(text)).await.unwrap();
        found.map(|(dentry, inode)| {
            assert_eq!(dentry.inode, inode.id);
            assert_eq!(dentry.kind, inode.kind);
            inode.id
        })
    }

    pub async fn inode(&self, inode: InodeId) -> Arc<Inode> {
        self.store.inode(self.share, inode).await.unwrap().unwrap()
    }

    pub async fn gone(&self, inode: InodeId) -> bool {
        self.store.inode(self.share, inode).await.unwrap().is_none()
    }

    pub async fn link(
        &self,
        who: &Credentials,
        inode: InodeId,
        dir: InodeId,
        text: &str,
    ) -> StoreResult<Linked> {
        let request = LinkRequest { inode, dir, name: name(text) };
        self.store.link(self.cx(who), request).await.map(|applied| applied.value)
    }

    pub fn removal(dir: InodeId, text: &str) -> RemoveRequest {
        RemoveRequest { dir, name: name(text), kind: RemoveKind::Any, expect: None, keep_orphan: false }
    }

    pub async fn remove_by(&self, who: &Credentials, request: RemoveRequest) -> StoreResult<Removed> {
        self.store.remove(self.cx(who), request).await.map(|applied| applied.value)
    }

    pub async fn remove(&self, dir: InodeId, text: &str) -> StoreResult<Removed> {
        self.remove_by(&self.root, Bed::removal(dir, text)).await
    }

    pub fn renaming(from_dir: InodeId, from: &str, to_dir: InodeId, to: &str) -> RenameRequest {
        RenameRequest {
            from_dir,
            from_name: name(from),
            to_dir,
            to_name: name(to),
            replace: Replace::Posix,
            expect_moved: None,
            expect_replaced: None,
            keep_orphan: false,
        }
    }

    pub async fn rename_by(&self, who: &Credentials, request: RenameRequest) -> StoreResult<Renamed> {
        self.store.rename(self.cx(who), request).await.map(|applied| applied.value)
    }

    pub async fn rename(
        &self,
        from_dir: InodeId,
        from: &str,
        to_dir: InodeId,
        to: &str,
    ) -> StoreResult<Renamed> {
        self.rename_by(&self.root, Bed::renaming(from_dir, from, to_dir, to)).await
    }

    pub async fn set(&self, who: &Credentials, inode: InodeId, patch: AttrPatch) -> StoreResult<RowChange> {
        let request = SetAttrRequest { inode, patch, guard: Guard::None };
        self.store.set_attr(self.cx(who), request).await.map(|applied| applied.value)
    }

    /// Cookies and names of a whole listing, read in pages of `page`.
    pub async fn list(&self, dir: InodeId, page: usize) -> Vec<(Cookie, Name)> {
        let up_to = self.store.last_cookie(self.share, dir).await.unwrap();
        let (mut after, mut names) = (Cookie::START, Vec::new());
        loop {
            let request = ReadDirRequest { dir, after, up_to, limit: page, rows: false };
            let found = self.store.read_dir(self.share, request).await.unwrap();
            names.extend(found.entries.iter().map(|(dentry, _)| (dentry.cookie, dentry.name.clone())));
            match found.entries.last() {
                Some((last, _)) => after = last.cookie,
                None => assert!(found.end, "an empty page is the end"),
            }
            if found.end {
                return names;
            }
        }
    }

    /// A new pack id with a row `up`.
    pub async fn pack_up(&self) -> PackId {
        let pack = PackId(u128::from(self.packs.fetch_add(1, Ordering::Relaxed)) + 1);
        let now = self.now();
        self.store.pack_begin(self.share, self.epoch, pack, 1 << 20, now).await.unwrap();
        pack
    }

    /// A run of blocks of `block` bytes at file byte `offset`, stored at half their size.
    pub fn run(pack: PackId, offset: u64, block: u32, count: u32) -> ExtentRun {
        let one = BlockRef {
            stored_len: block.div_ceil(2).max(1),
            decoded_len: block,
            compression: Compression::Lz4,
            hash: offset,
        };
        ExtentRun::new(offset, pack, 0, 0, vec![one; count as usize]).unwrap()
    }

    /// A place of one inode that ends with `size` and brings `extents`.
    pub async fn part(&self, inode: InodeId, size: u64, extents: Vec<ExtentRun>) -> PlaceInode {
        let row = self.inode(inode).await;
        let now = self.now();
        PlaceInode {
            inode,
            from_seq: row.flushed_seq,
            to_seq: self.next_seq(),
            extents,
            zeros: Vec::new(),
            size_low: row.size.min(size),
            size,
            atime: None,
            mtime: Some(now),
            ctime: now,
            change: self.changes.take(),
            clear_suid: None,
            set_archive: None,
        }
    }

    pub async fn place(&self, packs: Vec<PackId>, inodes: Vec<PlaceInode>) -> StoreResult<Placed> {
        let request = PlaceRequest { packs, inodes };
        self.store.place(self.share, self.epoch, request).await.map(|applied| applied.value)
    }

    /// Writes `[offset, offset + block · count)` of a file by a place of its own; answers the pack.
    pub async fn written(&self, inode: InodeId, offset: u64, block: u32, count: u32) -> PackId {
        let pack = self.pack_up().await;
        let run = Bed::run(pack, offset, block, count);
        let row = self.inode(inode).await;
        let mut part = self.part(inode, row.size.max(run.end()), vec![run]).await;
        part.size_low = row.size;
        self.place(vec![pack], vec![part]).await.unwrap();
        pack
    }

    pub async fn map(&self, inode: InodeId) -> Vec<ExtentRun> {
        self.store.extents(self.share, inode, 0, u64::MAX, usize::MAX).await.unwrap()
    }

    pub async fn pack(&self, pack: PackId) -> PackRow {
        self.store.pack(self.share, pack).await.unwrap().unwrap()
    }

    pub async fn bury(&self, packs: &[PackId]) -> Vec<PackId> {
        let now = self.now();
        let applied: Applied<Vec<PackId>> =
            self.store.packs_bury(self.share, self.epoch, packs, now).await.unwrap();
        applied.value
    }

    /// A change number above all before.
    pub fn change(&self) -> Change {
        self.changes.take()
    }
}

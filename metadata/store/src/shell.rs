//! The store around the operations: one mapping from the trait to operation functions, for every row-level backend.

mod copies;

use crate::kv::View;
use crate::lease::Lease;
use crate::ops::{self, Tx};
use crate::{
    Applied, CommitToken, CreateRequest, Created, Dentry, DirPage, LinkRequest, Linked, MetadataStore,
    OpContext, PackRow, PlaceRequest, Placed, QuotaEntry, ReadDirRequest, RemoveRequest, Removed,
    RenameRequest, Renamed, ReplayOutcome, RowChange, SetAttrRequest, ShareRecord, StateTable, StoreResult,
    Usage, XattrSetRequest,
};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_log::{Mutations, Rule};
use dfs_model::quota::{Quota, QuotaSubject};
use dfs_model::{Cookie, Epoch, ExtentRun, Inode, InodeId, Name, PackId, ReplayKey, ShareId, Timestamp};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// What placing one small file writes into a redo record, and the most that is guessed; bytes.
const PLACED_FILE_REDO: u64 = 640;
const PLACE_REDO_MAX: u64 = 4 << 20;

/// Rows that deleting a share takes in one transaction.
const DELETE_CHUNK: usize = 4096;

/// Whether an operation may be told that there is no space, or to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// It makes things: refused below the free-space limit, held back while a checkpoint lags.
    Grows,
    /// It takes things away, or makes dirty state clean: always let through, on the reserve if need be.
    Always,
    /// As `Always`, with a redo record of about so many bytes: a good guess spares running it twice.
    Large(u64),
}

/// An operation that may be run again from the start.
pub type Op<'a, T> = &'a (dyn Fn(&mut Tx<'_>) -> StoreResult<T> + Sync + 'a);

/// Where rows live: what `memory` and `embedded` differ in.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The view that reads see: every transaction that returned.
    type View: View;

    /// The rows as they are now.
    fn view(&self) -> StoreResult<Self::View>;
    /// Rules that a test dropped.
    fn mutations(&self) -> &Mutations;
    /// Runs an operation on the newest rows and applies its batch, atomically and alone.
    async fn write<T: Send>(&self, share: ShareId, space: Space, op: Op<'_, T>) -> StoreResult<Applied<T>>;
    /// See [`MetadataStore::durable`].
    async fn durable(&self, commit: CommitToken) -> StoreResult<()>;
    /// See [`MetadataStore::last_commit`].
    fn last_commit(&self) -> CommitToken;
    /// See [`MetadataStore::durable_commit`].
    fn durable_commit(&self) -> CommitToken;
    /// See [`MetadataStore::poisoned`].
    fn poisoned(&self) -> Option<String>;
    /// See [`MetadataStore::place_bytes_max`].
    fn place_bytes_max(&self) -> u64;
    /// See [`MetadataStore::checkpoint`].
    async fn checkpoint(&self) -> StoreResult<()>;
}

/// A [`MetadataStore`] over a backend.
#[derive(Debug)]
pub struct Store<B> {
    /// The backend.
    pub(crate) backend: B,
    /// Leases of the newest openings: without end until the next one.
    pub(crate) leases: Leases,
}

/// Leases by share.
pub type Leases = Mutex<HashMap<ShareId, Arc<Lease>>>;

impl<B: Backend> Store<B> {
    fn read<T>(&self, share: ShareId, op: impl FnOnce(&Tx<'_>) -> StoreResult<T>) -> StoreResult<T> {
        let view = self.backend.view()?;
        op(&Tx::new(&view, share, self.backend.mutations()))
    }

    /// Ends the lease of the opening before and begins that of this one.
    fn opened(&self, share: ShareId) {
        if let Some(before) = self.leases.lock().insert(share, Lease::endless()) {
            before.lose();
        }
    }

    async fn write_durably<T: Send>(&self, share: ShareId, op: Op<'_, T>) -> StoreResult<T> {
        let applied = self.backend.write(share, Space::Always, op).await?;
        self.backend.durable(applied.commit).await?;
        Ok(applied.value)
    }

    /// Deletes rows of shares whose deletion was begun, also before a crash.
    pub(crate) async fn finish_deletions(&self) -> StoreResult<()> {
        let doomed = ops::doomed_shares(&self.backend.view()?)?;
        for share in doomed {
            while !self.write_durably(share, &|tx| ops::delete_some(tx, DELETE_CHUNK)).await? {}
        }
        Ok(())
    }

    /// Deletes outcomes of operations that nobody can repeat any more; answers how many rows it may have looked at.
    /// Housekeeping, off every request's path.
    pub async fn prune_replays(&self, now: Timestamp) -> StoreResult<()> {
        const ROWS: usize = 1024;
        for share in self.shares().await? {
            let mut after = None;
            loop {
                let from: Option<Vec<u8>> = after.take();
                let op = |tx: &mut Tx<'_>| ops::prune_replays(tx, now, from.clone(), ROWS);
                after = self.backend.write(share.share, Space::Always, &op).await?.value;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<B: Backend> MetadataStore for Store<B> {
    async fn durable(&self, commit: CommitToken) -> StoreResult<()> {
        self.backend.durable(commit).await
    }

    fn last_commit(&self) -> CommitToken {
        self.backend.last_commit()
    }

    fn durable_commit(&self) -> CommitToken {
        self.backend.durable_commit()
    }

    fn poisoned(&self) -> Option<String> {
        self.backend.poisoned()
    }

    fn place_bytes_max(&self) -> u64 {
        self.backend.place_bytes_max()
    }

    async fn checkpoint(&self) -> StoreResult<()> {
        self.backend.checkpoint().await
    }

    async fn create_share(
        &self,
        record: ShareRecord,
        root_mode: u16,
        root_uid: u32,
        root_gid: u32,
    ) -> StoreResult<()> {
        let op = |tx: &mut Tx<'_>| ops::create_share(tx, &record, root_mode, root_uid, root_gid);
        self.write_durably(record.share, &op).await
    }

    async fn shares(&self) -> StoreResult<Vec<ShareRecord>> {
        ops::read_shares(&self.backend.view()?, self.backend.mutations())
    }

    async fn share(&self, share: ShareId) -> StoreResult<ShareRecord> {
        self.read(share, ops::read_share)
    }

    async fn set_share_settings(&self, share: ShareId, settings: Vec<(String, String)>) -> StoreResult<()> {
        self.write_durably(share, &|tx| ops::set_settings(tx, &settings)).await
    }

    async fn delete_share(&self, share: ShareId) -> StoreResult<()> {
        self.write_durably(share, &|tx| ops::doom_share(tx)).await?;
        self.finish_deletions().await
    }

    async fn begin_epoch(&self, share: ShareId) -> StoreResult<Epoch> {
        if self.backend.mutations().off(Rule::EpochDurableFirst) {
            let applied = self.backend.write(share, Space::Always, &|tx| ops::begin_epoch(tx)).await?;
            self.opened(share);
            return Ok(applied.value);
        }
        let epoch = self.write_durably(share, &|tx| ops::begin_epoch(tx)).await?;
        self.opened(share);
        Ok(epoch)
    }

    fn lease(&self, share: ShareId) -> Arc<Lease> {
        self.leases.lock().get(&share).cloned().unwrap_or_else(Lease::over)
    }

    async fn write_ends(
        &self,
        share: ShareId,
        epoch: Epoch,
        held: &[(Epoch, u64)],
    ) -> StoreResult<Vec<(Epoch, u64)>> {
        if self.backend.mutations().off(Rule::EpochDurableFirst) {
            let op = |tx: &mut Tx<'_>| ops::write_ends(tx, epoch, held);
            return Ok(self.backend.write(share, Space::Always, &op).await?.value);
        }
        self.write_durably(share, &|tx| ops::write_ends(tx, epoch, held)).await
    }

    async fn inode(&self, share: ShareId, inode: InodeId) -> StoreResult<Option<Arc<Inode>>> {
        self.inode_at(share, inode)
    }

    async fn inodes(&self, share: ShareId, inodes: &[InodeId]) -> StoreResult<Vec<Option<Arc<Inode>>>> {
        match inodes.iter().any(|inode| inode.is_past()) {
            true => inodes.iter().map(|inode| self.inode_at(share, *inode)).collect(),
            false => self.read(share, |tx| ops::inodes(tx, inodes)),
        }
    }

    async fn lookup(
        &self,
        share: ShareId,
        dir: InodeId,
        name: &Name,
    ) -> StoreResult<Option<(Dentry, Arc<Inode>)>> {
        self.name_at(share, dir, name, false)
    }

    async fn lookup_fold(
        &self,
        share: ShareId,
        dir: InodeId,
        name: &Name,
    ) -> StoreResult<Option<(Dentry, Arc<Inode>)>> {
        self.name_at(share, dir, name, true)
    }

    async fn read_dir(&self, share: ShareId, request: ReadDirRequest) -> StoreResult<DirPage> {
        self.page_at(share, &request)
    }

    async fn last_cookie(&self, share: ShareId, dir: InodeId) -> StoreResult<Cookie> {
        self.last_cookie_at(share, dir)
    }

    async fn names_of(
        &self,
        share: ShareId,
        inode: InodeId,
        limit: usize,
    ) -> StoreResult<Vec<(InodeId, Name)>> {
        // The index from inodes to names is of now: what is past has none.
        match inode.is_past() {
            true => Ok(Vec::new()),
            false => self.read(share, |tx| ops::names_of(tx, inode, limit)),
        }
    }

    async fn extents(
        &self,
        share: ShareId,
        inode: InodeId,
        start: u64,
        end: u64,
        limit: usize,
    ) -> StoreResult<Vec<ExtentRun>> {
        let nothing = |_: &Tx<'_>| Ok(Vec::new());
        self.read_at(share, inode, |tx, inode| ops::extents(tx, inode, start, end, limit), nothing)
    }

    async fn usage(&self, share: ShareId) -> StoreResult<Usage> {
        self.read(share, ops::usage)
    }

    async fn create(&self, cx: OpContext<'_>, request: CreateRequest) -> StoreResult<Applied<Created>> {
        self.backend.write(cx.share, Space::Grows, &|tx| ops::create(tx, &cx, &request)).await
    }

    async fn link(&self, cx: OpContext<'_>, request: LinkRequest) -> StoreResult<Applied<Linked>> {
        self.backend.write(cx.share, Space::Grows, &|tx| ops::link(tx, &cx, &request)).await
    }

    async fn remove(&self, cx: OpContext<'_>, request: RemoveRequest) -> StoreResult<Applied<Removed>> {
        self.backend.write(cx.share, Space::Always, &|tx| ops::remove(tx, &cx, &request)).await
    }

    async fn rename(&self, cx: OpContext<'_>, request: RenameRequest) -> StoreResult<Applied<Renamed>> {
        self.backend.write(cx.share, Space::Always, &|tx| ops::rename(tx, &cx, &request)).await
    }

    async fn set_attr(&self, cx: OpContext<'_>, request: SetAttrRequest) -> StoreResult<Applied<RowChange>> {
        self.backend.write(cx.share, Space::Always, &|tx| ops::set_attr(tx, &cx, &request)).await
    }

    async fn xattrs(
        &self,
        share: ShareId,
        inode: InodeId,
        names: &[Bytes],
    ) -> StoreResult<Vec<(Bytes, Bytes)>> {
        self.read_at(share, inode, |tx, inode| ops::xattrs(tx, inode, names), |_| Ok(Vec::new()))
    }

    async fn xattr_set(
        &self,
        cx: OpContext<'_>,
        request: XattrSetRequest,
    ) -> StoreResult<Applied<RowChange>> {
        self.backend.write(cx.share, Space::Grows, &|tx| ops::xattr_set(tx, &cx, &request)).await
    }

    async fn replayed(&self, share: ShareId, key: &ReplayKey) -> StoreResult<Option<ReplayOutcome>> {
        self.read(share, |tx| ops::replayed(tx, key))
    }

    async fn reap(&self, share: ShareId, epoch: Epoch, inode: InodeId) -> StoreResult<Applied<bool>> {
        self.backend.write(share, Space::Always, &|tx| ops::reap(tx, epoch, inode)).await
    }

    async fn orphans(&self, share: ShareId, after: InodeId, limit: usize) -> StoreResult<Vec<InodeId>> {
        self.read(share, |tx| ops::orphans(tx, after, limit))
    }

    async fn pack_begin(
        &self,
        share: ShareId,
        epoch: Epoch,
        pack: PackId,
        len: u64,
        now: Timestamp,
    ) -> StoreResult<Applied<()>> {
        self.backend.write(share, Space::Always, &|tx| ops::pack_begin(tx, epoch, pack, len, now)).await
    }

    async fn packs_bury(
        &self,
        share: ShareId,
        epoch: Epoch,
        packs: &[PackId],
        now: Timestamp,
    ) -> StoreResult<Applied<Vec<PackId>>> {
        self.backend.write(share, Space::Always, &|tx| ops::packs_bury(tx, epoch, packs, now)).await
    }

    async fn packs_forget(&self, share: ShareId, epoch: Epoch, packs: &[PackId]) -> StoreResult<Applied<()>> {
        self.backend.write(share, Space::Always, &|tx| ops::packs_forget(tx, epoch, packs)).await
    }

    async fn packs(&self, share: ShareId, after: Option<PackId>, limit: usize) -> StoreResult<Vec<PackRow>> {
        self.read(share, |tx| ops::packs(tx, after, limit))
    }

    async fn pack(&self, share: ShareId, pack: PackId) -> StoreResult<Option<PackRow>> {
        self.read(share, |tx| ops::pack(tx, pack))
    }

    async fn place(
        &self,
        share: ShareId,
        epoch: Epoch,
        request: PlaceRequest,
    ) -> StoreResult<Applied<Placed>> {
        let redo = (request.inodes.len() as u64 * PLACED_FILE_REDO).min(PLACE_REDO_MAX);
        self.backend.write(share, Space::Large(redo), &|tx| ops::place(tx, epoch, &request)).await
    }

    async fn quotas(&self, share: ShareId) -> StoreResult<Vec<QuotaEntry>> {
        self.read(share, ops::quotas)
    }

    async fn quota_set(
        &self,
        share: ShareId,
        epoch: Epoch,
        subject: QuotaSubject,
        quota: Option<Quota>,
    ) -> StoreResult<Applied<()>> {
        let op = |tx: &mut Tx<'_>| ops::quota_set(tx, epoch, &subject, quota.as_ref());
        self.backend.write(share, Space::Always, &op).await
    }

    async fn state_put(
        &self,
        share: ShareId,
        epoch: Epoch,
        table: StateTable,
        key: Bytes,
        value: Option<Bytes>,
    ) -> StoreResult<Applied<()>> {
        self.backend
            .write(share, Space::Always, &|tx| ops::state_put(tx, epoch, table, &key, value.as_ref()))
            .await
    }

    async fn state_list(&self, share: ShareId, table: StateTable) -> StoreResult<Vec<(Bytes, Bytes)>> {
        self.read(share, |tx| ops::state_list(tx, table))
    }
}

//! The trait over the operations of this store.

use super::{Abandoned, Changed, Owner, Ownership, PostgresStore, StrandedJournal};
use crate::{
    Applied, CommitToken, CreateRequest, Created, Dentry, DirPage, Lease, LinkRequest, Linked, MetadataStore,
    OpContext, PackRow, PlaceRequest, Placed, QuotaEntry, ReadDirRequest, RemoveRequest, Removed,
    RenameRequest, Renamed, ReplayOutcome, RowChange, SetAttrRequest, ShareRecord, StateTable, StoreResult,
    Usage, XattrSetRequest,
};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::quota::{Quota, QuotaSubject};
use dfs_model::{Cookie, Epoch, ExtentRun, Inode, InodeId, Name, PackId, ReplayKey, ShareId, Timestamp};
use std::sync::Arc;
use tokio::sync::broadcast;

/// Rows of one place: what travels in one message and is locked by one transaction without holding others up for long.
const PLACE_BYTES_MAX: u64 = 16 << 20;

impl PostgresStore {
    /// What this gateway knows of a share's ownership; asks nobody.
    #[must_use]
    pub fn ownership(&self, share: ShareId) -> Ownership {
        self.inner.ownership.of(share)
    }

    /// Name of this gateway in ownership rows.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.inner.config.holder
    }

    /// The ownership row of a share. *Errors:* [`crate::StoreError::NoShare`].
    pub async fn owner(&self, share: ShareId) -> StoreResult<Owner> {
        self.inner.owner(share).await
    }

    /// Journals that a share was taken without; one goes when its gateway takes the share again.
    pub async fn stranded(&self, share: ShareId) -> StoreResult<Vec<StrandedJournal>> {
        self.inner.stranded(share).await
    }

    /// Whether [`MetadataStore::begin_epoch`] is worth a try now; changes nothing. A share of another gateway is watched from the first
    /// call on. *Errors:* those of `begin_epoch`.
    pub async fn may_take(&self, share: ShareId) -> StoreResult<()> {
        self.inner.may_take(share).await
    }

    /// Gives a share back. `clean`: everything that it acknowledged is in the object store, so that another gateway needs no
    /// journal of this one. *Errors:* the lease ends by itself then, and the journal stays needed.
    pub async fn release(&self, share: ShareId, clean: bool) -> StoreResult<()> {
        self.inner.release(share, clean).await
    }

    /// Gives up the journal that another gateway has of a share (JOURNAL F3): what only it has is lost. `None`: no journal is
    /// elsewhere. *Errors:* [`crate::StoreError::Owned`] while that gateway's lease lasts; it is watched from the first call on.
    pub async fn abandon(&self, share: ShareId) -> StoreResult<Option<Abandoned>> {
        self.inner.abandon(share).await
    }

    /// What other gateways change, from now on; a receiver that lags must take it as [`Changed::Everything`].
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.inner.listen()
    }
}

#[async_trait]
impl MetadataStore for PostgresStore {
    async fn durable(&self, _commit: CommitToken) -> StoreResult<()> {
        Ok(())
    }

    fn last_commit(&self) -> CommitToken {
        self.inner.last_commit()
    }

    fn durable_commit(&self) -> CommitToken {
        self.inner.last_commit()
    }

    fn poisoned(&self) -> Option<String> {
        None
    }

    fn place_bytes_max(&self) -> u64 {
        PLACE_BYTES_MAX
    }

    async fn checkpoint(&self) -> StoreResult<()> {
        Ok(())
    }

    async fn create_share(
        &self,
        record: ShareRecord,
        root_mode: u16,
        root_uid: u32,
        root_gid: u32,
    ) -> StoreResult<()> {
        self.inner.create_share(&record, (root_mode, root_uid, root_gid)).await
    }

    async fn shares(&self) -> StoreResult<Vec<ShareRecord>> {
        self.inner.shares(None).await
    }

    async fn share(&self, share: ShareId) -> StoreResult<ShareRecord> {
        self.inner.share(share).await
    }

    async fn set_share_settings(&self, share: ShareId, settings: Vec<(String, String)>) -> StoreResult<()> {
        self.inner.set_settings(share, &settings).await
    }

    async fn delete_share(&self, share: ShareId) -> StoreResult<()> {
        self.inner.delete_share(share).await
    }

    async fn begin_epoch(&self, share: ShareId) -> StoreResult<Epoch> {
        self.inner.begin_epoch(share).await
    }

    fn lease(&self, share: ShareId) -> Arc<Lease> {
        self.inner.ownership.lease(share)
    }

    async fn write_ends(
        &self,
        share: ShareId,
        epoch: Epoch,
        held: &[(Epoch, u64)],
    ) -> StoreResult<Vec<(Epoch, u64)>> {
        self.inner.write_ends(share, epoch, held).await
    }

    async fn inode(&self, share: ShareId, inode: InodeId) -> StoreResult<Option<Arc<Inode>>> {
        self.inner.inode(share, inode).await
    }

    async fn inodes(&self, share: ShareId, inodes: &[InodeId]) -> StoreResult<Vec<Option<Arc<Inode>>>> {
        self.inner.inodes(share, inodes).await
    }

    async fn lookup(
        &self,
        share: ShareId,
        dir: InodeId,
        name: &Name,
    ) -> StoreResult<Option<(Dentry, Arc<Inode>)>> {
        self.inner.lookup(share, dir, name).await
    }

    async fn lookup_fold(
        &self,
        share: ShareId,
        dir: InodeId,
        name: &Name,
    ) -> StoreResult<Option<(Dentry, Arc<Inode>)>> {
        self.inner.lookup_fold(share, dir, name).await
    }

    async fn read_dir(&self, share: ShareId, request: ReadDirRequest) -> StoreResult<DirPage> {
        self.inner.read_dir(share, request).await
    }

    async fn last_cookie(&self, share: ShareId, dir: InodeId) -> StoreResult<Cookie> {
        self.inner.last_cookie(share, dir).await
    }

    async fn names_of(
        &self,
        share: ShareId,
        inode: InodeId,
        limit: usize,
    ) -> StoreResult<Vec<(InodeId, Name)>> {
        self.inner.names_of(share, inode, limit).await
    }

    async fn extents(
        &self,
        share: ShareId,
        inode: InodeId,
        start: u64,
        end: u64,
        limit: usize,
    ) -> StoreResult<Vec<ExtentRun>> {
        self.inner.extents(share, inode, start, end, limit).await
    }

    async fn usage(&self, share: ShareId) -> StoreResult<Usage> {
        self.inner.usage(share).await
    }

    async fn create(&self, cx: OpContext<'_>, request: CreateRequest) -> StoreResult<Applied<Created>> {
        self.inner.create(&cx, &request).await
    }

    async fn link(&self, cx: OpContext<'_>, request: LinkRequest) -> StoreResult<Applied<Linked>> {
        self.inner.link_name(&cx, &request).await
    }

    async fn remove(&self, cx: OpContext<'_>, request: RemoveRequest) -> StoreResult<Applied<Removed>> {
        self.inner.remove(&cx, &request).await
    }

    async fn rename(&self, cx: OpContext<'_>, request: RenameRequest) -> StoreResult<Applied<Renamed>> {
        self.inner.rename(&cx, &request).await
    }

    async fn set_attr(&self, cx: OpContext<'_>, request: SetAttrRequest) -> StoreResult<Applied<RowChange>> {
        self.inner.set_attr(&cx, &request).await
    }

    async fn xattrs(
        &self,
        share: ShareId,
        inode: InodeId,
        names: &[Bytes],
    ) -> StoreResult<Vec<(Bytes, Bytes)>> {
        self.inner.xattrs(share, inode, names).await
    }

    async fn xattr_set(
        &self,
        cx: OpContext<'_>,
        request: XattrSetRequest,
    ) -> StoreResult<Applied<RowChange>> {
        self.inner.xattr_set(&cx, &request).await
    }

    async fn quotas(&self, share: ShareId) -> StoreResult<Vec<QuotaEntry>> {
        self.inner.quotas(share).await
    }

    async fn quota_set(
        &self,
        share: ShareId,
        epoch: Epoch,
        subject: QuotaSubject,
        quota: Option<Quota>,
    ) -> StoreResult<Applied<()>> {
        self.inner.quota_set(share, epoch, &subject, quota.as_ref()).await
    }

    async fn replayed(&self, share: ShareId, key: &ReplayKey) -> StoreResult<Option<ReplayOutcome>> {
        self.inner.replayed(share, key).await
    }

    async fn reap(&self, share: ShareId, epoch: Epoch, inode: InodeId) -> StoreResult<Applied<bool>> {
        self.inner.reap(share, epoch, inode).await
    }

    async fn orphans(&self, share: ShareId, after: InodeId, limit: usize) -> StoreResult<Vec<InodeId>> {
        self.inner.orphans(share, after, limit).await
    }

    async fn pack_begin(
        &self,
        share: ShareId,
        epoch: Epoch,
        pack: PackId,
        len: u64,
        now: Timestamp,
    ) -> StoreResult<Applied<()>> {
        self.inner.pack_begin(share, epoch, pack, len, now).await
    }

    async fn packs_bury(
        &self,
        share: ShareId,
        epoch: Epoch,
        packs: &[PackId],
        now: Timestamp,
    ) -> StoreResult<Applied<Vec<PackId>>> {
        self.inner.packs_bury(share, epoch, packs, now).await
    }

    async fn packs_forget(&self, share: ShareId, epoch: Epoch, packs: &[PackId]) -> StoreResult<Applied<()>> {
        self.inner.packs_forget(share, epoch, packs).await
    }

    async fn packs(&self, share: ShareId, after: Option<PackId>, limit: usize) -> StoreResult<Vec<PackRow>> {
        self.inner.packs(share, after, limit).await
    }

    async fn pack(&self, share: ShareId, pack: PackId) -> StoreResult<Option<PackRow>> {
        self.inner.pack(share, pack).await
    }

    async fn place(
        &self,
        share: ShareId,
        epoch: Epoch,
        request: PlaceRequest,
    ) -> StoreResult<Applied<Placed>> {
        self.inner.place(share, epoch, &request).await
    }

    async fn state_put(
        &self,
        share: ShareId,
        epoch: Epoch,
        table: StateTable,
        key: Bytes,
        value: Option<Bytes>,
    ) -> StoreResult<Applied<()>> {
        self.inner.state_put(share, epoch, table, &key, value.as_ref()).await
    }

    async fn state_list(&self, share: ShareId, table: StateTable) -> StoreResult<Vec<(Bytes, Bytes)>> {
        self.inner.state_list(share, table).await
    }
}

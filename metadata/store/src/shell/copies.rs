//! Copies of the row-level stores, and reads of what is past.

use super::{Backend, Space, Store};
use crate::ops::{self, Tx};
use crate::past::{self, Place};
use crate::{
    Applied, CloneRequest, Cloned, Copies, Dentry, DirPage, OpContext, ReadDirRequest, Snapshot,
    SnapshotOrigin, StoreResult,
};
use async_trait::async_trait;
use dfs_model::{Cookie, Epoch, FsError, Inode, InodeId, Name, ShareId, SnapshotId};
use std::sync::Arc;

/// Redo record that a clone is guessed to need at first; bytes.
const CLONE_REDO: u64 = 64 << 10;

#[async_trait]
impl<B: Backend> Copies for Store<B> {
    async fn clone_file(&self, cx: OpContext<'_>, request: CloneRequest) -> StoreResult<Applied<Cloned>> {
        let op = |tx: &mut Tx<'_>| ops::clone_file(tx, &cx, &request);
        self.backend.write(cx.share, Space::Large(CLONE_REDO), &op).await
    }

    async fn snapshot_create(
        &self,
        cx: OpContext<'_>,
        name: Name,
        origin: SnapshotOrigin,
    ) -> StoreResult<Applied<Snapshot>> {
        let op = |tx: &mut Tx<'_>| ops::snapshot_create(tx, &cx, &name, origin);
        self.backend.write(cx.share, Space::Grows, &op).await
    }

    async fn snapshots(&self, share: ShareId) -> StoreResult<Vec<Snapshot>> {
        self.read(share, ops::snapshots)
    }

    async fn snapshot_delete(
        &self,
        share: ShareId,
        epoch: Epoch,
        snapshot: SnapshotId,
    ) -> StoreResult<Applied<()>> {
        let op = |tx: &mut Tx<'_>| ops::snapshot_delete(tx, epoch, snapshot);
        self.backend.write(share, Space::Always, &op).await
    }

    async fn snapshot_reap(&self, share: ShareId, epoch: Epoch) -> StoreResult<Applied<bool>> {
        // Housekeeping asks often, and there is nearly always nothing: that must not take room in a log.
        if !self.read(share, |tx| ops::has_deleted(tx, epoch))? {
            return Ok(Applied { value: true, commit: self.backend.last_commit() });
        }
        self.backend.write(share, Space::Large(CLONE_REDO), &|tx| ops::snapshot_reap(tx, epoch)).await
    }

    async fn snapshot_bytes(&self, share: ShareId, snapshot: SnapshotId) -> StoreResult<u64> {
        self.read(share, |tx| ops::snapshot_bytes(tx, snapshot))
    }
}

impl<B: Backend> Store<B> {
    /// Reads the rows as of a snapshot.
    fn read_past<T>(
        &self,
        share: ShareId,
        snapshot: SnapshotId,
        op: impl FnOnce(&Tx<'_>) -> StoreResult<T>,
    ) -> StoreResult<T> {
        self.read(share, |tx| op(&Tx::new(&ops::as_of(tx, snapshot)?, share, tx.mutations)))
    }

    /// Reads what an id leads to, of the directory of snapshots by `folder`.
    pub(super) fn read_at<T>(
        &self,
        share: ShareId,
        id: InodeId,
        op: impl FnOnce(&Tx<'_>, InodeId) -> StoreResult<T>,
        folder: impl FnOnce(&Tx<'_>) -> StoreResult<T>,
    ) -> StoreResult<T> {
        match past::place(id) {
            Place::Live(id) => self.read(share, |tx| op(tx, id)),
            Place::Past(snapshot, own) => self.read_past(share, snapshot, |tx| op(tx, own)),
            Place::Folder => self.read(share, folder),
        }
    }

    pub(super) fn inode_at(&self, share: ShareId, id: InodeId) -> StoreResult<Option<Arc<Inode>>> {
        match past::place(id) {
            Place::Live(id) => self.read(share, |tx| ops::inode(tx, id)),
            Place::Past(snapshot, own) => match self.read_past(share, snapshot, |tx| ops::inode(tx, own)) {
                Ok(row) => Ok(row.map(|row| past::inode(snapshot, &row))),
                Err(crate::StoreError::Refused(FsError::StaleHandle)) => Ok(None),
                Err(error) => Err(error),
            },
            Place::Folder => self.read(share, |tx| folder(tx).map(Some)),
        }
    }

    pub(super) fn name_at(
        &self,
        share: ShareId,
        dir: InodeId,
        name: &Name,
        any_case: bool,
    ) -> StoreResult<Option<(Dentry, Arc<Inode>)>> {
        let find = |tx: &Tx<'_>, dir: InodeId| match any_case {
            true => ops::lookup_fold(tx, dir, name),
            false => ops::lookup(tx, dir, name),
        };
        match past::place(dir) {
            Place::Live(dir) => self.read(share, |tx| find(tx, dir)),
            // The index of folded names is of now: names of then are found as they are spelled.
            Place::Past(snapshot, dir) => {
                let found = self.read_past(share, snapshot, |tx| ops::lookup(tx, dir, name))?;
                Ok(found.map(|(name, row)| (past::dentry(snapshot, name), past::inode(snapshot, &row))))
            }
            Place::Folder => {
                let all = self.read(share, ops::snapshots)?;
                let Some(snapshot) = past::named(&all, name, any_case) else { return Ok(None) };
                let name = past::entry(snapshot);
                Ok(self.inode_at(share, name.inode)?.map(|row| (name, row)))
            }
        }
    }

    pub(super) fn page_at(&self, share: ShareId, request: &ReadDirRequest) -> StoreResult<DirPage> {
        match past::place(request.dir) {
            Place::Live(_) => self.read(share, |tx| ops::read_dir(tx, request)),
            Place::Past(snapshot, dir) => {
                let own = ReadDirRequest { dir, ..*request };
                let page = self.read_past(share, snapshot, |tx| ops::read_dir(tx, &own))?;
                Ok(past::page(snapshot, page))
            }
            Place::Folder => {
                let (names, end) = past::listed(&self.read(share, ops::snapshots)?, request);
                let with_row = |name: Dentry| -> StoreResult<(Dentry, Option<Arc<Inode>>)> {
                    let row = if request.rows { self.inode_at(share, name.inode)? } else { None };
                    Ok((name, row))
                };
                let entries = names.into_iter().map(with_row).collect::<StoreResult<Vec<_>>>()?;
                Ok(DirPage { entries, end })
            }
        }
    }

    pub(super) fn last_cookie_at(&self, share: ShareId, dir: InodeId) -> StoreResult<Cookie> {
        let folder = |tx: &Tx<'_>| Ok(past::last_cookie(&ops::snapshots(tx)?));
        self.read_at(share, dir, ops::last_cookie, folder)
    }
}

fn folder(tx: &Tx<'_>) -> StoreResult<Arc<Inode>> {
    let record = ops::read_share(tx)?;
    Ok(past::folder(&ops::snapshots(tx)?, record.incarnation, record.created))
}

//! Copies: clones of files; the trait over this store's operations.

use super::call::Effect;
use super::sql::Query;
use super::values::{Param, capped};
use super::{Inner, PostgresStore};
use crate::ops;
use crate::rows::damaged;
use crate::{
    Applied, CloneRequest, Cloned, Copies, OpContext, RowChange, Snapshot, SnapshotOrigin, StoreError,
    StoreResult,
};
use async_trait::async_trait;
use dfs_model::{Epoch, FsError, Name, ShareId, SnapshotId};

#[async_trait]
impl Copies for PostgresStore {
    async fn clone_file(&self, cx: OpContext<'_>, request: CloneRequest) -> StoreResult<Applied<Cloned>> {
        self.inner.clone_file(&cx, &request).await
    }

    async fn snapshot_create(
        &self,
        cx: OpContext<'_>,
        name: Name,
        origin: SnapshotOrigin,
    ) -> StoreResult<Applied<Snapshot>> {
        self.inner.snapshot_create(&cx, &name, origin).await
    }

    async fn snapshots(&self, share: ShareId) -> StoreResult<Vec<Snapshot>> {
        self.inner.snapshots(share).await
    }

    async fn snapshot_delete(
        &self,
        share: ShareId,
        epoch: Epoch,
        snapshot: SnapshotId,
    ) -> StoreResult<Applied<()>> {
        self.inner.snapshot_delete(share, epoch, snapshot).await
    }

    async fn snapshot_reap(&self, share: ShareId, epoch: Epoch) -> StoreResult<Applied<bool>> {
        self.inner.snapshot_reap(share, epoch).await
    }

    async fn snapshot_bytes(&self, share: ShareId, snapshot: SnapshotId) -> StoreResult<u64> {
        self.inner.snapshot_bytes(share, snapshot).await
    }
}

impl Inner {
    async fn clone_file(&self, cx: &OpContext<'_>, request: &CloneRequest) -> StoreResult<Applied<Cloned>> {
        // Alignment is the database's to test: it knows the share's block size.
        let valid = ops::check_clone(request, 1).is_ok();
        let (from, to) = (capped(request.from.0), capped(request.to.0));
        let (from_offset, to_offset) =
            request.part.map_or((0, 0), |part| (capped(part.from_offset), capped(part.to_offset)));
        let len = request.part.map(|part| capped(part.len));
        let [drained_from, drained_to] = request.drained.map(|seq| seq.map(|seq| seq.0 as i64));
        let rest: [Param<'_>; 9] = [
            &from,
            &to,
            &from_offset,
            &to_offset,
            &len,
            &drained_from,
            &drained_to,
            &request.clear_suid,
            &valid,
        ];
        let cloned = match self.operate(Query::Clone, Effect::Grows, cx, &rest).await {
            Ok(parts) => Cloned {
                from: parts.inode("from")?,
                to: parts.change("inode was", "inode")?,
                len: parts.number("from")?,
            },
            // Its answer was lost: the rows are what it made of them, the caller keeps the gates closed.
            Err(StoreError::Replayed(_)) => self.cloned_before(cx, request).await?,
            Err(error) => return Err(error),
        };
        self.changed(cx.share, &[request.to]);
        Ok(self.applied(cloned))
    }

    async fn cloned_before(&self, cx: &OpContext<'_>, request: &CloneRequest) -> StoreResult<Cloned> {
        let mut rows = self.inodes(cx.share, &[request.from, request.to]).await?.into_iter();
        match (rows.next().flatten(), rows.next().flatten()) {
            (Some(from), Some(post)) => {
                let len = request.part.map_or(from.size, |part| part.len);
                Ok(Cloned { from, to: RowChange { pre: post.clone(), post }, len })
            }
            _ => Err(StoreError::Refused(FsError::StaleHandle)),
        }
    }
}

impl super::names::Parts {
    /// The number that a part carries.
    fn number(&self, what: &str) -> StoreResult<u64> {
        let number = self.part(what)?.number.and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| damaged("answer", format!("'{what}' has no number")))
    }
}

//! Snapshots, and reads of what is past.

use super::Inner;
use super::call::Effect;
use super::reads::{directory, found, missing};
use super::rows::Columns;
use super::sql::Query;
use super::values::{Param, Uuid, capped, limit};
use crate::past::{self, Place};
use crate::rows::damaged;
use crate::rows::snapshot::origin;
use crate::{
    Applied, Dentry, DirPage, OpContext, ReadDirRequest, SNAPSHOTS_MAX, Snapshot, SnapshotOrigin, StoreError,
    StoreResult,
};
use bytes::Bytes;
use dfs_model::xattr::Xattrs;
use dfs_model::{Change, Cookie, Epoch, ExtentRun, FsError, Inode, InodeId, Name, ShareId, SnapshotId};
use std::sync::Arc;

/// Kept rows of each kind that one step gives back.
const ROWS_PER_STEP: i32 = 1024;

impl Inner {
    pub(super) async fn snapshot_create(
        &self,
        cx: &OpContext<'_>,
        name: &Name,
        why: SnapshotOrigin,
    ) -> StoreResult<Applied<Snapshot>> {
        let change = cx.changes.take();
        let (bytes, kind, most) = (name.as_bytes(), why as i32, SNAPSHOTS_MAX as i64);
        let params: [Param<'_>; 8] = [
            &Uuid(cx.share.0),
            &(cx.epoch.0 as i32),
            &bytes,
            &kind,
            &cx.now.secs,
            &(cx.now.nanos as i32),
            &(change.0 as i64),
            &most,
        ];
        let answered = self.call(Query::SnapshotCreate, Effect::Grows, &params).await?;
        match self.answers(cx.share, cx.epoch, &answered) {
            Ok(_) => {}
            // Its answer was lost; the change number is nobody else's.
            Err(StoreError::Refused(FsError::Exists)) if answered.again => {}
            Err(error) => return Err(error),
        }
        let made = self.snapshots(cx.share).await?.into_iter().find(|made| made.name == *name);
        let made = made.filter(|made| made.change == change).ok_or(FsError::Exists)?;
        Ok(self.applied(made))
    }

    pub(super) async fn snapshots(&self, share: ShareId) -> StoreResult<Vec<Snapshot>> {
        let mut all = Vec::new();
        for row in &self.some_rows(share, Query::Snapshots, &[&Uuid(share.0)]).await? {
            let mut columns = Columns::of(row);
            let Some(id) = columns.next::<Option<i64>>()? else { continue };
            let name: &[u8] = columns.next()?;
            let name = Name::new(Bytes::copy_from_slice(name)).map_err(|error| damaged("snapshot", error))?;
            let number: i16 = columns.next()?;
            let why = origin(u8::try_from(number).unwrap_or(u8::MAX));
            all.push(Snapshot {
                id: SnapshotId(id as u64),
                name,
                origin: why.map_err(|error| damaged("snapshot", error))?,
                taken: columns.time()?,
                change: Change(columns.u64()?),
                inodes_below: InodeId(columns.u64()?),
            });
        }
        Ok(all)
    }

    pub(super) async fn snapshot_delete(
        &self,
        share: ShareId,
        epoch: Epoch,
        snapshot: SnapshotId,
    ) -> StoreResult<Applied<()>> {
        let params: [Param<'_>; 3] = [&Uuid(share.0), &(epoch.0 as i32), &capped(snapshot.0)];
        let answered = self.call(Query::SnapshotDelete, Effect::Changes, &params).await?;
        match self.answers(share, epoch, &answered) {
            Err(StoreError::Refused(FsError::NotFound)) if answered.again => {}
            other => drop(other?),
        }
        Ok(self.applied(()))
    }

    pub(super) async fn snapshot_reap(&self, share: ShareId, epoch: Epoch) -> StoreResult<Applied<bool>> {
        let params: [Param<'_>; 3] = [&Uuid(share.0), &(epoch.0 as i32), &ROWS_PER_STEP];
        let answered = self.call(Query::SnapshotReap, Effect::Changes, &params).await?;
        let done =
            self.answers(share, epoch, &answered)?.first().is_some_and(|answer| answer.number == Some(1));
        Ok(self.applied(done))
    }

    pub(super) async fn snapshot_bytes(&self, share: ShareId, snapshot: SnapshotId) -> StoreResult<u64> {
        let params: [Param<'_>; 2] = [&Uuid(share.0), &capped(snapshot.0)];
        let rows = self.some_rows(share, Query::SnapshotBytes, &params).await?;
        rows.first().map_or(Ok(0), |row| Columns::of(row).u64())
    }

    /// An inode that is past. See [`crate::MetadataStore::inode`].
    pub(super) async fn past_inode(&self, share: ShareId, inode: InodeId) -> StoreResult<Option<Arc<Inode>>> {
        let Place::Past(snapshot, own) = past::place(inode) else {
            let record = self.share(share).await?;
            let all = self.snapshots(share).await?;
            return Ok(Some(past::folder(&all, record.incarnation, record.created)));
        };
        let params: [Param<'_>; 3] = [&Uuid(share.0), &capped(own.0), &capped(snapshot.0)];
        let rows = self.some_rows(share, Query::PastInode, &params).await?;
        let row = rows.first().map_or(Ok(None), |row| Columns::of(row).inode())?;
        Ok(row.map(|row| past::inode(snapshot, &row)))
    }

    pub(super) async fn past_lookup(
        &self,
        share: ShareId,
        dir: InodeId,
        name: &Name,
        any_case: bool,
    ) -> StoreResult<Option<(Dentry, Arc<Inode>)>> {
        let Place::Past(snapshot, own) = past::place(dir) else {
            let all = self.snapshots(share).await?;
            let Some(snapshot) = past::named(&all, name, any_case) else { return Ok(None) };
            let name = past::entry(snapshot);
            return Ok(self.past_inode(share, name.inode).await?.map(|row| (name, row)));
        };
        let bytes = name.as_bytes();
        let params: [Param<'_>; 4] = [&Uuid(share.0), &capped(own.0), &bytes, &capped(snapshot.0)];
        let rows = self.some_rows(share, Query::PastLookup, &params).await?;
        Ok(found(&rows)?.map(|(name, row)| (past::dentry(snapshot, name), past::inode(snapshot, &row))))
    }

    pub(super) async fn past_page(&self, share: ShareId, request: ReadDirRequest) -> StoreResult<DirPage> {
        let Place::Past(snapshot, own) = past::place(request.dir) else {
            let (names, end) = past::listed(&self.snapshots(share).await?, &request);
            let mut entries = Vec::with_capacity(names.len());
            for name in names {
                let row = if request.rows { self.past_inode(share, name.inode).await? } else { None };
                entries.push((name, row));
            }
            return Ok(DirPage { entries, end });
        };
        let wanted = limit(request.limit.saturating_add(1));
        let (after, up_to) = (capped(request.after.0), capped(request.up_to.0));
        let params: [Param<'_>; 6] =
            [&Uuid(share.0), &capped(own.0), &after, &up_to, &wanted, &capped(snapshot.0)];
        let mut entries = Vec::new();
        for row in &self.some_rows(share, Query::PastReadDir, &params).await? {
            let mut columns = Columns::of(row);
            directory(columns.next()?)?;
            let Some(name) = columns.dentry()? else { continue };
            let inode = columns.inode()?.ok_or_else(|| missing(&name))?;
            entries.push((name, request.rows.then(|| Arc::new(inode))));
        }
        let end = entries.len() <= request.limit;
        entries.truncate(request.limit);
        Ok(past::page(snapshot, DirPage { entries, end }))
    }

    pub(super) async fn past_last_cookie(&self, share: ShareId, dir: InodeId) -> StoreResult<Cookie> {
        let Place::Past(snapshot, own) = past::place(dir) else {
            return Ok(past::last_cookie(&self.snapshots(share).await?));
        };
        let params: [Param<'_>; 3] = [&Uuid(share.0), &capped(own.0), &capped(snapshot.0)];
        let rows = self.some_rows(share, Query::PastLastCookie, &params).await?;
        let Some(row) = rows.first() else { return Err(StoreError::NoShare(share)) };
        let mut columns = Columns::of(row);
        directory(columns.next()?)?;
        Ok(Cookie(columns.u64()?).max(Cookie::DOT_DOT))
    }

    pub(super) async fn past_extents(
        &self,
        share: ShareId,
        inode: InodeId,
        range: (u64, u64),
        most: usize,
    ) -> StoreResult<Vec<ExtentRun>> {
        let Place::Past(snapshot, own) = past::place(inode) else { return Ok(Vec::new()) };
        let (start, end) = (capped(range.0), capped(range.1));
        let params: [Param<'_>; 6] =
            [&Uuid(share.0), &capped(own.0), &start, &end, &limit(most), &capped(snapshot.0)];
        let rows = self.rows(share, Query::PastExtents, &params).await?;
        rows.iter().map(|row| Columns::of(row).extent()).collect()
    }

    /// Attributes of what is past; `None` where there is no inode.
    pub(super) async fn past_xattrs(&self, share: ShareId, inode: InodeId) -> StoreResult<Option<Xattrs>> {
        let Place::Past(snapshot, own) = past::place(inode) else { return Ok(Some(Xattrs::new())) };
        let params: [Param<'_>; 3] = [&Uuid(share.0), &capped(own.0), &capped(snapshot.0)];
        let (mut there, mut all) = (false, Xattrs::new());
        for row in &self.some_rows(share, Query::PastXattrs, &params).await? {
            let mut columns = Columns::of(row);
            there |= columns.next::<Option<i64>>()?.is_some();
            if let Some(name) = columns.next::<Option<&[u8]>>()? {
                all.insert(Bytes::copy_from_slice(name), Bytes::copy_from_slice(columns.next()?));
            }
        }
        Ok(there.then_some(all))
    }
}

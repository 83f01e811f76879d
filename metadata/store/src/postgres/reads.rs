//! Reads: one statement each, of the database's newest state.

use super::Inner;
use super::call::Effect;
use super::rows::Columns;
use super::sql::Query;
use super::values::{Param, Uuid, capped, limit};
use crate::key::PREFIX_LEN;
use crate::rows::damaged;
use crate::rows::replay::{full_key, row_key};
use crate::{
    Dentry, DirPage, PackRow, ReadDirRequest, ReplayOutcome, ShareRecord, StateTable, StoreError,
    StoreResult, Usage,
};
use bytes::Bytes;
use dfs_model::{Cookie, ExtentRun, FsError, Inode, InodeId, InodeKind, Name, PackId, ReplayKey, ShareId};
use std::sync::Arc;
use tokio_postgres::Row;

/// A name with the inode it leads to.
type Found = Option<(Dentry, Arc<Inode>)>;

impl Inner {
    /// Reads of a share leave only while its lease lasts: else another gateway may have changed what they show.
    pub(super) async fn rows(
        &self,
        share: ShareId,
        query: Query,
        params: &[Param<'_>],
    ) -> StoreResult<Vec<Row>> {
        let rows = self.call(query, Effect::Reads, params).await?.rows;
        self.licensed(share).await?;
        Ok(rows)
    }

    /// As [`Inner::rows`] of a statement that always answers a row where the share is there.
    pub(super) async fn some_rows(
        &self,
        share: ShareId,
        query: Query,
        params: &[Param<'_>],
    ) -> StoreResult<Vec<Row>> {
        let rows = self.rows(share, query, params).await?;
        if rows.is_empty() { Err(StoreError::NoShare(share)) } else { Ok(rows) }
    }

    pub(super) async fn shares(&self, share: Option<ShareId>) -> StoreResult<Vec<ShareRecord>> {
        let wanted = share.map(|share| Uuid(share.0));
        self.call(Query::Shares, Effect::Reads, &[&wanted])
            .await?
            .rows
            .iter()
            .map(|row| Columns::of(row).share())
            .collect()
    }

    pub(super) async fn share(&self, share: ShareId) -> StoreResult<ShareRecord> {
        self.shares(Some(share)).await?.pop().ok_or(StoreError::NoShare(share))
    }

    pub(super) async fn inode(&self, share: ShareId, inode: InodeId) -> StoreResult<Option<Arc<Inode>>> {
        if inode.is_past() {
            return self.past_inode(share, inode).await;
        }
        let rows = self.some_rows(share, Query::Inode, &[&Uuid(share.0), &capped(inode.0)]).await?;
        match rows.first() {
            Some(row) => Ok(Columns::of(row).inode()?.map(Arc::new)),
            None => Ok(None),
        }
    }

    pub(super) async fn inodes(
        &self,
        share: ShareId,
        inodes: &[InodeId],
    ) -> StoreResult<Vec<Option<Arc<Inode>>>> {
        if inodes.iter().any(|inode| inode.is_past()) {
            let mut rows = Vec::with_capacity(inodes.len());
            for inode in inodes {
                rows.push(self.inode(share, *inode).await?);
            }
            return Ok(rows);
        }
        let ids: Vec<i64> = inodes.iter().map(|inode| capped(inode.0)).collect();
        let rows = self.some_rows(share, Query::Inodes, &[&Uuid(share.0), &ids]).await?;
        let read = rows.iter().take(inodes.len()).map(|row| Ok(Columns::of(row).inode()?.map(Arc::new)));
        read.collect()
    }

    pub(super) async fn lookup(&self, share: ShareId, dir: InodeId, name: &Name) -> StoreResult<Found> {
        if dir.is_past() {
            return self.past_lookup(share, dir, name, false).await;
        }
        let name = name.as_bytes();
        let rows = self.some_rows(share, Query::Lookup, &[&Uuid(share.0), &capped(dir.0), &name]).await?;
        found(&rows)
    }

    pub(super) async fn lookup_fold(&self, share: ShareId, dir: InodeId, name: &Name) -> StoreResult<Found> {
        if dir.is_past() {
            return self.past_lookup(share, dir, name, true).await;
        }
        let (exact, fold) = (name.as_bytes(), name.fold_key());
        let fold = fold.as_ref();
        let params: [Param<'_>; 4] = [&Uuid(share.0), &capped(dir.0), &exact, &fold];
        found(&self.some_rows(share, Query::LookupFold, &params).await?)
    }

    pub(super) async fn read_dir(&self, share: ShareId, request: ReadDirRequest) -> StoreResult<DirPage> {
        if request.dir.is_past() {
            return self.past_page(share, request).await;
        }
        let query = if request.rows { Query::ReadDirRows } else { Query::ReadDir };
        let wanted = limit(request.limit.saturating_add(1));
        let (after, up_to) = (capped(request.after.0), capped(request.up_to.0));
        let params: [Param<'_>; 5] = [&Uuid(share.0), &capped(request.dir.0), &after, &up_to, &wanted];
        let rows = self.some_rows(share, query, &params).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut columns = Columns::of(row);
            directory(columns.next()?)?;
            let Some(dentry) = columns.dentry()? else { continue };
            let inode = match request.rows {
                true => Some(Arc::new(columns.inode()?.ok_or_else(|| missing(&dentry))?)),
                false => None,
            };
            entries.push((dentry, inode));
        }
        let end = entries.len() <= request.limit;
        entries.truncate(request.limit);
        Ok(DirPage { entries, end })
    }

    pub(super) async fn last_cookie(&self, share: ShareId, dir: InodeId) -> StoreResult<Cookie> {
        if dir.is_past() {
            return self.past_last_cookie(share, dir).await;
        }
        let rows = self.some_rows(share, Query::LastCookie, &[&Uuid(share.0), &capped(dir.0)]).await?;
        let Some(row) = rows.first() else { return Err(StoreError::NoShare(share)) };
        let mut columns = Columns::of(row);
        directory(columns.next()?)?;
        Ok(Cookie(columns.u64()?).max(Cookie::DOT_DOT))
    }

    pub(super) async fn names_of(
        &self,
        share: ShareId,
        inode: InodeId,
        most: usize,
    ) -> StoreResult<Vec<(InodeId, Name)>> {
        // The index from inodes to names is of now: what is past has none.
        if inode.is_past() {
            return Ok(Vec::new());
        }
        let params: [Param<'_>; 3] = [&Uuid(share.0), &capped(inode.0), &limit(most)];
        let mut names = Vec::new();
        for row in &self.some_rows(share, Query::NamesOf, &params).await? {
            let mut columns = Columns::of(row);
            let Some(dir) = columns.next::<Option<i64>>()? else { continue };
            let name =
                Name::new(Bytes::copy_from_slice(columns.next()?)).map_err(|error| damaged("name", error))?;
            names.push((InodeId(dir as u64), name));
        }
        Ok(names)
    }

    pub(super) async fn extents(
        &self,
        share: ShareId,
        inode: InodeId,
        start: u64,
        end: u64,
        most: usize,
    ) -> StoreResult<Vec<ExtentRun>> {
        if start >= end {
            return Ok(Vec::new());
        }
        if inode.is_past() {
            return self.past_extents(share, inode, (start, end), most).await;
        }
        let params: [Param<'_>; 5] =
            [&Uuid(share.0), &capped(inode.0), &capped(start), &capped(end), &limit(most)];
        self.rows(share, Query::Extents, &params).await?.iter().map(|row| Columns::of(row).extent()).collect()
    }

    pub(super) async fn usage(&self, share: ShareId) -> StoreResult<Usage> {
        let rows = self.some_rows(share, Query::Usage, &[&Uuid(share.0)]).await?;
        let Some(row) = rows.first() else { return Err(StoreError::NoShare(share)) };
        let mut columns = Columns::of(row);
        let mut count = || Ok::<u64, StoreError>(u64::try_from(columns.next::<i64>()?).unwrap_or(0));
        Ok(Usage { bytes: count()?, inodes: count()? })
    }

    pub(super) async fn orphans(
        &self,
        share: ShareId,
        after: InodeId,
        most: usize,
    ) -> StoreResult<Vec<InodeId>> {
        let params: [Param<'_>; 3] = [&Uuid(share.0), &capped(after.0), &limit(most)];
        let rows = self.some_rows(share, Query::Orphans, &params).await?;
        let ids = rows.iter().map(|row| Columns::of(row).next::<Option<i64>>());
        let ids = ids.collect::<StoreResult<Vec<_>>>()?;
        Ok(ids.into_iter().flatten().map(|id| InodeId(id as u64)).collect())
    }

    pub(super) async fn packs(
        &self,
        share: ShareId,
        after: Option<PackId>,
        most: usize,
    ) -> StoreResult<Vec<PackRow>> {
        let after = after.map(|pack| Uuid(pack.0));
        let params: [Param<'_>; 3] = [&Uuid(share.0), &after, &limit(most)];
        let rows = self.some_rows(share, Query::Packs, &params).await?;
        let rows = rows.iter().map(|row| Columns::of(row).pack()).collect::<StoreResult<Vec<_>>>()?;
        Ok(rows.into_iter().flatten().collect())
    }

    pub(super) async fn pack(&self, share: ShareId, pack: PackId) -> StoreResult<Option<PackRow>> {
        let rows = self.rows(share, Query::Pack, &[&Uuid(share.0), &Uuid(pack.0)]).await?;
        match rows.first() {
            Some(row) => Columns::of(row).pack(),
            None => Ok(None),
        }
    }

    pub(super) async fn replayed(
        &self,
        share: ShareId,
        key: &ReplayKey,
    ) -> StoreResult<Option<ReplayOutcome>> {
        let row = row_key(share, key);
        let (slot, full) = (row.get(PREFIX_LEN..).unwrap_or_default(), full_key(key));
        let rows = self.rows(share, Query::Replayed, &[&Uuid(share.0), &slot, &full]).await?;
        match rows.first() {
            Some(row) => Columns::of(row).outcome(),
            None => Ok(None),
        }
    }

    pub(super) async fn state_list(
        &self,
        share: ShareId,
        table: StateTable,
    ) -> StoreResult<Vec<(Bytes, Bytes)>> {
        let mut listed = Vec::new();
        for row in &self.some_rows(share, Query::StateList, &[&Uuid(share.0), &(table as i16)]).await? {
            let mut columns = Columns::of(row);
            let Some(key) = columns.next::<Option<&[u8]>>()? else { continue };
            listed.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(columns.next()?)));
        }
        Ok(listed)
    }
}

/// The name in the first row, with its inode.
pub(super) fn found(rows: &[Row]) -> StoreResult<Found> {
    let Some(row) = rows.first() else { return Ok(None) };
    let mut columns = Columns::of(row);
    let Some(dentry) = columns.dentry()? else { return Ok(None) };
    let inode = columns.inode()?.ok_or_else(|| missing(&dentry))?;
    Ok(Some((dentry, Arc::new(inode))))
}

/// *Errors:* the damage of a name that leads nowhere.
pub(super) fn missing(dentry: &Dentry) -> StoreError {
    damaged("dentry", format!("it leads to inode {}, which is missing", dentry.inode))
}

/// *Errors:* [`FsError::StaleHandle`] for no inode, [`FsError::NotDirectory`].
pub(super) fn directory(kind: Option<i16>) -> StoreResult<()> {
    match kind {
        None => Err(FsError::StaleHandle.into()),
        Some(kind) if kind == InodeKind::Directory as i16 => Ok(()),
        Some(_) => Err(FsError::NotDirectory.into()),
    }
}

//! Extended attributes, quotas, and who holds how much.

use super::Inner;
use super::call::Effect;
use super::names::word;
use super::rows::Columns;
use super::sql::Query;
use super::values::{Param, Uuid, capped, identity, read_identity};
use crate::rows::damaged;
use crate::rows::identity::storable;
use crate::{Applied, OpContext, QuotaEntry, RowChange, StoreError, StoreResult, Usage, XattrSetRequest};
use bytes::Bytes;
use dfs_model::quota::{Quota, QuotaLimits, QuotaSubject};
use dfs_model::xattr::{self, Xattrs};
use dfs_model::{Epoch, FsError, InodeId, ShareId, Timestamp};
use std::time::Duration;

/// How often attributes that change between look and change are looked at again.
const LOOKS_MAX: usize = 8;

/// What a change of attributes comes to.
#[derive(Default)]
struct Difference {
    bad: Option<&'static str>,
    ended: Vec<Vec<u8>>,
    names: Vec<Vec<u8>>,
    values: Vec<Vec<u8>>,
    some_left: bool,
}

impl Difference {
    fn of(old: &Xattrs, request: &XattrSetRequest) -> StoreResult<Difference> {
        let mut new = old.clone();
        if let Err(error) = xattr::change(&mut new, &request.values, request.mode, request.any_case) {
            return Ok(Difference { bad: word(Err(StoreError::Refused(error)))?, ..Difference::default() });
        }
        let changed = || new.iter().filter(|(name, value)| old.get(*name) != Some(value));
        Ok(Difference {
            bad: None,
            ended: old.keys().filter(|name| !new.contains_key(*name)).map(|name| name.to_vec()).collect(),
            names: changed().map(|(name, _)| name.to_vec()).collect(),
            values: changed().map(|(_, value)| value.to_vec()).collect(),
            some_left: !new.is_empty(),
        })
    }
}

impl Inner {
    /// An inode's attributes (those named, or all) and its change number, of one moment; `None` where there is no inode.
    async fn attributes(
        &self,
        share: ShareId,
        inode: InodeId,
        names: &[Bytes],
    ) -> StoreResult<Option<(i64, Xattrs)>> {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_ref()).collect();
        let params: [Param<'_>; 3] = [&Uuid(share.0), &capped(inode.0), &names];
        let mut change = None;
        let mut found = Xattrs::new();
        for row in &self.some_rows(share, Query::Xattrs, &params).await? {
            let mut columns = Columns::of(row);
            change = columns.next::<Option<i64>>()?;
            let _flags: Option<i32> = columns.next()?;
            if let Some(name) = columns.next::<Option<&[u8]>>()? {
                found.insert(Bytes::copy_from_slice(name), Bytes::copy_from_slice(columns.next()?));
            }
        }
        Ok(change.map(|change| (change, found)))
    }

    /// See [`crate::MetadataStore::xattrs`].
    pub(super) async fn xattrs(
        &self,
        share: ShareId,
        inode: InodeId,
        names: &[Bytes],
    ) -> StoreResult<Vec<(Bytes, Bytes)>> {
        let found = match inode.is_past() {
            true => self.past_xattrs(share, inode).await?,
            false => self.attributes(share, inode, names).await?.map(|(_, found)| found),
        };
        let mut found = found.ok_or(StoreError::Refused(FsError::StaleHandle))?;
        if names.is_empty() {
            return Ok(found.into_iter().collect());
        }
        Ok(names.iter().filter_map(|name| found.remove_entry(name)).collect())
    }

    /// See [`crate::MetadataStore::xattr_set`].
    pub(super) async fn xattr_set(
        &self,
        cx: &OpContext<'_>,
        request: &XattrSetRequest,
    ) -> StoreResult<Applied<RowChange>> {
        let _door = self.doors.enter(cx.share, request.inode, request.inode).await;
        let inode = capped(request.inode.0);
        let context = self.context(cx);
        for _ in 0..LOOKS_MAX {
            let seen = self.attributes(cx.share, request.inode, &[]).await?;
            let (change, old) = seen.map_or((None, Xattrs::new()), |(change, old)| (Some(change), old));
            let new = Difference::of(&old, request)?;
            let rest: [Param<'_>; 7] =
                [&inode, &change, &new.bad, &new.ended, &new.names, &new.values, &new.some_left];
            let parts = self.attempt_in(&context, Query::XattrSet, Effect::Grows, cx, &rest).await?;
            if parts.seen()?.is_none() {
                let change = parts.change("inode was", "inode")?;
                self.changed(cx.share, &[request.inode]);
                return Ok(self.applied(change));
            }
        }
        Err(StoreError::Raced)
    }

    /// See [`crate::MetadataStore::quotas`].
    pub(super) async fn quotas(&self, share: ShareId) -> StoreResult<Vec<QuotaEntry>> {
        let rows = self.some_rows(share, Query::Quotas, &[&Uuid(share.0)]).await?;
        rows.iter().map(|row| entry(&mut Columns::of(row))).collect()
    }

    /// See [`crate::MetadataStore::quota_set`].
    pub(super) async fn quota_set(
        &self,
        share: ShareId,
        epoch: Epoch,
        subject: &QuotaSubject,
        quota: Option<&Quota>,
    ) -> StoreResult<Applied<()>> {
        let (kind, who) = match subject {
            QuotaSubject::Share => (0i32, None),
            QuotaSubject::User(who) => (1, Some(who)),
            QuotaSubject::Group(who) => (2, Some(who)),
            QuotaSubject::EveryUser => (3, None),
            QuotaSubject::EveryGroup => (4, None),
        };
        let bad = who.is_some_and(|who| !storable(who)).then_some("InvalidOwner");
        let who = who.map(identity).unwrap_or_default();
        let bits = |limit: Option<u64>| limit.map(|limit| limit as i64);
        let limits = |of: fn(&Quota) -> QuotaLimits| {
            quota.map(of).map_or((None, None), |of| (bits(of.soft), bits(of.hard)))
        };
        let ((b_soft, b_hard), (i_soft, i_hard)) =
            (limits(|quota| quota.bytes), limits(|quota| quota.inodes));
        let over = |of: fn(&Quota) -> Option<Timestamp>| {
            let at = quota.and_then(of);
            (at.map(|at| at.secs), at.map(|at| at.nanos as i32))
        };
        let ((b_over, b_over_ns), (i_over, i_over_ns)) =
            (over(|quota| quota.bytes_over), over(|quota| quota.inodes_over));
        let grace = quota.map(|quota| capped(quota.grace.as_secs()));
        let params: [Param<'_>; 14] = [
            &Uuid(share.0),
            &(epoch.0 as i32),
            &bad,
            &kind,
            &who,
            &grace,
            &b_soft,
            &b_hard,
            &i_soft,
            &i_hard,
            &b_over,
            &b_over_ns,
            &i_over,
            &i_over_ns,
        ];
        let answered = self.call(Query::QuotaSet, Effect::Changes, &params).await?;
        self.answers(share, epoch, &answered)?;
        Ok(Applied { value: (), commit: self.committed() })
    }
}

fn entry(columns: &mut Columns<'_>) -> StoreResult<QuotaEntry> {
    let (kind, who): (i16, &str) = (columns.next()?, columns.next()?);
    let whom = || read_identity(who).ok_or_else(|| damaged("quota", who));
    let subject = match kind {
        0 => QuotaSubject::Share,
        1 => QuotaSubject::User(whom()?),
        2 => QuotaSubject::Group(whom()?),
        3 => QuotaSubject::EveryUser,
        4 => QuotaSubject::EveryGroup,
        _ => return Err(damaged("quota", kind)),
    };
    let mut held = || Ok::<u64, StoreError>(u64::try_from(columns.next::<i64>()?).unwrap_or(0));
    let usage = Usage { bytes: held()?, inodes: held()? };
    let Some(grace) = columns.next::<Option<i64>>()? else {
        return Ok(QuotaEntry { subject, quota: None, usage });
    };
    let mut limits = || {
        let (soft, hard): (Option<i64>, Option<i64>) = (columns.next()?, columns.next()?);
        Ok::<_, StoreError>(QuotaLimits {
            soft: soft.map(|soft| soft as u64),
            hard: hard.map(|hard| hard as u64),
        })
    };
    let (bytes, inodes) = (limits()?, limits()?);
    let mut over = || {
        let (secs, nanos): (Option<i64>, Option<i32>) = (columns.next()?, columns.next()?);
        Ok::<_, StoreError>(secs.zip(nanos).map(|(secs, nanos)| Timestamp::new(secs, nanos as u32)))
    };
    let (bytes_over, inodes_over) = (over()?, over()?);
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
    Ok(QuotaEntry { subject, quota: Some(Quota { bytes, inodes, grace, bytes_over, inodes_over }), usage })
}

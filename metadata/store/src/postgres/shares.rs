//! Shares, journal ends and state of clients.

use super::Inner;
use super::call::Effect;
use super::sql::Query;
use super::values::{Param, Uuid, capped, identity};
use crate::ops;
use crate::rows::damaged;
use crate::{Applied, ShareRecord, StateTable, StoreError, StoreResult};
use bytes::Bytes;
use dfs_model::inode::mode;
use dfs_model::{Epoch, FsError, Identity, ShareId};

/// No epoch: calls that are not fenced.
const NO_EPOCH: Epoch = Epoch(0);

impl Inner {
    /// See [`crate::MetadataStore::create_share`].
    pub(super) async fn create_share(&self, record: &ShareRecord, root: (u16, u32, u32)) -> StoreResult<()> {
        ops::check_record(record)?;
        let (keys, values) = columns(&record.settings)?;
        let name = text(&record.name)?;
        let (root_mode, uid, gid) = root;
        let params: [Param<'_>; 14] = [
            &Uuid(record.share.0),
            &name,
            &(record.incarnation.0 as i32),
            &(record.fsid as i64),
            &record.handle_key.as_slice(),
            &i32::from(record.fold_version),
            &(record.block_size as i32),
            &record.created.secs,
            &(record.created.nanos as i32),
            &keys,
            &values,
            &i32::from(root_mode & mode::ALL),
            &identity(&Identity::Uid(uid)),
            &identity(&Identity::Gid(gid)),
        ];
        let answered = self.call(Query::CreateShare, Effect::Grows, &params).await?;
        match self.answers(record.share, NO_EPOCH, &answered) {
            Err(StoreError::Refused(FsError::Exists)) if answered.again => {
                let there = self.share(record.share).await?;
                let ours = there.handle_key == record.handle_key && there.epoch == NO_EPOCH;
                if ours { Ok(()) } else { Err(FsError::Exists.into()) }
            }
            other => other.map(drop),
        }
    }

    /// See [`crate::MetadataStore::set_share_settings`].
    pub(super) async fn set_settings(
        &self,
        share: ShareId,
        settings: &[(String, String)],
    ) -> StoreResult<()> {
        ops::check_settings(settings)?;
        self.looks.forget_all();
        let (keys, values) = columns(settings)?;
        let answered =
            self.call(Query::SetSettings, Effect::Changes, &[&Uuid(share.0), &keys, &values]).await?;
        self.answers(share, NO_EPOCH, &answered).map(drop)
    }

    /// See [`crate::MetadataStore::delete_share`].
    pub(super) async fn delete_share(&self, share: ShareId) -> StoreResult<()> {
        let answered = self.call(Query::DeleteShare, Effect::Changes, &[&Uuid(share.0)]).await?;
        self.ownership.forget(share);
        match self.answers(share, NO_EPOCH, &answered) {
            Err(StoreError::NoShare(_)) if answered.again => Ok(()),
            other => other.map(drop),
        }
    }

    /// See [`crate::MetadataStore::write_ends`].
    pub(super) async fn write_ends(
        &self,
        share: ShareId,
        epoch: Epoch,
        held: &[(Epoch, u64)],
    ) -> StoreResult<Vec<(Epoch, u64)>> {
        let epochs: Vec<i32> =
            held.iter().map(|(epoch, _)| i32::try_from(epoch.0).unwrap_or(i32::MAX)).collect();
        let ends: Vec<i64> = held.iter().map(|(_, n)| capped(*n)).collect();
        let params: [Param<'_>; 4] = [&Uuid(share.0), &(epoch.0 as i32), &epochs, &ends];
        let answered = self.call(Query::WriteEnds, Effect::Changes, &params).await?;
        let rows = self.answers(share, epoch, &answered)?;
        let read = rows.iter().map(|answer| {
            let epoch = answer.code.as_ref().and_then(|code| code.parse().ok());
            let n = answer.number.and_then(|number| u64::try_from(number).ok());
            epoch.map(Epoch).zip(n).ok_or_else(|| damaged("ends", "answer"))
        });
        read.collect()
    }

    /// See [`crate::MetadataStore::state_put`].
    pub(super) async fn state_put(
        &self,
        share: ShareId,
        epoch: Epoch,
        table: StateTable,
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> StoreResult<Applied<()>> {
        ops::check_state(key, value)?;
        let (key, value) = (key.as_ref(), value.map(|value| value.as_ref()));
        let params: [Param<'_>; 5] = [&Uuid(share.0), &(epoch.0 as i32), &(table as i32), &key, &value];
        let answered = self.call(Query::StatePut, Effect::Changes, &params).await?;
        self.answers(share, epoch, &answered)?;
        Ok(Applied { value: (), commit: self.committed() })
    }
}

/// Text without NUL, which SQL cannot keep. *Errors:* [`FsError::InvalidArgument`].
fn text(value: &str) -> StoreResult<&str> {
    if value.contains('\0') { Err(FsError::InvalidArgument.into()) } else { Ok(value) }
}

fn columns(settings: &[(String, String)]) -> StoreResult<(Vec<&str>, Vec<&str>)> {
    let keys = settings.iter().map(|(key, _)| text(key)).collect::<StoreResult<Vec<_>>>()?;
    let values = settings.iter().map(|(_, value)| text(value)).collect::<StoreResult<Vec<_>>>()?;
    Ok((keys, values))
}

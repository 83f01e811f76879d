//! File maps and packs: `place`, `reap`, the pack ledger.

use super::Inner;
use super::call::{Answered, Effect};
use super::sql::Query;
use super::values::{Param, Uuid, capped};
use crate::ops;
use crate::rows::damaged;
use crate::{Applied, PackState, PlaceRequest, Placed, PlacedInode, StoreError, StoreResult};
use dfs_model::{Epoch, FsError, InodeId, PackId, ShareId, Timestamp};

/// A request as arrays: one element per part, zero range, run or block.
#[derive(Default)]
struct Arrays {
    packs: Vec<Uuid>,
    inode: Vec<i64>,
    from: Vec<i64>,
    to: Vec<i64>,
    low: Vec<i64>,
    size: Vec<i64>,
    atime: Vec<Option<i64>>,
    atime_ns: Vec<Option<i32>>,
    mtime: Vec<Option<i64>>,
    mtime_ns: Vec<Option<i32>>,
    ctime: Vec<i64>,
    ctime_ns: Vec<i32>,
    change: Vec<i64>,
    clear: Vec<Option<i64>>,
    archive: Vec<Option<i64>>,
    zero_part: Vec<i32>,
    zero_start: Vec<i64>,
    zero_end: Vec<i64>,
    run: Runs,
    stored: Vec<i32>,
    decoded: Vec<i32>,
    compression: Vec<i16>,
    hash: Vec<i64>,
}

#[derive(Default)]
struct Runs {
    part: Vec<i32>,
    start: Vec<i64>,
    len: Vec<i64>,
    pack: Vec<Uuid>,
    pack_offset: Vec<i64>,
    stored: Vec<i64>,
    seq: Vec<i64>,
    born: Vec<i64>,
    first_block: Vec<i32>,
    skip: Vec<i32>,
    tail: Vec<Vec<u8>>,
    block: Vec<i32>,
    blocks: Vec<i32>,
}

impl Arrays {
    fn of(request: &PlaceRequest) -> Arrays {
        let mut arrays =
            Arrays { packs: request.packs.iter().map(|pack| Uuid(pack.0)).collect(), ..Arrays::default() };
        for (nth, part) in (1i32..).zip(&request.inodes) {
            arrays.inode.push(capped(part.inode.0));
            arrays.from.push(part.from_seq.0 as i64);
            arrays.to.push(part.to_seq.0 as i64);
            arrays.low.push(capped(part.size_low));
            arrays.size.push(capped(part.size));
            arrays.atime.push(part.atime.map(|at| at.secs));
            arrays.atime_ns.push(part.atime.map(|at| at.nanos as i32));
            arrays.mtime.push(part.mtime.map(|at| at.secs));
            arrays.mtime_ns.push(part.mtime.map(|at| at.nanos as i32));
            arrays.ctime.push(part.ctime.secs);
            arrays.ctime_ns.push(part.ctime.nanos as i32);
            arrays.change.push(part.change.0 as i64);
            arrays.clear.push(part.clear_suid.map(|change| change.0 as i64));
            arrays.archive.push(part.set_archive.map(|change| change.0 as i64));
            for (start, end) in &part.zeros {
                arrays.zero_part.push(nth);
                arrays.zero_start.push(capped(*start));
                arrays.zero_end.push(capped(*end));
            }
            part.extents.iter().for_each(|run| arrays.add_run(nth, run));
        }
        arrays
    }

    fn add_run(&mut self, part: i32, run: &dfs_model::ExtentRun) {
        self.run.part.push(part);
        self.run.start.push(capped(run.offset));
        self.run.len.push(capped(run.len));
        self.run.pack.push(Uuid(run.pack.0));
        self.run.pack_offset.push(capped(run.pack_offset));
        self.run.stored.push(capped(run.stored_bytes()));
        self.run.seq.push(run.seq.0 as i64);
        self.run.born.push(run.born.0 as i64);
        self.run.first_block.push(run.first_block as i32);
        self.run.skip.push(run.skip as i32);
        self.run.tail.push(run.tail.to_vec());
        self.run.block.push(self.stored.len() as i32 + 1);
        self.run.blocks.push(run.blocks.len() as i32);
        for block in &run.blocks {
            self.stored.push(block.stored_len as i32);
            self.decoded.push(block.decoded_len as i32);
            self.compression.push(block.compression as i16);
            self.hash.push(block.hash as i64);
        }
    }

    fn push<'a>(&'a self, out: &mut Vec<Param<'a>>) {
        let run = &self.run;
        out.extend::<[Param<'a>; 18]>([
            &self.packs,
            &self.inode,
            &self.from,
            &self.to,
            &self.low,
            &self.size,
            &self.atime,
            &self.atime_ns,
            &self.mtime,
            &self.mtime_ns,
            &self.ctime,
            &self.ctime_ns,
            &self.change,
            &self.clear,
            &self.archive,
            &self.zero_part,
            &self.zero_start,
            &self.zero_end,
        ]);
        out.extend::<[Param<'a>; 17]>([
            &run.part,
            &run.start,
            &run.len,
            &run.pack,
            &run.pack_offset,
            &run.stored,
            &run.seq,
            &run.born,
            &run.first_block,
            &run.skip,
            &run.tail,
            &run.block,
            &run.blocks,
            &self.stored,
            &self.decoded,
            &self.compression,
            &self.hash,
        ]);
    }
}

impl Inner {
    /// See [`crate::MetadataStore::place`].
    pub(super) async fn place(
        &self,
        share: ShareId,
        epoch: Epoch,
        request: &PlaceRequest,
    ) -> StoreResult<Applied<Placed>> {
        ops::check_shape(request)?;
        let arrays = Arrays::of(request);
        let (wanted, ours) = (Uuid(share.0), epoch.0 as i32);
        let mut params: Vec<Param<'_>> = Vec::with_capacity(40);
        params.extend::<[Param<'_>; 2]>([&wanted, &ours]);
        arrays.push(&mut params);
        let answered = self.call(Query::Place, Effect::Changes, &params).await?;
        let placed = match placed(self, share, epoch, request, &answered) {
            Ok(_) if answered.again && request.packs.is_empty() => self.placed_before(share, request).await?,
            Err(StoreError::Refused(FsError::Internal)) if answered.again => {
                self.placed_before(share, request).await?
            }
            other => Some(other?),
        };
        let placed = placed.ok_or(FsError::Internal)?;
        let touched: Vec<InodeId> = request.inodes.iter().map(|part| part.inode).collect();
        self.changed(share, &touched);
        Ok(Applied { value: placed, commit: self.committed() })
    }

    /// What a place did whose answer was lost, by the rows as they are; `None` where it did nothing: only its own place turns
    /// a pack live.
    async fn placed_before(&self, share: ShareId, request: &PlaceRequest) -> StoreResult<Option<Placed>> {
        if let Some(pack) = request.packs.first()
            && self.pack(share, *pack).await?.is_none_or(|row| row.state != PackState::Live)
        {
            return Ok(None);
        }
        let ids: Vec<InodeId> = request.inodes.iter().map(|part| part.inode).collect();
        let rows = self.inodes(share, &ids).await?;
        let outcomes = rows.into_iter().zip(&request.inodes).map(|(row, part)| match row {
            None => PlacedInode::Absent,
            Some(row) if row.flushed_seq >= part.to_seq => PlacedInode::Placed(row),
            Some(row) => PlacedInode::OutOfOrder { flushed_seq: row.flushed_seq },
        });
        Ok(Some(Placed { inodes: outcomes.collect() }))
    }

    /// See [`crate::MetadataStore::reap`].
    pub(super) async fn reap(
        &self,
        share: ShareId,
        epoch: Epoch,
        inode: InodeId,
    ) -> StoreResult<Applied<bool>> {
        let params: [Param<'_>; 3] = [&Uuid(share.0), &(epoch.0 as i32), &capped(inode.0)];
        let answered = self.call(Query::Reap, Effect::Changes, &params).await?;
        let done =
            self.answers(share, epoch, &answered)?.first().is_some_and(|answer| answer.number == Some(1));
        self.changed(share, &[inode]);
        Ok(Applied { value: done, commit: self.committed() })
    }

    /// See [`crate::MetadataStore::pack_begin`].
    pub(super) async fn pack_begin(
        &self,
        share: ShareId,
        epoch: Epoch,
        pack: PackId,
        len: u64,
        now: Timestamp,
    ) -> StoreResult<Applied<()>> {
        let params: [Param<'_>; 6] =
            [&Uuid(share.0), &(epoch.0 as i32), &Uuid(pack.0), &capped(len), &now.secs, &(now.nanos as i32)];
        let answered = self.call(Query::PackBegin, Effect::Changes, &params).await?;
        match self.answers(share, epoch, &answered) {
            Err(StoreError::Refused(FsError::Exists)) if answered.again => {
                let row = self.pack(share, pack).await?;
                let ours = row
                    .is_some_and(|row| row.state == PackState::Up && row.epoch == epoch && row.since == now);
                if !ours {
                    return Err(FsError::Exists.into());
                }
            }
            other => drop(other?),
        }
        Ok(Applied { value: (), commit: self.committed() })
    }

    /// See [`crate::MetadataStore::packs_bury`].
    pub(super) async fn packs_bury(
        &self,
        share: ShareId,
        epoch: Epoch,
        packs: &[PackId],
        now: Timestamp,
    ) -> StoreResult<Applied<Vec<PackId>>> {
        let ids: Vec<Uuid> = packs.iter().map(|pack| Uuid(pack.0)).collect();
        let params: [Param<'_>; 5] =
            [&Uuid(share.0), &(epoch.0 as i32), &ids, &now.secs, &(now.nanos as i32)];
        let answered = self.call(Query::PacksBury, Effect::Changes, &params).await?;
        let mut dead = Vec::new();
        for answer in self.answers(share, epoch, &answered)? {
            let nth = answer.number.and_then(|number| usize::try_from(number - 1).ok());
            let pack =
                nth.and_then(|nth| packs.get(nth)).ok_or_else(|| damaged("answer", "position of a pack"))?;
            dead.push(*pack);
        }
        Ok(Applied { value: dead, commit: self.committed() })
    }

    /// See [`crate::MetadataStore::packs_forget`].
    pub(super) async fn packs_forget(
        &self,
        share: ShareId,
        epoch: Epoch,
        packs: &[PackId],
    ) -> StoreResult<Applied<()>> {
        let ids: Vec<Uuid> = packs.iter().map(|pack| Uuid(pack.0)).collect();
        let params: [Param<'_>; 3] = [&Uuid(share.0), &(epoch.0 as i32), &ids];
        let answered = self.call(Query::PacksForget, Effect::Changes, &params).await?;
        self.answers(share, epoch, &answered)?;
        Ok(Applied { value: (), commit: self.committed() })
    }
}

fn placed(
    store: &Inner,
    share: ShareId,
    epoch: Epoch,
    request: &PlaceRequest,
    answered: &Answered,
) -> StoreResult<Placed> {
    let mut parts: Vec<Option<PlacedInode>> = request.inodes.iter().map(|_| None).collect();
    for answer in store.answers(share, epoch, answered)? {
        let nth = answer.number.and_then(|number| usize::try_from(number - 1).ok());
        let outcome = match (answer.what.as_str(), answer.inode) {
            ("placed", Some(row)) => PlacedInode::Placed(row),
            ("late", Some(row)) => PlacedInode::OutOfOrder { flushed_seq: row.flushed_seq },
            ("absent", None) => PlacedInode::Absent,
            (what, _) => return Err(damaged("answer", what)),
        };
        match nth.and_then(|nth| parts.get_mut(nth)) {
            Some(part) => *part = Some(outcome),
            None => return Err(damaged("answer", "number of a part")),
        }
    }
    let inodes = parts.into_iter().collect::<Option<Vec<_>>>();
    Ok(Placed { inodes: inodes.ok_or_else(|| damaged("answer", "a part is missing"))? })
}

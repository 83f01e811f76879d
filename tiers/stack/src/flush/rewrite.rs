//! The window rule for a cut: finds the windows that must be written anew, and reads what is missing of them.

use super::Flusher;
use super::batch::Ticket;
use super::job::Again;
use super::plan::{BlockSpec, EXTENTS_PER_WINDOW, Fill, From, Window, blocks_of};
use super::upload::Stop;
use crate::error::StackReadError;
use crate::fetch::FetchError;
use crate::maps::RowState;
use dfs_journal::{Location, Moved, VerifiedRecord};
use dfs_model::{Activity, ActivityClass, InodeId, InternalJob};
use std::time::Duration;

/// Plans of one cut in a row: at most one per earlier cut, and some for good measure.
const PLANS_MAX: usize = 16;
/// The activity of our own reads: never promotes.
const FLUSH: Activity = Activity {
    class: ActivityClass::Internal(InternalJob::Flush),
    evidence: "window rewritten by a flush",
    sequential: false,
    promote: false,
};

/// A cut as blocks, and the base that their missing parts come from.
pub(super) struct CutPlan {
    pub blocks: Vec<BlockSpec>,
    pub base: Option<RowState>,
}

/// Why a block's bytes could not be read.
pub(super) enum Unreadable {
    /// The inode's records are gone: it was removed.
    Recycled,
    /// The journal's bytes are not what was written.
    Damaged(String),
    /// Its base is damaged or missing in the object store.
    Base(String),
    Stop(Stop),
}

impl Flusher {
    /// Plans a cut, again while places of earlier cuts move the row under it.
    pub(super) async fn plan(&self, ticket: &Ticket) -> Result<CutPlan, Again> {
        for _ in 0..PLANS_MAX {
            match self.plan_once(ticket).await {
                Err(Again::Moved) => {}
                other => return other,
            }
        }
        Err(Again::Later(String::from("the file map kept moving")))
    }

    /// One try. Waits for earlier cuts of the inode only where the exact count of a window's extents is needed.
    async fn plan_once(&self, ticket: &Ticket) -> Result<CutPlan, Again> {
        let cut = &ticket.cut;
        let block_size = u64::from(self.shared.settings.block_size);
        let mut plan = CutPlan { blocks: blocks_of(&cut.writes, block_size), base: None };
        let mut row = self.maps.row(cut.inode).await.map_err(|error| Again::of(&error))?;
        for (window, pieces) in &ticket.mine.windows {
            let (start, end) = (window * block_size, (window + 1) * block_size);
            let own = range_of(&plan.blocks, start, end);
            let whole = own.len() == 1
                && plan.blocks.get(own.start).is_some_and(|b| b.offset() == start && b.end() == end);
            if whole {
                continue;
            }
            let unplaced: usize =
                ticket.before.iter().filter_map(|earlier| earlier.windows.get(window)).sum();
            let at_most = 2 * (pieces + unplaced) + self.base_count(cut.inode, &row, start, end).await?;
            if at_most <= EXTENTS_PER_WINDOW {
                continue;
            }
            if !ticket.before_is_applied() || row.flushed_seq != cut.from_seq {
                if !ticket.wait_before().await {
                    return Err(Again::Held);
                }
                row = self.maps.row(cut.inode).await.map_err(|error| Again::of(&error))?;
                if row.flushed_seq != cut.from_seq {
                    return Err(Again::Order);
                }
            }
            let base = self.base_ranges(cut.inode, &row, start, end).await?;
            let own = range_of(&plan.blocks, start, end);
            let blocks = plan.blocks.get(own.clone()).unwrap_or_default();
            let zeros = zeros_of(&cut.zeros, start, end);
            let exact = Window { start, end, size_low: cut.size_low, zeros, blocks, base: &base };
            if exact.after() > EXTENTS_PER_WINDOW
                && let Some(spec) = exact.rewritten()
            {
                plan.blocks.splice(own, [spec]);
                plan.base = Some(row);
            }
        }
        Ok(plan)
    }

    async fn base_count(&self, inode: InodeId, row: &RowState, start: u64, end: u64) -> Result<usize, Again> {
        if start >= row.size {
            return Ok(0);
        }
        self.base_ranges(inode, row, start, end).await.map(|ranges| ranges.len())
    }

    async fn base_ranges(
        &self,
        inode: InodeId,
        row: &RowState,
        start: u64,
        end: u64,
    ) -> Result<Vec<(u64, u64)>, Again> {
        let parts = self.maps.runs(inode, row, start, end).await.map_err(|error| Again::of(&error))?;
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for run in parts.iter().flat_map(|part| part.iter()).filter(|run| run.overlaps(start, end)) {
            if ranges.last().is_none_or(|last| last.0 < run.offset) {
                ranges.push((run.offset, run.end()));
            }
        }
        Ok(ranges)
    }

    /// The bytes of a block to be. `record`: the last record that was verified whole, for the next part of it.
    pub(super) async fn read_block(
        &self,
        inode: InodeId,
        spec: &BlockSpec,
        base: Option<&RowState>,
        record: &mut Option<VerifiedRecord>,
    ) -> Result<Vec<u8>, Unreadable> {
        let mut bytes = vec![0; (spec.end() - spec.offset()) as usize];
        let mut rest = bytes.as_mut_slice();
        for fill in &spec.fills {
            let (out, tail) = rest.split_at_mut(fill.len as usize);
            rest = tail;
            match (fill.from, base) {
                (From::Zero, _) => {}
                (From::Log(location), _) => self.read_log(inode, &location, record, out)?,
                (From::Base, Some(base)) => self.read_base(inode, base, fill, out).await?,
                (From::Base, None) => return Err(Unreadable::Base(String::from("no base"))),
            }
        }
        Ok(bytes)
    }

    /// Bytes of a record, of which every byte was verified.
    fn read_log(
        &self,
        inode: InodeId,
        location: &Location,
        record: &mut Option<VerifiedRecord>,
        out: &mut [u8],
    ) -> Result<(), Unreadable> {
        let known = record.as_ref().and_then(|record| record.bytes_at(location, out.len()));
        if let Some(bytes) = known {
            out.copy_from_slice(bytes);
            return Ok(());
        }
        let read = self.shared.journal.read_verified(location, inode).map_err(|moved| match moved {
            Moved::Recycled => Unreadable::Recycled,
            Moved::Damaged(why) => Unreadable::Damaged(why),
        })?;
        match record.insert(read).bytes_at(location, out.len()) {
            Some(bytes) => out.copy_from_slice(bytes),
            None => return Err(Unreadable::Damaged(String::from("a record is shorter than what it holds"))),
        }
        Ok(())
    }

    async fn read_base(
        &self,
        inode: InodeId,
        row: &RowState,
        fill: &Fill,
        out: &mut [u8],
    ) -> Result<(), Unreadable> {
        let end = fill.offset + fill.len;
        let parts = self.maps.runs(inode, row, fill.offset, end).await.map_err(|error| match error {
            StackReadError::Gone => Unreadable::Recycled,
            error => Unreadable::Base(error.to_string()),
        })?;
        let mut at = fill.offset;
        for run in parts.iter().flat_map(|part| part.iter()) {
            let pieces: Vec<_> = run.pieces(at, end).collect();
            at = at.max(run.end().min(end));
            for piece in pieces {
                let block = self.base_block(&piece).await?;
                let from = block.get(piece.skip as usize..(piece.skip + piece.len) as usize);
                let to =
                    out.get_mut((piece.offset - fill.offset) as usize..(piece.end() - fill.offset) as usize);
                let (Some(from), Some(to)) = (from, to) else {
                    return Err(Unreadable::Base(String::from("the extent does not fit its block")));
                };
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }

    /// One block of the base; waits as long as the object store is away.
    async fn base_block(&self, piece: &dfs_model::extent::BlockPiece) -> Result<bytes::Bytes, Unreadable> {
        loop {
            let slots = self.fetcher.obtain(std::slice::from_ref(piece), &FLUSH);
            let Some(slot) = slots.into_iter().next() else {
                return Err(Unreadable::Base(String::from("no block")));
            };
            match slot.wait().await {
                Ok(bytes) => return Ok(bytes),
                Err(FetchError::Unavailable(_)) => {
                    self.uploads.pause(Duration::from_secs(1)).await.map_err(Unreadable::Stop)?;
                }
                Err(FetchError::Damaged(block) | FetchError::Missing(block)) => {
                    return Err(Unreadable::Base(format!("block {block} is damaged or missing")));
                }
            }
        }
    }
}

/// Blocks that lie in `[start, end)`; blocks never cross a window.
fn range_of(blocks: &[BlockSpec], start: u64, end: u64) -> std::ops::Range<usize> {
    let first = blocks.partition_point(|block| block.offset() < start);
    let last = blocks.partition_point(|block| block.offset() < end);
    first..last
}

/// Holes that touch `[start, end)`; they are in order and apart.
fn zeros_of(zeros: &[(u64, u64)], start: u64, end: u64) -> &[(u64, u64)] {
    let first = zeros.partition_point(|zero| zero.1 <= start);
    let last = zeros.partition_point(|zero| zero.0 < end);
    zeros.get(first..last).unwrap_or_default()
}

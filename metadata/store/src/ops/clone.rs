//! `clone_file`: a file takes over the extents of another (JOURNAL P5). No byte moves; both refer to the same blocks.
//!
//! Blocks keep their place in the file's windows: a part moves by whole blocks of the share. The runs get the seq that the
//! target's row gets, so that they are told from whatever lay there before.

use super::attrs::without_set_id;
use super::place::{Map, overlapping};
use super::snapshots::as_of;
use super::tx::{Stamp, changed, mutable};
use super::{Tx, packs, usage};
use crate::rows::InodeRow;
use crate::{ClonePart, CloneRequest, Cloned, OpContext, StoreError, StoreResult};
use dfs_model::extent::FILE_END_MAX;
use dfs_model::inode::dos;
use dfs_model::{ExtentRun, FsError, Inode, InodeId, InodeKind, Seq, ShareCeiling};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Gives a file the extents of another.
pub fn clone_file(tx: &mut Tx<'_>, cx: &OpContext<'_>, request: &CloneRequest) -> StoreResult<Cloned> {
    let mut head = tx.fenced_head(cx.epoch)?;
    let block_size = super::read_share(tx)?.block_size;
    check_clone(request, u64::from(block_size))?;
    let mut target = tx.inode(request.to)?;
    if cx.credentials.ceiling < ShareCeiling::ReadWrite {
        return Err(FsError::ReadOnlyShare.into());
    }
    let (source, mut runs) = source(tx, request)?;
    if source.inode.kind != InodeKind::File || target.inode.kind != InodeKind::File {
        return Err(FsError::InvalidArgument.into());
    }
    mutable(&target.inode)?;
    let moved = |drained: Option<Seq>, row: &Inode| drained.is_some_and(|seq| seq != row.flushed_seq);
    if moved(request.drained[0], &source.inode) || moved(request.drained[1], &target.inode) {
        return Err(StoreError::Raced);
    }
    let stamp = Stamp::take(cx);
    let pre = target.inode.clone();
    let (start, end) = taken(request.part, &source.inode)?;
    let to_offset = request.part.map_or(0, |part| part.to_offset);
    runs = runs.iter().filter_map(|run| run.slice(start, end)).collect();
    for run in &mut runs {
        run.offset = run.offset - start + to_offset;
        (run.seq, run.born) = (cx.born_seq, stamp.change);
    }
    let clear_to = if request.part.is_some() { to_offset + (end - start) } else { u64::MAX };
    let bytes = replace(tx, &target.inode, (to_offset, clear_to), &runs)?;
    head.bytes = head.bytes.saturating_add_signed(bytes);
    usage::add(tx, (&target.inode.owner, &target.inode.group), bytes, 0)?;
    target.inode.allocated = target.inode.allocated.saturating_add_signed(bytes);
    stamp.touch(&mut target.inode);
    match request.part {
        None => (target.inode.size, target.inode.mtime) = (source.inode.size, source.inode.mtime),
        Some(_) => {
            target.inode.size = target.inode.size.max(clear_to);
            target.inode.mtime = target.inode.ctime;
        }
    }
    target.inode.dos |= dos::ARCHIVE;
    target.inode.create_verifier = None;
    if request.clear_suid {
        target.inode.mode = without_set_id(target.inode.mode);
    }
    target.inode.flushed_seq = cx.born_seq;
    tx.put_inode(&target);
    tx.put_head(&head);
    Ok(Cloned { from: Arc::new(source.inode), to: changed(pre, &target.inode), len: end - start })
}

/// The source's row and runs, now or as of its snapshot.
fn source(tx: &Tx<'_>, request: &CloneRequest) -> StoreResult<(InodeRow, Vec<ExtentRun>)> {
    let (start, end) = match request.part {
        None => (0, FILE_END_MAX),
        Some(part) => (part.from_offset, part.from_offset.saturating_add(part.len)),
    };
    let read = |tx: &Tx<'_>, id: InodeId| -> StoreResult<(InodeRow, Vec<ExtentRun>)> {
        Ok((tx.inode(id)?, overlapping(tx, id, start, end, usize::MAX)?))
    };
    match request.from.snapshot() {
        None => read(tx, request.from),
        Some((snapshot, own)) => read(&Tx::new(&as_of(tx, snapshot)?, tx.share, tx.mutations), own),
    }
}

/// The half-open range of the source that is taken. *Errors:* [`FsError::InvalidArgument`] beyond its end.
fn taken(part: Option<ClonePart>, source: &Inode) -> StoreResult<(u64, u64)> {
    let (start, end) = match part {
        None => (0, source.size),
        Some(part) => (part.from_offset, part.from_offset.saturating_add(part.len)),
    };
    if end > source.size { Err(FsError::InvalidArgument.into()) } else { Ok((start, end)) }
}

/// Puts runs in the place of whatever lies in a range of the target; answers how many bytes of data it gained.
fn replace(tx: &mut Tx<'_>, target: &Inode, range: (u64, u64), runs: &[ExtentRun]) -> StoreResult<i64> {
    let mut live = BTreeMap::new();
    let mut map = Map { inode: target.id, live: &mut live, bytes: 0 };
    map.clear(tx, range.0, range.1)?;
    runs.iter().for_each(|run| map.add(tx, run));
    let bytes = map.bytes;
    packs::adjust_live(tx, &live)?;
    Ok(bytes)
}

/// *Errors:* [`FsError::InvalidArgument`] for a file onto itself and for a part that is empty, not aligned or beyond the
/// largest file.
pub fn check_clone(request: &CloneRequest, block_size: u64) -> StoreResult<()> {
    let valid = match request.part {
        None => request.from != request.to,
        Some(part) => {
            let apart = part.from_offset.abs_diff(part.to_offset) >= part.len;
            let ends = [part.from_offset, part.to_offset].map(|offset| offset.checked_add(part.len));
            part.len > 0
                && ends.iter().all(|end| end.is_some_and(|end| end <= FILE_END_MAX))
                && part.from_offset.is_multiple_of(block_size)
                && part.to_offset.is_multiple_of(block_size)
                && (request.from != request.to || apart)
        }
    };
    if valid { Ok(()) } else { Err(FsError::InvalidArgument.into()) }
}

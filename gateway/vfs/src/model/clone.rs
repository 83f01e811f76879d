//! Clones in the model: bytes are copied, which is what a clone must look like.

use super::ModelVfs;
use super::attributes::{drop_privilege_bits, may_read, may_write, stateless};
use super::tree::Tree;
use crate::*;
use dfs_model::{FsError, InodeId, InodeKind, Timestamp, Wcc};

/// The unit of clones: the smallest block size that a share may choose.
pub(super) const CLONE_UNIT: u64 = 64 << 10;

impl ModelVfs {
    pub(super) fn copy_now(&self, cx: &RequestContext, request: &CopyRange) -> VfsResult<CopyReply> {
        let (from, to) = (stateless(request.from)?, stateless(request.to)?);
        let now = self.clock.wall();
        let mut tree = self.tree.lock();
        let before = [tree.attrs(from).ok(), tree.attrs(to).ok()];
        match copy(&mut tree, cx, (from, to), request, now) {
            Ok(copied) => {
                let post = tree.attrs(to)?;
                let pre = before[1].as_ref().unwrap_or(&post).pre();
                let wcc = Wcc { pre, post };
                Ok(CopyReply { copied, wcc, verifier: self.verifier_now(), resume: None })
            }
            Err(error) => {
                let [from, to] = before.map(|attrs| attrs.map(Wcc::unchanged));
                Err(Failed::with_two(error, from, to))
            }
        }
    }
}

fn file(kind: InodeKind) -> Result<(), FsError> {
    match kind {
        InodeKind::File => Ok(()),
        InodeKind::Directory => Err(FsError::IsDirectory),
        _ => Err(FsError::WrongType),
    }
}

fn copy(
    tree: &mut Tree,
    cx: &RequestContext,
    (from, to): (InodeId, InodeId),
    request: &CopyRange,
    now: Timestamp,
) -> Result<u64, FsError> {
    let whole = match request.how {
        CopyHow::Copy => return Err(FsError::NotSupported),
        CopyHow::Clone => false,
        CopyHow::Replace => true,
    };
    if whole && (from == to || request.from_offset != 0 || request.to_offset != 0 || request.len != 0) {
        return Err(FsError::InvalidArgument);
    }
    let source = tree.node(from)?.row.clone();
    let target = tree.node(to)?.row.clone();
    file(source.kind)?;
    may_read(&source, &cx.credentials, AccessRule::Stateless)?;
    file(target.kind)?;
    may_write(&target, &cx.credentials, AccessRule::Stateless)?;
    let left = source.size.checked_sub(request.from_offset).ok_or(FsError::InvalidArgument)?;
    let len = if request.len == 0 { left } else { request.len };
    let aligned = [request.from_offset, request.to_offset].iter().all(|at| at.is_multiple_of(CLONE_UNIT));
    let apart = from != to || request.from_offset.abs_diff(request.to_offset) >= len;
    let end = request.to_offset.checked_add(len).filter(|end| *end <= FILE_SIZE_MAX);
    let Some(end) = end.filter(|_| len <= left && (len == 0 || (aligned && apart))) else {
        return Err(FsError::InvalidArgument);
    };
    if !whole && len == 0 {
        return Ok(0);
    }
    let bytes = tree.node(from)?.bytes.read(request.from_offset, len as usize);
    let at = now.after(source.ctime.max(target.ctime));
    let change = tree.change();
    let node = tree.node_mut(to)?;
    if whole {
        node.bytes.truncate(0);
    }
    node.bytes.write(request.to_offset, &bytes);
    let row = &mut node.row;
    drop_privilege_bits(row, &cx.credentials);
    row.size = if whole { source.size } else { row.size.max(end) };
    row.mtime = if whole { source.mtime } else { at };
    row.ctime = at;
    row.change = change;
    row.create_verifier = None;
    node.row.allocated = node.bytes.held();
    Ok(len)
}

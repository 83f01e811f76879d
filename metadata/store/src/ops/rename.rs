//! `rename`: a name moves, and may replace another.

use super::create::LINKS_MAX;
use super::remove::{require_empty, unlink};
use super::tx::{Stamp, changed, mutable, unchanged};
use super::{Tx, replay};
use crate::rows::{DentryRow, InodeRow, damaged};
use crate::{OpContext, RenameRequest, Renamed, Replace, ReplayOp, StoreError, StoreResult};
use dfs_model::{FsError, InodeFlags, InodeId, Rights, access};

/// Deepest tree that a rename walks up; deeper means that the parents form a loop.
const DEPTH_MAX: usize = 1 << 16;

/// Source, destination and what they lead to, as found.
struct Found {
    from_dir: InodeRow,
    /// `None`: the same directory.
    to_dir: Option<InodeRow>,
    source: DentryRow,
    moved: InodeRow,
    target: Option<(DentryRow, InodeRow)>,
}

impl Found {
    fn to_dir(&self) -> &InodeRow {
        self.to_dir.as_ref().unwrap_or(&self.from_dir)
    }

    fn to_dir_mut(&mut self) -> &mut InodeRow {
        self.to_dir.as_mut().unwrap_or(&mut self.from_dir)
    }
}

/// Moves a name.
pub fn rename(tx: &mut Tx<'_>, cx: &OpContext<'_>, request: &RenameRequest) -> StoreResult<Renamed> {
    let mut head = tx.fenced_head(cx.epoch)?;
    replay::check(tx, cx)?;
    let mut found = find(tx, cx, request)?;
    if same_inode(request, &found)? {
        return Ok(nothing_happened(&found));
    }
    check_loop(tx, &found)?;
    check_rights(cx, &found)?;
    check_kinds(tx, request, &found)?;
    let stamp = Stamp::take(cx);
    let pre = (found.from_dir.inode.clone(), found.to_dir.as_ref().map(|row| row.inode.clone()));
    let moved_pre = found.moved.inode.clone();

    let is_dir = found.moved.inode.is_dir();
    let replaced = found.target.take();
    if let Some((dentry, _)) = &replaced {
        tx.delete_dentry(&dentry.dentry);
    }
    tx.delete_dentry(&found.source.dentry);
    let crossed = found.to_dir.is_some();
    if is_dir && crossed {
        found.moved.inode.parent = request.to_dir;
        found.from_dir.inode.nlink = found.from_dir.inode.nlink.saturating_sub(1);
        found.to_dir_mut().inode.nlink += 1;
    }
    if replaced.as_ref().is_some_and(|(_, row)| row.inode.is_dir()) {
        let nlink = &mut found.to_dir_mut().inode.nlink;
        *nlink = nlink.saturating_sub(1);
    }
    let mut named = found.source.clone();
    named.dentry.dir = request.to_dir;
    named.dentry.name = request.to_name.clone();
    if crossed {
        named.dentry.cookie = Tx::next_cookie(found.to_dir_mut())?;
        named.dentry.born = stamp.change;
    }
    stamp.touch(&mut found.moved.inode);
    stamp.touch_entries(&mut found.from_dir.inode);
    if let Some(to_dir) = &mut found.to_dir {
        stamp.touch_entries(&mut to_dir.inode);
    }
    tx.put_dentry(&named);
    tx.put_inode(&found.moved);
    tx.put_inode(&found.from_dir);
    if let Some(to_dir) = &found.to_dir {
        tx.put_inode(to_dir);
    }
    let replaced = match replaced {
        Some((_, victim)) => Some(unlink(tx, &mut head, victim, stamp, request.keep_orphan)?),
        None => None,
    };
    let from_dir = changed(pre.0, &found.from_dir.inode);
    let to_dir = match (pre.1, &found.to_dir) {
        (Some(pre), Some(row)) => changed(pre, &row.inode),
        _ => from_dir.clone(),
    };
    replay::store(tx, cx, ReplayOp::Rename, found.moved.inode.id, &from_dir, Some(&to_dir));
    let moved = changed(moved_pre, &found.moved.inode);
    Ok(Renamed { same_inode: false, moved, replaced, from_dir, to_dir, dentry: named.dentry })
}

fn find(tx: &Tx<'_>, cx: &OpContext<'_>, request: &RenameRequest) -> StoreResult<Found> {
    let from_dir = tx.directory(request.from_dir)?;
    let to_dir = match request.to_dir == request.from_dir {
        true => None,
        false => Some(tx.directory(request.to_dir)?),
    };
    access::check(&from_dir.inode, cx.credentials, Rights::EXECUTE)?;
    if let Some(to_dir) = &to_dir {
        access::check(&to_dir.inode, cx.credentials, Rights::EXECUTE)?;
    }
    let source = tx.find_dentry(request.from_dir, &request.from_name)?;
    let source = source.ok_or(StoreError::Refused(FsError::NotFound))?;
    if request.expect_moved.is_some_and(|expected| expected != source.dentry.inode) {
        return Err(StoreError::Raced);
    }
    let target = tx.find_dentry(request.to_dir, &request.to_name)?;
    let leads_to = target.as_ref().map(|row| row.dentry.inode);
    if request.expect_replaced.is_some_and(|expected| expected != leads_to) {
        return Err(StoreError::Raced);
    }
    let moved = tx.named_inode(source.dentry.inode)?;
    let target = match target {
        Some(row) => {
            let inode = tx.named_inode(row.dentry.inode)?;
            Some((row, inode))
        }
        None => None,
    };
    Ok(Found { from_dir, to_dir, source, moved, target })
}

/// Whether both names lead to one inode, so that nothing is to be done. *Errors:* [`FsError::Exists`] where the caller
/// does not replace.
fn same_inode(request: &RenameRequest, found: &Found) -> StoreResult<bool> {
    let Some((target, _)) = &found.target else { return Ok(false) };
    let same_name = request.from_dir == request.to_dir && request.from_name == request.to_name;
    if same_name {
        return Ok(true);
    }
    match (target.dentry.inode == found.source.dentry.inode, request.replace) {
        (_, Replace::Never) => Err(FsError::Exists.into()),
        (same, Replace::Posix | Replace::Windows) => Ok(same),
    }
}

fn nothing_happened(found: &Found) -> Renamed {
    let from_dir = unchanged(&found.from_dir.inode);
    let to_dir = match &found.to_dir {
        Some(row) => unchanged(&row.inode),
        None => from_dir.clone(),
    };
    let moved = unchanged(&found.moved.inode);
    let dentry = match &found.target {
        Some((row, _)) => row.dentry.clone(),
        None => found.source.dentry.clone(),
    };
    Renamed { same_inode: true, moved, replaced: None, from_dir, to_dir, dentry }
}

/// *Errors:* [`FsError::InvalidArgument`] for a directory that would move into itself or below itself.
fn check_loop(tx: &Tx<'_>, found: &Found) -> StoreResult<()> {
    let Some(to_dir) = &found.to_dir else { return Ok(()) };
    if !found.moved.inode.is_dir() {
        return Ok(());
    }
    let (mut at, mut parent) = (to_dir.inode.id, to_dir.inode.parent);
    for _ in 0..DEPTH_MAX {
        if at == found.moved.inode.id {
            return Err(FsError::InvalidArgument.into());
        }
        if at == InodeId::ROOT || parent == at {
            return Ok(());
        }
        at = parent;
        match tx.find_inode(at)? {
            Some(row) => parent = row.inode.parent,
            // An orphaned directory's ancestors may be gone; it can be below nothing then.
            None => return Ok(()),
        }
    }
    Err(damaged("directory", "its parents form a loop"))
}

fn check_rights(cx: &OpContext<'_>, found: &Found) -> StoreResult<()> {
    let who = cx.credentials;
    let moved = &found.moved.inode;
    access::check_delete(&found.from_dir.inode, moved, who)?;
    let right = if moved.is_dir() { Rights::ADD_SUBDIRECTORY } else { Rights::ADD_FILE };
    access::check(&found.to_dir().inode, who, right)?;
    if let Some((_, replaced)) = &found.target {
        access::check_delete(&found.to_dir().inode, &replaced.inode, who)?;
        mutable(&replaced.inode)?;
    }
    // The `..` of a directory changes with its parent: POSIX asks for the right to write it.
    if moved.is_dir() && found.to_dir.is_some() {
        access::check(moved, who, Rights::ADD_SUBDIRECTORY)?;
    }
    mutable(moved)?;
    mutable(&found.from_dir.inode)?;
    mutable(&found.to_dir().inode)?;
    if found.to_dir().inode.flags.has(InodeFlags::ORPHAN) {
        return Err(FsError::NotFound.into());
    }
    Ok(())
}

fn check_kinds(tx: &Tx<'_>, request: &RenameRequest, found: &Found) -> StoreResult<()> {
    let is_dir = found.moved.inode.is_dir();
    if let Some((dentry, replaced)) = &found.target {
        if dentry.dentry.delete_pending {
            return Err(FsError::DeletePending.into());
        }
        match (is_dir, replaced.inode.is_dir(), request.replace) {
            (_, true, Replace::Windows) => return Err(FsError::AccessDenied.into()),
            (true, false, _) => return Err(FsError::NotDirectory.into()),
            (false, true, _) => return Err(FsError::IsDirectory.into()),
            (true, true, _) => require_empty(tx, replaced.inode.id)?,
            (false, false, _) => {}
        }
    }
    if is_dir && found.to_dir.is_some() && found.to_dir().inode.nlink >= LINKS_MAX {
        return Err(FsError::TooManyLinks.into());
    }
    Ok(())
}

//! Copies by path, as the administrator asks for them: a clone of a file under another name.
//!
//! A new target is created first and cloned over then; one that fails is removed again. A crash in between leaves it empty.

use crate::cell::Cell;
use crate::engine::Engine;
use dfs_model::{AttrMask, AttrPatch, FsError, InodeFlags, InodeId, Name, Patch, Target, XattrMode};
use dfs_vfs::{
    CopyHow, CopyRange, Create, CreateExisting, Failed, NameCase, NewKind, Remove, RemoveWhat,
    RequestContext, WALK_NAMES_MAX, Walk, WalkStep, XattrSet, XattrSpace,
};
use std::sync::Arc;

fn error(failed: Failed) -> FsError {
    failed.error
}

/// A request to share all blocks.
pub(crate) fn replacing(from: InodeId, to: InodeId) -> CopyRange {
    CopyRange {
        from: Target::Inode(from),
        from_offset: 0,
        to: Target::Inode(to),
        to_offset: 0,
        len: 0,
        how: CopyHow::Replace,
        resume: None,
    }
}

impl Engine {
    /// Gives the file at `to` the bytes of the one at `from`, both paths from the share's root; blocks are shared, nothing is
    /// read or copied. A new file has the source's mode, owner, ACL and extended attributes; with `replace` one that is there
    /// keeps its own. Answers how many bytes it has. Durable on return.
    ///
    /// *Errors:* `NotFound`, `PathNotFound`; `Exists` without `replace`; `IsDirectory`, `WrongType` for what are no files;
    /// `ColdUnavailable` while what was written last cannot be placed; `Quota`, `NoSpace`, `ReadOnlyShare`.
    pub async fn clone_path(&self, from: &[Name], to: &[Name], replace: bool) -> Result<u64, FsError> {
        let cx = self.own_context();
        let source = self.walk_path(&cx, from).await?;
        crate::access_checks::must_be_file(&source.state.lock().attrs)?;
        let (name, dir) = to.split_last().ok_or(FsError::IsDirectory)?;
        let dir = self.walk_path(&cx, dir).await?.inode;
        let found = self.store.lookup(self.share, dir, name).await.map_err(|error| error.to_fs())?;
        match found {
            Some((dentry, _)) if replace => self.clone_onto(&cx, source.inode, dentry.inode).await,
            Some(_) => Err(FsError::Exists),
            None => self.clone_new(&cx, &source, dir, name).await,
        }
    }

    /// The inode that a path from the root leads to.
    pub(crate) async fn walk_path(&self, cx: &RequestContext, path: &[Name]) -> Result<Arc<Cell>, FsError> {
        self.walk_from(cx, InodeId::ROOT, path).await
    }

    /// The inode that a path from a directory leads to.
    pub(crate) async fn walk_from(
        &self,
        cx: &RequestContext,
        mut at: InodeId,
        path: &[Name],
    ) -> Result<Arc<Cell>, FsError> {
        for part in path.chunks(WALK_NAMES_MAX) {
            let steps = part.iter().cloned().map(WalkStep::Down).collect();
            let request = Walk { dir: at, steps, case: NameCase::Exact, want: AttrMask::BASIC };
            let walked = self.do_walk(cx, request).await.map_err(error)?;
            at = walked.steps.last().map_or(at, |step| step.inode);
        }
        self.cells.get(at).await
    }

    async fn clone_onto(&self, cx: &RequestContext, from: InodeId, to: InodeId) -> Result<u64, FsError> {
        Ok(self.do_copy(cx, replacing(from, to)).await.map_err(error)?.copied)
    }

    async fn clone_new(
        &self,
        cx: &RequestContext,
        source: &Cell,
        dir: InodeId,
        name: &Name,
    ) -> Result<u64, FsError> {
        let (attrs, has_xattr) = {
            let state = source.state.lock();
            (state.attrs.clone(), state.row.flags.has(InodeFlags::HAS_XATTR))
        };
        let patch = AttrPatch {
            mode: Patch::Set(attrs.mode),
            owner: Patch::Set(attrs.owner),
            group: Patch::Set(attrs.group),
            acl: attrs.acl.map_or(Patch::Keep, Patch::Set),
            ..AttrPatch::default()
        };
        let existing = CreateExisting::Guarded;
        let request = Create { dir, name: name.clone(), kind: NewKind::File, existing, attrs: patch };
        let made = self.do_create(cx, request).await.map_err(error)?.inode;
        let cloned = self.fill_new(cx, source.inode, made, has_xattr).await;
        if cloned.is_err() {
            let what = RemoveWhat::NonDirectory;
            let request = Remove { dir, name: name.clone(), what, expect: Some(made) };
            // What cannot be removed either is an empty file that the caller's error tells of.
            let _ = self.do_remove(cx, request).await;
        }
        cloned
    }

    async fn fill_new(
        &self,
        cx: &RequestContext,
        from: InodeId,
        to: InodeId,
        has_xattr: bool,
    ) -> Result<u64, FsError> {
        if has_xattr {
            let found = self.store.xattrs(self.share, from, &[]).await.map_err(|error| error.to_fs())?;
            let values = found.into_iter().map(|(name, value)| (name, Some(value))).collect();
            let (target, space) = (Target::Inode(to), XattrSpace::User);
            let request = XattrSet { target, space, values, mode: XattrMode::Either };
            self.do_xattr_set(cx, request).await.map_err(error)?;
        }
        self.clone_onto(cx, from, to).await
    }
}

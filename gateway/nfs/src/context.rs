//! What a procedure works with: the export that the handle named, and the request's context.

use crate::convert;
use crate::creds::Reach;
use crate::exports::ShareExport;
use crate::status;
use crate::wire::{Attributes, FileName, Handle, Outcome, PostOp, Status, WccData};
use bytes::Bytes;
use dfs_model::{AttrMask, Attrs, FsError, InodeId, Name, Target, Wcc};
use dfs_vfs::{Failed, FileHandle, GetAttr, OperationSet, RequestContext, Resolved, Vfs};
use std::sync::Arc;

/// One request to one share.
pub(crate) struct Call {
    pub export: Arc<ShareExport>,
    pub cx: RequestContext,
    pub reach: Reach,
    /// Operations that are blocked on every share.
    pub blocked: OperationSet,
}

impl Call {
    pub(crate) fn vfs(&self) -> &dyn Vfs {
        self.export.vfs.as_ref()
    }

    /// Finds what a handle names. *Errors:* `BadHandle`, `StaleHandle`; `CrossShare` for another share's handle;
    /// `AccessDenied` for anything but the root where the caller may look at that only.
    pub(crate) async fn resolve(&self, handle: &Handle) -> Result<Resolved, Failed> {
        let resolved = match FileHandle::peek_share(&handle.0) {
            Ok(share) if share != self.export.id => return Err(FsError::CrossShare.into()),
            Ok(_) => self.vfs().resolve(&self.cx, &handle.0).await?,
            Err(_) => return Err(FsError::BadHandle.into()),
        };
        match self.reach == Reach::Files || resolved.inode == self.vfs().root() {
            true => Ok(resolved),
            false => Err(FsError::AccessDenied.into()),
        }
    }

    pub(crate) fn attributes(&self, attrs: &Attrs) -> Attributes {
        convert::attributes(attrs, self.export.fsid)
    }

    pub(crate) fn post(&self, attrs: &Attrs) -> PostOp {
        Some(self.attributes(attrs))
    }

    pub(crate) fn wcc(&self, wcc: &Wcc) -> WccData {
        convert::wcc(wcc, self.export.fsid)
    }

    pub(crate) fn handle(&self, attrs: &Attrs) -> Handle {
        self.encode(&self.vfs().handle_of(attrs))
    }

    pub(crate) fn encode(&self, handle: &FileHandle) -> Handle {
        Handle(Bytes::copy_from_slice(&self.vfs().encode_handle(handle)))
    }

    fn wcc_of(&self, failed: &Failed, which: usize) -> WccData {
        failed.wcc.get(which).and_then(Option::as_ref).map(|wcc| self.wcc(wcc)).unwrap_or_default()
    }

    /// A refusal whose reply carries attributes of the object (or source directory).
    pub(crate) fn fail_post<Good>(&self, failed: &Failed) -> Outcome<Good, PostOp> {
        Outcome::Fail(self.status(&failed.error), self.wcc_of(failed, 0).after)
    }

    /// A refusal whose reply carries attributes before and after of the object (or source directory).
    pub(crate) fn fail_wcc<Good>(&self, failed: &Failed) -> Outcome<Good, WccData> {
        Outcome::Fail(self.status(&failed.error), self.wcc_of(failed, 0))
    }

    /// Status and attributes of both objects of a refusal.
    pub(crate) fn fail_two(&self, failed: &Failed) -> (Status, WccData, WccData) {
        (self.status(&failed.error), self.wcc_of(failed, 0), self.wcc_of(failed, 1))
    }

    /// The status; what an operator must hear of is logged here, once.
    pub(crate) fn status(&self, error: &FsError) -> Status {
        let share = &self.export.name;
        match error {
            FsError::Internal => tracing::error!(share, request = self.cx.request, "internal error: a bug"),
            FsError::Corrupt | FsError::Io => {
                tracing::warn!(share, request = self.cx.request, %error, "request failed")
            }
            _ => {}
        }
        status::of(error)
    }

    /// A refusal that was decided here, with the attributes of the directory or object that it concerns, as the seam
    /// gives them for its own refusals.
    pub(crate) async fn refuse(&self, inode: InodeId, error: FsError) -> Failed {
        let request = GetAttr { target: Target::Inode(inode), want: AttrMask::BASIC };
        let attrs = self.vfs().get_attr(&self.cx, request).await.ok();
        Failed::with(error, attrs.map(Wcc::unchanged))
    }

    /// Resolves a directory and validates a name that shall be made, moved or removed in it. `dots` is the error for `.`
    /// and `..`.
    pub(crate) async fn place(
        &self,
        dir: &Handle,
        name: &FileName,
        dots: FsError,
    ) -> Result<(InodeId, Name), Failed> {
        let dir = self.resolve(dir).await?.inode;
        match self::name(name, dots) {
            Ok(name) => Ok((dir, name)),
            Err(error) => Err(self.refuse(dir, error).await),
        }
    }
}

/// A validated name in memory of its own: names are kept for long, records are not.
pub(crate) fn name(name: &FileName, dots: FsError) -> Result<Name, FsError> {
    if name.0.as_ref() == b"." || name.0.as_ref() == b".." {
        return Err(dots);
    }
    Name::new(Bytes::copy_from_slice(&name.0))
}

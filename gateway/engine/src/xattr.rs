//! Extended attributes (RFC 8276). A change is one metadata transaction under the inode's gate; an inode without any costs
//! no look-up.

use crate::attributes::{attr_event, refused, stateless};
use crate::cell::Cell;
use crate::engine::Engine;
use bytes::Bytes;
use dfs_model::xattr::{self, Xattrs};
use dfs_model::{FsError, InodeFlags, InodeId, Rights, Target, Wcc, access};
use dfs_store::{StoreError, XattrSetRequest};
use dfs_vfs::{
    Changed, Operation, RequestContext, VfsResult, XattrGet, XattrList, XattrNames, XattrSet, XattrSpace,
};
use std::sync::Arc;

impl Engine {
    pub(crate) async fn do_xattr_get(
        &self,
        cx: &RequestContext,
        request: XattrGet,
    ) -> VfsResult<Vec<(Bytes, Bytes)>> {
        let have = self.xattrs_read(cx, request.target, request.space, &request.names).await?;
        match request.find(&have) {
            Ok(found) => Ok(found),
            Err(error) => Err(self.failed(error, stateless(request.target)?).await),
        }
    }

    pub(crate) async fn do_xattr_list(
        &self,
        cx: &RequestContext,
        request: XattrList,
    ) -> VfsResult<XattrNames> {
        let have = self.xattrs_read(cx, request.target, request.space, &[]).await?;
        let (names, cookie, end) = xattr::page(&have, request.cookie, request.bytes_max)?;
        Ok(XattrNames { names, cookie, end })
    }

    /// Attributes of an inode after testing that the caller may read them: all, or at least those named.
    async fn xattrs_read(
        &self,
        cx: &RequestContext,
        target: Target,
        space: XattrSpace,
        names: &[Bytes],
    ) -> VfsResult<Xattrs> {
        let any_case = space.any_case()?;
        let cell = self.cells.get(stateless(target)?).await?;
        {
            let state = cell.state.lock();
            if state.gone {
                return Err(FsError::StaleHandle.into());
            }
            access::check(&state.row, &cx.credentials, Rights::READ_NAMED_ATTRS)
                .map_err(|error| refused(error, &state))?;
            if !state.row.flags.has(InodeFlags::HAS_XATTR) {
                return Ok(Xattrs::new());
            }
        }
        let wanted = if any_case { &[] } else { names };
        match self.store.xattrs(self.share, cell.inode, wanted).await {
            Ok(found) => Ok(found.into_iter().collect()),
            Err(error) => Err(self.failed(error.to_fs(), cell.inode).await),
        }
    }

    pub(crate) async fn do_xattr_set(&self, cx: &RequestContext, request: XattrSet) -> VfsResult<Changed> {
        let inode = stateless(request.target)?;
        match self.xattr_set_inner(cx, inode, request).await {
            Ok(wcc) => Ok(Changed { wcc }),
            Err(error) => Err(self.failed(error, inode).await),
        }
    }

    async fn xattr_set_inner(
        &self,
        cx: &RequestContext,
        inode: InodeId,
        request: XattrSet,
    ) -> Result<Wcc, FsError> {
        self.check_change(Operation::SetXattr)?;
        let any_case = request.space.any_case()?;
        let cell: Arc<Cell> = self.cells.get(inode).await?;
        let _claim = self.admit_attr_change(cx, &cell).await?;
        let asked = XattrSetRequest { inode, values: request.values, mode: request.mode, any_case };
        let (wcc, commit, kind) = {
            let _gate = cell.gate.write().await;
            let before = {
                let state = cell.state.lock();
                if state.gone {
                    return Err(FsError::StaleHandle);
                }
                state.attrs.clone()
            };
            match self.store.xattr_set(self.op_context(cx, before.ctime), asked).await {
                Ok(applied) => {
                    let mut state = cell.state.lock();
                    state.take_row(&applied.value.post, applied.commit);
                    let post = state.attrs.clone();
                    (Wcc { pre: before.pre(), post }, applied.commit, before.kind)
                }
                Err(StoreError::Replayed(_)) => {
                    let kind = before.kind;
                    (Wcc::unchanged(before), self.store.last_commit(), kind)
                }
                Err(error) => return Err(error.to_fs()),
            }
        };
        self.hub.tell(|| attr_event(inode, kind, false));
        self.names_stable(commit).await?;
        Ok(wcc)
    }
}

//! Security descriptors: the owner, group and ACL of an inode as SMB and NFSv4 ask for them (SEAM §3.5).
//!
//! A change is one metadata transaction under the inode's gate, so that a part which is kept is the one that was there.

use crate::attributes::{refused, stateless};
use crate::engine::Engine;
use dfs_model::{FsError, Guard, InodeId, Wcc};
use dfs_store::SetAttrRequest;
use dfs_vfs::{Changed, GetSecurity, Operation, RequestContext, SecurityDescriptor, SetSecurity, VfsResult};

impl Engine {
    pub(crate) async fn do_get_security(
        &self,
        cx: &RequestContext,
        request: GetSecurity,
    ) -> VfsResult<SecurityDescriptor> {
        let cell = self.cells.get(stateless(request.target)?).await?;
        let state = cell.state.lock();
        if state.gone {
            return Err(FsError::StaleHandle.into());
        }
        SecurityDescriptor::of(&state.row, request.parts, &cx.credentials)
            .map_err(|error| refused(error, &state))
    }

    pub(crate) async fn do_set_security(
        &self,
        cx: &RequestContext,
        request: SetSecurity,
    ) -> VfsResult<Changed> {
        let inode = stateless(request.target)?;
        match self.set_security_inner(cx, inode, &request).await {
            Ok(wcc) => Ok(Changed { wcc }),
            Err(error) => Err(self.failed(error, inode).await),
        }
    }

    async fn set_security_inner(
        &self,
        cx: &RequestContext,
        inode: InodeId,
        request: &SetSecurity,
    ) -> Result<Wcc, FsError> {
        self.check_change(Operation::SetAcl)?;
        let cell = self.cells.get(inode).await?;
        let _claim = self.admit_attr_change(cx, &cell).await?;
        let (wcc, commit, kind) = {
            let _gate = cell.gate.write().await;
            let (before, patch) = {
                let state = cell.state.lock();
                if state.gone {
                    return Err(FsError::StaleHandle);
                }
                (state.attrs.clone(), request.patch(&state.row)?)
            };
            let asked = SetAttrRequest { inode, patch, guard: Guard::None };
            let (commit, _) = self.set_row(cx, &cell, asked, before.ctime).await?;
            let post = cell.state.lock().attrs.clone();
            (Wcc { pre: before.pre(), post }, commit, before.kind)
        };
        self.hub.tell(|| crate::attributes::attr_event(inode, kind, false));
        self.names_stable(commit).await?;
        Ok(wcc)
    }
}

//! Extended attributes of the model: a map per inode.

use super::ModelVfs;
use super::attributes::{changes_allowed, stateless};
use super::tree::Node;
use crate::*;
use bytes::Bytes;
use dfs_model::xattr::{self, Xattrs};
use dfs_model::{Credentials, FsError, InodeKind, Rights, Wcc, access};

/// The attributes that the caller may read.
fn readable<'a>(node: &'a Node, who: &Credentials, space: XattrSpace) -> Result<&'a Xattrs, FsError> {
    space.any_case()?;
    access::check(&node.row, who, Rights::READ_NAMED_ATTRS)?;
    Ok(&node.xattrs)
}

impl ModelVfs {
    pub(super) fn xattr_get_now(
        &self,
        cx: &RequestContext,
        request: &XattrGet,
    ) -> VfsResult<Vec<(Bytes, Bytes)>> {
        let tree = self.tree.lock();
        let node = tree.node(stateless(request.target)?)?;
        let found = readable(node, &cx.credentials, request.space).and_then(|have| request.find(have));
        found.map_err(|error| Failed::with(error, Some(Wcc::unchanged(node.attrs()))))
    }

    pub(super) fn xattr_list_now(&self, cx: &RequestContext, request: &XattrList) -> VfsResult<XattrNames> {
        let tree = self.tree.lock();
        let node = tree.node(stateless(request.target)?)?;
        let have = readable(node, &cx.credentials, request.space)
            .map_err(|error| Failed::with(error, Some(Wcc::unchanged(node.attrs()))))?;
        let (names, cookie, end) = xattr::page(have, request.cookie, request.bytes_max)?;
        Ok(XattrNames { names, cookie, end })
    }

    pub(super) fn xattr_set_now(&self, cx: &RequestContext, request: &XattrSet) -> VfsResult<Changed> {
        let id = stateless(request.target)?;
        let now = self.clock.wall();
        let mut tree = self.tree.lock();
        let before = tree.attrs(id)?;
        let refuse = |error| Failed::with(error, Some(Wcc::unchanged(before.clone())));
        let new = changed(tree.node(id)?, &cx.credentials, request).map_err(refuse)?;
        tree.node_mut(id)?.xattrs = new;
        tree.touch(id, now, false)?;
        Ok(Changed { wcc: Wcc { pre: before.pre(), post: tree.attrs(id)? } })
    }
}

fn changed(node: &Node, who: &Credentials, request: &XattrSet) -> Result<Xattrs, FsError> {
    let any_case = request.space.any_case()?;
    changes_allowed(who)?;
    if !matches!(node.row.kind, InodeKind::File | InodeKind::Directory) {
        return Err(FsError::NotPermitted);
    }
    access::check(&node.row, who, Rights::WRITE_NAMED_ATTRS)?;
    let mut new = node.xattrs.clone();
    xattr::change(&mut new, &request.values, request.mode, any_case)?;
    Ok(new)
}

//! GETATTR (RFC 1813 §3.3.1).

use crate::context::Call;
use crate::wire::{Attributes, GetAttrReply, Handle, Outcome};
use dfs_model::{AttrMask, Target};
use dfs_vfs::{Failed, GetAttr};

pub(crate) async fn run(call: &Call, object: Handle) -> GetAttrReply {
    match attributes(call, &object).await {
        Ok(attributes) => Outcome::Ok(attributes),
        Err(failed) => Outcome::Fail(call.status(&failed.error), ()),
    }
}

/// Attributes of what a handle names.
pub(crate) async fn attributes(call: &Call, object: &Handle) -> Result<Attributes, Failed> {
    let inode = call.resolve(object).await?.inode;
    let request = GetAttr { target: Target::Inode(inode), want: AttrMask::BASIC };
    Ok(call.attributes(&call.vfs().get_attr(&call.cx, request).await?))
}

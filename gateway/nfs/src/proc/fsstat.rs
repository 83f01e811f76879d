//! FSSTAT (RFC 1813 §3.3.18): space as this caller may use it.

use crate::context::Call;
use crate::proc::getattr::attributes;
use crate::wire::{FsStatOk, FsStatReply, Handle, Outcome};
use dfs_vfs::Failed;

pub(crate) async fn run(call: &Call, object: Handle) -> FsStatReply {
    match space(call, object).await {
        Ok(space) => Outcome::Ok(space),
        Err(failed) => call.fail_post(&failed),
    }
}

async fn space(call: &Call, object: Handle) -> Result<FsStatOk, Failed> {
    let attributes = attributes(call, &object).await?;
    let info = call.vfs().fs_info(&call.cx).await?;
    Ok(FsStatOk {
        attributes: Some(attributes),
        total_bytes: info.space_total,
        free_bytes: info.space_free,
        available_bytes: info.space_available,
        total_files: info.inodes_total,
        free_files: info.inodes_free,
        available_files: info.inodes_available,
        invariant: 0,
    })
}

//! READLINK (RFC 1813 §3.3.5).

use crate::context::Call;
use crate::wire::{Handle, Outcome, Path, ReadLinkOk, ReadLinkReply};
use dfs_vfs::Failed;

pub(crate) async fn run(call: &Call, link: Handle) -> ReadLinkReply {
    match target(call, link).await {
        Ok(read) => Outcome::Ok(read),
        Err(failed) => call.fail_post(&failed),
    }
}

async fn target(call: &Call, link: Handle) -> Result<ReadLinkOk, Failed> {
    let inode = call.resolve(&link).await?.inode;
    let read = call.vfs().read_link(&call.cx, inode).await?;
    Ok(ReadLinkOk { attributes: call.post(&read.attrs), target: Path(read.target) })
}

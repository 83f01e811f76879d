//! RMDIR (RFC 1813 §3.3.13).

use crate::context::Call;
use crate::proc::remove::take;
use crate::wire::{DirOp, Outcome, SetAttrReply};
use dfs_vfs::RemoveWhat;

pub(crate) async fn run(call: &Call, args: DirOp) -> SetAttrReply {
    match take(call, args, RemoveWhat::Directory).await {
        Ok(removed) => Outcome::Ok(call.wcc(&removed.dir)),
        Err(failed) => call.fail_wcc(&failed),
    }
}

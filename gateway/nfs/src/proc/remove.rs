//! REMOVE (RFC 1813 §3.3.12).

use crate::context::Call;
use crate::wire::{DirOp, Outcome, SetAttrReply};
use dfs_model::FsError;
use dfs_vfs::{Failed, Remove, RemoveReply, RemoveWhat};

pub(crate) async fn run(call: &Call, args: DirOp) -> SetAttrReply {
    match take(call, args, RemoveWhat::NonDirectory).await {
        Ok(removed) => Outcome::Ok(call.wcc(&removed.dir)),
        Err(failed) => call.fail_wcc(&failed),
    }
}

/// Takes a name away; what REMOVE and RMDIR have in common. `.` is not valid, `..` is never empty (RFC 1813 §3.3.13).
pub(crate) async fn take(call: &Call, args: DirOp, what: RemoveWhat) -> Result<RemoveReply, Failed> {
    let up = args.name.0.as_ref() == b"..";
    let dots = if up && what == RemoveWhat::Directory { FsError::NotEmpty } else { FsError::InvalidName };
    let (dir, name) = call.place(&args.dir, &args.name, dots).await?;
    call.vfs().remove(&call.cx, Remove { dir, name, what, expect: None }).await
}

//! COMMIT (RFC 1813 §3.3.21).

use crate::context::Call;
use crate::wire::{CommitArgs, CommitOk, CommitReply, Outcome, Verifier};
use dfs_model::Target;
use dfs_vfs::{Commit, Failed};

pub(crate) async fn run(call: &Call, args: CommitArgs) -> CommitReply {
    match commit(call, args).await {
        Ok(done) => Outcome::Ok(done),
        Err(failed) => call.fail_wcc(&failed),
    }
}

async fn commit(call: &Call, args: CommitArgs) -> Result<CommitOk, Failed> {
    let inode = call.resolve(&args.file).await?.inode;
    let (offset, len) = (args.offset, u64::from(args.count));
    let done = call.vfs().commit(&call.cx, Commit { target: Target::Inode(inode), offset, len }).await?;
    Ok(CommitOk { wcc: call.wcc(&done.wcc), verifier: Verifier(done.verifier.to_bytes()) })
}

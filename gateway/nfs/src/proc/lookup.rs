//! LOOKUP (RFC 1813 §3.3.3). `..` at the root of the share is the root.

use crate::context::{Call, name};
use crate::wire::{DirOp, LookupOk, LookupReply, Outcome};
use dfs_model::{AttrMask, FsError};
use dfs_vfs::{Failed, NameCase, Walk, WalkStep};

pub(crate) async fn run(call: &Call, args: DirOp) -> LookupReply {
    match find(call, args).await {
        Ok(found) => Outcome::Ok(found),
        Err(failed) => call.fail_post(&failed),
    }
}

async fn find(call: &Call, args: DirOp) -> Result<LookupOk, Failed> {
    let dir = call.resolve(&args.dir).await?.inode;
    let step = match args.name.0.as_ref() {
        b"." => Ok(WalkStep::Stay),
        b".." => Ok(WalkStep::Up),
        _ => name(&args.name, FsError::InvalidName).map(WalkStep::Down),
    };
    let step = match step {
        Ok(step) => step,
        Err(error) => return Err(call.refuse(dir, error).await),
    };
    let request = Walk { dir, steps: vec![step], case: NameCase::Exact, want: AttrMask::BASIC };
    let walked = call.vfs().walk(&call.cx, request).await?;
    let found = walked.steps.last().ok_or(FsError::Internal)?;
    Ok(LookupOk {
        object: call.handle(&found.attrs),
        attributes: call.post(&found.attrs),
        dir: call.post(&walked.dir),
    })
}

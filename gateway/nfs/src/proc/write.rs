//! WRITE (RFC 1813 §3.3.7). The stability in the reply is what the seam reached, never more.

use crate::context::Call;
use crate::convert;
use crate::wire::{Outcome, Verifier, WriteArgs, WriteOk, WriteReply};
use dfs_model::{FsError, Target};
use dfs_vfs::{AccessRule, Failed, Write, WriteAt};

pub(crate) async fn run(call: &Call, args: WriteArgs) -> WriteReply {
    match write(call, args).await {
        Ok(written) => Outcome::Ok(written),
        Err(failed) => call.fail_wcc(&failed),
    }
}

async fn write(call: &Call, args: WriteArgs) -> Result<WriteOk, Failed> {
    let inode = call.resolve(&args.file).await?.inode;
    let count = args.count as usize;
    if count > args.data.0.len() {
        return Err(call.refuse(inode, FsError::InvalidArgument).await);
    }
    let request = Write {
        target: Target::Inode(inode),
        at: WriteAt::Offset(args.offset),
        payload: args.data.0.slice(..count),
        stability: convert::stability(args.stable),
        rule: AccessRule::Stateless,
    };
    let written = call.vfs().write(&call.cx, request).await?;
    Ok(WriteOk {
        wcc: call.wcc(&written.wcc),
        count: written.count,
        committed: convert::stable(written.stability),
        verifier: Verifier(written.verifier.to_bytes()),
    })
}

//! READ (RFC 1813 §3.3.6). The bytes go out as the seam gave them, without being copied together.

use crate::context::Call;
use crate::wire::{DATA_MAX, Outcome, PostOp, ReadArgs, ReadHead};
use bytes::Bytes;
use dfs_model::Target;
use dfs_vfs::{AccessRule, Failed, Read};

/// The results up to the data, and the data.
pub(crate) type Reply = (Outcome<ReadHead, PostOp>, Vec<Bytes>);

pub(crate) async fn run(call: &Call, args: ReadArgs) -> Reply {
    match read(call, args).await {
        Ok((head, data)) => (Outcome::Ok(head), data),
        Err(failed) => (call.fail_post(&failed), Vec::new()),
    }
}

async fn read(call: &Call, args: ReadArgs) -> Result<(ReadHead, Vec<Bytes>), Failed> {
    let inode = call.resolve(&args.file).await?.inode;
    let (offset, len) = (args.offset, args.count.min(DATA_MAX));
    let request = Read { target: Target::Inode(inode), offset, len, rule: AccessRule::Stateless };
    let read = call.vfs().read(&call.cx, request).await?;
    // The count on the wire is what is really sent, whatever the reply says.
    let count = read.data.iter().map(Bytes::len).sum::<usize>() as u32;
    let head = ReadHead { attributes: call.post(&read.attrs), count, eof: read.eof, len: count };
    Ok((head, read.data))
}

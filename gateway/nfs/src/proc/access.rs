//! ACCESS (RFC 1813 §3.3.4). Bits that make no sense for the kind of file are not granted.

use crate::context::Call;
use crate::wire::{AccessArgs, AccessOk, AccessReply, Outcome, access};
use dfs_model::{InodeKind, Rights, Target};
use dfs_vfs::{Access, Failed};

pub(crate) async fn run(call: &Call, args: AccessArgs) -> AccessReply {
    match evaluate(call, args).await {
        Ok(granted) => Outcome::Ok(granted),
        Err(failed) => call.fail_post(&failed),
    }
}

/// Which right each bit stands for.
fn bits(kind: InodeKind) -> &'static [(u32, Rights)] {
    match kind {
        InodeKind::Directory => &[
            (access::READ, Rights::LIST_DIRECTORY),
            (access::LOOKUP, Rights::EXECUTE),
            (access::MODIFY, Rights::DELETE_CHILD),
            (access::EXTEND, Rights::ADD_FILE),
            (access::DELETE, Rights::DELETE_CHILD),
        ],
        InodeKind::File => &[
            (access::READ, Rights::READ_DATA),
            (access::MODIFY, Rights::WRITE_DATA),
            (access::EXTEND, Rights::APPEND_DATA),
            (access::EXECUTE, Rights::EXECUTE),
        ],
        _ => &[
            (access::READ, Rights::READ_DATA),
            (access::MODIFY, Rights::WRITE_DATA),
            (access::EXTEND, Rights::APPEND_DATA),
        ],
    }
}

async fn evaluate(call: &Call, args: AccessArgs) -> Result<AccessOk, Failed> {
    let object = call.resolve(&args.object).await?;
    let asked = || bits(object.kind).iter().filter(|(bit, _)| args.access & bit != 0);
    let rights = asked().fold(Rights::NONE, |all, (_, right)| all.and(*right));
    let request = Access { target: Target::Inode(object.inode), rights };
    let reply = call.vfs().access(&call.cx, request).await?;
    let blocked = call.blocked.rights(object.kind == InodeKind::Directory);
    let has = |right: Rights| reply.granted.has(right) && blocked.0 & right.0 == 0;
    let granted = asked().filter(|(_, right)| has(*right)).fold(0, |all, (bit, _)| all | bit);
    Ok(AccessOk { attributes: call.post(&reply.attrs), access: granted })
}

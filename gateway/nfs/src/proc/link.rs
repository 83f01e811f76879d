//! LINK (RFC 1813 §3.3.15).

use crate::context::Call;
use crate::wire::{LinkArgs, LinkReply, LinkWcc, Outcome};
use dfs_model::FsError;
use dfs_vfs::{Failed, Link};

pub(crate) async fn run(call: &Call, args: LinkArgs) -> LinkReply {
    match link(call, args).await {
        Ok(linked) => Outcome::Ok(linked),
        Err(failed) => {
            let (status, file, dir) = call.fail_two(&failed);
            Outcome::Fail(status, LinkWcc { attributes: file.after, dir })
        }
    }
}

async fn link(call: &Call, args: LinkArgs) -> Result<LinkWcc, Failed> {
    let inode = call.resolve(&args.file).await?.inode;
    let (dir, name) = match call.place(&args.place.dir, &args.place.name, FsError::Exists).await {
        Ok(place) => place,
        Err(failed) => {
            let [dir, _] = *failed.wcc;
            let [file, _] = *call.refuse(inode, failed.error.clone()).await.wcc;
            return Err(Failed::with_two(failed.error, file, dir));
        }
    };
    let linked = call.vfs().link(&call.cx, Link { inode, dir, name, replace: false }).await?;
    Ok(LinkWcc { attributes: call.post(&linked.inode.post), dir: call.wcc(&linked.dir) })
}

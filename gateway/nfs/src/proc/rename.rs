//! RENAME (RFC 1813 §3.3.14). Two names of one inode: nothing happens, and that is success.

use crate::context::Call;
use crate::wire::{Outcome, RenameArgs, RenameReply, RenameWcc};
use dfs_model::{FsError, Wcc};
use dfs_vfs::{Failed, NameCase, Rename, RenameReplace};

pub(crate) async fn run(call: &Call, args: RenameArgs) -> RenameReply {
    match rename(call, args).await {
        Ok(moved) => Outcome::Ok(moved),
        Err(failed) => {
            let (status, from, to) = call.fail_two(&failed);
            Outcome::Fail(status, RenameWcc { from, to })
        }
    }
}

async fn rename(call: &Call, args: RenameArgs) -> Result<RenameWcc, Failed> {
    let from = call.place(&args.from.dir, &args.from.name, FsError::InvalidName).await;
    let to = call.place(&args.to.dir, &args.to.name, FsError::InvalidName).await;
    let (from, to) = match (from, to) {
        (Ok(from), Ok(to)) => (from, to),
        (from, to) => return Err(refuse(call, from, to).await),
    };
    let request = Rename {
        from_dir: from.0,
        from_name: from.1,
        open: None,
        to_dir: to.0,
        to_name: to.1,
        replace: RenameReplace::Posix,
        case: NameCase::Exact,
        parent_lease_keys: [None, None],
    };
    let moved = call.vfs().rename(&call.cx, request).await?;
    Ok(RenameWcc { from: call.wcc(&moved.from_dir), to: call.wcc(&moved.to_dir) })
}

type Place = Result<(dfs_model::InodeId, dfs_model::Name), Failed>;

/// The first error, with what is known of both directories.
async fn refuse(call: &Call, from: Place, to: Place) -> Failed {
    let mut known: [Option<Wcc>; 2] = [None, None];
    let mut error = None;
    for (place, known) in [from, to].into_iter().zip(&mut known) {
        let failed = match place {
            Ok((dir, _)) => call.refuse(dir, FsError::InvalidName).await,
            Err(failed) => {
                error.get_or_insert(failed.error.clone());
                failed
            }
        };
        let [first, _] = *failed.wcc;
        *known = first;
    }
    let [first, second] = known;
    Failed::with_two(error.unwrap_or(FsError::Internal), first, second)
}

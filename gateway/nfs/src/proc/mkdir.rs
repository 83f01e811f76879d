//! MKDIR (RFC 1813 §3.3.9).

use crate::context::Call;
use crate::convert;
use crate::proc::create::make;
use crate::wire::{MkdirArgs, NewObjectOk, NewObjectReply, Outcome};
use dfs_model::FsError;
use dfs_vfs::{CreateExisting, Failed, NewKind};

pub(crate) async fn run(call: &Call, args: MkdirArgs) -> NewObjectReply {
    match create(call, args).await {
        Ok(made) => Outcome::Ok(made),
        Err(failed) => call.fail_wcc(&failed),
    }
}

async fn create(call: &Call, args: MkdirArgs) -> Result<NewObjectOk, Failed> {
    let place = call.place(&args.place.dir, &args.place.name, FsError::Exists).await?;
    let attrs = convert::patch(&args.attributes);
    make(call, place, NewKind::Directory, CreateExisting::Guarded, attrs).await
}

//! SYMLINK (RFC 1813 §3.3.10). The target is bytes; nothing here looks into it.

use crate::context::Call;
use crate::convert;
use crate::proc::create::make;
use crate::wire::{NewObjectOk, NewObjectReply, Outcome, SymlinkArgs};
use bytes::Bytes;
use dfs_model::FsError;
use dfs_vfs::{CreateExisting, Failed, NewKind};

/// Longest target in bytes, without a terminator: PATH_MAX of Linux clients is 4096 with it.
const TARGET_MAX: usize = 4095;

pub(crate) async fn run(call: &Call, args: SymlinkArgs) -> NewObjectReply {
    match create(call, args).await {
        Ok(made) => Outcome::Ok(made),
        Err(failed) => call.fail_wcc(&failed),
    }
}

async fn create(call: &Call, args: SymlinkArgs) -> Result<NewObjectOk, Failed> {
    let place = call.place(&args.place.dir, &args.place.name, FsError::Exists).await?;
    let target = &args.target.0;
    let attrs = match target.len() {
        0 => Err(FsError::InvalidArgument),
        len if len > TARGET_MAX => Err(FsError::NameTooLong),
        _ if target.contains(&0) => Err(FsError::InvalidArgument),
        _ => convert::patch(&args.attributes),
    };
    let kind = NewKind::Symlink(Bytes::copy_from_slice(target));
    make(call, place, kind, CreateExisting::Guarded, attrs).await
}

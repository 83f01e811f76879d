//! CREATE (RFC 1813 §3.3.8): unchecked, guarded, exclusive.

use crate::context::Call;
use crate::convert;
use crate::wire::{CreateArgs, CreateHow, NewObjectOk, NewObjectReply, Outcome};
use dfs_model::{AttrPatch, FsError, InodeId, Name};
use dfs_vfs::{Create, CreateExisting, Failed, NewKind};

pub(crate) async fn run(call: &Call, args: CreateArgs) -> NewObjectReply {
    match create(call, args).await {
        Ok(made) => Outcome::Ok(made),
        Err(failed) => call.fail_wcc(&failed),
    }
}

async fn create(call: &Call, args: CreateArgs) -> Result<NewObjectOk, Failed> {
    let place = call.place(&args.place.dir, &args.place.name, FsError::Exists).await?;
    let (existing, attrs) = match &args.how {
        CreateHow::Unchecked(attributes) => (CreateExisting::Unchecked, convert::patch(attributes)),
        CreateHow::Guarded(attributes) => (CreateExisting::Guarded, convert::patch(attributes)),
        CreateHow::Exclusive(verifier) => (CreateExisting::Exclusive(verifier.0), Ok(AttrPatch::default())),
    };
    make(call, place, NewKind::File, existing, attrs).await
}

/// Makes any kind of object; what CREATE, MKDIR, SYMLINK and MKNOD have in common.
pub(crate) async fn make(
    call: &Call,
    (dir, name): (InodeId, Name),
    kind: NewKind,
    existing: CreateExisting,
    attrs: Result<AttrPatch, FsError>,
) -> Result<NewObjectOk, Failed> {
    let attrs = match attrs {
        Ok(attrs) => attrs,
        Err(error) => return Err(call.refuse(dir, error).await),
    };
    let made = call.vfs().create(&call.cx, Create { dir, name, kind, existing, attrs }).await?;
    Ok(NewObjectOk {
        object: Some(call.handle(&made.attrs)),
        attributes: call.post(&made.attrs),
        dir: call.wcc(&made.dir),
    })
}

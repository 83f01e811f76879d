//! MKNOD (RFC 1813 §3.3.11): devices, sockets, named pipes; other kinds are BADTYPE.

use crate::context::Call;
use crate::convert;
use crate::proc::create::make;
use crate::wire::{Device3, MknodArgs, MknodWhat, NewObjectOk, NewObjectReply, Outcome};
use dfs_model::{DeviceNumber, FsError};
use dfs_vfs::{CreateExisting, Failed, NewKind};

pub(crate) async fn run(call: &Call, args: MknodArgs) -> NewObjectReply {
    match create(call, args).await {
        Ok(made) => Outcome::Ok(made),
        Err(failed) => call.fail_wcc(&failed),
    }
}

fn number(device: Device3) -> DeviceNumber {
    DeviceNumber { major: device.major, minor: device.minor }
}

async fn create(call: &Call, args: MknodArgs) -> Result<NewObjectOk, Failed> {
    let place = call.place(&args.place.dir, &args.place.name, FsError::Exists).await?;
    let (kind, attributes) = match &args.what {
        MknodWhat::Block(attributes, device) => (NewKind::BlockDevice(number(*device)), attributes),
        MknodWhat::Character(attributes, device) => (NewKind::CharDevice(number(*device)), attributes),
        MknodWhat::Socket(attributes) => (NewKind::Socket, attributes),
        MknodWhat::Fifo(attributes) => (NewKind::Fifo, attributes),
        MknodWhat::Other(_) => return Err(call.refuse(place.0, FsError::BadType).await),
    };
    make(call, place, kind, CreateExisting::Guarded, convert::patch(attributes)).await
}

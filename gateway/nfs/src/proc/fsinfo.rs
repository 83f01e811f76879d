//! FSINFO (RFC 1813 §3.3.19): sizes and properties, computed from what the share answers.

use crate::context::Call;
use crate::proc::getattr::attributes;
use crate::wire::{DATA_MAX, FsInfoOk, FsInfoReply, Handle, Outcome, Time3, properties};
use dfs_vfs::Failed;

/// Sizes of reads and writes are best multiples of this.
const MULTIPLE: u32 = 4096;
/// Preferred size of a listing's page.
const READDIR_PREFERRED: u32 = 64 * 1024;

pub(crate) async fn run(call: &Call, object: Handle) -> FsInfoReply {
    match limits(call, object).await {
        Ok(limits) => Outcome::Ok(limits),
        Err(failed) => call.fail_post(&failed),
    }
}

async fn limits(call: &Call, object: Handle) -> Result<FsInfoOk, Failed> {
    let attributes = attributes(call, &object).await?;
    let info = call.vfs().fs_info(&call.cx).await?;
    let (read, write) = (info.read_max.min(DATA_MAX), info.write_max.min(DATA_MAX));
    let nanos = info.time_granularity_nanos;
    Ok(FsInfoOk {
        attributes: Some(attributes),
        read_max: read,
        read_preferred: read,
        read_multiple: MULTIPLE,
        write_max: write,
        write_preferred: write,
        write_multiple: MULTIPLE,
        readdir_preferred: READDIR_PREFERRED,
        file_size_max: info.file_size_max,
        time_delta: Time3 { seconds: nanos / 1_000_000_000, nanos: nanos % 1_000_000_000 },
        properties: properties::LINK
            | properties::SYMLINK
            | properties::HOMOGENEOUS
            | properties::CAN_SET_TIME,
    })
}

//! Between the neutral model and NFSv3's forms: attributes, times, patches.

use crate::wire::{
    Attributes, Device3, FileType, SetAttributes, SetTime, Stable, Time3, WccAttributes, WccData,
};
use dfs_model::{AttrPatch, Attrs, FsError, Identity, InodeKind, Patch, PreAttrs, TimePatch, Timestamp, Wcc};
use dfs_vfs::Stability;

/// Id shown for an owner or group that is no Unix id and has no mapping.
const UNMAPPED: u32 = 65534;

pub(crate) fn time(at: Timestamp) -> Time3 {
    let (seconds, nanos) = at.as_nfs3();
    Time3 { seconds, nanos }
}

pub(crate) fn kind(kind: InodeKind) -> FileType {
    match kind {
        InodeKind::File => FileType::Regular,
        InodeKind::Directory => FileType::Directory,
        InodeKind::Symlink => FileType::Symlink,
        InodeKind::BlockDevice => FileType::Block,
        InodeKind::CharDevice => FileType::Character,
        InodeKind::Fifo => FileType::Fifo,
        InodeKind::Socket => FileType::Socket,
    }
}

pub(crate) fn attributes(attrs: &Attrs, fsid: u64) -> Attributes {
    let uid = match attrs.owner {
        Identity::Uid(id) => id,
        _ => UNMAPPED,
    };
    let gid = match attrs.group {
        Identity::Gid(id) => id,
        _ => UNMAPPED,
    };
    Attributes {
        kind: kind(attrs.kind),
        mode: u32::from(attrs.mode),
        nlink: attrs.nlink,
        uid,
        gid,
        size: attrs.size,
        used: attrs.allocated,
        device: Device3 { major: attrs.device.major, minor: attrs.device.minor },
        fsid,
        fileid: attrs.inode.0,
        atime: time(attrs.atime),
        mtime: time(attrs.mtime),
        ctime: time(attrs.ctime),
    }
}

fn before(pre: &PreAttrs) -> WccAttributes {
    WccAttributes { size: pre.size, mtime: time(pre.mtime), ctime: time(pre.ctime) }
}

pub(crate) fn wcc(wcc: &Wcc, fsid: u64) -> WccData {
    WccData { before: Some(before(&wcc.pre)), after: Some(attributes(&wcc.post, fsid)) }
}

fn time_patch(how: SetTime) -> Result<TimePatch, FsError> {
    match how {
        SetTime::Keep => Ok(TimePatch::Keep),
        SetTime::Server => Ok(TimePatch::ServerNow),
        SetTime::Client(Time3 { nanos, .. }) if nanos >= 1_000_000_000 => Err(FsError::InvalidArgument),
        SetTime::Client(Time3 { seconds, nanos }) => {
            Ok(TimePatch::Set(Timestamp::new(i64::from(seconds), nanos)))
        }
    }
}

fn field<T, U>(given: Option<T>, make: impl FnOnce(T) -> U) -> Patch<U> {
    match given {
        Some(value) => Patch::Set(make(value)),
        None => Patch::Keep,
    }
}

/// *Errors:* `InvalidArgument` for a time whose nanoseconds are none.
pub(crate) fn patch(set: &SetAttributes) -> Result<AttrPatch, FsError> {
    Ok(AttrPatch {
        mode: field(set.mode, |mode| (mode & u32::from(dfs_model::inode::mode::ALL)) as u16),
        owner: field(set.uid, Identity::Uid),
        group: field(set.gid, Identity::Gid),
        size: field(set.size, |size| size),
        atime: time_patch(set.atime)?,
        mtime: time_patch(set.mtime)?,
        ..AttrPatch::default()
    })
}

pub(crate) fn stability(stable: Stable) -> Stability {
    match stable {
        Stable::Unstable => Stability::Unstable,
        Stable::DataSync => Stability::DataSync,
        Stable::FileSync => Stability::FileSync,
    }
}

pub(crate) fn stable(stability: Stability) -> Stable {
    match stability {
        Stability::Unstable => Stable::Unstable,
        Stability::DataSync => Stable::DataSync,
        Stability::FileSync => Stable::FileSync,
    }
}

//! MOUNT version 3 (RFC 1813 appendix I).

use crate::wire::results::List;
use crate::wire::status::MountStatus;
use crate::wire::types::Handle;
use crate::wire::{procedures, xdr_struct};
use bytes::{BufMut, Bytes, BytesMut};
use dfs_rpc::{Decode, Encode, Reader, XdrResult, encode_opaque};

/// Program number of MOUNT.
pub const MOUNT_PROGRAM: u32 = 100_005;
/// Version served.
pub const MOUNT_VERSION: u32 = 3;
/// Longest path (MNTPATHLEN).
pub const MOUNT_PATH_MAX: u32 = 1024;
/// Longest name (MNTNAMLEN).
pub const MOUNT_NAME_MAX: u32 = 255;
/// Most flavours in a reply that is decoded.
const FLAVORS_MAX: u32 = 32;

/// A path as a client names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DirPath(pub Bytes);

/// A host or group name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HostName(pub Bytes);

impl Encode for DirPath {
    fn encode(&self, out: &mut BytesMut) {
        encode_opaque(out, &self.0);
    }
}

impl Decode for DirPath {
    fn decode(from: &mut Reader) -> XdrResult<DirPath> {
        from.opaque(MOUNT_PATH_MAX).map(DirPath)
    }
}

impl From<&str> for DirPath {
    fn from(text: &str) -> DirPath {
        DirPath(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl Encode for HostName {
    fn encode(&self, out: &mut BytesMut) {
        encode_opaque(out, &self.0);
    }
}

impl Decode for HostName {
    fn decode(from: &mut Reader) -> XdrResult<HostName> {
        from.opaque(MOUNT_NAME_MAX).map(HostName)
    }
}

/// Result of MNT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountReply {
    /// The root's handle, and the authentication flavours that the export accepts.
    Ok {
        /// Handle of the directory.
        handle: Handle,
        /// Flavour numbers.
        flavors: Vec<u32>,
    },
    /// Refused; never [`MountStatus::Ok`].
    Fail(MountStatus),
}

impl Encode for MountReply {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            MountReply::Ok { handle, flavors } => {
                MountStatus::Ok.encode(out);
                handle.encode(out);
                out.put_u32(flavors.len() as u32);
                for flavor in flavors {
                    out.put_u32(*flavor);
                }
            }
            MountReply::Fail(status) => status.encode(out),
        }
    }
}

impl Decode for MountReply {
    fn decode(from: &mut Reader) -> XdrResult<MountReply> {
        Ok(match MountStatus::decode(from)? {
            MountStatus::Ok => {
                MountReply::Ok { handle: Handle::decode(from)?, flavors: from.array(FLAVORS_MAX)? }
            }
            status => MountReply::Fail(status),
        })
    }
}

xdr_struct! {
    /// A mount that a client has told of.
    #[derive(Hash)]
    MountEntry { host: HostName, path: DirPath, }

    /// An export and who may mount it.
    ExportEntry { path: DirPath, groups: List<HostName>, }
}

procedures! { NAMES, MOUNT_PROGRAM, MOUNT_VERSION;
    /// Does nothing.
    MountNull = 0 "mount_null" (()) -> ();
    /// Gives a directory's handle.
    Mount = 1 "mount_mnt" (DirPath) -> MountReply;
    /// Lists mounts.
    Dump = 2 "mount_dump" (()) -> List<MountEntry>;
    /// Ends one mount of the caller.
    Unmount = 3 "mount_umnt" (DirPath) -> ();
    /// Ends all mounts of the caller.
    UnmountAll = 4 "mount_umntall" (()) -> ();
    /// Lists exports.
    Export = 5 "mount_export" (()) -> List<ExportEntry>;
}

//! Arguments of the NFSv3 procedures (RFC 1813 §3.3).

use crate::wire::types::*;
use crate::wire::xdr_struct;
use bytes::{BufMut, BytesMut};
use dfs_rpc::{Decode, Encode, Reader, XdrError, XdrResult};

xdr_struct! {
    /// SETATTR. `guard`: the ctime that the object must have.
    SetAttrArgs { object: Handle, attributes: SetAttributes, guard: Option<Time3>, }

    /// ACCESS. Bits of [`access`].
    AccessArgs { object: Handle, access: u32, }

    /// READ.
    ReadArgs { file: Handle, offset: u64, count: u32, }

    /// WRITE. `count` should equal the data's length.
    WriteArgs { file: Handle, offset: u64, count: u32, stable: Stable, data: Data, }

    /// CREATE.
    CreateArgs { place: DirOp, how: CreateHow, }

    /// MKDIR.
    MkdirArgs { place: DirOp, attributes: SetAttributes, }

    /// SYMLINK.
    SymlinkArgs { place: DirOp, attributes: SetAttributes, target: Path, }

    /// MKNOD.
    MknodArgs { place: DirOp, what: MknodWhat, }

    /// RENAME.
    RenameArgs { from: DirOp, to: DirOp, }

    /// LINK.
    LinkArgs { file: Handle, place: DirOp, }

    /// READDIR.
    ReadDirArgs { dir: Handle, cookie: u64, verifier: Verifier, count: u32, }

    /// READDIRPLUS. `dircount` counts names and cookies only, `maxcount` the whole reply.
    ReadDirPlusArgs { dir: Handle, cookie: u64, verifier: Verifier, dircount: u32, maxcount: u32, }

    /// COMMIT.
    CommitArgs { file: Handle, offset: u64, count: u32, }
}

/// Bits of ACCESS (RFC 1813 §3.3.4).
#[allow(missing_docs)]
pub mod access {
    pub const READ: u32 = 0x01;
    pub const LOOKUP: u32 = 0x02;
    pub const MODIFY: u32 = 0x04;
    pub const EXTEND: u32 = 0x08;
    pub const DELETE: u32 = 0x10;
    pub const EXECUTE: u32 = 0x20;
}

/// How CREATE treats an existing name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateHow {
    /// Open it.
    Unchecked(SetAttributes),
    /// Fail.
    Guarded(SetAttributes),
    /// Open it if it was made with this verifier.
    Exclusive(Verifier),
}

impl Encode for CreateHow {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            CreateHow::Unchecked(attributes) => {
                out.put_u32(0);
                attributes.encode(out);
            }
            CreateHow::Guarded(attributes) => {
                out.put_u32(1);
                attributes.encode(out);
            }
            CreateHow::Exclusive(verifier) => {
                out.put_u32(2);
                verifier.encode(out);
            }
        }
    }
}

impl Decode for CreateHow {
    fn decode(from: &mut Reader) -> XdrResult<CreateHow> {
        match from.u32()? {
            0 => SetAttributes::decode(from).map(CreateHow::Unchecked),
            1 => SetAttributes::decode(from).map(CreateHow::Guarded),
            2 => Verifier::decode(from).map(CreateHow::Exclusive),
            value => Err(XdrError::BadValue { what: "createmode3", value }),
        }
    }
}

/// What MKNOD makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MknodWhat {
    /// A block device.
    Block(SetAttributes, Device3),
    /// A character device.
    Character(SetAttributes, Device3),
    /// A socket.
    Socket(SetAttributes),
    /// A named pipe.
    Fifo(SetAttributes),
    /// Something that MKNOD does not make: answered with BADTYPE.
    Other(u32),
}

impl Encode for MknodWhat {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            MknodWhat::Block(attributes, device) => {
                out.put_u32(FileType::Block as u32);
                attributes.encode(out);
                device.encode(out);
            }
            MknodWhat::Character(attributes, device) => {
                out.put_u32(FileType::Character as u32);
                attributes.encode(out);
                device.encode(out);
            }
            MknodWhat::Socket(attributes) => {
                out.put_u32(FileType::Socket as u32);
                attributes.encode(out);
            }
            MknodWhat::Fifo(attributes) => {
                out.put_u32(FileType::Fifo as u32);
                attributes.encode(out);
            }
            MknodWhat::Other(number) => out.put_u32(*number),
        }
    }
}

impl Decode for MknodWhat {
    fn decode(from: &mut Reader) -> XdrResult<MknodWhat> {
        let attributes = SetAttributes::decode;
        Ok(match from.u32()? {
            3 => MknodWhat::Block(attributes(from)?, Device3::decode(from)?),
            4 => MknodWhat::Character(attributes(from)?, Device3::decode(from)?),
            6 => MknodWhat::Socket(attributes(from)?),
            7 => MknodWhat::Fifo(attributes(from)?),
            other => MknodWhat::Other(other),
        })
    }
}

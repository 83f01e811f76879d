//! Results of the NFSv3 procedures (RFC 1813 §3.3).

use crate::wire::status::Status;
use crate::wire::types::*;
use crate::wire::xdr_struct;
use bytes::{BufMut, BytesMut};
use dfs_rpc::{Decode, Encode, Reader, XdrError, XdrResult};

/// Result of a procedure: what success carries, or a status with what failure carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<Good, Bad> {
    /// NFS3_OK.
    Ok(Good),
    /// Any other status, never [`Status::Ok`].
    Fail(Status, Bad),
}

impl<Good, Bad> Outcome<Good, Bad> {
    /// The status.
    pub fn status(&self) -> Status {
        match self {
            Outcome::Ok(_) => Status::Ok,
            Outcome::Fail(status, _) => *status,
        }
    }

    /// What success carries. *Errors:* the status.
    pub fn ok(self) -> Result<Good, Status> {
        match self {
            Outcome::Ok(good) => Ok(good),
            Outcome::Fail(status, _) => Err(status),
        }
    }

    /// What failure carries. *Errors:* what success carried.
    pub fn fail(self) -> Result<(Status, Bad), Good> {
        match self {
            Outcome::Ok(good) => Err(good),
            Outcome::Fail(status, bad) => Ok((status, bad)),
        }
    }
}

impl<Good: Encode, Bad: Encode> Encode for Outcome<Good, Bad> {
    fn encode(&self, out: &mut BytesMut) {
        self.status().encode(out);
        match self {
            Outcome::Ok(good) => good.encode(out),
            Outcome::Fail(_, bad) => bad.encode(out),
        }
    }
}

impl<Good: Decode, Bad: Decode> Decode for Outcome<Good, Bad> {
    fn decode(from: &mut Reader) -> XdrResult<Self> {
        Ok(match Status::decode(from)? {
            Status::Ok => Outcome::Ok(Good::decode(from)?),
            status => Outcome::Fail(status, Bad::decode(from)?),
        })
    }
}

/// Attributes after an operation, where known.
pub type PostOp = Option<Attributes>;

/// GETATTR.
pub type GetAttrReply = Outcome<Attributes, ()>;
/// SETATTR, REMOVE, RMDIR.
pub type SetAttrReply = Outcome<WccData, WccData>;
/// LOOKUP.
pub type LookupReply = Outcome<LookupOk, PostOp>;
/// ACCESS.
pub type AccessReply = Outcome<AccessOk, PostOp>;
/// READLINK.
pub type ReadLinkReply = Outcome<ReadLinkOk, PostOp>;
/// READ.
pub type ReadReply = Outcome<ReadOk, PostOp>;
/// WRITE.
pub type WriteReply = Outcome<WriteOk, WccData>;
/// CREATE, MKDIR, SYMLINK, MKNOD.
pub type NewObjectReply = Outcome<NewObjectOk, WccData>;
/// RENAME.
pub type RenameReply = Outcome<RenameWcc, RenameWcc>;
/// LINK.
pub type LinkReply = Outcome<LinkWcc, LinkWcc>;
/// READDIR.
pub type ReadDirReply = Outcome<ReadDirOk, PostOp>;
/// READDIRPLUS.
pub type ReadDirPlusReply = Outcome<ReadDirPlusOk, PostOp>;
/// FSSTAT.
pub type FsStatReply = Outcome<FsStatOk, PostOp>;
/// FSINFO.
pub type FsInfoReply = Outcome<FsInfoOk, PostOp>;
/// PATHCONF.
pub type PathConfReply = Outcome<PathConfOk, PostOp>;
/// COMMIT.
pub type CommitReply = Outcome<CommitOk, WccData>;

xdr_struct! {
    /// LOOKUP succeeded.
    LookupOk { object: Handle, attributes: PostOp, dir: PostOp, }

    /// ACCESS succeeded.
    AccessOk { attributes: PostOp, access: u32, }

    /// READLINK succeeded.
    ReadLinkOk { attributes: PostOp, target: Path, }

    /// READ succeeded. The server writes it in two parts, see [`ReadHead`].
    ReadOk { attributes: PostOp, count: u32, eof: bool, data: Data, }

    /// READ succeeded: what goes before the bytes; `len` is the length of the data that follows.
    ReadHead { attributes: PostOp, count: u32, eof: bool, len: u32, }

    /// WRITE succeeded.
    WriteOk { wcc: WccData, count: u32, committed: Stable, verifier: Verifier, }

    /// An object was made.
    NewObjectOk { object: Option<Handle>, attributes: PostOp, dir: WccData, }

    /// Both directories of a rename.
    #[derive(Default)]
    RenameWcc { from: WccData, to: WccData, }

    /// The file and the directory of a link.
    #[derive(Default)]
    LinkWcc { attributes: PostOp, dir: WccData, }

    /// READDIR succeeded.
    ReadDirOk { dir: PostOp, verifier: Verifier, entries: List<Entry>, eof: bool, }

    /// One name.
    Entry { fileid: u64, name: FileName, cookie: u64, }

    /// READDIRPLUS succeeded.
    ReadDirPlusOk { dir: PostOp, verifier: Verifier, entries: List<EntryPlus>, eof: bool, }

    /// One name with attributes and handle.
    EntryPlus { fileid: u64, name: FileName, cookie: u64, attributes: PostOp, handle: Option<Handle>, }

    /// FSSTAT succeeded. Bytes and numbers of files.
    FsStatOk {
        attributes: PostOp,
        total_bytes: u64,
        free_bytes: u64,
        available_bytes: u64,
        total_files: u64,
        free_files: u64,
        available_files: u64,
        /// Seconds for which this will not change.
        invariant: u32,
    }

    /// FSINFO succeeded.
    FsInfoOk {
        attributes: PostOp,
        read_max: u32,
        read_preferred: u32,
        read_multiple: u32,
        write_max: u32,
        write_preferred: u32,
        write_multiple: u32,
        readdir_preferred: u32,
        file_size_max: u64,
        time_delta: Time3,
        /// Bits of [`properties`].
        properties: u32,
    }

    /// PATHCONF succeeded.
    PathConfOk {
        attributes: PostOp,
        links_max: u32,
        name_max: u32,
        no_truncation: bool,
        chown_restricted: bool,
        case_insensitive: bool,
        case_preserving: bool,
    }

    /// COMMIT succeeded.
    CommitOk { wcc: WccData, verifier: Verifier, }
}

/// Bits of FSINFO (RFC 1813 §3.3.19).
#[allow(missing_docs)]
pub mod properties {
    pub const LINK: u32 = 0x01;
    pub const SYMLINK: u32 = 0x02;
    pub const HOMOGENEOUS: u32 = 0x08;
    pub const CAN_SET_TIME: u32 = 0x10;
}

/// A linked list: each value is preceded by TRUE, the end is FALSE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: Encode> Encode for List<T> {
    fn encode(&self, out: &mut BytesMut) {
        for value in &self.0 {
            out.put_u32(1);
            value.encode(out);
        }
        out.put_u32(0);
    }
}

/// Most values of a decoded list: a record cannot hold more.
const LIST_MAX: usize = 1 << 17;

impl<T: Decode> Decode for List<T> {
    fn decode(from: &mut Reader) -> XdrResult<List<T>> {
        let mut values = Vec::new();
        while from.bool()? {
            if values.len() >= LIST_MAX {
                return Err(XdrError::TooLong { len: values.len() as u32, max: LIST_MAX as u32 });
            }
            values.push(T::decode(from)?);
        }
        Ok(List(values))
    }
}

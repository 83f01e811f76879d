//! The inode's row.
//!
//! v1, little-endian: version · kind (u8) · mode (u16) · nlink, flags, dos, generation (u32) · size, allocated (u64) ·
//! atime, mtime, ctime, btime (i64 s, u32 ns) · change, born, parent, flushed_seq, mode_change, dos_change, last_cookie
//! (u64) · device major, minor (u32) · presence (bit 0 create verifier, bit 1 ACL, bit 2 link target) · owner, group
//! (identities) · [verifier 8] · [ACL's content address 16] · [link target: u16 length, bytes] · tail.

use super::identity::{put_identity, take_identity};
use super::{put_time, take_time};
use crate::wire::{BadRow, Reader, Writer};
use bytes::Bytes;
use dfs_model::{Change, Cookie, DeviceNumber, Generation, Inode, InodeFlags, InodeId, InodeKind, Seq};

const VERSION: u8 = 1;
const HAS_VERIFIER: u8 = 1;
const HAS_ACL: u8 = 2;
const HAS_LINK: u8 = 4;

/// An inode with what only the store knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InodeRow {
    /// The inode; its `acl` is filled in from the ACL table by the reader of the row.
    pub inode: Inode,
    /// Content address of the ACL.
    pub acl_hash: Option<[u8; 16]>,
    /// Of a directory: the largest cookie given out.
    pub last_cookie: Cookie,
    /// A newer program's fields.
    pub tail: Bytes,
}

/// The kind with this number.
pub fn kind(number: u8) -> Result<InodeKind, BadRow> {
    Ok(match number {
        1 => InodeKind::File,
        2 => InodeKind::Directory,
        3 => InodeKind::Symlink,
        4 => InodeKind::BlockDevice,
        5 => InodeKind::CharDevice,
        6 => InodeKind::Fifo,
        7 => InodeKind::Socket,
        _ => return Err(BadRow::Field("kind")),
    })
}

impl InodeRow {
    /// The row's bytes.
    pub fn encode(&self) -> Bytes {
        let inode = &self.inode;
        let mut out = Writer::versioned(VERSION, 192 + self.tail.len());
        out.u8(inode.kind as u8).u16(inode.mode).u32(inode.nlink).u32(inode.flags.0).u32(inode.dos);
        out.u32(inode.generation.0).u64(inode.size).u64(inode.allocated);
        for at in [inode.atime, inode.mtime, inode.ctime, inode.btime] {
            put_time(&mut out, at);
        }
        out.u64(inode.change.0).u64(inode.born.0).u64(inode.parent.0).u64(inode.flushed_seq.0);
        out.u64(inode.mode_change.0).u64(inode.dos_change.0).u64(self.last_cookie.0);
        out.u32(inode.device.major).u32(inode.device.minor);
        let has = |there: bool, bit: u8| if there { bit } else { 0 };
        out.u8(has(inode.create_verifier.is_some(), HAS_VERIFIER)
            | has(self.acl_hash.is_some(), HAS_ACL)
            | has(inode.link_target.is_some(), HAS_LINK));
        put_identity(&mut out, &inode.owner);
        put_identity(&mut out, &inode.group);
        if let Some(verifier) = &inode.create_verifier {
            out.raw(verifier);
        }
        if let Some(hash) = &self.acl_hash {
            out.raw(hash);
        }
        if let Some(target) = &inode.link_target {
            out.bytes16(target);
        }
        out.raw(&self.tail);
        out.finish()
    }

    /// Reads a row back. *Errors:* [`BadRow`].
    pub fn decode(id: InodeId, bytes: &[u8]) -> Result<InodeRow, BadRow> {
        let mut r = Reader::versioned(bytes, VERSION)?;
        let kind = kind(r.u8()?)?;
        let mode = r.u16()?;
        let (nlink, flags, dos) = (r.u32()?, InodeFlags(r.u32()?), r.u32()?);
        let generation = Generation(r.u32()?);
        let (size, allocated) = (r.u64()?, r.u64()?);
        let (atime, mtime) = (take_time(&mut r)?, take_time(&mut r)?);
        let (ctime, btime) = (take_time(&mut r)?, take_time(&mut r)?);
        let (change, born) = (Change(r.u64()?), Change(r.u64()?));
        let (parent, flushed_seq) = (InodeId(r.u64()?), Seq(r.u64()?));
        let (mode_change, dos_change) = (Change(r.u64()?), Change(r.u64()?));
        let last_cookie = Cookie(r.u64()?);
        let device = DeviceNumber { major: r.u32()?, minor: r.u32()? };
        let presence = r.u8()?;
        if presence > (HAS_VERIFIER | HAS_ACL | HAS_LINK) {
            return Err(BadRow::Field("presence"));
        }
        let (owner, group) = (take_identity(&mut r)?, take_identity(&mut r)?);
        let create_verifier = (presence & HAS_VERIFIER != 0).then(|| r.array()).transpose()?;
        let acl_hash = (presence & HAS_ACL != 0).then(|| r.array()).transpose()?;
        let link_target = (presence & HAS_LINK != 0).then(|| r.bytes16()).transpose()?;
        let inode = Inode {
            id,
            generation,
            kind,
            mode,
            nlink,
            owner,
            group,
            size,
            allocated,
            atime,
            mtime,
            ctime,
            btime,
            change,
            born,
            dos,
            create_verifier,
            acl: None,
            parent,
            flags,
            link_target,
            device,
            flushed_seq,
            mode_change,
            dos_change,
        };
        Ok(InodeRow { inode, acl_hash, last_cookie, tail: r.tail() })
    }
}

//! Rows of answers as the model's types. A row that does not decode is reported by name, as damage.

use super::values::{Uuid, ace_kind, read_identity};
use crate::rows::damaged;
use crate::rows::inode::kind;
use crate::{Dentry, PackRow, PackState, ReplayOp, ReplayOutcome, ShareRecord, StoreResult};
use bytes::Bytes;
use dfs_model::extent::Compression;
use dfs_model::{
    Ace, Acl, BlockRef, Change, Cookie, DeviceNumber, Epoch, ExtentRun, Generation, Inode, InodeFlags,
    InodeId, InodeKind, Name, PackId, PreAttrs, Seq, ShareId, Timestamp,
};
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// Reads the columns of a row from left to right.
pub struct Columns<'r> {
    row: &'r Row,
    at: usize,
    /// Address of the ACL of the inode read last.
    pub acl_address: Option<Vec<u8>>,
}

impl<'r> Columns<'r> {
    /// Starts at the first column.
    pub fn of(row: &'r Row) -> Columns<'r> {
        Columns { row, at: 0, acl_address: None }
    }

    /// The next column.
    pub fn next<T: FromSql<'r>>(&mut self) -> StoreResult<T> {
        let value = self.row.try_get(self.at);
        self.at += 1;
        value.map_err(|error| {
            damaged(self.row.columns().get(self.at - 1).map_or("row", |column| column.name()), error)
        })
    }

    fn skip(&mut self, columns: usize) {
        self.at += columns;
    }

    /// An eight-byte number.
    pub fn u64(&mut self) -> StoreResult<u64> {
        self.next::<i64>().map(|value| value as u64)
    }

    /// A four-byte number.
    pub fn u32(&mut self) -> StoreResult<u32> {
        self.next::<i32>().map(|value| value as u32)
    }

    /// A time.
    pub fn time(&mut self) -> StoreResult<Timestamp> {
        Ok(Timestamp::new(self.next()?, self.u32()?))
    }

    fn kind(&mut self) -> StoreResult<InodeKind> {
        let number = self.next::<i16>()?;
        kind(u8::try_from(number).unwrap_or(0)).map_err(|error| damaged("kind", error))
    }

    fn bytes(&mut self) -> StoreResult<Bytes> {
        self.next::<&[u8]>().map(Bytes::copy_from_slice)
    }

    /// A dentry, `None` where the row has none.
    pub fn dentry(&mut self) -> StoreResult<Option<Dentry>> {
        let Some(dir) = self.next::<Option<i64>>()? else {
            self.skip(6);
            return Ok(None);
        };
        let name = Name::new(self.bytes()?).map_err(|error| damaged("name", error))?;
        Ok(Some(Dentry {
            dir: InodeId(dir as u64),
            name,
            inode: InodeId(self.u64()?),
            kind: self.kind()?,
            cookie: Cookie(self.u64()?),
            born: Change(self.u64()?),
            delete_pending: self.next()?,
        }))
    }

    /// An inode with its ACL, `None` where the row has none.
    pub fn inode(&mut self) -> StoreResult<Option<Inode>> {
        let Some(id) = self.next::<Option<i64>>()? else {
            self.skip(28 + 10);
            return Ok(None);
        };
        let (kind, size, allocated) = (self.kind()?, self.u64()?, self.u64()?);
        let (atime, mtime, ctime, btime) = (self.time()?, self.time()?, self.time()?, self.time()?);
        let (change, born, parent) = (Change(self.u64()?), Change(self.u64()?), InodeId(self.u64()?));
        let (flushed_seq, mode_change, dos_change) =
            (Seq(self.u64()?), Change(self.u64()?), Change(self.u64()?));
        let mode = self.u32()? as u16;
        let (nlink, flags, dos) = (self.u32()?, InodeFlags(self.u32()?), self.u32()?);
        let generation = Generation(self.u32()?);
        let device = DeviceNumber { major: self.u32()?, minor: self.u32()? };
        let (owner, group) = (self.identity()?, self.identity()?);
        let create_verifier = match self.next::<Option<&[u8]>>()? {
            Some(bytes) => Some(bytes.try_into().map_err(|_| damaged("verifier", "not eight bytes"))?),
            None => None,
        };
        let link_target = self.next::<Option<&[u8]>>()?.map(Bytes::copy_from_slice);
        let acl = self.acl()?.map(Arc::new);
        let id = InodeId(id as u64);
        Ok(Some(Inode {
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
            acl,
            parent,
            flags,
            link_target,
            device,
            flushed_seq,
            mode_change,
            dos_change,
        }))
    }

    fn identity(&mut self) -> StoreResult<dfs_model::Identity> {
        let text: &str = self.next()?;
        read_identity(text).ok_or_else(|| damaged("identity", text))
    }

    fn acl(&mut self) -> StoreResult<Option<Acl>> {
        self.acl_address = self.next::<Option<Vec<u8>>>()?;
        if self.acl_address.is_none() {
            self.skip(9);
            return Ok(None);
        }
        let control = self.u32()? as u16;
        Ok(Some(Acl { control, dacl: self.aces()?, sacl: self.aces()? }))
    }

    fn aces(&mut self) -> StoreResult<Option<Vec<Ace>>> {
        let Some(kinds) = self.next::<Option<Vec<i16>>>()? else {
            self.skip(3);
            return Ok(None);
        };
        let (flags, masks, whos) =
            (self.next::<Vec<i32>>()?, self.next::<Vec<i32>>()?, self.next::<Vec<&str>>()?);
        if [flags.len(), masks.len(), whos.len()] != [kinds.len(); 3] {
            return Err(damaged("ACL", "its arrays have different lengths"));
        }
        let entries = kinds.iter().zip(flags).zip(masks).zip(whos);
        let read = entries.map(|(((number, flags), mask), who)| {
            let kind = ace_kind(*number).ok_or_else(|| damaged("ACL", "kind of an entry"))?;
            let who = read_identity(who).ok_or_else(|| damaged("ACL", "identity"))?;
            Ok(Ace { kind, flags: flags as u16, mask: mask as u32, who })
        });
        read.collect::<StoreResult<Vec<Ace>>>().map(Some)
    }

    /// A stored outcome, `None` where the row has none.
    pub fn outcome(&mut self) -> StoreResult<Option<ReplayOutcome>> {
        let Some(number) = self.next::<Option<i16>>()? else { return Ok(None) };
        let all = [ReplayOp::Create, ReplayOp::Link, ReplayOp::Remove, ReplayOp::Rename, ReplayOp::SetAttr];
        let op =
            all.into_iter().find(|op| *op as i16 == number).ok_or_else(|| damaged("outcome", "operation"))?;
        let inode = InodeId(self.u64()?);
        let (dir, dir_pre) = (InodeId(self.u64()?), self.pre()?);
        let to_dir = match self.next::<Option<i64>>()? {
            Some(to_dir) => Some((InodeId(to_dir as u64), self.pre()?)),
            None => {
                self.skip(6);
                None
            }
        };
        Ok(Some(ReplayOutcome { op, inode, dir, dir_pre, to_dir, at: self.time()? }))
    }

    fn pre(&mut self) -> StoreResult<PreAttrs> {
        let size = self.u64()?;
        Ok(PreAttrs { size, mtime: self.time()?, ctime: self.time()?, change: Change(self.u64()?) })
    }

    /// A run of a file's map.
    pub fn extent(&mut self) -> StoreResult<ExtentRun> {
        let (offset, len, pack) = (self.u64()?, self.u64()?, self.next::<Uuid>()?);
        let (first_block, pack_offset, skip) = (self.u32()?, self.u64()?, self.u32()?);
        let (seq, born, tail) = (Seq(self.u64()?), Change(self.u64()?), self.bytes()?);
        let (stored, decoded) = (self.next::<Vec<i32>>()?, self.next::<Vec<i32>>()?);
        let (compressions, hashes) = (self.next::<Vec<i16>>()?, self.next::<Vec<i64>>()?);
        if [decoded.len(), compressions.len(), hashes.len()] != [stored.len(); 3] {
            return Err(damaged("extent", "its arrays have different lengths"));
        }
        let each = stored.into_iter().zip(decoded).zip(compressions).zip(hashes);
        let blocks = each.map(|(((stored_len, decoded_len), number), hash)| {
            let compression = u8::try_from(number).ok().and_then(Compression::from_number);
            Ok(BlockRef {
                stored_len: stored_len as u32,
                decoded_len: decoded_len as u32,
                compression: compression.ok_or_else(|| damaged("extent", "compression"))?,
                hash: hash as u64,
            })
        });
        let blocks = blocks.collect::<StoreResult<Vec<BlockRef>>>()?;
        let run = ExtentRun {
            offset,
            len,
            pack: PackId(pack.0),
            first_block,
            pack_offset,
            skip,
            seq,
            born,
            blocks,
            tail,
        };
        run.validate().map_err(|error| damaged("extent", error))?;
        Ok(run)
    }

    /// A row of the pack ledger, `None` where the row has none.
    pub fn pack(&mut self) -> StoreResult<Option<PackRow>> {
        let Some(pack) = self.next::<Option<Uuid>>()? else { return Ok(None) };
        let state = match self.next::<i16>()? {
            1 => PackState::Up,
            2 => PackState::Live,
            3 => PackState::Dead,
            _ => return Err(damaged("pack", "state")),
        };
        let (len, live) = (self.u64()?, self.next::<i64>()?);
        let since = self.time()?;
        let live_bytes = u64::try_from(live).unwrap_or(0);
        Ok(Some(PackRow { pack: PackId(pack.0), state, len, live_bytes, since, epoch: Epoch(self.u32()?) }))
    }

    /// A share's record.
    pub fn share(&mut self) -> StoreResult<ShareRecord> {
        let share = ShareId(self.next::<Uuid>()?.0);
        let name = self.next()?;
        let (incarnation, fsid) = (Generation(self.u32()?), self.u64()?);
        let handle_key = self.next::<&[u8]>()?.try_into().map_err(|_| damaged("share", "handle key"))?;
        let (fold_version, block_size) = (self.u32()? as u16, self.u32()?);
        let (created, epoch) = (self.time()?, Epoch(self.u32()?));
        let (keys, values) = (self.next::<Vec<String>>()?, self.next::<Vec<String>>()?);
        let settings = keys.into_iter().zip(values).collect();
        Ok(ShareRecord {
            share,
            name,
            incarnation,
            fsid,
            handle_key,
            fold_version,
            block_size,
            created,
            epoch,
            settings,
        })
    }
}

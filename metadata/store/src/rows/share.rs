//! A share's record and its head (epoch and counters).
//!
//! Record v1: version · name (u16 length, bytes) · incarnation (u32) · fsid (u64) · handle key (16) · fold version (u16) ·
//! block size (u32) · created (i64 s, u32 ns) · count of settings (u16) · per setting key and value (u16 length, bytes) ·
//! tail. Head v1: version · epoch, ends-below (u32) · next inode, bytes, inodes (u64) · incarnation (u32) · tail. Head v2, of a
//! share that has or had snapshots: as v1, before the tail next snapshot, newest snapshot, its inodes-below (u64). A program
//! that knows no snapshots must not change such a share.

use super::{put_time, take_time};
use crate::ShareRecord;
use crate::wire::{BadRow, Reader, Writer};
use bytes::Bytes;
use dfs_model::{Epoch, Generation, InodeId, ShareId, SnapshotId};

const VERSION: u8 = 1;
/// Most settings of a share.
pub const SETTINGS_MAX: usize = 256;

/// The record's bytes; `tail` is what a newer program stored behind it. The epoch is not in it: the head has it.
pub fn encode_record(record: &ShareRecord, tail: &[u8]) -> Bytes {
    let mut out = Writer::versioned(VERSION, 128);
    out.bytes16(record.name.as_bytes()).u32(record.incarnation.0).u64(record.fsid);
    out.raw(&record.handle_key).u16(record.fold_version).u32(record.block_size);
    put_time(&mut out, record.created);
    out.u16(record.settings.len().min(SETTINGS_MAX) as u16);
    for (key, value) in record.settings.iter().take(SETTINGS_MAX) {
        out.bytes16(key.as_bytes()).bytes16(value.as_bytes());
    }
    out.raw(tail);
    out.finish()
}

/// Reads a record and its tail back; the epoch is 0. *Errors:* [`BadRow`].
pub fn decode_record(share: ShareId, bytes: &[u8]) -> Result<(ShareRecord, Bytes), BadRow> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).map_err(|_| BadRow::Field("text"));
    let mut r = Reader::versioned(bytes, VERSION)?;
    let name = text(r.bytes16()?)?;
    let (incarnation, fsid) = (Generation(r.u32()?), r.u64()?);
    let (handle_key, fold_version) = (r.array()?, r.u16()?);
    let block_size = r.u32()?;
    let created = take_time(&mut r)?;
    let count = usize::from(r.u16()?);
    if count > SETTINGS_MAX {
        return Err(BadRow::Field("settings"));
    }
    let mut settings = Vec::with_capacity(count);
    for _ in 0..count {
        settings.push((text(r.bytes16()?)?, text(r.bytes16()?)?));
    }
    let epoch = Epoch(0);
    let record = ShareRecord {
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
    };
    Ok((record, r.tail()))
}

/// What changes with nearly every operation: one row, so that the fence and the counters are one get and one put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The share's epoch; older callers are fenced.
    pub epoch: Epoch,
    /// Below it every epoch's end is decided; an epoch without a row in `Ends` has end 0.
    pub ends_below: Epoch,
    /// Next inode id to hand out.
    pub next_inode: InodeId,
    /// Bytes of data in placed files.
    pub bytes: u64,
    /// Inodes, orphans included.
    pub inodes: u64,
    /// Generation of inodes born now.
    pub incarnation: Generation,
    /// What snapshots the share has.
    pub snapshots: SnapshotMark,
    /// A newer program's fields.
    pub tail: Bytes,
}

/// What every change must know of a share's snapshots; all zero where there never was one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMark {
    /// Number of the last one that was taken.
    pub last: SnapshotId,
    /// The newest one that is there, 0 for none: rows that it shows are kept before they change.
    pub newest: SnapshotId,
    /// Inodes from this number on were born after it.
    pub inodes_below: InodeId,
}

/// Head with snapshots.
const VERSION_SNAPSHOTS: u8 = 2;

impl Head {
    /// The row's bytes.
    pub fn encode(&self) -> Bytes {
        let marked = self.snapshots != SnapshotMark::default();
        let version = if marked { VERSION_SNAPSHOTS } else { VERSION };
        let mut out = Writer::versioned(version, 72 + self.tail.len());
        out.u32(self.epoch.0).u32(self.ends_below.0).u64(self.next_inode.0).u64(self.bytes);
        out.u64(self.inodes).u32(self.incarnation.0);
        if marked {
            let SnapshotMark { last, newest, inodes_below } = self.snapshots;
            out.u64(last.0).u64(newest.0).u64(inodes_below.0);
        }
        out.raw(&self.tail);
        out.finish()
    }

    /// Reads a row back. *Errors:* [`BadRow`].
    pub fn decode(bytes: &[u8]) -> Result<Head, BadRow> {
        let marked = bytes.first() == Some(&VERSION_SNAPSHOTS);
        let mut r = Reader::versioned(bytes, if marked { VERSION_SNAPSHOTS } else { VERSION })?;
        Ok(Head {
            epoch: Epoch(r.u32()?),
            ends_below: Epoch(r.u32()?),
            next_inode: InodeId(r.u64()?),
            bytes: r.u64()?,
            inodes: r.u64()?,
            incarnation: Generation(r.u32()?),
            snapshots: match marked {
                true => SnapshotMark {
                    last: SnapshotId(r.u64()?),
                    newest: SnapshotId(r.u64()?),
                    inodes_below: InodeId(r.u64()?),
                },
                false => SnapshotMark::default(),
            },
            tail: r.tail(),
        })
    }
}

//! A snapshot of a share.
//!
//! v1: version · deleted (u8: its kept rows are still being given back) · name (u16 length, bytes) · origin (u8: 0 asked for, 1
//! schedule, 2 before a restore) · taken (i64 s, u32 ns) · change, inodes-below (u64) · tail.

use super::{put_time, take_time};
use crate::wire::{BadRow, Reader, Writer};
use crate::{Snapshot, SnapshotOrigin};
use bytes::Bytes;
use dfs_model::{Change, InodeId, Name, SnapshotId};

const VERSION: u8 = 1;

/// A snapshot with what only the store knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRow {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Nobody sees it any more; its kept rows are being given back.
    pub deleted: bool,
    /// A newer program's fields.
    pub tail: Bytes,
}

/// The origin with this number.
pub fn origin(number: u8) -> Result<SnapshotOrigin, BadRow> {
    Ok(match number {
        0 => SnapshotOrigin::Asked,
        1 => SnapshotOrigin::Schedule,
        2 => SnapshotOrigin::BeforeRestore,
        _ => return Err(BadRow::Field("origin")),
    })
}

impl SnapshotRow {
    /// The row's bytes.
    pub fn encode(&self) -> Bytes {
        let Snapshot { name, origin, taken, change, inodes_below, .. } = &self.snapshot;
        let mut out = Writer::versioned(VERSION, 64 + self.tail.len());
        out.u8(u8::from(self.deleted)).bytes16(name.as_bytes()).u8(*origin as u8);
        put_time(&mut out, *taken);
        out.u64(change.0).u64(inodes_below.0).raw(&self.tail);
        out.finish()
    }

    /// Reads a row back. *Errors:* [`BadRow`].
    pub fn decode(id: SnapshotId, bytes: &[u8]) -> Result<SnapshotRow, BadRow> {
        let mut r = Reader::versioned(bytes, VERSION)?;
        let deleted = match r.u8()? {
            0 => false,
            1 => true,
            _ => return Err(BadRow::Field("deleted")),
        };
        let name = Name::new(r.bytes16()?).map_err(|_| BadRow::Field("name"))?;
        let origin = origin(r.u8()?)?;
        let taken = take_time(&mut r)?;
        let (change, inodes_below) = (Change(r.u64()?), InodeId(r.u64()?));
        let snapshot = Snapshot { id, name, origin, taken, change, inodes_below };
        Ok(SnapshotRow { snapshot, deleted, tail: r.tail() })
    }
}

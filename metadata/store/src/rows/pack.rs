//! A row of the pack ledger.
//!
//! v1: version · state (u8) · len, live bytes (u64) · since (i64 s, u32 ns) · epoch (u32) · tail.

use super::{put_time, take_time};
use crate::wire::{BadRow, Reader, Writer};
use crate::{PackRow, PackState};
use bytes::Bytes;
use dfs_model::{Epoch, PackId};

const VERSION: u8 = 1;

/// A ledger row with what a newer program stored behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackLedgerRow {
    /// The row.
    pub row: PackRow,
    /// A newer program's fields.
    pub tail: Bytes,
}

impl PackLedgerRow {
    /// The row's bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::versioned(VERSION, 40 + self.tail.len());
        out.u8(self.row.state as u8).u64(self.row.len).u64(self.row.live_bytes);
        put_time(&mut out, self.row.since);
        out.u32(self.row.epoch.0).raw(&self.tail);
        out.finish()
    }

    /// Reads a row back. *Errors:* [`BadRow`].
    pub fn decode(pack: PackId, bytes: &[u8]) -> Result<PackLedgerRow, BadRow> {
        let mut r = Reader::versioned(bytes, VERSION)?;
        let state = match r.u8()? {
            1 => PackState::Up,
            2 => PackState::Live,
            3 => PackState::Dead,
            _ => return Err(BadRow::Field("pack state")),
        };
        let (len, live_bytes) = (r.u64()?, r.u64()?);
        let since = take_time(&mut r)?;
        let epoch = Epoch(r.u32()?);
        Ok(PackLedgerRow { row: PackRow { pack, state, len, live_bytes, since, epoch }, tail: r.tail() })
    }
}

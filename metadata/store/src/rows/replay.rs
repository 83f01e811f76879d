//! Outcomes of name operations, kept so that a repeat after a crash gets the same answer.
//!
//! A client has a ring of [`RPC_SLOTS`] rows, chosen by the low bits of the transaction id (sequential in every known
//! client); a newer operation overwrites the oldest, so the table is bounded per client and no pruning by count exists. A
//! session slot has one row per operation index. The value holds the whole key, so another operation in the same row is
//! never mistaken for a repeat.
//!
//! Value v1: version · full key (u16 length, bytes) · op (u8) · inode (u64) · dir and its attributes before · presence of
//! (to-dir and its attributes before) · at. Attributes: size (u64) · mtime, ctime · change (u64).

use super::{put_time, take_time};
use crate::key::{Table, key};
use crate::wire::{BadRow, Reader, Writer};
use crate::{ReplayOp, ReplayOutcome};
use bytes::Bytes;
use dfs_model::{Change, InodeId, PreAttrs, ReplayKey, ShareId};
use std::net::IpAddr;

const VERSION: u8 = 1;
/// Outcomes kept per NFSv3 client address: far more than it ever has outstanding, about 1 MB.
pub const RPC_SLOTS: u32 = 8192;

/// Key of the row in which the outcome of an operation lies.
pub fn row_key(share: ShareId, replay: &ReplayKey) -> Vec<u8> {
    let start = key(share, Table::Replay);
    match replay {
        ReplayKey::Rpc { client, xid, .. } => {
            start.raw(&[1]).raw(&address(*client)).raw(&(xid % RPC_SLOTS).to_be_bytes()).done()
        }
        ReplayKey::Slot { session, slot, op, .. } => {
            start.raw(&[2]).raw(session).raw(&slot.to_be_bytes()).raw(&op.to_be_bytes()).done()
        }
    }
}

fn address(client: IpAddr) -> [u8; 16] {
    match client {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Everything that tells one operation from another; what the row in its place holds.
pub fn full_key(replay: &ReplayKey) -> Vec<u8> {
    let mut out = Writer::versioned(VERSION, 40);
    match replay {
        ReplayKey::Rpc { client, xid, procedure, checksum } => {
            out.u8(1).raw(&address(*client)).u32(*xid).u32(*procedure).u64(*checksum);
        }
        ReplayKey::Slot { session, slot, sequence, op } => {
            out.u8(2).raw(session).u32(*slot).u32(*sequence).u32(*op);
        }
    }
    out.into_vec()
}

/// The row's bytes.
pub fn encode(replay: &ReplayKey, outcome: &ReplayOutcome) -> Bytes {
    let mut out = Writer::versioned(VERSION, 192);
    out.bytes16(&full_key(replay)).u8(outcome.op as u8).u64(outcome.inode.0);
    put_dir(&mut out, outcome.dir, &outcome.dir_pre);
    out.u8(u8::from(outcome.to_dir.is_some()));
    if let Some((dir, pre)) = &outcome.to_dir {
        put_dir(&mut out, *dir, pre);
    }
    put_time(&mut out, outcome.at);
    out.finish()
}

/// The outcome in a row, if it is that of `replay`. *Errors:* [`BadRow`].
pub fn decode(replay: &ReplayKey, bytes: &[u8]) -> Result<Option<ReplayOutcome>, BadRow> {
    let mut r = Reader::versioned(bytes, VERSION)?;
    let same = r.bytes16()? == full_key(replay);
    take_outcome(&mut r).map(|outcome| same.then_some(outcome))
}

/// The outcome in a row, whosever it is. *Errors:* [`BadRow`].
pub fn decode_any(bytes: &[u8]) -> Result<ReplayOutcome, BadRow> {
    let mut r = Reader::versioned(bytes, VERSION)?;
    r.bytes16()?;
    take_outcome(&mut r)
}

fn take_outcome(r: &mut Reader<'_>) -> Result<ReplayOutcome, BadRow> {
    let op = match r.u8()? {
        1 => ReplayOp::Create,
        2 => ReplayOp::Link,
        3 => ReplayOp::Remove,
        4 => ReplayOp::Rename,
        5 => ReplayOp::SetAttr,
        _ => return Err(BadRow::Field("operation")),
    };
    let inode = InodeId(r.u64()?);
    let (dir, dir_pre) = take_dir(r)?;
    let to_dir = match r.u8()? {
        0 => None,
        1 => Some(take_dir(r)?),
        _ => return Err(BadRow::Field("presence")),
    };
    Ok(ReplayOutcome { op, inode, dir, dir_pre, to_dir, at: take_time(r)? })
}

fn put_dir(out: &mut Writer, dir: InodeId, pre: &PreAttrs) {
    out.u64(dir.0).u64(pre.size);
    put_time(out, pre.mtime);
    put_time(out, pre.ctime);
    out.u64(pre.change.0);
}

fn take_dir(r: &mut Reader<'_>) -> Result<(InodeId, PreAttrs), BadRow> {
    let (dir, size) = (InodeId(r.u64()?), r.u64()?);
    let (mtime, ctime) = (take_time(r)?, take_time(r)?);
    Ok((dir, PreAttrs { size, mtime, ctime, change: Change(r.u64()?) }))
}

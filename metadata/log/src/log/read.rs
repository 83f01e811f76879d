//! Reading records back by position (JOURNAL J5). Reading stays possible after a poisoning.
//!
//! Bytes are read first and verified after: the record's header must carry the expected inode and seq under the
//! checksum of that life of the segment, and that life must still last. A life ends before anything of the next one is
//! written, so bytes of another life are never returned.

use super::{Inner, Log, Position};
use crate::{
    disk::{DiskFile, read_exact},
    error::{Damage, LogError},
    format::{RECORD_HEADER_BYTES, RecordHeader, seed},
    mutation::Rule,
};
use dfs_model::Seq;
use std::io;

/// A record read back whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Its number.
    pub seq: Seq,
    /// The caller's kind.
    pub kind: u8,
    /// The caller's key.
    pub inode: u64,
    /// The caller's flags.
    pub flags: u16,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Log {
    /// Reads part of a record's payload, from byte `from` of the payload on, into the whole of `buf`. Blocks.
    /// *Guarantees:* the bytes are that record's; its payload checksum is verified too when all of it is read.
    /// *Errors:* `Moved`: the segment was given back, resolve again; `Damaged`: the disk changed the bytes;
    /// `TooLarge`: the range lies outside the payload; `Io`.
    pub fn read(
        &self,
        position: Position,
        inode: u64,
        seq: Seq,
        from: u32,
        buf: &mut [u8],
    ) -> Result<(), LogError> {
        let inside = u64::from(from) + buf.len() as u64 <= u64::from(position.length);
        if !inside {
            return Err(LogError::TooLarge { bytes: buf.len() as u64, room: u64::from(position.length) });
        }
        let inner = &self.inner;
        let file = inner.pool.file_of(position.segment).ok_or(LogError::Moved)?;
        let start = u64::from(position.offset) + RECORD_HEADER_BYTES + u64::from(from);
        let result = read_exact(&*file, false, start, buf);
        let whole = buf.len() as u64 == u64::from(position.length);
        inner.verify(&*file, position, result, |header| {
            header.inode == inode
                && header.seq == seq
                && (!whole || crc32c::crc32c(buf) == header.payload_sum)
        })?;
        Ok(())
    }

    /// Reads a whole record and verifies it. Blocks. *Errors:* as [`Log::read`].
    pub fn read_record(&self, position: Position) -> Result<OwnedRecord, LogError> {
        let inner = &self.inner;
        let file = inner.pool.file_of(position.segment).ok_or(LogError::Moved)?;
        let mut payload = vec![0; position.length as usize];
        let start = u64::from(position.offset) + RECORD_HEADER_BYTES;
        let result = read_exact(&*file, false, start, &mut payload);
        let header = inner
            .verify(&*file, position, result, |header| crc32c::crc32c(&payload) == header.payload_sum)?;
        let RecordHeader { seq, kind, inode, flags, .. } = header;
        Ok(OwnedRecord { seq, kind, inode, flags, payload })
    }
}

impl Inner {
    /// Verifies after the read that the bytes belonged to the record that was asked for.
    fn verify(
        &self,
        file: &dyn DiskFile,
        position: Position,
        read: io::Result<()>,
        accept: impl FnOnce(&RecordHeader) -> bool,
    ) -> Result<RecordHeader, LogError> {
        let mut bytes = [0; RECORD_HEADER_BYTES as usize];
        let read = read.and_then(|()| read_exact(file, false, u64::from(position.offset), &mut bytes));
        let seed = match self.options.mutations.off(Rule::SeededChecksum) {
            true => seed(0, 0),
            false => seed(self.journal, position.segment.generation),
        };
        let header = RecordHeader::decode(&bytes, seed).filter(|h| h.length == position.length && accept(h));
        if self.options.mutations.off(Rule::ReaderVerifies) {
            return Ok(header.unwrap_or_default());
        }
        if !self.pool.lives(position.segment) {
            return Err(LogError::Moved);
        }
        let name = || self.pool.name_of(position.segment);
        read.map_err(|error| LogError::Io { what: format!("read of {}", name()), error: error.to_string() })?;
        header.ok_or_else(|| {
            LogError::Damaged(Damage {
                file: name(),
                offset: u64::from(position.offset),
                found: "the record there is not the one that was written".to_owned(),
            })
        })
    }
}

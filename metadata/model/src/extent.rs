//! The rows of a file's map: which decoded bytes of which pack are the file's bytes `[offset, offset + len)`.
//!
//! A run names consecutive blocks of one pack, at most [`BLOCKS_PER_RUN_MAX`], with length and checksum of each inline, so
//! that one row answers a 16 MiB read without asking the pack:
//!
//! ```text
//!  file   ........|offset                         end|........
//!  run            |<------------- len -------------->|
//!  blocks   |skip |      block first_block     | +1  |unused |      decoded bytes, back to back
//!  pack     |pack_offset  stored bytes, back to back         |
//! ```
//!
//! Invariants ([`ExtentRun::validate`]; `decode` returns nothing that breaks one): every block is touched by at least one
//! byte of the run, so `skip` is less than the first block's length and only the last block may have an unused end; a
//! block lies within one aligned block-size window of the file at its birth and trimming never moves it. Cutting a run
//! copies block references and reads no data; two runs may refer to parts of the same block afterwards.
//! Pure values: a crash or a cancel leaves nothing behind.

use crate::{BlockId, Change, PackId, Seq};
use bytes::Bytes;

/// Most blocks of a run: 16 MiB of file at the default block size, about 1.1 KiB of row.
pub const BLOCKS_PER_RUN_MAX: usize = 64;
/// Largest decoded length of a block: the largest block size that a share may choose.
pub const BLOCK_LEN_MAX: u32 = 1 << 20;
/// Most bytes by which a block's stored form may exceed its decoded form (nonce and tag of encryption).
pub const STORED_OVERHEAD_MAX: u32 = 64;
/// One past the largest file offset that a run may cover: sizes are at most 2^63 − 1.
pub const FILE_END_MAX: u64 = i64::MAX as u64;
/// Longest tail of a newer program's fields that is kept.
const TAIL_MAX: usize = 4096;
/// Format of the row.
const VERSION: u8 = 1;
const HEAD_LEN: usize = 68;
const BLOCK_LEN: usize = 16;

/// How a block's bytes were made smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Compression {
    /// Stored as they are.
    #[default]
    None = 0,
    /// LZ4 block format.
    Lz4 = 1,
    /// A zstd frame.
    Zstd = 2,
}

impl Compression {
    /// The compression with this number. *Errors:* `None` for a number that this program does not know.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Compression> {
        match number {
            0 => Some(Compression::None),
            1 => Some(Compression::Lz4),
            2 => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// The word of configuration, CLI and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

/// What is known about a block without asking its pack: enough to fetch, verify and decode it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockRef {
    /// Bytes it takes in the pack.
    pub stored_len: u32,
    /// Bytes of the file it holds, 1 … [`BLOCK_LEN_MAX`].
    pub decoded_len: u32,
    /// How the stored bytes become the decoded ones.
    pub compression: Compression,
    /// xxh3-64 of the **stored** bytes, so that every step up can verify before it decodes.
    pub hash: u64,
}

impl BlockRef {
    /// Whether the lengths are possible at all; tested before anything is allocated for the block.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let stored_max = self.decoded_len.saturating_add(STORED_OVERHEAD_MAX);
        let raw_fits = self.compression != Compression::None || self.stored_len >= self.decoded_len;
        (1..=BLOCK_LEN_MAX).contains(&self.decoded_len)
            && (1..=stored_max).contains(&self.stored_len)
            && raw_fits
    }
}

/// A row of a file's map. Fields are plain so that stores can keep them as they like; [`ExtentRun::new`] makes a valid one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExtentRun {
    /// First byte of the file.
    pub offset: u64,
    /// Bytes of the file, at least 1.
    pub len: u64,
    /// The pack.
    pub pack: PackId,
    /// Index of the first block in the pack.
    pub first_block: u32,
    /// Byte of the pack at which the first block's stored bytes start.
    pub pack_offset: u64,
    /// Decoded bytes of the first block that lie before `offset` and do not belong to the run.
    pub skip: u32,
    /// Seq of the cut that made the bytes (`to_seq` of its place); tells two lives of one file range apart.
    pub seq: Seq,
    /// Change number of the place that made the row: whether it is older than a snapshot.
    pub born: Change,
    /// The blocks, consecutive in the pack, 1 … [`BLOCKS_PER_RUN_MAX`].
    pub blocks: Vec<BlockRef>,
    /// Bytes that a newer program stored behind the known fields; kept as they are.
    pub tail: Bytes,
}

/// A part of one block that holds a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockPiece {
    /// First byte of the file.
    pub offset: u64,
    /// Bytes, at least 1.
    pub len: u32,
    /// Where they start in the decoded block.
    pub skip: u32,
    /// Which block.
    pub id: BlockId,
    /// Byte of the pack at which the block's stored bytes start.
    pub pack_offset: u64,
    /// How to verify and decode it.
    pub block: BlockRef,
}

impl BlockPiece {
    /// One past the last byte of the file.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.len))
    }

    /// One past the last byte of the pack that the block takes.
    #[must_use]
    pub fn pack_end(&self) -> u64 {
        self.pack_offset.saturating_add(u64::from(self.block.stored_len))
    }
}

/// Why bytes or fields are not a row of a file's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadExtent {
    /// Fewer bytes than the fields need.
    #[error("extent row is cut short: {have} bytes")]
    Short {
        /// Bytes given.
        have: usize,
    },
    /// Written by a newer program.
    #[error("extent row has version {0}, newer than this program knows")]
    Version(u8),
    /// A compression that this program does not know.
    #[error("extent row names unknown compression {0}")]
    Compression(u8),
    /// Fields contradict each other.
    #[error("extent row is not valid: {0}")]
    Invalid(&'static str),
}

impl ExtentRun {
    /// Makes the run of whole blocks that starts at file byte `offset`. `seq` and `born` start as zero.
    /// *Errors:* [`BadExtent::Invalid`] for no block, too many, impossible lengths or an end beyond [`FILE_END_MAX`].
    pub fn new(
        offset: u64,
        pack: PackId,
        first_block: u32,
        pack_offset: u64,
        blocks: Vec<BlockRef>,
    ) -> Result<ExtentRun, BadExtent> {
        let len = blocks.iter().map(|b| u64::from(b.decoded_len)).sum();
        let run = ExtentRun {
            offset,
            len,
            pack,
            first_block,
            pack_offset,
            skip: 0,
            seq: Seq::ZERO,
            born: Change::ZERO,
            blocks,
            tail: Bytes::new(),
        };
        run.validate().map(|()| run)
    }

    /// One past the last byte of the file.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// Whether the run holds the file byte.
    #[must_use]
    pub fn contains(&self, offset: u64) -> bool {
        self.offset <= offset && offset < self.end()
    }

    /// Whether the run shares a byte with `[start, end)`.
    #[must_use]
    pub fn overlaps(&self, start: u64, end: u64) -> bool {
        self.offset < end && start < self.end()
    }

    /// Stored bytes of the blocks that the run refers to, partly used ones in full. A block that two runs share counts
    /// in both, so sums over runs are an upper bound.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.blocks.iter().map(|b| u64::from(b.stored_len)).sum()
    }

    /// One past the last byte of the pack that the run refers to.
    #[must_use]
    pub fn pack_end(&self) -> u64 {
        self.pack_offset.saturating_add(self.stored_bytes())
    }

    /// The parts of blocks that hold `[start, end)` of the file, in order; what lies outside of the run is left out.
    pub fn pieces(&self, start: u64, end: u64) -> impl Iterator<Item = BlockPiece> + '_ {
        let (start, end) = (start.max(self.offset), end.min(self.end()));
        let mut decoded = 0u64;
        let mut pack_offset = self.pack_offset;
        let base = i128::from(self.offset) - i128::from(self.skip);
        self.blocks.iter().enumerate().filter_map(move |(nth, block)| {
            let at = (decoded, pack_offset);
            decoded += u64::from(block.decoded_len);
            pack_offset += u64::from(block.stored_len);
            // The block's place in the file; its first byte may lie before byte 0 of the file only as skipped bytes.
            let block_start = base + i128::from(at.0);
            let from = block_start.max(i128::from(start));
            let to = (base + i128::from(decoded)).min(i128::from(end));
            (from < to).then(|| BlockPiece {
                offset: from as u64,
                len: (to - from) as u32,
                skip: (from - block_start) as u32,
                id: BlockId { pack: self.pack, index: self.first_block.saturating_add(nth as u32) },
                pack_offset: at.1,
                block: *block,
            })
        })
    }

    /// The part of the run within `[start, end)`, with the blocks that it needs; `None` when they share no byte.
    #[must_use]
    pub fn slice(&self, start: u64, end: u64) -> Option<ExtentRun> {
        let mut pieces = self.pieces(start, end);
        let first = pieces.next()?;
        let (count, last) = pieces.fold((1, first), |(count, _), piece| (count + 1, piece));
        let nth = (first.id.index - self.first_block) as usize;
        Some(ExtentRun {
            offset: first.offset,
            len: last.end() - first.offset,
            pack: self.pack,
            first_block: first.id.index,
            pack_offset: first.pack_offset,
            skip: first.skip,
            seq: self.seq,
            born: self.born,
            blocks: self.blocks.get(nth..nth + count)?.to_vec(),
            tail: self.tail.clone(),
        })
    }

    /// What remains of the run before and behind `[start, end)` when something else takes that range.
    #[must_use]
    pub fn without(&self, start: u64, end: u64) -> (Option<ExtentRun>, Option<ExtentRun>) {
        if start >= end || !self.overlaps(start, end) {
            return (Some(self.clone()), None);
        }
        (self.slice(0, start), self.slice(end, u64::MAX))
    }

    /// The run up to `at` and the run from `at` on.
    #[must_use]
    pub fn split_at(&self, at: u64) -> (Option<ExtentRun>, Option<ExtentRun>) {
        (self.slice(0, at), self.slice(at, u64::MAX))
    }

    /// Takes `next` into this run if it goes on exactly where this one ends: in the file, in the pack, of the same cut,
    /// block after block or within the block that both share. Returns whether it did; if not, nothing changed.
    pub fn join(&mut self, next: &ExtentRun) -> bool {
        let same = self.pack == next.pack
            && self.seq == next.seq
            && self.born == next.born
            && self.tail == next.tail;
        if !same || self.end() != next.offset {
            return false;
        }
        let count = self.blocks.len() as u32;
        let used = u64::from(self.skip) + self.len;
        let held: u64 = self.blocks.iter().map(|b| u64::from(b.decoded_len)).sum();
        let (last, shared) = match (self.blocks.last(), next.blocks.first()) {
            (Some(last), Some(first)) => (*last, *last == *first),
            _ => return false,
        };
        let behind =
            used == held && next.skip == 0 && next.first_block == self.first_block.saturating_add(count);
        let within = shared
            && next.first_block == self.first_block.saturating_add(count - 1)
            && u64::from(next.skip) + held == used + u64::from(last.decoded_len);
        let (dropped, pack_ok) = match (behind, within) {
            (true, _) => (0, self.pack_end() == next.pack_offset),
            (_, true) => (1, self.pack_end() - u64::from(last.stored_len) == next.pack_offset),
            _ => return false,
        };
        if !pack_ok || self.blocks.len() + next.blocks.len() - dropped > BLOCKS_PER_RUN_MAX {
            return false;
        }
        self.blocks.extend(next.blocks.iter().skip(dropped));
        self.len += next.len;
        true
    }

    /// Checks every invariant of the prologue. *Errors:* [`BadExtent::Invalid`] with the one that is broken.
    pub fn validate(&self) -> Result<(), BadExtent> {
        let bad = |what| Err(BadExtent::Invalid(what));
        if self.blocks.is_empty() || self.blocks.len() > BLOCKS_PER_RUN_MAX {
            return bad("number of blocks");
        }
        if !self.blocks.iter().all(BlockRef::is_plausible) {
            return bad("length of a block");
        }
        let held: u64 = self.blocks.iter().map(|b| u64::from(b.decoded_len)).sum();
        let first = self.blocks.first().map_or(0, |b| b.decoded_len);
        let last = self.blocks.last().map_or(0, |b| u64::from(b.decoded_len));
        let Some(used) = self.len.checked_add(u64::from(self.skip)) else { return bad("length") };
        if self.len == 0 || self.skip >= first || used > held || used <= held - last {
            return bad("bytes used of the blocks");
        }
        if self.offset.checked_add(self.len).is_none_or(|end| end > FILE_END_MAX) {
            return bad("end in the file");
        }
        if self.first_block.checked_add(self.blocks.len() as u32).is_none()
            || self.pack_offset.checked_add(self.stored_bytes()).is_none_or(|end| end > FILE_END_MAX)
        {
            return bad("place in the pack");
        }
        if self.tail.len() > TAIL_MAX {
            return bad("length of the tail");
        }
        Ok(())
    }

    /// Appends the row's bytes: little-endian, version first, then the fields, then the kept tail.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(HEAD_LEN + self.blocks.len() * BLOCK_LEN + self.tail.len());
        out.extend_from_slice(&[VERSION, self.blocks.len().min(BLOCKS_PER_RUN_MAX) as u8, 0, 0]);
        out.extend_from_slice(&self.skip.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.pack.0.to_le_bytes());
        out.extend_from_slice(&self.pack_offset.to_le_bytes());
        out.extend_from_slice(&self.first_block.to_le_bytes());
        out.extend_from_slice(&self.seq.0.to_le_bytes());
        out.extend_from_slice(&self.born.0.to_le_bytes());
        for block in self.blocks.iter().take(BLOCKS_PER_RUN_MAX) {
            let packed = (block.decoded_len & 0x00ff_ffff) | (u32::from(block.compression as u8) << 24);
            out.extend_from_slice(&block.stored_len.to_le_bytes());
            out.extend_from_slice(&packed.to_le_bytes());
            out.extend_from_slice(&block.hash.to_le_bytes());
        }
        out.extend_from_slice(&self.tail);
    }

    /// Reads a row back; whatever follows the known fields becomes the kept tail.
    /// *Errors:* [`BadExtent`]; damaged or hostile bytes never yield a run that breaks an invariant.
    pub fn decode(bytes: &[u8]) -> Result<ExtentRun, BadExtent> {
        let short = BadExtent::Short { have: bytes.len() };
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(BadExtent::Version(version)),
            None => return Err(short),
        }
        let (head, rest) = bytes.split_first_chunk::<HEAD_LEN>().ok_or(short)?;
        let count = usize::from(head[1]);
        if head[2] != 0 || head[3] != 0 || count > BLOCKS_PER_RUN_MAX {
            return Err(BadExtent::Invalid("head"));
        }
        let (table, tail) = rest.split_at_checked(count * BLOCK_LEN).ok_or(short)?;
        let blocks = table.chunks_exact(BLOCK_LEN).map(decode_block).collect::<Result<Vec<_>, _>>()?;
        let run = ExtentRun {
            skip: u32::from_le_bytes(field(head, 4)),
            offset: u64::from_le_bytes(field(head, 8)),
            len: u64::from_le_bytes(field(head, 16)),
            pack: PackId(u128::from_le_bytes(field(head, 24))),
            pack_offset: u64::from_le_bytes(field(head, 40)),
            first_block: u32::from_le_bytes(field(head, 48)),
            seq: Seq(u64::from_le_bytes(field(head, 52))),
            born: Change(u64::from_le_bytes(field(head, 60))),
            blocks,
            tail: Bytes::copy_from_slice(tail),
        };
        run.validate().map(|()| run)
    }
}

/// The `N` bytes at `at`; zeros where the slice ends before, which no caller lets happen.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

fn decode_block(bytes: &[u8]) -> Result<BlockRef, BadExtent> {
    let packed = u32::from_le_bytes(field(bytes, 4));
    let number = (packed >> 24) as u8;
    Ok(BlockRef {
        stored_len: u32::from_le_bytes(field(bytes, 0)),
        decoded_len: packed & 0x00ff_ffff,
        compression: Compression::from_number(number).ok_or(BadExtent::Compression(number))?,
        hash: u64::from_le_bytes(field(bytes, 8)),
    })
}

#[cfg(test)]
#[path = "extent_tests.rs"]
mod tests;

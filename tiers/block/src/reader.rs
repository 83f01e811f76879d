//! Reads what a pack says about itself, and proves a whole pack.

use crate::footer::{self, PlaceRecord};
use crate::frame::{HEADER_LEN, PackIdentity, TRAILER_LEN, Trailer};
use crate::{PackError, verify_block};
use bytes::Bytes;
use dfs_model::{BlockId, BlockRef, PackId};
use std::ops::Range;

/// A row of a pack's block table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackBlock {
    /// First byte of the pack that the block takes.
    pub offset: u64,
    /// How to verify and decode it.
    pub reference: BlockRef,
}

impl PackBlock {
    /// Bytes of the pack that the block takes.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.reference.stored_len))
    }
}

/// A pack's footer, checked: identity, block table, place records. Holds no block.
#[derive(Clone, Debug)]
pub struct PackReader {
    identity: PackIdentity,
    blocks: Vec<PackBlock>,
    places: Vec<PlaceRecord>,
}

impl PackReader {
    /// Opens a pack from its trailer and the bytes that [`Trailer::footer_range`] names. *Guarantees:* the checksum is
    /// tested before a byte is interpreted; every extent refers to blocks of the table. *Errors:* [`PackError`].
    pub fn open(trailer: &Trailer, footer: &[u8]) -> Result<PackReader, PackError> {
        trailer.check_footer(footer)?;
        let parsed = footer::parse(trailer.pack, trailer.footer_offset, footer)?;
        Ok(PackReader { identity: parsed.identity, blocks: parsed.blocks, places: parsed.places })
    }

    /// Opens a pack from all of its bytes and verifies every one of them. *Errors:* [`PackError`] naming what is damaged.
    pub fn open_whole(pack: PackId, bytes: &Bytes) -> Result<PackReader, PackError> {
        let short = || PackError::Length {
            pack,
            what: "object",
            have: bytes.len() as u64,
            want: (HEADER_LEN + TRAILER_LEN) as u64,
        };
        let header = bytes.get(..HEADER_LEN).ok_or_else(short)?;
        let identity = PackIdentity::parse_header(pack, header)?;
        let tail = bytes.len().checked_sub(TRAILER_LEN).and_then(|at| bytes.get(at..)).ok_or_else(short)?;
        let trailer = Trailer::parse(pack, bytes.len() as u64, tail)?;
        let range = trailer.footer_range();
        let footer = bytes.get(range.start as usize..range.end as usize).ok_or_else(short)?;
        let reader = PackReader::open(&trailer, footer)?;
        if reader.identity != identity {
            return Err(PackError::Invalid { pack, what: "header against footer" });
        }
        for (index, block) in reader.blocks.iter().enumerate() {
            let range = block.range();
            let stored = bytes.get(range.start as usize..range.end as usize).ok_or_else(short)?;
            verify_block(BlockId { pack, index: index as u32 }, stored, &block.reference)?;
        }
        Ok(reader)
    }

    /// Which pack it is, and whose.
    #[must_use]
    pub fn identity(&self) -> PackIdentity {
        self.identity
    }

    /// The block table.
    #[must_use]
    pub fn blocks(&self) -> &[PackBlock] {
        &self.blocks
    }

    /// One row of the block table.
    #[must_use]
    pub fn block(&self, index: u32) -> Option<PackBlock> {
        self.blocks.get(index as usize).copied()
    }

    /// The place records.
    #[must_use]
    pub fn places(&self) -> &[PlaceRecord] {
        &self.places
    }
}

//! Builds a pack: blocks first, then the records of the places they are for, then footer and trailer.

use crate::codec::EncodedBlock;
use crate::footer::{self, PlaceRecord, RECORDS_PER_PACK_MAX};
use crate::frame::{BLOCKS_PER_PACK_MAX, HEADER_LEN, PACK_LEN_MAX, PackIdentity, TRAILER_LEN, Trailer};
use crate::reader::PackBlock;
use crate::{FOOTER_LEN_MAX, PackError};
use bytes::Bytes;
use dfs_model::{BLOCK_LEN_MAX, ExtentRun, PackId};
use xxhash_rust::xxh3::xxh3_64;

/// A pack under construction. Dropping it leaves nothing behind.
pub struct PackBuilder {
    identity: PackIdentity,
    parts: Vec<Bytes>,
    blocks: Vec<PackBlock>,
    places: Vec<PlaceRecord>,
    /// Where the next block goes.
    at: u64,
}

/// A whole pack, ready for one put.
#[derive(Clone, Debug)]
pub struct FinishedPack {
    /// Which pack.
    pub identity: PackIdentity,
    /// Its bytes in order; the blocks' parts share memory with what was pushed.
    pub parts: Vec<Bytes>,
    /// Bytes in all.
    pub len: u64,
    /// Its blocks, in order.
    pub blocks: Vec<PackBlock>,
}

impl PackBuilder {
    /// An empty pack.
    #[must_use]
    pub fn new(identity: PackIdentity) -> PackBuilder {
        PackBuilder {
            parts: vec![Bytes::copy_from_slice(&identity.encode_header())],
            identity,
            blocks: Vec::new(),
            places: Vec::new(),
            at: HEADER_LEN as u64,
        }
    }

    /// Which pack it will be.
    #[must_use]
    pub fn id(&self) -> PackId {
        self.identity.pack
    }

    /// Bytes of the pack so far, without footer and trailer.
    #[must_use]
    pub fn stored_len(&self) -> u64 {
        self.at
    }

    /// Blocks so far; the next one gets this index.
    #[must_use]
    pub fn block_count(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Adds a block and returns its index. *Guarantees:* the bytes are not copied. *Errors:* [`PackError::Full`] beyond
    /// [`BLOCKS_PER_PACK_MAX`] or [`PACK_LEN_MAX`]; the pack stays as it was.
    pub fn push(&mut self, block: EncodedBlock) -> Result<u32, PackError> {
        let pack = self.identity.pack;
        if self.blocks.len() >= BLOCKS_PER_PACK_MAX {
            return Err(PackError::Full { pack, what: "blocks", max: BLOCKS_PER_PACK_MAX as u64 });
        }
        let len = block.stored.len() as u64;
        let plausible = block.reference.is_plausible() && len == u64::from(block.reference.stored_len);
        if !plausible {
            return Err(PackError::BlockLength { have: len, max: BLOCK_LEN_MAX });
        }
        let reserve = (FOOTER_LEN_MAX + TRAILER_LEN) as u64;
        if self.at + len + reserve > PACK_LEN_MAX {
            return Err(PackError::Full { pack, what: "bytes", max: PACK_LEN_MAX - reserve });
        }
        self.blocks.push(PackBlock { offset: self.at, reference: block.reference });
        self.parts.push(block.stored);
        self.at += len;
        Ok(self.blocks.len() as u32 - 1)
    }

    /// The run of whole blocks `first … first + count` as the file's bytes from `offset` on.
    /// *Errors:* [`PackError::Extent`], for instance for more than a run may hold.
    pub fn run(&self, offset: u64, first: u32, count: u32) -> Result<ExtentRun, PackError> {
        let pack = self.identity.pack;
        let end = first.saturating_add(count) as usize;
        let blocks = self
            .blocks
            .get(first as usize..end)
            .ok_or(PackError::Invalid { pack, what: "blocks of a run" })?;
        let start = blocks.first().map_or(0, |block| block.offset);
        let refs = blocks.iter().map(|block| block.reference).collect();
        ExtentRun::new(offset, pack, first, start, refs).map_err(|error| PackError::Extent { pack, error })
    }

    /// Adds the record of a place that the pack is for. *Errors:* [`PackError::Full`]; [`PackError::Extent`] or
    /// [`PackError::Invalid`] for an extent that is not one of this pack's.
    pub fn record(&mut self, record: PlaceRecord) -> Result<(), PackError> {
        let pack = self.identity.pack;
        if self.places.len() >= RECORDS_PER_PACK_MAX {
            return Err(PackError::Full { pack, what: "place records", max: RECORDS_PER_PACK_MAX as u64 });
        }
        for run in &record.extents {
            run.validate().map_err(|error| PackError::Extent { pack, error })?;
            let own = self.run(0, run.first_block, run.blocks.len() as u32)?;
            if run.pack != pack || own.blocks != run.blocks || own.pack_offset != run.pack_offset {
                return Err(PackError::Invalid { pack, what: "extent of another pack" });
            }
        }
        let ordered = record.from_seq <= record.to_seq && record.zeros.iter().all(|(start, end)| start < end);
        if !ordered {
            return Err(PackError::Invalid { pack, what: "place record" });
        }
        self.places.push(record);
        Ok(())
    }

    /// Closes the pack. *Errors:* [`PackError::Full`] when the records do not fit a footer.
    pub fn finish(self) -> Result<FinishedPack, PackError> {
        let footer = footer::build(&self.identity, &self.blocks, &self.places)?;
        let trailer = Trailer {
            pack: self.identity.pack,
            footer_offset: self.at,
            footer_len: footer.len() as u32,
            footer_hash: xxh3_64(&footer),
        };
        let len = trailer.footer_range().end + TRAILER_LEN as u64;
        let mut parts = self.parts;
        parts.push(footer.into());
        parts.push(Bytes::copy_from_slice(&trailer.encode()));
        Ok(FinishedPack { identity: self.identity, parts, len, blocks: self.blocks })
    }
}

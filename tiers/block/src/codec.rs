//! One block: compressed where that pays, hashed as stored, verified before it is decoded.

use crate::{BlockError, PackError};
use bytes::Bytes;
use dfs_model::{BLOCK_LEN_MAX, BlockId, BlockRef, Compression};
use xxhash_rust::xxh3::xxh3_64;

/// A compressed form must save at least one part in this many, else the block is stored raw: below that the decoding
/// costs more than the bytes.
const SAVING_PART: usize = 32;
/// Default zstd level: about three times lz4's cost for half of what lz4 leaves.
const ZSTD_LEVEL: i32 = 3;

/// A block ready for a pack.
#[derive(Clone, Debug)]
pub struct EncodedBlock {
    /// The bytes as the pack and the warm tier hold them.
    pub stored: Bytes,
    /// How to verify and decode them.
    pub reference: BlockRef,
}

/// Turns file bytes into blocks. Keeps its working memory between blocks; one per thread of work.
pub struct Encoder {
    compression: Compression,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Encoder {
    /// An encoder for a share's compression. *Errors:* [`PackError::Compress`] without memory for the working state.
    pub fn new(compression: Compression) -> Result<Encoder, PackError> {
        let zstd = match compression {
            Compression::Zstd => {
                let made = zstd::bulk::Compressor::new(ZSTD_LEVEL);
                Some(made.map_err(|error| PackError::Compress(error.to_string()))?)
            }
            Compression::None | Compression::Lz4 => None,
        };
        Ok(Encoder { compression, zstd })
    }

    /// Encodes 1 … [`BLOCK_LEN_MAX`] bytes. *Guarantees:* a block that does not shrink is stored raw and shares the memory
    /// of `decoded`. *Errors:* [`PackError::BlockLength`].
    pub fn encode(&mut self, decoded: Bytes) -> Result<EncodedBlock, PackError> {
        let decoded_len = match u32::try_from(decoded.len()) {
            Ok(len @ 1..=BLOCK_LEN_MAX) => len,
            _ => return Err(PackError::BlockLength { have: decoded.len() as u64, max: BLOCK_LEN_MAX }),
        };
        let (stored, compression) = match self.shrink(&decoded)? {
            Some(small) => (small, self.compression),
            None => (decoded, Compression::None),
        };
        let reference =
            BlockRef { stored_len: stored.len() as u32, decoded_len, compression, hash: block_hash(&stored) };
        Ok(EncodedBlock { stored, reference })
    }

    fn shrink(&mut self, decoded: &[u8]) -> Result<Option<Bytes>, PackError> {
        let small = match (self.compression, self.zstd.as_mut()) {
            (Compression::Lz4, _) => lz4_flex::block::compress(decoded),
            (Compression::Zstd, Some(zstd)) => {
                zstd.compress(decoded).map_err(|error| PackError::Compress(error.to_string()))?
            }
            (Compression::Zstd | Compression::None, _) => return Ok(None),
        };
        let most = decoded.len() - decoded.len().div_ceil(SAVING_PART);
        Ok((small.len() <= most).then(|| {
            // The compressors allocate for the worst case; what is kept for long must not be larger than it is.
            Bytes::from(small.into_boxed_slice())
        }))
    }
}

/// The checksum of a block: xxh3-64 of its stored bytes.
#[must_use]
pub fn block_hash(stored: &[u8]) -> u64 {
    xxh3_64(stored)
}

/// Checks stored bytes against their reference, without decoding. *Errors:* [`BlockError`] naming pack and block.
pub fn verify_block(id: BlockId, stored: &[u8], reference: &BlockRef) -> Result<(), BlockError> {
    if !reference.is_plausible() {
        return Err(BlockError::Reference {
            id,
            stored: reference.stored_len,
            decoded: reference.decoded_len,
        });
    }
    if stored.len() as u64 != u64::from(reference.stored_len) {
        return Err(BlockError::Length { id, expected: reference.stored_len, actual: stored.len() as u64 });
    }
    let actual = block_hash(stored);
    if actual != reference.hash {
        return Err(BlockError::Hash { id, expected: reference.hash, actual });
    }
    Ok(())
}

/// Verifies stored bytes and gives the file's bytes back, exactly `decoded_len` of them. *Guarantees:* a raw block is
/// handed on without a copy; no allocation is larger than [`BLOCK_LEN_MAX`]. *Errors:* [`BlockError`].
pub fn decode_block(id: BlockId, stored: Bytes, reference: &BlockRef) -> Result<Bytes, BlockError> {
    verify_block(id, &stored, reference)?;
    let expected = reference.decoded_len;
    let fail =
        |detail: String| BlockError::Decode { id, compression: reference.compression, expected, detail };
    let decoded = match reference.compression {
        Compression::None => stored,
        Compression::Lz4 => {
            let mut out = vec![0; expected as usize];
            let len = lz4_flex::block::decompress_into(&stored, &mut out)
                .map_err(|error| fail(error.to_string()))?;
            out.truncate(len);
            out.into()
        }
        Compression::Zstd => zstd::bulk::decompress(&stored, expected as usize)
            .map_err(|error| fail(error.to_string()))?
            .into(),
    };
    match decoded.len() == expected as usize {
        true => Ok(decoded),
        false => Err(fail(format!("{} bytes came out", decoded.len()))),
    }
}

//! Blocks and packs: how bytes of files become an immutable cold object, and how they are trusted again.
//!
//! A block is a run of bytes of one file within one aligned block-size window: compressed or not, with the xxh3-64 of its
//! *stored* bytes in every reference to it. A pack is a row of blocks of many files with a footer that describes all of it,
//! whole place records included, so that a bucket alone can rebuild its files. The layout is in the crate's README.
//!
//! Pure: no I/O, no clock, no threads. Bytes from outside never panic and never size an allocation before they are checked:
//! checksum first, then structure, then meaning.

#![forbid(unsafe_code)]

mod builder;
mod codec;
mod error;
mod footer;
mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod reader;

pub use builder::{FinishedPack, PackBuilder};
pub use codec::{EncodedBlock, Encoder, block_hash, decode_block, verify_block};
pub use error::{BlockError, PackError};
pub use footer::{FOOTER_LEN_MAX, PlaceRecord, RECORDS_PER_PACK_MAX};
pub use frame::{BLOCKS_PER_PACK_MAX, HEADER_LEN, PACK_LEN_MAX, PackIdentity, TRAILER_LEN, Trailer};
pub use reader::{PackBlock, PackReader};

pub use dfs_model::{BLOCK_LEN_MAX, BlockRef, Compression};

#[cfg(test)]
mod tests;

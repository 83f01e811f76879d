//! Doors for the fuzzer alone: decoders behind their checksums, where a mutated byte would never come.

use crate::footer;
use bytes::Bytes;
use dfs_model::PackId;

/// Reads a footer whose checksum is taken for granted.
pub fn footer(pack: u128, blocks_end: u64, bytes: &[u8]) {
    // the archive wants its bytes aligned as a fetched footer is
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(parsed) = footer::parse(PackId(pack), blocks_end, &bytes) {
        for block in &parsed.blocks {
            assert!(block.range().end <= blocks_end, "{block:?} ends behind {blocks_end}");
        }
    }
}

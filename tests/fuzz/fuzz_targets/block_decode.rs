//! A stored block whose checksum is right and whose contents are anything: no allocation beyond what it says, no other length.
#![no_main]

use dfs_block::{BlockRef, Compression, block_hash, decode_block};
use dfs_model::{BlockId, PackId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((head, stored)) = data.split_first_chunk::<4>() else { return };
    let [how, low, middle, high] = *head;
    let compression = [Compression::None, Compression::Lz4, Compression::Zstd][usize::from(how % 3)];
    let decoded_len = u32::from_le_bytes([low, middle, high & 0x1f, 0]);
    let reference = BlockRef { stored_len: stored.len() as u32, decoded_len, compression, hash: block_hash(stored) };
    let id = BlockId { pack: PackId(1), index: 0 };
    if let Ok(decoded) = decode_block(id, bytes::Bytes::copy_from_slice(stored), &reference) {
        assert_eq!(decoded.len(), decoded_len as usize);
    }
});

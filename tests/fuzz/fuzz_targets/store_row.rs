//! Rows of the metadata store.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    dfs_store::fuzzing::row(*kind, bytes);
});

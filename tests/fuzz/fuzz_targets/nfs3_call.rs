//! Arguments of the 22 procedures of NFSv3.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((procedure, arguments)) = data.split_first() else { return };
    dfs_nfs::fuzzing::call(u32::from(*procedure % 24), bytes::Bytes::copy_from_slice(arguments));
});

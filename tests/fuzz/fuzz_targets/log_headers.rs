//! Headers of segments and records.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    dfs_log::fuzzing::segment_header(data);
    dfs_log::fuzzing::record_header(data, data.len() as u32);
});

//! Redo records of the name log.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| dfs_store::fuzzing::batch(data));

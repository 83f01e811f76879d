//! Records for the port mapper.
#![no_main]

use dfs_nfs::portmap::PortmapTable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    dfs_nfs::fuzzing::portmap(&PortmapTable::with_nfs(12049), bytes::Bytes::copy_from_slice(data));
});

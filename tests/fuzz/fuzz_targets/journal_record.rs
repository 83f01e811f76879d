//! Payloads of journal records.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(([kind, low, high], payload)) = data.split_first_chunk::<3>() else { return };
    dfs_journal::fuzzing::record(*kind % 6, u16::from_le_bytes([*low, *high]), payload);
});

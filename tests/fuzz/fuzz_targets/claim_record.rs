//! Records of claims, opens, clients, hosts and delete marks.
#![no_main]

use dfs_locks::codec::Record;
use dfs_locks::{Claim, ClientRecord, DeleteMark, HostRecord, PersistentOpen};
use libfuzzer_sys::fuzz_target;

fn stable<T: Record>(bytes: &[u8]) {
    if let Ok(value) = T::decode(bytes) {
        let once = value.encode();
        let again = T::decode(&once).map(|value| value.encode());
        assert_eq!(again.ok().as_ref(), Some(&once), "read, written and read again it is something else");
    }
}

fuzz_target!(|data: &[u8]| {
    stable::<Claim>(data);
    stable::<PersistentOpen>(data);
    stable::<ClientRecord>(data);
    stable::<HostRecord>(data);
    stable::<DeleteMark>(data);
});

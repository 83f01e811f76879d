//! What MOUNT sends and answers.
#![no_main]

use dfs_nfs::wire::mount::{DirPath, HostName, MountReply};
use dfs_rpc::{Decode, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = bytes::Bytes::copy_from_slice(data);
    if let Ok(path) = DirPath::decode(&mut Reader::new(bytes.clone())) {
        assert!(path.0.len() <= 1024, "a path beyond its cap");
    }
    if let Ok(name) = HostName::decode(&mut Reader::new(bytes.clone())) {
        assert!(name.0.len() <= 255, "a name beyond its cap");
    }
    let _ = MountReply::decode(&mut Reader::new(bytes));
});

//! Names found lately, so that a walk of a tree does not ask a distant metadata store again for every step.
//!
//! An entry carries the change number that its directory had *before* the store was asked. It counts only while the
//! directory still has it: every change of a name gives the directory another number before it is acknowledged, so nothing
//! needs to be taken out. Absent names are not kept. Memory only.

use bytes::Bytes;
use dfs_model::{Change, InodeId, Name};
use moka::sync::Cache;

/// The names of one share.
pub(crate) struct FoundNames {
    cache: Cache<(InodeId, Name), Found>,
}

#[derive(Clone)]
struct Found {
    dir_change: Change,
    inode: InodeId,
}

impl FoundNames {
    /// Keeps at most `capacity` names.
    pub fn new(capacity: usize) -> FoundNames {
        FoundNames { cache: Cache::new(capacity as u64) }
    }

    /// Where a name led when its directory had this change number.
    pub fn get(&self, dir: InodeId, name: &Name, dir_change: Change) -> Option<InodeId> {
        let found = self.cache.get(&(dir, name.clone()))?;
        (found.dir_change == dir_change).then_some(found.inode)
    }

    /// Keeps where a name led; `dir_change` as it was before the store was asked.
    pub fn put(&self, dir: InodeId, name: &Name, dir_change: Change, inode: InodeId) {
        // A copy: the name that was asked for may be a slice of a whole request.
        let Ok(name) = Name::new(Bytes::copy_from_slice(name.as_bytes())) else { return };
        self.cache.insert((dir, name), Found { dir_change, inode });
    }
}

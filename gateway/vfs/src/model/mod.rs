//! [`ModelVfs`]: the reference. A share in memory under one mutex, by the plainest code that can be right: no overlay, no
//! journal, no cache, every operation a few steps on maps. Random histories of it and of the engine must agree.
//!
//! Written from SEAM §1 and §3 and from POSIX, not from the engine: the two share the access function and nothing else.
//! A crash loses everything; a cancelled call cannot be half done, since no call waits.

mod attributes;
mod bytes_of;
mod clone;
mod names;
mod serve;
mod tree;
mod xattr;

use crate::*;
use dfs_model::{Clock, Epoch, ShareId};
use parking_lot::Mutex;
use std::sync::Arc;
use tree::Tree;

/// An in-memory share that answers every operation of the seam.
pub struct ModelVfs {
    share: ShareId,
    handle_key: [u8; 16],
    clock: Arc<dyn Clock>,
    tree: Mutex<Tree>,
    standing: Mutex<Standing>,
}

impl ModelVfs {
    /// An empty share whose root has this mode and owner.
    #[must_use]
    pub fn new(
        share: ShareId,
        handle_key: [u8; 16],
        clock: Arc<dyn Clock>,
        root: (u16, u32, u32),
    ) -> ModelVfs {
        let now = clock.wall();
        let (tree, standing) = (Mutex::new(Tree::new(root, now)), Mutex::new(Standing::Valid));
        ModelVfs { share, handle_key, clock, tree, standing }
    }

    /// The same share, its root made at this time.
    #[must_use]
    pub fn born_at(self, at: dfs_model::Timestamp) -> ModelVfs {
        if let Ok(root) = self.tree.lock().node_mut(dfs_model::InodeId::ROOT) {
            let row = &mut root.row;
            (row.atime, row.mtime, row.ctime, row.btime) = (at, at, at, at);
        }
        self
    }

    /// Says from now on how the share's ownership stands; it owns the share from the start.
    pub fn set_standing(&self, standing: Standing) {
        *self.standing.lock() = standing;
    }

    fn verifier_now(&self) -> WriteVerifier {
        WriteVerifier { share: self.share, epoch: Epoch(1) }
    }
}

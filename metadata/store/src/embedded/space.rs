//! The disk's last bytes: a reserve file that is given up when the disk is full, so that a checkpoint, and with it unlink,
//! truncate and place, always finds room; creates are refused before that.
//!
//! ```text
//!   free ≥ min_free + 2·reserve ── the reserve file is (re)made
//!   free <  min_free            ── creates answer NoSpace
//!   free <  what a checkpoint needs ── the reserve file is deleted
//! ```
//! An opening writes in place and needs none of it. With the reserve gone and the disk full again, checkpoints live on
//! redb's free pages; where those do not do, they wait for room, and changes of names wait with them once the name log is
//! full; nothing ends, nothing is lost.
//! *A crash* leaves the reserve file, whole or short; the next check makes it whole or leaves it.

use crate::StoreResult;
use crate::embedded::base::disk_failed;
use dfs_log::Disk;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The reserve file's name in the data folder.
pub const FILE: &str = "metadata.reserve";

/// Free space of the data folder as seen at the last check.
pub struct Space {
    disk: Arc<dyn Disk>,
    reserve_bytes: u64,
    min_free_bytes: u64,
    short: AtomicBool,
}

impl Space {
    /// Looks at the disk and makes the reserve where there is room.
    pub fn open(disk: Arc<dyn Disk>, reserve_bytes: u64, min_free_bytes: u64) -> StoreResult<Space> {
        let space = Space { disk, reserve_bytes, min_free_bytes, short: AtomicBool::new(false) };
        space.check(0)?;
        Ok(space)
    }

    /// Whether creates are to be refused.
    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Looks at the disk again, keeps or gives up the reserve. Answers whether `needed` bytes are free now. Blocks.
    pub fn check(&self, needed: u64) -> StoreResult<bool> {
        let failed = |error: std::io::Error| disk_failed("look at the free space of the data folder", &error);
        let mut free = self.disk.free_bytes().map_err(failed)?;
        let has_reserve = self.reserve_len() > 0;
        if free < needed && has_reserve {
            // Cut first: that frees the blocks even where something still has the file open.
            let cut = self.disk.open(FILE).and_then(|file| file.set_len(0));
            let removed = cut.and_then(|()| self.disk.remove(FILE)).and_then(|()| self.disk.sync_dir());
            removed.map_err(|error| disk_failed("giving up of metadata.reserve", &error))?;
            tracing::warn!(free, needed, "the disk is full: the metadata reserve was given up");
            free = self.disk.free_bytes().map_err(failed)?;
        } else if !has_reserve
            && self.reserve_bytes > 0
            && free / 2 >= self.reserve_bytes + self.min_free_bytes / 2
        {
            self.make_reserve();
            free = self.disk.free_bytes().map_err(failed)?;
        }
        let short = free < self.min_free_bytes;
        if self.short.swap(short, Ordering::Relaxed) != short {
            tracing::warn!(free, min_free = self.min_free_bytes, short, "free space of the data folder");
        }
        Ok(free >= needed)
    }

    fn reserve_len(&self) -> u64 {
        self.disk.open(FILE).and_then(|file| file.len()).unwrap_or(0)
    }

    /// Best effort: without room for it there is no reserve, and `short` says so to creates.
    fn make_reserve(&self) {
        let there = self.disk.open(FILE);
        let file = there.or_else(|_| self.disk.create(FILE));
        let made =
            file.and_then(|file| file.allocate(self.reserve_bytes)).and_then(|()| self.disk.sync_dir());
        if let Err(error) = made {
            tracing::warn!(%error, "the metadata reserve could not be made");
        }
    }
}

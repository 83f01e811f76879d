//! Blocks that `metadata.redb` holds beyond what it uses: on a full disk the checkpoint lives on them, and nobody else can
//! take them.
//!
//! ```text
//!   0 ........ used ........ length ──── kept ahead ────▶ min(length, 64 MiB), at least 1 MiB
//! ```
//! Kept while the disk has room for it twice; a file system that cannot reserve has no slack. *A crash* leaves what is
//! reserved.

use super::Folder;
use dfs_log::DiskFile;
use std::io;
use std::sync::Arc;

/// Bytes that any commit dirties beside its rows, at least; and the fraction of the file that it dirties.
pub const SLACK_LEAST: u64 = 128 << 10;
pub const SLACK_ACCOUNT: u64 = 4096;
/// Bytes kept ahead of the length: as many as it has, within these.
const AHEAD_MIN: u64 = 1 << 20;
const AHEAD_MAX: u64 = 64 << 20;

/// The reserved blocks of the file.
pub struct Slack {
    pub file: Arc<dyn DiskFile>,
    pub disk: Folder,
}

impl Slack {
    /// Whether the file may be given a length: a cut gives blocks away, and on a disk that is short they would not come
    /// back. (To redb a file that is longer than its head says is one whose cut a crash prevented.)
    pub fn may_cut(&self, len: u64) -> io::Result<bool> {
        Ok(len >= self.file.len()? || ahead(len) <= self.disk.free_bytes()? / 2)
    }

    /// Reserves blocks for the file and some ahead of it; fewer, or none, where the disk is short.
    /// *Errors:* of the disk, but not that it is full.
    pub fn keep(&self) -> io::Result<()> {
        let len = self.file.len()?;
        let room = self.disk.free_bytes()? / 2;
        for wanted in [ahead(len), len] {
            if wanted <= room {
                return full_is_no_error(self.file.keep(wanted)).map(drop);
            }
        }
        Ok(())
    }

    /// Bytes from the file's start that have their blocks for certain; 0: not even its length has.
    pub fn held(&self) -> io::Result<u64> {
        let len = self.file.len()?;
        let ahead = ahead(len) - len;
        for wanted in [ahead, ahead / 8 * 7, ahead / 4 * 3, ahead / 2, ahead / 4, 0] {
            if full_is_no_error(self.file.keep(len + wanted))? {
                return Ok(len + wanted);
            }
        }
        Ok(0)
    }
}

fn ahead(len: u64) -> u64 {
    len + len.clamp(AHEAD_MIN, AHEAD_MAX)
}

fn full_is_no_error(kept: io::Result<()>) -> io::Result<bool> {
    match kept {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::Unsupported) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

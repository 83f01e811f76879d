//! What can go wrong when a cache opens. Once open it has no errors, only misses.

/// Why the NVMe tier did not open.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder cannot be used.
    #[error("the cache folder {folder} cannot be used: {cause}")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system said.
        cause: String,
    },
    /// Its disk has less room than it would take; nothing was taken.
    #[error(
        "warm.size {bytes} needs {needed} more bytes of disk for {folder}, where {free} are free; free some space, or make \
         warm.size smaller (0 turns the tier off)"
    )]
    NoRoom {
        /// The folder.
        folder: String,
        /// Bytes asked for.
        bytes: u64,
        /// Bytes that are not allocated yet.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The size asked for is too small for the engine.
    #[error("warm.size {asked} is less than the least {least} bytes")]
    TooSmall {
        /// Bytes asked for.
        asked: u64,
        /// Least bytes.
        least: u64,
    },
}

impl CacheError {
    /// Whether opening again may succeed without a change by the operator: never.
    #[must_use]
    pub fn retry(&self) -> bool {
        false
    }
}

//! The errors of the pool, of recovery and of the log, and what a caller does about each.

use crate::poison::PoisonCause;
use dfs_model::{Epoch, Seq};
use std::{fmt, io};

/// What a caller may do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Resolve the location again, then retry.
    Resolve,
    /// A later try may succeed.
    Later,
    /// Nothing changes until an operator acts or the process restarts.
    Never,
}

/// Where bytes on disk contradict the protocol. Its text says where; what can be done depends on who met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// File in the pool's folder.
    pub file: String,
    /// Byte offset in the file.
    pub offset: u64,
    /// What was expected and what is there.
    pub found: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log segment {} is damaged at byte {}: {}", self.file, self.offset, self.found)
    }
}

/// Why a pool does not open.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Another process uses the folder.
    #[error("the log folder is in use by another process; stop that server first")]
    InUse,
    /// The file system has no working exclusive lock.
    #[error("the log folder's file system cannot lock files; use a local disk")]
    NoLock(#[source] io::Error),
    /// The disk cannot hold the pool.
    #[error(
        "the disk has {free_bytes} bytes free but the log needs {needed_bytes} more; free space or lower its size"
    )]
    TooSmall {
        /// Bytes to be allocated.
        needed_bytes: u64,
        /// Bytes available.
        free_bytes: u64,
    },
    /// Configuration that cannot work.
    #[error("log configuration: {0}")]
    Config(String),
    /// A segment was written by a newer version.
    #[error(
        "log segment {file} has format {found}, this version reads up to {known}; start the newer version"
    )]
    NewerFormat {
        /// File in the pool's folder.
        file: String,
        /// Version in the header.
        found: u16,
        /// Newest version known here.
        known: u16,
    },
    /// A header that no crash explains.
    #[error(
        "{0}. Nothing was changed. What is not uploaded yet is only there: put the data folder back from a copy of the disk"
    )]
    Damaged(Damage),
    /// The disk failed.
    #[error("log folder: {what} failed")]
    Io {
        /// The operation and its object.
        what: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl PoolError {
    /// What a caller may do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            PoolError::InUse => Retry::Later,
            PoolError::NoLock(_)
            | PoolError::TooSmall { .. }
            | PoolError::Config(_)
            | PoolError::NewerFormat { .. }
            | PoolError::Damaged(_)
            | PoolError::Io { .. } => Retry::Never,
        }
    }
}

/// Why a log is not recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Records that were confirmed are damaged (JOURNAL §7.3).
    #[error(
        "{0}. Nothing was changed. What is not uploaded yet is only there: put the data folder back from a copy of the disk"
    )]
    Damaged(Damage),
    /// The epoch to be started is not above what the segments hold.
    #[error(
        "the journal holds epoch {held} but epoch {starting} is to be started: the metadata store is an older copy; bring the newer one"
    )]
    EpochNotAbove {
        /// Newest epoch on disk.
        held: Epoch,
        /// Epoch asked for.
        starting: Epoch,
    },
    /// The caller's visitor refused a record.
    #[error("record {seq} refused: {why}")]
    Refused {
        /// The record.
        seq: Seq,
        /// The visitor's words.
        why: String,
    },
    /// The journal is open already in this process.
    #[error("the journal is open already")]
    InUse,
    /// The pool is poisoned.
    #[error("log is poisoned: {0}")]
    Poisoned(PoisonCause),
    /// The disk failed.
    #[error("{what} failed")]
    Io {
        /// The operation and its object.
        what: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl RecoverError {
    /// What a caller may do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            RecoverError::InUse => Retry::Later,
            RecoverError::Damaged(_)
            | RecoverError::EpochNotAbove { .. }
            | RecoverError::Refused { .. }
            | RecoverError::Poisoned(_)
            | RecoverError::Io { .. } => Retry::Never,
        }
    }
}

/// Why a log operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// A sync or write failed earlier; permanent until restart.
    #[error("log is poisoned: {0}")]
    Poisoned(PoisonCause),
    /// The record does not fit a segment, or is larger than its reservation.
    #[error("a record of {bytes} bytes does not fit the {room} bytes available to it")]
    TooLarge {
        /// Payload bytes asked for.
        bytes: u64,
        /// Payload bytes possible.
        room: u64,
    },
    /// A record kind that the log keeps for itself.
    #[error("record kind {0} is reserved")]
    Kind(u8),
    /// The epoch's numbers are used up; open the share again.
    #[error("the epoch has no sequence numbers left")]
    Exhausted,
    /// The segment was given back since the position was taken.
    #[error("the segment was recycled")]
    Moved,
    /// The segment is still in use for appending.
    #[error("the segment is active")]
    Active,
    /// The record is not what was written.
    #[error("{0}")]
    Damaged(Damage),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// A read failed.
    #[error("{what} failed: {error}")]
    Io {
        /// The operation and its object.
        what: String,
        /// The system's words.
        error: String,
    },
}

impl LogError {
    /// What a caller may do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            LogError::Moved => Retry::Resolve,
            LogError::Active => Retry::Later,
            LogError::Poisoned(_)
            | LogError::TooLarge { .. }
            | LogError::Kind(_)
            | LogError::Exhausted
            | LogError::Damaged(_)
            | LogError::Closed
            | LogError::Io { .. } => Retry::Never,
        }
    }
}

//! The errors of the journal and what a caller does about each.

use dfs_log::{LogError, PoisonCause, RecoverError, Retry};
use dfs_model::{Epoch, Seq};

/// Why the journal refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A sync or write of the data folder failed earlier; its shares are read-only until restart.
    #[error("the journal stopped: {cause}")]
    Poisoned {
        /// What failed first.
        cause: PoisonCause,
    },
    /// The record does not fit its reservation, or its range ends beyond the largest file size.
    #[error("a record of {bytes} bytes does not fit the {room} bytes reserved for it")]
    TooLarge {
        /// Bytes of the record.
        bytes: u64,
        /// Bytes possible.
        room: u64,
    },
    /// The range of the record ends beyond 2^63 − 1.
    #[error("the range from {offset} of {len} bytes ends beyond the largest file size")]
    Range {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// The journal's segments cannot be recovered.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The metadata store knows no end for an epoch whose records are held: it was not asked (JOURNAL §7.4).
    #[error("the journal holds records of epoch {0} but the metadata store recorded no end for it")]
    NoEnd(Epoch),
    /// A record was read back that is not what was written, or was written by a newer version.
    #[error("journal record {seq}: {why}")]
    Damaged {
        /// The record.
        seq: Seq,
        /// What is wrong with it.
        why: String,
    },
    /// The log failed in another way.
    #[error("journal: {0}")]
    Log(LogError),
}

impl JournalError {
    /// What a caller may do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            JournalError::Log(error) => error.retry(),
            JournalError::Poisoned { .. }
            | JournalError::TooLarge { .. }
            | JournalError::Range { .. }
            | JournalError::Recover(_)
            | JournalError::NoEnd(_)
            | JournalError::Damaged { .. } => Retry::Never,
        }
    }
}

impl From<LogError> for JournalError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Poisoned(cause) => JournalError::Poisoned { cause },
            LogError::TooLarge { bytes, room } => JournalError::TooLarge { bytes, room },
            other => JournalError::Log(other),
        }
    }
}

/// Why no room was reserved. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// The deadline came before room did; the client shall ask again.
    #[error("the journal is full; try again later")]
    Delay,
    /// Writes stop because what is in the journal cannot be uploaded until an operator acts.
    #[error("no space: {cause}")]
    NoSpace {
        /// What the operator must put right.
        cause: String,
    },
    /// A sync or write of the data folder failed earlier; read-only until restart.
    #[error("the journal stopped: {cause}")]
    Poisoned {
        /// What failed first.
        cause: String,
    },
    /// A record of that size fits no segment.
    #[error("a record of {bytes} bytes does not fit a journal segment")]
    TooLarge {
        /// Bytes asked for.
        bytes: u64,
    },
}

impl ReserveError {
    /// What a caller may do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            ReserveError::Delay => Retry::Later,
            ReserveError::NoSpace { .. } | ReserveError::Poisoned { .. } | ReserveError::TooLarge { .. } => {
                Retry::Never
            }
        }
    }
}

/// A location could not be read as what it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Moved {
    /// The segment was given back: the bytes are placed. Resolve again (overlay, then extents).
    #[error("the bytes have moved out of the journal")]
    Recycled,
    /// The bytes on disk are not what was written, or the disk failed: an I/O error for the client.
    #[error("{0}")]
    Damaged(String),
}

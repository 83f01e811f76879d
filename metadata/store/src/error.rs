//! Why the store refuses, and what a caller does about it.

use crate::ReplayOutcome;
use dfs_model::{Epoch, FsError, ShareId};

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operation is refused as a file operation; nothing changed.
    #[error(transparent)]
    Refused(#[from] FsError),
    /// The key was used before: the stored outcome; nothing changed now.
    #[error("already done")]
    Replayed(Box<ReplayOutcome>),
    /// An `expect` did not hold; look again and retry.
    #[error("the name changed in between")]
    Raced,
    /// A newer epoch owns the share.
    #[error("fenced: epoch {ours} is older than {current}")]
    Fenced {
        /// The caller's.
        ours: Epoch,
        /// The share's.
        current: Epoch,
    },
    /// Another gateway owns the share, and its lease has not ended.
    #[error("the share is owned by gateway '{holder}': stop it there, or wait until its lease has ended")]
    Owned {
        /// Who.
        holder: String,
    },
    /// What the share acknowledged may be in another gateway's journal only, and its class needs it.
    #[error(
        "the journal of the share is in the data folder of gateway '{holder}', with {bytes} bytes of {files} files that are nowhere else as \
         of its last renewal: serve the share there or with that data folder, have it hand the share over, or abandon that journal"
    )]
    Stranded {
        /// Whose.
        holder: String,
        /// Bytes that only it has.
        bytes: u64,
        /// Of how many files.
        files: u64,
    },
    /// The database cannot do it now; nothing was changed.
    #[error("the metadata database cannot be used now: {0}")]
    Unavailable(String),
    /// The share is not in this store.
    #[error("share {0} is not in this metadata store")]
    NoShare(ShareId),
    /// The metadata of the share is older than its journal or the format is newer than this program.
    #[error("{0}")]
    Unusable(String),
    /// The store's log is poisoned: read-only until restart.
    #[error("the metadata store stopped after a failed write or sync: {0}")]
    Poisoned(String),
    /// Input/output failed or stored bytes are damaged.
    #[error("metadata store: {0}")]
    Broken(String),
}

/// What a caller may do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call again may succeed at once: look again first.
    Now,
    /// The same call may succeed later, without anybody changing anything.
    Later,
    /// The answer stands until something else changes.
    No,
    /// Nothing changes until an operator acts or the process restarts.
    Never,
}

impl StoreError {
    /// What a caller may do about it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            StoreError::Raced => Retry::Now,
            StoreError::Owned { .. } | StoreError::Stranded { .. } | StoreError::Unavailable(_) => {
                Retry::Later
            }
            StoreError::Refused(_) | StoreError::Replayed(_) | StoreError::NoShare(_) => Retry::No,
            StoreError::Fenced { .. }
            | StoreError::Unusable(_)
            | StoreError::Poisoned(_)
            | StoreError::Broken(_) => Retry::Never,
        }
    }

    /// What a client is told.
    #[must_use]
    pub fn to_fs(&self) -> FsError {
        match self {
            StoreError::Refused(error) => error.clone(),
            StoreError::Replayed(_) | StoreError::Unusable(_) => FsError::Internal,
            StoreError::Raced | StoreError::Unavailable(_) => FsError::delay(),
            StoreError::Owned { .. } | StoreError::Stranded { .. } => FsError::Moved,
            StoreError::Fenced { .. } => FsError::Fenced,
            StoreError::NoShare(_) => FsError::StaleHandle,
            StoreError::Poisoned(_) => FsError::ReadOnlyShare,
            StoreError::Broken(_) => FsError::Io,
        }
    }
}

/// Result of a store call.
pub type StoreResult<T> = Result<T, StoreError>;

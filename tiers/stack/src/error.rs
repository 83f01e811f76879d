//! What can go wrong, one variant per thing that a caller does differently.

use dfs_cold::ColdError;
use dfs_model::{BlockId, FsError};
use dfs_store::StoreError;

/// Why the stack refused to open, to flush or to clean up.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The owner object names another gateway, or a newer opening of this share.
    #[error(
        "the object store says that this share is owned by {host} (incarnation {incarnation}, epoch {epoch}); \
         stop that gateway, or remove this copy of its data folder"
    )]
    Owned {
        /// Host in the owner object.
        host: String,
        /// Its incarnation.
        incarnation: u32,
        /// Its epoch.
        epoch: u32,
    },
    /// The prefix of the keys cannot be used.
    #[error(transparent)]
    Prefix(#[from] dfs_cold::BadKey),
    /// The object store refused or could not be reached.
    #[error(transparent)]
    Cold(#[from] ColdError),
    /// The metadata store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Everything but these files is placed: their bytes in the journal are damaged.
    #[error("{0}")]
    Held(String),
    /// The flusher has stopped: fenced, poisoned or shut down.
    #[error("the flusher has stopped: {0}")]
    Stopped(String),
}

impl StackError {
    /// Whether the same call may succeed later by itself.
    #[must_use]
    pub fn retry(&self) -> bool {
        match self {
            StackError::Cold(error) => error.cause().is_none(),
            StackError::Owned { .. }
            | StackError::Prefix(_)
            | StackError::Store(_)
            | StackError::Held(_)
            | StackError::Stopped(_) => false,
        }
    }
}

/// Why a read gave no bytes. It never gives wrong ones.
#[derive(Debug, thiserror::Error)]
pub enum StackReadError {
    /// The file moved on under the plan: take a new plan (and size) and ask again.
    #[error("the file changed while it was read")]
    Moved,
    /// The object store did not answer before the deadline, or cannot be reached; a later try may succeed.
    #[error("the object store cannot be reached")]
    ColdUnavailable,
    /// The block is damaged or missing in the object store, and there is no other copy.
    #[error("block {block} is damaged or missing in the object store")]
    Corrupt {
        /// Pack and index.
        block: BlockId,
    },
    /// The journal or the metadata store failed.
    #[error("input/output failed: {0}")]
    Io(String),
    /// The inode is not in the metadata store (any more).
    #[error("the file is gone")]
    Gone,
}

impl StackReadError {
    /// What a client is told. `Moved` becomes "later": the engine re-plans first and only gives up after several rounds.
    #[must_use]
    pub fn to_fs(&self) -> FsError {
        match self {
            StackReadError::Moved => FsError::delay(),
            StackReadError::ColdUnavailable => FsError::ColdUnavailable,
            StackReadError::Corrupt { .. } => FsError::Corrupt,
            StackReadError::Io(_) => FsError::Io,
            StackReadError::Gone => FsError::StaleHandle,
        }
    }

    /// Whether the same read may succeed later.
    #[must_use]
    pub fn retry(&self) -> bool {
        matches!(self, StackReadError::Moved | StackReadError::ColdUnavailable)
    }
}

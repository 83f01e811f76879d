//! Copies without copying: clones of files.

use serde::{Deserialize, Serialize};

/// Clones a file: the new one shares the old one's blocks. Paths are from the share's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloneFile {
    /// The file.
    pub from: String,
    /// Where the clone shall be.
    pub to: String,
    /// Whether a file that is there gets the bytes; it keeps its owner, mode and ACL.
    #[serde(default)]
    pub replace: bool,
}

/// What was cloned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ClonedFile {
    pub bytes: u64,
}

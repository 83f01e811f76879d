//! Copies without copying: clones of files, snapshots of shares.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Clones a file: the new one shares the old one's blocks. Paths are from the share's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct ClonedFile {
    pub bytes: u64,
}

/// Asks for a snapshot of a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeSnapshot {
    /// Its name, unique in the share; the directory below `/.snapshots` that shows it.
    pub name: String,
}

/// A snapshot of a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct SnapshotStatus {
    pub id: u64,
    pub name: String,
    /// `asked`, `schedule` or `before_restore`.
    pub origin: String,
    /// Seconds since 1970.
    pub taken_at: i64,
    /// Bytes that the share no longer has and this snapshot, perhaps with older ones, still does; shown for one snapshot alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_bytes: Option<u64>,
}

/// Gives a file, a tree, or the whole share back as a snapshot has it. Paths are from the share's root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestoreSnapshot {
    /// What; the whole share when left out.
    pub path: Option<String>,
    /// Where to; where it was when left out.
    pub to: Option<String>,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RestoredSnapshot {
    /// Files, links and directories that were made or given their old content.
    pub restored: u64,
    /// Names that were removed.
    pub removed: u64,
    /// What was the same already.
    pub unchanged: u64,
    /// The snapshot of what the share was before, where all of it was restored.
    pub before: Option<String>,
}

/// When snapshots are taken by themselves, and which of those stay. Snapshots that were asked for stay until they are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotSchedule {
    /// Seconds from one to the next; at least 60.
    pub every_seconds: u64,
    /// The newest so many stay.
    #[serde(default)]
    pub keep: Option<u32>,
    /// Those that are younger stay.
    #[serde(default)]
    pub keep_seconds: Option<u64>,
}

/// A share's schedule, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SnapshotPlan {
    pub schedule: Option<SnapshotSchedule>,
}

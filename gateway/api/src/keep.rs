//! What a share keeps account of: quotas, and the recycle bin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whom a quota is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuotaSubject {
    /// Everything in the share.
    Share,
    /// What a user owns.
    User(u32),
    /// What belongs to a group.
    Group(u32),
    /// Every user without a quota of his own but the superuser, each for himself.
    EveryUser,
    /// Every group without a quota of its own but group 0, each for itself.
    EveryGroup,
}

/// Limits of bytes or inodes; none where one is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// May be exceeded for the time of grace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft: Option<u64>,
    /// May not be exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard: Option<u64>,
}

/// Limits of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaLimits {
    /// Bytes of data, before compression.
    #[serde(default)]
    pub bytes: Limits,
    /// Files, directories and all else that has a name.
    #[serde(default)]
    pub inodes: Limits,
    /// How long a soft limit may be exceeded, in seconds.
    #[serde(default = "default_grace")]
    pub grace_seconds: u32,
}

fn default_grace() -> u32 {
    7 * 24 * 60 * 60
}

/// Sets a quota; without limits it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetQuota {
    /// Whom it is for.
    pub subject: QuotaSubject,
    /// The limits.
    #[serde(default)]
    pub limits: Option<QuotaLimits>,
}

/// A quota, or what somebody without one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct QuotaStatus {
    pub subject: QuotaSubject,
    pub limits: Option<QuotaLimits>,
    /// What is not in the cold store yet included.
    pub used_bytes: u64,
    pub used_inodes: u64,
}

/// A file in a recycle bin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RecycledFile {
    /// Its number in the share: names it in other calls.
    pub inode: u64,
    /// Its name when it was removed; bytes that are no UTF-8 are shown as U+FFFD.
    pub name: String,
    /// Number of the directory that it was removed from.
    pub directory: u64,
    /// Seconds since 1970.
    pub removed_at: i64,
    /// User id of who removed it.
    pub removed_by: u32,
    pub bytes: u64,
}

/// Takes a file out of a recycle bin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreFile {
    /// Its number.
    pub inode: u64,
    /// Where it shall be, as a path from the share's root; where it was when left out.
    #[serde(default)]
    pub path: Option<String>,
}

/// Removes files from a recycle bin for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmptyBin {
    /// Only those that were removed so many days ago or earlier.
    pub older_than_days: u32,
}

/// How many files a call removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Emptied {
    pub removed: usize,
}

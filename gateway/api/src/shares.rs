//! Shares.

use crate::people::PermissionLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a share's acknowledgements promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Replies at once; survives the death of the process, at most 100 ms lost at a power cut.
    Relaxed,
    /// COMMIT and names survive a power cut.
    #[default]
    Local,
    /// COMMIT and names survive the loss of the box; needs a Postgres metadata store.
    Remote,
}

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Compression {
    None,
    #[default]
    Lz4,
    Zstd,
}

/// Whom a client's users are taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Squash {
    /// Everybody is who he says.
    None,
    /// The superuser becomes the anonymous user.
    #[default]
    RootToGuest,
    /// The superuser stays the superuser (the same as `none` for NFS).
    RootToAdmin,
    /// Everybody becomes the anonymous user.
    AllToGuest,
    /// Everybody becomes the superuser.
    AllToAdmin,
}

/// What a change of mode does to the ACL of a file that has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AclMode {
    /// Owner, group and everybody get the mode's bits; what others are allowed is cut down to the group's.
    #[default]
    Masked,
    /// Owner, group and everybody get the mode's bits; what others are allowed stays.
    Passthrough,
    /// The ACL goes.
    Discard,
    /// The mode cannot be changed.
    Refuse,
}

/// What can be blocked on a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Operation {
    Read,
    Write,
    Create,
    Mkdir,
    Symlink,
    Mknod,
    Link,
    Remove,
    Rename,
    SetAttr,
    SetAcl,
    SetXattr,
}

/// How long a recycle bin keeps what was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recycle {
    /// Days.
    pub keep_days: u32,
    /// Bytes; the oldest entries go first.
    pub bytes_max: u64,
}

/// Rules of a share that hold whatever the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShareRules {
    /// What a change of mode does to an ACL.
    pub acl_mode: AclMode,
    /// Operations that are refused, whoever asks.
    pub blocked_operations: Vec<Operation>,
    /// Whether reading moves the access time of files (relatime).
    pub relatime: bool,
    /// Whether quotas are kept and acted on.
    pub quotas: bool,
    /// Whether a listing of the root shows `.snapshots`, which is always found by its name.
    pub snapshots_listed: bool,
    /// Where removed files stay for a while; without it they are gone at once.
    pub recycle: Option<Recycle>,
}

impl Default for ShareRules {
    fn default() -> ShareRules {
        ShareRules {
            acl_mode: AclMode::Masked,
            blocked_operations: Vec::new(),
            relatime: true,
            quotas: false,
            snapshots_listed: false,
            recycle: None,
        }
    }
}

/// A share as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareConfig {
    /// Name; NFS exports it as `/name`.
    pub name: String,
    /// Name of its metadata store.
    pub metadata: String,
    /// Name of its cold store.
    pub cold: String,
    /// What acknowledgements promise.
    #[serde(default)]
    pub durability: Durability,
    /// How blocks are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Block size in bytes: a power of two from 65536 to 1048576.
    #[serde(default = "default_block_size")]
    pub block_size: u32,
    /// Addresses, networks (CIDR), host names, netgroups (`@group`) or `*` that may mount it; nobody when empty.
    #[serde(default)]
    pub clients: Vec<String>,
    /// Whom a client's users are taken for.
    #[serde(default)]
    pub squash: Squash,
    /// Anonymous user id.
    #[serde(default = "default_anonymous")]
    pub anon_uid: u32,
    /// Anonymous group id.
    #[serde(default = "default_anonymous")]
    pub anon_gid: u32,
    /// Refuse every change.
    #[serde(default)]
    pub read_only: bool,
    /// What users may do who have no permission of their own or by a group, the unknown ones included.
    #[serde(default)]
    pub default_permission: PermissionLevel,
    /// Whether the groups of known users come from the gateway instead of the client, which tells at most 16.
    #[serde(default = "yes")]
    pub manage_gids: bool,
    /// Whether it is served.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// For people.
    #[serde(default)]
    pub comment: String,
    /// Rules that hold whatever the protocol.
    #[serde(default)]
    pub rules: ShareRules,
    /// Bytes that clients see as its size.
    #[serde(default = "default_capacity")]
    pub capacity: u64,
    /// Mode of its root directory when it is made.
    #[serde(default = "default_root_mode")]
    pub root_mode: u16,
    /// Owner of its root directory when it is made.
    #[serde(default)]
    pub root_uid: u32,
    /// Group of its root directory when it is made.
    #[serde(default)]
    pub root_gid: u32,
}

impl ShareConfig {
    /// A share on these stores, everything else by default.
    #[must_use]
    pub fn named(name: &str, metadata: &str, cold: &str) -> ShareConfig {
        ShareConfig {
            name: name.to_owned(),
            metadata: metadata.to_owned(),
            cold: cold.to_owned(),
            durability: Durability::default(),
            compression: Compression::default(),
            block_size: default_block_size(),
            clients: Vec::new(),
            squash: Squash::default(),
            anon_uid: default_anonymous(),
            anon_gid: default_anonymous(),
            read_only: false,
            default_permission: PermissionLevel::default(),
            manage_gids: true,
            enabled: true,
            comment: String::new(),
            rules: ShareRules::default(),
            capacity: default_capacity(),
            root_mode: default_root_mode(),
            root_uid: 0,
            root_gid: 0,
        }
    }
}

fn yes() -> bool {
    true
}

fn default_block_size() -> u32 {
    256 * 1024
}

fn default_anonymous() -> u32 {
    65_534
}

fn default_capacity() -> u64 {
    1 << 50
}

fn default_root_mode() -> u16 {
    0o755
}

/// A share with what the gateway sees of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct ShareStatus {
    #[serde(flatten)]
    pub config: ShareConfig,
    pub id: String,
    /// `serving`, or why not.
    pub state: String,
    pub epoch: u32,
    pub used_bytes: u64,
    pub inodes: u64,
    /// What the durability class means, in one sentence.
    pub promise: String,
    /// Journals of other gateways, or of an earlier life of this one, that the share was taken without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stranded: Vec<crate::StrandedJournal>,
}

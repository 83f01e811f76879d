//! Rows about people: users, groups, what they may do, and whom a caller is taken for.

use dfs_api::{GrantKind, PermissionLevel, Role};
use serde::{Deserialize, Serialize};

/// A user. The password is kept as hashes only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Name, unique.
    pub name: String,
    /// argon2id in PHC string form.
    pub password_hash: String,
    /// NT hash of the password in hex, for SMB; sealed where it is stored. None until the password is set anew for users of
    /// older databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nt_hash: Option<String>,
    /// What he may do here.
    pub role: Role,
    /// Nothing but changing the password is allowed until it was changed.
    pub must_change_password: bool,
    /// Raised by whatever makes tokens void: a new password, another role, being disabled.
    pub token_version: u64,
    /// Whether he may log in, and use shares.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Name for people.
    #[serde(default)]
    pub full_name: String,
    /// Address for people.
    #[serde(default)]
    pub email: String,
    /// User id of his files, unique; without one he has no identity over NFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Primary group id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Names of his groups, sorted.
    #[serde(default)]
    pub groups: Vec<String>,
    /// When he was made, in seconds since 1970; 0 in rows of older databases.
    #[serde(default)]
    pub created_at: i64,
    /// When he last logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_at: Option<i64>,
}

fn yes() -> bool {
    true
}

impl std::fmt::Debug for UserRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserRow")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("enabled", &self.enabled)
            .field("uid", &self.uid)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// A group. Its members are the users that name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// Name, unique.
    pub name: String,
    /// Group id, unique; without one it only carries permissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// When it was made, in seconds since 1970.
    #[serde(default)]
    pub created_at: i64,
}

/// What somebody may do on a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRow {
    /// The share.
    pub share: String,
    /// Whether `name` is a user or a group.
    pub kind: GrantKind,
    /// Who.
    pub name: String,
    /// What.
    pub level: PermissionLevel,
}

impl GrantRow {
    /// The key of a grant; names have no `/`.
    #[must_use]
    pub fn key_of(share: &str, kind: GrantKind, name: &str) -> String {
        let word = match kind {
            GrantKind::User => "user",
            GrantKind::Group => "group",
        };
        format!("{share}/{word}/{name}")
    }
}

/// A principal of a protocol that is taken for a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdmapRow {
    /// `uid:1234`, or `name@REALM`.
    pub principal: String,
    /// The user.
    pub user: String,
}

//! People: users and groups, and what they may do in shares.

use crate::auth::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// A user: of the control plane by his role, of the shares by his user id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Unique; 1 to 64 of letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Name for people.
    #[serde(default)]
    pub full_name: String,
    /// E-mail address; for people, nothing is sent there.
    #[serde(default)]
    pub email: String,
    /// What he may do here.
    pub role: Role,
    /// Whether he may log in and use shares.
    pub enabled: bool,
    /// Nothing but changing the password is allowed until it was changed.
    pub must_change_password: bool,
    /// User id that his requests carry; without one he is unknown to NFS.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Primary group id; the client's when absent.
    #[serde(default)]
    pub gid: Option<u32>,
    /// Names of his groups, sorted.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970; absent before the first login.
    #[serde(default)]
    pub last_login_at: Option<i64>,
}

/// Makes a user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// Unique; 1 to 64 of letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// At least 8 characters, other than the name.
    pub password: String,
    /// Name for people.
    #[serde(default)]
    pub full_name: String,
    /// E-mail address.
    #[serde(default)]
    pub email: String,
    /// What he may do here.
    #[serde(default)]
    pub role: Role,
    /// Whether he may log in and use shares.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether he must choose a password of his own at the first login.
    #[serde(default = "yes")]
    pub must_change_password: bool,
    /// User id that his requests carry; unique.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Primary group id.
    #[serde(default)]
    pub gid: Option<u32>,
    /// Groups that he joins.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// Changes a user; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeUser {
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What he may do here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether he may log in and use shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// User id; `null` takes it away.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub uid: Option<Option<u32>>,
    /// Primary group id; `null` takes it away.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub gid: Option<Option<u32>>,
    /// All of his groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
}

/// Gives a user another password. Every token issued to him before is void afterwards.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// At least 8 characters, other than the name.
    pub new_password: String,
    /// Whether he must choose one of his own at the next login.
    #[serde(default = "yes")]
    pub must_change: bool,
}

/// A group of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Unique; 1 to 64 of letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Group id that its members' requests act with.
    #[serde(default)]
    pub gid: Option<u32>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Names of users, sorted.
    #[serde(default)]
    pub members: Vec<String>,
    /// Seconds since 1970.
    pub created_at: i64,
}

/// Makes a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateGroup {
    /// Unique; 1 to 64 of letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Group id; unique.
    #[serde(default)]
    pub gid: Option<u32>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Names of users.
    #[serde(default)]
    pub members: Vec<String>,
}

/// Changes a group; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeGroup {
    /// Group id; `null` takes it away.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub gid: Option<Option<u32>>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Puts a user into a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMember {
    /// Name of the user.
    pub user: String,
}

/// What somebody may do in a share.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PermissionLevel {
    /// Nothing.
    None,
    /// Look.
    Read,
    /// Look and change.
    #[default]
    ReadWrite,
    /// Everything, as the superuser does.
    Admin,
}

impl std::fmt::Display for PermissionLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PermissionLevel::None => "none",
            PermissionLevel::Read => "read",
            PermissionLevel::ReadWrite => "read-write",
            PermissionLevel::Admin => "admin",
        })
    }
}

/// Who holds a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GrantKind {
    /// A user; it comes before those of his groups.
    User,
    /// A group.
    Group,
}

/// A permission in a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionGrant {
    /// Whether a user or a group holds it.
    pub kind: GrantKind,
    /// Name of the user or group.
    pub name: String,
    /// What he may do.
    pub level: PermissionLevel,
}

/// Gives a permission, or replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPermission {
    /// What he may do.
    pub level: PermissionLevel,
}

/// What a user may do in a share when everything is looked at, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EffectivePermission {
    /// The user.
    pub user: String,
    /// The share.
    pub share: String,
    /// What he may do.
    pub level: PermissionLevel,
    /// The rule that decided, in words.
    pub because: String,
}

fn yes() -> bool {
    true
}

/// Tells `null` from a field that is left out.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn id_that_is_taken_away_is_told_from_one_that_stays() {
        let change = |text: &str| serde_json::from_str::<ChangeUser>(text).unwrap();
        assert_eq!(change("{}"), ChangeUser::default());
        assert_eq!(change(r#"{"uid": null}"#).uid, Some(None));
        assert_eq!(change(r#"{"gid": 7}"#).gid, Some(Some(7)));
        assert_eq!(serde_json::to_string(&change(r#"{"uid": null}"#)).unwrap(), r#"{"uid":null}"#);
        assert!(serde_json::from_str::<ChangeUser>(r#"{"name": "other"}"#).is_err());
    }

    #[test]
    fn levels_grow_and_are_spelled_as_people_write_them() {
        use PermissionLevel::{Admin, None, Read, ReadWrite};
        assert!(None < Read && Read < ReadWrite && ReadWrite < Admin);
        for level in [None, Read, ReadWrite, Admin] {
            assert_eq!(serde_json::to_string(&level).unwrap(), format!("\"{level}\""));
        }
    }
}

//! Who may use a share, changed while it is served; netgroups.

use crate::people::PermissionLevel;
use crate::shares::{Operation, Recycle, Squash};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Changes the rules of a served share at once; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeShare {
    /// Addresses, networks (CIDR), host names, netgroups (`@group`) or `*` that may mount it; nobody when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<Vec<String>>,
    /// Whom a client's users are taken for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub squash: Option<Squash>,
    /// Anonymous user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anon_uid: Option<u32>,
    /// Anonymous group id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anon_gid: Option<u32>,
    /// Refuse every change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// What users may do who have no permission of their own or by a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_permission: Option<PermissionLevel>,
    /// Whether the groups of known users come from the gateway instead of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manage_gids: Option<bool>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Operations that are refused, whoever asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_operations: Option<Vec<Operation>>,
    /// Whether reading moves the access time of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relatime: Option<bool>,
    /// How long removed files stay; `null`: those that are removed from now on are gone at once.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub recycle: Option<Option<Recycle>>,
}

/// Tells `null` from a field that is left out.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Recycle>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Machines under one name, for client lists as `@name`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Netgroup {
    /// Its name.
    pub name: String,
    /// Addresses, networks (CIDR) or host names.
    #[serde(default)]
    pub members: Vec<String>,
}

/// A netgroup and who relies on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetgroupStatus {
    /// The group.
    #[serde(flatten)]
    pub group: Netgroup,
    /// Shares whose client lists name it.
    pub shares: Vec<String>,
}

/// Replaces the members of a netgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMembers {
    /// Addresses, networks (CIDR) or host names.
    pub members: Vec<String>,
}

/// Members to be added to a netgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMembers {
    /// Those that are in it already stay.
    pub members: Vec<String>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn bin_that_ends_is_told_from_a_bin_that_stays() {
        let change = |text: &str| serde_json::from_str::<ChangeShare>(text).unwrap();
        assert_eq!(change("{}"), ChangeShare::default());
        assert_eq!(change(r#"{"recycle": null}"#).recycle, Some(None));
        let ends = ChangeShare { recycle: Some(None), ..ChangeShare::default() };
        assert_eq!(serde_json::to_string(&ends).unwrap(), r#"{"recycle":null}"#);
        let kept = Recycle { keep_days: 3, bytes_max: 5 };
        assert_eq!(change(r#"{"recycle": {"keep_days": 3, "bytes_max": 5}}"#).recycle, Some(Some(kept)));
        assert!(serde_json::from_str::<ChangeShare>(r#"{"durability": "relaxed"}"#).is_err());
    }
}

//! What people may do in shares, and which user a caller's principal stands for.

use super::{taken, user};
use crate::change::Change;
use crate::mirror::Snapshot;
use crate::rows::{GrantRow, GroupRow, IdmapRow, UserRow};
use dfs_api::{
    EffectivePermission, GrantKind, IdentityMapping, PermissionGrant, PermissionLevel, Problem, ShareConfig,
};
use std::sync::Arc;

/// Longest principal in bytes.
const PRINCIPAL_MAX: usize = 256;

fn share<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Arc<ShareConfig>, Problem> {
    snapshot.get::<ShareConfig>(name).ok_or_else(|| Problem::not_found("share", name))
}

/// The grants of a share: groups, then users, each by name.
pub fn grants_of(snapshot: &Snapshot, name: &str) -> Result<Vec<PermissionGrant>, Problem> {
    share(snapshot, name)?;
    let prefix = format!("{name}/");
    let grants = snapshot.prefixed::<GrantRow>(&prefix);
    Ok(grants
        .map(|grant| PermissionGrant { kind: grant.kind, name: grant.name.clone(), level: grant.level })
        .collect())
}

/// Gives a permission, or replaces it.
pub fn grant(
    snapshot: &Snapshot,
    name: &str,
    kind: GrantKind,
    grantee: &str,
    level: PermissionLevel,
) -> Result<Change, Problem> {
    share(snapshot, name)?;
    let (known, what) = match kind {
        GrantKind::User => (snapshot.has::<UserRow>(grantee), "user"),
        GrantKind::Group => (snapshot.has::<GroupRow>(grantee), "group"),
    };
    if !known {
        return Err(Problem::not_found(what, grantee));
    }
    let row = GrantRow { share: name.to_owned(), kind, name: grantee.to_owned(), level };
    Ok(Change::default().put(&row))
}

/// Takes a permission away. *Errors:* 404 when there is none.
pub fn revoke(snapshot: &Snapshot, name: &str, kind: GrantKind, grantee: &str) -> Result<Change, Problem> {
    share(snapshot, name)?;
    let key = GrantRow::key_of(name, kind, grantee);
    match snapshot.has::<GrantRow>(&key) {
        true => Ok(Change::default().remove::<GrantRow>(&key)),
        false => Err(Problem::not_found(&format!("permission in share '{name}' of"), grantee)),
    }
}

/// Forgets a share and what was granted in it.
pub fn delete_share(snapshot: &Snapshot, name: &str) -> Result<Change, Problem> {
    share(snapshot, name)?;
    let prefix = format!("{name}/");
    let grants = snapshot.prefixed::<GrantRow>(&prefix);
    Ok(grants.fold(Change::default().remove::<ShareConfig>(name), |change, grant| {
        change.remove::<GrantRow>(&GrantRow::key_of(name, grant.kind, &grant.name))
    }))
}

/// What a user may do in a share, and why.
pub fn effective(snapshot: &Snapshot, name: &str, user_name: &str) -> Result<EffectivePermission, Problem> {
    let (share, user) = (share(snapshot, name)?, user(snapshot, user_name)?);
    let answer = |level, because: String| EffectivePermission {
        user: user_name.to_owned(),
        share: name.to_owned(),
        level,
        because,
    };
    if !user.enabled {
        return Ok(answer(PermissionLevel::None, "the user is disabled".to_owned()));
    }
    let of = |kind, grantee: &str| snapshot.get::<GrantRow>(&GrantRow::key_of(name, kind, grantee));
    if let Some(own) = of(GrantKind::User, user_name) {
        return Ok(answer(own.level, "granted to the user himself".to_owned()));
    }
    // Of groups that grant the same, the first by name is told.
    let granted = user.groups.iter().rev().filter_map(|group| of(GrantKind::Group, group));
    match granted.max_by_key(|grant| grant.level) {
        Some(grant) => Ok(answer(grant.level, format!("granted to the group '{}'", grant.name))),
        None => Ok(answer(share.default_permission, "the default of the share".to_owned())),
    }
}

/// Lets a principal stand for a user.
pub fn add_mapping(snapshot: &Snapshot, request: &IdentityMapping) -> Result<Change, Problem> {
    let principal = &request.principal;
    let uid = check_principal(principal)?;
    let user = snapshot.get::<UserRow>(&request.user);
    let user =
        user.ok_or_else(|| Problem::field("user", format!("there is no user named '{}'", request.user)))?;
    if let Some(known) = snapshot.get::<IdmapRow>(principal) {
        return Err(taken("principal", format!("'{principal}' is mapped to user '{}'", known.user)));
    }
    if uid.is_some() && user.uid.is_none() {
        return Err(Problem::field("user", format!("user '{}' has no uid to stand for", user.name)));
    }
    let owner = snapshot.rows::<UserRow>().find(|other| uid.is_some() && other.uid == uid);
    if let Some(owner) = owner {
        return Err(taken("principal", format!("'{principal}' is the uid of user '{}' already", owner.name)));
    }
    Ok(Change::default().put(&IdmapRow { principal: principal.clone(), user: user.name.clone() }))
}

/// Ends a mapping.
pub fn remove_mapping(snapshot: &Snapshot, principal: &str) -> Result<Change, Problem> {
    match snapshot.has::<IdmapRow>(principal) {
        true => Ok(Change::default().remove::<IdmapRow>(principal)),
        false => Err(Problem::not_found("identity mapping", principal)),
    }
}

/// The uid of a principal that is one. *Errors:* the principal is neither a uid nor a name in a realm.
fn check_principal(principal: &str) -> Result<Option<u32>, Problem> {
    let rule = || {
        Problem::field(
            "principal",
            "a principal is 'uid:' and a number, for instance uid:1234, or name@REALM",
        )
    };
    if let Some(number) = principal.strip_prefix("uid:") {
        let uid: u32 = number.parse().map_err(|_| rule())?;
        let canonical = uid.to_string() == number && uid != u32::MAX;
        return if canonical { Ok(Some(uid)) } else { Err(rule()) };
    }
    let named = principal.split_once('@').is_some_and(|(name, realm)| {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        plain(name) && plain(realm) && !realm.contains('@')
    });
    if named && principal.len() <= PRINCIPAL_MAX { Ok(None) } else { Err(rule()) }
}

/// The mapped uid of a principal, for the data path.
pub(super) fn mapped_uid(principal: &str) -> Option<u32> {
    principal.strip_prefix("uid:")?.parse().ok()
}

//! Who may do what in which share.

use super::answers::{Done, Page, Shown, cut};
use super::call::Call;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use crate::guard::Refusal;
use crate::mirror::Snapshot;
use crate::people;
use crate::rows::GrantRow;
use axum::http::Method;
use dfs_api::{EffectivePermission, GrantKind, PermissionGrant, SetPermission};
use serde_json::json;
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let of_user = "/shares/{name}/permissions/users/{user}";
    let of_group = "/shares/{name}/permissions/groups/{group}";
    let effective_of = "/shares/{name}/permissions/effective/{user}";
    family(
        "permissions",
        vec![
            route(Method::GET, "/shares/{name}/permissions", "listPermissions", OPERATOR, list)
                .says("Lists who was given a permission in a share."),
            route(Method::PUT, of_user, "grantUser", ADMIN, grant_user)
                .says("Gives a user a permission, or replaces it. It acts with the next request.")
                .audited("permission.grant"),
            route(Method::DELETE, of_user, "revokeUser", ADMIN, revoke_user)
                .says("Takes a user's permission away; those of his groups hold then.")
                .audited("permission.revoke"),
            route(Method::PUT, of_group, "grantGroup", ADMIN, grant_group)
                .says("Gives a group a permission, or replaces it. It acts with the next request.")
                .audited("permission.grant"),
            route(Method::DELETE, of_group, "revokeGroup", ADMIN, revoke_group)
                .says("Takes a group's permission away.")
                .audited("permission.revoke"),
            route(Method::GET, effective_of, "getEffectivePermission", OPERATOR, effective)
                .says("Tells what a user may do in a share when everything is looked at, and why."),
        ],
    )
}

fn word(kind: GrantKind) -> &'static str {
    match kind {
        GrantKind::User => "user",
        GrantKind::Group => "group",
    }
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<PermissionGrant>, Refusal> {
    let grants = people::grants_of(&call.plane.database.snapshot(), call.part("name"))?;
    cut(grants, &paged, |grant| format!("{}/{}", word(grant.kind), grant.name))
}

/// The level that somebody had, for the audit log.
fn level_before(call: &Call, snapshot: &Snapshot, kind: GrantKind, name: &str) {
    let key = GrantRow::key_of(call.part("name"), kind, name);
    if let Some(grant) = snapshot.get::<GrantRow>(&key) {
        call.before(&json!({ "level": grant.level }));
    }
}

async fn grant(
    call: &Call,
    kind: GrantKind,
    name: &str,
    asked: SetPermission,
) -> Result<Shown<PermissionGrant>, Refusal> {
    call.about(&format!("{}/{}/{name}", call.part("name"), word(kind)));
    call.after(&asked);
    let granted = call.transact(|snapshot| {
        level_before(call, snapshot, kind, name);
        Ok((people::grant(snapshot, call.part("name"), kind, name, asked.level)?, ()))
    });
    granted.await?;
    call.plane.tell_identities();
    Ok(Shown(PermissionGrant { kind, name: name.to_owned(), level: asked.level }))
}

async fn revoke(call: &Call, kind: GrantKind, name: &str) -> Result<Done, Refusal> {
    call.about(&format!("{}/{}/{name}", call.part("name"), word(kind)));
    let revoked = call.transact(|snapshot| {
        level_before(call, snapshot, kind, name);
        Ok((people::revoke(snapshot, call.part("name"), kind, name)?, ()))
    });
    revoked.await?;
    call.plane.tell_identities();
    Ok(Done)
}

type Granted = Result<Shown<PermissionGrant>, Refusal>;

async fn grant_user(call: Arc<Call>, _: NoQuery, Sent(asked): Sent<SetPermission>) -> Granted {
    grant(&call, GrantKind::User, call.part("user"), asked).await
}

async fn grant_group(call: Arc<Call>, _: NoQuery, Sent(asked): Sent<SetPermission>) -> Granted {
    grant(&call, GrantKind::Group, call.part("group"), asked).await
}

async fn revoke_user(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    revoke(&call, GrantKind::User, call.part("user")).await
}

async fn revoke_group(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    revoke(&call, GrantKind::Group, call.part("group")).await
}

async fn effective(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<EffectivePermission>, Refusal> {
    let snapshot = call.plane.database.snapshot();
    Ok(Shown(people::effective(&snapshot, call.part("name"), call.part("user"))?))
}

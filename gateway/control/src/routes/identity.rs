//! For which user a principal acts.

use super::answers::{Created, Done, Page, Shown, page_of};
use super::call::Call;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use crate::guard::Refusal;
use crate::mirror::Snapshot;
use crate::people;
use crate::rows::IdmapRow;
use axum::http::Method;
use dfs_api::{IdentityMapping, Problem};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let one = "/identity-mappings/{principal}";
    family(
        "identity",
        vec![
            route(Method::GET, "/identity-mappings", "listIdentityMappings", OPERATOR, list)
                .says("Lists the identity mappings by principal."),
            route(Method::POST, "/identity-mappings", "addIdentityMapping", ADMIN, add)
                .says("Lets a principal act for a user.")
                .audited("identity-mapping.add")
                .once(),
            route(Method::GET, one, "getIdentityMapping", OPERATOR, show)
                .says("Shows for which user a principal acts."),
            route(Method::DELETE, one, "removeIdentityMapping", ADMIN, remove)
                .says("Lets a principal act for nobody.")
                .audited("identity-mapping.remove"),
        ],
    )
}

fn shown(row: &IdmapRow) -> IdentityMapping {
    IdentityMapping { principal: row.principal.clone(), user: row.user.clone() }
}

fn found(snapshot: &Snapshot, principal: &str) -> Result<IdentityMapping, Problem> {
    let row = snapshot.get::<IdmapRow>(principal);
    row.map(|row| shown(row)).ok_or_else(|| Problem::not_found("identity mapping", principal))
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<IdentityMapping>, Refusal> {
    page_of(&call.plane.database.snapshot(), &paged, shown)
}

async fn show(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<IdentityMapping>, Refusal> {
    Ok(Shown(found(&call.plane.database.snapshot(), call.part("principal"))?))
}

async fn add(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<IdentityMapping>,
) -> Result<Created<IdentityMapping>, Refusal> {
    call.about(&request.principal);
    call.after(&request);
    call.transact(|snapshot| Ok((people::add_mapping(snapshot, &request)?, ()))).await?;
    call.plane.tell_identities();
    Ok(Created(request))
}

async fn remove(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    let principal = call.part("principal");
    let removed = call.transact(|snapshot| {
        call.before(&found(snapshot, principal)?);
        Ok((people::remove_mapping(snapshot, principal)?, ()))
    });
    removed.await?;
    call.plane.tell_identities();
    Ok(Done)
}

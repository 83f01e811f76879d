//! Clients that are connected, and what they have mounted, whatever the protocol.

use super::answers::{Done, Page, cut};
use super::call::Call;
use super::inputs::{NoBody, NoQuery, Paged};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use crate::guard::Refusal;
use axum::http::Method;
use dfs_api::{ClientStatus, Mount};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    family(
        "adapters",
        vec![
            route(Method::GET, "/clients", "listClients", OPERATOR, list)
                .says("Lists the clients that are connected."),
            route(Method::DELETE, "/clients/{id}", "evictClient", ADMIN, evict)
                .says("Cuts a client off. It may connect again unless its share no longer names it.")
                .audited("client.evict"),
            route(Method::GET, "/mounts", "listMounts", OPERATOR, mounts)
                .says("Lists what clients have mounted."),
        ],
    )
}

/// The order of mounts in lists.
pub(super) fn mount_key(mount: &Mount) -> String {
    format!("{}/{}/{}", mount.share, mount.client, mount.protocol)
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<ClientStatus>, Refusal> {
    cut(call.plane.backend.clients().await, &paged, |client| client.id.clone())
}

async fn mounts(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<Mount>, Refusal> {
    cut(call.plane.backend.mounts().await, &paged, mount_key)
}

async fn evict(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    evicted(&call).await
}

pub(super) async fn evicted(call: &Call) -> Result<Done, Refusal> {
    let id = call.part("id");
    let known = call.plane.backend.clients().await.into_iter().find(|client| client.id == id);
    call.before(&known);
    call.plane.backend.evict(id).await?;
    Ok(Done)
}

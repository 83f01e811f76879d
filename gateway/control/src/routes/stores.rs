//! Metadata stores.

use super::answers::{Created, Done, Page, Shown, page_of};
use super::call::Call;
use super::check_name;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use crate::change::Change;
use crate::guard::Refusal;
use crate::plane::ControlPlane;
use axum::http::Method;
use dfs_api::{MetadataStoreConfig, MetadataStoreStatus, Problem, ShareConfig, StoreHealth, StoreKind};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    family(
        "stores",
        vec![
            route(Method::GET, "/metadata-stores", "listMetadataStores", OPERATOR, list)
                .says("Lists the metadata stores by name."),
            route(Method::POST, "/metadata-stores", "addMetadataStore", ADMIN, add)
                .says("Opens or makes a metadata store.")
                .audited("metadata-store.add")
                .once(),
            route(Method::GET, "/metadata-stores/{name}", "getMetadataStore", OPERATOR, show)
                .says("Shows a metadata store and the shares that refer to it."),
            route(Method::DELETE, "/metadata-stores/{name}", "removeMetadataStore", ADMIN, remove)
                .says("Closes a metadata store that no share refers to.")
                .audited("metadata-store.remove"),
            route(Method::GET, "/metadata-stores/{name}/health", "getMetadataStoreHealth", OPERATOR, health)
                .says("Tells how a metadata store is."),
        ],
    )
}

/// Names of shares that refer to a store.
pub(super) fn users_of(plane: &ControlPlane, refers: impl Fn(&ShareConfig) -> bool) -> Vec<String> {
    let snapshot = plane.database.snapshot();
    snapshot.rows::<ShareConfig>().filter(|share| refers(share)).map(|share| share.name.clone()).collect()
}

/// Refuses to remove a store that shares refer to.
pub(super) fn unused(what: &str, name: &str, shares: &[String]) -> Result<(), Problem> {
    if shares.is_empty() {
        return Ok(());
    }
    let why = format!("{what} '{name}' is used by {}: delete those shares first", shares.join(", "));
    Err(Problem::conflict(why))
}

fn found(plane: &ControlPlane, name: &str) -> Result<MetadataStoreConfig, Problem> {
    let store = plane.database.get::<MetadataStoreConfig>(name);
    store.ok_or_else(|| Problem::not_found("metadata store", name))
}

async fn status(plane: &ControlPlane, config: MetadataStoreConfig) -> MetadataStoreStatus {
    let shares = users_of(plane, |share| share.metadata == config.name);
    let health = plane.backend.metadata_health(&config.name).await;
    MetadataStoreStatus { config, health, shares }
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<MetadataStoreStatus>, Refusal> {
    let plane = &call.plane;
    let page = page_of(&plane.database.snapshot(), &paged, MetadataStoreConfig::clone)?;
    let mut items = Vec::with_capacity(page.items.len());
    for config in page.items {
        items.push(status(plane, config).await);
    }
    Ok(Page { items, total: page.total, next: page.next, limit: page.limit })
}

async fn show(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<MetadataStoreStatus>, Refusal> {
    let config = found(&call.plane, call.part("name"))?;
    Ok(Shown(status(&call.plane, config).await))
}

async fn health(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<StoreHealth>, Refusal> {
    let name = found(&call.plane, call.part("name"))?.name;
    let health = call.plane.backend.metadata_health(&name).await;
    Ok(Shown(StoreHealth { kind: StoreKind::Metadata, name, health }))
}

async fn add(
    call: Arc<Call>,
    _: NoQuery,
    Sent(config): Sent<MetadataStoreConfig>,
) -> Result<Created<MetadataStoreConfig>, Refusal> {
    let plane = &call.plane;
    call.about(&config.name);
    check_name(&config.name)?;
    let _changing = plane.changing.stores.lock().await;
    if plane.database.get::<MetadataStoreConfig>(&config.name).is_some() {
        let exists = Problem::conflict(format!("a metadata store named '{}' exists", config.name));
        return Err(Problem { field: Some("name".to_owned()), ..exists }.into());
    }
    plane.backend.add_metadata_store(&config).await?;
    call.after(&config);
    call.commit(Change::default().put(&config)).await?;
    Ok(Created(config))
}

async fn remove(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    let (plane, name) = (&call.plane, call.part("name"));
    let _changing = plane.changing.stores.lock().await;
    // No share may begin to refer to it in between.
    let _shares = plane.changing.shares.lock().await;
    call.before(&found(plane, name)?);
    unused("metadata store", name, &users_of(plane, |share| share.metadata == name))?;
    plane.backend.remove_metadata_store(name).await?;
    call.commit(Change::default().remove::<MetadataStoreConfig>(name)).await?;
    Ok(Done)
}

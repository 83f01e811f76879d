//! Cold stores. A new one, and new credentials, are proved by writing, reading and deleting an object before they count.

use super::answers::{Created, Done, Page, Shown, page_of};
use super::call::Call;
use super::check_name;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use super::stores::{unused, users_of};
use crate::change::Change;
use crate::guard::Refusal;
use crate::plane::ControlPlane;
use axum::http::Method;
use dfs_api::{
    ChangeColdStore, ColdBackend, ColdStoreConfig, ColdStoreStatus, Problem, StoreCheck, StoreHealth,
    StoreKind,
};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let all = vec![
        route(Method::GET, "/cold-stores", "listColdStores", OPERATOR, list)
            .says("Lists the cold stores by name."),
        route(Method::POST, "/cold-stores", "addColdStore", ADMIN, add)
            .says("Connects a cold store and proves that it can be used.")
            .audited("cold-store.add")
            .once(),
        route(Method::GET, "/cold-stores/{name}", "getColdStore", OPERATOR, show)
            .says("Shows a cold store and the shares that refer to it."),
        route(Method::PATCH, "/cold-stores/{name}", "changeColdStore", ADMIN, change)
            .says("Changes how a cold store of kind s3 logs in, while it is used.")
            .audited("cold-store.change"),
        route(Method::DELETE, "/cold-stores/{name}", "removeColdStore", ADMIN, remove)
            .says("Forgets a cold store that no share refers to; what is in it stays.")
            .audited("cold-store.remove"),
        route(Method::GET, "/cold-stores/{name}/health", "getColdStoreHealth", OPERATOR, health)
            .says("Tells how a cold store is."),
        route(Method::POST, "/cold-stores/{name}/check", "checkColdStore", OPERATOR, probe)
            .says("Writes, reads and deletes an object in a cold store.")
            .audited("cold-store.check"),
    ];
    let spelled = |route: &Route| {
        let path = route.path.replacen("cold", "payload", 1);
        route.under(&path, &route.id.replace("Cold", "Payload"))
    };
    let payload: Vec<Route> = all.iter().map(spelled).collect();
    family("stores", [all, payload].concat())
}

fn found(plane: &ControlPlane, name: &str) -> Result<ColdStoreConfig, Problem> {
    let store = plane.database.get::<ColdStoreConfig>(name);
    store.ok_or_else(|| Problem::not_found("cold store", name))
}

async fn status(plane: &ControlPlane, config: &ColdStoreConfig) -> ColdStoreStatus {
    let shares = users_of(plane, |share| share.cold == config.name);
    let health = plane.backend.cold_health(&config.name).await;
    ColdStoreStatus { config: config.redacted(), health, shares }
}

/// As the audit log has it: that there is a secret, not which.
fn noted(config: &ColdStoreConfig) -> ColdStoreConfig {
    let mut shown = config.clone();
    if let ColdBackend::S3(s3) = &mut shown.backend {
        s3.secret_key = s3.secret_key.as_ref().map(|_| "***".to_owned());
    }
    shown
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<ColdStoreStatus>, Refusal> {
    let plane = &call.plane;
    let page = page_of(&plane.database.snapshot(), &paged, ColdStoreConfig::clone)?;
    let mut items = Vec::with_capacity(page.items.len());
    for config in &page.items {
        items.push(status(plane, config).await);
    }
    Ok(Page { items, total: page.total, next: page.next, limit: page.limit })
}

async fn show(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<ColdStoreStatus>, Refusal> {
    let config = found(&call.plane, call.part("name"))?;
    Ok(Shown(status(&call.plane, &config).await))
}

async fn health(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<StoreHealth>, Refusal> {
    let name = found(&call.plane, call.part("name"))?.name;
    let health = call.plane.backend.cold_health(&name).await;
    Ok(Shown(StoreHealth { kind: StoreKind::Cold, name, health }))
}

async fn probe(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<StoreCheck>, Refusal> {
    let name = found(&call.plane, call.part("name"))?.name;
    let check = call.plane.backend.check_cold_store(&name).await?;
    call.after(&check);
    Ok(Shown(check))
}

async fn add(
    call: Arc<Call>,
    _: NoQuery,
    Sent(config): Sent<ColdStoreConfig>,
) -> Result<Created<ColdStoreConfig>, Refusal> {
    let plane = &call.plane;
    call.about(&config.name);
    check_name(&config.name)?;
    let _changing = plane.changing.stores.lock().await;
    if plane.database.get::<ColdStoreConfig>(&config.name).is_some() {
        let exists = Problem::conflict(format!("a cold store named '{}' exists", config.name));
        return Err(Problem { field: Some("name".to_owned()), ..exists }.into());
    }
    plane.backend.add_cold_store(&config).await?;
    call.after(&noted(&config));
    call.commit(Change::default().put(&config)).await?;
    Ok(Created(config.redacted()))
}

async fn change(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<ChangeColdStore>,
) -> Result<Shown<ColdStoreStatus>, Refusal> {
    let (plane, name) = (&call.plane, call.part("name"));
    let _changing = plane.changing.stores.lock().await;
    let mut config = found(plane, name)?;
    call.before(&noted(&config));
    let ColdBackend::S3(s3) = &mut config.backend else {
        let why = format!("cold store '{name}' has nothing to log in with: it is no S3 bucket");
        return Err(Problem::conflict(why).into());
    };
    s3.access_key = request.access_key.or_else(|| s3.access_key.take());
    s3.secret_key = request.secret_key.or_else(|| s3.secret_key.take());
    s3.region = request.region.or_else(|| s3.region.take());
    if s3.access_key.is_some() != s3.secret_key.is_some() {
        return Err(Problem::field("secret_key", "an access key and a secret key belong together").into());
    }
    plane.backend.change_cold_store(&config).await?;
    call.after(&noted(&config));
    call.commit(Change::default().put(&config)).await?;
    Ok(Shown(status(plane, &config).await))
}

async fn remove(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    let (plane, name) = (&call.plane, call.part("name"));
    let _changing = plane.changing.stores.lock().await;
    // No share may begin to refer to it in between.
    let _shares = plane.changing.shares.lock().await;
    call.before(&noted(&found(plane, name)?));
    unused("cold store", name, &users_of(plane, |share| share.cold == name))?;
    plane.backend.remove_cold_store(name).await?;
    call.commit(Change::default().remove::<ColdStoreConfig>(name)).await?;
    Ok(Done)
}

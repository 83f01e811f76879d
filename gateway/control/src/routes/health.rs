//! How the gateway is.

use super::answers::{Answer, Page, Shown, cut};
use super::call::Call;
use super::inputs::{NoBody, NoQuery, Paged};
use super::route::{Access, OPERATOR, Route, family, route};
use crate::around::AsItIs;
use crate::guard::Refusal;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use dfs_api::{ColdStoreConfig, Health, MetadataStoreConfig, Ready, StoreHealth, StoreKind};
use schemars::{Schema, SchemaGenerator};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    family(
        "health",
        vec![
            route(Method::GET, "/health", "getHealth", Access::Open, health)
                .says("Tells how the gateway is; that it answers means that it runs."),
            route(Method::GET, "/health/ready", "getReady", Access::Open, ready)
                .says("Tells whether everything is served; 503 while something is waited for."),
            route(Method::GET, "/health/stores", "listStoreHealth", OPERATOR, stores)
                .says("Tells how each store is."),
        ],
    )
}

async fn health(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<Health>, Refusal> {
    let plane = &call.plane;
    let facts = plane.backend.health().await;
    Ok(Shown(Health {
        status: facts.status,
        version: plane.version.to_owned(),
        uptime_seconds: plane.clock.monotonic().since(plane.started).as_secs(),
        pid: std::process::id(),
        shares: facts.shares,
        shares_failed: facts.shares_failed,
    }))
}

/// Whether it is ready, as status too.
struct Readiness(Ready);

impl Answer for Readiness {
    const STATUS: StatusCode = StatusCode::OK;
    const ALSO: Option<StatusCode> = Some(StatusCode::SERVICE_UNAVAILABLE);

    fn schemas(schemas: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        vec![("application/json", schemas.subschema_for::<Ready>())]
    }

    fn respond(self, _: &Call) -> Response {
        let status = if self.0.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut answer = (status, Json(self.0)).into_response();
        answer.extensions_mut().insert(AsItIs);
        answer
    }
}

async fn ready(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Readiness, Refusal> {
    let mut waiting = call.plane.backend.waiting().await;
    if call.plane.database.health().await.is_err() {
        waiting.push("the control database does not answer".to_owned());
    }
    Ok(Readiness(Ready { ready: waiting.is_empty(), waiting }))
}

async fn stores(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<StoreHealth>, Refusal> {
    let (plane, mut all) = (&call.plane, Vec::new());
    let snapshot = plane.database.snapshot();
    for store in snapshot.rows::<ColdStoreConfig>() {
        let health = plane.backend.cold_health(&store.name).await;
        all.push(StoreHealth { kind: StoreKind::Cold, name: store.name.clone(), health });
    }
    for store in snapshot.rows::<MetadataStoreConfig>() {
        let health = plane.backend.metadata_health(&store.name).await;
        all.push(StoreHealth { kind: StoreKind::Metadata, name: store.name.clone(), health });
    }
    let word = |kind| if kind == StoreKind::Cold { "cold" } else { "metadata" };
    cut(all, &paged, |store| format!("{}/{}", word(store.kind), store.name))
}

//! How the gateway is; needs no login.

use crate::plane::ControlPlane;
use axum::Json;
use axum::extract::State;
use dfs_api::Health;
use std::sync::Arc;

pub(crate) async fn health(State(plane): State<Arc<ControlPlane>>) -> Json<Health> {
    let facts = plane.backend.health().await;
    Json(Health {
        status: facts.status,
        version: plane.version.to_owned(),
        uptime_seconds: plane.clock.monotonic().since(plane.started).as_secs(),
        pid: std::process::id(),
        shares: facts.shares,
        shares_failed: facts.shares_failed,
    })
}

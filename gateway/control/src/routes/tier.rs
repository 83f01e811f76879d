//! The tiers.

use super::Body;
use crate::guard::{Caller, Refusal};
use crate::plane::ControlPlane;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dfs_api::{FlushRequest, Job, Problem, Role, ShareConfig, TierStatus};
use std::sync::Arc;

type Plane = State<Arc<ControlPlane>>;

pub(crate) async fn status(State(plane): Plane, caller: Caller) -> Result<Json<TierStatus>, Refusal> {
    caller.at_least(Role::Operator)?;
    Ok(Json(plane.backend.tier_status().await))
}

pub(crate) async fn flush(
    State(plane): Plane,
    caller: Caller,
    Body(request): Body<FlushRequest>,
) -> Result<(StatusCode, Json<Job>), Refusal> {
    caller.at_least(Role::Operator)?;
    if let Some(name) = &request.share {
        plane.database.get::<ShareConfig>(name).ok_or_else(|| Problem::not_found("share", name))?;
    }
    let what = format!("flush {}", request.share.as_deref().unwrap_or("all shares"));
    let backend = plane.backend.clone();
    let job = plane.jobs.start(what, async move { backend.flush(request.share.as_deref()).await })?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

pub(crate) async fn job(
    State(plane): Plane,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Job>, Refusal> {
    caller.at_least(Role::Operator)?;
    let job = id.parse().ok().and_then(|number| plane.jobs.get(number));
    let job = job.ok_or_else(|| Problem::not_found("job", &id))?;
    Ok(Json(job))
}

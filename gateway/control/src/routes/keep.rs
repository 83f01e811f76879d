//! Quotas and the recycle bin of a share.

use super::Body;
use crate::guard::{Caller, Refusal};
use crate::plane::ControlPlane;
use axum::Json;
use axum::extract::{Path, State};
use dfs_api::{Emptied, EmptyBin, QuotaStatus, RecycledFile, RestoreFile, Role, SetQuota};
use std::sync::Arc;

type Plane = State<Arc<ControlPlane>>;

pub(crate) async fn quotas(
    State(plane): Plane,
    caller: Caller,
    Path(share): Path<String>,
) -> Result<Json<Vec<QuotaStatus>>, Refusal> {
    caller.at_least(Role::Operator)?;
    Ok(Json(plane.backend.quotas(&share).await?))
}

pub(crate) async fn set_quota(
    State(plane): Plane,
    caller: Caller,
    Path(share): Path<String>,
    Body(request): Body<SetQuota>,
) -> Result<Json<Vec<QuotaStatus>>, Refusal> {
    caller.at_least(Role::Admin)?;
    plane.backend.set_quota(&share, &request).await?;
    Ok(Json(plane.backend.quotas(&share).await?))
}

pub(crate) async fn recycled(
    State(plane): Plane,
    caller: Caller,
    Path(share): Path<String>,
) -> Result<Json<Vec<RecycledFile>>, Refusal> {
    caller.at_least(Role::Operator)?;
    Ok(Json(plane.backend.recycled(&share).await?))
}

pub(crate) async fn restore(
    State(plane): Plane,
    caller: Caller,
    Path(share): Path<String>,
    Body(request): Body<RestoreFile>,
) -> Result<Json<Vec<RecycledFile>>, Refusal> {
    caller.at_least(Role::Admin)?;
    plane.backend.restore(&share, &request).await?;
    Ok(Json(plane.backend.recycled(&share).await?))
}

pub(crate) async fn empty(
    State(plane): Plane,
    caller: Caller,
    Path(share): Path<String>,
    Body(request): Body<EmptyBin>,
) -> Result<Json<Emptied>, Refusal> {
    caller.at_least(Role::Admin)?;
    let removed = plane.backend.empty_bin(&share, &request).await?;
    Ok(Json(Emptied { removed }))
}

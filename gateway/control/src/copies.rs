//! Copies: what the running gateway does of them, and their routes.

use crate::guard::{Caller, Refusal};
use crate::plane::ControlPlane;
use crate::routes::{Body, check_name};
use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use dfs_api::{
    CloneFile, ClonedFile, Problem, RestoreSnapshot, RestoredSnapshot, Role, SnapshotPlan, SnapshotStatus,
    TakeSnapshot,
};
use std::sync::Arc;

/// Copies of the running gateway's shares; part of [`crate::Backend`].
#[async_trait]
pub trait CopiesBackend: Send + Sync + 'static {
    /// Clones a file.
    async fn clone_file(&self, share: &str, request: &CloneFile) -> Result<ClonedFile, Problem>;
    /// Snapshots of a share, oldest first.
    async fn list_snapshots(&self, share: &str) -> Result<Vec<SnapshotStatus>, Problem>;
    /// One snapshot, with what it holds.
    async fn show_snapshot(&self, share: &str, name: &str) -> Result<SnapshotStatus, Problem>;
    /// Takes a snapshot.
    async fn take_snapshot(&self, share: &str, request: &TakeSnapshot) -> Result<SnapshotStatus, Problem>;
    /// Ends a snapshot.
    async fn delete_snapshot(&self, share: &str, name: &str) -> Result<(), Problem>;
    /// Gives a file, a tree or the whole share back.
    async fn restore_snapshot(
        &self,
        share: &str,
        name: &str,
        request: &RestoreSnapshot,
    ) -> Result<RestoredSnapshot, Problem>;
    /// A share's schedule.
    async fn snapshot_plan(&self, share: &str) -> Result<SnapshotPlan, Problem>;
    /// Sets or ends a share's schedule.
    async fn set_snapshot_plan(&self, share: &str, plan: &SnapshotPlan) -> Result<(), Problem>;
}

type Plane = State<Arc<ControlPlane>>;

/// The routes, below `/shares`.
pub(crate) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new()
        .route("/shares/{name}/clone", post(clone_file))
        .route("/shares/{name}/snapshots", get(list).post(take))
        .route("/shares/{name}/snapshots/{snapshot}", get(show).delete(delete))
        .route("/shares/{name}/snapshots/{snapshot}/restore", post(restore))
        .route("/shares/{name}/snapshot-schedule", get(plan).put(set_plan))
}

async fn clone_file(
    State(plane): Plane,
    caller: Caller,
    Path(share): Path<String>,
    Body(request): Body<CloneFile>,
) -> Result<Json<ClonedFile>, Refusal> {
    caller.at_least(Role::Admin)?;
    Ok(Json(plane.backend.clone_file(&share, &request).await?))
}

async fn list(
    State(plane): Plane,
    caller: Caller,
    Path(share): Path<String>,
) -> Result<Json<Vec<SnapshotStatus>>, Refusal> {
    caller.at_least(Role::Operator)?;
    Ok(Json(plane.backend.list_snapshots(&share).await?))
}

async fn take(
    State(plane): Plane,
    caller: Caller,
    Path(share): Path<String>,
    Body(request): Body<TakeSnapshot>,
) -> Result<(StatusCode, Json<SnapshotStatus>), Refusal> {
    caller.at_least(Role::Operator)?;
    check_name(&request.name)?;
    Ok((StatusCode::CREATED, Json(plane.backend.take_snapshot(&share, &request).await?)))
}

async fn show(
    State(plane): Plane,
    caller: Caller,
    Path((share, snapshot)): Path<(String, String)>,
) -> Result<Json<SnapshotStatus>, Refusal> {
    caller.at_least(Role::Operator)?;
    Ok(Json(plane.backend.show_snapshot(&share, &snapshot).await?))
}

async fn delete(
    State(plane): Plane,
    caller: Caller,
    Path((share, snapshot)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    caller.at_least(Role::Admin)?;
    plane.backend.delete_snapshot(&share, &snapshot).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn restore(
    State(plane): Plane,
    caller: Caller,
    Path((share, snapshot)): Path<(String, String)>,
    Body(request): Body<RestoreSnapshot>,
) -> Result<Json<RestoredSnapshot>, Refusal> {
    caller.at_least(Role::Admin)?;
    if request.path.is_none() && request.to.is_some() {
        return Err(Problem::field("to", "the whole share is restored in its place: leave 'to' out").into());
    }
    // In a task of its own: a caller who goes away must not leave half of it.
    let backend = plane.backend.clone();
    let work = tokio::spawn(async move { backend.restore_snapshot(&share, &snapshot, &request).await });
    let done = work.await.map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Json(done?))
}

async fn plan(
    State(plane): Plane,
    caller: Caller,
    Path(share): Path<String>,
) -> Result<Json<SnapshotPlan>, Refusal> {
    caller.at_least(Role::Operator)?;
    Ok(Json(plane.backend.snapshot_plan(&share).await?))
}

async fn set_plan(
    State(plane): Plane,
    caller: Caller,
    Path(share): Path<String>,
    Body(request): Body<SnapshotPlan>,
) -> Result<Json<SnapshotPlan>, Refusal> {
    caller.at_least(Role::Admin)?;
    plane.backend.set_snapshot_plan(&share, &request).await?;
    Ok(Json(plane.backend.snapshot_plan(&share).await?))
}

//! Copies: what the running gateway does of them, and their routes.

use crate::guard::{Caller, Refusal};
use crate::plane::ControlPlane;
use crate::routes::Body;
use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use dfs_api::{CloneFile, ClonedFile, Problem, Role};
use std::sync::Arc;

/// Copies of the running gateway's shares; part of [`crate::Backend`].
#[async_trait]
pub trait CopiesBackend: Send + Sync + 'static {
    /// Clones a file.
    async fn clone_file(&self, share: &str, request: &CloneFile) -> Result<ClonedFile, Problem>;
}

type Plane = State<Arc<ControlPlane>>;

/// The routes, below `/shares`.
pub(crate) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new().route("/shares/{name}/clone", post(clone_file))
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

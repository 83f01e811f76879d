//! Shares that several gateways may serve, one at a time.

use super::{Body, check_name};
use crate::change::Change;
use crate::guard::{Caller, Refusal};
use crate::plane::ControlPlane;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dfs_api::{AbandonJournal, AbandonedJournal, AdoptShare, Job, Problem, Role, ShareConfig, ShareStatus};
use std::sync::Arc;

type Plane = State<Arc<ControlPlane>>;

fn known(plane: &ControlPlane, name: &str) -> Result<ShareConfig, Refusal> {
    let found = plane.database.get::<ShareConfig>(name);
    Ok(found.ok_or_else(|| Problem::not_found("share", name))?)
}

/// Makes this gateway a standby for a share of a shared metadata store.
pub(crate) async fn adopt(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
    Body(request): Body<AdoptShare>,
) -> Result<(StatusCode, Json<ShareStatus>), Refusal> {
    caller.at_least(Role::Admin)?;
    let _changing = plane.changing.lock().await;
    check_name(&name)?;
    if plane.database.get::<ShareConfig>(&name).is_some() {
        return Err(Problem::conflict(format!("a share named '{name}' exists here")).into());
    }
    let config = plane.backend.adopt_share(&name, &request).await?;
    plane.database.commit(Change::default().put(&config), None).await?;
    tracing::info!(share = %name, by = %caller.0.sub, "share adopted");
    Ok((StatusCode::CREATED, Json(super::shares::status(&plane, config).await)))
}

/// Hands a share over to whichever gateway takes it.
pub(crate) async fn release(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Job>), Refusal> {
    caller.at_least(Role::Admin)?;
    known(&plane, &name)?;
    let backend = plane.backend.clone();
    let what = format!("hand-over of {name}");
    let job = plane.jobs.start(what, async move { backend.release_share(&name).await })?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Gives up the journal that another gateway has of a share.
pub(crate) async fn abandon(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
    Body(request): Body<AbandonJournal>,
) -> Result<Json<AbandonedJournal>, Refusal> {
    caller.at_least(Role::Admin)?;
    let _changing = plane.changing.lock().await;
    known(&plane, &name)?;
    let told = plane.backend.abandon_journal(&name, request.confirm).await?;
    if told.abandoned {
        tracing::warn!(share = %name, by = %caller.0.sub, journal_of = %told.journal_of, "journal abandoned");
    }
    Ok(Json(told))
}

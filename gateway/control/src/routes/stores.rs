//! Metadata stores and cold stores.

use super::{Body, check_name};
use crate::change::Change;
use crate::guard::{Caller, Refusal};
use crate::plane::ControlPlane;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dfs_api::{
    ColdStoreConfig, ColdStoreStatus, MetadataStoreConfig, MetadataStoreStatus, Problem, Role, ShareConfig,
};
use std::sync::Arc;

type Plane = State<Arc<ControlPlane>>;

/// Names of shares that refer to a store.
fn users_of(plane: &ControlPlane, refers: impl Fn(&ShareConfig) -> bool) -> Result<Vec<String>, Refusal> {
    let shares = plane.database.list::<ShareConfig>();
    Ok(shares.into_iter().filter(|share| refers(share)).map(|share| share.name).collect())
}

fn in_use(what: &str, name: &str, shares: &[String]) -> Refusal {
    Problem::conflict(format!("{what} '{name}' is used by {}: delete those shares first", shares.join(", ")))
        .into()
}

pub(crate) async fn list_metadata(
    State(plane): Plane,
    caller: Caller,
) -> Result<Json<Vec<MetadataStoreStatus>>, Refusal> {
    caller.at_least(Role::Operator)?;
    let mut shown = Vec::new();
    for config in plane.database.list::<MetadataStoreConfig>() {
        let shares = users_of(&plane, |share| share.metadata == config.name)?;
        let health = plane.backend.metadata_health(&config.name).await;
        shown.push(MetadataStoreStatus { config, health, shares });
    }
    Ok(Json(shown))
}

pub(crate) async fn add_metadata(
    State(plane): Plane,
    caller: Caller,
    Body(config): Body<MetadataStoreConfig>,
) -> Result<(StatusCode, Json<MetadataStoreConfig>), Refusal> {
    caller.at_least(Role::Admin)?;
    check_name(&config.name)?;
    let _changing = plane.changing.lock().await;
    if plane.database.get::<MetadataStoreConfig>(&config.name).is_some() {
        return Err(Problem::conflict(format!("a metadata store named '{}' exists", config.name)).into());
    }
    plane.backend.add_metadata_store(&config).await?;
    plane.database.commit(Change::default().put(&config), None).await?;
    tracing::info!(store = %config.name, by = %caller.0.sub, "metadata store added");
    Ok((StatusCode::CREATED, Json(config)))
}

pub(crate) async fn remove_metadata(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.at_least(Role::Admin)?;
    let _changing = plane.changing.lock().await;
    if plane.database.get::<MetadataStoreConfig>(&name).is_none() {
        return Err(Problem::not_found("metadata store", &name).into());
    }
    let shares = users_of(&plane, |share| share.metadata == name)?;
    if !shares.is_empty() {
        return Err(in_use("metadata store", &name, &shares));
    }
    plane.backend.remove_metadata_store(&name).await?;
    plane.database.commit(Change::default().remove::<MetadataStoreConfig>(&name), None).await?;
    tracing::info!(store = %name, by = %caller.0.sub, "metadata store removed");
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn list_cold(
    State(plane): Plane,
    caller: Caller,
) -> Result<Json<Vec<ColdStoreStatus>>, Refusal> {
    caller.at_least(Role::Operator)?;
    let mut shown = Vec::new();
    for config in plane.database.list::<ColdStoreConfig>() {
        let shares = users_of(&plane, |share| share.cold == config.name)?;
        let health = plane.backend.cold_health(&config.name).await;
        shown.push(ColdStoreStatus { config: config.redacted(), health, shares });
    }
    Ok(Json(shown))
}

pub(crate) async fn add_cold(
    State(plane): Plane,
    caller: Caller,
    Body(config): Body<ColdStoreConfig>,
) -> Result<(StatusCode, Json<ColdStoreConfig>), Refusal> {
    caller.at_least(Role::Admin)?;
    check_name(&config.name)?;
    let _changing = plane.changing.lock().await;
    if plane.database.get::<ColdStoreConfig>(&config.name).is_some() {
        return Err(Problem::conflict(format!("a cold store named '{}' exists", config.name)).into());
    }
    plane.backend.add_cold_store(&config).await?;
    plane.database.commit(Change::default().put(&config), None).await?;
    tracing::info!(store = %config.name, by = %caller.0.sub, "cold store added");
    Ok((StatusCode::CREATED, Json(config.redacted())))
}

pub(crate) async fn remove_cold(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.at_least(Role::Admin)?;
    let _changing = plane.changing.lock().await;
    if plane.database.get::<ColdStoreConfig>(&name).is_none() {
        return Err(Problem::not_found("cold store", &name).into());
    }
    let shares = users_of(&plane, |share| share.cold == name)?;
    if !shares.is_empty() {
        return Err(in_use("cold store", &name, &shares));
    }
    plane.backend.remove_cold_store(&name).await?;
    plane.database.commit(Change::default().remove::<ColdStoreConfig>(&name), None).await?;
    tracing::info!(store = %name, by = %caller.0.sub, "cold store removed");
    Ok(StatusCode::NO_CONTENT)
}

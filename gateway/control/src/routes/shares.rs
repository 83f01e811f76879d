//! Shares.

use super::{Body, check_name, netgroups};
use crate::change::Change;
use crate::guard::{Caller, Refusal};
use crate::plane::ControlPlane;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dfs_api::{
    ChangeShare, ColdStoreConfig, Durability, MetadataKind, MetadataStoreConfig, Problem, Role, ShareConfig,
    ShareStatus,
};
use std::sync::Arc;

type Plane = State<Arc<ControlPlane>>;

/// What a durability class means, in one sentence.
fn promise(class: Durability) -> &'static str {
    match class {
        Durability::Relaxed => {
            "acknowledged changes survive the death of the process; up to 100 ms of them are lost at a power cut"
        }
        Durability::Local => {
            "committed data and names survive a power cut; uncommitted data survives the death of the process"
        }
        Durability::Remote => "committed data and names survive the loss of the box",
    }
}

pub(super) async fn status(plane: &ControlPlane, config: ShareConfig) -> ShareStatus {
    let facts = plane.backend.share_facts(&config.name).await;
    let config = facts.config.unwrap_or(config);
    ShareStatus {
        promise: promise(config.durability).to_owned(),
        id: facts.id,
        state: facts.state,
        epoch: facts.epoch,
        used_bytes: facts.used_bytes,
        inodes: facts.inodes,
        stranded: facts.stranded,
        config,
    }
}

pub(crate) async fn list(State(plane): Plane, caller: Caller) -> Result<Json<Vec<ShareStatus>>, Refusal> {
    caller.at_least(Role::Operator)?;
    let mut shown = Vec::new();
    for config in plane.database.list::<ShareConfig>() {
        shown.push(status(&plane, config).await);
    }
    Ok(Json(shown))
}

pub(crate) async fn show(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<ShareStatus>, Refusal> {
    caller.at_least(Role::Operator)?;
    let config =
        plane.database.get::<ShareConfig>(&name).ok_or_else(|| Problem::not_found("share", &name))?;
    Ok(Json(status(&plane, config).await))
}

/// Tests a share's settings against each other and against what exists.
fn check(plane: &ControlPlane, config: &ShareConfig) -> Result<(), Refusal> {
    check_name(&config.name)?;
    if !config.block_size.is_power_of_two() || !(65_536..=1_048_576).contains(&config.block_size) {
        let rule = "block_size is a power of two from 65536 (64 KiB) to 1048576 (1 MiB)";
        return Err(Problem::field("block_size", rule).into());
    }
    netgroups::check_clients(plane, &config.clients)?;
    if config.root_mode > 0o7777 {
        return Err(
            Problem::field("root_mode", "root_mode has twelve bits, for instance 493 (octal 755)").into()
        );
    }
    let metadata = plane.database.get::<MetadataStoreConfig>(&config.metadata);
    let metadata = metadata.ok_or_else(|| Problem {
        field: Some("metadata".to_owned()),
        ..Problem::not_found("metadata store", &config.metadata)
    })?;
    if plane.database.get::<ColdStoreConfig>(&config.cold).is_none() {
        let problem = Problem::not_found("cold store", &config.cold);
        return Err(Problem { field: Some("cold".to_owned()), ..problem }.into());
    }
    let local_names = matches!(metadata.kind, MetadataKind::Embedded | MetadataKind::Memory);
    if config.durability == Durability::Remote && local_names {
        let why = "durability 'remote' needs a Postgres metadata store: an embedded one is lost with the box; use 'local'";
        return Err(Problem::field("durability", why).into());
    }
    Ok(())
}

pub(crate) async fn create(
    State(plane): Plane,
    caller: Caller,
    Body(config): Body<ShareConfig>,
) -> Result<(StatusCode, Json<ShareStatus>), Refusal> {
    caller.at_least(Role::Admin)?;
    let _changing = plane.changing.lock().await;
    check(&plane, &config)?;
    if plane.database.get::<ShareConfig>(&config.name).is_some() {
        return Err(Problem::conflict(format!("a share named '{}' exists", config.name)).into());
    }
    plane.backend.create_share(&config).await?;
    plane.database.commit(Change::default().put(&config), None).await?;
    tracing::info!(share = %config.name, by = %caller.0.sub, "share created");
    Ok((StatusCode::CREATED, Json(status(&plane, config).await)))
}

/// The settings with what a request changes.
fn changed(mut config: ShareConfig, change: ChangeShare) -> ShareConfig {
    let ChangeShare { clients, squash, anon_uid, anon_gid, read_only, .. } = change;
    let ChangeShare { default_permission, manage_gids, comment, .. } = change;
    let ChangeShare { blocked_operations, relatime, recycle, .. } = change;
    config.clients = clients.unwrap_or(config.clients);
    config.squash = squash.unwrap_or(config.squash);
    config.anon_uid = anon_uid.unwrap_or(config.anon_uid);
    config.anon_gid = anon_gid.unwrap_or(config.anon_gid);
    config.read_only = read_only.unwrap_or(config.read_only);
    config.default_permission = default_permission.unwrap_or(config.default_permission);
    config.manage_gids = manage_gids.unwrap_or(config.manage_gids);
    config.comment = comment.unwrap_or(config.comment);
    let rules = &mut config.rules;
    rules.blocked_operations =
        blocked_operations.unwrap_or_else(|| std::mem::take(&mut rules.blocked_operations));
    rules.relatime = relatime.unwrap_or(rules.relatime);
    rules.recycle = recycle.unwrap_or(rules.recycle);
    config
}

/// Changes the rules of a share while it is served.
pub(crate) async fn change(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
    Body(request): Body<ChangeShare>,
) -> Result<Json<ShareStatus>, Refusal> {
    caller.at_least(Role::Admin)?;
    let _changing = plane.changing.lock().await;
    let before =
        plane.database.get::<ShareConfig>(&name).ok_or_else(|| Problem::not_found("share", &name))?;
    let config = changed(before, request);
    netgroups::check_clients(&plane, &config.clients)?;
    plane.backend.change_share(&config).await?;
    plane.database.commit(Change::default().put(&config), None).await?;
    tracing::info!(share = %name, by = %caller.0.sub, "share changed");
    Ok(Json(status(&plane, config).await))
}

/// Tries a share again that could not be opened.
pub(crate) async fn open(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<ShareStatus>, Refusal> {
    caller.at_least(Role::Operator)?;
    let _changing = plane.changing.lock().await;
    let config =
        plane.database.get::<ShareConfig>(&name).ok_or_else(|| Problem::not_found("share", &name))?;
    plane.backend.open_share(&name).await?;
    Ok(Json(status(&plane, config).await))
}

pub(crate) async fn delete(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.at_least(Role::Admin)?;
    let _changing = plane.changing.lock().await;
    if plane.database.get::<ShareConfig>(&name).is_none() {
        return Err(Problem::not_found("share", &name).into());
    }
    plane.backend.delete_share(&name, true).await?;
    plane.database.commit(Change::default().remove::<ShareConfig>(&name), None).await?;
    tracing::info!(share = %name, by = %caller.0.sub, "share deleted");
    Ok(StatusCode::NO_CONTENT)
}

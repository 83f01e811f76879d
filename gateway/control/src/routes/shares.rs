//! Shares: made, changed, taken in and out, deleted.
//!
//! The running gateway goes first and what worked is written down, so a crash in between leaves at most a share that serves
//! and is not known, never one that is known and was not made.

use super::answers::{Created, Done, Page, Shown, cut};
use super::call::Call;
use super::inputs::{Forced, NoBody, NoQuery, Paged, Sent};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use super::{check_name, netgroups};
use crate::change::Change;
use crate::guard::Refusal;
use crate::people;
use crate::plane::ControlPlane;
use axum::http::Method;
use dfs_api::{
    ChangeShare, ColdStoreConfig, Durability, MetadataKind, MetadataStoreConfig, Mount, Problem, ShareConfig,
    ShareStatus,
};
use std::sync::Arc;

/// Longest comment in bytes.
const COMMENT_MAX: usize = 1024;

pub(super) fn routes() -> Vec<Route> {
    let change = route(Method::PATCH, "/shares/{name}", "changeShare", ADMIN, change)
        .says("Changes the rules of a share while it is served; what is left out stays.")
        .audited("share.change");
    family(
        "shares",
        vec![
            route(Method::GET, "/shares", "listShares", OPERATOR, list).says("Lists the shares by name."),
            route(Method::POST, "/shares", "createShare", ADMIN, create)
                .says("Makes a share, or opens one that its stores know, and serves it.")
                .audited("share.create")
                .once(),
            route(Method::GET, "/shares/{name}", "getShare", OPERATOR, show).says("Shows a share."),
            change.also(Method::PUT, "replaceShare"),
            change,
            route(Method::DELETE, "/shares/{name}", "deleteShare", ADMIN, delete)
                .says("Deletes a share with its names, quotas and permissions; its packs stay in the cold store.")
                .audited("share.delete"),
            route(Method::POST, "/shares/{name}/open", "openShare", OPERATOR, open)
                .says("Tries a share again that could not be opened.")
                .audited("share.open"),
            route(Method::POST, "/shares/{name}/enable", "enableShare", ADMIN, enable)
                .says("Serves a share that was disabled.")
                .audited("share.enable"),
            route(Method::POST, "/shares/{name}/disable", "disableShare", ADMIN, disable)
                .says("Stops serving a share; everything in it stays.")
                .audited("share.disable"),
            route(Method::GET, "/shares/{name}/mounts", "listShareMounts", OPERATOR, mounts)
                .says("Lists the clients that have a share mounted."),
        ],
    )
}

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

/// Tests a share's settings against each other and against what exists.
fn check(plane: &ControlPlane, config: &ShareConfig) -> Result<(), Refusal> {
    check_name(&config.name)?;
    if !config.block_size.is_power_of_two() || !(65_536..=1_048_576).contains(&config.block_size) {
        let rule = "block_size is a power of two from 65536 (64 KiB) to 1048576 (1 MiB)";
        return Err(Problem::field("block_size", rule).into());
    }
    check_rules(plane, config)?;
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

/// Tests what may change while a share is served.
fn check_rules(plane: &ControlPlane, config: &ShareConfig) -> Result<(), Refusal> {
    if config.comment.len() > COMMENT_MAX || config.comment.chars().any(char::is_control) {
        let rule = format!("comment has at most {COMMENT_MAX} bytes, without control characters");
        return Err(Problem::field("comment", rule).into());
    }
    netgroups::check_clients(plane, &config.clients)
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

/// The settings of a share. *Errors:* 404.
pub(super) fn found(plane: &ControlPlane, name: &str) -> Result<ShareConfig, Refusal> {
    Ok(plane.database.get::<ShareConfig>(name).ok_or_else(|| Problem::not_found("share", name))?)
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<ShareStatus>, Refusal> {
    let plane = &call.plane;
    let page = super::answers::page_of(&plane.database.snapshot(), &paged, ShareConfig::clone)?;
    let mut items = Vec::with_capacity(page.items.len());
    for config in page.items {
        items.push(status(plane, config).await);
    }
    Ok(Page { items, total: page.total, next: page.next, limit: page.limit })
}

async fn show(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<ShareStatus>, Refusal> {
    let config = found(&call.plane, call.part("name"))?;
    Ok(Shown(status(&call.plane, config).await))
}

async fn create(
    call: Arc<Call>,
    _: NoQuery,
    Sent(config): Sent<ShareConfig>,
) -> Result<Created<ShareStatus>, Refusal> {
    let plane = &call.plane;
    call.about(&config.name);
    let _changing = plane.changing.shares.lock().await;
    check(plane, &config)?;
    if plane.database.get::<ShareConfig>(&config.name).is_some() {
        let exists = Problem::conflict(format!("a share named '{}' exists", config.name));
        return Err(Problem { field: Some("name".to_owned()), ..exists }.into());
    }
    plane.backend.create_share(&config).await?;
    call.after(&config);
    call.commit(Change::default().put(&config)).await?;
    Ok(Created(status(plane, config).await))
}

async fn change(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<ChangeShare>,
) -> Result<Shown<ShareStatus>, Refusal> {
    let plane = &call.plane;
    let _changing = plane.changing.shares.lock().await;
    let before = found(plane, call.part("name"))?;
    call.before(&before);
    let config = changed(before, request);
    check_rules(plane, &config)?;
    plane.backend.change_share(&config).await?;
    call.after(&config);
    call.commit(Change::default().put(&config)).await?;
    Ok(Shown(status(plane, config).await))
}

async fn open(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<ShareStatus>, Refusal> {
    let plane = &call.plane;
    let _changing = plane.changing.shares.lock().await;
    let config = found(plane, call.part("name"))?;
    plane.backend.open_share(&config.name).await?;
    Ok(Shown(status(plane, config).await))
}

async fn enable(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<ShareStatus>, Refusal> {
    let plane = &call.plane;
    let _changing = plane.changing.shares.lock().await;
    let before = found(plane, call.part("name"))?;
    let config = ShareConfig { enabled: true, ..before.clone() };
    if !before.enabled {
        call.before(&before);
        plane.backend.enable_share(&config).await?;
        call.after(&config);
        call.commit(Change::default().put(&config)).await?;
    }
    Ok(Shown(status(plane, config).await))
}

async fn disable(call: Arc<Call>, asked: Forced, _: NoBody) -> Result<Shown<ShareStatus>, Refusal> {
    let plane = &call.plane;
    let _changing = plane.changing.shares.lock().await;
    let before = found(plane, call.part("name"))?;
    let config = ShareConfig { enabled: false, ..before.clone() };
    if before.enabled {
        call.before(&before);
        plane.backend.disable_share(&config, asked.force).await?;
        call.after(&config);
        call.commit(Change::default().put(&config)).await?;
    }
    Ok(Shown(status(plane, config).await))
}

async fn delete(call: Arc<Call>, asked: Forced, _: NoBody) -> Result<Done, Refusal> {
    let plane = &call.plane;
    let name = call.part("name");
    let _changing = plane.changing.shares.lock().await;
    call.before(&found(plane, name)?);
    plane.backend.delete_share(name, asked.force).await?;
    call.transact(|snapshot| Ok((people::delete_share(snapshot, name)?, ()))).await?;
    plane.tell_identities();
    Ok(Done)
}

async fn mounts(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<Mount>, Refusal> {
    let share = found(&call.plane, call.part("name"))?.name;
    let mut mounts = call.plane.backend.mounts().await;
    mounts.retain(|mount| mount.share == share);
    cut(mounts, &paged, super::clients::mount_key)
}

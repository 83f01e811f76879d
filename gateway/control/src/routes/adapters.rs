//! Adapters: protocols started, stopped, moved and set while clients are connected.

use super::answers::{Created, Done, Page, Shown, cut};
use super::call::Call;
use super::inputs::{Forced, NoBody, NoQuery, Paged, Sent, Tried};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use crate::change::Change;
use crate::guard::Refusal;
use crate::plane::ControlPlane;
use crate::rows::AdapterRow;
use axum::http::Method;
use dfs_api::{
    Adapter, AdapterKind, AddAdapter, ChangeAdapter, ChangeNfsSettings, ClientStatus, Mount, NfsSettings,
    Problem,
};
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let change = route(Method::PATCH, "/adapters/{kind}", "changeAdapter", ADMIN, change)
        .says("Starts, stops or moves an adapter. A new port is open before the old one closes.")
        .audited("adapter.change");
    let settings = "/adapters/{kind}/settings";
    family(
        "adapters",
        vec![
            route(Method::GET, "/adapters", "listAdapters", OPERATOR, list).says("Lists the adapters."),
            route(Method::POST, "/adapters", "addAdapter", ADMIN, add)
                .says("Adds an adapter, and serves it unless it is disabled.")
                .audited("adapter.add")
                .once(),
            route(Method::GET, "/adapters/{kind}", "getAdapter", OPERATOR, show).says("Shows an adapter."),
            change.also(Method::PUT, "replaceAdapter"),
            change,
            route(Method::DELETE, "/adapters/{kind}", "removeAdapter", ADMIN, remove)
                .says("Stops an adapter and forgets it.")
                .audited("adapter.remove"),
            route(Method::GET, settings, "getAdapterSettings", OPERATOR, show_settings)
                .says("Shows the settings of an adapter."),
            route(Method::PUT, settings, "replaceAdapterSettings", ADMIN, replace_settings)
                .says("Replaces the settings of an adapter while it serves.")
                .audited("adapter.settings"),
            route(Method::PATCH, settings, "changeAdapterSettings", ADMIN, change_settings)
                .says("Changes settings of an adapter while it serves; what is left out stays.")
                .audited("adapter.settings"),
            route(
                Method::GET,
                "/adapters/{kind}/settings/defaults",
                "getAdapterDefaults",
                OPERATOR,
                defaults,
            )
            .says("Shows the settings that hold where nobody said anything."),
            route(Method::POST, "/adapters/{kind}/settings/reset", "resetAdapterSettings", ADMIN, reset)
                .says("Gives an adapter its default settings back.")
                .audited("adapter.settings"),
            route(Method::GET, "/adapters/{kind}/mounts", "listAdapterMounts", OPERATOR, mounts)
                .says("Lists what clients of an adapter have mounted."),
            route(Method::GET, "/adapters/{kind}/clients", "listAdapterClients", OPERATOR, clients)
                .says("Lists the clients that are connected to an adapter."),
            route(Method::DELETE, "/adapters/{kind}/clients/{id}", "evictAdapterClient", ADMIN, evict)
                .says("Cuts a client off. It may connect again.")
                .audited("client.evict"),
        ],
    )
}

/// The kind that a path names. *Errors:* 404.
fn kind(call: &Call) -> Result<AdapterKind, Problem> {
    match call.part("kind") {
        "nfs" => Ok(AdapterKind::Nfs),
        "smb" => Err(Problem::new(404, "not-built", "the adapter 'smb' comes with the SMB protocol")),
        other => Err(Problem::not_found("adapter", other)),
    }
}

async fn found(plane: &ControlPlane, kind: AdapterKind) -> Result<Adapter, Problem> {
    let known = plane.backend.adapters().await.into_iter().find(|adapter| adapter.kind == kind);
    known.ok_or_else(|| Problem::not_found("adapter", kind.name()))
}

/// The row of an adapter; one that was never changed is as the configuration file has it.
fn row(plane: &ControlPlane, now: &Adapter) -> AdapterRow {
    let gateway = plane.backend.gateway();
    let known = plane.database.get::<AdapterRow>(&AdapterRow::key_of(&gateway, now.kind));
    let (kind, enabled) = (now.kind, now.enabled);
    let fresh = AdapterRow { gateway, kind, enabled, listen: None, settings: None, removed: false };
    known.filter(|row| !row.removed).unwrap_or(fresh)
}

fn check_listen(listen: Option<&String>) -> Result<(), Problem> {
    let Some(listen) = listen else { return Ok(()) };
    let rule = "listen is an address and a port, for instance 0.0.0.0:12049";
    listen.parse::<SocketAddr>().map(drop).map_err(|_| Problem::field("listen", rule))
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<Adapter>, Refusal> {
    cut(call.plane.backend.adapters().await, &paged, |adapter| adapter.kind.name().to_owned())
}

async fn show(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<Adapter>, Refusal> {
    Ok(Shown(found(&call.plane, kind(&call)?).await?))
}

async fn add(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<AddAdapter>,
) -> Result<Created<Adapter>, Refusal> {
    let plane = &call.plane;
    call.about(request.kind.name());
    check_listen(request.listen.as_ref())?;
    let _changing = plane.changing.adapters.lock().await;
    let added = plane.backend.add_adapter(&request).await?;
    call.after(&added);
    let AddAdapter { kind, listen, enabled } = request;
    let gateway = plane.backend.gateway();
    let row = AdapterRow { gateway, kind, enabled, listen, settings: None, removed: false };
    call.commit(Change::default().put(&row)).await?;
    Ok(Created(added))
}

async fn change(
    call: Arc<Call>,
    asked: Forced,
    Sent(request): Sent<ChangeAdapter>,
) -> Result<Shown<Adapter>, Refusal> {
    let (plane, kind) = (&call.plane, kind(&call)?);
    check_listen(request.listen.as_ref())?;
    let _changing = plane.changing.adapters.lock().await;
    let before = found(plane, kind).await?;
    call.before(&before);
    let changed = plane.backend.change_adapter(kind, &request, asked.force).await?;
    call.after(&changed);
    let row = row(plane, &before);
    let row = AdapterRow {
        enabled: request.enabled.unwrap_or(row.enabled),
        listen: request.listen.or(row.listen),
        ..row
    };
    call.commit(Change::default().put(&row)).await?;
    Ok(Shown(changed))
}

async fn remove(call: Arc<Call>, asked: Forced, _: NoBody) -> Result<Done, Refusal> {
    let (plane, kind) = (&call.plane, kind(&call)?);
    let _changing = plane.changing.adapters.lock().await;
    call.before(&found(plane, kind).await?);
    plane.backend.remove_adapter(kind, asked.force).await?;
    // The row stays: without one the configuration file would bring the adapter back at the next start.
    let gateway = plane.backend.gateway();
    let gone = AdapterRow { gateway, kind, enabled: false, listen: None, settings: None, removed: true };
    call.commit(Change::default().put(&gone)).await?;
    Ok(Done)
}

async fn show_settings(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<NfsSettings>, Refusal> {
    Ok(Shown(found(&call.plane, kind(&call)?).await?.settings))
}

async fn defaults(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<NfsSettings>, Refusal> {
    Ok(Shown(call.plane.backend.default_adapter_settings(kind(&call)?)))
}

/// Puts settings into force, or only tests them, and answers them.
async fn set(
    call: &Call,
    asked: Tried,
    settings: impl FnOnce(NfsSettings) -> NfsSettings,
    kept: impl FnOnce(&NfsSettings) -> Option<NfsSettings>,
) -> Result<Shown<NfsSettings>, Refusal> {
    let (plane, kind) = (&call.plane, kind(call)?);
    let _changing = plane.changing.adapters.lock().await;
    let before = found(plane, kind).await?;
    let settings = settings(before.settings.clone());
    plane.backend.check_adapter_settings(kind, &settings, asked.force).await?;
    if asked.dry_run {
        call.about(&format!("{} (dry run)", kind.name()));
        return Ok(Shown(settings));
    }
    call.before(&before.settings);
    plane.backend.set_adapter_settings(kind, &settings, asked.force).await?;
    call.after(&settings);
    let row = AdapterRow { settings: kept(&settings), ..row(plane, &before) };
    call.commit(Change::default().put(&row)).await?;
    Ok(Shown(settings))
}

async fn replace_settings(
    call: Arc<Call>,
    asked: Tried,
    Sent(settings): Sent<NfsSettings>,
) -> Result<Shown<NfsSettings>, Refusal> {
    set(&call, asked, |_| settings, |now| Some(now.clone())).await
}

async fn change_settings(
    call: Arc<Call>,
    asked: Tried,
    Sent(change): Sent<ChangeNfsSettings>,
) -> Result<Shown<NfsSettings>, Refusal> {
    set(&call, asked, |before| before.changed(change), |now| Some(now.clone())).await
}

async fn reset(call: Arc<Call>, asked: Tried, _: NoBody) -> Result<Shown<NfsSettings>, Refusal> {
    let default = call.plane.backend.default_adapter_settings(kind(&call)?);
    set(&call, asked, |_| default, |_| None).await
}

async fn mounts(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<Mount>, Refusal> {
    let protocol = kind(&call)?.name();
    let mut mounts = call.plane.backend.mounts().await;
    mounts.retain(|mount| mount.protocol.starts_with(protocol));
    cut(mounts, &paged, super::clients::mount_key)
}

async fn clients(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<ClientStatus>, Refusal> {
    let protocol = kind(&call)?.name();
    let mut clients = call.plane.backend.clients().await;
    clients.retain(|client| client.protocol.starts_with(protocol));
    cut(clients, &paged, |client| client.id.clone())
}

async fn evict(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    kind(&call)?;
    super::clients::evicted(&call).await
}

//! Netgroups: machines under one name, for the client lists of shares.

use super::answers::{Created, Done, Page, Shown, cut, page_of};
use super::call::Call;
use super::check_name;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use crate::change::Change;
use crate::guard::Refusal;
use crate::plane::ControlPlane;
use axum::http::Method;
use dfs_api::{AddMembers, Netgroup, NetgroupStatus, Problem, SetMembers, ShareConfig};
use dfs_auth::ClientRule;
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    family(
        "netgroups",
        vec![
            route(Method::GET, "/netgroups", "listNetgroups", OPERATOR, list)
                .says("Lists the netgroups by name."),
            route(Method::POST, "/netgroups", "createNetgroup", ADMIN, create)
                .says("Makes a netgroup.")
                .audited("netgroup.create")
                .once(),
            route(Method::GET, "/netgroups/{name}", "getNetgroup", OPERATOR, show)
                .says("Shows a netgroup and the shares that rely on it."),
            route(Method::PUT, "/netgroups/{name}", "replaceNetgroup", ADMIN, replace)
                .says("Replaces the members of a netgroup; client lists go by it at once.")
                .audited("netgroup.change"),
            route(Method::DELETE, "/netgroups/{name}", "deleteNetgroup", ADMIN, delete)
                .says("Deletes a netgroup that no share relies on.")
                .audited("netgroup.delete"),
            route(Method::GET, "/netgroups/{name}/members", "listNetgroupMembers", OPERATOR, members)
                .says("Lists the members of a netgroup."),
            route(Method::POST, "/netgroups/{name}/members", "addNetgroupMembers", ADMIN, add_members)
                .says("Adds members to a netgroup; those that are in it stay.")
                .audited("netgroup.change"),
            route(
                Method::DELETE,
                "/netgroups/{name}/members/{member}",
                "removeNetgroupMember",
                ADMIN,
                remove,
            )
            .says("Takes a member out of a netgroup.")
            .audited("netgroup.change"),
        ],
    )
}

/// Most members of one netgroup: every request of a client is compared with them.
const MEMBERS_MAX: usize = 4096;

/// Tests a client list: every rule, and that its netgroups exist.
pub(super) fn check_clients(plane: &ControlPlane, clients: &[String]) -> Result<(), Refusal> {
    for text in clients {
        let rule = text.parse::<ClientRule>();
        let rule = rule.map_err(|error| Problem::field("clients", error.to_string()))?;
        if let ClientRule::Netgroup(name) = rule
            && plane.database.get::<Netgroup>(&name).is_none()
        {
            let problem = Problem::not_found("netgroup", &name);
            return Err(Problem { field: Some("clients".to_owned()), ..problem }.into());
        }
    }
    Ok(())
}

/// Members as they are kept: each once, in the form in which rules are shown.
fn checked(members: &[String]) -> Result<Vec<String>, Refusal> {
    let mut kept = Vec::new();
    for text in members {
        let rule = text.parse::<ClientRule>();
        let rule = rule.map_err(|error| Problem::field("members", error.to_string()))?;
        if matches!(rule, ClientRule::Any | ClientRule::Netgroup(_)) {
            let why = format!("'{text}' cannot be a member: name addresses, networks or hosts");
            return Err(Problem::field("members", why).into());
        }
        let text = rule.to_string();
        if !kept.contains(&text) {
            kept.push(text);
        }
    }
    if kept.len() > MEMBERS_MAX {
        let why = format!("a netgroup has at most {MEMBERS_MAX} members: use networks, or several groups");
        return Err(Problem::field("members", why).into());
    }
    Ok(kept)
}

fn status(plane: &ControlPlane, group: Netgroup) -> NetgroupStatus {
    let rule = format!("@{}", group.name);
    let snapshot = plane.database.snapshot();
    let shares = snapshot.rows::<ShareConfig>().filter(|share| share.clients.contains(&rule));
    NetgroupStatus { shares: shares.map(|share| share.name.clone()).collect(), group }
}

fn found(plane: &ControlPlane, name: &str) -> Result<Netgroup, Refusal> {
    let group = plane.database.get::<Netgroup>(name);
    group.ok_or_else(|| Problem::not_found("netgroup", name).into())
}

/// Writes a group down and tells the gateway, which acts on it at once.
async fn keep(call: &Call, group: Netgroup) -> Result<NetgroupStatus, Refusal> {
    call.after(&group);
    call.commit(Change::default().put(&group)).await?;
    let plane = &call.plane;
    plane.backend.set_netgroups(&plane.database.list::<Netgroup>()).await;
    Ok(status(plane, group))
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<NetgroupStatus>, Refusal> {
    let plane = &call.plane;
    page_of(&plane.database.snapshot(), &paged, |group: &Netgroup| status(plane, group.clone()))
}

async fn show(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<NetgroupStatus>, Refusal> {
    Ok(Shown(status(&call.plane, found(&call.plane, call.part("name"))?)))
}

async fn members(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<String>, Refusal> {
    cut(found(&call.plane, call.part("name"))?.members, &paged, String::clone)
}

async fn create(
    call: Arc<Call>,
    _: NoQuery,
    Sent(group): Sent<Netgroup>,
) -> Result<Created<NetgroupStatus>, Refusal> {
    call.about(&group.name);
    check_name(&group.name)?;
    let members = checked(&group.members)?;
    let _changing = call.plane.changing.netgroups.lock().await;
    if call.plane.database.get::<Netgroup>(&group.name).is_some() {
        let exists = Problem::conflict(format!("a netgroup named '{}' exists", group.name));
        return Err(Problem { field: Some("name".to_owned()), ..exists }.into());
    }
    Ok(Created(keep(&call, Netgroup { members, ..group }).await?))
}

async fn replace(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<SetMembers>,
) -> Result<Shown<NetgroupStatus>, Refusal> {
    let _changing = call.plane.changing.netgroups.lock().await;
    let group = found(&call.plane, call.part("name"))?;
    call.before(&group);
    let members = checked(&request.members)?;
    Ok(Shown(keep(&call, Netgroup { members, ..group }).await?))
}

async fn add_members(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<AddMembers>,
) -> Result<Shown<NetgroupStatus>, Refusal> {
    let _changing = call.plane.changing.netgroups.lock().await;
    let group = found(&call.plane, call.part("name"))?;
    call.before(&group);
    let members = checked(&[group.members, request.members].concat())?;
    Ok(Shown(keep(&call, Netgroup { name: group.name, members }).await?))
}

async fn remove(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<NetgroupStatus>, Refusal> {
    let (name, member) = (call.part("name"), call.part("member"));
    let _changing = call.plane.changing.netgroups.lock().await;
    let mut group = found(&call.plane, name)?;
    call.before(&group);
    let before = group.members.len();
    let shown = member.parse::<ClientRule>().map_or_else(|_| member.to_owned(), |rule| rule.to_string());
    group.members.retain(|known| *known != shown);
    if group.members.len() == before {
        return Err(Problem::not_found(&format!("member of netgroup '{name}'"), member).into());
    }
    Ok(Shown(keep(&call, group).await?))
}

async fn delete(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    let (plane, name) = (&call.plane, call.part("name"));
    let _changing = plane.changing.netgroups.lock().await;
    // No share may begin to rely on it in between.
    let _shares = plane.changing.shares.lock().await;
    let known = status(plane, found(plane, name)?);
    if !known.shares.is_empty() {
        let why = format!(
            "netgroup '{name}' is used by {}: take '@{name}' out of their clients first",
            known.shares.join(", ")
        );
        return Err(Problem::conflict(why).into());
    }
    call.before(&known.group);
    call.commit(Change::default().remove::<Netgroup>(name)).await?;
    plane.backend.set_netgroups(&plane.database.list::<Netgroup>()).await;
    Ok(Done)
}

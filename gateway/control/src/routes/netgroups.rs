//! Netgroups: machines under one name, for the client lists of shares.

use super::{Body, check_name};
use crate::change::Change;
use crate::guard::{Caller, Refusal};
use crate::plane::ControlPlane;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dfs_api::{AddMembers, Netgroup, NetgroupStatus, Problem, Role, ShareConfig};
use dfs_auth::ClientRule;
use std::sync::Arc;

type Plane = State<Arc<ControlPlane>>;

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

fn status(plane: &ControlPlane, group: Netgroup) -> Result<NetgroupStatus, Refusal> {
    let rule = format!("@{}", group.name);
    let shares =
        plane.database.list::<ShareConfig>().into_iter().filter(|share| share.clients.contains(&rule));
    Ok(NetgroupStatus { shares: shares.map(|share| share.name).collect(), group })
}

fn found(plane: &ControlPlane, name: &str) -> Result<Netgroup, Refusal> {
    let group = plane.database.get::<Netgroup>(name);
    group.ok_or_else(|| Problem::not_found("netgroup", name).into())
}

/// Writes a group down and tells the gateway, which acts on it at once.
async fn keep(plane: &ControlPlane, group: Netgroup) -> Result<NetgroupStatus, Refusal> {
    plane.database.commit(Change::default().put(&group), None).await?;
    plane.backend.set_netgroups(&plane.database.list::<Netgroup>()).await;
    status(plane, group)
}

pub(crate) async fn list(State(plane): Plane, caller: Caller) -> Result<Json<Vec<NetgroupStatus>>, Refusal> {
    caller.at_least(Role::Operator)?;
    let groups = plane.database.list::<Netgroup>().into_iter();
    groups.map(|group| status(&plane, group)).collect::<Result<_, _>>().map(Json)
}

pub(crate) async fn show(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<NetgroupStatus>, Refusal> {
    caller.at_least(Role::Operator)?;
    Ok(Json(status(&plane, found(&plane, &name)?)?))
}

pub(crate) async fn create(
    State(plane): Plane,
    caller: Caller,
    Body(group): Body<Netgroup>,
) -> Result<(StatusCode, Json<NetgroupStatus>), Refusal> {
    caller.at_least(Role::Admin)?;
    check_name(&group.name)?;
    let members = checked(&group.members)?;
    let _changing = plane.changing.lock().await;
    if plane.database.get::<Netgroup>(&group.name).is_some() {
        return Err(Problem::conflict(format!("a netgroup named '{}' exists", group.name)).into());
    }
    tracing::info!(netgroup = %group.name, by = %caller.0.sub, "netgroup created");
    Ok((StatusCode::CREATED, Json(keep(&plane, Netgroup { members, ..group }).await?)))
}

pub(crate) async fn add_members(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
    Body(request): Body<AddMembers>,
) -> Result<Json<NetgroupStatus>, Refusal> {
    caller.at_least(Role::Admin)?;
    let _changing = plane.changing.lock().await;
    let group = found(&plane, &name)?;
    let members = checked(&[group.members, request.members].concat())?;
    tracing::info!(netgroup = %name, members = members.len(), by = %caller.0.sub, "netgroup changed");
    Ok(Json(keep(&plane, Netgroup { name, members }).await?))
}

pub(crate) async fn remove_member(
    State(plane): Plane,
    caller: Caller,
    Path((name, member)): Path<(String, String)>,
) -> Result<Json<NetgroupStatus>, Refusal> {
    caller.at_least(Role::Admin)?;
    let _changing = plane.changing.lock().await;
    let mut group = found(&plane, &name)?;
    let before = group.members.len();
    let shown = member.parse::<ClientRule>().map_or_else(|_| member.clone(), |rule| rule.to_string());
    group.members.retain(|known| *known != shown);
    if group.members.len() == before {
        return Err(Problem::not_found(&format!("member of netgroup '{name}'"), &member).into());
    }
    tracing::info!(netgroup = %name, member = %shown, by = %caller.0.sub, "netgroup changed");
    Ok(Json(keep(&plane, group).await?))
}

pub(crate) async fn delete(
    State(plane): Plane,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.at_least(Role::Admin)?;
    let _changing = plane.changing.lock().await;
    let shares = status(&plane, found(&plane, &name)?)?.shares;
    if !shares.is_empty() {
        let why = format!(
            "netgroup '{name}' is used by {}: take '@{name}' out of their clients first",
            shares.join(", ")
        );
        return Err(Problem::conflict(why).into());
    }
    plane.database.commit(Change::default().remove::<Netgroup>(&name), None).await?;
    plane.backend.set_netgroups(&plane.database.list::<Netgroup>()).await;
    tracing::info!(netgroup = %name, by = %caller.0.sub, "netgroup deleted");
    Ok(StatusCode::NO_CONTENT)
}

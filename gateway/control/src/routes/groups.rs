//! Groups and their members.

use super::answers::{Created, Done, Page, Shown, cut, page_of};
use super::call::Call;
use super::inputs::{NoBody, NoQuery, Paged, Sent};
use super::route::{ADMIN, OPERATOR, Route, family, route};
use crate::guard::Refusal;
use crate::mirror::Snapshot;
use crate::people::{self, members_by_group, shown_group};
use crate::rows::GroupRow;
use axum::http::Method;
use dfs_api::{AddMember, ChangeGroup, CreateGroup, Group, Problem};
use std::sync::Arc;

pub(super) fn routes() -> Vec<Route> {
    let change = route(Method::PATCH, "/groups/{name}", "changeGroup", ADMIN, change)
        .says("Changes a group; what is left out stays.")
        .audited("group.change");
    family(
        "groups",
        vec![
            route(Method::GET, "/groups", "listGroups", OPERATOR, list).says("Lists the groups by name."),
            route(Method::POST, "/groups", "createGroup", ADMIN, create)
                .says("Makes a group.")
                .audited("group.create")
                .once(),
            route(Method::GET, "/groups/{name}", "getGroup", OPERATOR, show).says("Shows a group."),
            change.also(Method::PUT, "replaceGroup"),
            change,
            route(Method::DELETE, "/groups/{name}", "deleteGroup", ADMIN, delete)
                .says("Deletes a group with its permissions; its members stay.")
                .audited("group.delete"),
            route(Method::GET, "/groups/{name}/members", "listMembers", OPERATOR, members)
                .says("Lists the names of a group's members."),
            route(Method::POST, "/groups/{name}/members", "addMember", ADMIN, add_member)
                .says("Puts a user into a group; one who is in it stays.")
                .audited("group.add-member")
                .once(),
            route(Method::DELETE, "/groups/{name}/members/{user}", "removeMember", ADMIN, remove_member)
                .says("Takes a user out of a group.")
                .audited("group.remove-member"),
        ],
    )
}

fn shown(snapshot: &Snapshot, name: &str) -> Result<Group, Problem> {
    let row = snapshot.get::<GroupRow>(name).ok_or_else(|| Problem::not_found("group", name))?;
    Ok(shown_group(snapshot, row))
}

async fn list(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<Group>, Refusal> {
    let snapshot = call.plane.database.snapshot();
    // One walk over the users, not one for each group.
    let members = members_by_group(&snapshot);
    page_of(&snapshot, &paged, |row: &GroupRow| {
        let names = members.get(row.name.as_str()).into_iter().flatten();
        Group {
            name: row.name.clone(),
            gid: row.gid,
            description: row.description.clone(),
            members: names.map(|name| (*name).to_owned()).collect(),
            created_at: row.created_at,
        }
    })
}

async fn show(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Shown<Group>, Refusal> {
    Ok(Shown(shown(&call.plane.database.snapshot(), call.part("name"))?))
}

async fn create(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<CreateGroup>,
) -> Result<Created<Group>, Refusal> {
    call.about(&request.name);
    let now = call.plane.tokens.now();
    let made = call.transact(|snapshot| {
        let (change, group) = people::create_group(snapshot, &request, now)?;
        call.after(&group);
        Ok((change, group))
    });
    let made = made.await?;
    call.plane.tell_identities();
    Ok(Created(made))
}

async fn change(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<ChangeGroup>,
) -> Result<Shown<Group>, Refusal> {
    let changed = call.transact(|snapshot| {
        let name = call.part("name");
        call.before(&shown(snapshot, name)?);
        let (change, group) = people::change_group(snapshot, name, &request)?;
        call.after(&group);
        Ok((change, group))
    });
    let changed = changed.await?;
    call.plane.tell_identities();
    Ok(Shown(changed))
}

async fn delete(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    let deleted = call.transact(|snapshot| {
        let name = call.part("name");
        call.before(&shown(snapshot, name)?);
        Ok((people::delete_group(snapshot, name)?, ()))
    });
    deleted.await?;
    call.plane.tell_identities();
    Ok(Done)
}

async fn members(call: Arc<Call>, paged: Paged, _: NoBody) -> Result<Page<String>, Refusal> {
    let group = shown(&call.plane.database.snapshot(), call.part("name"))?;
    cut(group.members, &paged, String::clone)
}

async fn add_member(
    call: Arc<Call>,
    _: NoQuery,
    Sent(request): Sent<AddMember>,
) -> Result<Shown<Group>, Refusal> {
    let name = call.part("name");
    call.about(&format!("{name}/{}", request.user));
    let joined = call.transact(|snapshot| Ok((people::add_member(snapshot, name, &request.user)?, ())));
    joined.await?;
    call.plane.tell_identities();
    Ok(Shown(shown(&call.plane.database.snapshot(), name)?))
}

async fn remove_member(call: Arc<Call>, _: NoQuery, _: NoBody) -> Result<Done, Refusal> {
    let (name, user) = (call.part("name"), call.part("user"));
    let left = call.transact(|snapshot| Ok((people::remove_member(snapshot, name, user)?, ())));
    left.await?;
    call.plane.tell_identities();
    Ok(Done)
}

//! Groups and who is in them. Membership stands in the users' rows.

use super::{check_id, check_text, sorted, taken, user};
use crate::change::Change;
use crate::mirror::Snapshot;
use crate::rows::{GrantRow, GroupRow, UserRow};
use dfs_api::{ChangeGroup, CreateGroup, GrantKind, Group, Problem};
use std::collections::HashMap;

/// The members of every group, sorted: one walk over the users, for a whole page of groups.
pub fn members_by_group(snapshot: &Snapshot) -> HashMap<&str, Vec<&str>> {
    let mut members: HashMap<&str, Vec<&str>> = HashMap::new();
    for user in snapshot.rows::<UserRow>() {
        for group in &user.groups {
            members.entry(group).or_default().push(&user.name);
        }
    }
    members
}

fn members_of(snapshot: &Snapshot, group: &str) -> Vec<String> {
    let member = |user: &&std::sync::Arc<UserRow>| is_member(user, group);
    snapshot.rows::<UserRow>().filter(member).map(|user| user.name.clone()).collect()
}

fn is_member(user: &UserRow, group: &str) -> bool {
    user.groups.binary_search_by(|known| known.as_str().cmp(group)).is_ok()
}

/// A group as the API shows it.
pub fn shown_group(snapshot: &Snapshot, row: &GroupRow) -> Group {
    Group {
        name: row.name.clone(),
        gid: row.gid,
        description: row.description.clone(),
        members: members_of(snapshot, &row.name),
        created_at: row.created_at,
    }
}

/// A group by name. *Errors:* 404.
fn group<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a GroupRow, Problem> {
    let found = snapshot.get::<GroupRow>(name);
    found.map(AsRef::as_ref).ok_or_else(|| Problem::not_found("group", name))
}

fn check(snapshot: &Snapshot, row: &GroupRow) -> Result<(), Problem> {
    check_text("description", &row.description)?;
    check_id("gid", row.gid)?;
    let Some(gid) = row.gid else { return Ok(()) };
    let same = snapshot.rows::<GroupRow>().find(|other| other.gid == Some(gid) && other.name != row.name);
    match same {
        Some(other) => Err(taken("gid", format!("gid {gid} is that of group '{}'", other.name))),
        None => Ok(()),
    }
}

/// Makes a group and puts its members into it.
pub fn create_group(
    snapshot: &Snapshot,
    request: &CreateGroup,
    now: i64,
) -> Result<(Change, Group), Problem> {
    crate::routes::check_name(&request.name)?;
    if snapshot.has::<GroupRow>(&request.name) {
        return Err(taken("name", format!("a group named '{}' exists", request.name)));
    }
    let row = GroupRow {
        name: request.name.clone(),
        gid: request.gid,
        description: request.description.clone(),
        created_at: now,
    };
    check(snapshot, &row)?;
    let members = sorted(&request.members);
    let mut change = Change::default().put(&row);
    for name in &members {
        let member = snapshot.get::<UserRow>(name);
        let member =
            member.ok_or_else(|| Problem::field("members", format!("there is no user named '{name}'")))?;
        change = change.put(&joined(member, &row.name)?);
    }
    let GroupRow { name, gid, description, created_at } = row;
    Ok((change, Group { name, gid, description, members, created_at }))
}

/// Changes a group.
pub fn change_group(
    snapshot: &Snapshot,
    name: &str,
    request: &ChangeGroup,
) -> Result<(Change, Group), Problem> {
    let mut row = group(snapshot, name)?.clone();
    row.gid = request.gid.unwrap_or(row.gid);
    row.description = request.description.clone().unwrap_or(row.description);
    check(snapshot, &row)?;
    Ok((Change::default().put(&row), shown_group(snapshot, &row)))
}

/// Deletes a group with its grants; its members stay.
pub fn delete_group(snapshot: &Snapshot, name: &str) -> Result<Change, Problem> {
    group(snapshot, name)?;
    let mut change = Change::default().remove::<GroupRow>(name);
    for member in snapshot.rows::<UserRow>().filter(|user| is_member(user, name)) {
        change = change.put(&left(member, name));
    }
    for grant in snapshot.rows::<GrantRow>().filter(|grant| super::is_for(grant, GrantKind::Group, name)) {
        change = change.remove::<GrantRow>(&GrantRow::key_of(&grant.share, grant.kind, name));
    }
    Ok(change)
}

/// Puts a user into a group; nothing changes when he is in it.
pub fn add_member(snapshot: &Snapshot, name: &str, member: &str) -> Result<Change, Problem> {
    group(snapshot, name)?;
    let found = snapshot.get::<UserRow>(member);
    let found = found.ok_or_else(|| Problem::field("user", format!("there is no user named '{member}'")))?;
    match is_member(found, name) {
        true => Ok(Change::default()),
        false => Ok(Change::default().put(&joined(found, name)?)),
    }
}

/// Takes a user out of a group. *Errors:* 404 when he is not in it.
pub fn remove_member(snapshot: &Snapshot, name: &str, member: &str) -> Result<Change, Problem> {
    group(snapshot, name)?;
    let found = user(snapshot, member)?;
    match is_member(found, name) {
        true => Ok(Change::default().put(&left(found, name))),
        false => Err(Problem::not_found(&format!("member of group '{name}'"), member)),
    }
}

fn joined(user: &UserRow, group: &str) -> Result<UserRow, Problem> {
    let mut user = user.clone();
    if let Err(at) = user.groups.binary_search_by(|known| known.as_str().cmp(group)) {
        if user.groups.len() >= super::GROUPS_MAX {
            let why = format!("user '{}' is in {} groups, which is the most", user.name, super::GROUPS_MAX);
            return Err(Problem::conflict(why));
        }
        user.groups.insert(at, group.to_owned());
    }
    Ok(user)
}

fn left(user: &UserRow, group: &str) -> UserRow {
    let mut user = user.clone();
    user.groups.retain(|known| known != group);
    user
}

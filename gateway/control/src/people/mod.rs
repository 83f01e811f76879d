//! Rules about people: who may be made, changed and deleted, and what goes with them.
//!
//! Pure functions over a snapshot: each answers the change to be committed, or the problem with the field that it is about.
//! They are called within [`crate::ControlDatabase::transact`], so that what they looked at still holds when it is committed.
//! *Invariants:* names, uids and gids are unique; a user's groups exist; grants and mappings name what exists; there is an
//! administrator who can log in. Nothing is ever renamed.

mod grants;
mod groups;
mod identities;
#[cfg(test)]
mod tests;

pub use grants::{add_mapping, delete_share, effective, grant, grants_of, remove_mapping, revoke};
pub use groups::{
    add_member, change_group, create_group, delete_group, members_by_group, remove_member, shown_group,
};
pub use identities::{identities, same_people};

use crate::change::Change;
use crate::mirror::Snapshot;
use crate::rows::{GrantRow, GroupRow, IdmapRow, UserRow};
use crate::sessions;
use crate::users::HashedPassword;
use dfs_api::{ChangeUser, CreateUser, GrantKind, Problem, Role, User};

/// Longest text for people, in bytes.
const TEXT_MAX: usize = 1024;
/// Most groups of one user: what a kernel takes, and more than anybody needs.
const GROUPS_MAX: usize = 1024;
/// Names that mean something else in paths.
const RESERVED: &[&str] = &["me"];

/// A user as the API shows him.
pub fn shown_user(row: &UserRow) -> User {
    User {
        name: row.name.clone(),
        full_name: row.full_name.clone(),
        email: row.email.clone(),
        role: row.role,
        enabled: row.enabled,
        must_change_password: row.must_change_password,
        uid: row.uid,
        gid: row.gid,
        groups: row.groups.clone(),
        created_at: row.created_at,
        last_login_at: row.last_login_at,
    }
}

/// A user by name. *Errors:* 404.
pub fn user<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a UserRow, Problem> {
    let found = snapshot.get::<UserRow>(name);
    found.map(AsRef::as_ref).ok_or_else(|| Problem::not_found("user", name))
}

/// Makes a user whose password was hashed.
pub fn create_user(
    snapshot: &Snapshot,
    request: &CreateUser,
    password: HashedPassword,
    now: i64,
) -> Result<(Change, UserRow), Problem> {
    crate::routes::check_name(&request.name)?;
    if RESERVED.contains(&request.name.as_str()) {
        return Err(Problem::field(
            "name",
            format!("'{}' stands for the caller: choose another", request.name),
        ));
    }
    if snapshot.has::<UserRow>(&request.name) {
        return Err(taken("name", format!("a user named '{}' exists", request.name)));
    }
    let row = UserRow {
        name: request.name.clone(),
        password_hash: password.password_hash,
        nt_hash: Some(password.nt_hash),
        role: request.role,
        must_change_password: request.must_change_password,
        token_version: 1,
        enabled: request.enabled,
        full_name: request.full_name.clone(),
        email: request.email.clone(),
        uid: request.uid,
        gid: request.gid,
        groups: sorted(&request.groups),
        created_at: now,
        last_login_at: None,
    };
    check(snapshot, &row)?;
    Ok((Change::default().put(&row), row))
}

/// Changes a user. His tokens are void when his role changed or he was disabled.
pub fn change_user(
    snapshot: &Snapshot,
    name: &str,
    request: &ChangeUser,
) -> Result<(Change, UserRow), Problem> {
    let before = user(snapshot, name)?;
    let ChangeUser { full_name, email, role, enabled, uid, gid, groups } = request.clone();
    let mut row = before.clone();
    row.full_name = full_name.unwrap_or(row.full_name);
    row.email = email.unwrap_or(row.email);
    row.role = role.unwrap_or(row.role);
    row.enabled = enabled.unwrap_or(row.enabled);
    row.uid = uid.unwrap_or(row.uid);
    row.gid = gid.unwrap_or(row.gid);
    row.groups = groups.map_or(row.groups, |groups| sorted(&groups));
    check(snapshot, &row)?;
    if before.enabled && before.role == Role::Admin && !(row.enabled && row.role == Role::Admin) {
        keep_an_admin(snapshot, name)?;
    }
    let void = row.role != before.role || row.enabled != before.enabled;
    if !void {
        return Ok((Change::default().put(&row), row));
    }
    row.token_version += 1;
    Ok((sessions::end_all(snapshot, name).put(&row), row))
}

/// Gives a user another password. All his sessions end.
pub fn set_password(
    snapshot: &Snapshot,
    name: &str,
    password: HashedPassword,
    must_change: bool,
) -> Result<(Change, UserRow), Problem> {
    let mut row = user(snapshot, name)?.clone();
    row.set_password(password, must_change);
    Ok((sessions::end_all(snapshot, name).put(&row), row))
}

/// Deletes a user with his sessions, grants and mappings.
pub fn delete_user(snapshot: &Snapshot, name: &str) -> Result<Change, Problem> {
    let row = user(snapshot, name)?;
    if row.enabled && row.role == Role::Admin {
        keep_an_admin(snapshot, name)?;
    }
    let mut change = sessions::end_all(snapshot, name).remove::<UserRow>(name);
    for grant in snapshot.rows::<GrantRow>().filter(|grant| is_for(grant, GrantKind::User, name)) {
        change = change.remove::<GrantRow>(&GrantRow::key_of(&grant.share, grant.kind, name));
    }
    for mapping in snapshot.rows::<IdmapRow>().filter(|mapping| mapping.user == name) {
        change = change.remove::<IdmapRow>(&mapping.principal);
    }
    Ok(change)
}

fn is_for(grant: &GrantRow, kind: GrantKind, name: &str) -> bool {
    grant.kind == kind && grant.name == name
}

/// Refuses when nobody else could administer the gateway.
fn keep_an_admin(snapshot: &Snapshot, name: &str) -> Result<(), Problem> {
    let other = |user: &UserRow| user.enabled && user.role == Role::Admin && user.name != name;
    if snapshot.rows::<UserRow>().any(|user| other(user)) {
        return Ok(());
    }
    let why = format!("'{name}' is the last enabled administrator: make another one first");
    Err(Problem::new(409, "last-admin", why))
}

/// What must hold of every user.
fn check(snapshot: &Snapshot, row: &UserRow) -> Result<(), Problem> {
    check_text("full_name", &row.full_name)?;
    check_text("email", &row.email)?;
    check_id("uid", row.uid)?;
    check_id("gid", row.gid)?;
    if row.groups.len() > GROUPS_MAX {
        return Err(Problem::field("groups", format!("a user has at most {GROUPS_MAX} groups")));
    }
    if let Some(group) = row.groups.iter().find(|group| !snapshot.has::<GroupRow>(group)) {
        return Err(Problem::field("groups", format!("there is no group named '{group}'")));
    }
    let Some(uid) = row.uid else { return Ok(()) };
    let same = snapshot.rows::<UserRow>().find(|other| other.uid == Some(uid) && other.name != row.name);
    if let Some(other) = same {
        return Err(taken("uid", format!("uid {uid} is that of user '{}'", other.name)));
    }
    match snapshot.get::<IdmapRow>(&format!("uid:{uid}")) {
        Some(mapping) if mapping.user != row.name => {
            Err(taken("uid", format!("uid {uid} is mapped to user '{}'", mapping.user)))
        }
        _ => Ok(()),
    }
}

fn check_id(field: &str, id: Option<u32>) -> Result<(), Problem> {
    match id {
        Some(u32::MAX) => Err(Problem::field(field, format!("{} means 'none' to clients", u32::MAX))),
        _ => Ok(()),
    }
}

fn check_text(field: &str, text: &str) -> Result<(), Problem> {
    if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
        let rule = format!("{field} has at most {TEXT_MAX} bytes, without control characters");
        return Err(Problem::field(field, rule));
    }
    Ok(())
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}

/// What a field asks for belongs to something else (409).
fn taken(field: &str, detail: String) -> Problem {
    Problem { field: Some(field.to_owned()), ..Problem::conflict(detail) }
}

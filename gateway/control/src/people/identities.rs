//! The table of the data path: users with their groups and what they may do, resolved.

use super::grants::mapped_uid;
use crate::mirror::Snapshot;
use crate::rows::{GrantRow, GroupRow, IdmapRow, UserRow};
use dfs_api::{GrantKind, PermissionLevel};
use dfs_auth::identity::{Identities, KnownUser, Level};
use std::collections::HashMap;
use std::sync::Arc;

/// The level of the data path.
fn level(level: PermissionLevel) -> Level {
    match level {
        PermissionLevel::None => Level::None,
        PermissionLevel::Read => Level::Read,
        PermissionLevel::ReadWrite => Level::ReadWrite,
        PermissionLevel::Admin => Level::Admin,
    }
}

type Granted<'a> = HashMap<&'a str, Vec<(Arc<str>, Level)>>;

/// Makes the table from a snapshot: one walk over users and grants.
#[must_use]
pub fn identities(snapshot: &Snapshot) -> Identities {
    let gids: HashMap<&str, u32> =
        snapshot.rows::<GroupRow>().filter_map(|group| Some((group.name.as_str(), group.gid?))).collect();
    let (mut to_users, mut to_groups) = (Granted::new(), Granted::new());
    let mut share: Arc<str> = Arc::from("");
    // Grants of one share stand together: its name is kept once.
    for grant in snapshot.rows::<GrantRow>() {
        if *share != *grant.share {
            share = Arc::from(grant.share.as_str());
        }
        let granted = match grant.kind {
            GrantKind::User => &mut to_users,
            GrantKind::Group => &mut to_groups,
        };
        granted.entry(&grant.name).or_default().push((share.clone(), level(grant.level)));
    }
    let known = snapshot.rows::<UserRow>().filter_map(|user| {
        Some(KnownUser {
            name: Arc::from(user.name.as_str()),
            uid: user.uid?,
            gid: user.gid,
            groups: user.groups.iter().filter_map(|group| gids.get(group.as_str()).copied()).collect(),
            enabled: user.enabled,
            grants: resolved(user, &to_users, &to_groups),
        })
    });
    let mapped = snapshot.rows::<IdmapRow>().filter_map(|mapping| {
        Some((mapped_uid(&mapping.principal)?, snapshot.get::<UserRow>(&mapping.user)?.uid?))
    });
    Identities::new(snapshot.revision(), known.collect(), mapped.collect())
}

/// The user's own grants, and the strongest of his groups' where he has none of his own.
fn resolved(user: &UserRow, to_users: &Granted<'_>, to_groups: &Granted<'_>) -> HashMap<Arc<str>, Level> {
    let mut grants: HashMap<Arc<str>, Level> = HashMap::new();
    for (share, level) in user.groups.iter().filter_map(|group| to_groups.get(group.as_str())).flatten() {
        let strongest = grants.entry(share.clone()).or_insert(*level);
        *strongest = (*strongest).max(*level);
    }
    grants.extend(to_users.get(user.name.as_str()).into_iter().flatten().cloned());
    grants
}

/// Whether nothing that the data path looks at differs. A login, for one, changes a user's row and nothing here.
#[must_use]
pub fn same_people(one: &Snapshot, other: &Snapshot) -> bool {
    let of_user = |user: &UserRow| (user.uid, user.gid, user.enabled, user.groups.clone());
    one.alike::<UserRow>(other, |a, b| a.name == b.name && of_user(a) == of_user(b))
        && one.alike::<GroupRow>(other, |a, b| a.name == b.name && a.gid == b.gid)
        && one.alike::<GrantRow>(other, |a, b| a == b)
        && one.alike::<IdmapRow>(other, |a, b| a == b)
}

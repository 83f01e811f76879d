//! Whom the gateway knows: users with their groups and what they may do on each share.
//!
//! The table is made anew at each change and swapped whole, so that a request sees all of a change or nothing of it and
//! takes no lock. A caller goes through it in this order:
//!
//! ```text
//! ids as sent ─▶ mapped (a sent uid may stand for a user) ─▶ squash ─▶ looked up by uid ─▶ level, groups
//!                                        └ made administrator by the share: not looked up
//! ```
//!
//! Somebody whom the table does not know has the share's default level and the groups that his machine claims. A user who
//! is disabled has no level at all, whatever the default says.

use crate::squash::{Squash, SquashMode, UnixCaller};
use arc_swap::ArcSwap;
use dfs_model::{Credentials, ShareCeiling};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What somebody may do on a share, weakest first; files' own permissions hold below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    #[default]
    ReadWrite,
    /// Everything, past the files' own permissions: the superuser of this share.
    Admin,
}

/// A user as the data path needs him.
#[derive(Clone, Debug)]
pub struct KnownUser {
    /// His name, for logs.
    pub name: Arc<str>,
    /// His user id: nobody else's.
    pub uid: u32,
    /// His primary group, where it is set.
    pub gid: Option<u32>,
    /// The ids of all his groups, in any order and as many as there are.
    pub groups: Arc<[u32]>,
    /// Whether he may do anything.
    pub enabled: bool,
    /// His level by share: his own grant, else the strongest of his groups' grants. Shares without either are left out.
    pub grants: HashMap<Arc<str>, Level>,
}

/// Everybody whom the gateway knows, at one moment.
#[derive(Debug, Default)]
pub struct Identities {
    /// Which state of the control database it was made from; for people.
    pub version: u64,
    users: HashMap<u32, KnownUser>,
    mapped: HashMap<u32, u32>,
}

/// What was found of a caller.
#[derive(Clone, Copy, Debug)]
pub struct Resolved<'a> {
    /// What he may do.
    pub level: Level,
    /// Who he is, when the table knows him.
    pub user: Option<&'a KnownUser>,
}

/// What a share says of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// How ids are squashed.
    pub squash: Squash,
    /// Upper bound of all rights; [`ShareCeiling::ReadOnly`] for a read-only share.
    pub ceiling: ShareCeiling,
    /// The level of callers for whom nothing else is said.
    pub default: Level,
    /// Whether the groups of a known user are those of the table, not those that his machine claims (which are 16 at most).
    pub manage_gids: bool,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission {
            squash: Squash::default(),
            ceiling: ShareCeiling::ReadWrite,
            default: Level::default(),
            manage_gids: true,
        }
    }
}

impl Identities {
    /// Makes the table. `mapped` tells which user's id a sent id stands for. Of two users with one id the later one counts;
    /// the control plane lets none be made.
    #[must_use]
    pub fn new(version: u64, users: Vec<KnownUser>, mapped: HashMap<u32, u32>) -> Identities {
        let sorted = |mut user: KnownUser| {
            if !user.groups.is_sorted_by(|a, b| a < b) {
                let mut groups = user.groups.to_vec();
                groups.sort_unstable();
                groups.dedup();
                user.groups = groups.into();
            }
            (user.uid, user)
        };
        Identities { version, users: users.into_iter().map(sorted).collect(), mapped }
    }

    /// Users in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether it knows nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The user of an id.
    #[must_use]
    pub fn user(&self, uid: u32) -> Option<&KnownUser> {
        self.users.get(&uid)
    }

    /// The id that a sent id stands for: itself unless it is mapped.
    #[must_use]
    pub fn stands_for(&self, sent: u32) -> u32 {
        self.mapped.get(&sent).copied().unwrap_or(sent)
    }

    /// What the caller with this id, mapped and squashed, may do on a share.
    #[must_use]
    pub fn resolve(&self, share: &str, default: Level, uid: u32) -> Resolved<'_> {
        let user = self.user(uid);
        let level = match user {
            None => default,
            Some(user) if !user.enabled => Level::None,
            Some(user) => user.grants.get(share).copied().unwrap_or(default),
        };
        Resolved { level, user }
    }

    /// The credentials of a caller of a share, with his level as their ceiling and privileges. With [`Level::None`] the
    /// ceiling is [`ShareCeiling::None`], under which nothing below grants anything.
    #[must_use]
    pub fn credentials(
        &self,
        share: &str,
        admission: &Admission,
        caller: UnixCaller<'_>,
    ) -> (Credentials, Resolved<'_>) {
        let (squash, ceiling) = (&admission.squash, admission.ceiling);
        let caller = match caller {
            UnixCaller::Ids { uid, gid, groups } => {
                UnixCaller::Ids { uid: self.stands_for(uid), gid, groups }
            }
            UnixCaller::Nobody => UnixCaller::Nobody,
        };
        let mut made = squash.credentials(caller, ceiling);
        if makes_administrator(squash.mode, caller) {
            return (made, Resolved { level: Level::Admin, user: None });
        }
        let found = self.resolve(share, admission.default, made.uid);
        if let Some(user) = found.user {
            made.principal = user.name.clone();
            if admission.manage_gids {
                made.gid = user.gid.unwrap_or(made.gid);
                made.groups = user.groups.clone();
            }
        }
        match found.level {
            Level::None => made.ceiling = ShareCeiling::None,
            Level::Read => made.ceiling = ceiling.min(ShareCeiling::ReadOnly),
            Level::ReadWrite => {}
            Level::Admin => {
                made.privileges.superuser = true;
                if ceiling == ShareCeiling::ReadWrite {
                    made.ceiling = ShareCeiling::Admin;
                }
            }
        }
        (made, found)
    }
}

/// Whether the share's squash makes this caller its administrator, so that nobody is looked up.
fn makes_administrator(mode: SquashMode, caller: UnixCaller<'_>) -> bool {
    match mode {
        SquashMode::AllToAdmin => true,
        SquashMode::RootToAdmin => matches!(caller, UnixCaller::Ids { uid: 0, .. }),
        SquashMode::None | SquashMode::RootToGuest | SquashMode::AllToGuest => false,
    }
}

/// The table in force, for all protocols. Reading it takes no lock.
#[derive(Debug)]
pub struct IdentityTable {
    table: ArcSwap<Identities>,
    stamp: AtomicU64,
}

/// Stamps are the process's own, so that no two tables and no two states ever share one: what is remembered under a stamp
/// can never be taken for another's.
static STAMPS: AtomicU64 = AtomicU64::new(1);

impl Default for IdentityTable {
    fn default() -> IdentityTable {
        IdentityTable::new(Arc::default())
    }
}

impl IdentityTable {
    /// A table in this state.
    #[must_use]
    pub fn new(identities: Arc<Identities>) -> IdentityTable {
        let stamp = AtomicU64::new(STAMPS.fetch_add(1, Ordering::Relaxed));
        IdentityTable { table: ArcSwap::new(identities), stamp }
    }

    /// Puts another state into force. *Guarantees:* who asks for the stamp afterwards gets another one, and the new state
    /// with it.
    pub fn set(&self, identities: Arc<Identities>) {
        self.table.store(identities);
        self.stamp.store(STAMPS.fetch_add(1, Ordering::Relaxed), Ordering::Release);
    }

    /// Names the state in force. What was derived from the table is good as long as this stays the same; ask before
    /// [`IdentityTable::get`], so that a change in between is seen the next time.
    #[must_use]
    pub fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Acquire)
    }

    /// The state in force.
    #[must_use]
    pub fn get(&self) -> Arc<Identities> {
        self.table.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, uid: u32, grants: &[(&str, Level)]) -> KnownUser {
        KnownUser {
            name: name.into(),
            uid,
            gid: None,
            groups: Arc::from([]),
            enabled: true,
            grants: grants.iter().map(|(share, level)| (Arc::from(*share), *level)).collect(),
        }
    }

    fn sent<'a>(uid: u32, groups: &'a [u32]) -> UnixCaller<'a> {
        UnixCaller::Ids { uid, gid: uid, groups }
    }

    fn plain(mode: SquashMode, default: Level) -> Admission {
        Admission { squash: Squash { mode, ..Squash::default() }, default, ..Admission::default() }
    }

    #[test]
    fn level_is_the_grant_else_the_default_and_none_for_the_disabled() {
        let disabled = KnownUser { enabled: false, ..user("eve", 3, &[("s", Level::Admin)]) };
        let table = Identities::new(1, vec![user("ann", 1, &[("s", Level::Read)]), disabled], HashMap::new());
        let level = |share, default, uid| table.resolve(share, default, uid).level;
        assert_eq!(level("s", Level::Admin, 1), Level::Read);
        assert_eq!(level("t", Level::ReadWrite, 1), Level::ReadWrite);
        assert_eq!(level("s", Level::ReadWrite, 2), Level::ReadWrite);
        assert_eq!(level("s", Level::None, 2), Level::None);
        assert_eq!((level("s", Level::Admin, 3), level("t", Level::Admin, 3)), (Level::None, Level::None));
    }

    #[test]
    fn level_becomes_ceiling_and_privilege_and_never_widens_a_read_only_share() {
        use ShareCeiling::{Admin, None, ReadOnly, ReadWrite};
        let table = Identities::default();
        let made = |level, ceiling| {
            let admission = Admission { ceiling, ..plain(SquashMode::None, level) };
            let made = table.credentials("s", &admission, sent(7, &[])).0;
            (made.ceiling, made.privileges.superuser)
        };
        assert_eq!(made(Level::None, ReadWrite), (None, false));
        assert_eq!(made(Level::Read, ReadWrite), (ReadOnly, false));
        assert_eq!(made(Level::ReadWrite, ReadWrite), (ReadWrite, false));
        assert_eq!(made(Level::Admin, ReadWrite), (Admin, true));
        assert_eq!(made(Level::ReadWrite, ReadOnly), (ReadOnly, false));
        assert_eq!(made(Level::Admin, ReadOnly), (ReadOnly, true));
        assert_eq!(made(Level::None, ReadOnly), (None, false));
    }

    #[test]
    fn groups_of_a_known_user_are_the_tables_where_the_share_manages_them() {
        let forty: Vec<u32> = (1000..1040).rev().collect();
        let ann = KnownUser { gid: Some(50), groups: forty.into(), ..user("ann", 1, &[]) };
        let table = Identities::new(1, vec![ann, user("bob", 2, &[])], HashMap::new());
        let managed = plain(SquashMode::None, Level::ReadWrite);
        let (made, _) = table.credentials("s", &managed, sent(1, &[9, 8]));
        assert_eq!((made.gid, made.groups.len(), &*made.principal), (50, 40, "ann"));
        assert!(made.in_group(1029) && !made.in_group(9));
        let (made, _) = table.credentials("s", &managed, sent(2, &[9]));
        assert_eq!((made.gid, made.groups.len()), (2, 0), "a claim of his machine counts");
        let claimed = Admission { manage_gids: false, ..managed };
        let (made, _) = table.credentials("s", &claimed, sent(1, &[9, 8]));
        assert_eq!((made.gid, &made.groups[..]), (1, &[8, 9][..]));
        let (made, found) = table.credentials("s", &managed, sent(3, &[9]));
        assert!(made.in_group(9) && found.user.is_none(), "whom nobody knows keeps what was sent");
    }

    #[test]
    fn sent_id_is_mapped_then_squashed_then_looked_up() {
        let users = vec![user("ann", 1, &[("s", Level::Read)]), user("guest", 65534, &[("s", Level::None)])];
        let table = Identities::new(1, users, HashMap::from([(4000, 1), (5000, 0), (0, 1)]));
        let squashed = plain(SquashMode::RootToGuest, Level::ReadWrite);
        let made = |uid| {
            let (made, found) = table.credentials("s", &squashed, sent(uid, &[]));
            (made.uid, found.level)
        };
        assert_eq!(made(4000), (1, Level::Read));
        assert_eq!(made(5000), (65534, Level::None), "a mapping to root is squashed as root is");
        assert_eq!(made(0), (1, Level::Read), "root that stands for a user is that user");
        let (made, found) = table.credentials("s", &squashed, UnixCaller::Nobody);
        assert_eq!((made.uid, found.level), (65534, Level::None));
    }

    #[test]
    fn whom_the_squash_makes_administrator_is_not_looked_up() {
        let root = KnownUser { enabled: false, ..user("root", 0, &[]) };
        let table = Identities::new(1, vec![root], HashMap::new());
        for (mode, uid, level) in [
            (SquashMode::RootToAdmin, 0, Level::Admin),
            (SquashMode::AllToAdmin, 7, Level::Admin),
            (SquashMode::RootToAdmin, 7, Level::None),
            (SquashMode::None, 0, Level::None),
        ] {
            let (made, found) = table.credentials("s", &plain(mode, Level::None), sent(uid, &[]));
            let ceiling = if level == Level::Admin { ShareCeiling::Admin } else { ShareCeiling::None };
            assert_eq!((found.level, made.ceiling), (level, ceiling), "{mode:?} {uid}");
        }
        let (made, _) =
            table.credentials("s", &plain(SquashMode::AllToAdmin, Level::None), UnixCaller::Nobody);
        assert_eq!((made.uid, made.ceiling), (0, ShareCeiling::Admin));
    }

    #[test]
    fn stamp_changes_with_every_state_and_is_shared_by_no_other_table() {
        let (one, other) = (IdentityTable::default(), IdentityTable::default());
        let before = one.stamp();
        assert_ne!(before, other.stamp());
        one.set(Arc::new(Identities::new(9, Vec::new(), HashMap::new())));
        assert!(one.stamp() != before && one.stamp() != other.stamp());
        assert_eq!(one.get().version, 9);
    }
}

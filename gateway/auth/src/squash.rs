//! From the ids that a client claims to the credentials that count.

use dfs_model::{Credentials, Privileges, ShareCeiling, Strength, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whose ids are replaced, and by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SquashMode {
    /// Nobody's: ids count as sent.
    None,
    /// The superuser becomes the guest (the anonymous ids); everybody else stays.
    #[default]
    RootToGuest,
    /// The superuser stays the superuser and may also administer the share; everybody else stays.
    RootToAdmin,
    /// Everybody becomes the guest.
    AllToGuest,
    /// Everybody becomes the superuser, with administration of the share.
    AllToAdmin,
}

/// How a share squashes. The anonymous ids are also those of callers without credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Squash {
    /// The mode.
    pub mode: SquashMode,
    /// User id of the guest.
    pub anon_uid: u32,
    /// Group id of the guest.
    pub anon_gid: u32,
}

/// The ids of "nobody" on Debian and most other systems.
const NOBODY: u32 = 65534;

impl Default for Squash {
    fn default() -> Squash {
        Squash { mode: SquashMode::default(), anon_uid: NOBODY, anon_gid: NOBODY }
    }
}

/// What the client's machine says about its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnixCaller<'a> {
    /// Nothing (AUTH_NONE).
    Nobody,
    /// AUTH_SYS.
    Ids {
        /// User.
        uid: u32,
        /// Primary group.
        gid: u32,
        /// Supplementary groups, in any order.
        groups: &'a [u32],
    },
}

impl Squash {
    /// Makes the credentials that everything below believes. `ceiling` is the share's upper bound; administration is
    /// added to it by the two admin modes, unless the share is read-only.
    #[must_use]
    pub fn credentials(&self, caller: UnixCaller<'_>, ceiling: ShareCeiling) -> Credentials {
        let UnixCaller::Ids { uid, gid, groups } = caller else {
            let strength = Strength::None;
            return match self.mode {
                SquashMode::AllToAdmin => self.admin(strength, ceiling),
                _ => self.guest(strength, ceiling),
            };
        };
        match self.mode {
            SquashMode::AllToGuest => self.guest(Strength::Guest, ceiling),
            SquashMode::AllToAdmin => self.admin(Strength::Sys, ceiling),
            SquashMode::RootToGuest if uid == 0 => self.guest(Strength::Guest, ceiling),
            SquashMode::RootToAdmin if uid == 0 => {
                Credentials { gid, groups: sorted(groups), ..self.admin(Strength::Sys, ceiling) }
            }
            SquashMode::None | SquashMode::RootToAdmin => {
                plain(uid, gid, sorted(groups), Strength::Sys, ceiling)
            }
            SquashMode::RootToGuest => {
                // Group 0 is not handed to users through the back door either.
                let gid = if gid == 0 { self.anon_gid } else { gid };
                let groups = groups.iter().map(|group| if *group == 0 { self.anon_gid } else { *group });
                plain(uid, gid, sorted(&groups.collect::<Vec<_>>()), Strength::Sys, ceiling)
            }
        }
    }

    fn guest(&self, strength: Strength, ceiling: ShareCeiling) -> Credentials {
        plain(self.anon_uid, self.anon_gid, Arc::from([]), strength, ceiling)
    }

    fn admin(&self, strength: Strength, ceiling: ShareCeiling) -> Credentials {
        let ceiling = if ceiling == ShareCeiling::ReadWrite { ShareCeiling::Admin } else { ceiling };
        plain(0, 0, Arc::from([]), strength, ceiling)
    }
}

fn sorted(groups: &[u32]) -> Arc<[u32]> {
    let mut groups = groups.to_vec();
    groups.sort_unstable();
    groups.dedup();
    groups.into()
}

fn plain(uid: u32, gid: u32, groups: Arc<[u32]>, strength: Strength, ceiling: ShareCeiling) -> Credentials {
    Credentials {
        principal: Arc::from(format!("uid:{uid}")),
        uid,
        gid,
        groups,
        sids: Arc::from([]),
        privileges: Privileges::default(),
        strength,
        ceiling,
        umask: None,
        as_of: Timestamp::EPOCH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(mode: SquashMode, uid: u32, gid: u32, groups: &[u32]) -> (u32, u32, Vec<u32>, ShareCeiling) {
        let squash = Squash { mode, anon_uid: 99, anon_gid: 98 };
        let made = squash.credentials(UnixCaller::Ids { uid, gid, groups }, ShareCeiling::ReadWrite);
        (made.uid, made.gid, made.groups.to_vec(), made.ceiling)
    }

    #[test]
    fn each_mode_maps_root_and_user_as_its_name_says() {
        use ShareCeiling::{Admin, ReadWrite};
        let cases = [
            (SquashMode::None, (0, 0, vec![0, 4], ReadWrite), (7, 8, vec![0, 9], ReadWrite)),
            (SquashMode::RootToGuest, (99, 98, vec![], ReadWrite), (7, 8, vec![9, 98], ReadWrite)),
            (SquashMode::RootToAdmin, (0, 0, vec![0, 4], Admin), (7, 8, vec![0, 9], ReadWrite)),
            (SquashMode::AllToGuest, (99, 98, vec![], ReadWrite), (99, 98, vec![], ReadWrite)),
            (SquashMode::AllToAdmin, (0, 0, vec![], Admin), (0, 0, vec![], Admin)),
        ];
        for (mode, root, user) in cases {
            assert_eq!(ids(mode, 0, 0, &[4, 0, 4]), root, "{mode:?} root");
            assert_eq!(ids(mode, 7, 8, &[9, 0]), user, "{mode:?} user");
        }
    }

    #[test]
    fn caller_without_credentials_is_the_guest_even_where_nothing_is_squashed() {
        let squash = Squash { mode: SquashMode::None, ..Squash::default() };
        let made = squash.credentials(UnixCaller::Nobody, ShareCeiling::ReadWrite);
        assert_eq!((made.uid, made.gid, made.strength), (65534, 65534, Strength::None));
    }

    #[test]
    fn read_only_share_stays_read_only_for_admins() {
        let squash = Squash { mode: SquashMode::AllToAdmin, ..Squash::default() };
        let caller = UnixCaller::Ids { uid: 5, gid: 5, groups: &[] };
        assert_eq!(squash.credentials(caller, ShareCeiling::ReadOnly).ceiling, ShareCeiling::ReadOnly);
    }
}

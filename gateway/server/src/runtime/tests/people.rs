//! Permissions over the real engine: the call after a change is answered by the new rule.

use super::*;
use dfs_api::PermissionLevel;
use dfs_auth::{Identities, KnownUser, Level};
use dfs_nfs::wire::MkdirArgs;
use std::collections::HashMap;

fn user(uid: u32, level: Option<Level>, groups: &[u32]) -> KnownUser {
    KnownUser {
        name: format!("user{uid}").into(),
        uid,
        gid: None,
        groups: groups.into(),
        enabled: true,
        grants: level.map(|level| (Arc::from("s"), level)).into_iter().collect(),
    }
}

impl Bed {
    fn know(&self, users: Vec<KnownUser>) {
        self.gateway.set_identities(Arc::new(Identities::new(1, users, HashMap::new())));
    }

    /// A directory that only this user and group may use.
    async fn closed_dir(&self, name: &str, mode: u32, gid: u32) -> Handle {
        let (mut pipe, root) = self.mounted(0, "s").await;
        let attributes = SetAttributes { mode: Some(mode), gid: Some(gid), ..SetAttributes::default() };
        let args = MkdirArgs { place: place(&root, name), attributes };
        pipe.call::<nfs3::Mkdir>(&args).await.unwrap().ok().unwrap().object.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permission_that_changes_holds_for_the_next_call() {
    let bed = Bed::open().await;
    let (mut pipe, root) = bed.mounted(7, "s").await;
    for (nth, (level, may)) in [
        (Some(Level::Read), Status::Rofs),
        (Some(Level::ReadWrite), Status::Ok),
        (Some(Level::None), Status::Acces),
        (None, Status::Ok),
    ]
    .into_iter()
    .enumerate()
    {
        bed.know(vec![user(7, level, &[])]);
        assert_eq!(make(&mut pipe, &root, &format!("f{nth}")).await.unwrap(), may, "{level:?}");
    }
    bed.know(vec![KnownUser { enabled: false, ..user(7, Some(Level::Admin), &[]) }]);
    assert_eq!(make(&mut pipe, &root, "g").await.unwrap(), Status::Acces);
    let closed = ShareConfig { default_permission: PermissionLevel::None, ..share("s") };
    bed.know(Vec::new());
    bed.gateway.change_share(&closed).await.unwrap();
    assert_eq!(make(&mut pipe, &root, "g").await.unwrap(), Status::Acces);
    let (mut machine, root) = bed.mounted(0, "s").await;
    machine.call::<nfs3::FsInfo>(&root).await.unwrap().ok().unwrap();
    assert_eq!(make(&mut machine, &root, "g").await.unwrap(), Status::Acces);
    bed.know(vec![user(7, Some(Level::ReadWrite), &[])]);
    assert_eq!(make(&mut pipe, &root, "g").await.unwrap(), Status::Ok);
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirtieth_of_forty_groups_lets_in_and_an_administrator_needs_none() {
    let bed = Bed::open().await;
    let team = bed.closed_dir("team", 0o770, 2030).await;
    let (mut pipe, _) = bed.mounted(7, "s").await;
    assert_eq!(make(&mut pipe, &team, "a").await.unwrap(), Status::Acces);
    let forty: Vec<u32> = (2000..2040).collect();
    bed.know(vec![user(7, None, &forty)]);
    assert_eq!(make(&mut pipe, &team, "a").await.unwrap(), Status::Ok);
    bed.know(vec![user(7, None, &[])]);
    assert_eq!(make(&mut pipe, &team, "b").await.unwrap(), Status::Acces);
    bed.know(vec![user(7, Some(Level::Admin), &[])]);
    assert_eq!(make(&mut pipe, &team, "b").await.unwrap(), Status::Ok);
    let made = pipe.call::<nfs3::Lookup>(&place(&team, "b")).await.unwrap().ok().unwrap().object;
    let shown = pipe.call::<nfs3::GetAttr>(&made).await.unwrap().ok().unwrap();
    assert_eq!(shown.uid, 7, "an administrator's files are his own");
    bed.end().await;
}

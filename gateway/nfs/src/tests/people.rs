//! Known users: permissions, groups from the table, changes that the next call feels, and what mounting takes.

use super::*;
use crate::wire::mount;
use crate::wire::*;
use dfs_auth::{Identities, KnownUser, Level};
use dfs_rpc::AuthSys;
use std::collections::HashMap;

fn user(uid: u32, level: Option<Level>) -> KnownUser {
    KnownUser {
        name: format!("user{uid}").into(),
        uid,
        gid: None,
        groups: Arc::from([]),
        enabled: true,
        grants: level.map(|level| (Arc::from("docs"), level)).into_iter().collect(),
    }
}

impl Fixture {
    fn know(&self, users: Vec<KnownUser>) {
        self.identities.set(Arc::new(Identities::new(1, users, HashMap::new())));
    }

    fn default_level(&self, default: Level) {
        let mut export = self.export.clone();
        export.admission.default = default;
        self.exports.set(vec![export], Vec::new());
    }
}

async fn create(pipe: &mut Pipe, root: &Handle, name: &str) -> Status {
    let how = CreateHow::Guarded(mode(0o644));
    pipe.call::<nfs3::Create>(&CreateArgs { place: place(root, name), how }).await.unwrap().status()
}

async fn looks(pipe: &mut Pipe, handle: &Handle) -> [Status; 4] {
    [
        pipe.call::<nfs3::GetAttr>(handle).await.unwrap().status(),
        pipe.call::<nfs3::FsStat>(handle).await.unwrap().status(),
        pipe.call::<nfs3::FsInfo>(handle).await.unwrap().status(),
        pipe.call::<nfs3::PathConf>(handle).await.unwrap().status(),
    ]
}

#[tokio::test]
async fn permission_that_changes_is_felt_by_the_next_call_of_an_open_connection() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(7).await;
    assert_eq!(create(&mut pipe, &root, "a").await, Status::Ok);
    for (level, may) in [
        (Level::Read, Status::Rofs),
        (Level::ReadWrite, Status::Ok),
        (Level::None, Status::Acces),
        (Level::Admin, Status::Ok),
    ] {
        fixture.know(vec![user(7, Some(level))]);
        assert_eq!(create(&mut pipe, &root, &format!("{level:?}")).await, may, "{level:?}");
        let shown = pipe.call::<nfs3::GetAttr>(&root).await.unwrap().status();
        assert_eq!(shown, if level == Level::None { Status::Acces } else { Status::Ok }, "{level:?}");
    }
    fixture.know(vec![KnownUser { enabled: false, ..user(7, Some(Level::Admin)) }]);
    assert_eq!(create(&mut pipe, &root, "a").await, Status::Acces);
    assert_eq!(looks(&mut pipe, &root).await, [Status::Acces; 4]);
    fixture.know(Vec::new());
    assert_eq!(create(&mut pipe, &root, "b").await, Status::Ok);
    fixture.default_level(Level::Read);
    assert_eq!(create(&mut pipe, &root, "c").await, Status::Rofs);
}

#[tokio::test]
async fn user_in_forty_groups_gets_in_by_the_thirtieth() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(0).await;
    let attributes = SetAttributes { mode: Some(0o770), gid: Some(2030), ..SetAttributes::default() };
    let args = MkdirArgs { place: place(&root, "team"), attributes };
    let team = pipe.call::<nfs3::Mkdir>(&args).await.unwrap().ok().unwrap().object.unwrap();
    let sixteen: Vec<u32> = (2000..2016).collect();
    let sys = AuthSys { stamp: 0, machine: bytes::Bytes::new(), uid: 7, gid: 7, gids: sixteen };
    let mut pipe = fixture.user(7).await;
    pipe.set_credential(sys.to_auth());
    assert_eq!(create(&mut pipe, &team, "a").await, Status::Acces);
    fixture.know(vec![KnownUser { groups: (2000..2040).collect(), ..user(7, None) }]);
    assert_eq!(create(&mut pipe, &team, "a").await, Status::Ok);
    let mut export = fixture.export.clone();
    export.admission.manage_gids = false;
    fixture.exports.set(vec![export], Vec::new());
    assert_eq!(create(&mut pipe, &team, "b").await, Status::Acces);
}

#[tokio::test]
async fn administrator_of_the_share_passes_everywhere_and_owns_what_he_makes() {
    let fixture = Fixture::start().await;
    let (mut root_pipe, root) = fixture.mounted(0).await;
    let args = MkdirArgs { place: place(&root, "closed"), attributes: mode(0o700) };
    let closed = root_pipe.call::<nfs3::Mkdir>(&args).await.unwrap().ok().unwrap().object.unwrap();
    let mut pipe = fixture.user(7).await;
    assert_eq!(create(&mut pipe, &closed, "a").await, Status::Acces);
    fixture.know(vec![user(7, Some(Level::Admin))]);
    let made = file(&mut pipe, &closed, "a").await;
    assert_eq!(attributes(&mut pipe, &made).await.uid, 7);
    let give = SetAttrArgs {
        object: made.clone(),
        attributes: SetAttributes { uid: Some(9), ..SetAttributes::default() },
        guard: None,
    };
    assert_eq!(pipe.call::<nfs3::SetAttr>(&give).await.unwrap().status(), Status::Ok);
    assert_eq!(attributes(&mut pipe, &made).await.uid, 9);
}

#[tokio::test]
async fn root_without_permission_mounts_and_looks_at_the_root_and_sees_no_name() {
    for squash in [SquashMode::None, SquashMode::RootToGuest] {
        let mut export = export();
        export.admission = Admission { default: Level::None, ..squashing(squash) };
        let fixture = Fixture::with(export, Limits::default()).await;
        fixture.know(vec![user(7, Some(Level::ReadWrite))]);
        let (mut pipe, root) = fixture.mounted(0).await;
        assert_eq!(looks(&mut pipe, &root).await, [Status::Ok; 4], "{squash:?}");
        let args = AccessArgs { object: root.clone(), access: 0x3f };
        assert_eq!(pipe.call::<nfs3::Access>(&args).await.unwrap().ok().unwrap().access, 0, "{squash:?}");
        assert_eq!(create(&mut pipe, &root, "a").await, Status::Acces);
        let found = pipe.call::<nfs3::Lookup>(&place(&root, "a")).await.unwrap();
        assert_eq!(refused(found).0, Status::Acces);
        let args = ReadDirArgs { dir: root.clone(), cookie: 0, verifier: Verifier::default(), count: 4096 };
        assert_eq!(pipe.call::<nfs3::ReadDir>(&args).await.unwrap().status(), Status::Acces);
        let (mut known, _) = fixture.mounted(7).await;
        let made = file(&mut known, &root, "a").await;
        let args = MkdirArgs { place: place(&root, "sub"), attributes: mode(0o777) };
        known.call::<nfs3::Mkdir>(&args).await.unwrap().ok().unwrap();
        assert_eq!(looks(&mut pipe, &made).await, [Status::Acces; 4], "{squash:?}");
        assert_eq!(mount_status(pipe.mount("/docs/sub").await), MountStatus::Acces);
        assert_eq!(mount_status(pipe.mount("/docs/none").await), MountStatus::Acces);
        let mut stranger = fixture.user(8).await;
        assert_eq!(stranger.mount("/docs").await.unwrap(), root, "mounting is the machine's errand");
        assert_eq!(looks(&mut stranger, &root).await, [Status::Acces; 4]);
    }
}

#[tokio::test]
async fn guest_who_is_a_known_user_without_permission_looks_at_nothing() {
    let mut export = export();
    export.admission = Admission { default: Level::None, ..squashing(SquashMode::AllToGuest) };
    let fixture = Fixture::with(export, Limits::default()).await;
    let (mut pipe, root) = fixture.mounted(0).await;
    assert_eq!(looks(&mut pipe, &root).await, [Status::Ok; 4]);
    fixture.know(vec![user(65534, None)]);
    assert_eq!(looks(&mut pipe, &root).await, [Status::Acces; 4]);
}

#[tokio::test]
async fn blocked_operation_is_refused_on_every_share_and_not_offered() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(0).await;
    file(&mut pipe, &root, "a").await;
    fixture.service.block("create,remove,write".parse().unwrap());
    assert_eq!(create(&mut pipe, &root, "b").await, Status::Acces);
    assert_eq!(pipe.call::<nfs3::Remove>(&place(&root, "a")).await.unwrap().status(), Status::Acces);
    let args = AccessArgs { object: root.clone(), access: 0x3f };
    let granted = pipe.call::<nfs3::Access>(&args).await.unwrap().ok().unwrap().access;
    assert_eq!(granted, access::READ | access::LOOKUP, "{granted:#x}");
    fixture.service.block(Default::default());
    assert_eq!(create(&mut pipe, &root, "b").await, Status::Ok);
}

#[tokio::test]
async fn share_used_without_a_mount_is_listed_and_connections_tell_their_users() {
    let fixture = Fixture::start().await;
    let (_, root) = fixture.mounted(7).await;
    let mut pipe = fixture.user(8).await;
    pipe.call::<mount::UnmountAll>(&()).await.unwrap();
    assert!(fixture.service.mounts().is_empty());
    attributes(&mut pipe, &root).await;
    let mounts = fixture.service.mounts();
    assert_eq!((mounts.len(), mounts[0].share.as_str(), mounts[0].path.as_str()), (1, "docs", "/docs"));
    let ours = pipe.local_addr().unwrap();
    let peers = fixture.server.peers();
    let peer = peers.iter().find(|peer| peer.address == ours).unwrap();
    let used = fixture.service.used(peer);
    assert_eq!((used.shares, used.users), (vec!["docs".to_owned()], vec![8]));
}

//! Who may do what: client lists, squash, read-only shares, MOUNT.

use super::*;
use crate::wire::mount::{self, DirPath};
use crate::wire::*;

#[tokio::test]
async fn mount_follows_paths_and_refuses_what_is_none() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    let args = MkdirArgs { place: place(&root, "sub"), attributes: mode(0o755) };
    let sub = pipe.call::<nfs3::Mkdir>(&args).await.unwrap().ok().unwrap().object.unwrap();
    file(&mut pipe, &root, "f").await;
    assert_eq!(pipe.mount("/docs/sub").await.unwrap(), sub);
    assert_eq!(pipe.mount("/docs/").await.unwrap(), root);
    assert_eq!(mount_status(pipe.mount("/docs/none").await), MountStatus::NoEnt);
    assert_eq!(mount_status(pipe.mount("/none").await), MountStatus::NoEnt);
    assert_eq!(mount_status(pipe.mount("docs").await), MountStatus::NoEnt);
    assert_eq!(mount_status(pipe.mount("/docs/f").await), MountStatus::NotDir);
    assert_eq!(mount_status(pipe.mount("/docs/../docs").await), MountStatus::Inval);
}

#[tokio::test]
async fn mount_lists_show_exports_and_what_is_mounted() {
    let fixture = Fixture::start().await;
    let (mut pipe, _) = fixture.mounted(1).await;
    pipe.call::<mount::MountNull>(&()).await.unwrap();
    let exports = pipe.call::<mount::Export>(&()).await.unwrap().0;
    assert_eq!(exports.len(), 1);
    assert_eq!(exports[0].path, DirPath::from("/docs"));
    assert_eq!(&exports[0].groups.0[0].0[..], b"127.0.0.0/8");
    pipe.mount("/docs/").await.unwrap();
    let paths = |list: List<mount::MountEntry>| list.0.into_iter().map(|m| m.path).collect::<Vec<_>>();
    let dump = paths(pipe.call::<mount::Dump>(&()).await.unwrap());
    assert_eq!(dump, [DirPath::from("/docs"), DirPath::from("/docs/")]);
    pipe.call::<mount::Unmount>(&DirPath::from("/docs")).await.unwrap();
    assert_eq!(paths(pipe.call::<mount::Dump>(&()).await.unwrap()), [DirPath::from("/docs/")]);
    pipe.call::<mount::UnmountAll>(&()).await.unwrap();
    assert!(pipe.call::<mount::Dump>(&()).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn client_that_leaves_the_list_is_refused_at_its_next_request() {
    let fixture = Fixture::start().await;
    let (mut pipe, root) = fixture.mounted(1).await;
    attributes(&mut pipe, &root).await;
    let mut export = fixture.export.clone();
    export.clients = ClientList::new(vec!["192.0.2.0/24".parse().unwrap()]);
    fixture.exports.set(vec![export], Vec::new());
    assert_eq!(refused(pipe.call::<nfs3::GetAttr>(&root).await.unwrap()).0, Status::Acces);
    assert_eq!(mount_status(pipe.mount("/docs").await), MountStatus::Acces);
    let mut export = fixture.export.clone();
    export.secure = true;
    fixture.exports.set(vec![export], Vec::new());
    assert_eq!(refused(pipe.call::<nfs3::GetAttr>(&root).await.unwrap()).0, Status::Acces);
    fixture.exports.set(vec![], vec![]);
    assert_eq!(refused(pipe.call::<nfs3::GetAttr>(&root).await.unwrap()).0, Status::Stale);
}

#[tokio::test]
async fn root_is_squashed_to_the_guest_and_users_are_not() {
    let mut export = export();
    export.admission.squash = Squash { mode: SquashMode::RootToGuest, anon_uid: 99, anon_gid: 98 };
    let fixture = Fixture::with(export, Limits::default()).await;
    for (uid, shown) in [(0, (99, 98)), (7, (7, 7))] {
        let (mut pipe, root) = fixture.mounted(uid).await;
        let object = file(&mut pipe, &root, &format!("of{uid}")).await;
        let attributes = attributes(&mut pipe, &object).await;
        assert_eq!((attributes.uid, attributes.gid), shown);
    }
}

#[tokio::test]
async fn read_only_export_refuses_changes_with_rofs_and_serves_reads() {
    let mut export = export();
    export.admission.ceiling = dfs_model::ShareCeiling::ReadOnly;
    let fixture = Fixture::with(export, Limits::default()).await;
    let (mut pipe, root) = fixture.mounted(0).await;
    let args = MkdirArgs { place: place(&root, "d"), attributes: mode(0o755) };
    let (status, wcc) = refused(pipe.call::<nfs3::Mkdir>(&args).await.unwrap());
    assert_eq!(status, Status::Rofs);
    assert_untouched(&mut pipe, &root, &wcc).await;
    let args = ReadDirArgs { dir: root, cookie: 0, verifier: Verifier::default(), count: 4096 };
    assert_eq!(pipe.call::<nfs3::ReadDir>(&args).await.unwrap().ok().unwrap().entries.0.len(), 2);
}

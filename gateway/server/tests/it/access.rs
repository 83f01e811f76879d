//! Rules of a share that change while it is served, and netgroups: acted on over NFS at once, and after a restart.

use crate::bed::{Bed, Doors, share_config};
use dfs_api::{
    AddMembers, ChangeShare, Client, Netgroup, NetgroupStatus, Operation, Recycle, RecycledFile, ShareConfig,
    ShareStatus, Squash,
};
use dfs_nfs::client::{ClientError, Pipe};
use dfs_nfs::wire::{CreateArgs, CreateHow, DirOp, FileName, SetAttributes, Status, nfs3};
use std::sync::atomic::{AtomicU32, Ordering};

static XIDS: AtomicU32 = AtomicU32::new(0x7700_0000);

/// A gateway with a share for these clients.
fn serving(clients: &[&str]) -> (Bed, Doors, Client) {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.stores(&client);
    for name in clients.iter().filter_map(|name| name.strip_prefix('@')) {
        let group = Netgroup { name: name.to_owned(), members: Vec::new() };
        let _: NetgroupStatus = bed.block(client.post("/netgroups", &group)).unwrap();
    }
    let clients = clients.iter().map(|&text| text.to_owned()).collect();
    let config = ShareConfig { clients, root_mode: 0o777, ..share_config("s") };
    let _: ShareStatus = bed.block(client.post("/shares", &config)).unwrap();
    (bed, doors, client)
}

fn change(bed: &Bed, client: &Client, change: ChangeShare) -> ShareStatus {
    bed.block(client.patch("/shares/s", &change)).unwrap()
}

fn pipe(bed: &Bed, doors: &Doors) -> Pipe {
    let xid = XIDS.fetch_add(0x1000, Ordering::Relaxed);
    bed.block(Pipe::connect_as(doors.nfs, 0, 0, xid)).unwrap()
}

fn may_mount(bed: &Bed, doors: &Doors) -> bool {
    match bed.block(pipe(bed, doors).mount("/s")) {
        Ok(_) => true,
        Err(ClientError::Mount(_)) => false,
        Err(other) => panic!("{other:?}"),
    }
}

/// What making and removing a file answers.
fn made_and_removed(bed: &Bed, doors: &Doors) -> (Status, Option<Status>) {
    let mut pipe = pipe(bed, doors);
    bed.block(async {
        let root = pipe.mount("/s").await.unwrap();
        let place = || DirOp { dir: root.clone(), name: FileName::from("f") };
        let how = CreateHow::Guarded(SetAttributes::default());
        let made = pipe.call::<nfs3::Create>(&CreateArgs { place: place(), how }).await.unwrap().status();
        if made != Status::Ok {
            return (made, None);
        }
        (made, Some(pipe.call::<nfs3::Remove>(&place()).await.unwrap().status()))
    })
}

#[test]
fn rules_that_change_hold_for_the_next_call_and_after_a_restart() {
    let (bed, doors, client) = serving(&["127.0.0.1"]);
    assert_eq!(made_and_removed(&bed, &doors), (Status::Ok, Some(Status::Ok)));
    let shown = change(&bed, &client, ChangeShare { read_only: Some(true), ..ChangeShare::default() });
    assert!(shown.config.read_only && shown.state.contains("read-only"), "{shown:?}");
    assert_eq!(made_and_removed(&bed, &doors), (Status::Rofs, None));
    let blocked = Some(vec![Operation::Remove]);
    let both = ChangeShare { read_only: Some(false), blocked_operations: blocked, ..ChangeShare::default() };
    change(&bed, &client, both);
    assert_eq!(made_and_removed(&bed, &doors), (Status::Ok, Some(Status::Acces)));
    bed.dfs(&["stop"]).works();
    let doors = bed.start();
    let client = bed.admin(&doors);
    assert_eq!(made_and_removed(&bed, &doors), (Status::Exist, None), "the file that could not be removed");
    let kept = Some(Some(Recycle { keep_days: 1, bytes_max: 1 << 30 }));
    let free = Some(Vec::new());
    let shown = change(
        &bed,
        &client,
        ChangeShare { recycle: kept, blocked_operations: free, ..ChangeShare::default() },
    );
    assert_eq!(shown.config.rules.recycle, kept.flatten());
    bed.block(async {
        let mut pipe = Pipe::connect_as(doors.nfs, 0, 0, 0x7600_0000).await.unwrap();
        let dir = pipe.mount("/s").await.unwrap();
        let gone = DirOp { dir, name: FileName::from("f") };
        pipe.call::<nfs3::Remove>(&gone).await.unwrap().ok().unwrap();
    });
    let bin = |client: &Client| -> Vec<RecycledFile> { bed.block(client.get("/shares/s/recycled")).unwrap() };
    assert_eq!(bin(&client).len(), 1, "the bin was made while the share is served");
    change(&bed, &client, ChangeShare { recycle: Some(None), ..ChangeShare::default() });
    assert_eq!(made_and_removed(&bed, &doors), (Status::Ok, Some(Status::Ok)));
    assert_eq!(bin(&client).len(), 1, "nothing more comes into a bin that ended");
}

#[test]
fn squash_that_changes_makes_others_of_the_same_callers() {
    let (bed, doors, client) = serving(&["127.0.0.1"]);
    let owner = || {
        let mut pipe = pipe(&bed, &doors);
        let name = format!("of-{}", XIDS.fetch_add(1, Ordering::Relaxed));
        bed.block(async {
            let dir = pipe.mount("/s").await.unwrap();
            let place = DirOp { dir, name: FileName::from(name.as_str()) };
            let how = CreateHow::Guarded(SetAttributes::default());
            let made = pipe.call::<nfs3::Create>(&CreateArgs { place, how }).await.unwrap().ok().unwrap();
            let file = made.object.unwrap();
            let found = pipe.call::<nfs3::GetAttr>(&file).await.unwrap().ok().unwrap();
            (found.uid, found.gid)
        })
    };
    assert_eq!(owner(), (0, 0));
    let squash = Some(Squash::AllToGuest);
    let guest = ChangeShare { squash, anon_uid: Some(4711), anon_gid: Some(4712), ..ChangeShare::default() };
    change(&bed, &client, guest);
    assert_eq!(owner(), (4711, 4712));
}

#[test]
fn netgroup_lets_in_whom_it_has_at_the_time() {
    let (bed, doors, client) = serving(&["@build"]);
    assert!(!may_mount(&bed, &doors), "nobody is in the group yet");
    let add = |members: &[&str]| {
        let members = members.iter().map(|&text| text.to_owned()).collect();
        bed.block(client.post::<_, NetgroupStatus>("/netgroups/build/members", &AddMembers { members }))
    };
    let group = add(&["127.0.0.0/8", "192.0.2.7", "127.0.0.0/8"]).unwrap();
    assert_eq!((group.group.members.len(), &group.shares), (2, &vec!["s".to_owned()]));
    assert!(may_mount(&bed, &doors));
    bed.dfs(&["stop"]).works();
    let doors = bed.start();
    let client = bed.admin(&doors);
    assert!(may_mount(&bed, &doors), "a restart knows the group");
    let mut mounted = pipe(&bed, &doors);
    let root = bed.block(mounted.mount("/s")).unwrap();
    bed.block(client.delete("/netgroups/build/members/127.0.0.0%2F8")).unwrap();
    assert!(!may_mount(&bed, &doors));
    let later = bed.block(mounted.call::<nfs3::GetAttr>(&root));
    let refused = later.map(|answer| answer.status());
    assert!(!matches!(refused, Ok(Status::Ok)), "who had mounted it before is served on: {refused:?}");
}

#[test]
fn netgroups_are_refused_where_they_mean_nothing_or_are_needed() {
    let (bed, doors, client) = serving(&["@build"]);
    let said = |result: Result<NetgroupStatus, dfs_api::ClientError>| result.unwrap_err().to_string();
    let make = |name: &str, members: &[&str]| {
        let members = members.iter().map(|&text| text.to_owned()).collect();
        bed.block(
            client.post::<_, NetgroupStatus>("/netgroups", &Netgroup { name: name.to_owned(), members }),
        )
    };
    assert!(said(make("build", &[])).contains("exists"));
    assert!(said(make("@x", &[])).contains("1 to 64"));
    for member in ["@build", "*", "300.1.1.1", ""] {
        assert!(said(make("other", &[member])).starts_with("members: "), "{member}");
    }
    let gone = bed.block(client.delete("/netgroups/build/members/192.0.2.1")).unwrap_err();
    assert!(gone.to_string().contains("192.0.2.1") && gone.exit_code() == 6, "{gone}");
    let used = bed.block(client.delete("/netgroups/build")).unwrap_err().to_string();
    assert!(used.contains("used by s") && used.contains("@build"), "{used}");
    let nobody = ChangeShare { clients: Some(vec!["@nobody".to_owned()]), ..ChangeShare::default() };
    let unknown = bed.block(client.patch::<_, ShareStatus>("/shares/s", &nobody)).unwrap_err().to_string();
    assert!(unknown.contains("clients") && unknown.contains("'nobody'"), "{unknown}");
    let free = ChangeShare { clients: Some(vec!["127.0.0.1".to_owned()]), ..ChangeShare::default() };
    change(&bed, &client, free);
    bed.block(client.delete("/netgroups/build")).unwrap();
    let left: Vec<NetgroupStatus> = bed.block(client.get("/netgroups")).unwrap();
    assert!(left.is_empty());
    assert!(may_mount(&bed, &doors), "the share's own list is what holds");
}

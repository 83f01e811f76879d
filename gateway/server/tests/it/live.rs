//! What an administrator changes over REST while clients work, and what of it a restart remembers.

use crate::bed::{Bed, Doors, share_config};
use dfs_api::{
    Adapter, ChangeAdapter, ChangeNfsSettings, Client, ClientError, ClientStatus, Mount, NfsSettings,
    Operation, PermissionLevel, SetPermission, ShareConfig, ShareStatus, User,
};
use dfs_nfs::client::Pipe;
use dfs_nfs::wire::{CreateArgs, CreateHow, DirOp, FileName, Handle, SetAttributes, Status, nfs3};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

static XIDS: AtomicU32 = AtomicU32::new(0x6600_0000);

fn serving() -> (Bed, Doors, Client) {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.stores(&client);
    let config = ShareConfig { root_mode: 0o777, ..share_config("s") };
    let _: ShareStatus = bed.block(client.post("/shares", &config)).unwrap();
    (bed, doors, client)
}

fn restarted(bed: &Bed) -> (Option<SocketAddr>, Client) {
    bed.dfs(&["stop"]).works();
    bed.dfs(&["start"]).works();
    let text = std::fs::read_to_string(bed.data().join("ready")).unwrap();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let nfs = value("nfs").parse().ok();
    let control = value("control").parse().unwrap();
    let metrics = SocketAddr::from(([127, 0, 0, 1], 1));
    let doors = Doors { pid: value("pid").parse().unwrap(), nfs: metrics, control, metrics };
    (nfs, bed.admin(&doors))
}

fn user(bed: &Bed, nfs: SocketAddr, uid: u32) -> (Pipe, Handle) {
    bed.block(async {
        let xid = XIDS.fetch_add(0x1000, Ordering::Relaxed);
        let mut pipe = Pipe::connect_as(nfs, uid, uid, xid).await.unwrap();
        let root = pipe.mount("/s").await.unwrap();
        (pipe, root)
    })
}

fn make(
    bed: &Bed,
    pipe: &mut Pipe,
    dir: &Handle,
    name: &str,
) -> Result<Status, dfs_nfs::client::ClientError> {
    let place = DirOp { dir: dir.clone(), name: FileName::from(name) };
    let how = CreateHow::Guarded(SetAttributes::default());
    bed.block(async { Ok(pipe.call::<nfs3::Create>(&CreateArgs { place, how }).await?.status()) })
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> dfs_api::Problem {
    match result {
        Err(ClientError::Refused(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn adapter_that_was_stopped_moved_and_set_is_so_after_a_restart() {
    let (bed, doors, client) = serving();
    let (mut pipe, root) = user(&bed, doors.nfs, 0);
    assert_eq!(make(&bed, &mut pipe, &root, "a").unwrap(), Status::Ok);
    let off = ChangeAdapter { enabled: Some(false), listen: None };
    let problem = refused(bed.block(client.patch::<_, Adapter>("/adapters/nfs", &off)));
    assert_eq!((problem.status, problem.kind.as_str(), problem.clients.len()), (409, "would-cut-clients", 1));
    let blocked =
        ChangeNfsSettings { blocked_operations: Some(vec![Operation::Create]), ..Default::default() };
    let _: NfsSettings = bed.block(client.patch("/adapters/nfs/settings", &blocked)).unwrap();
    assert_eq!(make(&bed, &mut pipe, &root, "b").unwrap(), Status::Acces);
    let stopped: Adapter = bed.block(client.patch("/adapters/nfs?force=true", &off)).unwrap();
    assert_eq!(stopped.state, "stopped");
    make(&bed, &mut pipe, &root, "b").unwrap_err();
    assert!(bed.dfs(&["status"]).works().out.contains("off"));
    let (nfs, client) = restarted(&bed);
    assert_eq!(nfs, None);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let on = ChangeAdapter { enabled: Some(true), listen: Some(free.to_string()) };
    let started: Adapter = bed.block(client.patch("/adapters/nfs", &on)).unwrap();
    assert_eq!((started.state.as_str(), started.listen.as_str()), ("serving", free.to_string().as_str()));
    let (mut pipe, root) = user(&bed, free, 0);
    assert_eq!(make(&bed, &mut pipe, &root, "b").unwrap(), Status::Acces, "the settings stay");
    let (nfs, client) = restarted(&bed);
    assert_eq!(nfs, Some(free));
    bed.dfs(&["stop"]).works();
    // Another program has the port now: the gateway starts, says so, and serves when it is free.
    let taken = std::net::TcpListener::bind(free).unwrap();
    drop(client);
    bed.dfs(&["start"]).works();
    let doors = bed.data().join("ready");
    assert!(std::fs::read_to_string(doors).unwrap().contains("nfs off"));
    drop(taken);
    bed.block(async {
        let waited = async {
            while tokio::net::TcpStream::connect(free).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), waited).await.unwrap();
    });
}

#[test]
fn adapter_that_was_removed_stays_removed_until_it_is_added() {
    let (bed, _, client) = serving();
    bed.block(client.delete("/adapters/nfs")).unwrap();
    let (nfs, client) = restarted(&bed);
    assert_eq!(nfs, None);
    assert_eq!(refused(bed.block(client.get::<Adapter>("/adapters/nfs"))).status, 404);
    let add = serde_json::json!({"kind": "nfs"});
    let added: Adapter = bed.block(client.post("/adapters", &add)).unwrap();
    assert_eq!(added.state, "serving");
    let (nfs, _) = restarted(&bed);
    user(&bed, nfs.unwrap(), 0);
}

#[test]
fn disabled_share_stays_disabled_over_a_restart_and_its_files_come_back() {
    let (bed, doors, client) = serving();
    let (mut pipe, root) = user(&bed, doors.nfs, 0);
    assert_eq!(make(&bed, &mut pipe, &root, "kept").unwrap(), Status::Ok);
    let nothing = serde_json::json!({});
    let problem = refused(bed.block(client.post::<_, ShareStatus>("/shares/s/disable", &nothing)));
    assert_eq!(problem.kind, "would-cut-clients");
    let off: ShareStatus = bed.block(client.post("/shares/s/disable?force=true", &nothing)).unwrap();
    assert!(!off.config.enabled && off.state.starts_with("disabled"), "{off:?}");
    assert_eq!(make(&bed, &mut pipe, &root, "late").unwrap(), Status::Jukebox);
    let (nfs, client) = restarted(&bed);
    let shown: ShareStatus = bed.block(client.get("/shares/s")).unwrap();
    assert!(!shown.config.enabled && shown.state.starts_with("disabled"), "{shown:?}");
    let on: ShareStatus = bed.block(client.post("/shares/s/enable", &nothing)).unwrap();
    assert!(on.config.enabled && on.state == "serving", "{on:?}");
    let (mut pipe, root) = user(&bed, nfs.unwrap(), 0);
    assert_eq!(make(&bed, &mut pipe, &root, "kept").unwrap(), Status::Exist);
}

#[test]
fn permission_is_felt_by_the_next_call_and_after_a_restart() {
    let (bed, doors, client) = serving();
    let ann = serde_json::json!({"name": "ann", "password": "a password that is long enough", "uid": 7});
    let _: User = bed.block(client.post("/users", &ann)).unwrap();
    let (mut pipe, root) = user(&bed, doors.nfs, 7);
    assert_eq!(make(&bed, &mut pipe, &root, "a").unwrap(), Status::Ok);
    let grant = |client: &Client, level| {
        let path = "/shares/s/permissions/users/ann";
        let _: serde_json::Value = bed.block(client.put(path, &SetPermission { level })).unwrap();
    };
    for (level, may) in [
        (PermissionLevel::Read, Status::Rofs),
        (PermissionLevel::None, Status::Acces),
        (PermissionLevel::ReadWrite, Status::Ok),
        (PermissionLevel::Read, Status::Rofs),
    ] {
        grant(&client, level);
        assert_eq!(make(&bed, &mut pipe, &root, &format!("{level:?}")).unwrap(), may);
    }
    let (nfs, client) = restarted(&bed);
    let (mut pipe, root) = user(&bed, nfs.unwrap(), 7);
    assert_eq!(make(&bed, &mut pipe, &root, "b").unwrap(), Status::Rofs);
    let off = serde_json::json!({"enabled": false});
    let _: User = bed.block(client.patch("/users/ann", &off)).unwrap();
    assert_eq!(make(&bed, &mut pipe, &root, "b").unwrap(), Status::Acces);
}

#[test]
fn clients_and_mounts_are_listed_and_one_is_cut() {
    let (bed, doors, client) = serving();
    let (mut pipe, root) = user(&bed, doors.nfs, 42);
    assert_eq!(make(&bed, &mut pipe, &root, "a").unwrap(), Status::Ok);
    let clients: Vec<ClientStatus> = bed.block(client.get("/clients")).unwrap();
    assert_eq!((clients.len(), &clients[0].user_ids[..]), (1, &[42][..]));
    let mounts: Vec<Mount> = bed.block(client.get("/mounts")).unwrap();
    assert_eq!((mounts.len(), mounts[0].share.as_str()), (1, "s"));
    bed.block(client.delete(&format!("/clients/{}", clients[0].id))).unwrap();
    make(&bed, &mut pipe, &root, "b").unwrap_err();
    assert_eq!(refused(bed.block(client.delete("/clients/999999"))).status, 404);
    let level = serde_json::json!({"value": "warn"});
    let _: dfs_api::Setting = bed.block(client.put("/settings/logging.level", &level)).unwrap();
    user(&bed, doors.nfs, 42);
    assert!(
        !bed.log().lines().last().unwrap_or_default().contains("mounted"),
        "told at a level that was turned off"
    );
}

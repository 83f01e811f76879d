//! The NFS adapter: stopped, started, moved, set otherwise; clients seen and cut.

use super::*;
use dfs_api::{AdapterKind, AddAdapter, ChangeAdapter, NfsSettings, Operation};

const NFS: AdapterKind = AdapterKind::Nfs;

fn enabled(enabled: bool) -> ChangeAdapter {
    ChangeAdapter { enabled: Some(enabled), listen: None }
}

fn listen(at: &str) -> ChangeAdapter {
    ChangeAdapter { enabled: None, listen: Some(at.to_owned()) }
}

/// A port that nobody has now.
fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn adapter_that_is_stopped_names_whom_it_cuts_and_serves_again_when_started() {
    let bed = Bed::open().await;
    let (mut pipe, root) = bed.mounted(0, "s").await;
    write(&mut pipe, &root, "f", b"kept").await.unwrap().unwrap();
    let ours = pipe.local_addr().unwrap().to_string();
    would_cut(bed.gateway.change_adapter(NFS, &enabled(false), false).await, &ours);
    write(&mut pipe, &root, "g", b"served on").await.unwrap().unwrap();
    let stopped = bed.gateway.change_adapter(NFS, &enabled(false), true).await.unwrap();
    assert_eq!((stopped.state.as_str(), stopped.enabled, stopped.connections), ("stopped", false, 0));
    make(&mut pipe, &root, "h").await.unwrap_err();
    assert!(bed.gateway.nfs.local_addr().is_none());
    let started = bed.gateway.change_adapter(NFS, &enabled(true), false).await.unwrap();
    assert_eq!((started.state.as_str(), started.enabled), ("serving", true));
    let mut pipe = bed.user(0).await;
    assert_eq!(read(&mut pipe, &root, "f").await, b"kept");
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adapter_that_moves_opens_the_new_port_first_and_keeps_the_old_one_when_it_cannot() {
    let bed = Bed::open().await;
    let (mut pipe, root) = bed.mounted(0, "s").await;
    let old = bed.at();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = taken.local_addr().unwrap().to_string();
    let refused = bed.gateway.change_adapter(NFS, &listen(&in_use), true).await.unwrap_err();
    assert_eq!((refused.status, refused.field.as_deref()), (422, Some("listen")));
    assert!(refused.detail.contains(&in_use) && refused.detail.contains("in use"), "{refused}");
    assert_eq!(make(&mut pipe, &root, "a").await.unwrap(), Status::Ok, "cut by a move that did not happen");
    let wrong = bed.gateway.change_adapter(NFS, &listen("here"), true).await.unwrap_err();
    assert_eq!((wrong.status, wrong.field.as_deref()), (400, Some("listen")));
    let ours = pipe.local_addr().unwrap().to_string();
    let new = free_port();
    would_cut(bed.gateway.change_adapter(NFS, &listen(&new.to_string()), false).await, &ours);
    bed.gateway.change_adapter(NFS, &listen(&new.to_string()), true).await.unwrap();
    assert_eq!(bed.at(), new);
    make(&mut pipe, &root, "b").await.unwrap_err();
    assert!(tokio::net::TcpStream::connect(old).await.is_err(), "the old port is still open");
    let (mut pipe, again) = bed.mounted(0, "s").await;
    assert_eq!((make(&mut pipe, &root, "b").await.unwrap(), again), (Status::Ok, root));
    // The same port on all addresses: one of the two has to close first.
    let wide = format!("0.0.0.0:{}", new.port());
    bed.gateway.change_adapter(NFS, &listen(&wide), true).await.unwrap();
    connect(SocketAddr::from(([127, 0, 0, 1], new.port())), 0).await.mount("/s").await.unwrap();
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adapter_that_is_removed_comes_back_only_when_added() {
    let bed = Bed::open().await;
    let twice = AddAdapter { kind: NFS, listen: None, enabled: true };
    assert_eq!(bed.gateway.add_adapter(&twice).await.unwrap_err().status, 409);
    bed.gateway.remove_adapter(NFS, false).await.unwrap();
    assert!(bed.gateway.adapters().await.is_empty());
    assert_eq!(bed.gateway.remove_adapter(NFS, true).await.unwrap_err().status, 404);
    assert_eq!(bed.gateway.change_adapter(NFS, &enabled(true), true).await.unwrap_err().status, 404);
    let off = AddAdapter { kind: NFS, listen: Some("127.0.0.1:0".to_owned()), enabled: false };
    assert_eq!(bed.gateway.add_adapter(&off).await.unwrap().state, "stopped");
    bed.gateway.change_adapter(NFS, &enabled(true), false).await.unwrap();
    bed.mounted(0, "s").await;
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_hold_at_once_for_open_connections() {
    let bed = Bed::open().await;
    let (mut pipe, root) = bed.mounted(0, "s").await;
    let before = bed.gateway.default_adapter_settings(NFS);
    let set =
        async |settings: &NfsSettings, force| bed.gateway.set_adapter_settings(NFS, settings, force).await;
    let blocked = NfsSettings { blocked_operations: vec![Operation::Create], ..before.clone() };
    set(&blocked, false).await.unwrap();
    assert_eq!(make(&mut pipe, &root, "a").await.unwrap(), Status::Acces);
    set(&NfsSettings { max_connections: 1, ..before.clone() }, false).await.unwrap();
    assert_eq!(make(&mut pipe, &root, "a").await.unwrap(), Status::Ok);
    let mut second = bed.user(0).await;
    second.mount("/s").await.unwrap_err();
    let privileged = NfsSettings { require_privileged_port: true, ..before.clone() };
    let ours = pipe.local_addr().unwrap().to_string();
    would_cut(bed.gateway.check_adapter_settings(NFS, &privileged, false).await, &ours);
    would_cut(set(&privileged, false).await, &ours);
    assert_eq!(make(&mut pipe, &root, "b").await.unwrap(), Status::Ok);
    set(&privileged, true).await.unwrap();
    assert_eq!(make(&mut pipe, &root, "c").await.unwrap(), Status::Acces);
    set(&before, false).await.unwrap();
    assert_eq!(make(&mut pipe, &root, "c").await.unwrap(), Status::Ok);
    for (field, wrong) in [
        ("max_connections", NfsSettings { max_connections: 0, ..before.clone() }),
        ("max_requests_per_connection", NfsSettings { max_requests_per_connection: 0, ..before.clone() }),
        ("max_requests_per_connection", NfsSettings { max_requests_per_connection: 5000, ..before.clone() }),
        ("request_memory_bytes", NfsSettings { request_memory_bytes: 1, ..before.clone() }),
        ("idle_timeout_seconds", NfsSettings { idle_timeout_seconds: 1, ..before.clone() }),
    ] {
        let problem = set(&wrong, true).await.unwrap_err();
        assert_eq!((problem.status, problem.field.as_deref()), (400, Some(field)), "{problem:?}");
    }
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_mounts_are_told_and_one_that_is_cut_may_come_back() {
    let bed = Bed::open().await;
    let (mut pipe, root) = bed.mounted(1000, "s").await;
    assert_eq!(make(&mut pipe, &root, "a").await.unwrap(), Status::Ok);
    let clients = bed.gateway.clients().await;
    let client = &clients[0];
    assert_eq!(
        (clients.len(), client.address.as_str()),
        (1, pipe.local_addr().unwrap().to_string().as_str())
    );
    assert_eq!((&client.shares[..], &client.user_ids[..]), (&["s".to_owned()][..], &[1000][..]));
    assert!(client.requests >= 2 && client.received_bytes > 100 && client.sent_bytes > 0, "{client:?}");
    let mounts = bed.gateway.mounts().await;
    assert_eq!((mounts.len(), mounts[0].client.as_str(), mounts[0].share.as_str()), (1, "127.0.0.1", "s"));
    assert_eq!(bed.gateway.evict("0").await.unwrap_err().status, 404);
    bed.gateway.evict(&client.id).await.unwrap();
    make(&mut pipe, &root, "b").await.unwrap_err();
    until(|| bed.gateway.nfs.peers().is_empty()).await;
    let mut pipe = bed.user(1000).await;
    assert_eq!(make(&mut pipe, &root, "b").await.unwrap(), Status::Ok);
    let again = bed.gateway.clients().await;
    assert_ne!(again[0].id, client.id);
    bed.end().await;
}

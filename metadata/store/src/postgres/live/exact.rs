//! Lost answers: each operation's answer is swallowed after the server gave it; the store must find out what happened.

use super::proxy::Proxy;
use super::*;
use crate::conformance::{check_consistent, name};
use crate::{PackState, PlacedInode, ReplayOp, StoreError};
use dfs_model::{InodeId, InodeKind, ReplayKey};
use std::net::{IpAddr, Ipv4Addr};

const ROOT: InodeId = InodeId::ROOT;

async fn behind(proxy: &Proxy) -> (Arc<PostgresStore>, Bed) {
    let store = PostgresStore::open(config(proxy.port)).await.unwrap();
    store.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let store = Arc::new(store);
    let bed = Bed::new(store.clone(), 1).await;
    (store, bed)
}

#[track_caller]
fn happened<T: std::fmt::Debug>(result: StoreResult<T>) -> crate::ReplayOutcome {
    match result {
        Err(StoreError::Replayed(outcome)) => *outcome,
        other => panic!("wanted the outcome of the first attempt, found {other:?}"),
    }
}

#[test]
fn lost_answers_of_name_operations_are_found_by_their_key() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let (store, bed) = behind(&proxy).await;
        let key =
            ReplayKey::Rpc { client: IpAddr::V4(Ipv4Addr::LOCALHOST), xid: 7, procedure: 8, checksum: 1 };
        proxy.lose_next_answer();
        let request = Bed::request(ROOT, "a", InodeKind::File);
        let outcome = happened(store.create(bed.cx_replay(&bed.root, &key), request.clone()).await);
        let id = bed.lookup(ROOT, "a").await.unwrap();
        assert_eq!((outcome.op, outcome.inode, outcome.dir), (ReplayOp::Create, id, ROOT));
        // A client that repeats it gets the same.
        assert_eq!(happened(store.create(bed.cx_replay(&bed.root, &key), request).await), outcome);
        proxy.lose_next_answer();
        assert_eq!(happened(bed.rename(ROOT, "a", ROOT, "b").await).op, ReplayOp::Rename);
        proxy.lose_next_answer();
        assert_eq!(happened(bed.link(&bed.root, id, ROOT, "c").await).op, ReplayOp::Link);
        proxy.lose_next_answer();
        assert_eq!(happened(bed.remove(ROOT, "b").await).inode, id);
        proxy.lose_next_answer();
        let patch = dfs_model::AttrPatch { mode: dfs_model::Patch::Set(0o600), ..Default::default() };
        assert_eq!(happened(bed.set(&bed.root, id, patch).await).op, ReplayOp::SetAttr);
        assert_eq!(proxy.lost(), 5);
        assert_eq!(bed.list(ROOT, 10).await.len(), 1);
        assert_eq!(bed.inode(id).await.mode, 0o600);
        check_consistent(store.as_ref(), bed.share).await;
    });
}

#[test]
fn lost_answers_of_refusals_are_refusals() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let (store, bed) = behind(&proxy).await;
        bed.file(ROOT, "a").await;
        proxy.lose_next_answer();
        crate::conformance::refused(
            bed.create(&bed.root, Bed::request(ROOT, "a", InodeKind::File)).await,
            dfs_model::FsError::Exists,
        );
        proxy.lose_next_answer();
        assert!(store.lookup(bed.share, ROOT, &name("a")).await.unwrap().is_some());
        assert_eq!(proxy.lost(), 2);
    });
}

#[test]
fn lost_answers_of_packs_and_places_are_found_by_what_is_there() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let (store, bed) = behind(&proxy).await;
        let (a, b) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
        proxy.lose_next_answer();
        let pack = bed.pack_up().await;
        let mut late = bed.part(b, 10, vec![]).await;
        late.from_seq = bed.next_seq();
        late.to_seq = bed.next_seq();
        let parts = vec![bed.part(a, 4096, vec![Bed::run(pack, 0, 4096, 1)]).await, late];
        proxy.lose_next_answer();
        let placed = bed.place(vec![pack], parts).await.unwrap();
        assert!(matches!(&placed.inodes[0], PlacedInode::Placed(row) if row.size == 4096));
        assert!(matches!(placed.inodes[1], PlacedInode::OutOfOrder { .. }));
        assert_eq!(bed.pack(pack).await.state, PackState::Live);
        let cut = bed.part(a, 100, vec![]).await;
        proxy.lose_next_answer();
        let placed = bed.place(vec![], vec![cut]).await.unwrap();
        assert!(matches!(&placed.inodes[0], PlacedInode::Placed(row) if row.size == 100));
        bed.remove(ROOT, "a").await.unwrap();
        proxy.lose_next_answer();
        assert_eq!(bed.bury(&[pack]).await, [pack]);
        proxy.lose_next_answer();
        store.packs_forget(bed.share, bed.epoch, &[pack]).await.unwrap();
        assert_eq!(proxy.lost(), 5);
        check_consistent(store.as_ref(), bed.share).await;
    });
}

#[test]
fn lost_answers_of_share_calls_are_found() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let (store, bed) = behind(&proxy).await;
        proxy.lose_next_answer();
        store.create_share(Bed::record(2), 0o755, 0, 0).await.unwrap();
        proxy.lose_next_answer();
        let epoch = store.begin_epoch(dfs_model::ShareId(2)).await.unwrap();
        assert_eq!(store.share(dfs_model::ShareId(2)).await.unwrap().epoch, epoch);
        proxy.lose_next_answer();
        store.delete_share(dfs_model::ShareId(2)).await.unwrap();
        assert_eq!(proxy.lost(), 3);
        bed.file(ROOT, "a").await;
    });
}

/// The first attempt still waits for a lock when its connection is lost: it is ended before the second is made.
#[test]
fn a_lost_attempt_that_has_not_happened_never_will() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let (store, bed) = behind(&proxy).await;
        let bed = Arc::new(bed);
        bed.file(ROOT, "a").await;
        let (mut client, _) = store.inner.pool.manager().plain().await.unwrap();
        let blocker = client.transaction().await.unwrap();
        blocker.execute("SELECT 1 FROM inodes WHERE inode = 1024 FOR UPDATE", &[]).await.unwrap();
        let removal = tokio::spawn({
            let bed = Arc::clone(&bed);
            async move { bed.remove(ROOT, "a").await }
        });
        let direct = PostgresStore::open(config(cluster.port)).await.unwrap();
        let (watch, _) = direct.inner.pool.manager().plain().await.unwrap();
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        while watch.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.cut();
        // The blocker went with the cut; whoever comes first, the name is removed once and the answer is that of one removal.
        drop(blocker);
        match removal.await.unwrap() {
            Ok(removed) => assert_eq!(removed.victim.inode.post.nlink, 0),
            Err(StoreError::Replayed(outcome)) => assert_eq!(outcome.op, ReplayOp::Remove),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(bed.lookup(ROOT, "a").await, None);
        check_consistent(store.as_ref(), bed.share).await;
    });
}

#[test]
fn connections_cut_under_load_lose_and_double_nothing() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let (store, bed) = behind(&proxy).await;
        let bed = Arc::new(bed);
        let mut tasks = Vec::new();
        for worker in 0..6 {
            let bed = Arc::clone(&bed);
            tasks.push(tokio::spawn(async move {
                for n in 0..60 {
                    let text = format!("w{worker}-{n}");
                    match bed.create(&bed.root, Bed::request(ROOT, &text, InodeKind::File)).await {
                        Ok(_) | Err(StoreError::Replayed(_)) => {}
                        Err(other) => panic!("{text}: {other}"),
                    }
                    if n % 3 == 0 {
                        match bed.remove(ROOT, &text).await {
                            Ok(_) | Err(StoreError::Replayed(_)) => {}
                            Err(other) => panic!("{text}: {other}"),
                        }
                    }
                }
            }));
        }
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            proxy.cut();
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(bed.list(ROOT, 100).await.len(), 6 * 40);
        check_consistent(store.as_ref(), bed.share).await;
    });
}

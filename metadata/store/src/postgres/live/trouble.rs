//! What the store answers when the database is in trouble, and that it recovers alone with nothing lost.

use super::proxy::Proxy;
use super::*;
use crate::conformance::check_consistent;
use crate::{Retry, StoreError};
use dfs_model::{FsError, InodeId, InodeKind};

const ROOT: InodeId = InodeId::ROOT;

/// Creates under load until told to stop; answers the names that were confirmed, and how often it was told to come later.
async fn load(bed: Arc<Bed>, worker: usize, stop: Arc<AtomicBool>) -> (Vec<String>, u32) {
    let (mut made, mut later) = (Vec::new(), 0);
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let text = format!("w{worker}-{n}");
        match bed.create(&bed.root, Bed::request(ROOT, &text, InodeKind::File)).await {
            Ok(_) | Err(StoreError::Replayed(_)) => made.push(text),
            Err(error @ StoreError::Unavailable(_)) => {
                assert_eq!((error.retry(), error.to_fs()), (Retry::Later, FsError::delay()));
                later += 1;
                // It certainly did not happen.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{text}: {other}"),
        }
    }
    (made, later)
}

/// Runs load while `trouble` happens; afterwards exactly the confirmed names are there.
async fn survives(cluster: &mut Cluster, patience: Duration, trouble: impl AsyncFnOnce(&mut Cluster)) -> u32 {
    let store = open(PostgresConfig { patience, ..config(cluster.port) }).await;
    let bed = Arc::new(Bed::new(store.clone(), 1).await);
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> =
        (0..4).map(|worker| tokio::spawn(load(Arc::clone(&bed), worker, Arc::clone(&stop)))).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    trouble(cluster).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut confirmed, mut told_later) = (Vec::new(), 0);
    for worker in workers {
        let (made, later) = worker.await.unwrap();
        confirmed.extend(made);
        told_later += later;
    }
    let mut there: Vec<String> =
        bed.list(ROOT, 1000).await.iter().map(|(_, name)| name.to_string()).collect();
    there.sort_unstable();
    confirmed.sort_unstable();
    assert!(confirmed.len() > 20, "only {} creates", confirmed.len());
    assert_eq!(there, confirmed, "exactly what was confirmed is there");
    assert_eq!(store.trouble(), None, "it answers again");
    check_consistent(store.as_ref(), bed.share).await;
    println!("{} names, {told_later} times told to come later", confirmed.len());
    told_later
}

#[test]
fn restart_of_the_database_is_waited_for() {
    block(async {
        let mut cluster = Cluster::start();
        let later = survives(&mut cluster, Duration::from_secs(20), async |cluster| {
            cluster.stop();
            tokio::time::sleep(Duration::from_millis(500)).await;
            cluster.go();
        });
        assert_eq!(later.await, 0, "within the patience nobody is told to come later");
    });
}

#[test]
fn kill_of_the_database_loses_nothing_that_was_confirmed() {
    block(async {
        let mut cluster = Cluster::start();
        survives(&mut cluster, Duration::from_secs(20), async |cluster| {
            for _ in 0..3 {
                cluster.kill();
                cluster.go();
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
        })
        .await;
    });
}

#[test]
fn long_outage_is_told_as_try_later_and_ends_by_itself() {
    block(async {
        let mut cluster = Cluster::start();
        let patience = Duration::from_millis(300);
        survives(&mut cluster, patience, async |cluster| {
            cluster.stop();
            tokio::time::sleep(Duration::from_secs(3)).await;
            cluster.go();
        })
        .await;
        // What was under way when it went waits until it is known; what comes later is told to come later.
        let store = open(PostgresConfig { patience, schema: "later".into(), ..config(cluster.port) }).await;
        let bed = Bed::new(store.clone(), 1).await;
        cluster.stop();
        tokio::time::sleep(Duration::from_millis(500)).await; // idle connections notice
        for _ in 0..2 {
            let late = bed.create(&bed.root, Bed::request(ROOT, "a", InodeKind::File)).await;
            assert!(matches!(&late, Err(StoreError::Unavailable(_))), "{late:?}");
            assert!(matches!(store.inode(bed.share, ROOT).await, Err(StoreError::Unavailable(_))));
        }
        assert!(store.trouble().is_some_and(|text| text.contains("127.0.0.1")));
        cluster.go();
        assert_eq!(bed.lookup(ROOT, "a").await, None);
        bed.file(ROOT, "a").await;
        assert_eq!(store.trouble(), None);
    });
}

#[test]
fn standing_database_is_told_as_try_later_for_reads() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let store = open(PostgresConfig { patience: Duration::from_millis(500), ..config(proxy.port) }).await;
        let bed = Bed::new(store.clone(), 1).await;
        proxy.delay.store(3_000_000, Ordering::Relaxed);
        let late = store.inode(bed.share, ROOT).await;
        assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
        proxy.delay.store(0, Ordering::Relaxed);
        assert!(store.inode(bed.share, ROOT).await.unwrap().is_some());
    });
}

#[test]
fn exhausted_pool_is_waited_for_and_then_told_as_try_later() {
    block(async {
        let cluster = Cluster::start();
        let mut small = config(cluster.port);
        (small.connections, small.patience) = (2, Duration::from_millis(700));
        let store = open(small).await;
        let bed = Arc::new(Bed::new(store.clone(), 1).await);
        let dirs = [bed.mkdir(ROOT, "a").await, bed.mkdir(ROOT, "b").await];
        let (mut client, _) = store.inner.pool.manager().plain().await.unwrap();
        let blocker = client.transaction().await.unwrap();
        blocker.execute("SELECT 1 FROM inodes FOR UPDATE", &[]).await.unwrap();
        let stuck: Vec<_> = dirs
            .into_iter()
            .map(|dir| {
                let bed = Arc::clone(&bed);
                tokio::spawn(
                    async move { bed.create(&bed.root, Bed::request(dir, "x", InodeKind::File)).await },
                )
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let refused = bed.create(&bed.root, Bed::request(ROOT, "y", InodeKind::File)).await;
        assert!(
            matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("in use")),
            "{refused:?}"
        );
        blocker.rollback().await.unwrap();
        for one in stuck {
            one.await.unwrap().unwrap();
        }
        assert_eq!(bed.lookup(ROOT, "y").await, None, "what was told to come later did not happen");
        bed.file(ROOT, "y").await;
        check_consistent(store.as_ref(), bed.share).await;
    });
}

#[test]
fn server_without_connections_left_is_waited_for() {
    block(async {
        let cluster = Cluster::start_with(&["max_connections=8", "superuser_reserved_connections=0"], None);
        let store = open(PostgresConfig {
            patience: Duration::from_millis(600),
            connections: 4,
            ..config(cluster.port)
        })
        .await;
        let bed = Bed::new(store.clone(), 1).await;
        let mut others = Vec::new();
        while let Ok((client, _)) = store.inner.pool.manager().plain().await {
            others.push(client);
        }
        // The pool's own connection serves on; new ones fail until somebody leaves.
        bed.file(ROOT, "a").await;
        assert!(!others.is_empty());
        drop(others);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (one, two) = tokio::join!(store.inode(bed.share, ROOT), store.usage(bed.share));
        assert!(one.is_ok() && two.is_ok());
    });
}

#[test]
fn full_disk_refuses_creates_and_goes_on_when_there_is_room_again() {
    block(async {
        let cluster = Cluster::start_with(&["max_wal_size=32MB", "min_wal_size=32MB"], Some(200 << 20));
        let store = open(PostgresConfig { patience: Duration::from_secs(2), ..config(cluster.port) }).await;
        let bed = Bed::new(store.clone(), 1).await;
        let filler = cluster.folder().join("filler");
        let fill = std::process::Command::new("dd")
            .args(["if=/dev/zero", &format!("of={}", filler.display()), "bs=64k"])
            .stderr(std::process::Stdio::null())
            .status();
        assert!(!fill.unwrap().success(), "the disk is full");
        let (mut confirmed, mut refusals) = (Vec::new(), 0);
        let target = bytes::Bytes::from(vec![b'x'; 4000]);
        for n in 0..40_000 {
            let text = format!("f{n}");
            let mut request = Bed::request(ROOT, &text, InodeKind::Symlink);
            request.link_target = Some(target.clone());
            match bed.create(&bed.root, request).await {
                Ok(_) | Err(StoreError::Replayed(_)) => confirmed.push(text),
                Err(StoreError::Refused(FsError::NoSpace) | StoreError::Unavailable(_)) => {
                    refusals += 1;
                    if refusals == 3 {
                        break;
                    }
                }
                Err(other) => panic!("{text}: {other}"),
            }
        }
        assert_eq!(refusals, 3, "the disk never got full: {} names", confirmed.len());
        std::fs::remove_file(&filler).unwrap();
        let end = std::time::Instant::now() + Duration::from_secs(30);
        let mut cluster = cluster;
        while let Err(error) =
            store.create(bed.cx(&bed.root), Bed::request(ROOT, "after", InodeKind::File)).await
        {
            if matches!(error, StoreError::Replayed(_)) {
                break;
            }
            assert!(std::time::Instant::now() < end, "still: {error}");
            cluster.go_if_dead();
        }
        confirmed.push("after".into());
        let mut there: Vec<String> =
            bed.list(ROOT, 1000).await.iter().map(|(_, name)| name.to_string()).collect();
        there.sort_unstable();
        confirmed.sort_unstable();
        assert_eq!(there, confirmed);
        check_consistent(store.as_ref(), bed.share).await;
    });
}

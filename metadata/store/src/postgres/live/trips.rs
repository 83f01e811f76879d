//! Round trips: one per operation, counted on the wire.

use super::proxy::Proxy;
use super::*;
use crate::conformance::name;
use crate::{CloneRequest, Copies, LinkRequest, ReadDirRequest, SetAttrRequest, StateTable};
use dfs_model::{AttrPatch, Cookie, Guard, InodeId, InodeKind, Patch};

const ROOT: InodeId = InodeId::ROOT;

/// A store behind a counting proxy, with one warm connection and no background work on it.
async fn behind(proxy: &Proxy) -> (Arc<PostgresStore>, Bed) {
    let store = PostgresStore::open(PostgresConfig { connections: 1, ..config(proxy.port) }).await.unwrap();
    store.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let store = Arc::new(store);
    let bed = Bed::new(store.clone(), 1).await;
    (store, bed)
}

#[test]
fn each_operation_is_one_round_trip() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let (store, bed) = behind(&proxy).await;
        let share = bed.share;
        tokio::time::sleep(Duration::from_millis(100)).await;
        proxy.trips();
        let mut counted: Vec<(&str, u64)> = Vec::new();
        macro_rules! count {
            ($what:literal, $call:expr) => {{
                let value = $call.await.unwrap();
                counted.push(($what, proxy.trips()));
                value
            }};
        }
        let a = count!("create", bed.create(&bed.user, Bed::request(ROOT, "a", InodeKind::File))).inode.id;
        count!("create a directory", bed.create(&bed.user, Bed::request(ROOT, "d", InodeKind::Directory)));
        let d = bed.lookup(ROOT, "d").await.unwrap();
        proxy.trips();
        count!("lookup", store.lookup(share, ROOT, &name("a")));
        count!("lookup of nothing", store.lookup(share, ROOT, &name("none")));
        count!("lookup in any case", store.lookup_fold(share, ROOT, &name("A")));
        count!("getattr", store.inode(share, a));
        count!("getattr of several", store.inodes(share, &[a, d, ROOT]));
        let page = |rows| ReadDirRequest {
            dir: ROOT,
            after: Cookie::START,
            up_to: Cookie(u64::MAX),
            limit: 100,
            rows,
        };
        count!("readdir", store.read_dir(share, page(false)));
        count!("readdir with attributes", store.read_dir(share, page(true)));
        count!("names of an inode", store.names_of(share, a, 10));
        let link = LinkRequest { inode: a, dir: d, name: name("l") };
        count!("link", store.link(bed.cx(&bed.root), link));
        count!("rename", bed.rename(ROOT, "a", ROOT, "b"));
        count!("rename across directories", bed.rename(ROOT, "b", d, "c"));
        bed.file(d, "o").await;
        proxy.trips();
        count!("rename over a file", bed.rename(d, "o", d, "l"));
        let patch = AttrPatch { mode: Patch::Set(0o600), ..AttrPatch::default() };
        count!(
            "setattr",
            store.set_attr(bed.cx(&bed.root), SetAttrRequest { inode: a, patch, guard: Guard::None })
        );
        let pack = count!("pack row", async { Ok::<_, ()>(bed.pack_up().await) });
        let part = bed.part(a, 65_536, vec![Bed::run(pack, 0, 65_536, 1)]).await;
        proxy.trips();
        count!("place", bed.place(vec![pack], vec![part]));
        count!("extents", store.extents(share, a, 0, u64::MAX, 10));
        let to = bed.file(ROOT, "t").await;
        proxy.trips();
        let clone = CloneRequest { from: a, to, part: None, drained: [None, None], clear_suid: false };
        count!("clone", store.clone_file(bed.cx(&bed.root), clone));
        count!("usage", store.usage(share));
        count!("state", store.state_put(share, bed.epoch, StateTable::Clients, "k".into(), Some("v".into())));
        count!("unlink", bed.remove(d, "c"));
        count!("unlink", bed.remove(d, "l"));
        count!("rmdir", bed.remove(ROOT, "d"));
        count!("bury", async { Ok::<_, ()>(bed.bury(&[pack]).await) });
        let more: Vec<_> = counted.iter().filter(|(_, trips)| *trips != 1).collect();
        assert!(more.is_empty(), "not one round trip: {more:?}");
        println!("{} kinds of operation, one round trip each", counted.len());
    });
}

#[test]
fn refused_operations_are_one_round_trip_too() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let (_store, bed) = behind(&proxy).await;
        bed.file(ROOT, "a").await;
        proxy.trips();
        assert!(bed.create(&bed.user, Bed::request(ROOT, "a", InodeKind::File)).await.is_err());
        assert_eq!(proxy.trips(), 1);
        assert!(bed.remove(ROOT, "none").await.is_err());
        assert_eq!(proxy.trips(), 1);
    });
}

/// The counter can count more than one: a look-up made of two reads is seen as two.
#[test]
fn the_counter_sees_more_than_one() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let (store, bed) = behind(&proxy).await;
        proxy.trips();
        store.inode(bed.share, ROOT).await.unwrap();
        store.usage(bed.share).await.unwrap();
        assert_eq!(proxy.trips(), 2);
    });
}

/// Behind a wire of 2 ms, a stream of creates runs at 0.8 at least of a stream of single committed INSERTs.
#[test]
fn creates_of_one_stream_keep_up_with_single_inserts_behind_a_slow_wire() {
    block(async {
        let cluster = Cluster::start();
        let proxy = Proxy::to(cluster.port).await;
        let (store, bed) = behind(&proxy).await;
        let dir = bed.mkdir(ROOT, "d").await;
        let (client, _) = store.inner.pool.manager().plain().await.unwrap();
        client
            .batch_execute(
                "CREATE TABLE plain (id bigint PRIMARY KEY, name text NOT NULL, at timestamptz NOT NULL)",
            )
            .await
            .unwrap();
        let insert = client.prepare("INSERT INTO plain VALUES ($1, $2, now())").await.unwrap();
        proxy.delay.store(2000, Ordering::Relaxed);
        let (mut creates, mut inserts) = (Duration::ZERO, Duration::ZERO);
        for n in 0..120i64 {
            let start = std::time::Instant::now();
            client.execute(&insert, &[&n, &format!("f{n}")]).await.unwrap();
            inserts += start.elapsed();
            let start = std::time::Instant::now();
            bed.create(&bed.root, Bed::request(dir, &format!("f{n}"), InodeKind::File)).await.unwrap();
            creates += start.elapsed();
        }
        let ratio = inserts.as_secs_f64() / creates.as_secs_f64();
        println!("create {:?}, insert {:?}, ratio {ratio:.2}", creates / 120, inserts / 120);
        let bar = if std::env::var("TESTS_SHORT").is_ok_and(|short| short == "0") { 0.8 } else { 0.5 };
        assert!(ratio >= bar, "a create takes {:?}, an INSERT {:?}", creates / 120, inserts / 120);
    });
}

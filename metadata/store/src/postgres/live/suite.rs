//! The conformance suite and random histories, as every store runs them.

use super::*;
use crate::conformance::model::random_history;
use crate::conformance::{check_consistent, run_all};
use dfs_model::{InodeId, InodeKind};

#[test]
fn postgres_passes_every_conformance_case() {
    block(async {
        let cluster = Cluster::start();
        let store = open(config(cluster.port)).await;
        let count = run_all(store).await;
        assert!(count >= 150, "{count} cases");
    });
}

#[test]
fn postgres_agrees_with_the_naive_model_over_random_histories() {
    block(async {
        let cluster = Cluster::start();
        let store = open(config(cluster.port)).await;
        let mut worked = 0;
        for seed in seeds(12) {
            println!("seed {seed}");
            let bed = Bed::new(store.clone(), u128::from(seed) + 1).await;
            worked += random_history(&bed, seed, 300).await;
        }
        assert!(worked > 150, "only {worked} steps worked: the histories are too dull");
    });
}

#[test]
fn postgres_keeps_all_indexes_right_under_parallel_changes() {
    block(async {
        let cluster = Cluster::start();
        let store = open(config(cluster.port)).await;
        let bed = Arc::new(Bed::new(store.clone(), 1).await);
        let mut dirs = vec![InodeId::ROOT];
        for n in 0..4 {
            dirs.push(bed.mkdir(dirs[n / 2], &format!("d{n}")).await);
        }
        let mut tasks = Vec::new();
        for worker in 0..12u64 {
            let (bed, dirs) = (Arc::clone(&bed), dirs.clone());
            tasks.push(tokio::spawn(async move {
                let mut random = crate::conformance::model::Random(worker);
                let mut worked = 0;
                for _ in 0..60 {
                    let (from, to) = (*random.pick(&dirs), *random.pick(&dirs));
                    let name =
                        |random: &mut crate::conformance::model::Random| format!("n{}", random.below(6));
                    let (a, b) = (name(&mut random), name(&mut random));
                    let done = match random.below(5) {
                        0 => bed.create(&bed.root, Bed::request(from, &a, InodeKind::File)).await.is_ok(),
                        1 => {
                            bed.create(&bed.root, Bed::request(from, &a, InodeKind::Directory)).await.is_ok()
                        }
                        2 => bed.remove(from, &a).await.is_ok(),
                        _ => bed.rename(from, &a, to, &b).await.is_ok(),
                    };
                    worked += u32::from(done);
                }
                worked
            }));
        }
        let mut worked = 0;
        for task in tasks {
            worked += task.await.unwrap();
        }
        assert!(worked > 100, "only {worked} changes worked");
        check_consistent(store.as_ref(), bed.share).await;
        store.inner.fold_deltas().await.unwrap();
        check_consistent(store.as_ref(), bed.share).await;
    });
}

#[test]
fn postgres_folds_every_delta_into_its_total() {
    block(async {
        let cluster = Cluster::start();
        let store = open(config(cluster.port)).await;
        let bed = Bed::new(store.clone(), 1).await;
        for n in 0..20 {
            let id = bed.file(InodeId::ROOT, &format!("f{n}")).await;
            bed.written(id, 0, 4096, 2).await;
            bed.written(id, 0, 4096, 1).await;
        }
        let before =
            (store.usage(bed.share).await.unwrap(), store.packs(bed.share, None, 100).await.unwrap());
        store.inner.fold_deltas().await.unwrap();
        let (client, _) = store.inner.pool.manager().plain().await.unwrap();
        let left = client.query_one(
            "SELECT (SELECT count(*) FROM usage_deltas) + (SELECT count(*) FROM pack_deltas)",
            &[],
        );
        assert_eq!(left.await.unwrap().get::<_, i64>(0), 0);
        let after = (store.usage(bed.share).await.unwrap(), store.packs(bed.share, None, 100).await.unwrap());
        assert_eq!(before, after);
        assert_eq!(after.0.inodes, 21);
    });
}

#[test]
fn postgres_deletes_the_rows_of_a_deleted_share() {
    block(async {
        let cluster = Cluster::start();
        let store = open(config(cluster.port)).await;
        let (bed, kept) = (Bed::new(store.clone(), 1).await, Bed::new(store.clone(), 2).await);
        for n in 0..30 {
            bed.file(InodeId::ROOT, &format!("f{n}")).await;
        }
        kept.file(InodeId::ROOT, "kept").await;
        store.delete_share(bed.share).await.unwrap();
        store.inner.finish_deletions().await.unwrap();
        let (client, _) = store.inner.pool.manager().plain().await.unwrap();
        let row = client
            .query_one("SELECT count(*), (SELECT count(*) FROM doomed) FROM dentries", &[])
            .await
            .unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 0));
        check_consistent(store.as_ref(), kept.share).await;
    });
}

#[test]
fn postgres_refuses_a_newer_schema_and_a_changed_one_and_upgrades_an_older_one() {
    block(async {
        let cluster = Cluster::start();
        let store = open(config(cluster.port)).await;
        let (client, _) = store.inner.pool.manager().plain().await.unwrap();
        let again = || async {
            PostgresStore::open(config(cluster.port)).await.map(drop).map_err(|error| error.to_string())
        };
        again().await.unwrap();
        client.batch_execute("INSERT INTO migrations VALUES (99, 'later', 1)").await.unwrap();
        let newer = again().await.unwrap_err();
        assert!(newer.contains("newer than version") && newer.contains("upgrade the gateway"), "{newer}");
        client.batch_execute("DELETE FROM migrations WHERE version = 99; UPDATE migrations SET checksum = 0 WHERE version = 2").await.unwrap();
        let changed = again().await.unwrap_err();
        assert!(changed.contains("not the one of this program"), "{changed}");

        // Older: only the first migration is there.
        let old = PostgresConfig { schema: "older".into(), ..config(cluster.port) };
        client.batch_execute("CREATE SCHEMA older").await.unwrap();
        let first = include_str!("../sql/01_tables.sql");
        let sum = xxhash_rust::xxh3::xxh3_64(first.as_bytes()) as i64;
        client
            .batch_execute(&format!(
                "SET search_path = older; {first}; CREATE TABLE migrations (version integer PRIMARY KEY, name text NOT NULL, \
                checksum bigint NOT NULL, applied timestamptz NOT NULL DEFAULT now()); \
                INSERT INTO migrations (version, name, checksum) VALUES (1, 'tables', {sum})"
            ))
            .await
            .unwrap();
        let bed = Bed::new(open(old).await, 1).await;
        bed.file(InodeId::ROOT, "a").await;
    });
}

#[test]
fn postgres_refuses_a_server_that_would_lose_confirmed_names() {
    block(async {
        let cluster = Cluster::start_with(&["fsync=off"], None);
        let refused = PostgresStore::open(config(cluster.port)).await.map(drop).unwrap_err().to_string();
        assert!(refused.contains("fsync = off"), "{refused}");
        let cluster = Cluster::start();
        let mut asynchronous = config(cluster.port);
        asynchronous.url += " options='-c synchronous_commit=off'";
        let refused = PostgresStore::open(asynchronous).await.map(drop).unwrap_err().to_string();
        assert!(refused.contains("synchronous_commit"), "{refused}");
    });
}

#[test]
fn postgres_shows_the_tree_to_a_person() {
    block(async {
        let cluster = Cluster::start();
        let store = open(config(cluster.port)).await;
        let bed = Bed::new(store.clone(), 1).await;
        bed.made(InodeId::ROOT, "Bericht.txt", InodeKind::File, 0o640, &bed.user).await;
        let (client, _) = store.inner.pool.manager().plain().await.unwrap();
        let row = client.query_one("SELECT share, name, kind, mode, owner FROM tree", &[]).await.unwrap();
        let shown: Vec<String> = (0..5).map(|nth| row.get(nth)).collect();
        assert_eq!(shown, ["share-1", "Bericht.txt", "file", "0640", "uid:1000"]);
    });
}

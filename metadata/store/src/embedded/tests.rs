//! The embedded store over simulated disks: crashes, full disks, damage.

#![allow(clippy::unwrap_used, clippy::panic)]

mod crash;
mod numbers;

use super::*;
use crate::MetadataStore;
use crate::conformance::model::random_history;
use crate::conformance::{Bed, run_all};
use dfs_log::{RealDisk, SimDisk};
use dfs_model::{InodeId, InodeKind, Timestamp};
use std::future::Future;

/// Time that stands still: the store measures with it and nothing else.
struct Still;

impl Clock for Still {
    fn wall(&self) -> Timestamp {
        Timestamp::new(1_000_000, 0)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(1)
    }
}

/// Small sizes, so that checkpoints, rolls and layers all happen.
fn small() -> EmbeddedConfig {
    EmbeddedConfig {
        cache_bytes: 1 << 20,
        memtable_bytes: 256 << 10,
        checkpoint_interval: Duration::from_millis(50),
        log_bytes: 8 << 20,
        segment_bytes: 1 << 20,
        reserve_bytes: 0,
        min_free_bytes: 0,
        inline: true,
        ..EmbeddedConfig::new(Arc::new(Still))
    }
}

/// Runs a future in a simulation: one thread, time that jumps.
fn simulate<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

fn sim_folder(seed: u64) -> (Arc<SimDisk>, Folder) {
    let disk = SimDisk::new(seed, 256 << 20);
    (Arc::clone(&disk), disk)
}

#[test]
fn embedded_on_a_simulated_disk_passes_every_conformance_case() {
    simulate(async {
        let (_, folder) = sim_folder(1);
        let store = EmbeddedStore::open(folder, small()).await.unwrap();
        assert!(run_all(Arc::new(store)).await >= 100);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_on_a_real_disk_passes_every_conformance_case() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Folder = RealDisk::open(folder.path()).unwrap();
    let config = EmbeddedConfig { inline: false, ..small() };
    let store = EmbeddedStore::open(disk, config).await.unwrap();
    assert!(run_all(Arc::new(store)).await >= 100);
}

#[test]
fn embedded_agrees_with_the_naive_model_over_random_histories_with_checkpoints() {
    for seed in 0..20 {
        println!("seed {seed}");
        simulate(async move {
            let (_, folder) = sim_folder(seed);
            let config = EmbeddedConfig { memtable_bytes: 4 << 10, ..small() };
            let store = Arc::new(EmbeddedStore::open(folder, config).await.unwrap());
            let bed = Bed::new(store.clone(), 1).await;
            assert!(random_history(&bed, seed, 400).await > 50);
            assert!(store.stats().checkpoints > 3, "{:?}", store.stats());
        });
    }
}

#[test]
fn close_then_open_replays_nothing_and_shows_all() {
    simulate(async {
        let (_, folder) = sim_folder(3);
        let store = EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap();
        let store = Arc::new(store);
        let bed = Bed::new(store.clone(), 1).await;
        let id = bed.file(InodeId::ROOT, "a").await;
        let last = store.last_commit();
        store.close().await.unwrap();
        drop((store, bed));
        let store = EmbeddedStore::open(folder, small()).await.unwrap();
        assert_eq!((store.stats().memtable_bytes, store.last_commit()), (0, last));
        let bed = Bed::open(Arc::new(store), 1).await;
        assert_eq!(bed.lookup(InodeId::ROOT, "a").await, Some(id));
        assert!(bed.file(InodeId::ROOT, "b").await > id);
    });
}

#[test]
fn open_while_another_holds_the_folder_is_refused_with_a_clear_message() {
    simulate(async {
        let (_, folder) = sim_folder(4);
        let store = EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap();
        let second = EmbeddedStore::open(folder, small()).await;
        assert!(
            matches!(second, Err(StoreError::Unusable(text)) if text.contains("in use by another process"))
        );
        drop(store);
    });
}

#[test]
fn open_of_a_newer_format_is_refused_and_touches_nothing() {
    simulate(async {
        let (disk, folder) = sim_folder(5);
        drop(EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
        base::tests_support::set_format(&folder, 2);
        let before = disk.steps();
        match EmbeddedStore::open(folder, small()).await.map(|_| ()) {
            Err(StoreError::Unusable(text)) => {
                assert!(text.contains("format 2") && text.contains("newer version"), "{text}")
            }
            other => panic!("{other:?}"),
        }
        println!("{} disk steps by the refused open (redb's own mark of being open)", disk.steps() - before);
    });
}

#[test]
fn open_of_an_older_copy_of_the_checkpoint_is_refused() {
    simulate(async {
        let (_, folder) = sim_folder(6);
        let store = EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap();
        let bed = Bed::new(Arc::new(store), 1).await;
        drop(bed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let copy = read_file(folder.as_ref(), base::FILE);
        for n in 0..2 {
            let store = EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap();
            let bed = Bed::open(Arc::new(store), 1).await;
            bed.file(InodeId::ROOT, &format!("f{n}")).await;
            bed.store.checkpoint().await.unwrap();
            drop(bed);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let file = folder.open(base::FILE).unwrap();
        file.set_len(copy.len() as u64).unwrap();
        file.write_at(0, &copy).unwrap();
        for _ in 0..4 {
            match EmbeddedStore::open(Arc::clone(&folder), small()).await.map(|_| ()) {
                Err(StoreError::Unusable(text)) => assert!(text.contains("older copy"), "{text}"),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn open_of_a_damaged_checkpoint_is_refused_with_the_files_name() {
    for seed in 0..9u64 {
        simulate(async move {
            let (disk, folder) = sim_folder(seed);
            let store = EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap();
            let bed = Bed::new(Arc::new(store), 1).await;
            bed.store.checkpoint().await.unwrap();
            drop(bed);
            tokio::time::sleep(Duration::from_millis(100)).await;
            // The file's magic number.
            assert!(disk.rot(base::FILE, seed % 9, 0x55));
            match EmbeddedStore::open(folder, small()).await.map(|_| ()) {
                Err(StoreError::Unusable(text) | StoreError::Broken(text)) => {
                    assert!(text.contains("metadata.redb"), "{text}")
                }
                other => panic!("byte {}: {other:?}", seed % 9),
            }
        });
    }
}

#[test]
fn open_with_damage_before_good_redo_records_is_refused_with_file_and_offset() {
    simulate(async {
        let (disk, folder) = sim_folder(8);
        let config = || EmbeddedConfig { checkpoint_interval: Duration::from_secs(3600), ..small() };
        let store = EmbeddedStore::open(Arc::clone(&folder), config()).await.unwrap();
        let bed = Bed::new(Arc::new(store), 1).await;
        for n in 0..50 {
            bed.file(InodeId::ROOT, &format!("f{n}")).await;
            bed.store.durable(bed.store.last_commit()).await.unwrap();
        }
        drop(bed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let names = disk.sub("names").unwrap();
        let segments: Vec<_> =
            names.list().unwrap().into_iter().filter(|name| name.starts_with("segment")).collect();
        let used = segments
            .into_iter()
            .find(|name| read_file(names.as_ref(), name).iter().skip(4096).any(|b| *b != 0));
        let name = used.unwrap();
        let file = names.open(&name).unwrap();
        file.write_at(4096 + 300, &[0xee; 64]).unwrap();
        file.sync().unwrap();
        match EmbeddedStore::open(folder, config()).await.map(|_| ()) {
            Err(StoreError::Unusable(text)) => {
                assert!(text.contains(&name) && text.contains("byte"), "{text}")
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn failed_sync_poisons_the_store_and_reads_go_on() {
    simulate(async {
        let (disk, folder) = sim_folder(9);
        let store = EmbeddedStore::open(folder, small()).await.unwrap();
        let bed = Bed::new(Arc::new(store), 1).await;
        let id = bed.file(InodeId::ROOT, "a").await;
        bed.store.durable(bed.store.last_commit()).await.unwrap();
        disk.fail_syncs(1);
        bed.file(InodeId::ROOT, "b").await;
        assert!(matches!(bed.store.durable(bed.store.last_commit()).await, Err(StoreError::Poisoned(_))));
        assert!(bed.store.poisoned().is_some());
        let refused = bed.create(&bed.root, Bed::request(InodeId::ROOT, "c", InodeKind::File)).await;
        assert!(matches!(refused, Err(StoreError::Poisoned(_))));
        assert!(matches!(bed.store.checkpoint().await, Err(StoreError::Poisoned(_))));
        assert_eq!(bed.lookup(InodeId::ROOT, "a").await, Some(id));
    });
}

#[test]
fn full_disk_refuses_creates_but_lets_removes_and_places_through_on_the_reserve() {
    simulate(async {
        let (disk, folder) = sim_folder(10);
        let config = EmbeddedConfig { reserve_bytes: 32 << 20, min_free_bytes: 8 << 20, ..small() };
        let store = Arc::new(EmbeddedStore::open(Arc::clone(&folder), config).await.unwrap());
        let bed = Bed::new(store.clone(), 1).await;
        let kept = bed.file(InodeId::ROOT, "kept").await;
        for n in 0..200 {
            bed.file(InodeId::ROOT, &format!("f{n}")).await;
        }
        assert!(folder.list().unwrap().contains(&space::FILE.to_owned()));
        disk.set_capacity((256 << 20) - disk.free_bytes().unwrap() + (1 << 20));
        bed.store.checkpoint().await.unwrap();
        let refused = bed.create(&bed.root, Bed::request(InodeId::ROOT, "x", InodeKind::File)).await;
        match refused {
            Err(StoreError::Refused(FsError::NoSpace)) => {}
            // The reserve was given up already, so there is room above the limit again.
            Ok(_) => assert!(!folder.list().unwrap().contains(&space::FILE.to_owned())),
            other => panic!("{other:?}"),
        }
        for n in 0..200 {
            bed.remove(InodeId::ROOT, &format!("f{n}")).await.unwrap();
            if n % 50 == 0 {
                bed.store.checkpoint().await.unwrap();
            }
        }
        bed.written(kept, 0, 4096, 2).await;
        bed.store.checkpoint().await.unwrap();
        assert_eq!(bed.store.poisoned(), None);
    });
}

#[test]
fn creates_wait_for_a_lagging_checkpoint_and_then_go_on() {
    simulate(async {
        let (_, folder) = sim_folder(11);
        let config = EmbeddedConfig {
            memtable_bytes: 8 << 10,
            checkpoint_interval: Duration::from_secs(3600),
            ..small()
        };
        let store = Arc::new(EmbeddedStore::open(folder, config).await.unwrap());
        let bed = Bed::new(store.clone(), 1).await;
        for n in 0..300 {
            bed.file(InodeId::ROOT, &format!("f{n}")).await;
            assert!(store.stats().memtable_bytes < 3 * (8 << 10), "{:?}", store.stats());
        }
        assert!(store.stats().checkpoints > 10);
    });
}

#[test]
fn log_segments_are_given_back_by_checkpoints() {
    simulate(async {
        let (_, folder) = sim_folder(12);
        let config = EmbeddedConfig { log_bytes: 256 << 10, segment_bytes: 64 << 10, ..small() };
        let store = Arc::new(EmbeddedStore::open(folder, config).await.unwrap());
        let bed = Bed::new(store.clone(), 1).await;
        for n in 0..3000 {
            bed.file(InodeId::ROOT, &format!("f{n}")).await;
        }
        assert_eq!(bed.list(InodeId::ROOT, 1000).await.len(), 3000);
        assert!(store.stats().log_bytes <= 256 << 10);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_creates_on_a_real_disk_all_land_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Folder = RealDisk::open(folder.path()).unwrap();
    let config = EmbeddedConfig { inline: false, memtable_bytes: 32 << 10, ..small() };
    let store = Arc::new(EmbeddedStore::open(disk, config).await.unwrap());
    let bed = Arc::new(Bed::new(store, 1).await);
    let mut tasks = Vec::new();
    for task in 0..16 {
        let bed = Arc::clone(&bed);
        tasks.push(tokio::spawn(async move {
            for n in 0..100 {
                bed.file(InodeId::ROOT, &format!("t{task}-{n}")).await;
                bed.store.durable(bed.store.last_commit()).await.unwrap();
                assert!(bed.lookup(InodeId::ROOT, &format!("t{task}-{n}")).await.is_some());
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(bed.list(InodeId::ROOT, 100).await.len(), 1600);
    crate::conformance::check_consistent(bed.store.as_ref(), bed.share).await;
}

fn read_file(disk: &dyn Disk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    let mut done = 0;
    while done < bytes.len() {
        done += file.read_at(done as u64, &mut bytes[done..]).unwrap();
    }
    bytes
}

#[test]
fn old_replay_outcomes_are_pruned_and_young_ones_kept() {
    use dfs_model::ReplayKey;
    simulate(async {
        let (_, folder) = sim_folder(13);
        let store = Arc::new(EmbeddedStore::open(folder, small()).await.unwrap());
        let bed = Bed::new(store.clone(), 1).await;
        let key = |xid| ReplayKey::Rpc { client: [127, 0, 0, 1].into(), xid, procedure: 1, checksum: 2 };
        let mut young = bed.now();
        for n in 0..1500u32 {
            let at = if n < 1400 { bed.now() } else { bed.now().plus(crate::REPLAY_AGE_MAX * 10) };
            young = young.max(at);
            let key = key(n);
            let cx = crate::OpContext { now: at, ..bed.cx_replay(&bed.root, &key) };
            store.create(cx, Bed::request(InodeId::ROOT, &format!("f{n}"), InodeKind::File)).await.unwrap();
        }
        store.prune_replays(young).await.unwrap();
        for (n, kept) in [(0, false), (1399, false), (1400, true), (1499, true)] {
            assert_eq!(store.replayed(bed.share, &key(n)).await.unwrap().is_some(), kept, "{n}");
        }
    });
}

#[test]
fn share_deletion_cut_by_a_crash_is_finished_by_the_next_open() {
    for cut in 0..60u64 {
        simulate(async move {
            let (disk, folder) = sim_folder(cut);
            let store = Arc::new(EmbeddedStore::open(folder, small()).await.unwrap());
            let bed = Bed::new(store.clone(), 1).await;
            for n in 0..50 {
                bed.file(InodeId::ROOT, &format!("f{n}")).await;
            }
            store.durable(store.last_commit()).await.unwrap();
            disk.cut_after(cut);
            let done = store.delete_share(bed.share).await;
            drop((store, bed));
            let disk = disk.crash(dfs_log::Crash::Power);
            let store = Arc::new(EmbeddedStore::open(disk, small()).await.unwrap());
            match store.share(dfs_model::ShareId(1)).await {
                Ok(_) => {
                    assert!(done.is_err());
                    crate::conformance::check_consistent(store.as_ref(), dfs_model::ShareId(1)).await;
                }
                Err(StoreError::NoShare(_)) => {
                    // Nothing of it is left, so a new share of that id starts empty.
                    let bed = Bed::new(store, 1).await;
                    assert!(bed.list(InodeId::ROOT, 9).await.is_empty());
                }
                Err(other) => panic!("{other:?}"),
            }
        });
    }
}

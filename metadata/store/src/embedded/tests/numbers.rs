//! The opening number's file: a full disk, damage, a folder without it.

use super::*;
use dfs_log::Crash;

/// The disk has not a free byte, no reserve is left, and the process dies again and again: the store opens, answers, takes
/// changes, refuses creates, and checkpoints into the free pages that it has.
#[test]
fn a_folder_that_was_in_use_opens_on_a_disk_without_a_free_byte() {
    for seed in 0..8u64 {
        simulate(async move {
            let (mut disk, folder) = sim_folder(seed);
            let config = EmbeddedConfig { min_free_bytes: 1 << 20, ..small() };
            let store = EmbeddedStore::open(folder, config.clone()).await.unwrap();
            let bed = Bed::new(Arc::new(store), 1).await;
            let kept = bed.file(InodeId::ROOT, "kept").await;
            bed.store.durable(bed.store.last_commit()).await.unwrap();
            let roomy = disk.total_bytes().unwrap();
            drop(bed);
            for life in 0..20u32 {
                disk = disk.crash(if seed % 2 == 0 { Crash::Power } else { Crash::Process });
                disk.set_capacity(1);
                let store = EmbeddedStore::open(disk.clone(), config.clone()).await.unwrap();
                let bed = Bed::open(Arc::new(store), 1).await;
                assert_eq!(bed.lookup(InodeId::ROOT, "kept").await, Some(kept));
                bed.written(kept, 0, 4096, life + 2).await;
                let refused = bed.create(&bed.root, Bed::request(InodeId::ROOT, "x", InodeKind::File)).await;
                assert!(matches!(refused, Err(StoreError::Refused(FsError::NoSpace))), "{refused:?}");
                bed.store.checkpoint().await.unwrap();
                bed.store.durable(bed.store.last_commit()).await.unwrap();
                assert_eq!(bed.store.poisoned(), None);
            }
            disk = disk.crash(Crash::Process);
            disk.set_capacity(roomy);
            let store = EmbeddedStore::open(disk.clone(), config).await.unwrap();
            let bed = Bed::open(Arc::new(store), 1).await;
            bed.store.checkpoint().await.unwrap();
            bed.file(InodeId::ROOT, "one more").await;
        });
    }
}

#[test]
fn an_opening_file_with_one_damaged_copy_is_read_and_with_two_is_refused() {
    simulate(async {
        let (_, folder) = sim_folder(3);
        drop(EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let file = folder.open(opening::FILE).unwrap();
        let whole = read_file(folder.as_ref(), opening::FILE);
        let newer = if whole[8] > whole[4096 + 8] { 0 } else { 4096 };
        // As a power cut leaves it while the next number is written: the older copy counts.
        file.write_at(4096 - newer, &[0xff; 40]).unwrap();
        drop(EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
        file.write_at(0, &[0xff; 40]).unwrap();
        file.write_at(4096, &[0xff; 40]).unwrap();
        let damaged = read_file(folder.as_ref(), opening::FILE);
        match EmbeddedStore::open(Arc::clone(&folder), small()).await.map(|_| ()) {
            Err(StoreError::Unusable(text)) => {
                assert!(text.contains("metadata.opening is damaged"), "{text}")
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(read_file(folder.as_ref(), opening::FILE), damaged, "a refused open wrote");
    });
}

/// As a version before the file left it: the number is the checkpoint's, and goes on from there.
#[test]
fn a_folder_without_the_file_goes_on_from_the_checkpoint() {
    simulate(async {
        let (_, folder) = sim_folder(5);
        let store = EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap();
        let bed = Bed::new(Arc::new(store), 1).await;
        let kept = bed.file(InodeId::ROOT, "kept").await;
        bed.store.checkpoint().await.unwrap();
        drop(bed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        folder.remove(opening::FILE).unwrap();
        let store = EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap();
        let bed = Bed::open(Arc::new(store), 1).await;
        assert_eq!(bed.lookup(InodeId::ROOT, "kept").await, Some(kept));
        assert!(bed.file(InodeId::ROOT, "next").await > kept);
    });
}

/// An older copy is refused for what it lacks, not for its age: where the log still holds everything since, nothing is lost.
#[test]
fn an_older_copy_of_the_checkpoint_opens_where_the_log_holds_all_since() {
    simulate(async {
        let (_, folder) = sim_folder(6);
        let store = EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap();
        drop(Bed::new(Arc::new(store), 1).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let copy = read_file(folder.as_ref(), base::FILE);
        let config = EmbeddedConfig { checkpoint_interval: Duration::from_secs(3600), ..small() };
        let store = EmbeddedStore::open(Arc::clone(&folder), config).await.unwrap();
        let bed = Bed::open(Arc::new(store), 1).await;
        let kept = bed.file(InodeId::ROOT, "kept").await;
        drop(bed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let file = folder.open(base::FILE).unwrap();
        file.set_len(copy.len() as u64).unwrap();
        file.write_at(0, &copy).unwrap();
        let store = EmbeddedStore::open(Arc::clone(&folder), small()).await.unwrap();
        let bed = Bed::open(Arc::new(store), 1).await;
        assert_eq!(bed.lookup(InodeId::ROOT, "kept").await, Some(kept));
    });
}

/// No free page, no reserve, and a name log that is full of openings: the open is refused as what it is, and goes through
/// once there is room.
#[test]
fn a_full_name_log_on_a_full_disk_refuses_the_open_as_full() {
    simulate(async {
        let (mut disk, folder) = sim_folder(8);
        // A checkpoint of so much memory never fits the free pages.
        let config = EmbeddedConfig {
            min_free_bytes: 1 << 20,
            log_bytes: 4 << 20,
            checkpoint_interval: Duration::from_secs(3600),
            ..small()
        };
        let store = EmbeddedStore::open(folder, config.clone()).await.unwrap();
        let store = Arc::new(store);
        let bed = Bed::new(store.clone(), 1).await;
        let mut made = 0;
        while store.stats().memtable_bytes < 200 << 10 {
            bed.file(InodeId::ROOT, &format!("file-{made}")).await;
            made += 1;
        }
        let kept = bed.lookup(InodeId::ROOT, "file-0").await;
        let roomy = disk.total_bytes().unwrap();
        drop((bed, store));
        let mut lives = 0;
        let refused = loop {
            disk = disk.crash(Crash::Process);
            disk.set_capacity(1);
            match EmbeddedStore::open(disk.clone(), config.clone()).await {
                // The share's new epoch is the opening's first change: it takes a segment.
                Ok(store) => drop(Bed::open(Arc::new(store), 1).await),
                Err(error) => break error,
            };
            lives += 1;
            assert!(lives < 10, "the name log holds more openings than it has segments");
        };
        assert!(matches!(&refused, StoreError::Broken(text) if text.contains("os error 28")), "{refused}");
        disk = disk.crash(Crash::Process);
        disk.set_capacity(roomy);
        let store = EmbeddedStore::open(disk.clone(), config).await.unwrap();
        let bed = Bed::open(Arc::new(store), 1).await;
        assert_eq!(bed.lookup(InodeId::ROOT, "file-0").await, kept);
    });
}

#![allow(clippy::unwrap_used, clippy::panic)]
//! The cache over a real folder. What was offered may be missing; what is found must be right.

use super::*;
use dfs_model::PackId;
use rand::{RngCore, SeedableRng, rngs::SmallRng};

fn block(n: u32) -> BlockId {
    BlockId { pack: PackId(u128::from(n / 64) << 64 | 5), index: n % 64 }
}

fn payload(n: u32, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    SmallRng::seed_from_u64(u64::from(n)).fill_bytes(&mut bytes);
    Bytes::from(bytes)
}

const WARM_ONLY: Admission = Admission { hot: false, warm: true };

#[tokio::test]
async fn memory_only_keeps_within_its_bytes_and_has_no_warm() {
    let cache = TieredCache::memory_only(4 << 20);
    for n in 0..200 {
        cache.offer(block(n), Some(payload(n, 65536)), Some(payload(n, 65536)), Admission::BOTH);
    }
    let stats = cache.stats();
    assert!(stats.hot_bytes <= 4 << 20, "{stats:?}");
    assert!(!cache.has_warm());
    assert_eq!(cache.warm(block(199)).await, None);
    for n in 0..200 {
        if let Some(bytes) = cache.hot(block(n)) {
            assert_eq!(bytes, payload(n, 65536));
        }
    }
    assert!(cache.stats().hot_hits > 0, "{:?}", cache.stats());
}

#[tokio::test]
async fn warm_block_after_reopen_is_right_or_absent() {
    let folder = tempfile::tempdir().unwrap();
    let config = WarmConfig::new(folder.path(), 128 << 20);
    let cache = TieredCache::open(1 << 20, config.clone()).await.unwrap();
    for n in 0..64 {
        while cache.stats().warm_queued > 16 << 20 {
            tokio::task::yield_now().await;
        }
        cache.offer(block(n), Some(payload(n, 262_144)), None, WARM_ONLY);
    }
    while cache.stats().warm_written < 64 * 262_144 {
        tokio::task::yield_now().await;
    }
    cache.close().await;
    drop(cache);
    let again = TieredCache::open(1 << 20, config).await.unwrap();
    let mut found = 0;
    for n in 0..64 {
        if let Some(bytes) = again.warm(block(n)).await {
            assert_eq!(bytes, payload(n, 262_144));
            found += 1;
        }
    }
    println!("{found} of 64 found after reopening");
    again.close().await;
}

#[tokio::test]
async fn forgotten_block_is_not_found_and_others_stay_right() {
    let folder = tempfile::tempdir().unwrap();
    let cache = TieredCache::open(1 << 20, WarmConfig::new(folder.path(), 128 << 20)).await.unwrap();
    cache.offer(block(1), Some(payload(1, 1000)), Some(payload(1, 1000)), Admission::BOTH);
    cache.offer(block(2), Some(payload(2, 1000)), Some(payload(2, 1000)), Admission::BOTH);
    cache.forget(block(1));
    assert_eq!(cache.hot(block(1)), None);
    assert_eq!(cache.warm(block(1)).await, None);
    assert!(cache.warm(block(2)).await.is_none_or(|bytes| bytes == payload(2, 1000)));
    cache.close().await;
}

#[tokio::test]
async fn too_small_tier_and_bad_folder_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let small = TieredCache::open(1 << 20, WarmConfig::new(folder.path(), 1 << 20)).await;
    assert!(matches!(small, Err(CacheError::TooSmall { .. })));
    let file = folder.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    let bad = TieredCache::open(1 << 20, WarmConfig::new(file.join("sub"), 128 << 20)).await;
    assert!(bad.err().unwrap().to_string().contains("cannot be used"));
}

#[tokio::test]
async fn opened_tier_holds_its_disk_space_from_the_start() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let cache = TieredCache::open(1 << 20, WarmConfig::new(folder.path(), 128 << 20)).await.unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap();
    let held: u64 = files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum();
    assert!(held >= 112 << 20, "{held} bytes of 128 MiB");
    cache.close().await;
}

#[tokio::test]
async fn tier_that_its_disk_has_no_room_for_is_refused_before_a_byte_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let disk = rustix::fs::statvfs(folder.path()).unwrap();
    let free = disk.f_bavail * disk.f_frsize;
    let error =
        TieredCache::open(1 << 20, WarmConfig::new(folder.path(), free + (64 << 30))).await.err().unwrap();
    assert!(matches!(error, CacheError::NoRoom { .. }), "{error}");
    assert!(error.to_string().contains("make warm.size smaller"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let cache = TieredCache::open(1 << 20, WarmConfig::new(folder.path(), 128 << 20)).await.unwrap();
    let stats = cache.stats();
    assert!(stats.warm_allocated <= stats.warm_capacity + (1 << 20), "{stats:?}");
    cache.close().await;
    // What is there already is not asked of the disk again, and a sparse file is not taken for a full one.
    let there = allocated(folder.path());
    let sparse = std::fs::File::create(folder.path().join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    assert_eq!(allocated(folder.path()) >> 20, there >> 20);
}

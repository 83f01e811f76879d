//! Fills the NVMe tier and says what was lost, how fast it went and what memory it took.
//!
//! `warmfill FOLDER MIB BLOCK_KIB`: offers MIB of incompressible blocks as fast as the queue takes them (an offer that would
//! overflow the queue waits, as the flusher's places do when they are paced by the upload), then reads all back.

use bytes::Bytes;
use dfs_cache::{Admission, BlockCache, TieredCache, WarmConfig};
use dfs_model::{BlockId, PackId};

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn payload(n: u32, len: usize) -> Bytes {
    let mut x = u64::from(n) | 1 << 40;
    let words = (0..len / 8).flat_map(|_| {
        x = x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (x ^ (x >> 29)).to_le_bytes()
    });
    Bytes::from(words.collect::<Vec<u8>>())
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| String::from("warmfill.tmp"));
    let mib: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(4096);
    let kib: usize = args.next().and_then(|text| text.parse().ok()).unwrap_or(256);
    let paced = args.next().as_deref() != Some("burst");
    let blocks = (mib * 1024 / kib as u64) as u32;
    let config = WarmConfig::new(&folder, (mib + 512) << 20);
    println!("memory by the book: {} MiB", config.memory() >> 20);
    let cache = match TieredCache::open(16 << 20, config).await {
        Ok(cache) => cache,
        Err(error) => return println!("{error}"),
    };
    println!("peak resident after open: {} MiB", resident_mib());
    let start = tokio::time::Instant::now();
    let id = |n: u32| BlockId { pack: PackId(u128::from(n / 64) + 1), index: n % 64 };
    for n in 0..blocks {
        while paced && cache.stats().warm_queued > 24 << 20 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        cache.offer(id(n), Some(payload(n, kib << 10)), None, Admission { hot: false, warm: true });
    }
    while cache.stats().warm_queued > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let filled = start.elapsed().as_secs_f64();
    let stats = cache.stats();
    println!("filled {mib} MiB in {filled:.1} s = {:.0} MiB/s", mib as f64 / filled);
    println!(
        "dropped by the queue {}, by the engine {} of {blocks}",
        stats.dropped_queue, stats.dropped_engine
    );
    println!("peak resident after fill: {} MiB", resident_mib());
    let start = tokio::time::Instant::now();
    let (mut found, mut wrong) = (0, 0);
    for n in 0..blocks {
        match cache.warm(id(n)).await {
            Some(bytes) if bytes == payload(n, kib << 10) => found += 1,
            Some(_) => wrong += 1,
            None => {}
        }
    }
    println!("read back {found} of {blocks}, {wrong} wrong, {:.1} s", start.elapsed().as_secs_f64());
    println!("peak resident after reading: {} MiB", resident_mib());
    cache.close().await;
}

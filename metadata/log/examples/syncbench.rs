//! Prints the rate of the log's group sync beside the raw rate of {write, fdatasync} on one pre-zeroed file.
//!
//! `syncbench [FOLDER] [SECONDS]`. Rows: raw 4 KiB and 64 KiB, then the log at 1 and 128 writers (4 KiB and 64 KiB).
//! Each log row is between two raw ones, since disks drift; the ratio uses their mean.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use dfs_log::{Disk, Log, LogOptions, PoolConfig, RealDisk, SegmentPool};
use dfs_model::{Clock, Epoch, Monotonic, Timestamp};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

struct Wall(Instant);

impl Clock for Wall {
    fn wall(&self) -> Timestamp {
        Timestamp::default()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.elapsed().as_nanos() as u64)
    }
}

fn raw(disk: &dyn Disk, bytes: usize, time: Duration) -> f64 {
    let file = disk.open("raw").unwrap();
    let data = vec![7u8; bytes];
    let (start, mut count) = (Instant::now(), 0u64);
    while start.elapsed() < time {
        file.write_at(count % 200 * bytes as u64, &data).unwrap();
        file.sync().unwrap();
        count += 1;
    }
    count as f64 / start.elapsed().as_secs_f64()
}

async fn grouped(log: Arc<Log>, writers: u64, bytes: usize, time: Duration) -> f64 {
    let count = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|inode| {
            let (log, count) = (log.clone(), count.clone());
            tokio::spawn(async move {
                let data = vec![9u8; bytes];
                while start.elapsed() < time {
                    let reservation = log.reserve(bytes as u64).await.unwrap();
                    let appended = log.append(reservation, 1, inode, 0, &[&data]).unwrap();
                    log.durable(appended.seq).await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let release = tokio::spawn({
        let log = log.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let segments = log.segments();
                for old in segments.iter().take(segments.len().saturating_sub(1)) {
                    log.release(old.id).unwrap();
                }
            }
        }
    });
    for task in tasks {
        task.await.unwrap();
    }
    release.abort();
    count.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "syncbench.tmp".to_owned());
    let time = Duration::from_secs(args.next().and_then(|s| s.parse().ok()).unwrap_or(3));
    let disk = RealDisk::open(&folder).unwrap();
    if disk.open("raw").is_err() {
        let file = disk.create("raw").unwrap();
        file.zero(0, 16 << 20).unwrap();
        file.sync().unwrap();
    }
    let pool = SegmentPool::open(disk.sub("log").unwrap(), PoolConfig::new(512 << 20)).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let options = LogOptions::new(Arc::new(Wall(Instant::now())));
    let recovered = Log::recover(&pool, 1, options, &mut |_| Ok(())).unwrap();
    let epoch = Epoch(recovered.newest_epoch().map_or(1, |e| e.0 + 1));
    let log = Arc::new(runtime.block_on(recovered.start(epoch)).unwrap());
    println!("{:<28}{:>12}{:>14}{:>8}", "row", "raw sync/s", "durable rec/s", "ratio");
    for (writers, bytes) in [(1, 4096), (1, 65_536), (16, 4096), (128, 4096), (128, 65_536)] {
        let before = raw(&*disk, bytes, time);
        let rate = runtime.block_on(grouped(log.clone(), writers, bytes, time));
        let after = raw(&*disk, bytes, time);
        let mean = (before + after) / 2.0;
        let name = format!("{writers} writers × {bytes} B");
        println!("{name:<28}{mean:>12.0}{rate:>14.0}{:>8.2}", rate / mean);
    }
}

//! Measures the embedded metadata store on a real disk.
//!
//! `storebench FOLDER [FILES]`: raw syncs of 700 bytes, durable creates per second with 1, 16 and 64 in flight, CPU and
//! bytes per create; then FILES (default 200,000) more, their memory, look-ups and listing; then an open after the death
//! of the process (the store is forgotten without a last checkpoint).

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

use bytes::Bytes;
use dfs_log::{Disk, RealDisk};
use dfs_model::{
    AttrPatch, Clock, Cookie, Credentials, DeviceNumber, Epoch, Generation, InodeId, InodeKind, Monotonic,
    Name, Seq, ShareId, Timestamp,
};
use dfs_store::{
    ChangeCounter, CreateMode, CreateRequest, EmbeddedConfig, EmbeddedStore, MetadataStore, OpContext,
    ReadDirRequest, ShareRecord,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

const SHARE: ShareId = ShareId(1);

struct Real(Instant);

impl Clock for Real {
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::new(since.as_secs() as i64, since.subsec_nanos())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.elapsed().as_nanos() as u64)
    }
}

struct Load {
    store: Arc<EmbeddedStore>,
    who: Credentials,
    changes: ChangeCounter,
    epoch: Epoch,
    next: AtomicU64,
    dirs: Vec<InodeId>,
    clock: Arc<dyn Clock>,
}

impl Load {
    async fn create(&self, durable: bool) {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let dir = self.dirs[(n / 1000) as usize % self.dirs.len()];
        let request = file(dir, format!("file-{n:09}.dat"), InodeKind::File);
        let made = self.store.create(self.cx(), request).await.unwrap();
        if durable {
            self.store.durable(made.commit).await.unwrap();
        }
    }

    fn cx(&self) -> OpContext<'_> {
        OpContext {
            share: SHARE,
            epoch: self.epoch,
            credentials: &self.who,
            now: self.clock.wall(),
            changes: &self.changes,
            born_seq: Seq(0),
            replay: None,
        }
    }
}

fn file(dir: InodeId, text: String, kind: InodeKind) -> CreateRequest {
    CreateRequest {
        dir,
        name: Name::new(Bytes::from(text)).unwrap(),
        kind,
        mode: CreateMode::Guarded,
        attrs: AttrPatch::default(),
        link_target: None,
        device: DeviceNumber::default(),
    }
}

/// CPU seconds of this process and bytes that the machine's disks have written.
fn used() -> (f64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    // The process' own counter counts whole page-cache folios; what the devices of the machine wrote is nearer the truth.
    let disks = std::fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let sectors = disks.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let whole = fields.get(2)?.chars().last().is_some_and(|last| !last.is_ascii_digit());
        if whole { fields.get(9)?.parse::<u64>().ok() } else { None }
    });
    let written = sectors.sum::<u64>() * 512;
    (ticks / 100.0, written)
}

fn memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse::<f64>().ok());
    line.unwrap_or(0.0) / 1024.0
}

fn raw_syncs(disk: &dyn Disk) -> f64 {
    let file = disk.create("raw").unwrap();
    file.zero(0, 8 << 20).unwrap();
    file.sync().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(2) {
        file.write_at(count * 700 % (7 << 20), &[1; 700]).unwrap();
        file.sync().unwrap();
        count += 1;
    }
    disk.remove("raw").unwrap();
    count as f64 / start.elapsed().as_secs_f64()
}

async fn durable_creates(load: &Arc<Load>, tasks: usize, time: Duration) {
    let (cpu, written) = used();
    let from = load.next.load(Ordering::Relaxed);
    let start = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|_| {
            let load = Arc::clone(load);
            tokio::spawn(async move {
                while start.elapsed() < time {
                    load.create(true).await;
                }
            })
        })
        .collect();
    for task in running {
        task.await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    load.store.checkpoint().await.unwrap();
    let count = (load.next.load(Ordering::Relaxed) - from) as f64;
    let (cpu_after, written_after) = used();
    println!(
        "durable creates, {tasks:>2} in flight: {:>7.0}/s, {:>5.0} CPU us and {:>5.1} KiB written each, checkpoints included",
        count / seconds,
        (cpu_after - cpu) * 1e6 / count,
        (written_after - written) as f64 / 1024.0 / count,
    );
}

async fn set_up(store: Arc<EmbeddedStore>, clock: Arc<dyn Clock>) -> Arc<Load> {
    let record = ShareRecord {
        share: SHARE,
        name: "bench".into(),
        incarnation: Generation(1),
        fsid: 1,
        handle_key: [1; 16],
        fold_version: Name::FOLD_VERSION,
        block_size: 1 << 18,
        created: clock.wall(),
        epoch: Epoch(0),
        settings: Vec::new(),
    };
    store.create_share(record, 0o755, 0, 0).await.unwrap();
    let epoch = store.begin_epoch(SHARE).await.unwrap();
    let who = Credentials::unix(0, 0, &[]);
    let changes = ChangeCounter::new(epoch);
    let mut load = Load { store, who, changes, epoch, next: AtomicU64::new(0), dirs: Vec::new(), clock };
    for n in 0..100 {
        let request = file(InodeId::ROOT, format!("dir{n}"), InodeKind::Directory);
        let made = load.store.create(load.cx(), request).await.unwrap();
        load.dirs.push(made.value.inode.id);
    }
    Arc::new(load)
}

async fn bulk(load: &Arc<Load>, files: u64) {
    let (cpu, written) = used();
    let start = Instant::now();
    for _ in 0..files {
        load.create(false).await;
    }
    let filled = start.elapsed().as_secs_f64();
    load.store.checkpoint().await.unwrap();
    let (cpu_after, written_after) = used();
    println!(
        "{files} relaxed creates: {:.0}/s, checkpointed after {:.1} s, {:.1} CPU us and {:.1} KiB written each, RSS {:.0} MiB",
        files as f64 / filled,
        start.elapsed().as_secs_f64(),
        (cpu_after - cpu) * 1e6 / files as f64,
        (written_after - written) as f64 / 1024.0 / files as f64,
        memory_mib(),
    );
}

async fn look_ups(load: &Load) {
    let total = load.next.load(Ordering::Relaxed);
    let mut times = Vec::new();
    let mut n = 1u64;
    let (cpu, _) = used();
    for _ in 0..50_000 {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (n >> 20) % total;
        let dir = load.dirs[(at / 1000) as usize % load.dirs.len()];
        let name = Name::new(Bytes::from(format!("file-{at:09}.dat"))).unwrap();
        let start = Instant::now();
        assert!(load.store.lookup(SHARE, dir, &name).await.unwrap().is_some());
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let (cpu_after, _) = used();
    println!(
        "look-ups among {total}: p50 {:?}, p99 {:?}, {:.1} CPU us",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        (cpu_after - cpu) * 1e6 / 50_000.0
    );
    for rows in [false, true] {
        let request = ReadDirRequest {
            dir: load.dirs[0],
            after: Cookie(0),
            up_to: Cookie(u64::MAX),
            limit: 10_000,
            rows,
        };
        let start = Instant::now();
        let page = load.store.read_dir(SHARE, request).await.unwrap();
        println!("listing of {} names, rows {rows}: {:?}", page.entries.len(), start.elapsed());
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().expect("a folder");
    let files: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let disk: Arc<dyn Disk> = RealDisk::open(&folder).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Real(Instant::now()));
    let config =
        || EmbeddedConfig { reserve_bytes: 0, min_free_bytes: 0, ..EmbeddedConfig::new(Arc::clone(&clock)) };
    let start = Instant::now();
    let store = Arc::new(EmbeddedStore::open(Arc::clone(&disk), config()).await.unwrap());
    println!("first open: {:?}, RSS {:.0} MiB", start.elapsed(), memory_mib());
    println!("raw 700 byte append + sync: {:.0}/s", raw_syncs(disk.as_ref()));
    let load = set_up(store, Arc::clone(&clock)).await;
    for tasks in [1, 16, 64] {
        durable_creates(&load, tasks, Duration::from_secs(4)).await;
    }
    println!("raw 700 byte append + sync: {:.0}/s", raw_syncs(disk.as_ref()));
    bulk(&load, files).await;
    look_ups(&load).await;
    for _ in 0..20_000 {
        load.create(false).await;
    }
    println!("before the end: {:?}", load.store.stats());
    drop(load);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let start = Instant::now();
    let store = EmbeddedStore::open(disk, config()).await.unwrap();
    println!("open without a last checkpoint: {:?}, {:?}", start.elapsed(), store.stats());
}

//! Writes one large file through journal, packs and a folder as object store, reads it back cold, and prints what it cost.
//!
//! `throughput FOLDER MIB LATENCY_MS`: a journal of 1 GiB on the real disk, an NVMe cache, LATENCY_MS added to every request of
//! the object store. The read limit is the best rate of 16 GETs of 4 MiB at once on the same store in the same run.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use bytes::Bytes;
use dfs_cache::{BlockCache, NoCache, TieredCache, WarmConfig};
use dfs_cold::{ColdConfig, ColdStack, DirCold, FaultHandle};
use dfs_journal::{Journal, JournalOptions, Pressure, PressureOptions, Record, RecordMeta, Reserve};
use dfs_log::{Mutations, PoolConfig, RealDisk, SegmentPool};
use dfs_model::extent::Compression;
use dfs_model::{
    Activity, AttrPatch, ClientRef, Clock, Credentials, DeviceNumber, Entropy, Epoch, Generation, Inode,
    InodeId, InodeKind, Monotonic, Name, ShareId, Timestamp,
};
use dfs_policy::FixedPolicy;
use dfs_stack::{FlushScope, Stack, StackDeps, StackSettings};
use dfs_store::{
    ChangeCounter, CreateMode, CreateRequest, MemoryStore, MetadataStore, OpContext, ShareRecord,
};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SHARE: ShareId = ShareId(1);
const MIB: u64 = 1 << 20;

struct Wall(Instant);

impl Clock for Wall {
    fn wall(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::new(now.as_secs() as i64, now.subsec_nanos())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(1).plus(self.0.elapsed())
    }
}

struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        use std::io::Read;
        std::fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
    }
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// A MiB that does not compress, different for every number.
fn payload(n: u64) -> Bytes {
    let mut x = n | 1 << 40;
    let words = (0..MIB / 8).flat_map(|_| {
        x = x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (x ^ (x >> 29)).to_le_bytes()
    });
    words.collect::<Vec<u8>>().into()
}

struct Gateway {
    clock: Arc<Wall>,
    store: Arc<MemoryStore>,
    journal: Arc<Journal>,
    stack: Arc<Stack>,
    cold: ColdStack,
    epoch: Epoch,
}

async fn open(
    folder: &std::path::Path,
    store: Arc<MemoryStore>,
    cache: Arc<dyn BlockCache>,
    faults: &FaultHandle,
) -> Gateway {
    let clock = Arc::new(Wall(Instant::now()));
    let epoch = store.begin_epoch(SHARE).await.unwrap();
    let journal_folder = folder.join(format!("journal{}", epoch.0));
    std::fs::create_dir_all(&journal_folder).unwrap();
    let pool = SegmentPool::open(RealDisk::open(&journal_folder).unwrap(), PoolConfig::new(1 << 30)).unwrap();
    let pressure = Pressure::new(PressureOptions::for_pool(1 << 30, 16 << 20), clock.clone());
    let options = JournalOptions::new(clock.clone());
    let recovered = Journal::recover(pool, SHARE, options, pressure.clone()).await.unwrap();
    let journal = recovered.start(epoch, &[], &HashMap::new()).await.unwrap();
    let entropy: Arc<dyn Entropy> = Arc::new(Random);
    let base = Arc::new(DirCold::open(&folder.join("cold"), true, entropy.clone()).await.unwrap());
    let config = ColdConfig { fault: Some(faults.clone()), ..ColdConfig::named("folder") };
    let cold = ColdStack::build(base, config, clock.clone(), entropy.clone());
    let deps = StackDeps {
        store: store.clone(),
        journal: journal.clone(),
        cache,
        cold: cold.store(),
        health: None,
        policy: Arc::new(FixedPolicy),
        pressure,
        observer: None,
        clock: clock.clone(),
        entropy,
        mutations: Mutations::none(),
    };
    let settings = StackSettings { compression: Compression::Lz4, ..StackSettings::default() };
    let stack = Stack::open(SHARE, epoch, settings, deps).await.unwrap();
    Gateway { clock, store, journal, stack, cold, epoch }
}

async fn create(gateway: &Gateway) -> Arc<Inode> {
    let who = Credentials::unix(0, 0, &[]);
    let changes = ChangeCounter::new(gateway.epoch);
    let cx = OpContext {
        share: SHARE,
        epoch: gateway.epoch,
        credentials: &who,
        now: gateway.clock.wall(),
        changes: &changes,
        born_seq: gateway.journal.last_issued(),
        replay: None,
    };
    let request = CreateRequest {
        dir: InodeId::ROOT,
        name: Name::try_from("large").unwrap(),
        kind: InodeKind::File,
        mode: CreateMode::Guarded,
        attrs: AttrPatch::default(),
        link_target: None,
        device: DeviceNumber::default(),
    };
    gateway.store.create(cx, request).await.unwrap().value.inode
}

async fn fill(gateway: &Gateway, row: &Inode, mib: u64) {
    let client = ClientRef::Anonymous;
    let changes = ChangeCounter::new(gateway.epoch);
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut most: f64 = 0.0;
    for n in 0..mib {
        let room = gateway.journal.reserve(&client, MIB, Reserve::Data, None).await.unwrap();
        let now = gateway.clock.wall();
        let meta = RecordMeta { ctime: now, change: changes.take(), clear_suid: false, set_archive: false };
        let record = Record::Write { offset: n * MIB, mtime: now, data: payload(n) };
        gateway.journal.append(room, row, meta, record).unwrap();
        most = most.max(gateway.journal.stats().occupancy);
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let written = start.elapsed().as_secs_f64();
    gateway.stack.flush(FlushScope::All).await.unwrap();
    let flushed = start.elapsed().as_secs_f64();
    let status = gateway.stack.status();
    println!(
        "write: {mib} MiB acknowledged in {written:.1} s ({:.0} MiB/s), in the bucket after {flushed:.1} s",
        mib as f64 / written
    );
    println!(
        "  packs {}, upload window {}, most occupancy {most:.2}",
        status.packs_uploaded, status.upload_window
    );
    println!(
        "  cache dropped {} (queue) {} (engine)",
        status.cache.dropped_queue, status.cache.dropped_engine
    );
    println!(
        "  CPU {:.2} s per GiB, peak resident {} MiB",
        (cpu_seconds() - cpu) * 1024.0 / mib as f64,
        peak_mib()
    );
}

async fn read_all(gateway: &Gateway, inode: InodeId, mib: u64, what: &str) {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let stack = &gateway.stack;
    let wrong = futures_util::stream::iter(0..mib)
        .map(|n| async move {
            let client = ClientRef::Anonymous;
            let read =
                stack.read(inode, None, n * MIB, MIB, &Activity::INTERACTIVE, &client, None).await.unwrap();
            u64::from(n % 64 == 0 && read.concat() != payload(n))
        })
        .buffered(4)
        .fold(0, |sum, wrong| async move { sum + wrong })
        .await;
    let took = start.elapsed().as_secs_f64();
    println!(
        "{what}: {:.0} MiB/s, {wrong} wrong, CPU {:.2} s per GiB, peak resident {} MiB, {} GETs so far",
        mib as f64 / took,
        (cpu_seconds() - cpu) * 1024.0 / mib as f64,
        peak_mib(),
        gateway.cold.counters().attempts(dfs_cold::ColdOp::Get)
    );
}

async fn limit(gateway: &Gateway) {
    let page = gateway.cold.store().list_page(&dfs_cold::KeyPrefix::everything(), None).await.unwrap();
    let packs: Vec<_> =
        page.objects.into_iter().filter(|object| object.info.len >= 12 * MIB).take(64).collect();
    let ranges =
        packs.iter().flat_map(|pack| (0..3).map(move |n| (pack.key.clone(), n * 4 * MIB..(n + 1) * 4 * MIB)));
    let store = gateway.cold.store();
    let start = Instant::now();
    let bytes: u64 = futures_util::stream::iter(ranges)
        .map(|(key, range)| {
            let store = store.clone();
            async move { store.get_range(&key, range).await.map_or(0, |body| body.len() as u64) }
        })
        .buffer_unordered(16)
        .fold(0, |sum, len| async move { sum + len })
        .await;
    println!(
        "limit: 16 GETs of 4 MiB at once: {:.0} MiB/s",
        bytes as f64 / MIB as f64 / start.elapsed().as_secs_f64()
    );
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| String::from("throughput.tmp")));
    let mib: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(1024);
    let latency: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(20);
    std::fs::create_dir_all(folder.join("cold")).unwrap();
    let store = Arc::new(MemoryStore::new());
    let record = ShareRecord {
        share: SHARE,
        name: String::from("bench"),
        incarnation: Generation(1),
        fsid: 1,
        handle_key: [0; 16],
        fold_version: Name::FOLD_VERSION,
        block_size: 256 << 10,
        created: Timestamp::EPOCH,
        epoch: Epoch(0),
        settings: Vec::new(),
    };
    store.create_share(record, 0o777, 0, 0).await.unwrap();
    let faults = FaultHandle::new(1);
    faults.change(|plan| plan.latency = (Duration::from_millis(latency), Duration::ZERO));
    let warm = WarmConfig::new(folder.join("warm"), (mib + 1024) * MIB);
    let cache = Arc::new(TieredCache::open(32 * MIB, warm).await.unwrap());
    let gateway = open(&folder, store.clone(), cache.clone(), &faults).await;
    let row = create(&gateway).await;
    fill(&gateway, &row, mib).await;
    read_all(&gateway, row.id, mib, "warm read").await;
    gateway.stack.shutdown(Duration::from_secs(30)).await;
    cache.close().await;
    drop(gateway);
    let gateway = open(&folder, store, Arc::new(NoCache), &faults).await;
    limit(&gateway).await;
    read_all(&gateway, row.id, mib, "cold read, depth 4").await;
    limit(&gateway).await;
    gateway.stack.shutdown(Duration::from_secs(30)).await;
}

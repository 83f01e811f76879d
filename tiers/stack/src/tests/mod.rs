#![allow(clippy::unwrap_used, clippy::panic)]
//! The stack over a memory store, a journal on a simulated disk, a memory object store with faults and a forgetful cache.

mod flushing;
mod garbage;
mod held;
mod histories;
mod reading;

use crate::{FlushScope, Stack, StackDeps, StackReadError, StackSettings};
use bytes::Bytes;
use dfs_cache::{BlockCache, ForgetfulCache, Forgetfulness};
use dfs_cold::{ColdConfig, ColdStack, FaultHandle, Key, MemoryCold};
use dfs_journal::{Journal, JournalOptions, Pressure, PressureOptions, Record, RecordMeta, Reserve};
use dfs_log::{Mutations, PoolConfig, Prepare, SegmentPool, SimDisk};
use dfs_model::extent::Compression;
use dfs_model::{
    Activity, AttrPatch, ClientRef, Clock, Credentials, DeviceNumber, Entropy, Epoch, Generation, Inode,
    InodeId, InodeKind, Monotonic, Name, ShareId, Timestamp,
};
use dfs_policy::FixedPolicy;
use dfs_store::{
    ChangeCounter, CreateMode, CreateRequest, MemoryStore, MetadataStore, OpContext, RemoveKind,
    RemoveRequest, ShareRecord,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const SHARE: ShareId = ShareId(0x57ac);
const SEGMENT: u64 = 128 << 10;

/// Time is tokio's, which tests pause.
pub(crate) struct SimClock(tokio::time::Instant);

impl Clock for SimClock {
    fn wall(&self) -> Timestamp {
        Timestamp::new(1_000_000, 0).plus(self.0.elapsed())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(1).plus(self.0.elapsed())
    }
}

/// splitmix64 from a seed.
pub(crate) struct SimEntropy(pub Mutex<u64>);

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock();
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// How a bench is made.
pub(crate) struct Plan {
    pub seed: u64,
    pub block_size: u32,
    pub pack_size: u64,
    pub journal_bytes: u64,
    pub cache: Option<Forgetfulness>,
    pub mutations: Mutations,
    pub settings: fn(&mut StackSettings),
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            seed: 1,
            block_size: 4096,
            pack_size: 64 << 10,
            journal_bytes: 32 << 20,
            cache: Some(Forgetfulness::default()),
            mutations: Mutations::none(),
            settings: |_| {},
        }
    }
}

/// What survives the gateway: metadata and bucket.
#[derive(Clone)]
pub(crate) struct World {
    pub clock: Arc<SimClock>,
    pub store: Arc<dyn MetadataStore>,
    pub bucket: Arc<MemoryCold>,
}

/// A running stack with handles to everything around it.
pub(crate) struct Bench {
    pub world: World,
    pub stack: Arc<Stack>,
    pub journal: Arc<Journal>,
    pub cold: ColdStack,
    pub faults: FaultHandle,
    pub cache: Arc<ForgetfulCache>,
    pub disk: Arc<SimDisk>,
    pub pressure: Arc<Pressure>,
    pub epoch: Epoch,
    changes: ChangeCounter,
    who: Credentials,
}

pub(crate) fn client(n: u8) -> ClientRef {
    ClientRef::Nfs3Host { name: Bytes::new(), address: Ipv4Addr::new(127, 0, 0, n).into() }
}

fn share_record() -> ShareRecord {
    ShareRecord {
        share: SHARE,
        name: String::from("test"),
        incarnation: Generation(1),
        fsid: 1,
        handle_key: [7; 16],
        fold_version: Name::FOLD_VERSION,
        block_size: 64 << 10,
        created: Timestamp::EPOCH,
        epoch: Epoch(0),
        settings: Vec::new(),
    }
}

impl World {
    pub async fn new(mutations: &Mutations) -> World {
        World::on(Arc::new(MemoryStore::with_mutations(mutations.clone()))).await
    }

    /// On a store without this share.
    pub async fn on(store: Arc<dyn MetadataStore>) -> World {
        let clock = Arc::new(SimClock(tokio::time::Instant::now()));
        store.create_share(share_record(), 0o777, 0, 0).await.unwrap();
        World { bucket: Arc::new(MemoryCold::new(clock.clone())), clock, store }
    }
}

impl Bench {
    pub async fn new(plan: Plan) -> Bench {
        let world = World::new(&plan.mutations).await;
        Bench::open(world, plan).await
    }

    /// Opens the next epoch of a world with an empty journal (what an older one held must be placed).
    pub async fn open(world: World, plan: Plan) -> Bench {
        let epoch = world.store.begin_epoch(SHARE).await.unwrap();
        Bench::try_open(world, plan, epoch).await.unwrap()
    }

    pub async fn try_open(world: World, plan: Plan, epoch: Epoch) -> Result<Bench, crate::StackError> {
        let bucket = world.bucket.clone();
        Bench::try_open_on(world, plan, epoch, bucket).await
    }

    /// On another object store than the world's bucket itself.
    pub async fn try_open_on(
        world: World,
        plan: Plan,
        epoch: Epoch,
        bucket: Arc<dyn dfs_cold::ColdStore>,
    ) -> Result<Bench, crate::StackError> {
        let clock = world.clock.clone();
        let disk = SimDisk::new(plan.seed, plan.journal_bytes + (8 << 20));
        let config = PoolConfig {
            segment_bytes: SEGMENT,
            prepare: Prepare::Inline,
            mutations: plan.mutations.clone(),
            ..PoolConfig::new(plan.journal_bytes)
        };
        let pool = SegmentPool::open(disk.clone(), config).unwrap();
        let mut options = PressureOptions::for_pool(plan.journal_bytes, SEGMENT);
        options.overlay_bytes_max = options.overlay_bytes_max.max(plan.journal_bytes * 2);
        let pressure = Pressure::new(options, clock.clone());
        let options =
            JournalOptions { mutations: plan.mutations.clone(), ..JournalOptions::new(clock.clone()) };
        let recovered = Journal::recover(pool, SHARE, options, pressure.clone()).await.unwrap();
        let journal = recovered.start(epoch, &[], &HashMap::new()).await.unwrap();
        let faults = FaultHandle::new(plan.seed);
        let entropy: Arc<SimEntropy> = Arc::new(SimEntropy(Mutex::new(plan.seed ^ u64::from(epoch.0) << 32)));
        let config = ColdConfig { fault: Some(faults.clone()), ..ColdConfig::named("test") };
        let cold = ColdStack::build(bucket, config, clock.clone(), entropy.clone());
        let how = plan.cache.unwrap_or(Forgetfulness { forget: 255, refuse: 255, rot: 0, warm: false });
        let cache = Arc::new(ForgetfulCache::new(plan.seed, how));
        let mut settings = StackSettings {
            block_size: plan.block_size,
            pack_size: plan.pack_size,
            pack_memory: plan.pack_size * 8,
            compression: Compression::Lz4,
            host: String::from("testbox"),
            ..StackSettings::default()
        };
        (plan.settings)(&mut settings);
        let deps = StackDeps {
            store: world.store.clone(),
            journal: journal.clone(),
            cache: cache.clone(),
            cold: cold.store(),
            health: Some(cold.health()),
            policy: Arc::new(FixedPolicy),
            pressure: pressure.clone(),
            observer: None,
            clock,
            entropy,
            mutations: plan.mutations,
        };
        let stack = Stack::open(SHARE, epoch, settings, deps).await?;
        let changes = ChangeCounter::new(epoch);
        let who = Credentials::unix(0, 0, &[]);
        Ok(Bench { world, stack, journal, cold, faults, cache, disk, pressure, epoch, changes, who })
    }

    fn op(&self) -> OpContext<'_> {
        OpContext {
            share: SHARE,
            epoch: self.epoch,
            credentials: &self.who,
            now: self.world.clock.wall(),
            changes: &self.changes,
            born_seq: self.journal.last_issued(),
            replay: None,
        }
    }

    pub async fn create(&self, name: &str) -> InodeId {
        let request = CreateRequest {
            dir: InodeId::ROOT,
            name: Name::try_from(name).unwrap(),
            kind: InodeKind::File,
            mode: CreateMode::Guarded,
            attrs: AttrPatch::default(),
            link_target: None,
            device: DeviceNumber::default(),
        };
        self.world.store.create(self.op(), request).await.unwrap().value.inode.id
    }

    pub async fn remove(&self, name: &str) {
        let request = RemoveRequest {
            dir: InodeId::ROOT,
            name: Name::try_from(name).unwrap(),
            kind: RemoveKind::NonDirectory,
            expect: None,
            keep_orphan: false,
        };
        self.world.store.remove(self.op(), request).await.unwrap();
    }

    pub async fn row(&self, inode: InodeId) -> Arc<Inode> {
        self.world.store.inode(SHARE, inode).await.unwrap().unwrap()
    }

    async fn append(&self, inode: InodeId, record: Record) {
        let room = self.journal.reserve(&client(1), record.data_len(), Reserve::Data, None).await.unwrap();
        let row = self.row(inode).await;
        let meta = RecordMeta {
            ctime: self.world.clock.wall(),
            change: self.changes.take(),
            clear_suid: false,
            set_archive: false,
        };
        self.journal.append(room, &row, meta, record).unwrap();
    }

    pub async fn write(&self, inode: InodeId, offset: u64, data: &[u8]) {
        let data = Bytes::copy_from_slice(data);
        self.append(inode, Record::Write { offset, mtime: self.world.clock.wall(), data }).await;
    }

    pub async fn truncate(&self, inode: InodeId, size: u64) {
        self.append(inode, Record::SetSize { size, mtime: Some(self.world.clock.wall()) }).await;
    }

    pub async fn punch(&self, inode: InodeId, offset: u64, len: u64) {
        self.append(inode, Record::Zero { offset, len, mtime: self.world.clock.wall() }).await;
    }

    /// Reads as the engine does: size and plan together, again when the file moved.
    pub async fn try_read(&self, inode: InodeId, offset: u64, len: u64) -> Result<Vec<u8>, StackReadError> {
        for _ in 0..50 {
            let (size, plan) = match self.journal.overlay(inode) {
                Some(overlay) => (
                    overlay.size,
                    self.journal.read_plan(inode, offset, len.min(overlay.size.saturating_sub(offset))),
                ),
                None => (self.row(inode).await.size, None),
            };
            let len = len.min(size.saturating_sub(offset));
            if len == 0 {
                return Ok(Vec::new());
            }
            let deadline = Some(self.world.clock.monotonic().plus(Duration::from_secs(600)));
            let who = client(1);
            let read = self.stack.read(inode, plan, offset, len, &Activity::INTERACTIVE, &who, deadline);
            match read.await {
                Err(StackReadError::Moved) => {}
                Ok(parts) => {
                    let bytes = parts.concat();
                    assert_eq!(bytes.len() as u64, len, "a read returns exactly what was asked for");
                    return Ok(bytes);
                }
                Err(error) => return Err(error),
            }
        }
        panic!("the file kept moving");
    }

    pub async fn read(&self, inode: InodeId, offset: u64, len: u64) -> Vec<u8> {
        self.try_read(inode, offset, len).await.unwrap()
    }

    /// Flushes, and makes reads go past the journal's placed segments.
    pub async fn flush(&self) {
        self.stack.flush(FlushScope::All).await.unwrap();
        self.stack.fetcher.probation.forget_all();
    }

    /// Packs in the bucket.
    pub fn packs(&self) -> Vec<Key> {
        self.world
            .bucket
            .inventory()
            .into_iter()
            .map(|(key, _)| key)
            .filter(|key| key.as_str().contains("/packs/"))
            .collect()
    }

    /// Most extents that touch one window of a file.
    pub async fn extents_in_a_window(&self, inode: InodeId, block_size: u64) -> usize {
        let runs = self.world.store.extents(SHARE, inode, 0, u64::MAX, 1_000_000).await.unwrap();
        let end = runs.last().map_or(0, |run| run.end());
        let windows = (0..end.div_ceil(block_size)).map(|w| (w * block_size, (w + 1) * block_size));
        windows
            .map(|(start, end)| runs.iter().filter(|run| run.overlaps(start, end)).count())
            .max()
            .unwrap_or(0)
    }

    /// A second bench on the same metadata and bucket, with a cache that knows nothing.
    pub async fn reopen(self, plan: Plan) -> Bench {
        assert_eq!(self.journal.stats().dirty_bytes, 0, "reopening without the journal loses what is dirty");
        self.stack.shutdown(Duration::from_secs(60)).await;
        Bench::open(self.world.clone(), plan).await
    }
}

/// Bytes that do not compress, from a seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SimEntropy(Mutex::new(seed)).fill(&mut bytes);
    bytes
}

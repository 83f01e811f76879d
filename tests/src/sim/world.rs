//! A gateway on simulated hardware. [`WorldOptions`] is what outlives a crash: the disk, the bucket, the time.

use super::{SimClock, SimEntropy};
use dfs_cache::{ForgetfulCache, Forgetfulness};
use dfs_cold::{ColdConfig, ColdStack, ColdStore, FaultHandle, MemoryCold};
use dfs_engine::{DurabilityClass, Engine, EngineDeps, EngineSettings};
use dfs_journal::{Pressure, PressureOptions};
use dfs_log::{
    Crash, Disk, Mutations, Poison, PoolConfig, Prepare, SEGMENT_HEADER_BYTES, SegmentPool, SimDisk,
    SimOptions,
};
use dfs_model::{
    Activity, Actor, Clock, Compression, Credentials, Entropy, Epoch, Generation, Monotonic, ShareId,
    Timestamp,
};
use dfs_policy::FixedPolicy;
use dfs_stack::StackSettings;
use dfs_store::{EmbeddedConfig, EmbeddedStore, MetadataStore, ShareRecord};
use dfs_vfs::{ModelVfs, RequestContext, Vfs};
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The share of every world.
pub const SHARE: ShareId = ShareId(0x5eed_0000_0000_0001);
/// Bytes of a simulated disk.
const DISK_BYTES: u64 = 64 << 20;
/// Bytes of a segment: small, so that histories roll through many.
const SEGMENT: u64 = 128 << 10;

/// Simulated time after which an opening hangs.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// Time that an operator gives an opening while the disk is full.
const FULL_PATIENCE: Duration = Duration::from_secs(600);

/// What a history chooses about its world.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Segments of the journal.
    pub segments: u64,
    /// Folder of the journal: another one is another machine's.
    pub journal: &'static str,
    pub flush_after: Duration,
    pub pack_delete_after: Duration,
    /// How often the cleaner works; the owner object must have been ours for as long.
    pub gc_every: Duration,
    pub sweep_every: Duration,
    /// Longest time of a background sync.
    pub sync_micros_max: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            segments: 24,
            journal: "journal",
            flush_after: Duration::from_secs(10),
            pack_delete_after: Duration::from_secs(3600),
            gc_every: Duration::from_secs(60),
            sweep_every: Duration::from_secs(6 * 3600),
            sync_micros_max: 2_000,
        }
    }
}

impl Tuning {
    /// One of several temperaments.
    pub fn random(rng: &mut StdRng) -> Tuning {
        let quick = rng.random_bool(0.5);
        let secs = |rng: &mut StdRng, from, to| Duration::from_secs(rng.random_range(from..to));
        Tuning {
            segments: if rng.random_bool(0.5) { 24 } else { 7 },
            flush_after: secs(rng, 1, 12),
            pack_delete_after: if quick { secs(rng, 0, 20) } else { Duration::from_secs(3600) },
            gc_every: if quick {
                Duration::from_millis(rng.random_range(50..3000))
            } else {
                Duration::from_secs(60)
            },
            sweep_every: if quick { secs(rng, 1, 30) } else { Duration::from_secs(6 * 3600) },
            ..Tuning::default()
        }
    }
}

/// Time of the world, whichever life it is in: the object store's clock outlives the gateway's.
#[derive(Default)]
struct WorldClock(Mutex<Option<Arc<SimClock>>>);

impl WorldClock {
    fn of_life(&self, clock: &Arc<SimClock>) {
        *self.0.lock() = Some(clock.clone());
    }
}

impl Clock for WorldClock {
    fn wall(&self) -> Timestamp {
        self.0.lock().as_ref().map_or(Timestamp::EPOCH, |clock| clock.wall())
    }

    fn monotonic(&self) -> Monotonic {
        self.0.lock().as_ref().map_or(Monotonic(0), |clock| clock.monotonic())
    }
}

/// What outlives a crash, and what is to come.
pub struct WorldOptions {
    pub class: DurabilityClass,
    pub elapsed: Duration,
    /// Simulated time at the last cut.
    pub cut_at: Duration,
    /// The next life ends after so many steps of the disk.
    pub cut_after: Option<u64>,
    pub mutations: Mutations,
    pub tuning: Tuning,
    /// Changes the share's settings at each opening.
    pub share: fn(&mut EngineSettings),
    /// Epochs in which a share was served.
    served: BTreeSet<Epoch>,
    compression: Compression,
    disk: Arc<SimDisk>,
    bucket: Arc<MemoryCold>,
    world_clock: Arc<WorldClock>,
    faults: FaultHandle,
    lives: u64,
    seed: u64,
}

impl WorldOptions {
    /// A fresh machine.
    pub fn random(rng: &mut StdRng, class: DurabilityClass, mutations: Mutations) -> WorldOptions {
        WorldOptions::tuned(rng, class, mutations, Tuning::default())
    }

    /// A fresh machine of a chosen temperament.
    pub fn tuned(
        rng: &mut StdRng,
        class: DurabilityClass,
        mutations: Mutations,
        tuning: Tuning,
    ) -> WorldOptions {
        let seed = rng.random();
        let world_clock = Arc::new(WorldClock::default());
        let disk = SimOptions { sync_micros_max: tuning.sync_micros_max };
        WorldOptions {
            class,
            elapsed: Duration::from_secs(1),
            cut_at: Duration::ZERO,
            cut_after: None,
            mutations,
            compression: [Compression::None, Compression::Lz4, Compression::Zstd][rng.random_range(0..3)],
            disk: SimDisk::with_options(seed, DISK_BYTES, disk),
            bucket: Arc::new(MemoryCold::new(world_clock.clone())),
            world_clock,
            tuning,
            share: |_| {},
            served: BTreeSet::new(),
            faults: FaultHandle::new(seed),
            lives: 0,
            seed,
        }
    }

    /// Whether the disk was cut and answers nothing any more.
    pub fn is_cut(&self) -> bool {
        self.disk.is_down()
    }

    /// Flips bits of one byte, so far behind the header, in every segment of the journal.
    pub fn rot_journal(&self, behind_header: u64, mask: u8) {
        for name in self.disk.sub("journal").and_then(|folder| folder.list()).unwrap_or_default() {
            let _ = self.disk.rot(&format!("journal/{name}"), SEGMENT_HEADER_BYTES + behind_header, mask);
        }
    }

    /// Steps of the disk so far, in all lives.
    pub fn disk_steps(&self) -> u64 {
        self.disk.steps()
    }

    /// Opens the world as its owner would; an epoch that served before is an error, for its write verifier would come back.
    pub async fn open(&mut self) -> Result<World, String> {
        let disk = self.disk.clone();
        let is_full = disk.total_bytes().is_ok_and(|bytes| bytes < DISK_BYTES);
        let opened = {
            let mut opening = std::pin::pin!(World::open(self));
            match tokio::time::timeout(if is_full { FULL_PATIENCE } else { PATIENCE }, &mut opening).await {
                Ok(opened) => Ok(opened),
                // It waits for room: the operator makes some.
                Err(_) if is_full => {
                    disk.set_capacity(DISK_BYTES);
                    tokio::time::timeout(PATIENCE, opening).await
                }
                Err(late) => Err(late),
            }
        };
        let world = match opened.map_err(|_| "the opening hangs")? {
            // The disk was full, also of what is reserved for openings, and the message said so.
            Err(why) if is_full && (why.contains("bytes free") || why.contains("storage space")) => {
                disk.set_capacity(DISK_BYTES);
                World::open(self).await?
            }
            opened => opened?,
        };
        let epoch = world.engine.epoch();
        if !self.served.insert(epoch) {
            return Err(format!(
                "epoch {epoch} serves again: clients see the write verifier of an earlier life"
            ));
        }
        Ok(world)
    }

    /// Takes over the time at which a life stopped.
    pub fn rest(&mut self, world: &World) {
        self.elapsed = world.elapsed();
        self.cut_at = world.failed_at().unwrap_or(self.elapsed);
    }

    /// The machine dies: the disk keeps what it keeps.
    pub fn crash(&mut self, power: bool) {
        self.disk = self.disk.crash(if power { Crash::Power } else { Crash::Process });
    }
}

/// A running gateway.
pub struct World {
    engine: Arc<Engine>,
    clock: Arc<SimClock>,
    disk: Arc<SimDisk>,
    faults: FaultHandle,
    cache: Arc<ForgetfulCache>,
    bucket: Arc<MemoryCold>,
    store: Arc<EmbeddedStore>,
    pool: Arc<SegmentPool>,
    failed_at: Mutex<Option<Duration>>,
    full: AtomicBool,
}

fn pool_config(mutations: &Mutations, poison: &Poison, total: u64, label: &'static str) -> PoolConfig {
    PoolConfig {
        segment_bytes: SEGMENT,
        prepare: Prepare::Inline,
        label,
        poison: poison.clone(),
        mutations: mutations.clone(),
        ..PoolConfig::new(total)
    }
}

async fn open_store(
    options: &WorldOptions,
    clock: &Arc<SimClock>,
    poison: &Poison,
) -> Result<Arc<EmbeddedStore>, String> {
    let disk = options.disk.sub("metadata").map_err(|error| error.to_string())?;
    let mut config = EmbeddedConfig::new(clock.clone());
    config.inline = true;
    config.segment_bytes = SEGMENT;
    config.log_bytes = SEGMENT * 16;
    config.memtable_bytes = 64 << 10;
    config.cache_bytes = 1 << 20;
    config.min_free_bytes = 0;
    config.reserve_bytes = 4 << 20;
    config.poison = poison.clone();
    config.mutations = options.mutations.clone();
    let store = EmbeddedStore::open(disk, config).await.map_err(|error| error.to_string())?;
    Ok(Arc::new(store))
}

impl World {
    /// Makes the share on a fresh disk.
    pub async fn create(options: &mut WorldOptions) -> Result<(), String> {
        let clock = Arc::new(SimClock::at(options.elapsed));
        options.world_clock.of_life(&clock);
        let store = open_store(options, &clock, &Poison::default()).await?;
        let record = ShareRecord {
            share: SHARE,
            name: "share".to_owned(),
            incarnation: Generation(1),
            fsid: 1,
            handle_key: [7; 16],
            fold_version: 1,
            block_size: 64 << 10,
            created: clock.wall(),
            epoch: Default::default(),
            settings: Vec::new(),
        };
        store.create_share(record, 0o755, 0, 0).await.map_err(|error| error.to_string())?;
        store.checkpoint().await.map_err(|error| error.to_string())?;
        options.elapsed = clock.elapsed();
        Ok(())
    }

    /// Starts the gateway on the options' disk. *Errors:* in words; look at [`WorldOptions::is_cut`] before worrying.
    pub async fn open(options: &mut WorldOptions) -> Result<World, String> {
        options.lives += 1;
        let clock = Arc::new(SimClock::at(options.elapsed));
        options.world_clock.of_life(&clock);
        let entropy: Arc<dyn Entropy> = Arc::new(SimEntropy::new(options.seed ^ (options.lives << 32)));
        if let Some(steps) = options.cut_after {
            options.disk.cut_after(steps);
        }
        let poison = Poison::default();
        let store = open_store(options, &clock, &poison).await?;
        World::serve(options, options.tuning.journal, clock, entropy, store, poison).await
    }

    /// Another gateway on the same names and the same bucket, with a journal of its own; it takes the share.
    pub async fn taken_over(&self, options: &WorldOptions) -> Result<World, String> {
        let entropy: Arc<dyn Entropy> = Arc::new(SimEntropy::new(!options.seed ^ (options.lives << 32)));
        let (clock, store) = (self.clock.clone(), self.store.clone());
        World::serve(options, "journal of another gateway", clock, entropy, store, Poison::default()).await
    }

    async fn serve(
        options: &WorldOptions,
        journal: &str,
        clock: Arc<SimClock>,
        entropy: Arc<dyn Entropy>,
        store: Arc<EmbeddedStore>,
        poison: Poison,
    ) -> Result<World, String> {
        let bucket = options.bucket.clone();
        let journal_bytes = SEGMENT * options.tuning.segments;
        let segments = options.disk.sub(journal).map_err(|error| error.to_string())?;
        let pool =
            SegmentPool::open(segments, pool_config(&options.mutations, &poison, journal_bytes, "journal"));
        let pool = pool.map_err(|error| error.to_string())?;
        let how = Forgetfulness { forget: 40, refuse: 40, rot: 8, warm: true };
        let cache = Arc::new(ForgetfulCache::new(options.seed ^ options.lives, how));
        let cold = ColdConfig { fault: Some(options.faults.clone()), ..ColdConfig::named("bucket") };
        let cold =
            ColdStack::build(bucket.clone() as Arc<dyn ColdStore>, cold, clock.clone(), entropy.clone());
        let stack = StackSettings {
            block_size: 64 << 10,
            compression: options.compression,
            pack_size: 256 << 10,
            flush_after: options.tuning.flush_after,
            pack_delete_after: options.tuning.pack_delete_after,
            owner_settle: options.tuning.gc_every,
            gc_every: options.tuning.gc_every,
            sweep_every: options.tuning.sweep_every,
            // Every other world reads what it flushed from the bucket alone.
            probation_blocks: if options.seed.is_multiple_of(2) { 0 } else { 1024 },
            ..StackSettings::default()
        };
        let deps = EngineDeps {
            store: store.clone(),
            pool: pool.clone(),
            pressure: Pressure::new(PressureOptions::for_pool(journal_bytes, SEGMENT), clock.clone()),
            cache: cache.clone(),
            cold: cold.store(),
            health: Some(cold.health()),
            policy: Arc::new(FixedPolicy),
            clock: clock.clone(),
            entropy,
            sync_max: sync_max(options.class),
            stack,
            mutations: options.mutations.clone(),
        };
        let mut settings = EngineSettings { class: options.class, cells: 64, ..EngineSettings::default() };
        (options.share)(&mut settings);
        let engine = Engine::open(SHARE, settings, deps).await.map_err(|error| error.to_string())?;
        Ok(World {
            engine,
            clock,
            disk: options.disk.clone(),
            faults: options.faults.clone(),
            cache,
            bucket,
            store,
            pool,
            failed_at: Mutex::new(None),
            full: AtomicBool::new(false),
        })
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// A model of an empty share with the same root and clock.
    pub fn model(&self) -> Arc<dyn Vfs> {
        Arc::new(
            ModelVfs::new(SHARE, [7; 16], self.clock.clone(), (0o755, 0, 0))
                .born_at(self.engine.record().created),
        )
    }

    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    pub fn is_cut(&self) -> bool {
        self.disk.is_down()
    }

    /// The time that deadlines are measured by.
    pub fn monotonic(&self) -> Monotonic {
        self.clock.monotonic()
    }

    /// A request of the superuser that waits as long as it takes.
    pub fn root_context(&self) -> RequestContext {
        RequestContext {
            request: 0,
            replay: None,
            share: SHARE,
            credentials: Arc::new(Credentials::unix(0, 0, &[])),
            actor: Actor::nfs3([127, 0, 0, 1].into()),
            deadline: None,
            cancel: Default::default(),
            activity: Activity::INTERACTIVE,
        }
    }

    /// The object store begins to misbehave, in some random way.
    pub fn trouble(&self, rng: &mut StdRng) {
        let kind = rng.random_range(0..6);
        self.faults.change(|plan| {
            plan.cut = kind == 1;
            plan.error_rate = if kind >= 2 { 0.2 } else { 0.0 };
            plan.lost_reply_rate = if kind >= 3 { 0.1 } else { 0.0 };
            plan.late_put_rate = if kind >= 3 { 0.1 } else { 0.0 };
            plan.late_put_delay = Duration::from_secs(20);
            plan.partial_rate = if kind >= 4 { 0.1 } else { 0.0 };
            plan.wrong_bytes_rate = if kind == 5 { 0.05 } else { 0.0 };
            plan.put_answer_delay = Duration::from_millis(if kind >= 2 { 300 } else { 0 });
            plan.latency = (Duration::from_millis(1), Duration::from_millis(if kind >= 2 { 500 } else { 5 }));
        });
    }

    /// The object store is slow, and nothing else.
    pub fn slow(&self, millis_max: u64) {
        self.faults
            .change(|plan| plan.latency = (Duration::from_millis(1), Duration::from_millis(millis_max)));
    }

    /// Every call of the object store takes so long, and nothing else is wrong with it.
    pub fn latency(&self, time: Duration) {
        self.faults.change(|plan| plan.latency = (time, Duration::ZERO));
    }

    /// Answers to PUTs come up to so long after the object is there.
    pub fn late_answers(&self, time: Duration) {
        self.faults.change(|plan| plan.put_answer_delay = time);
    }

    /// The object store cannot be reached.
    pub fn cut_off(&self) {
        self.faults.change(|plan| plan.cut = true);
    }

    /// The next sync of the disk fails, as Linux does it: what it should have written may be lost.
    pub fn fail_next_sync(&self) {
        self.failed_at.lock().get_or_insert(self.clock.elapsed());
        self.disk.fail_syncs(1);
    }

    /// Background syncs of the name log hang from now on, until the next crash.
    pub fn stall_names(&self) {
        self.disk.stall_syncs(Some("metadata/names"));
    }

    /// When the disk began to fail.
    pub fn failed_at(&self) -> Option<Duration> {
        *self.failed_at.lock()
    }

    /// Leaves so many bytes free on the disk, `None` for plenty.
    pub fn leave_free(&self, bytes: Option<u64>) {
        let used =
            self.disk.total_bytes().ok().zip(self.disk.free_bytes().ok()).map_or(0, |(all, free)| all - free);
        self.full.store(bytes.is_some(), Ordering::Relaxed);
        self.disk.set_capacity(bytes.map_or(DISK_BYTES, |free| used + free));
    }

    pub fn disk_steps(&self) -> u64 {
        self.disk.steps()
    }

    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub fn bucket(&self) -> &Arc<MemoryCold> {
        &self.bucket
    }

    pub fn store(&self) -> &Arc<EmbeddedStore> {
        &self.store
    }

    pub fn pool(&self) -> &Arc<SegmentPool> {
        &self.pool
    }

    pub fn clock(&self) -> &Arc<SimClock> {
        &self.clock
    }

    /// The object store works again.
    pub fn calm(&self) {
        self.faults.heal();
    }

    /// The cache forgets everything.
    pub fn forget_cache(&self) {
        self.cache.wipe();
    }
}

fn sync_max(class: DurabilityClass) -> Duration {
    match class {
        DurabilityClass::Relaxed => Duration::from_millis(100),
        DurabilityClass::Local | DurabilityClass::Remote => Duration::from_secs(1),
    }
}

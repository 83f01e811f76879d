//! A gateway on simulated hardware. [`WorldOptions`] is what outlives a crash: the disk, the bucket, the time.

use super::{SimClock, SimEntropy};
use dfs_cache::{ForgetfulCache, Forgetfulness};
use dfs_cold::{ColdConfig, ColdStack, ColdStore, FaultHandle, MemoryCold};
use dfs_engine::{DurabilityClass, Engine, EngineDeps, EngineSettings};
use dfs_journal::{Pressure, PressureOptions};
use dfs_log::{Crash, Disk, Mutations, Poison, PoolConfig, Prepare, SegmentPool, SimDisk};
use dfs_model::{Activity, Actor, Clock, Compression, Credentials, Entropy, Generation, ShareId};
use dfs_policy::FixedPolicy;
use dfs_stack::StackSettings;
use dfs_store::{EmbeddedConfig, EmbeddedStore, MetadataStore, ShareRecord};
use dfs_vfs::{ModelVfs, RequestContext, Vfs};
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;

/// The share of every world.
pub const SHARE: ShareId = ShareId(0x5eed_0000_0000_0001);
/// Bytes of a simulated disk.
const DISK_BYTES: u64 = 64 << 20;
/// Bytes of a segment: small, so that histories roll through many.
const SEGMENT: u64 = 128 << 10;
/// Segments of the journal.
const SEGMENTS: u64 = 24;

/// What outlives a crash, and what is to come.
pub struct WorldOptions {
    pub class: DurabilityClass,
    pub elapsed: Duration,
    /// Simulated time at the last cut.
    pub cut_at: Duration,
    /// The next life ends after so many steps of the disk.
    pub cut_after: Option<u64>,
    pub mutations: Mutations,
    compression: Compression,
    disk: Arc<SimDisk>,
    bucket: Option<Arc<MemoryCold>>,
    faults: FaultHandle,
    lives: u64,
    seed: u64,
}

impl WorldOptions {
    /// A fresh machine.
    pub fn random(rng: &mut StdRng, class: DurabilityClass, mutations: Mutations) -> WorldOptions {
        let seed = rng.random();
        WorldOptions {
            class,
            elapsed: Duration::from_secs(1),
            cut_at: Duration::ZERO,
            cut_after: None,
            mutations,
            compression: [Compression::None, Compression::Lz4, Compression::Zstd][rng.random_range(0..3)],
            disk: SimDisk::new(seed, DISK_BYTES),
            bucket: None,
            faults: FaultHandle::new(seed),
            lives: 0,
            seed,
        }
    }

    /// Whether the disk was cut and answers nothing any more.
    pub fn is_cut(&self) -> bool {
        self.disk.is_down()
    }

    /// Takes over the time at which a life stopped.
    pub fn rest(&mut self, world: &World) {
        self.elapsed = world.elapsed();
        self.cut_at = self.elapsed;
    }

    /// The time at which a world stands.
    pub fn rest_of(&self, world: &World) -> Duration {
        world.elapsed()
    }

    /// The machine dies: the disk keeps what it keeps.
    pub fn crash(&mut self, power: bool, _rng: &mut StdRng) {
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
    config.reserve_bytes = 1 << 20;
    config.poison = poison.clone();
    config.mutations = options.mutations.clone();
    let store = EmbeddedStore::open(disk, config).await.map_err(|error| error.to_string())?;
    Ok(Arc::new(store))
}

impl World {
    /// Makes the share on a fresh disk.
    pub async fn create(options: &mut WorldOptions) -> Result<(), String> {
        let clock = Arc::new(SimClock::at(options.elapsed));
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
        let entropy: Arc<dyn Entropy> = Arc::new(SimEntropy::new(options.seed ^ (options.lives << 32)));
        if let Some(steps) = options.cut_after {
            options.disk.cut_after(steps);
        }
        let bucket = options.bucket.get_or_insert_with(|| Arc::new(MemoryCold::new(clock.clone()))).clone();
        let poison = Poison::default();
        let store = open_store(options, &clock, &poison).await?;
        let segments = options.disk.sub("journal").map_err(|error| error.to_string())?;
        let pool = SegmentPool::open(
            segments,
            pool_config(&options.mutations, &poison, SEGMENT * SEGMENTS, "journal"),
        );
        let pool = pool.map_err(|error| error.to_string())?;
        let how = Forgetfulness { forget: 40, refuse: 40, rot: 8, warm: true };
        let cache = Arc::new(ForgetfulCache::new(options.seed ^ options.lives, how));
        let cold = ColdConfig { fault: Some(options.faults.clone()), ..ColdConfig::named("bucket") };
        let cold = ColdStack::build(bucket as Arc<dyn ColdStore>, cold, clock.clone(), entropy.clone());
        let stack = StackSettings {
            block_size: 64 << 10,
            compression: options.compression,
            pack_size: 256 << 10,
            flush_after: Duration::from_secs(10),
            pack_delete_after: Duration::from_secs(3600),
            ..StackSettings::default()
        };
        let deps = EngineDeps {
            store,
            pool,
            pressure: Pressure::new(PressureOptions::for_pool(SEGMENT * SEGMENTS, SEGMENT), clock.clone()),
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
        let settings = EngineSettings { class: options.class, cells: 64, ..EngineSettings::default() };
        let engine = Engine::open(SHARE, settings, deps).await.map_err(|error| error.to_string())?;
        Ok(World { engine, clock, disk: options.disk.clone(), faults: options.faults.clone(), cache })
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
            plan.latency = (Duration::from_millis(1), Duration::from_millis(if kind >= 2 { 500 } else { 5 }));
        });
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
        DurabilityClass::Local => Duration::from_secs(1),
    }
}

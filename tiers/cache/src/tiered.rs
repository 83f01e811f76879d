//! Hot and warm on foyer: an LFU cache of decoded blocks in memory and, with a folder, a log-structured store of the packs'
//! bytes on NVMe.
//!
//! Hot counts in bytes. Warm has one entry per block: key = pack id and index, value = the stored bytes. It recovers what it
//! finds intact after a restart and knows nothing of what it lost. Entries reach it only through [`AdmissionQueue`].

use crate::metrics::CacheMetrics;
use crate::queue::AdmissionQueue;
use crate::{Admission, BlockCache, CacheError, CacheStats};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::BlockId;
use foyer::{
    BlockEngineConfig, Cache, CacheBuilder, Code, DeviceBuilder, FsDeviceBuilder, HybridCache,
    HybridCacheBuilder, HybridCachePolicy, LfuConfig, Load, PsyncIoEngineConfig, RecoverMode,
};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinHandle;

/// Bytes that the memory tier counts for an entry beside its payload.
const ENTRY_OVERHEAD: usize = 160;
/// Bytes that the engine adds to an entry on the device: header, key, alignment.
const DEVICE_OVERHEAD: usize = 4096 + 64;
/// Smallest engine region: also the unit of eviction.
const REGION_MIN: u64 = 16 << 20;
/// Most regions, each an open file: larger tiers get larger regions.
const REGIONS_MAX: u64 = 1024;
/// Fewest regions with which the engine turns over.
const REGIONS_MIN: u64 = 8;

/// The NVMe tier.
#[derive(Clone, Debug)]
pub struct WarmConfig {
    /// Its folder; made when absent.
    pub folder: PathBuf,
    /// Bytes on disk, at least 128 MiB.
    pub bytes: u64,
    /// Flush buffer of the engine; two of them are held.
    pub buffer_bytes: usize,
    /// Bytes of offers that may wait to be written.
    pub queue_bytes: u64,
}

impl WarmConfig {
    /// A tier with default buffers (32 MiB) and queue (32 MiB).
    #[must_use]
    pub fn new(folder: impl AsRef<Path>, bytes: u64) -> WarmConfig {
        WarmConfig {
            folder: folder.as_ref().to_path_buf(),
            bytes,
            buffer_bytes: 16 << 20,
            queue_bytes: 32 << 20,
        }
    }

    /// Memory that the tier takes beside the hot tier's: buffers, queue and index.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let index = self.bytes / (256 << 10) * 128;
        2 * self.buffer_bytes as u64 + self.queue_bytes + index
    }

    fn region(&self) -> u64 {
        (self.bytes / REGIONS_MAX).next_power_of_two().max(REGION_MIN)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(BlockId);

impl Code for Key {
    fn encode(&self, writer: &mut impl std::io::Write) -> foyer::Result<()> {
        self.0.pack.0.encode(writer)?;
        self.0.index.encode(writer)
    }

    fn decode(reader: &mut impl std::io::Read) -> foyer::Result<Self> {
        let pack = dfs_model::PackId(u128::decode(reader)?);
        Ok(Key(BlockId { pack, index: u32::decode(reader)? }))
    }

    fn estimated_size(&self) -> usize {
        20
    }
}

/// Longest value that is believed on the way up: larger lengths are damage.
const STORED_MAX: usize = dfs_model::extent::BLOCK_LEN_MAX as usize + 4096;

/// Stored bytes of a block; its own codec because lengths read from the device are bounded before memory is taken.
#[derive(Clone, Debug)]
struct Stored(Bytes);

impl Code for Stored {
    fn encode(&self, writer: &mut impl std::io::Write) -> foyer::Result<()> {
        (self.0.len() as u32).encode(writer)?;
        writer.write_all(&self.0).map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl std::io::Read) -> foyer::Result<Self> {
        let len = u32::decode(reader)? as usize;
        if len > STORED_MAX {
            return Err(foyer::Error::new(foyer::ErrorKind::Parse, "length of a block"));
        }
        let mut bytes = vec![0; len];
        reader.read_exact(&mut bytes).map_err(foyer::Error::io_error)?;
        Ok(Stored(Bytes::from(bytes)))
    }

    fn estimated_size(&self) -> usize {
        4 + self.0.len()
    }
}

type Hot = Cache<Key, Bytes>;
type Engine = HybridCache<Key, Stored>;

/// The cache of a data folder.
pub struct TieredCache {
    hot: Hot,
    hot_capacity: u64,
    warm: Option<Warm>,
    counts: Arc<Counts>,
}

struct Warm {
    engine: Engine,
    queue: Arc<AdmissionQueue>,
    capacity: u64,
    allocated: u64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Counts {
    hot_hits: AtomicU64,
    hot_misses: AtomicU64,
    warm_hits: AtomicU64,
    warm_misses: AtomicU64,
    written: AtomicU64,
    dropped_queue: AtomicU64,
    dropped_engine: AtomicU64,
    metrics: CacheMetrics,
}

impl Counts {
    fn new() -> Counts {
        let zero = || AtomicU64::new(0);
        Counts {
            hot_hits: zero(),
            hot_misses: zero(),
            warm_hits: zero(),
            warm_misses: zero(),
            written: zero(),
            dropped_queue: zero(),
            dropped_engine: zero(),
            metrics: CacheMetrics::new(),
        }
    }
}

impl TieredCache {
    /// A cache in memory only, of at most `hot_bytes`.
    #[must_use]
    pub fn memory_only(hot_bytes: u64) -> TieredCache {
        let capacity = usize::try_from(hot_bytes).unwrap_or(usize::MAX).max(1 << 20);
        let hot = CacheBuilder::new(capacity)
            .with_name("dfs-hot")
            .with_shards(if hot_bytes >= 256 << 20 { 16 } else { 4 })
            .with_eviction_config(LfuConfig::default())
            .with_weighter(|_: &Key, bytes: &Bytes| bytes.len() + ENTRY_OVERHEAD)
            .build();
        TieredCache { hot, hot_capacity: capacity as u64, warm: None, counts: Arc::new(Counts::new()) }
    }

    /// A cache in memory and on NVMe. Recovers what the folder holds. Needs a tokio runtime.
    ///
    /// *Errors:* [`CacheError::TooSmall`]; [`CacheError::NoRoom`], with nothing taken from the disk; [`CacheError::Folder`] when it cannot be made, written or opened.
    pub async fn open(hot_bytes: u64, config: WarmConfig) -> Result<TieredCache, CacheError> {
        let least = REGION_MIN * REGIONS_MIN;
        if config.bytes < least {
            return Err(CacheError::TooSmall { asked: config.bytes, least });
        }
        check_room(&config)?;
        let mut cache = TieredCache::memory_only(hot_bytes);
        let engine = open_engine(&config).await?;
        let queue = Arc::new(AdmissionQueue::new(config.queue_bytes));
        let burst = config.buffer_bytes / 4 * 3;
        let writer = tokio::spawn(write_bursts(engine.clone(), queue.clone(), cache.counts.clone(), burst));
        let allocated = allocated(&config.folder);
        cache.warm =
            Some(Warm { engine, queue, capacity: config.bytes, allocated, writer: Mutex::new(Some(writer)) });
        Ok(cache)
    }
}

/// Refuses a tier that its disk has no room for, before a byte of it is taken: a disk filled to the brim halfway through
/// would take the journal's and the metadata's room with it.
fn check_room(config: &WarmConfig) -> Result<(), CacheError> {
    let refused = |error: std::io::Error| CacheError::Folder {
        folder: config.folder.display().to_string(),
        cause: error.to_string(),
    };
    std::fs::create_dir_all(&config.folder).map_err(refused)?;
    let disk = rustix::fs::statvfs(&config.folder).map_err(|errno| refused(errno.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = config.bytes.saturating_sub(allocated(&config.folder));
    if needed > free {
        let folder = config.folder.display().to_string();
        return Err(CacheError::NoRoom { folder, bytes: config.bytes, needed, free });
    }
    Ok(())
}

/// Bytes of disk that a folder's files really have: a sparse file counts for what is in it.
fn allocated(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file);
    files.map(|file| file.blocks().saturating_mul(512)).sum()
}

async fn open_engine(config: &WarmConfig) -> Result<Engine, CacheError> {
    let refused = |cause: String| CacheError::Folder { folder: config.folder.display().to_string(), cause };
    let capacity = usize::try_from(config.bytes).unwrap_or(usize::MAX);
    let device = FsDeviceBuilder::new(&config.folder)
        .with_capacity(capacity)
        .build()
        .map_err(|error| refused(error.to_string()))?;
    let engine = BlockEngineConfig::new(device)
        .with_block_size(config.region() as usize)
        .with_buffer_pool_size(config.buffer_bytes)
        .with_submit_queue_size_threshold(config.buffer_bytes * 2)
        .with_recover_concurrency(4);
    let engine = HybridCacheBuilder::new()
        .with_name("dfs-warm")
        .with_policy(HybridCachePolicy::WriteOnInsertion)
        .with_flush_on_close(false)
        .memory(1)
        .with_shards(1)
        .storage()
        .with_io_engine_config(PsyncIoEngineConfig::new())
        .with_engine_config(engine)
        .with_recover_mode(RecoverMode::Quiet)
        .build()
        .await
        .map_err(|error| refused(error.to_string()))?;
    preallocate(&config.folder).map_err(|error| refused(error.to_string()))?;
    Ok(engine)
}

/// Gives every file of the tier its blocks now, so that a disk that fills up later never breaks it. File systems that cannot
/// are left to allocate as they go.
fn preallocate(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let file = std::fs::OpenOptions::new().write(true).open(entry.path())?;
        let len = file.metadata()?.len();
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, len) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Hands the queue to the engine, burst by burst.
async fn write_bursts(engine: Engine, queue: Arc<AdmissionQueue>, counts: Arc<Counts>, burst_bytes: usize) {
    loop {
        let burst = queue.burst(burst_bytes, DEVICE_OVERHEAD);
        if burst.is_empty() {
            if queue.is_closed() {
                return;
            }
            queue.ready.notified().await;
            continue;
        }
        let mut bytes = 0;
        let mut keys = Vec::with_capacity(burst.len());
        for (block, stored) in burst {
            bytes += stored.len() as u64;
            keys.push(Key(block));
            drop(engine.storage_writer(Key(block)).force().insert(Stored(stored)));
        }
        engine.storage().wait().await;
        let lost = keys.iter().filter(|key| !engine.storage().may_contains(*key)).count() as u64;
        counts.written.fetch_add(bytes, Ordering::Relaxed);
        counts.dropped_engine.fetch_add(lost, Ordering::Relaxed);
        counts.metrics.warm_written.increment(bytes);
        counts.metrics.dropped_engine.increment(lost);
        counts.metrics.queue_bytes.set(queue.bytes() as f64);
    }
}

impl Warm {
    async fn load(&self, block: BlockId) -> Option<Bytes> {
        if let Some(stored) = self.queue.get(block) {
            return Some(stored);
        }
        match self.engine.storage().load(&Key(block)).await {
            Ok(Load::Entry { value, .. }) => Some(value.0),
            Ok(Load::Piece { piece, .. }) => Some(piece.value().0.clone()),
            Ok(Load::Miss | Load::Throttled) => None,
            Err(error) => {
                tracing::warn!(%block, %error, "the NVMe cache could not read a block; it is fetched again");
                None
            }
        }
    }
}

#[async_trait]
impl BlockCache for TieredCache {
    fn hot(&self, block: BlockId) -> Option<Bytes> {
        let found = self.hot.get(&Key(block)).map(|entry| entry.value().clone());
        let (count, metric) = match &found {
            Some(_) => (&self.counts.hot_hits, &self.counts.metrics.hot_hits),
            None => (&self.counts.hot_misses, &self.counts.metrics.hot_misses),
        };
        count.fetch_add(1, Ordering::Relaxed);
        metric.increment(1);
        found
    }

    fn has_hot(&self, block: BlockId) -> bool {
        self.hot.contains(&Key(block))
    }

    async fn warm(&self, block: BlockId) -> Option<Bytes> {
        let warm = self.warm.as_ref()?;
        let found = warm.load(block).await;
        let (count, metric) = match &found {
            Some(_) => (&self.counts.warm_hits, &self.counts.metrics.warm_hits),
            None => (&self.counts.warm_misses, &self.counts.metrics.warm_misses),
        };
        count.fetch_add(1, Ordering::Relaxed);
        metric.increment(1);
        found
    }

    fn offer(&self, block: BlockId, stored: Option<Bytes>, decoded: Option<Bytes>, admission: Admission) {
        if let Some(decoded) = decoded.filter(|_| admission.hot) {
            drop(self.hot.insert(Key(block), decoded));
            self.counts.metrics.hot_bytes.set(self.hot.usage() as f64);
        }
        let (Some(warm), Some(stored)) = (&self.warm, stored.filter(|_| admission.warm)) else { return };
        if !warm.queue.push(block, stored) {
            self.counts.dropped_queue.fetch_add(1, Ordering::Relaxed);
            self.counts.metrics.dropped_queue.increment(1);
        }
    }

    fn forget(&self, block: BlockId) {
        drop(self.hot.remove(&Key(block)));
        if let Some(warm) = &self.warm {
            warm.queue.forget(block);
            warm.engine.storage().delete(&Key(block));
        }
    }

    fn has_warm(&self) -> bool {
        self.warm.is_some()
    }

    fn stats(&self) -> CacheStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStats {
            hot_bytes: self.hot.usage() as u64,
            hot_capacity: self.hot_capacity,
            hot_entries: self.hot.entries() as u64,
            hot_hits: read(&self.counts.hot_hits),
            hot_misses: read(&self.counts.hot_misses),
            warm_allocated: self.warm.as_ref().map_or(0, |warm| warm.allocated),
            warm_capacity: self.warm.as_ref().map_or(0, |warm| warm.capacity),
            warm_hits: read(&self.counts.warm_hits),
            warm_misses: read(&self.counts.warm_misses),
            warm_written: read(&self.counts.written),
            warm_queued: self.warm.as_ref().map_or(0, |warm| warm.queue.bytes()),
            dropped_queue: read(&self.counts.dropped_queue),
            dropped_engine: read(&self.counts.dropped_engine),
        }
    }

    async fn close(&self) {
        let Some(warm) = &self.warm else { return };
        warm.queue.close();
        let writer = warm.writer.lock().take();
        if let Some(writer) = writer {
            let _ = writer.await;
        }
        if let Err(error) = warm.engine.close().await {
            tracing::warn!(%error, "the NVMe cache did not close cleanly; it will know less after the restart");
        }
    }
}

#[cfg(test)]
#[path = "tiered_tests.rs"]
mod tests;

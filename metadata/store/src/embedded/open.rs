//! Opening: redb at its last checkpoint, then the name log above its position (JOURNAL §7.2–3), then a new epoch of it.
//!
//! Order: folder lock → redb (nothing is changed when its format is newer) → it must not be an older copy than the
//! opening file and the log beside it → the next opening number, durable → records above the position into the active
//! memtable → the kept segments synced, the log started. All of it is written in place: a folder that was in use opens on
//! a disk without a free byte. *A crash* anywhere: open again.

use super::base::Base;
use super::opening::Opening;
use super::{
    Embedded, EmbeddedConfig, EmbeddedStore, Folder, REDO, Rows, Shared, pool_failed, recover_failed, space,
};
use crate::kv::{Batch, Memtable};
use crate::metrics::StoreMetrics;
use crate::shell::Store;
use crate::{StoreError, StoreResult};
use arc_swap::ArcSwap;
use dfs_log::{DiskLock, Log, LogOptions, PoolConfig, Prepare, Recovered, SegmentPool};
use dfs_model::Seq;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::Notify;

/// Folder of the name log's segments in the data folder.
const LOG_FOLDER: &str = "names";
const ENOSPC: i32 = 28;
const LOCK_FILE: &str = "metadata.lock";
/// The name log's journal id: ASCII "dfs name log v1", so that no share's random id is it.
const NAME_LOG: u128 = u128::from_be_bytes(*b"dfs name log v1\0");

impl EmbeddedStore {
    /// Opens the store in a folder, making it when the folder is empty, and starts its checkpoints. Runs in the runtime
    /// that will carry them.
    ///
    /// *Errors:* [`StoreError::Unusable`] in an operator's words, with no data touched: another process has the folder,
    /// a newer format, damage, an older copy of the checkpoint; [`StoreError::Broken`] where the disk fails.
    /// *Cancel:* safe; the store is then opened again later.
    pub async fn open(disk: Folder, config: EmbeddedConfig) -> StoreResult<EmbeddedStore> {
        let inline = config.inline;
        let blocking = move || Opened::read(disk, config);
        let opened = match inline {
            true => blocking()?,
            false => match tokio::task::spawn_blocking(blocking).await {
                Ok(opened) => opened?,
                Err(error) => {
                    return Err(StoreError::Broken(format!("opening of the metadata store: {error}")));
                }
            },
        };
        let shared = Arc::new(opened.start().await?);
        if shared.log.pool().status().free_segments == 0 {
            // Nothing could be changed, and so nothing opened, before a checkpoint gives segments back.
            Shared::checkpoint(&shared).await.map_err(no_room_to_open)?;
        }
        let task = super::checkpoint::spawn(&shared);
        let store = Store { backend: Embedded::new(shared, Some(task)), leases: Default::default() };
        store.finish_deletions().await?;
        Ok(store)
    }

    /// Ends the store in order: the checkpoint task stops and a last checkpoint is written, so that the next open replays
    /// nothing. The folder is free once the last reference is dropped. *Errors:* as of a checkpoint.
    pub async fn close(&self) -> StoreResult<()> {
        self.backend.shared.stop.send_replace(true);
        let task = self.backend.task.lock().take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the checkpoint task of the metadata store ended badly");
        }
        Shared::checkpoint(&self.backend.shared).await
    }
}

/// What was read before the log starts.
struct Opened {
    base: Base,
    numbers: Opening,
    opening: dfs_model::Epoch,
    position: Seq,
    last: Seq,
    active: Memtable,
    recovered: Recovered,
    space: space::Space,
    config: EmbeddedConfig,
    lock: DiskLock,
}

impl Opened {
    fn read(disk: Folder, config: EmbeddedConfig) -> StoreResult<Opened> {
        let lock = disk.lock(LOCK_FILE).map_err(|error| lock_failed(&error))?;
        let (base, meta) = Base::open(&disk, config.cache_bytes)?;
        let (numbers, meta) = Opening::open(disk.as_ref(), meta)?;
        let pool = open_pool(&disk, &config)?;
        let held = pool.journals().into_iter().find(|held| held.journal == NAME_LOG);
        if let Some(held) = held
            && held.newest_epoch > meta.opening
        {
            return Err(StoreError::Unusable(format!(
                "metadata.redb is an older copy: it was last opened for the {}th time, the name log beside it for the {}th. \
                 Bring the newer metadata.redb back. Nothing was changed",
                meta.opening, held.newest_epoch
            )));
        }
        let space = space::Space::open(Arc::clone(&disk), config.reserve_bytes, config.min_free_bytes)?;
        let meta = numbers.begin(meta)?;
        let active = Memtable::new(true);
        let mut last = meta.position;
        let mut records = 0_u64;
        let options = LogOptions {
            sync_max: config.sync_max,
            label: "names",
            mutations: config.mutations.clone(),
            ..LogOptions::new(Arc::clone(&config.clock))
        };
        let recovered = Log::recover(&pool, NAME_LOG, options, &mut |record| {
            if record.seq <= meta.position {
                return Ok(());
            }
            follows(last, record.seq)?;
            if record.kind != REDO {
                return Err(format!("kind {} is unknown to this version; start the newer one", record.kind));
            }
            let batch = Batch::decode(record.payload).map_err(|error| error.to_string())?;
            active.apply(batch, record.seq.0);
            last = record.seq;
            records += 1;
            Ok(())
        })
        .map_err(recover_failed)?;
        tracing::info!(records, bytes = active.bytes(), "name log read above the checkpoint");
        let (opening, position) = (meta.opening, meta.position);
        Ok(Opened { base, numbers, opening, position, last, active, recovered, space, config, lock })
    }

    async fn start(self) -> StoreResult<Shared> {
        let log = self.recovered.start(self.opening).await.map_err(recover_failed)?;
        let base = self.base.snapshot()?;
        let rows = Rows { active: Arc::new(self.active), frozen: None, base };
        let now = self.config.clock.monotonic();
        Ok(Shared {
            base: self.base,
            numbers: self.numbers,
            log,
            rows: ArcSwap::from_pointee(rows),
            section: tokio::sync::Mutex::new(()),
            checkpointing: Arc::new(tokio::sync::Mutex::new(())),
            redo_since: AtomicU64::new(0),
            last: AtomicU64::new(self.last.0),
            checkpointed: AtomicU64::new(self.position.0),
            checkpoints: AtomicU64::new(0),
            checkpoint_at: parking_lot::Mutex::new(now),
            slack_after: parking_lot::Mutex::new(now),
            relieved: Notify::new(),
            pressed: Arc::new(Notify::new()),
            stop: tokio::sync::watch::Sender::new(false),
            space: self.space,
            config: self.config,
            metrics: StoreMetrics::new(),
            _lock: self.lock,
        })
    }
}

fn no_room_to_open(error: StoreError) -> StoreError {
    match error {
        StoreError::Refused(dfs_model::FsError::NoSpace) => {
            let full = io::Error::from_raw_os_error(ENOSPC);
            super::base::disk_failed("the checkpoint that a full name log needs", &full)
        }
        other => other,
    }
}

/// Records above the checkpoint are contiguous in an epoch, and each epoch's start with its first.
fn follows(last: Seq, seq: Seq) -> Result<(), String> {
    let same_epoch = last.epoch() == seq.epoch();
    match (same_epoch, seq.counter()) {
        (true, counter) if counter == last.counter() + 1 => Ok(()),
        (false, 1) => Ok(()),
        _ => Err(format!("the record before it is missing: the last one present is {last}")),
    }
}

fn open_pool(disk: &Folder, config: &EmbeddedConfig) -> StoreResult<Arc<SegmentPool>> {
    let folder = disk
        .sub(LOG_FOLDER)
        .map_err(|error| super::base::disk_failed("making of the name log's folder", &error))?;
    let pool = PoolConfig {
        segment_bytes: config.segment_bytes,
        ready_ahead: 2,
        small_reserve: 0,
        prepare: if config.inline { Prepare::Inline } else { Prepare::Background },
        label: "names",
        poison: config.poison.clone(),
        mutations: config.mutations.clone(),
        ..PoolConfig::new(config.log_bytes)
    };
    SegmentPool::open(folder, pool).map_err(pool_failed)
}

fn lock_failed(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::WouldBlock => StoreError::Unusable(
            "the metadata store's folder is in use by another process; stop that server first".into(),
        ),
        io::ErrorKind::Unsupported => StoreError::Unusable(
            "the metadata store's file system cannot lock files; use a local disk".into(),
        ),
        io::ErrorKind::PermissionDenied => StoreError::Unusable(
            "the metadata store's folder cannot be written; give the server's user access to it".into(),
        ),
        _ => super::base::disk_failed("lock of the metadata store's folder", error),
    }
}

//! The data folder: its lock, its log pool and its cache.

use super::budget::{Sizes, memory, sizes};
use super::hosts::HostNames;
use super::{NfsAdapter, Runtime, State, Told};
use crate::config::Config;
use crate::system::{OsEntropy, SystemClock};
use dfs_auth::IdentityTable;
use dfs_cache::{BlockCache, TieredCache, WarmConfig};
use dfs_journal::{Pressure, PressureOptions};
use dfs_log::{Disk, DiskLock, Poison, PoolConfig, PoolError, RealDisk, SegmentPool};
use dfs_model::{Clock, Entropy};
use dfs_nfs::{ExportTable, NfsConfig, NfsService};
use dfs_policy::{FixedPolicy, Policy};
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Least bytes of a warm tier that is worth having.
const WARM_MIN: u64 = 128 << 20;

/// How often a lock that is held is asked for again, and the pause between.
const LOCK_TRIES: usize = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why the data folder cannot be used, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct OpenFailure {
    pub code: u8,
    pub message: String,
    /// Whether a later try may succeed although nobody changes anything here.
    pub may_pass: bool,
    /// Whether another gateway has the share: no failure, but not ours now.
    pub elsewhere: bool,
}

impl OpenFailure {
    pub fn new(code: u8, message: impl Into<String>) -> OpenFailure {
        OpenFailure { code, message: message.into(), may_pass: false, elsewhere: false }
    }

    /// One whose cause may go away by itself.
    pub fn passing(self, may_pass: bool) -> OpenFailure {
        OpenFailure { may_pass, ..self }
    }

    /// One of a share that another gateway has: it is asked for again by itself.
    pub fn elsewhere(self) -> OpenFailure {
        OpenFailure { may_pass: true, elsewhere: true, ..self }
    }
}

/// An error with what caused it, and what caused that.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The data folder, locked: no other process may open it while this value lives.
pub(crate) struct Folder {
    disk: Arc<RealDisk>,
    _lock: DiskLock,
}

impl Folder {
    /// Takes the lock. *Errors:* exit code 4 when another gateway holds it, 5 when the folder cannot be used.
    pub fn lock(data_dir: &Path) -> Result<Folder, OpenFailure> {
        let shown = data_dir.display();
        if !data_dir.is_dir() {
            let message =
                format!("the data folder {shown} does not exist: run `dfs init`, or mount the disk it is on");
            return Err(OpenFailure::new(5, message));
        }
        let disk = RealDisk::open(data_dir)
            .map_err(|error| OpenFailure::new(5, format!("cannot use the data folder {shown}: {error}")))?;
        match lock_patiently(disk.as_ref()) {
            Ok(lock) => Ok(Folder { disk, _lock: lock }),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let pid = crate::ready::running_pid(data_dir)
                    .map_or_else(String::new, |pid| format!(" (pid {pid})"));
                let message = format!(
                    "another gateway{pid} holds the data folder {shown}; one folder serves one gateway (dfs status, dfs stop)"
                );
                Err(OpenFailure::new(4, message))
            }
            Err(error) => Err(OpenFailure::new(
                5,
                format!(
                    "cannot lock the data folder {shown}: {error}; it must be writable, and its file system must have locks"
                ),
            )),
        }
    }

    /// The folder, for what is opened in it while the lock is held.
    pub fn disk(&self) -> Arc<RealDisk> {
        self.disk.clone()
    }
}

impl Runtime {
    /// Opens log pool and cache; no store and no share yet. The folder's lock is held. *Errors:* exit code 5 or 6; nothing was changed.
    pub async fn open(
        disk: Arc<RealDisk>,
        config: Config,
        data_dir: &Path,
    ) -> Result<Arc<Runtime>, OpenFailure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let policy: Arc<dyn Policy> = Arc::new(FixedPolicy);
        let disk: Arc<dyn Disk> = disk;
        let io = |error: std::io::Error| {
            OpenFailure::new(5, format!("cannot read the data folder {}: {error}", data_dir.display()))
        };
        let sizes = sizes(&config, disk.total_bytes().map_err(io)?, disk.free_bytes().map_err(io)?);
        let split = memory(&config, policy.as_ref(), &sizes);
        let poison = Poison::default();
        let segments = disk.sub("journal").map_err(io)?;
        let options = PoolConfig {
            segment_bytes: sizes.segment,
            poison: poison.clone(),
            ..PoolConfig::new(sizes.journal)
        };
        let pool = SegmentPool::open(segments, options)
            .map_err(|error| pool_failure(&data_dir.join("journal"), &error))?;
        let mut options = PressureOptions::for_pool(sizes.journal, sizes.segment);
        options.overlay_bytes_max = split.overlay;
        let pressure = Pressure::new(options, clock.clone());
        let cache = open_cache(&config, data_dir, &sizes, split.hot).await?;
        let (exports, identities) = (Arc::new(ExportTable::default()), Arc::new(IdentityTable::default()));
        let service =
            NfsService::new(exports.clone(), identities.clone(), clock.clone(), NfsConfig::default(), None);
        let request_memory = super::nfs::request_memory(&config, split.requests);
        Ok(Arc::new(Runtime {
            nfs: NfsAdapter::new(&config, request_memory, service),
            told: Told::default(),
            config,
            data_dir: data_dir.to_owned(),
            disk,
            poison,
            pool,
            pressure,
            cache,
            policy,
            split,
            clock,
            entropy,
            exports,
            identities,
            hosts: HostNames::system(Arc::new(SystemClock)),
            opening: tokio::sync::Mutex::new(()),
            state: RwLock::new(State::default()),
        }))
    }
}

/// Takes the lock. `dfs status` and `dfs stop` look at it by holding it for a moment, so a refusal is asked again.
fn lock_patiently(disk: &RealDisk) -> std::io::Result<DiskLock> {
    for _ in 0..LOCK_TRIES {
        match disk.lock(crate::ready::LOCK_FILE) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                crate::commands::pause(LOCK_PAUSE)
            }
            done => return done,
        }
    }
    disk.lock(crate::ready::LOCK_FILE)
}

/// A journal that cannot be opened, in an operator's words.
fn pool_failure(folder: &Path, error: &PoolError) -> OpenFailure {
    let why = with_causes(error);
    let shown = folder.display();
    match error {
        PoolError::Damaged(_) | PoolError::NewerFormat { .. } => OpenFailure::new(
            6,
            format!("the journal in {shown} cannot be opened, no data was touched: {why}"),
        ),
        PoolError::Config(_) => OpenFailure::new(2, format!("journal.size and journal.segment: {why}")),
        PoolError::TooSmall { .. } => OpenFailure::new(
            5,
            format!(
                "the journal in {shown} does not fit the disk: {why}; free some space, or make journal.size smaller"
            ),
        ),
        _ => OpenFailure::new(5, format!("the journal in {shown} cannot be opened: {why}")),
    }
}

async fn open_cache(
    config: &Config,
    data_dir: &Path,
    sizes: &Sizes,
    hot: u64,
) -> Result<Arc<dyn BlockCache>, OpenFailure> {
    if sizes.warm < WARM_MIN {
        if sizes.warm > 0 {
            tracing::warn!(
                bytes = sizes.warm,
                "too little disk for a warm tier: blocks are cached in memory only"
            );
        }
        return Ok(Arc::new(TieredCache::memory_only(hot)));
    }
    let folder = config.warm.dir.clone().unwrap_or_else(|| data_dir.join("warm"));
    let opened = TieredCache::open(hot, WarmConfig::new(&folder, sizes.warm)).await;
    let cache = opened.map_err(|error| {
        OpenFailure::new(
            5,
            format!("the warm tier in {} cannot be opened: {}", folder.display(), with_causes(&error)),
        )
    })?;
    Ok(Arc::new(cache))
}

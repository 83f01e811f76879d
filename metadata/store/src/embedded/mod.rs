//! The embedded store: a name log in front of memtables in front of a redb checkpoint.
//!
//! ```text
//!   write ─▶ op on the newest rows ─▶ redo record ─▶ name log (group sync)
//!                                  └▶ active memtable ──freeze──▶ frozen memtable ──checkpoint──▶ redb
//!   read  ─▶ view = active @ version, frozen, redb snapshot
//! ```
//! *Invariants:* rows = redb at `position` + redo records above it, in order. A record is in the page cache before its
//! rows are visible, so the death of the process loses nothing that was shown; a power cut keeps a prefix. The log's
//! epoch is the store's opening number, durable in `metadata.opening` before the first append. A segment is given back only after the
//! checkpoint that holds its records is durable. Readers never wait for a checkpoint.
//! *A crash* anywhere: open again; the same rows, or more of the same prefix. *A cancelled* write has happened whole or
//! not at all. After a failed write or sync the store takes no more changes; reads go on.

mod base;
mod checkpoint;
mod open;
mod opening;
mod slack;
mod space;
#[cfg(test)]
mod tests;

use crate::kv::{Batch, Layers, Memtable};
use crate::metrics::StoreMetrics;
use crate::ops::Tx;
use crate::shell::{Backend, Op, Space as SpaceClass, Store};
use crate::{Applied, CommitToken, StoreError, StoreResult};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use base::{Base, BaseSnapshot};
use dfs_log::{Disk, Log, LogError, Mutations, Poison, PoolError, RecoverError, Reservation};
use dfs_model::{Clock, FsError, Monotonic, Seq, ShareId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Kind of a redo record in the name log.
const REDO: u8 = 1;
/// Payload that is reserved before the batch of an operation is known; larger ones ask again.
const TYPICAL_REDO_BYTES: u64 = 4096;

/// The store.
pub type EmbeddedStore = Store<Embedded>;

/// Configuration of an embedded store. Sizes are bytes.
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// redb's page cache; part of the memory budget.
    pub cache_bytes: usize,
    /// Memory of changed rows at which a checkpoint starts; twice that may be held while one runs, then creates wait.
    pub memtable_bytes: usize,
    /// Longest time between checkpoints while there are changes.
    pub checkpoint_interval: Duration,
    /// Size of the name log on disk.
    pub log_bytes: u64,
    /// One segment of it, a multiple of 4096; bounds the largest transaction.
    pub segment_bytes: u64,
    /// Unsynced redo records are synced at the latest after this time.
    pub sync_max: Duration,
    /// Size of the reserve file (`metadata.reserve`); 0: none.
    pub reserve_bytes: u64,
    /// Creates answer NoSpace below so many free bytes (`disk.min_free`).
    pub min_free_bytes: u64,
    /// Checkpoints and log preparation run where they are asked for, not on threads of their own: for simulations.
    pub inline: bool,
    /// The data folder's poison mark, shared with its journals.
    pub poison: Poison,
    /// Measures checkpoints.
    pub clock: Arc<dyn Clock>,
    /// Rules dropped by a test.
    pub mutations: Mutations,
}

impl EmbeddedConfig {
    /// Defaults: 64 MiB of cache, a checkpoint each second or 32 MiB (twice that in memory at most), 256 MiB of log and
    /// of reserve.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> EmbeddedConfig {
        EmbeddedConfig {
            cache_bytes: 64 << 20,
            memtable_bytes: 32 << 20,
            checkpoint_interval: Duration::from_secs(1),
            log_bytes: 256 << 20,
            segment_bytes: 32 << 20,
            sync_max: Duration::from_millis(100),
            reserve_bytes: 256 << 20,
            min_free_bytes: 1 << 30,
            inline: false,
            poison: Poison::new(),
            clock,
            mutations: Mutations::none(),
        }
    }
}

/// Figures for status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStats {
    /// Memory of changed rows that no checkpoint holds yet.
    pub memtable_bytes: usize,
    /// Name log segments in use.
    pub log_bytes: u64,
    /// Since the last checkpoint.
    pub checkpoint_age: Duration,
    /// Checkpoints since the start.
    pub checkpoints: u64,
    /// The newest transaction.
    pub last_commit: CommitToken,
    /// The newest transaction that survives a power cut.
    pub durable_commit: CommitToken,
}

/// Name log, memtables and checkpoint.
pub struct Embedded {
    shared: Arc<Shared>,
    /// The checkpoint task, until the store is closed; the task's own handle to the store has none.
    task: parking_lot::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Embedded {
    fn new(shared: Arc<Shared>, task: Option<tokio::task::JoinHandle<()>>) -> Embedded {
        Embedded { shared, task: parking_lot::Mutex::new(task) }
    }
}

/// Rows of a store as readers find them: newest layer first.
struct Rows {
    active: Arc<Memtable>,
    /// With the last record that it holds.
    frozen: Option<(Arc<Memtable>, Seq)>,
    base: BaseSnapshot,
}

impl Rows {
    fn view(&self) -> Layers {
        let mut layers: Vec<Box<dyn crate::kv::Layer>> = vec![Box::new(self.active.snapshot())];
        if let Some((frozen, _)) = &self.frozen {
            layers.push(Box::new(frozen.snapshot()));
        }
        layers.push(Box::new(self.base.clone()));
        Layers(layers)
    }
}

struct Shared {
    base: Base,
    numbers: opening::Opening,
    log: Log,
    rows: ArcSwap<Rows>,
    /// Held while an operation runs and its record is appended: transactions are one after the other.
    section: tokio::sync::Mutex<()>,
    /// Held by whoever checkpoints.
    checkpointing: Arc<tokio::sync::Mutex<()>>,
    /// The last record applied.
    last: AtomicU64,
    /// Bytes of redo records that no checkpoint has begun to hold.
    redo_since: AtomicU64,
    /// The last record that redb holds.
    checkpointed: AtomicU64,
    checkpoints: AtomicU64,
    checkpoint_at: parking_lot::Mutex<Monotonic>,
    /// When redb's free pages may be counted again, on a full disk.
    slack_after: parking_lot::Mutex<Monotonic>,
    /// A checkpoint ended: whoever waits for memory looks again.
    relieved: Notify,
    /// Memory or log wants a checkpoint now.
    pressed: Arc<Notify>,
    /// The checkpoint task is to end.
    stop: tokio::sync::watch::Sender<bool>,
    space: space::Space,
    config: EmbeddedConfig,
    metrics: StoreMetrics,
    _lock: dfs_log::DiskLock,
}

/// What one attempt in the section did.
enum Attempt<T> {
    Done(Applied<T>),
    /// The redo record is larger than what was reserved.
    NeedsBytes(u64),
}

impl Embedded {
    fn attempt<T>(&self, share: ShareId, op: Op<'_, T>, reservation: Reservation) -> StoreResult<Attempt<T>> {
        let shared = &self.shared;
        let rows = shared.rows.load_full();
        let view = rows.view();
        let mut tx = Tx::new(&view, share, &shared.config.mutations);
        let value = op(&mut tx)?;
        let batch = tx.into_batch()?;
        drop(view);
        let last = shared.last.load(Ordering::Acquire);
        if batch.is_empty() {
            return Ok(Attempt::Done(Applied { value, commit: CommitToken(last) }));
        }
        let redo = batch.encode();
        if redo.len() as u64 > reservation.payload_bytes() {
            return Ok(Attempt::NeedsBytes(redo.len() as u64));
        }
        let commit = shared.commit(&rows, batch, &redo, reservation)?;
        Ok(Attempt::Done(Applied { value, commit }))
    }
}

impl Shared {
    /// Appends the redo record and makes the rows visible. The caller holds the section.
    fn commit(
        &self,
        rows: &Rows,
        batch: Batch,
        redo: &[u8],
        reservation: Reservation,
    ) -> StoreResult<CommitToken> {
        let appended = self.log.append(reservation, REDO, 0, 0, &[redo]).map_err(log_failed)?;
        rows.active.apply(batch, appended.seq.0);
        self.last.store(appended.seq.0, Ordering::Release);
        self.metrics.commits.increment(1);
        self.metrics.redo_bytes.increment(redo.len() as u64);
        let redo = redo.len() as u64;
        let unheld = self.redo_since.fetch_add(redo, Ordering::AcqRel) + redo;
        if rows.active.bytes() >= self.config.memtable_bytes || unheld >= self.config.log_bytes / 4 {
            self.pressed.notify_one();
        }
        Ok(CommitToken(appended.seq.0))
    }

    /// Lets a create in, or makes it wait until a lagging checkpoint has given memory back.
    async fn admit(&self) -> StoreResult<()> {
        if self.space.is_short() {
            self.metrics.no_space.increment(1);
            return Err(FsError::NoSpace.into());
        }
        let mut waited = false;
        loop {
            let relieved = self.relieved.notified();
            tokio::pin!(relieved);
            relieved.as_mut().enable();
            let held = self.memtable_bytes();
            if held < 2 * self.config.memtable_bytes || self.log.check().is_err() {
                return Ok(());
            }
            if !std::mem::replace(&mut waited, true) {
                self.metrics.create_waits.increment(1);
            }
            self.pressed.notify_one();
            relieved.await;
        }
    }

    fn memtable_bytes(&self) -> usize {
        let rows = self.rows.load();
        rows.active.bytes() + rows.frozen.as_ref().map_or(0, |(frozen, _)| frozen.bytes())
    }
}

impl EmbeddedStore {
    /// Figures for status.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let shared = &self.backend.shared;
        StoreStats {
            memtable_bytes: shared.memtable_bytes(),
            log_bytes: shared.log.segments().iter().map(|segment| segment.bytes).sum(),
            checkpoint_age: shared.config.clock.monotonic().since(*shared.checkpoint_at.lock()),
            checkpoints: shared.checkpoints.load(Ordering::Relaxed),
            last_commit: self.backend.last_commit(),
            durable_commit: self.backend.durable_commit(),
        }
    }

    /// Memory in use: changed rows and redb's page cache.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.backend.shared.memtable_bytes() + self.backend.shared.config.cache_bytes
    }
}

#[async_trait]
impl Backend for Embedded {
    type View = Layers;

    fn view(&self) -> StoreResult<Layers> {
        Ok(self.shared.rows.load().view())
    }

    fn mutations(&self) -> &Mutations {
        &self.shared.config.mutations
    }

    async fn write<T: Send>(
        &self,
        share: ShareId,
        space: SpaceClass,
        op: Op<'_, T>,
    ) -> StoreResult<Applied<T>> {
        if space == SpaceClass::Grows {
            self.shared.admit().await?;
        }
        let mut bytes = match space {
            SpaceClass::Large(redo) => redo.min(self.shared.config.segment_bytes / 4).max(TYPICAL_REDO_BYTES),
            SpaceClass::Grows | SpaceClass::Always => TYPICAL_REDO_BYTES,
        };
        loop {
            let reservation = self.shared.log.reserve(bytes).await.map_err(log_failed)?;
            let section = self.shared.section.lock().await;
            let attempt = self.attempt(share, op, reservation);
            drop(section);
            match attempt? {
                Attempt::Done(applied) => return Ok(applied),
                Attempt::NeedsBytes(needed) => bytes = needed + needed / 4,
            }
        }
    }

    async fn durable(&self, commit: CommitToken) -> StoreResult<()> {
        if commit <= self.durable_commit() {
            return Ok(());
        }
        self.shared.log.durable(Seq(commit.0)).await.map_err(log_failed)
    }

    fn last_commit(&self) -> CommitToken {
        CommitToken(self.shared.last.load(Ordering::Acquire))
    }

    fn durable_commit(&self) -> CommitToken {
        let checkpointed = self.shared.checkpointed.load(Ordering::Acquire);
        CommitToken(self.shared.log.durable_seq().0.max(checkpointed))
    }

    fn poisoned(&self) -> Option<String> {
        self.shared.config.poison.get().map(|cause| cause.to_string())
    }

    fn place_bytes_max(&self) -> u64 {
        self.shared.config.segment_bytes / 2
    }

    async fn checkpoint(&self) -> StoreResult<()> {
        Shared::checkpoint(&self.shared).await
    }
}

fn log_failed(error: LogError) -> StoreError {
    match error {
        LogError::Poisoned(cause) => StoreError::Poisoned(cause.to_string()),
        LogError::Closed => StoreError::Poisoned("the store is closed".into()),
        LogError::TooLarge { .. } => StoreError::Refused(FsError::TooLarge),
        LogError::Exhausted => StoreError::Unusable(
            "the name log has used its 2^40 numbers of this opening; restart the server".into(),
        ),
        other => StoreError::Broken(other.to_string()),
    }
}

fn pool_failed(error: PoolError) -> StoreError {
    match error {
        PoolError::Io { .. } => StoreError::Broken(with_source(&error)),
        _ => StoreError::Unusable(error.to_string()),
    }
}

fn recover_failed(error: RecoverError) -> StoreError {
    match error {
        RecoverError::Poisoned(cause) => StoreError::Poisoned(cause.to_string()),
        RecoverError::Io { .. } => StoreError::Broken(with_source(&error)),
        _ => StoreError::Unusable(format!("name log: {error}")),
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A folder for a store.
type Folder = Arc<dyn Disk>;

//! Opening a share: takeover and recovery are the same steps (JOURNAL §7). A crash anywhere starts again at the first.

use crate::cell::Cells;
use crate::engine::{Engine, EngineSettings};
use crate::hub::ChangeHub;
use crate::quota::QuotaBook;
use dfs_cache::BlockCache;
use dfs_cold::{ColdHealth, ColdStore};
use dfs_journal::{Journal, JournalError, JournalOptions, Pressure, RecoveredJournal};
use dfs_locks::{Binding, ClaimTable, NoAncestry, Settings};
use dfs_log::{Mutations, SegmentPool};
use dfs_model::{Clock, Entropy, Epoch, Inode, InodeId, ShareId};
use dfs_policy::Policy;
use dfs_stack::{PlaceObserver, Stack, StackDeps, StackError, StackSettings};
use dfs_store::{ChangeCounter, MetadataStore, Retry, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// What a share stands on.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct EngineDeps {
    pub store: Arc<dyn MetadataStore>,
    pub pool: Arc<SegmentPool>,
    pub pressure: Arc<Pressure>,
    pub cache: Arc<dyn BlockCache>,
    pub cold: Arc<dyn ColdStore>,
    /// Health of the object store as its layers see it.
    pub health: Option<watch::Receiver<ColdHealth>>,
    pub policy: Arc<dyn Policy>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// Longest time until a record is synced.
    pub sync_max: Duration,
    pub stack: StackSettings,
    /// Rules switched off by a test.
    pub mutations: Mutations,
}

/// Why a share cannot be opened. The text says what to do; no data was touched.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The metadata store refused.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The journal is damaged or cannot be read.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The tiers refused.
    #[error("{0}")]
    Stack(#[from] StackError),
    /// The journal is newer than the metadata.
    #[error(
        "the journal of share {share} has records of epoch {journal}, but its metadata is at epoch {metadata}: the metadata is an older copy; restore the metadata that belongs to this journal, or remove the share's journal segments to give up what they hold"
    )]
    OldMetadata {
        /// The share.
        share: ShareId,
        /// Newest epoch in the journal.
        journal: Epoch,
        /// Epoch that the metadata store gave.
        metadata: Epoch,
    },
}

/// How often deadlines of leases and waiting requests are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Inodes read at once during recovery.
const ROWS_AT_ONCE: usize = 1024;

/// Gives placed rows to the cells and to the quotas.
struct RowObserver {
    cells: Arc<Cells>,
    quotas: Option<Arc<QuotaBook>>,
}

impl PlaceObserver for RowObserver {
    fn placed(&self, row: &Arc<Inode>) {
        self.cells.placed(row);
        if let Some(book) = &self.quotas {
            book.placed(row);
        }
    }
}

impl OpenError {
    /// Whether a later try may succeed although nobody changes the data folder.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            OpenError::Store(error) => {
                error.retry() == Retry::Later || matches!(error, StoreError::Broken(_) | StoreError::Raced)
            }
            OpenError::Stack(error) => matches!(error, StackError::Owned { .. } | StackError::Cold(_)),
            OpenError::Journal(_) | OpenError::OldMetadata { .. } => false,
        }
    }
}

impl Engine {
    /// Opens a share: reads its journal from the device, takes the next epoch, cuts what never became durable, rebuilds the
    /// overlay and opens the tiers. Must run on a tokio runtime; background work stops when the engine is dropped or
    /// [`Engine::shutdown`] is called.
    ///
    /// *Errors:* [`OpenError`]; what is damaged, older or owned elsewhere is found before anything is changed, the epoch
    /// included. *Cancel:* safe, start again.
    pub async fn open(
        share: ShareId,
        settings: EngineSettings,
        deps: EngineDeps,
    ) -> Result<Arc<Engine>, OpenError> {
        // Whatever refuses the opening is found before the epoch, the first thing that changes, is raised. The journal is this
        // process' alone (the folder's lock), so what was read before is what is there after.
        let before = deps.store.share(share).await?;
        Stack::may_open(&before, &deps.stack.prefix, deps.cold.as_ref()).await?;
        let recovered = recover(share, before.epoch, &deps).await?;
        let epoch = deps.store.begin_epoch(share).await?;
        let lease = deps.store.lease(share);
        let record = deps.store.share(share).await?;
        let ends = deps.store.write_ends(share, epoch, &recovered.held()).await?;
        let rows = rows_of(&recovered.inodes(), share, deps.store.as_ref()).await?;
        let journal = recovered.start(epoch, &ends, &rows).await?;
        let claims = claim_table(epoch, &settings);
        let cells =
            Arc::new(Cells::new(share, settings.cells, deps.store.clone(), journal.clone(), claims.clone()));
        let quotas = match settings.quotas {
            true => {
                let entries = deps.store.quotas(share).await?;
                Some(Arc::new(QuotaBook::open(entries, rows.values(), &journal)))
            }
            false => None,
        };
        let observer = RowObserver { cells: cells.clone(), quotas: quotas.clone() };
        let stack = open_stack(share, epoch, &deps, &journal, observer).await?;
        let (reaper, jobs) = tokio::sync::mpsc::unbounded_channel();
        let engine = Arc::new(Engine {
            share,
            epoch,
            lease,
            record,
            live: parking_lot::RwLock::new(crate::live::LiveRules::of(&settings)),
            found: crate::found::FoundNames::new(settings.cells),
            settings,
            store: deps.store,
            journal,
            stack,
            claims,
            cells,
            changes: Arc::new(ChangeCounter::new(epoch)),
            clock: deps.clock,
            hub: ChangeHub::default(),
            accessed: Default::default(),
            quotas,
            snapshots: Default::default(),
            bin: Default::default(),
            reaper,
            mutations: deps.mutations,
        });
        tokio::spawn(crate::reaper::run(Arc::downgrade(&engine), jobs));
        tokio::spawn(tick(Arc::downgrade(&engine)));
        tokio::spawn(crate::atime::run(Arc::downgrade(&engine)));
        let orphans = engine.reap_left_behind().await?;
        if let Err(error) = engine.open_bin().await {
            tracing::warn!(%share, %error, "removed files are not kept: /.recycle cannot be used as the recycle bin");
        }
        tokio::spawn(crate::recycle::run(Arc::downgrade(&engine)));
        tokio::spawn(crate::snapshots::run(Arc::downgrade(&engine)));
        tracing::info!(%share, %epoch, inodes_dirty = rows.len(), orphans, class = engine.settings.class.as_str(), "share opened");
        Ok(engine)
    }

    /// Syncs what was acknowledged and stops the background work. Dirty data stays in the journal.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), OpenError> {
        self.record_accesses().await;
        self.record_quotas().await;
        self.journal.durable(self.journal.last_issued()).await?;
        self.store.durable(self.store.last_commit()).await?;
        self.stack.shutdown(deadline).await;
        Ok(())
    }
}

async fn recover(share: ShareId, epoch: Epoch, deps: &EngineDeps) -> Result<RecoveredJournal, OpenError> {
    let mut options = JournalOptions::new(deps.clock.clone());
    options.sync_max = deps.sync_max;
    options.mutations = deps.mutations.clone();
    let recovered = Journal::recover(deps.pool.clone(), share, options, deps.pressure.clone()).await?;
    match recovered.newest_epoch() {
        Some(journal) if journal > epoch => Err(OpenError::OldMetadata { share, journal, metadata: epoch }),
        _ => Ok(recovered),
    }
}

/// Rows of the inodes that have records, read after the epoch was taken (JOURNAL §7.5).
async fn rows_of(
    inodes: &[InodeId],
    share: ShareId,
    store: &dyn MetadataStore,
) -> Result<HashMap<InodeId, Arc<Inode>>, StoreError> {
    let mut rows = HashMap::with_capacity(inodes.len());
    for some in inodes.chunks(ROWS_AT_ONCE) {
        let found = store.inodes(share, some).await?;
        rows.extend(found.into_iter().flatten().map(|row| (row.id, row)));
    }
    Ok(rows)
}

fn claim_table(epoch: Epoch, settings: &EngineSettings) -> ClaimTable {
    let binding = if settings.smb_state_binds_nfs { Binding::Enforce } else { Binding::Advise };
    let first_id = (u64::from(epoch.0) << 40) | 1;
    ClaimTable::new(Settings { binding, first_id, ..Settings::default() }, Arc::new(NoAncestry))
}

async fn open_stack(
    share: ShareId,
    epoch: Epoch,
    deps: &EngineDeps,
    journal: &Arc<Journal>,
    observer: RowObserver,
) -> Result<Arc<Stack>, StackError> {
    let parts = StackDeps {
        store: deps.store.clone(),
        journal: journal.clone(),
        cache: deps.cache.clone(),
        cold: deps.cold.clone(),
        health: deps.health.clone(),
        policy: deps.policy.clone(),
        pressure: deps.pressure.clone(),
        observer: Some(Arc::new(observer)),
        clock: deps.clock.clone(),
        entropy: deps.entropy.clone(),
        mutations: deps.mutations.clone(),
    };
    Stack::open(share, epoch, deps.stack.clone(), parts).await
}

/// Drives the deadlines of the claim table.
async fn tick(engine: Weak<Engine>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(engine) = engine.upgrade() else { return };
        engine.claims.tick(engine.clock.monotonic());
        engine.note_unplaced();
        engine.record_quotas().await;
    }
}

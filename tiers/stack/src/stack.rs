//! The stack of one share: what it holds, how it opens and ends, and the calls that the engine makes.

use crate::ahead::Streams;
use crate::error::{StackError, StackReadError};
use crate::fetch::Fetcher;
use crate::flush::{FlushScope, Flusher};
use crate::gc::{Collector, GcReport};
use crate::maps::FileMaps;
use crate::owner::Owner;
use crate::read::{Read, StreamKey};
use crate::status::TierStatus;
use bytes::Bytes;
use dfs_cache::BlockCache;
use dfs_cold::{ColdState, ColdStore, KeySpace};
use dfs_journal::{Journal, Pressure, ReadPlan};
use dfs_log::mutation::Mutations;
use dfs_model::extent::Compression;
use dfs_model::{Activity, ClientRef, Clock, Entropy, Epoch, Inode, InodeId, Monotonic, ShareId, Timestamp};
use dfs_policy::Policy;
use dfs_store::MetadataStore;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Learns of every row that a place moved forward, after the transaction and before the journal drops the records.
pub trait PlaceObserver: Send + Sync + 'static {
    /// The row as the place left it. Must not block.
    fn placed(&self, row: &Arc<Inode>);
}

/// Settings of one share's stack. [`StackSettings::default`] has the documented defaults.
#[derive(Clone, Debug)]
pub struct StackSettings {
    /// Block size in bytes, as in the share's record.
    pub block_size: u32,
    /// Compression of new blocks.
    pub compression: Compression,
    /// Bytes of a pack (`pack.size`).
    pub pack_size: u64,
    /// Age at which a record is flushed by itself (`flush.after`).
    pub flush_after: Duration,
    /// Most packs uploaded at once.
    pub uploads_max: usize,
    /// Most cuts of one inode on their way at once.
    pub cuts_per_inode: usize,
    /// Bytes of packs held in memory at most, in building and in upload together.
    pub pack_memory: u64,
    /// Bytes fetched ahead of readers and not yet read, at most.
    pub read_ahead_memory: u64,
    /// Most bytes of one GET.
    pub get_max: u64,
    /// Bytes of file maps cached.
    pub map_memory: u64,
    /// Blocks remembered by where the journal's placed segments still hold them; 0: none.
    pub probation_blocks: usize,
    /// How long a dead pack, and an object without a row, is left alone (`pack.delete_after`).
    pub pack_delete_after: Duration,
    /// How long the owner object must have been ours, undisputed, before anything is deleted.
    pub owner_settle: Duration,
    /// How often the owner object is looked at.
    pub owner_check: Duration,
    /// How often dead packs are buried and deleted.
    pub gc_every: Duration,
    /// How often the bucket is listed for strays.
    pub sweep_every: Duration,
    /// First part of every key; empty for none.
    pub prefix: String,
    /// Name of this machine, for the owner object.
    pub host: String,
    /// Whether background tasks flush and clean by themselves. Off: only [`Stack::flush`] and [`Stack::gc_once`] do.
    pub background: bool,
}

impl Default for StackSettings {
    fn default() -> Self {
        StackSettings {
            block_size: 256 << 10,
            compression: Compression::Lz4,
            pack_size: 16 << 20,
            flush_after: Duration::from_secs(30),
            uploads_max: 16,
            cuts_per_inode: 4,
            pack_memory: 160 << 20,
            read_ahead_memory: 96 << 20,
            get_max: 4 << 20,
            map_memory: 32 << 20,
            // A few segments full of small files.
            probation_blocks: 32 * 1024,
            pack_delete_after: Duration::from_secs(24 * 3600),
            owner_settle: Duration::from_secs(600),
            owner_check: Duration::from_secs(60),
            gc_every: Duration::from_secs(60),
            sweep_every: Duration::from_secs(6 * 3600),
            prefix: String::new(),
            host: String::from("unknown"),
            background: true,
        }
    }
}

/// What a stack stands on.
pub struct StackDeps {
    /// Metadata.
    pub store: Arc<dyn MetadataStore>,
    /// The share's journal, started in the same epoch.
    pub journal: Arc<Journal>,
    /// Hot and warm.
    pub cache: Arc<dyn BlockCache>,
    /// The object store, under its layers.
    pub cold: Arc<dyn ColdStore>,
    /// Health of the object store as its layers see it, where they are used.
    pub health: Option<watch::Receiver<dfs_cold::ColdHealth>>,
    /// Decisions.
    pub policy: Arc<dyn Policy>,
    /// Back-pressure of the data folder; told of permanent cold errors.
    pub pressure: Arc<Pressure>,
    /// Learns of places.
    pub observer: Option<Arc<dyn PlaceObserver>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness: pack ids.
    pub entropy: Arc<dyn Entropy>,
    /// Rules switched off by a test.
    pub mutations: Mutations,
}

/// What every part of the stack shares.
pub(crate) struct Shared {
    pub share: ShareId,
    pub epoch: Epoch,
    pub settings: StackSettings,
    pub store: Arc<dyn MetadataStore>,
    pub journal: Arc<Journal>,
    pub cold: Arc<dyn ColdStore>,
    pub policy: Arc<dyn Policy>,
    pub pressure: Arc<Pressure>,
    pub observer: Option<Arc<dyn PlaceObserver>>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub mutations: Mutations,
    pub last_error: Mutex<Option<String>>,
    /// Turns true when the stack shuts down.
    pub stop: watch::Sender<bool>,
}

impl Shared {
    fn of(
        share: ShareId,
        epoch: Epoch,
        settings: StackSettings,
        deps: StackDeps,
    ) -> (Arc<Shared>, Arc<dyn BlockCache>) {
        let shared = Shared {
            share,
            epoch,
            settings,
            store: deps.store,
            journal: deps.journal,
            cold: deps.cold,
            policy: deps.policy,
            pressure: deps.pressure,
            observer: deps.observer,
            clock: deps.clock,
            entropy: deps.entropy,
            mutations: deps.mutations,
            last_error: Mutex::new(None),
            stop: watch::Sender::new(false),
        };
        (Arc::new(shared), deps.cache)
    }

    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Ends when the stack shuts down. *Cancel:* safe.
    pub async fn stopping(&self) {
        let mut stop = self.stop.subscribe();
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Keeps an error for the status.
    pub fn note_error(&self, error: &str) {
        *self.last_error.lock() = Some(error.to_owned());
    }

    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }
}

/// The tiers of one share, open.
pub struct Stack {
    pub(crate) shared: Arc<Shared>,
    pub(crate) maps: Arc<FileMaps>,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) streams: Streams,
    flusher: Arc<Flusher>,
    collector: Arc<Collector>,
    owner: Arc<Owner>,
    health: Option<watch::Receiver<dfs_cold::ColdHealth>>,
    tasks: Mutex<Vec<(&'static str, JoinHandle<()>)>>,
}

impl Stack {
    /// Whether [`Stack::open`] may be tried in a newer epoch than the share's: nobody else has opened it since. Changes
    /// nothing. *Errors:* [`StackError::Owned`], [`StackError::Prefix`].
    pub async fn may_open(
        share: &dfs_store::ShareRecord,
        prefix: &str,
        cold: &dyn ColdStore,
    ) -> Result<(), StackError> {
        let keys = KeySpace::new(prefix)?;
        crate::owner::look(cold, &keys, share.share, share.incarnation, share.epoch).await
    }

    /// Opens the tiers of a share in the epoch that was just taken, takes the owner object and starts the background tasks.
    ///
    /// *Guarantees:* nothing is deleted from the bucket before the owner object is ours. An object store that cannot be
    /// reached does not keep the share closed: the owner object is taken as soon as it answers.
    /// *Errors:* [`StackError::Owned`] when the owner object names a newer opening; [`StackError::Store`] when the share is
    /// not in the metadata store. *Cancel:* leaves at most the owner object taken.
    pub async fn open(
        share: ShareId,
        epoch: Epoch,
        settings: StackSettings,
        deps: StackDeps,
    ) -> Result<Arc<Stack>, StackError> {
        let record = deps.store.share(share).await?;
        let incarnation = record.incarnation;
        let health = deps.health.clone();
        let keys = KeySpace::new(&settings.prefix)?;
        let (shared, cache) = Shared::of(share, epoch, settings, deps);
        let owner = Arc::new(Owner::new(shared.clone(), keys.clone(), incarnation));
        owner.take_at_open().await?;
        let maps = Arc::new(FileMaps::new(shared.clone()));
        let fetcher = Arc::new(Fetcher::new(shared.clone(), cache, keys.clone()));
        let flusher = Arc::new(Flusher::new(shared.clone(), maps.clone(), fetcher.clone()));
        let collector = Arc::new(Collector::new(shared.clone(), keys, owner.clone(), flusher.uploads()));
        let stack = Arc::new(Stack {
            streams: Streams::new(),
            shared,
            maps,
            fetcher,
            flusher,
            collector,
            owner,
            health,
            tasks: Mutex::new(Vec::new()),
        });
        stack.start_tasks();
        Ok(stack)
    }

    /// Reads exactly `len` bytes of one state of a file; holes are zeros. `plan` is the journal's for the same range, taken
    /// with the size that bounds `len`; `client` tells readers apart for the read-ahead.
    ///
    /// *Guarantees:* whole writes are seen or not seen; every byte that came up from warm or cold was verified.
    /// *Errors:* [`StackReadError`]; `Moved` asks for a new plan. *Cancel:* safe; a fetch under way goes on for others.
    pub async fn read(
        &self,
        inode: InodeId,
        plan: Option<ReadPlan>,
        offset: u64,
        len: u64,
        activity: &Activity,
        client: &ClientRef,
        deadline: Option<Monotonic>,
    ) -> Result<Vec<Bytes>, StackReadError> {
        let stream = StreamKey::of(client);
        self.read_range(Read { inode, plan: plan.as_ref(), offset, len, activity, stream, deadline }).await
    }

    /// Flushes what is dirty at the call and waits until it is placed and durable.
    ///
    /// *Errors:* [`StackError::Held`] when only files with damaged bytes are left; [`StackError::Stopped`] when the flusher ended. Trouble with the object store is not an error: the call
    /// waits until it is over. *Cancel:* safe; the flush goes on.
    pub async fn flush(&self, scope: FlushScope) -> Result<(), StackError> {
        self.flusher.flush(scope).await
    }

    /// Drops what is cached about an inode that was removed, cloned over or reverted.
    pub fn note_removed(&self, inode: InodeId) {
        self.maps.forget(inode);
        self.streams.forget(inode);
        self.flusher.let_go(inode);
    }

    /// One round of the cleaner: buries packs without references, deletes dead ones, and with `sweep` lists the bucket for
    /// strays. What the background task does, callable by tests and by the administrator.
    pub async fn gc_once(&self, now: Timestamp, sweep: bool) -> Result<GcReport, StackError> {
        self.collector.run(now, sweep).await
    }

    /// Looks at the owner object now, as the background task does.
    pub async fn check_owner(&self) -> Result<(), StackError> {
        self.owner.check().await
    }

    /// The state of the tiers.
    #[must_use]
    pub fn status(&self) -> TierStatus {
        self.flusher.status(|status| {
            status.owner = self.owner.state();
            status.packs = self.collector.counts();
            status.cache = self.fetcher.cache_stats();
            self.add_health(status);
        })
    }

    /// Stops the background tasks: each ends its step, what is dirty stays in the journal. Tasks that are late at the
    /// deadline are ended and named in the log.
    pub async fn shutdown(&self, deadline: Duration) {
        self.shared.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        let late = async {
            for (name, mut task) in tasks {
                if tokio::time::timeout(deadline, &mut task).await.is_err() {
                    tracing::warn!(task = name, share = %self.shared.share, "was late at shutdown and was ended");
                    task.abort();
                }
            }
        };
        late.await;
        self.flusher.stopped("shut down");
    }

    /// Ends every task where it stands, as a crash does; for simulations.
    pub fn kill(&self) {
        self.shared.stop.send_replace(true);
        for (_, task) in std::mem::take(&mut *self.tasks.lock()) {
            task.abort();
        }
    }

    fn start_tasks(&self) {
        let mut tasks = self.tasks.lock();
        tasks.push(("flusher", tokio::spawn(self.flusher.clone().run())));
        if self.shared.settings.background {
            tasks.push(("cleaner", tokio::spawn(self.collector.clone().keep_clean())));
        }
    }

    fn add_health(&self, status: &mut TierStatus) {
        let Some(health) = &self.health else { return };
        let health = health.borrow();
        let now = self.shared.clock.wall();
        let since =
            |at: Timestamp| Duration::from_secs(u64::try_from(now.secs.saturating_sub(at.secs)).unwrap_or(0));
        match &health.state {
            ColdState::Up => {}
            ColdState::Down { since: at } => status.cold_down_for = Some(since(*at)),
            ColdState::Permanent { since: at, cause, .. } => {
                status.cold_down_for = Some(since(*at));
                let why = health
                    .last_error
                    .as_ref()
                    .map_or_else(|| cause.advice().to_owned(), |(_, text)| text.clone());
                status.cold_permanent.get_or_insert(why);
            }
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.kill();
    }
}

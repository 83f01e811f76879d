//! Uploads: the window of packs under way, their memory, and one pack's way to a confirmed PUT.
//!
//! ```text
//!  sealed under a new id ─ row `up` ─ PUT ─┬─ stored: done
//!                                          └─ failed, unknown, exists: id abandoned, wait, sealed under a new id
//! ```
//! Invariants: the row exists before the object; an id is used for one content; only a confirmed PUT counts. A crash or a
//! cancel leaves a row `up` and perhaps an object: the cleaner buries and deletes both.

use super::draft::Draft;
use crate::metrics::StackMetrics;
use crate::stack::Shared;
use dfs_cold::{CauseScope, ColdError, ColdErrorKind, KeySpace, PutOutcome};
use dfs_log::mutation::Rule;
use dfs_model::{ExtentRun, PackId};
use dfs_policy::{UploadFacts, UploadOutcome};
use dfs_store::StoreError;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Unit of the memory permits: keeps their number within 32 bits.
const MEMORY_UNIT: u64 = 4096;
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// Why a pack will not be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop(pub String);

/// A pack that is in the object store, with its extents: (index of the cut in the batch, run).
pub(crate) struct Uploaded {
    pub pack: PackId,
    pub runs: Vec<(usize, ExtentRun)>,
}

struct Window {
    width: f64,
    in_flight: usize,
    best: Duration,
}

/// See the module.
pub(crate) struct Uploads {
    shared: Arc<Shared>,
    keys: KeySpace,
    pub metrics: StackMetrics,
    window: Mutex<Window>,
    freed: Notify,
    /// Told when an upload is stored: who waits after a failure may try at once.
    healed: Notify,
    memory: Arc<Semaphore>,
    memory_units: u32,
    abandoned: Mutex<BTreeSet<PackId>>,
    /// The cause that back-pressure was told.
    permanent: Mutex<Option<String>>,
    counter: AtomicU64,
    pub packs: AtomicU64,
    pub bytes: AtomicU64,
    pub failed: AtomicU64,
    pub rewritten: AtomicU64,
}

impl Uploads {
    pub fn new(shared: Arc<Shared>, keys: KeySpace) -> Uploads {
        let most = shared.settings.pack_memory.max(shared.settings.pack_size) / MEMORY_UNIT;
        let memory_units = u32::try_from(most).unwrap_or(u32::MAX);
        let zero = || AtomicU64::new(0);
        Uploads {
            shared,
            keys,
            metrics: StackMetrics::new(),
            window: Mutex::new(Window { width: 2.0, in_flight: 0, best: Duration::MAX }),
            freed: Notify::new(),
            healed: Notify::new(),
            memory: Arc::new(Semaphore::new(memory_units as usize)),
            memory_units,
            abandoned: Mutex::new(BTreeSet::new()),
            permanent: Mutex::new(None),
            counter: zero(),
            packs: zero(),
            bytes: zero(),
            failed: zero(),
            rewritten: zero(),
        }
    }

    /// Ids whose upload failed: rows `up` that nobody will place.
    pub fn abandoned(&self) -> BTreeSet<PackId> {
        self.abandoned.lock().clone()
    }

    /// Forgets ids that the cleaner buried.
    pub fn buried(&self, packs: &[PackId]) {
        let mut abandoned = self.abandoned.lock();
        packs.iter().for_each(|pack| {
            abandoned.remove(pack);
        });
    }

    pub fn abandon(&self, pack: PackId) {
        self.abandoned.lock().insert(pack);
    }

    /// (under way, window, bytes of memory in use, cause told to back-pressure)
    pub fn figures(&self) -> (usize, usize, u64, Option<String>) {
        let window = self.window.lock();
        let free = self.memory.available_permits() as u64;
        let used = u64::from(self.memory_units).saturating_sub(free) * MEMORY_UNIT;
        (window.in_flight, window.width as usize, used, self.permanent.lock().clone())
    }

    /// Waits for the memory of one pack. *Cancel:* safe.
    pub async fn memory(&self) -> Result<OwnedSemaphorePermit, Stop> {
        let units =
            (self.shared.settings.pack_size / MEMORY_UNIT).clamp(1, u64::from(self.memory_units)) as u32;
        let stopped = || Stop(String::from("shut down"));
        tokio::select! {
            biased;
            () = self.shared.stopping() => Err(stopped()),
            permit = self.memory.clone().acquire_many_owned(units) => permit.map_err(|_| stopped()),
        }
    }

    /// Uploads a draft under as many ids as it takes. *Errors:* [`Stop`] at shutdown, when fenced or when the metadata store
    /// stopped. *Cancel:* the id in use is in doubt and swept later.
    pub async fn upload(&self, draft: &Draft) -> Result<Uploaded, Stop> {
        let mut wait = BACKOFF_FIRST;
        loop {
            let slot = self.slot().await?;
            let pack = self.new_id().await?;
            let sealed = draft.seal(&self.shared, pack).map_err(|error| Stop(error.to_string()))?;
            let len = sealed.body.len();
            let row_first = !self.shared.mutations.off(Rule::RowBeforeObject);
            if row_first {
                self.begin(pack, len).await?;
            }
            let started = self.shared.clock.monotonic();
            let put =
                self.shared.cold.put_if_absent(&self.keys.pack(self.shared.share, pack), sealed.body).await;
            let took = self.shared.clock.monotonic().since(started);
            drop(slot);
            let stored = self.note(&put, took, len);
            if !row_first {
                self.begin(pack, len).await?;
            }
            if stored {
                return Ok(Uploaded { pack, runs: sealed.runs });
            }
            self.abandon(pack);
            let asked = match &put {
                Err(ColdError { kind: ColdErrorKind::Throttled { after: Some(after) }, .. }) => *after,
                _ => Duration::ZERO,
            };
            if asked.is_zero() {
                tokio::select! {
                    biased;
                    () = self.healed.notified() => {}
                    paused = self.pause(wait) => paused?,
                }
            } else {
                self.pause(wait.max(asked)).await?;
            }
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }

    async fn begin(&self, pack: PackId, len: u64) -> Result<(), Stop> {
        let (share, epoch) = (self.shared.share, self.shared.epoch);
        loop {
            let begun = self.shared.store.pack_begin(share, epoch, pack, len, self.shared.clock.wall()).await;
            let Err(error) = begun else { return Ok(()) };
            self.shared.note_error(&error.to_string());
            match error {
                StoreError::Broken(_) | StoreError::Raced | StoreError::Unavailable(_) => {
                    self.pause(BACKOFF_MAX / 8).await?
                }
                other => return Err(Stop(other.to_string())),
            }
        }
    }

    /// An id that no pack ever had. The mutant takes the next after those that the metadata store shows.
    async fn new_id(&self) -> Result<PackId, Stop> {
        if !self.shared.mutations.off(Rule::PackIdUnique) {
            return Ok(PackId(self.shared.entropy.random_u128()));
        }
        let rows = self.shared.store.packs(self.shared.share, None, usize::MAX).await;
        let rows = rows.map_err(|error| Stop(error.to_string()))?;
        let newest = rows.last().map_or(0, |row| u64::try_from(row.pack.0).unwrap_or(0));
        self.counter.fetch_max(newest, Ordering::Relaxed);
        Ok(PackId(u128::from(self.counter.fetch_add(1, Ordering::Relaxed) + 1)))
    }

    /// Takes the outcome into window, figures and health. Answers whether the pack counts as stored.
    fn note(&self, put: &Result<PutOutcome, ColdError>, took: Duration, len: u64) -> bool {
        let trusting = self.shared.mutations.off(Rule::ConfirmedPutOnly);
        let careless = self.shared.mutations.off(Rule::PackIdUnique);
        let outcome = match put {
            Ok(PutOutcome::Stored) => UploadOutcome::Stored(took),
            Err(ColdError { kind: ColdErrorKind::Throttled { .. }, .. }) => UploadOutcome::Throttled,
            Ok(PutOutcome::Exists) | Err(_) => UploadOutcome::Failed,
        };
        self.widen(outcome);
        match put {
            Ok(PutOutcome::Stored) => {
                self.metrics.uploads_stored.increment(1);
                self.metrics.uploaded_bytes.increment(len);
                self.metrics.upload_seconds.record(took.as_secs_f64());
                self.packs.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(len, Ordering::Relaxed);
                self.lift_permanent();
                self.healed.notify_waiters();
                return true;
            }
            Ok(PutOutcome::Exists) => self.metrics.uploads_exists.increment(1),
            Err(error) => {
                let throttled = outcome == UploadOutcome::Throttled;
                let metric =
                    if throttled { &self.metrics.uploads_throttled } else { &self.metrics.uploads_failed };
                metric.increment(1);
                self.shared.note_error(&error.to_string());
                if error.cause().is_some_and(|cause| cause.scope() != CauseScope::Request) {
                    self.set_permanent(error);
                }
            }
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        (put.is_err() && trusting) || (put.is_ok() && careless)
    }

    fn set_permanent(&self, error: &ColdError) {
        let cause = error.to_string();
        let mut known = self.permanent.lock();
        if known.is_none() {
            tracing::error!(share = %self.shared.share, %error, "uploads are refused until this is put right; writes stop when the log is 90 % full");
        }
        self.shared.pressure.set_permanent(self.shared.share, Some(cause.clone()));
        *known = Some(cause);
    }

    fn lift_permanent(&self) {
        if self.permanent.lock().take().is_some() {
            tracing::info!(share = %self.shared.share, "uploads work again");
            self.shared.pressure.set_permanent(self.shared.share, None);
        }
    }

    fn widen(&self, outcome: UploadOutcome) {
        let mut window = self.window.lock();
        if let UploadOutcome::Stored(took) = outcome {
            // The best ages a little with every upload, so that a slower path is accepted in time.
            window.best = window.best.saturating_mul(101).checked_div(100).unwrap_or(took).min(took);
        }
        let facts = UploadFacts {
            window: window.width,
            window_max: self.shared.settings.uploads_max,
            best: window.best,
            outcome,
        };
        window.width = self.shared.policy.uploads(&facts).value;
        self.metrics.upload_window.set(window.width);
    }

    async fn slot(&self) -> Result<Slot<'_>, Stop> {
        loop {
            {
                let mut window = self.window.lock();
                if window.in_flight < (window.width as usize).max(1) {
                    window.in_flight += 1;
                    self.metrics.uploads_in_flight.set(window.in_flight as f64);
                    return Ok(Slot { uploads: self });
                }
            }
            tokio::select! {
                biased;
                () = self.shared.stopping() => return Err(Stop(String::from("shut down"))),
                () = self.freed.notified() => {}
            }
        }
    }

    /// Waits before another try, with up to a quarter of jitter.
    pub async fn pause(&self, wait: Duration) -> Result<(), Stop> {
        let jitter = (self.shared.entropy.random_u128() % 256) as u32;
        let wait = wait + wait * jitter / 1024;
        tokio::select! {
            biased;
            () = self.shared.stopping() => Err(Stop(String::from("shut down"))),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}

/// A place in the upload window; given back on drop.
struct Slot<'a> {
    uploads: &'a Uploads,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut window = self.uploads.window.lock();
        window.in_flight -= 1;
        self.uploads.metrics.uploads_in_flight.set(window.in_flight as f64);
        let room = (window.width as usize).max(1).saturating_sub(window.in_flight);
        drop(window);
        (0..room.max(1)).for_each(|_| self.uploads.freed.notify_one());
    }
}

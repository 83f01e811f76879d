//! Blocks for readers: hot, then the fetch that is already under way, then the journal's placed segments, then warm, then
//! cold; one fetch per block.
//!
//! ```text
//!  obtain ─ hot? ─ in flight? ─┬─ join
//!                              └─ new flight ─ task: probation → warm → (bad or absent) → GETs of neighbouring blocks → verify, decode
//! ```
//! A flight that was started ahead of a reader stays after it ended, until a reader took all of it or the read-ahead memory
//! is wanted by others: so read-ahead does not depend on what the cache remembers.
//!
//! Invariants: every block from warm or cold is verified; a flight ends with bytes or a reason, even when its task is ended.
//! A cancelled reader leaves its flights to others; a crash leaves nothing.

mod ahead;
mod flight;
mod group;
mod probation;

pub(crate) use flight::{FetchError, Slot};
pub(crate) use probation::{Origin, Probation, RECORDS_MAX};

use crate::metrics::StackMetrics;
use crate::stack::Shared;
use crate::status::BlocksServed;
use ahead::Staged;
use bytes::Bytes;
use dfs_cache::{Admission, BlockCache, CacheStats};
use dfs_cold::KeySpace;
use dfs_model::extent::BlockPiece;
use dfs_model::{Activity, BlockId};
use dfs_policy::{AdmitFacts, BlockSource};
use flight::{Flight, Flights};
use group::Job;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// See the module.
pub(crate) struct Fetcher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cache: Arc<dyn BlockCache>,
    pub(crate) keys: KeySpace,
    flights: Mutex<Flights>,
    pub(crate) metrics: StackMetrics,
    pub(crate) served: Served,
    pub(crate) probation: Probation,
}

/// Where this share's blocks came from since the start.
#[derive(Default)]
pub(crate) struct Served {
    pub hot: AtomicU64,
    pub warm: AtomicU64,
    pub cold: AtomicU64,
    /// Bytes of GETs.
    pub fetched: AtomicU64,
}

impl Served {
    /// The figures of the moment.
    pub fn figures(&self) -> BlocksServed {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        BlocksServed { hot: read(&self.hot), warm: read(&self.warm), cold: read(&self.cold) }
    }
}

impl Fetcher {
    pub fn new(shared: Arc<Shared>, cache: Arc<dyn BlockCache>, keys: KeySpace) -> Fetcher {
        let staged = Staged::new(shared.settings.read_ahead_memory);
        let flights = Mutex::new(Flights { open: HashMap::new(), staged });
        let probation = Probation::new(shared.settings.probation_blocks);
        Fetcher {
            shared,
            cache,
            keys,
            flights,
            metrics: StackMetrics::new(),
            served: Served::default(),
            probation,
        }
    }

    /// Figures of the cache.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// Blocks for a reader that waits, in the order of the pieces. Starts what is not there and not under way.
    pub fn obtain(self: &Arc<Self>, pieces: &[BlockPiece], activity: &Activity) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(pieces.len());
        let mut jobs = Vec::new();
        for piece in pieces {
            if let Some(bytes) = self.cache.hot(piece.id) {
                self.served.hot.fetch_add(1, Ordering::Relaxed);
                slots.push(Slot::Ready(bytes));
                continue;
            }
            let mut flights = self.flights.lock();
            if let Some(flight) = flights.open.get(&piece.id) {
                slots.push(Slot::Waiting(flight.result.clone()));
                continue;
            }
            let (flight, end) = Flight::new(false);
            slots.push(Slot::Waiting(flight.result.clone()));
            flights.open.insert(piece.id, flight);
            drop(flights);
            jobs.push(Job { piece: *piece, end });
        }
        self.start(jobs, activity, BlockSource::Cold);
        slots
    }

    /// Starts fetching blocks ahead of a reader, as far as the read-ahead memory goes. Returns how many it started or found.
    pub fn ahead(self: &Arc<Self>, pieces: &[BlockPiece], activity: &Activity) -> usize {
        let mut jobs = Vec::new();
        let mut taken = 0;
        for piece in pieces {
            if self.cache.has_hot(piece.id) {
                taken += 1;
                continue;
            }
            let mut flights = self.flights.lock();
            if flights.open.contains_key(&piece.id) {
                taken += 1;
                continue;
            }
            // On its way a block takes memory twice: as it comes, and decoded.
            let under_way = u64::from(piece.block.stored_len) + u64::from(piece.block.decoded_len);
            if !flights.make_room(under_way) {
                break;
            }
            let (flight, end) = Flight::new(true);
            flights.open.insert(piece.id, flight);
            flights.staged.add(piece.id, under_way);
            drop(flights);
            taken += 1;
            jobs.push(Job { piece: *piece, end });
        }
        self.metrics
            .ahead_bytes
            .increment(jobs.iter().map(|job| u64::from(job.piece.block.stored_len)).sum());
        self.start(jobs, activity, BlockSource::Ahead);
        taken
    }

    /// Free and whole read-ahead memory.
    pub fn ahead_memory(&self) -> (u64, u64) {
        let flights = self.flights.lock();
        (flights.staged.free(), flights.staged.size())
    }

    /// A reader took a block to its end: what was held for it can go.
    pub fn taken(&self, block: BlockId) {
        let mut flights = self.flights.lock();
        if flights.open.get(&block).is_some_and(|flight| flight.ahead && flight.is_over()) {
            flights.open.remove(&block);
            flights.staged.remove(block);
        }
    }

    fn start(self: &Arc<Self>, jobs: Vec<Job>, activity: &Activity, source: BlockSource) {
        if !jobs.is_empty() {
            tokio::spawn(group::run(self.clone(), jobs, *activity, source));
        }
    }

    /// What policy says of a block from this source.
    pub(crate) fn admission(&self, activity: &Activity, source: BlockSource) -> Admission {
        let facts = AdmitFacts { activity: *activity, source, has_warm: self.cache.has_warm() };
        self.shared.policy.admit(&facts).value
    }

    /// Ends a flight. Good bytes were offered to the cache before, so that a later reader finds one or the other.
    pub(crate) fn end(&self, job: Job, result: Result<Bytes, FetchError>) {
        let failed = result.is_err();
        job.end.send_replace(Some(result));
        let mut flights = self.flights.lock();
        let keep = !failed && flights.open.get(&job.piece.id).is_some_and(|flight| flight.ahead);
        if keep {
            flights.staged.shrink(job.piece.id, u64::from(job.piece.block.decoded_len));
        } else {
            flights.open.remove(&job.piece.id);
            flights.staged.remove(job.piece.id);
        }
    }
}

//! Time that follows tokio's paused clock, and randomness from a seed.

use dfs_model::{Clock, Entropy, Monotonic, Timestamp};
use parking_lot::Mutex;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;
use tokio::time::Instant;

/// Wall time starts in 2026 and moves with tokio's clock; a restarted machine goes on where the last one stopped.
pub struct SimClock {
    start: Instant,
    offset: Duration,
}

/// 2026-01-01.
const EPOCH_SECS: i64 = 1_767_225_600;

impl SimClock {
    /// A clock that shows `offset` after the start of 2026 now. Must be made inside the runtime.
    #[allow(clippy::disallowed_methods, reason = "the simulation's clock is tokio's paused one")]
    pub fn at(offset: Duration) -> SimClock {
        SimClock { start: Instant::now(), offset }
    }

    #[allow(clippy::disallowed_methods, reason = "the simulation's clock is tokio's paused one")]
    pub fn elapsed(&self) -> Duration {
        self.offset + Instant::now().duration_since(self.start)
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Timestamp {
        Timestamp::new(EPOCH_SECS, 0).plus(self.elapsed())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.elapsed().as_nanos() as u64)
    }
}

/// Seeded randomness.
pub struct SimEntropy(Mutex<ChaCha8Rng>);

impl SimEntropy {
    pub fn new(seed: u64) -> SimEntropy {
        SimEntropy(Mutex::new(ChaCha8Rng::seed_from_u64(seed)))
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill_bytes(bytes);
    }
}

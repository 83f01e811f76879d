//! A clock that tests turn by hand.

use dfs_model::{Clock, Monotonic, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Hand(AtomicU64);

impl Hand {
    pub fn turn(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn wall(&self) -> Timestamp {
        Timestamp { secs: (self.0.load(Ordering::Relaxed) / 1_000_000_000) as i64, ..Timestamp::EPOCH }
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.load(Ordering::Relaxed))
    }
}

//! The real doors to time and randomness.
#![allow(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]

use dfs_model::{Clock, Entropy, Monotonic, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's clocks: wall time and boot time (which counts suspend).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp::new(since.as_secs() as i64, since.subsec_nanos()),
            Err(_) => Timestamp::EPOCH,
        }
    }

    fn monotonic(&self) -> Monotonic {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Monotonic((now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64))
    }
}

/// The kernel's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the kernel gives random bytes once it has booted");
    }
}

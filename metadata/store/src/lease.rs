//! A share's lease as its owner holds it: one word that everybody looks at who answers a client (JOURNAL F2).
//!
//! ```text
//!   valid ──the time passes──▶ lapsed ──renewed in the same epoch──▶ valid
//!     └──another epoch────────────┴───────────────────────────────▶ lost, for ever
//! ```
//! *Invariant:* a renewal proves that nobody took the share meanwhile, so what was found out while the lease was valid may
//! still be told after it was renewed; after a loss nothing may. *A crash* ends it with its process.

use dfs_model::{Clock, Monotonic};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a lease says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Replies may leave.
    Valid,
    /// No reply may leave unless it is renewed.
    Lapsed,
    /// Another opening of the share owns it: no reply may leave any more.
    Lost,
}

/// The word of a lost lease, and of one that never ends.
const LOST: u64 = 0;
const ENDLESS: u64 = u64::MAX;

/// A lease of one opening of a share. Looking at it costs a load and, where it can end, a look at the clock.
pub struct Lease {
    until: AtomicU64,
    clock: Option<Arc<dyn Clock>>,
    unplaced_bytes: AtomicU64,
    unplaced_files: AtomicU64,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Lease {
    fn of(until: u64, clock: Option<Arc<dyn Clock>>) -> Arc<Lease> {
        let zero = || AtomicU64::new(0);
        Arc::new(Lease {
            until: AtomicU64::new(until),
            clock,
            unplaced_bytes: zero(),
            unplaced_files: zero(),
        })
    }

    /// One that lasts until it is lost: nobody but this process can open the share.
    #[must_use]
    pub fn endless() -> Arc<Lease> {
        Lease::of(ENDLESS, None)
    }

    /// One of an opening that is over.
    #[must_use]
    pub fn over() -> Arc<Lease> {
        Lease::of(LOST, None)
    }

    /// One that lasts until a moment of the clock, which is the boot-time one.
    #[must_use]
    pub fn until(until: Monotonic, clock: Arc<dyn Clock>) -> Arc<Lease> {
        Lease::of(until.0.clamp(LOST + 1, ENDLESS - 1), Some(clock))
    }

    /// Whether replies may leave.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        match (self.until.load(Ordering::Acquire), &self.clock) {
            (LOST, _) => LeaseState::Lost,
            (ENDLESS, _) | (_, None) => LeaseState::Valid,
            (until, Some(clock)) if clock.monotonic().0 < until => LeaseState::Valid,
            _ => LeaseState::Lapsed,
        }
    }

    /// When it ends; the far future for one without end, the beginning of time for a lost one.
    #[must_use]
    pub fn ends(&self) -> Monotonic {
        Monotonic(self.until.load(Ordering::Acquire))
    }

    /// Moves its end; a lost one stays lost, and no end moves back.
    pub fn extend(&self, until: Monotonic) {
        let until = until.0.min(ENDLESS - 1);
        let _ = self
            .until
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now != LOST).then(|| now.max(until)));
    }

    /// Ends it for good. Answers whether it was not lost before.
    pub fn lose(&self) -> bool {
        self.until.swap(LOST, Ordering::AcqRel) != LOST
    }

    /// Notes what only the journal has, for the row that other gateways see.
    pub fn note_unplaced(&self, bytes: u64, files: u64) {
        self.unplaced_bytes.store(bytes, Ordering::Relaxed);
        self.unplaced_files.store(files, Ordering::Relaxed);
    }

    /// What was noted: bytes and files.
    #[must_use]
    pub fn unplaced(&self) -> (u64, u64) {
        (self.unplaced_bytes.load(Ordering::Relaxed), self.unplaced_files.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_model::Timestamp;

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn wall(&self) -> Timestamp {
            Timestamp::EPOCH
        }

        fn monotonic(&self) -> Monotonic {
            Monotonic(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn lease_lapses_is_renewed_and_is_lost_for_ever() {
        let hand = Arc::new(Hand::default());
        let lease = Lease::until(Monotonic(10), hand.clone());
        assert_eq!(lease.state(), LeaseState::Valid);
        hand.0.store(10, Ordering::Relaxed);
        assert_eq!(lease.state(), LeaseState::Lapsed);
        lease.extend(Monotonic(20));
        assert_eq!(lease.state(), LeaseState::Valid);
        lease.extend(Monotonic(15));
        assert_eq!(lease.ends(), Monotonic(20), "no end moves back");
        assert!(lease.lose());
        lease.extend(Monotonic(u64::MAX));
        assert_eq!(lease.state(), LeaseState::Lost);
        assert!(!lease.lose());
        let endless = Lease::endless();
        endless.extend(Monotonic(5));
        assert_eq!(endless.state(), LeaseState::Valid);
    }
}

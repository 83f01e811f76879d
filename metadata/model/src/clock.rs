//! The doors to time and randomness. Nothing else may ask the machine for either; the simulation brings its own.

use crate::Timestamp;
use std::time::Duration;

/// A reading of a clock that never goes back and counts suspend: nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// Time from `earlier` to this reading; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Monotonic) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The reading `by` later, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Monotonic {
        Monotonic(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Reads time.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time; may step in both directions.
    fn wall(&self) -> Timestamp;
    /// Monotonic time on the boot-time clock.
    fn monotonic(&self) -> Monotonic;
}

/// Gives random bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the whole buffer with random bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// 128 random bits.
    fn random_u128(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}

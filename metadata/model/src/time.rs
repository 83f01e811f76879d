//! Points in time as stored: seconds and nanoseconds since 1970, UTC.

use std::time::Duration;

/// Seconds (may be negative) and nanoseconds (0 … 999,999,999) since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds.
    pub secs: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

impl Timestamp {
    /// 1970-01-01.
    pub const EPOCH: Timestamp = Timestamp { secs: 0, nanos: 0 };

    /// Makes a time; `nanos` is clamped to 999,999,999.
    #[must_use]
    pub fn new(secs: i64, nanos: u32) -> Timestamp {
        Timestamp { secs, nanos: nanos.min(999_999_999) }
    }

    /// The time one nanosecond later.
    #[must_use]
    pub fn next(self) -> Timestamp {
        match self.nanos {
            999_999_999 => Timestamp { secs: self.secs.saturating_add(1), nanos: 0 },
            n => Timestamp { secs: self.secs, nanos: n + 1 },
        }
    }

    /// The ctime of a change made at `self` to an object whose ctime was `last`: always later than `last`,
    /// so that two changes never look equal to a client.
    #[must_use]
    pub fn after(self, last: Timestamp) -> Timestamp {
        self.max(last.next())
    }

    /// The time `by` later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Timestamp {
        let nanos = self.nanos + by.subsec_nanos();
        let carry = i64::from(nanos >= 1_000_000_000);
        let secs = self.secs.saturating_add(by.as_secs() as i64).saturating_add(carry);
        Timestamp { secs, nanos: nanos % 1_000_000_000 }
    }

    /// Seconds and nanoseconds as NFSv3 carries them: clamped to 0 … 2^32 − 1 seconds (SEAM §3.3).
    #[must_use]
    pub fn as_nfs3(self) -> (u32, u32) {
        match u32::try_from(self.secs) {
            Ok(secs) => (secs, self.nanos),
            Err(_) if self.secs < 0 => (0, 0),
            Err(_) => (u32::MAX, 999_999_999),
        }
    }
}

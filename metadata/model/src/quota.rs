//! Quotas: who may hold how much, and when a soft limit becomes hard.

use crate::{FsError, FsResult, Identity, Timestamp};
use std::time::Duration;

/// Whom a quota is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QuotaSubject {
    /// Everything in the share.
    Share,
    /// What a user owns.
    User(Identity),
    /// What belongs to a group.
    Group(Identity),
    /// Every user without a quota of his own, each for himself.
    EveryUser,
    /// Every group without a quota of its own, each for itself.
    EveryGroup,
}

/// Limits of one kind, in bytes or inodes. `None`: no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// May be exceeded for the time of grace.
    pub soft: Option<u64>,
    /// May not be exceeded.
    pub hard: Option<u64>,
}

/// A quota and since when its soft limits are exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of data held, before compression; holes count nothing.
    pub bytes: QuotaLimits,
    /// Files, directories and all else that has an inode.
    pub inodes: QuotaLimits,
    /// How long a soft limit may be exceeded.
    pub grace: Duration,
    /// Since when `bytes.soft` is exceeded.
    pub bytes_over: Option<Timestamp>,
    /// Since when `inodes.soft` is exceeded.
    pub inodes_over: Option<Timestamp>,
}

impl Quota {
    /// Time of grace where none is given.
    pub const GRACE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// A quota that is not exceeded.
    #[must_use]
    pub fn new(bytes: QuotaLimits, inodes: QuotaLimits) -> Quota {
        Quota { bytes, inodes, grace: Quota::GRACE, bytes_over: None, inodes_over: None }
    }

    /// Whether it limits anything; one that does not only notes since when a common quota is exceeded.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        self.bytes != QuotaLimits::default() || self.inodes != QuotaLimits::default()
    }

    /// The quota of somebody else by the same rule: exceeded since never.
    #[must_use]
    pub fn afresh(self) -> Quota {
        Quota { bytes_over: None, inodes_over: None, ..self }
    }
}

impl QuotaLimits {
    /// Judges growth to `used`, and answers since when the soft limit is exceeded then. *Errors:* [`FsError::Quota`] above the
    /// hard limit, or above the soft one when its grace is over.
    pub fn admit(
        self,
        used: u64,
        over: Option<Timestamp>,
        grace: Duration,
        now: Timestamp,
    ) -> FsResult<Option<Timestamp>> {
        if self.hard.is_some_and(|hard| used > hard) {
            return Err(FsError::Quota);
        }
        let over = self.over(used, over, now);
        if over.is_some_and(|since| now >= since.plus(grace)) { Err(FsError::Quota) } else { Ok(over) }
    }

    /// Since when the soft limit is exceeded by `used`.
    #[must_use]
    pub fn over(self, used: u64, over: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        self.soft.filter(|soft| used > *soft).map(|_| over.unwrap_or(now))
    }

    /// How much more may be taken when `used` is; what has no limit is `u64::MAX`.
    #[must_use]
    pub fn left(self, used: u64, over: Option<Timestamp>, grace: Duration, now: Timestamp) -> u64 {
        let ended = over.is_some_and(|since| now >= since.plus(grace));
        let limit = if ended { self.soft.or(self.hard) } else { self.hard };
        limit.map_or(u64::MAX, |limit| limit.saturating_sub(used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_stops_at_the_hard_limit_and_at_the_soft_one_after_its_grace() {
        let limits = QuotaLimits { soft: Some(10), hard: Some(20) };
        let at = |secs| Timestamp::new(secs, 0);
        let grace = Duration::from_secs(100);
        let admit = |used, over, now| limits.admit(used, over, grace, at(now));
        assert_eq!(admit(10, None, 5), Ok(None));
        assert_eq!(admit(11, None, 5), Ok(Some(at(5))));
        assert_eq!(admit(20, Some(at(5)), 104), Ok(Some(at(5))), "the clock of the grace goes on");
        assert_eq!(admit(12, Some(at(5)), 105), Err(FsError::Quota));
        assert_eq!(admit(9, Some(at(5)), 1000), Ok(None), "below it all is well again");
        assert_eq!(admit(21, None, 5), Err(FsError::Quota));
        assert_eq!(QuotaLimits::default().admit(u64::MAX, None, grace, at(1)), Ok(None));
        assert_eq!(limits.left(12, Some(at(5)), grace, at(104)), 8);
        assert_eq!(limits.left(12, Some(at(5)), grace, at(105)), 0);
        assert_eq!(QuotaLimits::default().left(12, None, grace, at(1)), u64::MAX);
    }
}

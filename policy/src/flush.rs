//! When to flush and how much: by request, by pressure, by size, by age. The order is always the oldest record first,
//! whatever the file's heat: the oldest record holds the tail of the log.

use crate::Decision;
use std::time::Duration;

/// Occupancy from which everything dirty is flushed: well below the 60 % at which writers are slowed.
const WIDEN_AT: f64 = 0.4;
const _: () = assert!(WIDEN_AT < 0.6, "the flusher widens before writers are slowed");
/// Occupancy from which the oldest records go whatever their age, so that a few of them never pin a whole log.
const OLDEST_AT: f64 = 0.2;

/// What flushing depends on.
#[derive(Clone, Copy, Debug)]
pub struct FlushFacts {
    /// Somebody waits for everything.
    pub requested: bool,
    /// Bytes of records that are not placed and not on their way.
    pub dirty_bytes: u64,
    /// Other cuts are on their way.
    pub under_way: bool,
    /// Age of the oldest of them.
    pub oldest_age: Duration,
    /// Occupancy of the log, 0 … 1.
    pub occupancy: f64,
    /// `pack.size`.
    pub pack_size: u64,
    /// `flush.after`.
    pub flush_after: Duration,
}

/// What to flush now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushChoice {
    /// Nothing; look again at the latest after this time.
    Wait(Duration),
    /// Oldest first until about this many bytes are on their way.
    Oldest {
        /// Bytes.
        bytes: u64,
    },
    /// Whatever is at least this old.
    OlderThan(Duration),
    /// All of it.
    Everything,
}

pub(crate) fn fixed(facts: &FlushFacts) -> Decision<FlushChoice> {
    if facts.dirty_bytes == 0 {
        return Decision::new(FlushChoice::Wait(facts.flush_after), "nothing is dirty");
    }
    if facts.requested {
        return Decision::new(FlushChoice::Everything, "a flush was asked for");
    }
    let little =
        facts.under_way && facts.dirty_bytes < facts.pack_size && facts.oldest_age < facts.flush_after;
    if little && facts.occupancy >= OLDEST_AT {
        return Decision::new(
            FlushChoice::Wait(facts.flush_after),
            "less than a pack: goes when what is under way is done",
        );
    }
    if facts.occupancy >= WIDEN_AT {
        return Decision::new(FlushChoice::Everything, "the log is filling");
    }
    if facts.dirty_bytes >= facts.pack_size.saturating_mul(2) || facts.occupancy >= OLDEST_AT {
        let bytes = facts.dirty_bytes.saturating_sub(facts.pack_size).max(facts.pack_size);
        return Decision::new(FlushChoice::Oldest { bytes }, "more than a pack's worth is dirty");
    }
    if facts.oldest_age >= facts.flush_after {
        let young = facts.flush_after / 2;
        return Decision::new(FlushChoice::OlderThan(young), "the oldest record reached its age");
    }
    Decision::new(
        FlushChoice::Wait(facts.flush_after - facts.oldest_age),
        "young and little: more may come to it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn facts() -> FlushFacts {
        FlushFacts {
            requested: false,
            dirty_bytes: MIB,
            under_way: false,
            oldest_age: Duration::from_secs(1),
            occupancy: 0.01,
            pack_size: 16 * MIB,
            flush_after: Duration::from_secs(30),
        }
    }

    #[test]
    fn young_and_little_waits_for_its_age() {
        assert_eq!(fixed(&facts()).value, FlushChoice::Wait(Duration::from_secs(29)));
        let old = FlushFacts { oldest_age: Duration::from_secs(30), ..facts() };
        assert_eq!(fixed(&old).value, FlushChoice::OlderThan(Duration::from_secs(15)));
    }

    #[test]
    fn two_packs_worth_goes_oldest_first_and_leaves_the_youngest() {
        let much = FlushFacts { dirty_bytes: 40 * MIB, ..facts() };
        assert_eq!(fixed(&much).value, FlushChoice::Oldest { bytes: 24 * MIB });
    }

    #[test]
    fn filling_log_flushes_everything_before_writers_are_slowed() {
        let filling = FlushFacts { occupancy: 0.45, ..facts() };
        assert_eq!(fixed(&filling).value, FlushChoice::Everything);
        let rest = FlushFacts { under_way: true, ..filling };
        assert!(
            matches!(fixed(&rest).value, FlushChoice::Wait(_)),
            "no pack of its own for every small write"
        );
        let pack = FlushFacts { dirty_bytes: 16 * MIB, ..rest };
        assert_eq!(fixed(&pack).value, FlushChoice::Everything);
    }

    #[test]
    fn request_flushes_everything_and_nothing_dirty_waits() {
        assert_eq!(fixed(&FlushFacts { requested: true, ..facts() }).value, FlushChoice::Everything);
        let clean = FlushFacts { requested: true, dirty_bytes: 0, ..facts() };
        assert!(matches!(fixed(&clean).value, FlushChoice::Wait(_)));
    }
}

//! When to flush and how much: by request, by pressure, by size, by age. The order is always the oldest record first,
//! whatever the file's heat: the oldest record holds the tail of the log.
//!
//! While the log is nearly empty nothing presses, and a burst of writes has the disk and the processor to itself: packs of
//! it are built once its records have settled. What is overwritten or deleted before that is never uploaded.

use crate::Decision;
use std::time::Duration;

/// Occupancy from which everything dirty is flushed: well below the 60 % at which writers are slowed.
const WIDEN_AT: f64 = 0.4;
const _: () = assert!(WIDEN_AT < 0.6, "the flusher widens before writers are slowed");
/// Occupancy from which the oldest records go whatever their age, so that a few of them never pin a whole log.
const OLDEST_AT: f64 = 0.2;
/// Below that occupancy, the part of `flush.after` that packs' worth of records have to settle.
const SETTLE_PART: u32 = 8;

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
    let packs_worth = facts.dirty_bytes >= facts.pack_size.saturating_mul(2);
    let settle = facts.flush_after / SETTLE_PART;
    if facts.occupancy >= OLDEST_AT || (packs_worth && facts.oldest_age >= settle) {
        let bytes = facts.dirty_bytes.saturating_sub(facts.pack_size).max(facts.pack_size);
        return Decision::new(FlushChoice::Oldest { bytes }, "more than a pack's worth is dirty");
    }
    if facts.oldest_age >= facts.flush_after {
        let young = facts.flush_after / 2;
        return Decision::new(FlushChoice::OlderThan(young), "the oldest record reached its age");
    }
    if packs_worth {
        return Decision::new(
            FlushChoice::Wait(settle - facts.oldest_age),
            "more than a pack's worth, but young, and the log has room",
        );
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
        let much = FlushFacts { dirty_bytes: 40 * MIB, oldest_age: Duration::from_secs(4), ..facts() };
        assert_eq!(fixed(&much).value, FlushChoice::Oldest { bytes: 24 * MIB });
    }

    #[test]
    fn burst_into_a_log_with_room_settles_before_it_is_packed() {
        let burst = FlushFacts { dirty_bytes: 40 * MIB, ..facts() };
        assert_eq!(fixed(&burst).value, FlushChoice::Wait(Duration::from_millis(2750)));
        let filling = FlushFacts { occupancy: OLDEST_AT, ..burst };
        assert_eq!(fixed(&filling).value, FlushChoice::Oldest { bytes: 24 * MIB });
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

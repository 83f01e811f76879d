//! How far ahead of a reader to fetch.

use crate::Decision;
use dfs_model::Activity;

/// First window: a small file comes whole, a wrong guess costs one request.
pub const READ_AHEAD_FIRST: u64 = 1 << 20;
/// Factor by which the window of a sequential reader grows with each read: every step costs a round trip.
const GROWTH: u64 = 4;
/// Largest window: sixteen requests of 4 MiB on their way, and half as much that has come and waits for its turn.
pub const READ_AHEAD_MAX: u64 = 96 << 20;

/// What read-ahead depends on.
#[derive(Clone, Copy, Debug)]
pub struct PrefetchFacts {
    /// The request's activity.
    pub activity: Activity,
    /// Reads that went on where the one before ended, this one included; 0 for a read somewhere else.
    pub sequential_reads: u32,
    /// Whether the stream began at the start of the file.
    pub from_start: bool,
    /// The window so far.
    pub window: u64,
    /// Bytes of the file behind the read.
    pub file_left: u64,
    /// Read-ahead memory that is free.
    pub memory_free: u64,
    /// Whole read-ahead memory.
    pub memory: u64,
}

pub(crate) fn fixed(facts: &PrefetchFacts) -> Decision<u64> {
    let cap = READ_AHEAD_MAX.min(facts.memory / 4 * 3).min(facts.file_left);
    if cap == 0 {
        return Decision::new(0, "nothing lies ahead, or there is no memory for it");
    }
    if facts.activity.sequential {
        return Decision::new(cap, "the client announced a sequential read");
    }
    match facts.sequential_reads {
        0 => Decision::new(0, "the reads are not sequential"),
        1 if facts.from_start => Decision::new(READ_AHEAD_FIRST.min(cap), "the file is read from its start"),
        1 => Decision::new(0, "one read is not a sequence"),
        _ => {
            let window = facts.window.max(READ_AHEAD_FIRST / GROWTH).saturating_mul(GROWTH).min(cap);
            Decision::new(window, "sequential: the window grows fourfold up to its bound")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(sequential_reads: u32, window: u64) -> PrefetchFacts {
        PrefetchFacts {
            activity: Activity::INTERACTIVE,
            sequential_reads,
            from_start: true,
            window,
            file_left: 1 << 40,
            memory_free: 64 << 20,
            memory: 64 << 20,
        }
    }

    #[test]
    fn sequential_reads_grow_the_window_up_to_the_bound() {
        let mut window = 0;
        let mut seen = Vec::new();
        for reads in 1..7 {
            window = fixed(&facts(reads, window)).value;
            seen.push(window >> 20);
        }
        assert_eq!(seen, [1, 4, 16, 48, 48, 48]);
    }

    #[test]
    fn random_reads_fetch_nothing_ahead() {
        assert_eq!(fixed(&facts(0, READ_AHEAD_MAX)).value, 0);
        assert_eq!(fixed(&PrefetchFacts { from_start: false, ..facts(1, 0) }).value, 0);
    }

    proptest! {
        #[test]
        fn window_never_exceeds_the_file_or_three_quarters_of_the_memory(
            reads in 0u32..50, window in any::<u64>(), left in any::<u64>(), memory in any::<u64>(), announced in any::<bool>()
        ) {
            let mut facts = PrefetchFacts { file_left: left, memory, memory_free: memory, ..facts(reads, window) };
            facts.activity.sequential = announced;
            let value = fixed(&facts).value;
            prop_assert!(value <= left && value <= memory / 4 * 3 && value <= READ_AHEAD_MAX);
        }
    }
}

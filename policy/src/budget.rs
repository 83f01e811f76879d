//! How the one memory budget of the process is divided.

use crate::Decision;

/// Least budget that the parts can live with.
pub const BUDGET_MIN: u64 = 256 << 20;
const MIB: u64 = 1 << 20;

/// What the split depends on.
#[derive(Clone, Copy, Debug)]
pub struct BudgetFacts {
    /// `memory.budget`; less than [`BUDGET_MIN`] counts as that.
    pub budget: u64,
    /// `warm.size`; 0 without an NVMe tier.
    pub warm_size: u64,
    /// `pack.size`.
    pub pack_size: u64,
}

/// Bytes for each part; the sum never exceeds the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySplit {
    /// Decoded blocks in memory.
    pub hot: u64,
    /// Index and buffers of the NVMe tier.
    pub warm_engine: u64,
    /// Rows, names and pages of the metadata store, attributes of inodes in use.
    pub metadata: u64,
    /// Overlay of dirty files.
    pub overlay: u64,
    /// Packs in building and upload.
    pub packs: u64,
    /// Blocks fetched ahead.
    pub read_ahead: u64,
    /// Requests and replies in flight.
    pub requests: u64,
}

impl MemorySplit {
    /// The sum of the parts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.hot
            + self.warm_engine
            + self.metadata
            + self.overlay
            + self.packs
            + self.read_ahead
            + self.requests
    }
}

/// Bytes of index that the NVMe tier needs per cached block of about 256 KiB.
const WARM_INDEX_PER_BLOCK: u64 = 128;
const WARM_BLOCK: u64 = 256 << 10;

pub(crate) fn fixed(facts: &BudgetFacts) -> Decision<MemorySplit> {
    let budget = facts.budget.max(BUDGET_MIN);
    let packs = (budget / 5)
        .clamp(3 * facts.pack_size.min(budget / 16), 20 * facts.pack_size.max(MIB))
        .min(budget / 4);
    let warm_engine = match facts.warm_size {
        0 => 0,
        size => (32 * MIB + size / WARM_BLOCK * WARM_INDEX_PER_BLOCK).min(budget / 4),
    };
    let read_ahead = (budget / 8).clamp(16 * MIB, 256 * MIB);
    let requests = (budget / 8).clamp(16 * MIB, 512 * MIB);
    let metadata = (budget / 6).clamp(32 * MIB, 4096 * MIB);
    let overlay = (budget / 16).clamp(8 * MIB, 1024 * MIB);
    let rest = packs + warm_engine + read_ahead + requests + metadata + overlay;
    let hot = budget.saturating_sub(rest);
    let split = MemorySplit { hot, warm_engine, metadata, overlay, packs, read_ahead, requests };
    Decision::new(split, "fixed shares; memory takes what the other parts leave")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn split_never_exceeds_the_budget_and_starves_nobody(
            budget in (BUDGET_MIN..(1u64 << 40)), warm in 0u64..(1 << 44), pack in (1u64 << 20)..(64 << 20)
        ) {
            let split = fixed(&BudgetFacts { budget, warm_size: warm, pack_size: pack }).value;
            prop_assert!(split.total() <= budget, "{split:?}");
            prop_assert!(split.hot >= budget / 20, "{split:?}");
            prop_assert!(split.packs >= 16 << 20, "{split:?}");
        }
    }
}

//! Rules that turn facts into decisions: what enters which tier, how far to read ahead, when to flush, how memory is split.
//!
//! Pure: no clock, no I/O, no state. The caller brings every fact, the rule answers with a value *and its reason*, so that
//! an administrator can ask why and a simulator can ask what would change. [`FixedPolicy`] holds the sensible defaults;
//! other policies implement the same trait.
//!
//! Nothing here can be left half done by a crash or a cancel: a decision is a value.

#![forbid(unsafe_code)]

mod admission;
mod budget;
mod flush;
mod prefetch;
mod upload;

pub use admission::{Admission, AdmitFacts, BlockSource};
pub use budget::{BUDGET_MIN, BudgetFacts, MemorySplit};
pub use flush::{FlushChoice, FlushFacts};
pub use prefetch::{PrefetchFacts, READ_AHEAD_FIRST, READ_AHEAD_MAX};
pub use upload::{UploadFacts, UploadOutcome};

/// A value and why it was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<T> {
    /// What was decided.
    pub value: T,
    /// Why, in words for an administrator; one of a fixed set.
    pub reason: &'static str,
}

impl<T> Decision<T> {
    /// A decision with its reason.
    #[must_use]
    pub fn new(value: T, reason: &'static str) -> Decision<T> {
        Decision { value, reason }
    }
}

/// The seam: facts in, decision and reason out. Implementations are pure.
pub trait Policy: Send + Sync + 'static {
    /// Which tiers may take a clean block.
    fn admit(&self, facts: &AdmitFacts) -> Decision<Admission>;
    /// Weight of a block in memory, in bytes; what is heavier is evicted sooner.
    fn weight(&self, decoded_len: u32) -> Decision<u64>;
    /// Bytes to keep fetched, or on their way, ahead of a reader.
    fn prefetch(&self, facts: &PrefetchFacts) -> Decision<u64>;
    /// What to flush now.
    fn flush(&self, facts: &FlushFacts) -> Decision<FlushChoice>;
    /// Width of the upload window after one more outcome.
    fn uploads(&self, facts: &UploadFacts) -> Decision<f64>;
    /// How the memory budget of the process is divided.
    fn budget(&self, facts: &BudgetFacts) -> Decision<MemorySplit>;
}

/// The defaults that ship: fixed rules without memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedPolicy;

impl Policy for FixedPolicy {
    fn admit(&self, facts: &AdmitFacts) -> Decision<Admission> {
        admission::fixed(facts)
    }

    fn weight(&self, decoded_len: u32) -> Decision<u64> {
        admission::weight(decoded_len)
    }

    fn prefetch(&self, facts: &PrefetchFacts) -> Decision<u64> {
        prefetch::fixed(facts)
    }

    fn flush(&self, facts: &FlushFacts) -> Decision<FlushChoice> {
        flush::fixed(facts)
    }

    fn uploads(&self, facts: &UploadFacts) -> Decision<f64> {
        upload::fixed(facts)
    }

    fn budget(&self, facts: &BudgetFacts) -> Decision<MemorySplit> {
        budget::fixed(facts)
    }
}

//! The stack: the way of a file's bytes from the journal to the object store, and back to a reader.
//!
//! ```text
//!  write side   journal ─ cut ─ blocks ─ packs ─ PUT ─ place ─(durable)─ journal.placed
//!  read side    overlay ─ hot ─ warm ─ cold          (checksum on every step up, one fetch per block)
//!  behind       dead packs ─(durable, a day, owner object)─ delete        strays ─ the same
//! ```
//!
//! Invariants. Only a confirmed PUT is placed; a pack's row is in the ledger before its object exists; a pack id is used
//! once; the journal forgets records only after the place that holds them is durable; an object is deleted only after its
//! death is durable and while the owner object names this gateway. A read returns the bytes of one state of the file or says
//! [`StackReadError::Moved`].
//!
//! A crash leaves pack rows `up` of an old epoch and objects that no row knows: the sweep removes both. A cancelled read
//! leaves a fetch that ends by itself and may fill the cache; a cancelled flush request leaves the flush going on.

#![forbid(unsafe_code)]

mod ahead;
mod error;
mod fetch;
mod flush;
mod gc;
mod maps;
pub mod metrics;
mod owner;
mod read;
mod stack;
mod status;
#[cfg(test)]
mod tests;

pub use error::{StackError, StackReadError};
pub use flush::FlushScope;
pub use gc::GcReport;
pub use owner::{OwnerRecord, OwnerState};
pub use stack::{PlaceObserver, Stack, StackDeps, StackSettings};
pub use status::{PackCounts, TierStatus};

//! Where the bytes end up: object stores behind one small trait.
//!
//! ```text
//!  caller ─ retry ─ limit ─ meter + health ─ (fault, in tests) ─ memory | dir | s3
//! ```
//! [`ColdStore`] is the contract, [`ColdStack::build`] the one place where the layers are put together, [`probe`] what is
//! asked of a store before it is trusted. Objects are immutable and keys never reused, but for one owner object per share.
//! A crash or a cancel leaves an upload in doubt: the object may be there, later or never. Callers abandon its id.

#![forbid(unsafe_code)]

#[cfg(test)]
mod conformance;
mod dir;
mod error;
mod health;
mod key;
mod layer;
mod memory;
pub mod metrics;
mod probe;
mod s3;
mod stack;
mod store;

pub use dir::DirCold;
pub use error::{CauseScope, ColdError, ColdErrorKind, ColdOp, ColdResult, PermanentCause, RetryClass};
pub use health::{ColdHealth, ColdState};
pub use key::{BadKey, KEY_LEN_MAX, Key, KeyPrefix, KeySpace};
pub use layer::fault::{FaultCounts, FaultHandle, FaultPlan};
pub use layer::limit::LimitConfig;
pub use layer::meter::ColdCounters;
pub use layer::retry::RetryConfig;
pub use memory::MemoryCold;
pub use probe::{ProbeFinding, ProbeReport, probe};
pub use s3::{S3Cold, S3Config, S3Credentials};
pub use stack::{ColdConfig, ColdStack};
pub use store::{
    ColdInfo, ColdStore, DeleteOutcome, LIST_PAGE_MAX, ListPage, ListToken, ListedObject, OWNER_LEN_MAX,
    ObjectInfo, ObjectVersion, PutBody, PutOutcome,
};

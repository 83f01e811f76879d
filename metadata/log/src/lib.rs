//! The disk seam, the segment pool and the append-only log that the journal and the name log are made of.
//!
//! ```text
//!   journal of share A ─┐                       ┌─ RealDisk (ext4, xfs …)
//!   journal of share B ─┼─ Log ── SegmentPool ──┤
//!   name log ───────────┘                       └─ SimDisk (loses, tears, lies, cuts)
//! ```
//!
//! The log knows no record meaning: a record is (kind, key, flags, payload) and gets a [`dfs_model::Seq`].
//!
//! *Invariants* (JOURNAL §3, §7): only the newest segment of an epoch may have a bad tail (J1); no segment of an older
//! epoch is appended to (J2); the first failed sync or write poisons the log and its pool for good (J3); what a reader
//! gets through a position is the record it asked for or [`LogError::Moved`] (J5).
//! *A crash* leaves a prefix of each log: everything that [`Log::durable`] confirmed, after the death of the process
//! alone everything that [`Log::append`] returned. *A cancelled* `reserve` or `durable` leaves nothing behind.

#![forbid(unsafe_code)]

pub mod disk;
pub mod error;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod log;
pub mod metrics;
pub mod mutation;
pub mod poison;
pub mod pool;

pub use disk::real::RealDisk;
pub use disk::sim::{Crash, SimDisk, SimOptions, is_power_cut};
pub use disk::{Disk, DiskFile, DiskLock};
pub use error::{Damage, LogError, PoolError, RecoverError, Retry};
pub use format::{KIND_MAX, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, record_bytes};
pub use log::read::OwnedRecord;
pub use log::recover::{EpochEnd, Recovered, RecoveredRecord};
pub use log::reserve::{Priority, Reservation};
pub use log::{Appended, Log, LogOptions, Position, SegmentInfo, SegmentState};
pub use mutation::{Mutations, Rule};
pub use poison::{Poison, PoisonCause};
pub use pool::{HeldJournal, PoolConfig, PoolStatus, Prepare, SegmentId, SegmentPool};

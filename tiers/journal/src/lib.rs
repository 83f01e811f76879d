//! The journal of a share: every change of a file's bytes, size or write times as a record in one sequence, and the
//! overlay that shows those records before a pack holds them.
//!
//! ```text
//!  engine ── reserve ── append ──┬── log (segments, group sync)          flusher ── dirty_inodes ── cut ─┐
//!              │                 └── overlay: per inode a stack of layers                                │ upload
//!           pressure                     active │ frozen │ frozen │ … base (metadata row, extents)       │ place
//!              └──────────── occupancy ── segments (J4) ──────────────── placed / gone ──────────────────┘
//! ```
//!
//! *Invariants* (JOURNAL §1, §3, §5): what a client sees is the metadata row plus the inode's records above its
//! `flushed_seq`, in order; a cut is the exact state at its seq; a segment is given back only when each of its records
//! is in durable metadata, dead by a durable removal, or beyond a durable `end` of its epoch (J4); a reader that meets a
//! recycled segment is told [`Moved`] (J5); nothing on the flusher's side appends (J6).
//! *A crash* leaves what the log leaves: recovery rebuilds the overlay from the kept records as one exact prefix.
//! *A cancelled* `reserve`, `durable` or `sync_inode` leaves nothing behind. Nothing else waits.
//!
//! *Who calls what:* [`Journal::append`] must be called under the inode's section, so that the records of one inode are
//! published in the order of their seqs, and with the newest metadata row when the inode has no overlay.
//! [`Journal::placed`] and [`Journal::gone`] may be called only when the transaction is durable in the metadata store.

#![forbid(unsafe_code)]

mod error;
mod flush;
#[cfg(fuzzing)]
pub mod fuzzing;
mod index;
mod journal;
mod layer;
pub mod metrics;
mod overlay;
pub mod plan;
pub mod pressure;
mod record;
mod recover;
mod room;
mod segments;
mod stats;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use error::{JournalError, Moved, ReserveError};
pub use flush::{Cut, DirtyInode};
pub use journal::{Appended, Journal, JournalOptions, Location, Reservation, VerifiedRecord};
pub use overlay::OverlayAttrs;
pub use plan::{Piece, ReadPlan, Source};
pub use pressure::{Pressure, PressureOptions, PressureStatus, Reserve};
pub use record::{Record, RecordMeta};
pub use recover::RecoveredJournal;
pub use stats::{AgeBand, JournalStats};

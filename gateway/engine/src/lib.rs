//! The engine: one share, from the neutral seam down to metadata, locks, journal and tiers.
//!
//! ```text
//!  Vfs call ─ cell (attributes, section) ─ admission (claims) ─ reserve (the last wait) ─ section: test, append, publish
//!                 │                                                                          │
//!            MetadataStore: names, owners, modes                              Journal: bytes, sizes, times of files
//! ```
//!
//! Invariants. Whatever changes the bytes, size or times of a file is a journal record, appended under the inode's section;
//! whatever changes a name, owner or mode is one metadata transaction, made under the inode's gate; a cell's attributes are
//! the row with all records applied. No lock is held over a wait but the gate, whose holder waits for the store only.
//!
//! A crash leaves a prefix of the name operations and, per file, the records that reached the log. A cancelled call leaves
//! nothing, or the whole operation.

#![forbid(unsafe_code)]

mod access_checks;
mod admission;
mod atime;
mod attributes;
mod cell;
mod clone;
mod copies;
mod data;
mod engine;
mod found;
mod handover;
mod hub;
mod info;
mod listing;
mod live;
mod merge;
pub mod metrics;
mod mutant;
mod names;
mod open;
mod quota;
mod reaper;
mod recycle;
mod rename;
mod restore;
mod security;
mod snapshots;
mod vfs;
mod xattr;

pub use engine::{DurabilityClass, Engine, EngineSettings};
pub use handover::Unplaced;
pub use hub::ChangeHub;
pub use live::LiveRules;
pub use open::{EngineDeps, OpenError};
pub use recycle::{RecycleRules, Recycled};
pub use restore::Restored;
pub use snapshots::SnapshotSchedule;

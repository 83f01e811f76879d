//! NFSv3 with MOUNT v3 and portmap v2 over any [`dfs_vfs::Vfs`].
//!
//! ```text
//! dfs-net ─▶ service (decode, replay cache, credentials, context) ─▶ proc/ (one file per operation) ─▶ Vfs
//!               │                                                        status.rs: FsError → nfsstat3
//!               └▶ mountd (paths → handles), portmap
//! wire/: the bytes, both directions       client: the other end, for tests and the load generator
//! ```
//!
//! Invariants: no procedure looks up, tests and then changes: each is one call of the seam, and the attributes in its
//! reply come from inside that call. Every request's client address is tested against its share. Nothing of a mount is
//! needed to use a handle. Who calls is looked up once and remembered until the identity table or the export changes. A crash loses the replay cache and the mount list; repeats of name operations are answered
//! by the seam then, which stored their outcome under the same key.

#![forbid(unsafe_code)]

pub mod client;
mod context;
mod convert;
mod creds;
mod drc;
mod exports;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod metrics;
mod mountd;
mod mounts;
pub mod portmap;
mod proc;
mod service;
pub mod status;
#[cfg(test)]
mod tests;
mod usage;
pub mod wire;
mod work;

pub use drc::DrcLimits;
pub use exports::{ExportTable, Exports, ShareDown, ShareExport};
pub use mounts::MountRecord;
pub use service::{NfsConfig, NfsService};
pub use usage::Used;

//! Values of rows as bytes: one file per kind of row, the layouts drawn in the crate's README.
//!
//! Each value starts with a version byte, and each kind that an older program may rewrite keeps the unknown tail that a
//! newer one wrote. Decoding never panics; damaged bytes become [`StoreError::Broken`] naming the row.

pub mod dentry;
pub mod identity;
pub mod inode;
pub mod pack;
pub mod replay;
pub mod share;
pub mod snapshot;

pub use dentry::DentryRow;
pub use inode::InodeRow;
pub use pack::PackLedgerRow;
pub use share::Head;

use crate::StoreError;
use crate::wire::{BadRow, Reader, Writer};
use dfs_model::Timestamp;

/// The error for a row whose bytes are not what they should be.
pub fn damaged(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Broken(format!("a damaged row ({what}): {error}"))
}

/// Appends a point in time.
pub fn put_time(out: &mut Writer, at: Timestamp) {
    out.i64(at.secs).u32(at.nanos);
}

/// Reads a point in time.
pub fn take_time(bytes: &mut Reader<'_>) -> Result<Timestamp, BadRow> {
    let secs = bytes.i64()?;
    match bytes.u32()? {
        nanos @ 0..1_000_000_000 => Ok(Timestamp { secs, nanos }),
        _ => Err(BadRow::Field("nanoseconds")),
    }
}

#[cfg(test)]
mod tests;

//! The seam to the disk: a folder of flat file names, with every promise that the log and the embedded store need.
//!
//! Implementations: [`real::RealDisk`] and [`sim::SimDisk`]; one suite (`tests.rs`) runs over both.
//! *What a crash leaves behind:* the death of the process loses nothing that `write_at` accepted. A power cut may keep
//! any of the writes since the last `sync` of the file, torn at 512-byte sectors, and any of the name changes since the
//! last `sync_dir`. After a `sync` that failed, the page cache may show bytes that the device never got.
//! All calls but `run` and `sync_later` may block; none but `sync_here` is held across an await by this crate.

pub mod real;
pub mod sim;
#[cfg(test)]
mod tests;

use futures_util::future::BoxFuture;
use std::{any::Any, io, sync::Arc};
use tokio::runtime::Handle;

/// A folder of files with flat names.
pub trait Disk: Send + Sync + 'static {
    /// Opens an existing file for reading and writing. *Errors:* `NotFound`.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a new, empty file. *Guarantees:* its name survives a power cut only after `sync_dir`. *Errors:* `AlreadyExists`.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Removes a name. *Guarantees:* durable only after `sync_dir`.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Renames a file, replacing the target. *Guarantees:* atomic; durable only after `sync_dir`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Names of the files here (not folders), sorted.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes all earlier creates, removes and renames in this folder durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Bytes that can still be allocated.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Size of the medium in bytes.
    fn total_bytes(&self) -> io::Result<u64>;
    /// Takes an exclusive lock, without waiting; the file is created when absent.
    /// *Guarantees:* released on drop and on the death of the process.
    /// *Errors:* `WouldBlock` when held elsewhere; `Unsupported` when the medium has no locks.
    fn lock(&self, name: &str) -> io::Result<DiskLock>;
    /// The folder of that name below this one, created (durably) when absent.
    fn sub(&self, name: &str) -> io::Result<Arc<dyn Disk>>;
    /// Runs work that syncs files with [`DiskFile::sync_here`] to its end, off the caller's thread and, where syncs block,
    /// on one that may be blocked; so a row of syncs costs no way to another thread and back for each.
    fn run(&self, runtime: &Handle, work: BoxFuture<'static, ()>);
}

/// An open file. Offsets and lengths are bytes. (One without bytes is nothing special: no `is_empty`.)
#[allow(clippy::len_without_is_empty)]
pub trait DiskFile: Send + Sync + 'static {
    /// Reads through the page cache; returns the bytes read, fewer than asked only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Reads what the device holds, past a page cache that may lie after a failed sync (JOURNAL §7.2).
    fn read_device_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes into the page cache. *Guarantees:* survives the death of the process; a power cut only after `sync`.
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()>;
    /// Writes the buffers one after the other from `offset`.
    fn write_vectored_at(&self, offset: u64, bufs: &[&[u8]]) -> io::Result<()>;
    /// Reserves blocks for the first `len` bytes and makes the file at least that long; new bytes read as zero.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Reserves blocks for the first `len` bytes and leaves the length as it is: a later growth finds room on a full disk. A
    /// cut of the file gives up what is reserved beyond it. *Errors:* `StorageFull`; `Unsupported` where the medium cannot.
    fn keep(&self, len: u64) -> io::Result<()>;
    /// Really writes zeros: the first sync of a merely allocated block costs an update of the file's map.
    fn zero(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Makes all earlier writes of this file durable; blocks. *Errors:* any error means that the writes may be lost
    /// though the page cache shows them; a later success says nothing about them.
    fn sync(&self) -> io::Result<()>;
    /// As `sync`, in work that [`Disk::run`] runs: the thread may be blocked.
    fn sync_here(self: Arc<Self>) -> BoxFuture<'static, io::Result<()>>;
    /// As `sync`, off the caller's thread. *Cancel:* the sync may still run to its end.
    fn sync_later(self: Arc<Self>) -> BoxFuture<'static, io::Result<()>>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends the file; new bytes read as zero.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// An exclusive lock that is held until dropped.
pub struct DiskLock {
    _held: Box<dyn Any + Send + Sync>,
}

impl DiskLock {
    /// Wraps whatever an implementation of [`Disk`] holds for the lock.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self { _held: Box::new(held) }
    }
}

/// Reads exactly `buf.len()` bytes with one of the two read calls. *Errors:* `UnexpectedEof` past the end.
pub(crate) fn read_exact(file: &dyn DiskFile, device: bool, offset: u64, buf: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        let rest = buf.get_mut(done..).unwrap_or_default();
        let at = offset + done as u64;
        let got = if device { file.read_device_at(at, rest)? } else { file.read_at(at, rest)? };
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        done += got;
    }
    Ok(())
}

//! The seam over a folder of the operating system.
//!
//! Files are made with mode 0600, folders with 0700. Reading the device uses direct I/O through a second descriptor and
//! an aligned bounce buffer; where the file system refuses that, the cached pages are dropped first.
//! `run` and `sync_later` take the runtime's blocking threads.

use super::{Disk, DiskFile, DiskLock};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::runtime::Handle;

/// Alignment that direct I/O asks for on every device in use (4 KiB sectors are the largest).
const DIRECT_ALIGN: usize = 4096;
/// Most bytes of one direct read: bounds the bounce buffer.
const DIRECT_CHUNK: usize = 1 << 20;
/// Bytes of zeros written at once. Linux keeps what one write brings in one piece of the page cache, and each later write
/// into a piece, and each sync of it, looks at every block of it: small pieces make small appends cheaper.
const ZERO_CHUNK: usize = 64 << 10;

/// A folder on a local file system.
pub struct RealDisk {
    folder: PathBuf,
}

impl RealDisk {
    /// Opens a folder, made (durably) when absent.
    pub fn open(folder: impl AsRef<Path>) -> io::Result<Arc<RealDisk>> {
        let folder = folder.as_ref().to_path_buf();
        make_folder(&folder)?;
        Ok(Arc::new(RealDisk { folder }))
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    fn path_of(&self, name: &str) -> io::Result<PathBuf> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a flat file name"));
        }
        Ok(self.folder.join(name))
    }

    fn file(path: PathBuf, options: &OpenOptions) -> io::Result<Arc<dyn DiskFile>> {
        let file = options.open(&path)?;
        Ok(Arc::new(RealFile { file, path, direct: Mutex::new(None) }))
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn read_write() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Self::file(self.path_of(name)?, &read_write())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Self::file(self.path_of(name)?, read_write().create_new(true))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path_of(name)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path_of(from)?, self.path_of(to)?)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn total_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, name: &str) -> io::Result<DiskLock> {
        let file = read_write().create(true).truncate(false).open(self.path_of(name)?)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DiskLock::new(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(io::ErrorKind::WouldBlock.into()),
            Err(rustix::io::Errno::NOLCK | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn sub(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let sub: Arc<dyn Disk> = RealDisk::open(self.path_of(name)?)?;
        Ok(sub)
    }

    fn run(&self, runtime: &Handle, work: BoxFuture<'static, ()>) {
        let here = runtime.clone();
        runtime.spawn_blocking(move || here.block_on(work));
    }
}

struct RealFile {
    file: File,
    path: PathBuf,
    /// Descriptor for direct reads, opened with the first one; `Some(None)` when the file system refuses it.
    direct: Mutex<Option<Option<Arc<File>>>>,
}

impl RealFile {
    fn direct(&self) -> Option<Arc<File>> {
        let mut direct = self.direct.lock();
        direct
            .get_or_insert_with(|| {
                let flags = rustix::fs::OFlags::DIRECT.bits();
                let flags = i32::try_from(flags).ok()?;
                OpenOptions::new().read(true).custom_flags(flags).open(&self.path).ok().map(Arc::new)
            })
            .clone()
    }

    /// Drops the cached clean pages, then reads: for file systems without direct I/O.
    fn read_dropped(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)?;
        self.read_at(offset, buf)
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let rest = buf.get_mut(done..).unwrap_or_default();
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(got) => done += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_device_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let Some(direct) = self.direct() else {
            return self.read_dropped(offset, buf);
        };
        let align = DIRECT_ALIGN as u64;
        let start = offset / align * align;
        let lead = (offset - start) as usize;
        let span = (lead + buf.len()).next_multiple_of(DIRECT_ALIGN).min(DIRECT_CHUNK);
        let mut bounce = vec![0u8; span + DIRECT_ALIGN];
        let shift = bounce.as_ptr().align_offset(DIRECT_ALIGN).min(DIRECT_ALIGN);
        let window = bounce.get_mut(shift..shift + span).unwrap_or_default();
        let got = loop {
            match direct.read_at(window, start) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return self.read_dropped(offset, buf);
                }
                other => break other?,
            }
        };
        let found = window.get(lead..got).unwrap_or_default();
        let count = found.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), found.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn write_vectored_at(&self, offset: u64, bufs: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = bufs.iter().map(|b| IoSlice::new(b)).collect();
        let mut left = slices.as_mut_slice();
        let mut at = offset;
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match rustix::io::pwritev(&self.file, left, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(done) => {
                    at += done as u64;
                    IoSlice::advance_slices(&mut left, done);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // No fallocate here: writing zeros reserves the blocks as well.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                let have = self.len()?;
                self.zero(have, len.saturating_sub(have))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn keep(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, len.max(1)) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        let zeros = vec![0u8; ZERO_CHUNK.min(usize::try_from(len).unwrap_or(ZERO_CHUNK))];
        let mut done = 0;
        while done < len {
            let count = (len - done).min(zeros.len() as u64);
            self.file.write_all_at(zeros.get(..count as usize).unwrap_or_default(), offset + done)?;
            done += count;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_here(self: Arc<Self>) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(async move { self.sync() })
    }

    fn sync_later(self: Arc<Self>) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(async move {
            tokio::task::spawn_blocking(move || self.sync())
                .await
                .unwrap_or_else(|join| Err(io::Error::other(join)))
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

//! A simulated machine's disk: deterministic from a seed, it loses, tears, reorders, lies and stops at a chosen step.
//!
//! The same seed and the same calls give the same bytes. `crash` gives the disk of the next boot; every handle of an
//! earlier boot then fails with an error for which [`is_power_cut`] holds, so tasks that outlive the crash do no harm.
//! Only calls that change something count as steps.

mod state;

use super::{Disk, DiskFile, DiskLock};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use state::{NameChange, SimFile, SimState};
use std::{fmt, io, sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// How often a stalled sync looks whether it may go on.
const STALL_STEP: Duration = Duration::from_millis(1);

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies; the page cache survives, unsynced writes stay unsynced.
    Process,
    /// Power is lost: any of the unsynced writes survive, torn at sectors.
    Power,
}

/// Behaviour of a simulated disk.
#[derive(Clone, Copy, Debug)]
pub struct SimOptions {
    /// Longest simulated time of a sync that runs in the background, in microseconds; zero: none.
    pub sync_micros_max: u64,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self { sync_micros_max: 2_000 }
    }
}

/// The disk of one boot of the simulated machine.
pub struct SimDisk {
    state: Arc<Mutex<SimState>>,
    options: SimOptions,
    boot: u64,
    /// Folder within the machine, with a trailing slash, or empty.
    prefix: String,
}

#[derive(Debug)]
struct PowerCut;

impl fmt::Display for PowerCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated machine is down")
    }
}

impl std::error::Error for PowerCut {}

/// True for the error that a simulated disk gives once its machine is down.
#[must_use]
pub fn is_power_cut(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<PowerCut>())
}

fn power_cut() -> io::Error {
    io::Error::other(PowerCut)
}

fn device_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl SimDisk {
    /// A new, empty machine with `capacity` bytes of disk.
    #[must_use]
    pub fn new(seed: u64, capacity: u64) -> Arc<SimDisk> {
        Self::with_options(seed, capacity, SimOptions::default())
    }

    /// A new machine with chosen behaviour.
    #[must_use]
    pub fn with_options(seed: u64, capacity: u64, options: SimOptions) -> Arc<SimDisk> {
        let state = Arc::new(Mutex::new(SimState::new(seed, capacity)));
        Arc::new(SimDisk { state, options, boot: 1, prefix: String::new() })
    }

    /// Crashes and boots again: the returned disk is the new boot's root, earlier handles are dead, faults are cleared.
    #[must_use = "the disk of the old boot is dead"]
    pub fn crash(&self, kind: Crash) -> Arc<SimDisk> {
        let mut state = self.state.lock();
        state.reboot(kind == Crash::Power);
        let boot = state.boot;
        Arc::new(SimDisk { state: self.state.clone(), options: self.options, boot, prefix: String::new() })
    }

    /// Calls so far that changed something.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.state.lock().steps
    }

    /// After `steps` more changing calls the machine is down: every later call fails until `crash`.
    pub fn cut_after(&self, steps: u64) {
        let mut state = self.state.lock();
        state.faults.cut_at_step = Some(state.steps.saturating_add(steps));
    }

    /// True once the machine is down.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.state.lock().down
    }

    /// Lets the next `count` syncs fail as Linux does: the bytes may be lost though the cache shows them.
    pub fn fail_syncs(&self, count: u32) {
        self.state.lock().faults.fail_syncs = count;
    }

    /// Rates of device errors, per million calls.
    pub fn set_error_rates(&self, read: u32, write: u32, sync: u32) {
        let mut state = self.state.lock();
        state.faults.read_errors_per_million = read;
        state.faults.write_errors_per_million = write;
        state.faults.sync_errors_per_million = sync;
    }

    /// Background syncs of files in a folder (its path from the root) do not end until the next crash, or until this is
    /// called with `None`.
    pub fn stall_syncs(&self, folder: Option<&str>) {
        self.state.lock().stalled = folder.map(|folder| format!("{folder}/"));
    }

    /// Changes the capacity in bytes; a full disk answers `StorageFull`.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// Flips the bits of `mask` in one byte, everywhere and durably: bit rot. Returns false past the end.
    pub fn rot(&self, name: &str, offset: u64, mask: u8) -> bool {
        let mut state = self.state.lock();
        let path = format!("{}{name}", self.prefix);
        let Some(id) = state.names.get(&path).copied() else { return false };
        let Some(file) = state.files.get_mut(&id) else { return false };
        let mut byte = [0];
        if file.read(false, offset, &mut byte) == 0 {
            return false;
        }
        file.write(offset, vec![byte[0] ^ mask]);
        file.sync(file.mark());
        true
    }

    fn path(&self, name: &str) -> io::Result<String> {
        if name.is_empty() || name.contains(['/', '\0']) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a flat file name"));
        }
        Ok(format!("{}{name}", self.prefix))
    }

    fn handle(&self, file: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimHandle { state: self.state.clone(), options: self.options, boot: self.boot, file })
    }

    fn read<T>(&self, act: impl FnOnce(&mut SimState) -> io::Result<T>) -> io::Result<T> {
        act(&mut *enter(&self.state, self.boot, false)?)
    }

    fn step<T>(&self, act: impl FnOnce(&mut SimState) -> io::Result<T>) -> io::Result<T> {
        act(&mut *enter(&self.state, self.boot, true)?)
    }
}

/// Locks the machine for one call: fails when it is down, counts a step when the call changes something.
fn enter(
    state: &Mutex<SimState>,
    boot: u64,
    changes: bool,
) -> io::Result<parking_lot::MutexGuard<'_, SimState>> {
    let mut state = state.lock();
    if state.boot != boot {
        return Err(power_cut());
    }
    if changes && state.faults.cut_at_step.is_some_and(|at| state.steps >= at) {
        state.down = true;
    }
    if state.down {
        return Err(power_cut());
    }
    if changes {
        state.steps += 1;
    }
    Ok(state)
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path(name)?;
        let id =
            self.read(|state| state.names.get(&path).copied().ok_or_else(|| io::ErrorKind::NotFound.into()))?;
        Ok(self.handle(id))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path(name)?;
        let id = self.step(|state| match state.names.contains_key(&path) {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => Ok(state.create(path)),
        })?;
        Ok(self.handle(id))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name)?;
        self.step(|state| {
            if !state.names.contains_key(&path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            state.change_name(NameChange::Remove { path });
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        self.step(|state| {
            if !state.names.contains_key(&from) {
                return Err(io::ErrorKind::NotFound.into());
            }
            state.change_name(NameChange::Rename { from, to });
            Ok(())
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.read(|state| {
            let here = state.names.keys().filter_map(|path| path.strip_prefix(&self.prefix));
            Ok(here.filter(|name| !name.contains('/')).map(str::to_owned).collect())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.step(|state| {
            state.sync_dir(self.prefix.trim_end_matches('/'));
            Ok(())
        })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.read(|state| Ok(state.capacity.saturating_sub(state.used())))
    }

    fn total_bytes(&self) -> io::Result<u64> {
        self.read(|state| Ok(state.capacity))
    }

    fn lock(&self, name: &str) -> io::Result<DiskLock> {
        let path = self.path(name)?;
        self.read(|state| match state.locks.insert(path.clone()) {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })?;
        Ok(DiskLock::new(SimLock { state: self.state.clone(), boot: self.boot, path }))
    }

    fn sub(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let prefix = format!("{}/", self.path(name)?);
        self.read(|_| Ok(()))?;
        Ok(Arc::new(SimDisk { state: self.state.clone(), options: self.options, boot: self.boot, prefix }))
    }

    fn run(&self, runtime: &Handle, work: BoxFuture<'static, ()>) {
        runtime.spawn(work);
    }
}

struct SimLock {
    state: Arc<Mutex<SimState>>,
    boot: u64,
    path: String,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}

struct SimHandle {
    state: Arc<Mutex<SimState>>,
    options: SimOptions,
    boot: u64,
    file: u64,
}

impl SimHandle {
    fn with<T>(&self, changes: bool, act: impl FnOnce(&mut SimState, u64) -> io::Result<T>) -> io::Result<T> {
        act(&mut *enter(&self.state, self.boot, changes)?, self.file)
    }

    fn fetch(&self, device: bool, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.with(false, |state, id| {
            let rate = state.faults.read_errors_per_million;
            if state.random.chance(rate) {
                return Err(device_error());
            }
            Ok(file(state, id)?.read(device, offset, buf))
        })
    }

    /// Checks faults and capacity, then changes the file.
    fn alter(&self, end: u64, act: impl FnOnce(&mut SimFile)) -> io::Result<()> {
        self.with(true, |state, id| {
            let rate = state.faults.write_errors_per_million;
            if state.random.chance(rate) {
                return Err(device_error());
            }
            let grows = end.saturating_sub(file(state, id)?.blocks());
            if grows > state.capacity.saturating_sub(state.used()) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            act(file(state, id)?);
            Ok(())
        })
    }

    fn sync_up_to(&self, mark: u64) -> io::Result<()> {
        self.with(true, |state, id| {
            let rate = state.faults.sync_errors_per_million;
            let fails = state.faults.fail_syncs > 0 || state.random.chance(rate);
            if fails {
                state.faults.fail_syncs = state.faults.fail_syncs.saturating_sub(1);
                if let Some(file) = state.files.get_mut(&id) {
                    file.fail_sync(&mut state.random);
                }
                return Err(device_error());
            }
            file(state, id)?.sync(mark);
            Ok(())
        })
    }
}

fn file(state: &mut SimState, id: u64) -> io::Result<&mut SimFile> {
    state.files.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl DiskFile for SimHandle {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.fetch(false, offset, buf)
    }

    fn read_device_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.fetch(true, offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.alter(offset + buf.len() as u64, |file| file.write(offset, buf.to_vec()))
    }

    fn write_vectored_at(&self, offset: u64, bufs: &[&[u8]]) -> io::Result<()> {
        self.write_at(offset, &bufs.concat())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.alter(len, |file| {
            if len > file.cache.len() as u64 {
                file.resize(len);
            }
        })
    }

    fn keep(&self, len: u64) -> io::Result<()> {
        // No step of its own: a crash neither takes nor tears what is reserved.
        self.with(false, |state, id| {
            let grows = len.saturating_sub(file(state, id)?.blocks());
            if grows > state.capacity.saturating_sub(state.used()) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let file = file(state, id)?;
            file.kept = file.kept.max(len);
            Ok(())
        })
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        self.alter(offset + len, |file| file.zero(offset, len))
    }

    fn sync(&self) -> io::Result<()> {
        let mark = self.with(false, |state, id| Ok(file(state, id)?.mark()))?;
        self.sync_up_to(mark)
    }

    fn sync_later(self: Arc<Self>) -> BoxFuture<'static, io::Result<()>> {
        self.sync_here()
    }

    fn sync_here(self: Arc<Self>) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(async move {
            let max = self.options.sync_micros_max;
            let (mark, micros) = self.with(false, |state, id| {
                Ok((file(state, id)?.mark(), state.random.below(max.saturating_add(1))))
            })?;
            if max > 0 {
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
            while self.with(false, |state, id| Ok(state.is_stalled(id)))? {
                tokio::time::sleep(STALL_STEP).await;
            }
            self.sync_up_to(mark)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(false, |state, id| Ok(file(state, id)?.cache.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.alter(len, |file| file.resize(len))
    }
}

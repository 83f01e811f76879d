//! What the simulated machine holds: for each file the page cache, the device and the durable bytes, and the rules by
//! which a crash moves from one to the next.
//!
//! ```text
//!   write ──> cache ────────────── read_at
//!     └─────> device = durable + unsynced writes ── read_device_at
//!               └── sync ──> durable                (failed sync: any subset arrives, the cache keeps showing all)
//! ```
//!
//! A power cut keeps, for each sector, the durable bytes plus some prefix of the unsynced writes to that sector: what a
//! device does that is handed whole sectors of a page cache in any order and at any time.

use std::collections::{BTreeMap, BTreeSet};

/// Unit in which writes tear.
pub(super) const SECTOR: u64 = 512;

/// Deterministic random numbers (splitmix64), of the simulation's own.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in 0..`bound`; 0 when the bound is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    pub(super) fn chance(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(1_000_000) < u64::from(per_million)
    }
}

/// A write that no sync covers yet.
enum Change {
    Write { offset: u64, data: Vec<u8> },
    Zero { offset: u64, len: u64 },
    Resize { len: u64 },
}

struct Unsynced {
    id: u64,
    change: Change,
}

impl Change {
    fn span(&self, len_before: u64) -> (u64, u64) {
        match self {
            Change::Write { offset, data } => (*offset, offset + data.len() as u64),
            Change::Zero { offset, len } => (*offset, offset + len),
            Change::Resize { len } => ((*len).min(len_before), (*len).max(len_before)),
        }
    }

    /// Length of the file after this change.
    fn len_after(&self, len_before: u64) -> u64 {
        match self {
            Change::Resize { len } => *len,
            other => other.span(len_before).1.max(len_before),
        }
    }

    /// Puts the part of this change that lies within `from..to` into the bytes.
    fn apply(&self, bytes: &mut Vec<u8>, from: u64, to: u64) {
        let (start, end) = self.span(bytes.len() as u64);
        let (start, end) = (start.max(from), end.min(to));
        if start >= end {
            return;
        }
        if bytes.len() < end as usize {
            bytes.resize(end as usize, 0);
        }
        let Some(target) = bytes.get_mut(start as usize..end as usize) else { return };
        match self {
            Change::Write { offset, data } => {
                if let Some(source) = data.get((start - offset) as usize..(end - offset) as usize) {
                    target.copy_from_slice(source);
                }
            }
            Change::Zero { .. } | Change::Resize { .. } => target.fill(0),
        }
    }

    fn apply_whole(&self, bytes: &mut Vec<u8>) {
        self.apply(bytes, 0, u64::MAX);
        let len = self.len_after(bytes.len() as u64);
        bytes.resize(len as usize, 0);
    }
}

/// One file of the simulated machine.
#[derive(Default)]
pub(super) struct SimFile {
    pub(super) cache: Vec<u8>,
    /// Bytes whose blocks are reserved, beyond the length too.
    pub(super) kept: u64,
    device: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    changes: u64,
}

impl SimFile {
    pub(super) fn write(&mut self, offset: u64, data: Vec<u8>) {
        self.change(Change::Write { offset, data });
    }

    pub(super) fn zero(&mut self, offset: u64, len: u64) {
        self.change(Change::Zero { offset, len });
    }

    pub(super) fn resize(&mut self, len: u64) {
        if len < self.cache.len() as u64 {
            self.kept = 0;
        }
        self.change(Change::Resize { len });
    }

    /// Bytes that the file takes of the disk.
    pub(super) fn blocks(&self) -> u64 {
        self.kept.max(self.cache.len() as u64)
    }

    fn change(&mut self, change: Change) {
        change.apply_whole(&mut self.cache);
        change.apply_whole(&mut self.device);
        self.changes += 1;
        self.unsynced.push(Unsynced { id: self.changes, change });
    }

    /// Copies from the cache or the device; returns the bytes copied.
    pub(super) fn read(&self, device: bool, offset: u64, buf: &mut [u8]) -> usize {
        let bytes = if device { &self.device } else { &self.cache };
        let found = usize::try_from(offset).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
        let count = found.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), found.get(..count)) {
            to.copy_from_slice(from);
        }
        count
    }

    /// Number of the newest change, for a sync that ends later.
    pub(super) fn mark(&self) -> u64 {
        self.changes
    }

    /// Makes every change up to the mark durable.
    pub(super) fn sync(&mut self, mark: u64) {
        let covered = self.unsynced.iter().take_while(|u| u.id <= mark).count();
        for done in self.unsynced.drain(..covered) {
            done.change.apply_whole(&mut self.durable);
        }
    }

    /// A sync that fails as Linux does: any part arrives, nothing stays dirty, the cache goes on showing everything.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.settle(random);
        self.device = self.durable.clone();
    }

    /// The death of the process: the page cache lives on, unless memory pressure dropped its clean pages since.
    pub(super) fn process_crash(&mut self, random: &mut Random) {
        if random.below(2) == 0 {
            self.cache = self.device.clone();
        }
    }

    pub(super) fn power_cut(&mut self, random: &mut Random) {
        self.settle(random);
        self.device = self.durable.clone();
        self.cache = self.durable.clone();
    }

    /// Lets a random part of the unsynced changes reach the durable bytes and forgets the rest.
    fn settle(&mut self, random: &mut Random) {
        let style = random.below(4);
        let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
        let mut lengths = vec![self.durable.len() as u64];
        let mut len = self.durable.len() as u64;
        for unsynced in &self.unsynced {
            let (start, end) = unsynced.change.span(len);
            len = unsynced.change.len_after(len);
            lengths.push(len);
            let keep = match style {
                0 => 0,
                1 => 1_000_000,
                _ => [0, 500_000, 1_000_000].get(random.below(3) as usize).copied().unwrap_or(0),
            };
            for sector in start / SECTOR..end.div_ceil(SECTOR) {
                if random.chance(keep) {
                    newest.insert(sector, unsynced.id);
                }
            }
        }
        let kept_len = match style {
            0 => lengths.first(),
            1 => lengths.last(),
            _ => lengths.get(random.below(lengths.len() as u64) as usize),
        };
        let kept_len = kept_len.copied().unwrap_or(0);
        for (sector, newest) in newest {
            for unsynced in self.unsynced.iter().take_while(|u| u.id <= newest) {
                unsynced.change.apply(&mut self.durable, sector * SECTOR, (sector + 1) * SECTOR);
            }
        }
        self.durable.resize(kept_len as usize, 0);
        self.unsynced.clear();
    }
}

/// A change of names that no `sync_dir` covers yet.
#[derive(Clone)]
pub(super) enum NameChange {
    Create { path: String, file: u64 },
    Remove { path: String },
    Rename { from: String, to: String },
}

impl NameChange {
    fn folder(&self) -> &str {
        let (NameChange::Create { path, .. }
        | NameChange::Remove { path }
        | NameChange::Rename { to: path, .. }) = self;
        path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Create { path, file } => {
                names.insert(path.clone(), *file);
            }
            NameChange::Remove { path } => {
                names.remove(path);
            }
            NameChange::Rename { from, to } => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

/// Faults that a test has ordered.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) fail_syncs: u32,
    pub(super) sync_errors_per_million: u32,
    pub(super) read_errors_per_million: u32,
    pub(super) write_errors_per_million: u32,
    pub(super) cut_at_step: Option<u64>,
}

/// The whole machine.
pub(super) struct SimState {
    pub(super) random: Random,
    pub(super) capacity: u64,
    pub(super) boot: u64,
    pub(super) steps: u64,
    pub(super) down: bool,
    pub(super) faults: Faults,
    pub(super) files: BTreeMap<u64, SimFile>,
    pub(super) names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced_names: Vec<NameChange>,
    pub(super) locks: BTreeSet<String>,
    /// Prefix of the paths whose background syncs do not end.
    pub(super) stalled: Option<String>,
    next_file: u64,
}

impl SimState {
    pub(super) fn new(seed: u64, capacity: u64) -> Self {
        Self {
            random: Random::new(seed),
            capacity,
            boot: 1,
            steps: 0,
            down: false,
            faults: Faults::default(),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            locks: BTreeSet::new(),
            stalled: None,
            next_file: 1,
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.files.values().map(SimFile::blocks).sum()
    }

    pub(super) fn is_stalled(&self, file: u64) -> bool {
        let Some(prefix) = &self.stalled else { return false };
        self.names.iter().any(|(path, id)| *id == file && path.starts_with(prefix))
    }

    pub(super) fn create(&mut self, path: String) -> u64 {
        let file = self.next_file;
        self.next_file += 1;
        self.files.insert(file, SimFile::default());
        self.change_name(NameChange::Create { path, file });
        file
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    pub(super) fn sync_dir(&mut self, folder: &str) {
        let (covered, rest) =
            std::mem::take(&mut self.unsynced_names).into_iter().partition(|c| c.folder() == folder);
        let covered: Vec<NameChange> = covered;
        self.unsynced_names = rest;
        covered.iter().for_each(|change| change.apply(&mut self.durable_names));
    }

    /// Moves to the next boot; files without any name are gone.
    pub(super) fn reboot(&mut self, power: bool) {
        if power {
            let kept = self.random.below(3);
            let changes = std::mem::take(&mut self.unsynced_names);
            let prefix = self.random.below(changes.len() as u64 + 1) as usize;
            for (at, change) in changes.iter().enumerate() {
                let keep = if kept == 0 { self.random.below(2) == 0 } else { at < prefix };
                if keep {
                    change.apply(&mut self.durable_names);
                }
            }
            self.names = self.durable_names.clone();
        }
        let named: BTreeSet<u64> = self.names.values().chain(self.durable_names.values()).copied().collect();
        let pending: BTreeSet<u64> = self
            .unsynced_names
            .iter()
            .filter_map(|c| if let NameChange::Create { file, .. } = c { Some(*file) } else { None })
            .collect();
        self.files.retain(|id, _| named.contains(id) || pending.contains(id));
        for file in self.files.values_mut() {
            if power {
                file.power_cut(&mut self.random);
            } else {
                file.process_crash(&mut self.random);
            }
        }
        self.locks.clear();
        self.stalled = None;
        self.boot += 1;
        self.down = false;
        self.faults = Faults::default();
    }
}

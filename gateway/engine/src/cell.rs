//! Cells: the inodes in use, each with its attributes and its section.
//!
//! At most one cell exists per inode, so its mutex is the inode's section. A cell is dropped only while nobody holds it; a
//! loader that raced with a drop or a place looks again (`version`). Memory is bounded by `capacity` plus what is in use.

use crate::merge::merged;
use dfs_journal::Journal;
use dfs_locks::{ClaimTable, Summary};
use dfs_model::{Attrs, Change, FsError, Inode, InodeId, InodeKind, ShareId, SnapshotId};
use dfs_store::{CommitToken, MetadataStore};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// An inode in use.
pub(crate) struct Cell {
    pub inode: InodeId,
    /// Shared by appenders of records, exclusive for metadata transactions on the inode: so that change numbers and times
    /// come in one order. Its holder waits for the store only.
    pub gate: tokio::sync::RwLock<()>,
    pub state: Mutex<CellState>,
    /// What claims on the inode can matter to: nothing held costs one atomic addition.
    pub summary: Arc<Summary>,
    used: AtomicBool,
}

/// What a section looks at and changes.
pub(crate) struct CellState {
    /// Row with every journal record applied.
    pub attrs: Attrs,
    /// Newest known row; owner, mode and ACL decide access.
    pub row: Arc<Inode>,
    /// The metadata transaction that a stable reply about this inode must wait for: its creation, or a later one.
    pub commit: CommitToken,
    /// No name and no open leads here any more.
    pub gone: bool,
    /// Change numbers of the explicit changes of mode and DOS bits that `attrs` shows.
    mode_seen: Change,
    dos_seen: Change,
}

impl CellState {
    fn new(row: Arc<Inode>, attrs: Attrs, commit: CommitToken) -> CellState {
        let (mode_seen, dos_seen) = (row.mode_change, row.dos_change);
        CellState { attrs, row, commit, gone: false, mode_seen, dos_seen }
    }

    /// Takes a row that a metadata transaction on this inode produced. For a file, call it under the gate: no record was
    /// appended and no other transaction made in between. A file's bytes, size and times stay, records decide them.
    pub fn take_row(&mut self, row: &Arc<Inode>, commit: CommitToken) {
        self.commit = self.commit.max(commit);
        if row.kind == InodeKind::File {
            self.take_file_row(row);
        } else if row.change >= self.row.change {
            self.attrs = Attrs::of(row);
            self.row = row.clone();
        }
    }

    fn take_file_row(&mut self, row: &Arc<Inode>) {
        let attrs = &mut self.attrs;
        attrs.nlink = row.nlink;
        attrs.owner = row.owner.clone();
        attrs.group = row.group.clone();
        attrs.acl = row.acl.clone();
        attrs.btime = row.btime;
        attrs.ctime = attrs.ctime.max(row.ctime);
        attrs.change = attrs.change.max(row.change);
        if row.mode_change > self.mode_seen {
            attrs.mode = row.mode;
            self.mode_seen = row.mode_change;
        }
        if row.dos_change > self.dos_seen {
            attrs.dos = row.dos;
            self.dos_seen = row.dos_change;
        }
        // A place that came after the transaction brought a row that holds both.
        if row.flushed_seq >= self.row.flushed_seq {
            self.row = row.clone();
        }
    }

    /// Takes the row that a clone over this file produced. Call it under the gate, the file drained before.
    pub fn take_clone(&mut self, row: &Arc<Inode>, commit: CommitToken) {
        self.commit = self.commit.max(commit);
        let atime = self.attrs.atime;
        self.attrs = Attrs { atime, ..Attrs::of(row) };
        (self.mode_seen, self.dos_seen) = (row.mode_change, row.dos_change);
        self.row = row.clone();
    }

    /// Takes a row that a place produced: the records it holds are in the attributes already.
    pub fn take_placed(&mut self, row: &Arc<Inode>) {
        if row.flushed_seq > self.row.flushed_seq {
            self.row = row.clone();
        }
    }
}

const SHARDS: usize = 64;

type CellMap = HashMap<InodeId, Arc<Cell>, BuildHasherDefault<InodeHasher>>;

/// Spreads inode numbers over a table. They are given out by us, in order: nobody outside can choose colliding ones.
#[derive(Default)]
struct InodeHasher(u64);

impl Hasher for InodeHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

struct Shard {
    cells: Mutex<CellMap>,
    /// Raised whenever what a loader read may be stale: a cell was dropped, a place moved a row.
    version: AtomicU64,
}

/// All cells of a share.
pub(crate) struct Cells {
    shards: Vec<Shard>,
    per_shard: usize,
    share: ShareId,
    store: Arc<dyn MetadataStore>,
    journal: Arc<Journal>,
    claims: ClaimTable,
}

impl Cells {
    /// A table that keeps about `capacity` cells beyond those in use.
    pub fn new(
        share: ShareId,
        capacity: usize,
        store: Arc<dyn MetadataStore>,
        journal: Arc<Journal>,
        claims: ClaimTable,
    ) -> Cells {
        let shards = (0..SHARDS)
            .map(|_| Shard { cells: Mutex::new(CellMap::default()), version: AtomicU64::new(0) })
            .collect();
        Cells { shards, per_shard: (capacity / SHARDS).max(8), share, store, journal, claims }
    }

    fn shard(&self, inode: InodeId) -> &Shard {
        let mixed = inode.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        &self.shards[mixed as usize % SHARDS]
    }

    /// The cell of an inode if it is loaded.
    pub fn loaded(&self, inode: InodeId) -> Option<Arc<Cell>> {
        let cells = self.shard(inode).cells.lock();
        let cell = cells.get(&inode)?;
        cell.used.store(true, Ordering::Relaxed);
        Some(cell.clone())
    }

    /// The cell of an inode. *Errors:* `StaleHandle` when there is no such inode (any more); store errors.
    pub async fn get(&self, inode: InodeId) -> Result<Arc<Cell>, FsError> {
        if let Some(cell) = self.loaded(inode) {
            let gone = cell.state.lock().gone;
            return if gone { Err(FsError::StaleHandle) } else { Ok(cell) };
        }
        loop {
            let version = self.shard(inode).version.load(Ordering::Acquire);
            let overlay = self.journal.overlay(inode);
            let row = self.store.inode(self.share, inode).await.map_err(|error| error.to_fs())?;
            let row = row.ok_or(FsError::StaleHandle)?;
            let attrs = merged(&row, overlay.as_ref());
            // The row may be the work of a transaction that is not durable yet, whose own caller has not come back.
            let state = CellState::new(row, attrs, self.store.last_commit());
            let shard = self.shard(inode);
            let mut cells = shard.cells.lock();
            if cells.contains_key(&inode) || version == shard.version.load(Ordering::Acquire) {
                return Ok(self.enter(&mut cells, &shard.version, inode, state));
            }
        }
    }

    /// Puts a just created inode in. A cell that is there already stays.
    pub fn created(&self, row: &Arc<Inode>, commit: CommitToken) -> Arc<Cell> {
        let shard = self.shard(row.id);
        let state = CellState::new(row.clone(), Attrs::of(row), commit);
        let cell = self.enter(&mut shard.cells.lock(), &shard.version, row.id, state);
        let mut held = cell.state.lock();
        held.commit = held.commit.max(commit);
        drop(held);
        cell
    }

    fn enter(&self, cells: &mut CellMap, version: &AtomicU64, inode: InodeId, state: CellState) -> Arc<Cell> {
        if let Some(cell) = cells.get(&inode) {
            return cell.clone();
        }
        if cells.len() >= self.per_shard {
            Self::drop_idle(cells, version);
        }
        let cell = Arc::new(Cell {
            inode,
            gate: tokio::sync::RwLock::new(()),
            state: Mutex::new(state),
            summary: self.claims.summary(inode),
            used: AtomicBool::new(true),
        });
        cells.insert(inode, cell.clone());
        cell
    }

    /// Drops cells that nobody holds and nobody used since the last round (a clock with one hand).
    fn drop_idle(cells: &mut CellMap, version: &AtomicU64) {
        let before = cells.len();
        cells.retain(|_, cell| Arc::strong_count(cell) > 1 || cell.used.swap(false, Ordering::Relaxed));
        if cells.len() != before {
            version.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Takes the row that a place made durable-to-be, before the journal drops its records.
    pub fn placed(&self, row: &Arc<Inode>) {
        let shard = self.shard(row.id);
        let cell = {
            let cells = shard.cells.lock();
            let cell = cells.get(&row.id).cloned();
            if cell.is_none() {
                shard.version.fetch_add(1, Ordering::AcqRel);
            }
            cell
        };
        if let Some(cell) = cell {
            cell.state.lock().take_placed(row);
        }
    }

    /// Forgets an inode that is gone for good. Whoever holds its cell sees `gone`.
    pub fn forget(&self, inode: InodeId) {
        let shard = self.shard(inode);
        let cell = shard.cells.lock().remove(&inode);
        shard.version.fetch_add(1, Ordering::AcqRel);
        if let Some(cell) = cell {
            cell.state.lock().gone = true;
        }
    }

    /// Forgets every inode of a snapshot that is gone.
    pub fn forget_snapshot(&self, snapshot: SnapshotId) {
        for shard in &self.shards {
            let of_it = |inode: &InodeId| inode.snapshot().is_some_and(|(of, _)| of == snapshot);
            let mut gone = Vec::new();
            shard.cells.lock().retain(|inode, cell| {
                if of_it(inode) {
                    gone.push(cell.clone());
                }
                !of_it(inode)
            });
            shard.version.fetch_add(1, Ordering::AcqRel);
            gone.iter().for_each(|cell| cell.state.lock().gone = true);
        }
    }

    /// Number of cells held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.cells.lock().len()).sum()
    }
}

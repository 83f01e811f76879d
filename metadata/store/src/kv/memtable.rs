//! A sorted table in memory whose readers see it as it was when they came.
//!
//! Every applied batch has a version; a row keeps the versions that a living snapshot may still want (all of them while
//! any snapshot lives, only the newest otherwise), so a reader takes the lock per row and never for long. A crash leaves
//! nothing behind: the redo log has it all.

use super::{Batch, Entry, Layer, StoreResult};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a row costs in memory beyond its key and value: tree slot, version, allocation headers (an estimate).
const ROW_OVERHEAD: usize = 96;

/// The table.
#[derive(Debug)]
pub struct Memtable {
    inner: RwLock<Inner>,
    snapshots: AtomicUsize,
    /// Deletions must be remembered because an older layer may hold the row.
    keep_deletions: bool,
}

#[derive(Debug, Default)]
struct Inner {
    rows: BTreeMap<Box<[u8]>, Versions>,
    bytes: usize,
    version: u64,
    deletions: usize,
}

#[derive(Debug)]
enum Versions {
    One(u64, Option<Bytes>),
    /// Oldest first.
    Many(Vec<(u64, Option<Bytes>)>),
}

impl Versions {
    fn at(&self, visible: u64) -> Option<&Option<Bytes>> {
        match self {
            Versions::One(version, value) => (*version <= visible).then_some(value),
            Versions::Many(all) => all.iter().rev().find(|(v, _)| *v <= visible).map(|(_, value)| value),
        }
    }

    fn newest(&self) -> &Option<Bytes> {
        match self {
            Versions::One(_, value) => value,
            Versions::Many(all) => all.last().map_or(&None, |(_, value)| value),
        }
    }

    fn bytes(&self) -> usize {
        let size = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        match self {
            Versions::One(_, value) => size(value),
            Versions::Many(all) => all.iter().map(|(_, value)| size(value) + 40).sum(),
        }
    }

    fn push(&mut self, version: u64, value: Option<Bytes>, keep: bool) {
        if !keep {
            *self = Versions::One(version, value);
            return;
        }
        match self {
            Versions::Many(all) => all.push((version, value)),
            Versions::One(old, was) => {
                *self = Versions::Many(vec![(*old, was.take()), (version, value)]);
            }
        }
    }
}

impl Memtable {
    /// An empty table.
    pub fn new(keep_deletions: bool) -> Memtable {
        Memtable { inner: RwLock::default(), snapshots: AtomicUsize::new(0), keep_deletions }
    }

    /// Applies a batch as `version`, which is larger than all before.
    pub fn apply(&self, batch: Batch, version: u64) {
        let mut inner = self.inner.write();
        debug_assert!(version > inner.version);
        inner.version = version;
        let keep = self.snapshots.load(Ordering::Acquire) > 0;
        for (key, value) in batch.into_rows() {
            let deletion = value.is_none();
            if deletion && !keep && !self.keep_deletions {
                if let Some(old) = inner.rows.remove(key.as_slice()) {
                    inner.bytes = inner.bytes.saturating_sub(key.len() + old.bytes() + ROW_OVERHEAD);
                }
                continue;
            }
            inner.deletions += usize::from(deletion);
            let (added, dropped) = match inner.rows.entry(key.into_boxed_slice()) {
                btree_map::Entry::Occupied(mut there) => {
                    let versions = there.get_mut();
                    let before = versions.bytes();
                    versions.push(version, value, keep);
                    (versions.bytes(), before)
                }
                btree_map::Entry::Vacant(place) => {
                    let added = place.key().len() + value.as_ref().map_or(0, Bytes::len) + ROW_OVERHEAD;
                    place.insert(Versions::One(version, value));
                    (added, 0)
                }
            };
            inner.bytes = (inner.bytes + added).saturating_sub(dropped);
        }
        if !self.keep_deletions && !keep && inner.deletions > 1024 + inner.rows.len() / 4 {
            inner.rows.retain(|_, versions| versions.newest().is_some());
            inner.deletions = 0;
        }
    }

    /// The table as it is now.
    pub fn snapshot(self: &Arc<Self>) -> MemSnapshot {
        let inner = self.inner.read();
        self.snapshots.fetch_add(1, Ordering::AcqRel);
        MemSnapshot { table: Arc::clone(self), visible: inner.version }
    }

    /// Bytes of memory that it takes, estimated.
    pub fn bytes(&self) -> usize {
        self.inner.read().bytes
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.inner.read().rows.is_empty()
    }

    /// Calls `visit` with the newest version of every row in key order; stops at the first error.
    pub fn for_each<E>(
        &self,
        mut visit: impl FnMut(&[u8], Option<&Bytes>) -> Result<(), E>,
    ) -> Result<(), E> {
        let inner = self.inner.read();
        inner.rows.iter().try_for_each(|(key, versions)| visit(key, versions.newest().as_ref()))
    }
}

/// A [`Memtable`] as it was at one version.
#[derive(Debug)]
pub struct MemSnapshot {
    table: Arc<Memtable>,
    visible: u64,
}

impl Drop for MemSnapshot {
    fn drop(&mut self) {
        self.table.snapshots.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Layer for MemSnapshot {
    fn find(&self, key: &[u8]) -> StoreResult<Option<Option<Bytes>>> {
        let inner = self.table.inner.read();
        Ok(inner.rows.get(key).and_then(|versions| versions.at(self.visible)).cloned())
    }

    fn chunk(&self, from: &[u8], to: &[u8], limit: usize) -> StoreResult<Vec<Entry>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let inner = self.table.inner.read();
        let range = inner.rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let known = range.filter_map(|(key, versions)| {
            versions.at(self.visible).map(|value| (key.clone(), value.clone()))
        });
        Ok(known.take(limit).collect())
    }

    fn last_entry(&self, from: &[u8], to: &[u8]) -> StoreResult<Option<Entry>> {
        if from >= to {
            return Ok(None);
        }
        let inner = self.table.inner.read();
        let range = inner.rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let mut known = range.rev().filter_map(|(key, versions)| {
            versions.at(self.visible).map(|value| (key.clone(), value.clone()))
        });
        Ok(known.next())
    }
}

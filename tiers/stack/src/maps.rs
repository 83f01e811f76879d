//! What is cached of file maps: per inode the row's `flushed_seq` and size, per 64 MiB of file the extent runs at that seq.
//!
//! Invariants. Runs are cached under the `flushed_seq` at which they were read, and only when the row had the same before and
//! after: so they are the map of exactly one state of the file. A row is dropped from here after its place and before the
//! journal drops the records; a loader that raced with that does not put the old row back (`versions`).
//! Pure memory: a crash or a cancel leaves nothing.

use crate::error::StackReadError;
use crate::stack::Shared;
use dfs_model::{ExtentRun, Generation, InodeId, Seq};
use dfs_store::StoreError;
use moka::sync::Cache;
use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of file that one cached part of a map covers: at least four full runs, at most 2,048 pieces.
const PART: u64 = 64 << 20;
/// Extent runs asked for at once.
const RUNS_PER_CALL: usize = 512;
/// Rows cached: 64 bytes each.
const ROWS_MAX: u64 = 200_000;
const VERSIONS: usize = 64;

/// Iteration order and eviction do not depend on a random seed, so that a simulation repeats itself.
type Hasher = BuildHasherDefault<DefaultHasher>;

/// What a reader needs of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowState {
    pub flushed_seq: Seq,
    pub size: u64,
    pub generation: Generation,
}

type PartKey = (InodeId, Seq, u64);

/// See the module.
pub(crate) struct FileMaps {
    shared: Arc<Shared>,
    rows: Cache<InodeId, RowState, Hasher>,
    parts: Cache<PartKey, Arc<Vec<ExtentRun>>, Hasher>,
    versions: Vec<AtomicU64>,
}

impl FileMaps {
    pub fn new(shared: Arc<Shared>) -> FileMaps {
        let parts = Cache::builder()
            .max_capacity(shared.settings.map_memory)
            .weigher(|_, runs: &Arc<Vec<ExtentRun>>| {
                let bytes: usize = runs.iter().map(|run| 160 + run.blocks.len() * 24).sum();
                u32::try_from(bytes + 200).unwrap_or(u32::MAX)
            })
            .build_with_hasher(Hasher::default());
        FileMaps {
            shared,
            rows: Cache::builder().max_capacity(ROWS_MAX).build_with_hasher(Hasher::default()),
            parts,
            versions: (0..VERSIONS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn version(&self, inode: InodeId) -> &AtomicU64 {
        &self.versions[inode.0 as usize % VERSIONS]
    }

    /// Drops the row of an inode; its old parts are never found again and age out.
    pub fn forget(&self, inode: InodeId) {
        self.version(inode).fetch_add(1, Ordering::AcqRel);
        self.rows.invalidate(&inode);
    }

    /// Drops the row *and* every part at its seq: what they said of a pack turned out to be past (JOURNAL P4).
    pub fn forget_all_of(&self, inode: InodeId) {
        self.forget(inode);
        self.parts.iter().filter(|(key, _)| key.0 == inode).for_each(|(key, _)| self.parts.invalidate(&*key));
    }

    /// The row as of now or of a moment when it still held. *Errors:* `Gone`; `Io`.
    pub async fn row(&self, inode: InodeId) -> Result<RowState, StackReadError> {
        if let Some(row) = self.rows.get(&inode) {
            return Ok(row);
        }
        let version = self.version(inode).load(Ordering::Acquire);
        let row = self.fresh_row(inode).await?;
        if version == self.version(inode).load(Ordering::Acquire) {
            self.rows.insert(inode, row);
            // A place between the test and the insert must not be undone by it.
            if version != self.version(inode).load(Ordering::Acquire) {
                self.rows.invalidate(&inode);
            }
        }
        Ok(row)
    }

    /// The row, past every cache.
    pub async fn fresh_row(&self, inode: InodeId) -> Result<RowState, StackReadError> {
        let row =
            self.shared.store.inode(self.shared.share, inode).await.map_err(|error| store_failed(&error))?;
        let row = row.ok_or(StackReadError::Gone)?;
        Ok(RowState { flushed_seq: row.flushed_seq, size: row.size, generation: row.generation })
    }

    /// The runs that touch `[start, end)` at exactly the row's `flushed_seq`, in order.
    /// *Errors:* `Moved` when the row is no longer at that seq.
    pub async fn runs(
        &self,
        inode: InodeId,
        row: &RowState,
        start: u64,
        end: u64,
    ) -> Result<Vec<Arc<Vec<ExtentRun>>>, StackReadError> {
        let mut parts = Vec::new();
        let end = end.min(row.size);
        let mut part = start / PART;
        while part.saturating_mul(PART) < end {
            parts.push(self.part(inode, row, part).await?);
            part += 1;
        }
        Ok(parts)
    }

    async fn part(
        &self,
        inode: InodeId,
        row: &RowState,
        part: u64,
    ) -> Result<Arc<Vec<ExtentRun>>, StackReadError> {
        let key = (inode, row.flushed_seq, part);
        if let Some(runs) = self.parts.get(&key) {
            return Ok(runs);
        }
        let start = part.saturating_mul(PART);
        let runs = Arc::new(self.fresh_runs(inode, row, start, start.saturating_add(PART)).await?);
        self.parts.insert(key, runs.clone());
        Ok(runs)
    }

    /// The runs past every cache. *Errors:* `Moved` when the row is no longer at the given seq.
    pub async fn fresh_runs(
        &self,
        inode: InodeId,
        row: &RowState,
        start: u64,
        end: u64,
    ) -> Result<Vec<ExtentRun>, StackReadError> {
        let mut runs: Vec<ExtentRun> = Vec::new();
        let mut from = start;
        while from < end {
            let call = self.shared.store.extents(self.shared.share, inode, from, end, RUNS_PER_CALL);
            let page = call.await.map_err(|error| store_failed(&error))?;
            let full = page.len() >= RUNS_PER_CALL;
            from = page.last().map_or(end, ExtentRun::end);
            runs.extend(page);
            if !full {
                break;
            }
        }
        let after = self.fresh_row(inode).await?;
        if after.flushed_seq != row.flushed_seq {
            self.forget(inode);
            return Err(StackReadError::Moved);
        }
        Ok(runs)
    }
}

pub(crate) fn store_failed(error: &StoreError) -> StackReadError {
    StackReadError::Io(error.to_string())
}

//! A store in memory: for tests and for shares that may be forgotten. Its process' death leaves nothing behind; every
//! transaction counts as durable at once.

use crate::kv::{Layers, Memtable};
use crate::ops::Tx;
use crate::shell::{Backend, Op, Space, Store};
use crate::{Applied, CommitToken, StoreResult};
use async_trait::async_trait;
use dfs_log::Mutations;
use dfs_model::ShareId;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The store.
pub type MemoryStore = Store<Memory>;

/// Rows in memory.
#[derive(Debug)]
pub struct Memory {
    rows: Arc<Memtable>,
    /// Held while an operation runs: transactions are one after the other.
    section: Mutex<()>,
    version: AtomicU64,
    mutations: Mutations,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::with_mutations(Mutations::none())
    }

    /// An empty store in which a test may drop rules.
    #[must_use]
    pub fn with_mutations(mutations: Mutations) -> MemoryStore {
        let rows = Arc::new(Memtable::new(false));
        let backend = Memory { rows, section: Mutex::new(()), version: AtomicU64::new(0), mutations };
        Store { backend, leases: Default::default() }
    }

    /// Bytes of memory that its rows take, estimated.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.backend.rows.bytes()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Backend for Memory {
    type View = Layers;

    fn view(&self) -> StoreResult<Layers> {
        Ok(Layers(vec![Box::new(self.rows.snapshot())]))
    }

    fn mutations(&self) -> &Mutations {
        &self.mutations
    }

    async fn write<T: Send>(&self, share: ShareId, _space: Space, op: Op<'_, T>) -> StoreResult<Applied<T>> {
        let _alone = self.section.lock();
        let view = self.view()?;
        let mut tx = Tx::new(&view, share, &self.mutations);
        let value = op(&mut tx)?;
        let batch = tx.into_batch()?;
        drop(view);
        let mut version = self.version.load(Ordering::Acquire);
        if !batch.is_empty() {
            version += 1;
            self.rows.apply(batch, version);
            self.version.store(version, Ordering::Release);
        }
        Ok(Applied { value, commit: CommitToken(version) })
    }

    async fn durable(&self, _commit: CommitToken) -> StoreResult<()> {
        Ok(())
    }

    fn last_commit(&self) -> CommitToken {
        CommitToken(self.version.load(Ordering::Acquire))
    }

    fn durable_commit(&self) -> CommitToken {
        self.last_commit()
    }

    fn poisoned(&self) -> Option<String> {
        None
    }

    fn place_bytes_max(&self) -> u64 {
        u64::MAX
    }

    async fn checkpoint(&self) -> StoreResult<()> {
        Ok(())
    }
}

//! Hot and warm: what may be forgotten at any moment.
//!
//! One seam, [`BlockCache`]. Hot holds decoded blocks in memory, warm holds the pack's bytes on NVMe. A block id never means
//! two contents, so what a cache returns is right or absent; bytes from warm are still verified by the caller against the
//! extent's checksum, because a disk may rot. Only clean blocks are offered. Nothing here is a promise: nobody, not even a
//! test, may assume that an offer is found again.
//!
//! Implementations: [`TieredCache`] (foyer, with or without NVMe), [`ForgetfulCache`] (simulation: forgets, refuses and
//! rots on purpose), [`NoCache`].
//!
//! A crash leaves a cache that knows less; a cancelled call leaves nothing.

#![forbid(unsafe_code)]

mod error;
mod forgetful;
pub mod metrics;
mod none;
mod queue;
mod tiered;

pub use dfs_policy::Admission;
pub use error::CacheError;
pub use forgetful::{ForgetfulCache, Forgetfulness};
pub use none::NoCache;
pub use tiered::{TieredCache, WarmConfig};

use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::BlockId;

/// Figures of a cache since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CacheStats {
    pub hot_bytes: u64,
    pub hot_capacity: u64,
    pub hot_entries: u64,
    pub hot_hits: u64,
    pub hot_misses: u64,
    pub warm_capacity: u64,
    /// Bytes of disk that its files had when it was opened: less than the capacity where the file system cannot give them
    /// beforehand.
    pub warm_allocated: u64,
    pub warm_hits: u64,
    pub warm_misses: u64,
    /// Bytes handed to the NVMe tier.
    pub warm_written: u64,
    /// Bytes waiting to be handed to it.
    pub warm_queued: u64,
    /// Blocks that our own queue refused because it was full.
    pub dropped_queue: u64,
    /// Blocks that the engine did not keep although they were handed to it.
    pub dropped_engine: u64,
}

/// Hot and warm. May lose anything at any time.
#[async_trait]
pub trait BlockCache: Send + Sync + 'static {
    /// The decoded bytes of a block, if memory has them. Never waits.
    fn hot(&self, block: BlockId) -> Option<Bytes>;

    /// Whether memory has a block; counts and touches nothing.
    fn has_hot(&self, block: BlockId) -> bool;

    /// The stored bytes of a block, if NVMe has them. The caller verifies them and calls [`BlockCache::forget`] when they
    /// are bad. *Cancel:* safe.
    async fn warm(&self, block: BlockId) -> Option<Bytes>;

    /// Offers a clean block: decoded bytes for memory, stored bytes for NVMe, each taken only where `admission` allows it
    /// and there is room. Never waits. The bytes should not be a slice of something much larger: it is kept as a whole.
    fn offer(&self, block: BlockId, stored: Option<Bytes>, decoded: Option<Bytes>, admission: Admission);

    /// Drops a block from both tiers.
    fn forget(&self, block: BlockId);

    /// Whether there is an NVMe tier.
    fn has_warm(&self) -> bool;

    /// Figures.
    fn stats(&self) -> CacheStats;

    /// Ends writing and waits for what is under way. Later offers are refused, reads miss.
    async fn close(&self);
}

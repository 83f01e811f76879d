//! No cache at all: every read goes to the object store. For tests of the paths below.

use crate::{Admission, BlockCache, CacheStats};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::BlockId;

/// A cache that holds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCache;

#[async_trait]
impl BlockCache for NoCache {
    fn hot(&self, _: BlockId) -> Option<Bytes> {
        None
    }

    fn has_hot(&self, _: BlockId) -> bool {
        false
    }

    async fn warm(&self, _: BlockId) -> Option<Bytes> {
        None
    }

    fn offer(&self, _: BlockId, _: Option<Bytes>, _: Option<Bytes>, _: Admission) {}

    fn forget(&self, _: BlockId) {}

    fn has_warm(&self) -> bool {
        false
    }

    fn stats(&self) -> CacheStats {
        CacheStats::default()
    }

    async fn close(&self) {}
}

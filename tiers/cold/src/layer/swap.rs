//! Under all layers: the store itself, which may be replaced by another door to the same bucket.
//!
//! A call that has begun ends at the store that it began with; the next one goes to the new store. An upload that the old
//! credentials cannot finish any more fails as any other would and is tried again by the layers above, at the new store.

use crate::store::{
    ColdStore, DeleteOutcome, ListPage, ListToken, ObjectInfo, ObjectVersion, PutBody, PutOutcome,
};
use crate::{ColdInfo, ColdResult, Key, KeyPrefix};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use std::ops::Range;
use std::sync::Arc;

pub(crate) struct Swap(RwLock<Arc<dyn ColdStore>>);

impl Swap {
    pub(crate) fn new(store: Arc<dyn ColdStore>) -> Swap {
        Swap(RwLock::new(store))
    }

    pub(crate) fn set(&self, store: Arc<dyn ColdStore>) {
        *self.0.write() = store;
    }

    fn now(&self) -> Arc<dyn ColdStore> {
        self.0.read().clone()
    }
}

#[async_trait]
impl ColdStore for Swap {
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        self.now().put_if_absent(key, body).await
    }

    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion> {
        self.now().put_owner(key, body, expected).await
    }

    async fn get_owner(&self, key: &Key) -> ColdResult<(Bytes, ObjectVersion)> {
        self.now().get_owner(key).await
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> ColdResult<Vec<Bytes>> {
        self.now().get_ranges(key, ranges).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> ColdResult<Bytes> {
        self.now().get_range(key, range).await
    }

    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo> {
        self.now().head(key).await
    }

    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage> {
        self.now().list_page(prefix, after).await
    }

    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        self.now().delete_batch(keys).await
    }

    fn describe(&self) -> ColdInfo {
        self.now().describe()
    }
}

//! Bounds what is asked of a store at once: attempts, and optionally bytes per second.
//!
//! Uploads and everything else have permits of their own, so that a full upload window never keeps a reader waiting. A dropped call gives its permit back; bandwidth it reserved is spent.

use crate::store::{
    ColdInfo, ColdStore, DeleteOutcome, ListPage, ListToken, ObjectInfo, ObjectVersion, span,
};
use crate::{ColdResult, Key, KeyPrefix, PutBody, PutOutcome};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::{Clock, Monotonic};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bounds of a store.
#[derive(Clone, Debug)]
pub struct LimitConfig {
    /// Puts under way at once.
    pub uploads_max: usize,
    /// Other requests under way at once.
    pub requests_max: usize,
    /// Bytes per second of puts; `None`: no bound.
    pub upload_rate: Option<u64>,
    /// Bytes per second of ranged reads; `None`: no bound.
    pub download_rate: Option<u64>,
    /// Time that an attempt gets before its body is counted.
    pub attempt_timeout: Duration,
    /// Bytes per second below which a body is too slow: adds `body / rate` to the time of an attempt.
    pub rate_min: u64,
}

impl Default for LimitConfig {
    fn default() -> LimitConfig {
        LimitConfig {
            uploads_max: 32,
            requests_max: 64,
            upload_rate: None,
            download_rate: None,
            attempt_timeout: Duration::from_secs(15),
            rate_min: 256 * 1024,
        }
    }
}

/// Hands out a rate by giving every taker a start time.
struct Bandwidth {
    bytes_per_second: u64,
    free_at: Mutex<Monotonic>,
}

impl Bandwidth {
    fn new(rate: Option<u64>) -> Option<Bandwidth> {
        rate.map(|rate| Bandwidth { bytes_per_second: rate.max(1), free_at: Mutex::default() })
    }

    /// Takes `bytes` and says how long to wait before using them.
    fn take(&self, bytes: u64, now: Monotonic) -> Duration {
        let mut free_at = self.free_at.lock();
        let start = (*free_at).max(now);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        *free_at = start.plus(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
        start.since(now)
    }
}

pub(crate) struct Limit {
    inner: Arc<dyn ColdStore>,
    uploads: Semaphore,
    requests: Semaphore,
    upload: Option<Bandwidth>,
    download: Option<Bandwidth>,
    clock: Arc<dyn Clock>,
}

impl Limit {
    pub(crate) fn new(inner: Arc<dyn ColdStore>, config: &LimitConfig, clock: Arc<dyn Clock>) -> Limit {
        Limit {
            inner,
            uploads: Semaphore::new(config.uploads_max.clamp(1, Semaphore::MAX_PERMITS)),
            requests: Semaphore::new(config.requests_max.clamp(1, Semaphore::MAX_PERMITS)),
            upload: Bandwidth::new(config.upload_rate),
            download: Bandwidth::new(config.download_rate),
            clock,
        }
    }

    async fn permit<'a>(&self, from: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        // The semaphores are never closed; were they, running without a permit is better than not running.
        from.acquire().await.ok()
    }

    async fn pace(&self, bandwidth: Option<&Bandwidth>, bytes: u64) {
        if let Some(bandwidth) = bandwidth {
            let wait = bandwidth.take(bytes, self.clock.monotonic());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }
}

#[async_trait]
impl ColdStore for Limit {
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        let _permit = self.permit(&self.uploads).await;
        let len = body.len();
        self.pace(self.upload.as_ref(), len).await;
        self.inner.put_if_absent(key, body).await
    }

    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion> {
        let _permit = self.permit(&self.requests).await;
        self.inner.put_owner(key, body, expected).await
    }

    async fn get_owner(&self, key: &Key) -> ColdResult<(Bytes, ObjectVersion)> {
        let _permit = self.permit(&self.requests).await;
        self.inner.get_owner(key).await
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> ColdResult<Vec<Bytes>> {
        let _permit = self.permit(&self.requests).await;
        let Range { start, end } = span(ranges);
        self.pace(self.download.as_ref(), end.saturating_sub(start)).await;
        self.inner.get_ranges(key, ranges).await
    }

    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo> {
        let _permit = self.permit(&self.requests).await;
        self.inner.head(key).await
    }

    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage> {
        let _permit = self.permit(&self.requests).await;
        self.inner.list_page(prefix, after).await
    }

    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        let _permit = self.permit(&self.requests).await;
        self.inner.delete_batch(keys).await
    }

    fn describe(&self) -> ColdInfo {
        self.inner.describe()
    }
}

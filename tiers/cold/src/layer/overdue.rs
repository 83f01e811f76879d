//! Ends an attempt that takes too long. It lies below the meter, so that silence counts as a failure like any other: a store
//! that answers nothing at all must be seen as down.

use super::limit::LimitConfig;
use crate::store::span;
use crate::{
    ColdError, ColdErrorKind, ColdInfo, ColdOp, ColdResult, ColdStore, DeleteOutcome, Key, KeyPrefix,
    ListPage, ListToken, ObjectInfo, ObjectVersion, PutBody, PutOutcome,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// What a deleted key counts as, in bytes of a body: a thousand of them may take a store some time.
const KEY_WEIGHT: u64 = 16 * 1024;

pub(crate) struct Overdue {
    inner: Arc<dyn ColdStore>,
    attempt_timeout: Duration,
    rate_min: u64,
    name: String,
}

impl Overdue {
    pub(crate) fn new(inner: Arc<dyn ColdStore>, config: &LimitConfig, name: String) -> Overdue {
        Overdue { inner, attempt_timeout: config.attempt_timeout, rate_min: config.rate_min.max(1), name }
    }

    async fn in_time<T>(
        &self,
        op: ColdOp,
        key: &str,
        bytes: u64,
        call: impl Future<Output = ColdResult<T>>,
    ) -> ColdResult<T> {
        let limit = self.attempt_timeout + Duration::from_secs(bytes / self.rate_min);
        match tokio::time::timeout(limit, call).await {
            Ok(result) => result,
            Err(_) => {
                let detail = format!("no answer within {} s", limit.as_secs_f32());
                let mut error = ColdError::new(ColdErrorKind::Retry, op, &self.name, detail);
                key.clone_into(&mut error.key);
                Err(error)
            }
        }
    }
}

#[async_trait]
impl ColdStore for Overdue {
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        let len = body.len();
        self.in_time(ColdOp::Put, key.as_str(), len, self.inner.put_if_absent(key, body)).await
    }

    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion> {
        self.in_time(ColdOp::PutOwner, key.as_str(), 0, self.inner.put_owner(key, body, expected)).await
    }

    async fn get_owner(&self, key: &Key) -> ColdResult<(Bytes, ObjectVersion)> {
        self.in_time(ColdOp::GetOwner, key.as_str(), 0, self.inner.get_owner(key)).await
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> ColdResult<Vec<Bytes>> {
        let Range { start, end } = span(ranges);
        let len = end.saturating_sub(start);
        self.in_time(ColdOp::Get, key.as_str(), len, self.inner.get_ranges(key, ranges)).await
    }

    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo> {
        self.in_time(ColdOp::Head, key.as_str(), 0, self.inner.head(key)).await
    }

    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage> {
        self.in_time(ColdOp::List, prefix.as_str(), 0, self.inner.list_page(prefix, after)).await
    }

    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        let weight = keys.len() as u64 * KEY_WEIGHT;
        self.in_time(ColdOp::Delete, "", weight, self.inner.delete_batch(keys)).await
    }

    fn describe(&self) -> ColdInfo {
        self.inner.describe()
    }
}

//! Counts and times every attempt, tells the health keeper, and holds the backend to its word that a ranged read is exact.
//! A dropped call leaves its counts right.

use crate::health::HealthKeeper;
use crate::metrics::ColdMetrics;
use crate::store::{ColdInfo, ColdStore, DeleteOutcome, ListPage, ListToken, ObjectInfo, ObjectVersion};
use crate::{ColdError, ColdErrorKind, ColdOp, ColdResult, ColdState, Key, KeyPrefix, PutBody, PutOutcome};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::{Clock, Monotonic};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Attempts at a store since it was opened, for status and tests.
#[derive(Debug, Default)]
pub struct ColdCounters {
    attempts: [AtomicU64; ColdOp::ALL.len()],
    failures: [AtomicU64; ColdOp::ALL.len()],
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    in_flight: AtomicU64,
    retries: AtomicU64,
    unknown_puts: AtomicU64,
}

impl ColdCounters {
    /// Attempts of one operation, failed ones included.
    #[must_use]
    pub fn attempts(&self, op: ColdOp) -> u64 {
        self.attempts.get(op as usize).map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// Attempts of one operation that ended in an error.
    #[must_use]
    pub fn failures(&self, op: ColdOp) -> u64 {
        self.failures.get(op as usize).map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// Body bytes of puts that stored something.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Body bytes received.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Attempts made again after a failure.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Puts given up with an outcome that nobody knows.
    #[must_use]
    pub fn unknown_puts(&self) -> u64 {
        self.unknown_puts.load(Ordering::Relaxed)
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unknown_put(&self) {
        self.unknown_puts.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Meter {
    pub inner: Arc<dyn ColdStore>,
    pub counters: Arc<ColdCounters>,
    pub metrics: Arc<ColdMetrics>,
    pub health: Arc<HealthKeeper>,
    pub clock: Arc<dyn Clock>,
    pub name: String,
}

/// One attempt; counted as `dropped` when it goes away before its end.
struct Attempt<'a> {
    meter: &'a Meter,
    op: ColdOp,
    started: Monotonic,
    outcome: &'static str,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.meter.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.meter.metrics.in_flight.decrement(1.0);
        let seconds = self.meter.clock.monotonic().since(self.started).as_secs_f64();
        self.meter.metrics.attempt(self.op, self.outcome, seconds);
    }
}

impl Meter {
    async fn measure<T>(
        &self,
        op: ColdOp,
        call: impl Future<Output = ColdResult<T>>,
        judge: impl FnOnce(T) -> ColdResult<(T, &'static str)>,
    ) -> ColdResult<T> {
        if let Some(counter) = self.counters.attempts.get(op as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        self.metrics.in_flight.increment(1.0);
        let mut attempt = Attempt { meter: self, op, started: self.clock.monotonic(), outcome: "dropped" };
        match call.await.and_then(judge) {
            Ok((value, outcome)) => {
                attempt.outcome = outcome;
                self.note(self.health.success(op, self.clock.wall()));
                Ok(value)
            }
            Err(error) => {
                attempt.outcome = error.outcome();
                if let Some(counter) = self.counters.failures.get(op as usize) {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                self.note(self.health.failure(&error, self.clock.wall()));
                Err(error)
            }
        }
    }

    /// Tells people and the gauge about a change of state.
    fn note(&self, change: Option<ColdState>) {
        let store = &self.name;
        match change {
            None => {}
            Some(ColdState::Up) => {
                self.metrics.up.set(1.0);
                tracing::info!(store, "cold store is up again");
            }
            Some(ColdState::Down { .. }) => {
                self.metrics.up.set(0.0);
                let error = self.last_error();
                tracing::warn!(store, error, "cold store does not answer; writes go on into the journal");
            }
            Some(ColdState::Permanent { cause, .. }) => {
                self.metrics.up.set(-1.0);
                let error = self.last_error();
                tracing::error!(
                    store,
                    cause = cause.name(),
                    error,
                    "cold store refuses until something is changed"
                );
            }
        }
    }

    fn last_error(&self) -> String {
        let health = self.health.subscribe();
        let last = health.borrow().last_error.clone();
        last.map(|(_, text)| text).unwrap_or_default()
    }

    fn sent(&self, bytes: u64) {
        self.counters.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.metrics.sent.increment(bytes);
    }

    fn received(&self, bytes: u64) {
        self.counters.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.metrics.received.increment(bytes);
    }
}

#[async_trait]
impl ColdStore for Meter {
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        let len = body.len();
        let judge = |outcome| match outcome {
            PutOutcome::Stored => {
                self.sent(len);
                Ok((outcome, "ok"))
            }
            PutOutcome::Exists => Ok((outcome, "exists")),
        };
        self.measure(ColdOp::Put, self.inner.put_if_absent(key, body), judge).await
    }

    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion> {
        let len = body.len() as u64;
        let judge = |version| {
            self.sent(len);
            Ok((version, "ok"))
        };
        self.measure(ColdOp::PutOwner, self.inner.put_owner(key, body, expected), judge).await
    }

    async fn get_owner(&self, key: &Key) -> ColdResult<(Bytes, ObjectVersion)> {
        let judge = |got: (Bytes, ObjectVersion)| {
            self.received(got.0.len() as u64);
            Ok((got, "ok"))
        };
        self.measure(ColdOp::GetOwner, self.inner.get_owner(key), judge).await
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> ColdResult<Vec<Bytes>> {
        let wanted = || ranges.iter().map(|range| range.end.saturating_sub(range.start));
        let judge = |bytes: Vec<Bytes>| {
            let came = || bytes.iter().map(|bytes| bytes.len() as u64);
            self.received(came().sum());
            if came().eq(wanted()) {
                return Ok((bytes, "ok"));
            }
            let (came, wanted): (u64, u64) = (came().sum(), wanted().sum());
            let detail = format!("{came} bytes came instead of {wanted}");
            Err(ColdError::new(ColdErrorKind::Retry, ColdOp::Get, &self.name, detail).key(key))
        };
        self.measure(ColdOp::Get, self.inner.get_ranges(key, ranges), judge).await
    }

    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo> {
        self.measure(ColdOp::Head, self.inner.head(key), |info| Ok((info, "ok"))).await
    }

    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage> {
        self.measure(ColdOp::List, self.inner.list_page(prefix, after), |page| Ok((page, "ok"))).await
    }

    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        let count = keys.len();
        let judge = |outcomes: Vec<DeleteOutcome>| match outcomes.len() == count {
            true => Ok((outcomes, "ok")),
            false => {
                let detail = format!("{} outcomes for {count} keys", outcomes.len());
                Err(ColdError::new(ColdErrorKind::Retry, ColdOp::Delete, &self.name, detail))
            }
        };
        self.measure(ColdOp::Delete, self.inner.delete_batch(keys), judge).await
    }

    fn describe(&self) -> ColdInfo {
        self.inner.describe()
    }
}

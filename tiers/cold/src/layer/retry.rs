//! The one retrier: exponential backoff with jitter, within a number of attempts and a deadline.
//!
//! A put is tried again with the same bytes under the same key, which is harmless; but once an attempt is in doubt, "it
//! exists" proves nothing any more: it may be our own late upload or somebody else's object. Then, and when attempts run
//! out in doubt, the answer is `Unknown`, and the caller abandons the id (JOURNAL §5.2). Only a `Stored` from the store
//! itself is ever reported as stored.
//! Closing cuts every wait short with `Cancelled`; what was under way then is in doubt.

use super::meter::ColdCounters;
use crate::metrics::ColdMetrics;
use crate::store::{ColdInfo, ColdStore, DeleteOutcome, ListPage, ListToken, ObjectInfo, ObjectVersion};
use crate::{ColdError, ColdErrorKind, ColdOp, ColdResult, Key, KeyPrefix, PutBody, PutOutcome, RetryClass};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::{Clock, Entropy, Monotonic};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Patience with a store.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    /// Most attempts, the first included.
    pub attempts_max: u32,
    /// Wait before the second attempt, before jitter.
    pub delay_first: Duration,
    /// Longest wait that the doubling leads to.
    pub delay_max: Duration,
    /// Time after which no further attempt is begun.
    pub deadline: Duration,
}

impl Default for RetryConfig {
    fn default() -> RetryConfig {
        RetryConfig {
            attempts_max: 6,
            delay_first: Duration::from_millis(100),
            delay_max: Duration::from_secs(5),
            deadline: Duration::from_secs(60),
        }
    }
}

pub(crate) struct Retry {
    pub inner: Arc<dyn ColdStore>,
    pub config: RetryConfig,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub counters: Arc<ColdCounters>,
    pub metrics: Arc<ColdMetrics>,
    pub closed: watch::Receiver<bool>,
    pub name: String,
}

type Call<'a, T> = Pin<Box<dyn Future<Output = ColdResult<T>> + Send + 'a>>;

/// Attempts and patience of one call.
struct Tries {
    attempts: u32,
    until: Monotonic,
    /// Whether an attempt so far may have had an effect although it failed.
    doubt: bool,
}

impl Retry {
    fn tries(&self) -> Tries {
        Tries { attempts: 0, until: self.clock.monotonic().plus(self.config.deadline), doubt: false }
    }

    fn cancelled(&self, op: ColdOp, in_doubt: bool) -> ColdError {
        let error =
            ColdError::new(ColdErrorKind::Cancelled, op, &self.name, "the cold store is being closed");
        ColdError { in_doubt, ..error }
    }

    /// Runs `call` unless the store is being closed.
    async fn attempt<T>(&self, op: ColdOp, call: Call<'_, T>) -> ColdResult<T> {
        let mut closed = self.closed.clone();
        if *closed.borrow() {
            return Err(self.cancelled(op, false));
        }
        tokio::select! {
            biased;
            result = call => result,
            true = async { closed.wait_for(|closed| *closed).await.is_ok() } => Err(self.cancelled(op, true)),
        }
    }

    /// How long to wait before the attempt after `tries.attempts`, or `None` when patience is at its end.
    fn delay(&self, tries: &Tries, class: RetryClass) -> Option<Duration> {
        let asked = match class {
            RetryClass::Never => return None,
            RetryClass::Retry => Duration::ZERO,
            RetryClass::Throttled(after) => after.unwrap_or_default(),
        };
        if tries.attempts >= self.config.attempts_max {
            return None;
        }
        let doublings = tries.attempts.saturating_sub(1).min(16);
        let full = self.config.delay_first.saturating_mul(1 << doublings).min(self.config.delay_max);
        let mut random = [0u8; 8];
        self.entropy.fill(&mut random);
        // Half fixed, half random: spreads clients out without ever hammering.
        let part = (u64::from_le_bytes(random) >> 11) as f64 / (1u64 << 53) as f64;
        let wait = asked + full.mul_f64(0.5 + part / 2.0);
        (self.clock.monotonic().plus(wait) < tries.until).then_some(wait)
    }

    /// Waits before the next attempt; `false` when closed meanwhile.
    async fn wait(&self, op: ColdOp, delay: Duration) -> bool {
        self.counters.retried();
        self.metrics.retried(op);
        let mut closed = self.closed.clone();
        tokio::select! {
            () = tokio::time::sleep(delay) => true,
            true = async { closed.wait_for(|closed| *closed).await.is_ok() } => false,
        }
    }

    async fn run<'a, T>(
        &self,
        op: ColdOp,
        tries: &mut Tries,
        call: impl Fn() -> Call<'a, T>,
    ) -> ColdResult<T> {
        loop {
            tries.attempts += 1;
            let error = match self.attempt(op, call()).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            tries.doubt |= error.in_doubt;
            let Some(delay) = self.delay(tries, error.class()) else { return Err(error) };
            tracing::debug!(store = self.name, %error, attempt = tries.attempts, ?delay, "cold store: trying again");
            if !self.wait(op, delay).await {
                return Err(self.cancelled(op, false));
            }
        }
    }

    /// Turns the error of a write into `Unknown` where it may have happened all the same.
    fn doubt(&self, tries: &Tries, mut error: ColdError) -> ColdError {
        if tries.doubt && error.kind != ColdErrorKind::Cancelled {
            error.kind = ColdErrorKind::Unknown;
        }
        error.in_doubt = tries.doubt;
        if tries.doubt {
            self.counters.unknown_put();
            self.metrics.unknown_puts.increment(1);
        }
        error
    }
}

#[async_trait]
impl ColdStore for Retry {
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        let mut tries = self.tries();
        match self.run(ColdOp::Put, &mut tries, || self.inner.put_if_absent(key, body.clone())).await {
            Ok(PutOutcome::Exists) if tries.doubt => {
                let detail = "an object is there after an attempt without an answer";
                let error = ColdError::new(ColdErrorKind::Unknown, ColdOp::Put, &self.name, detail).key(key);
                Err(self.doubt(&tries, error))
            }
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(self.doubt(&tries, error)),
        }
    }

    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion> {
        let mut tries = self.tries();
        let result = self
            .run(ColdOp::PutOwner, &mut tries, || self.inner.put_owner(key, body.clone(), expected))
            .await;
        // A conflict after doubt may be with ourselves: the caller reads the object and compares.
        result.map_err(|error| self.doubt(&tries, error))
    }

    async fn get_owner(&self, key: &Key) -> ColdResult<(Bytes, ObjectVersion)> {
        self.run(ColdOp::GetOwner, &mut self.tries(), || self.inner.get_owner(key)).await
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> ColdResult<Vec<Bytes>> {
        self.run(ColdOp::Get, &mut self.tries(), || self.inner.get_ranges(key, ranges)).await
    }

    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo> {
        self.run(ColdOp::Head, &mut self.tries(), || self.inner.head(key)).await
    }

    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage> {
        self.run(ColdOp::List, &mut self.tries(), || self.inner.list_page(prefix, after)).await
    }

    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        let mut tries = self.tries();
        let mut outcomes = self.run(ColdOp::Delete, &mut tries, || self.inner.delete_batch(keys)).await?;
        loop {
            let class = |outcome: &DeleteOutcome| match outcome {
                DeleteOutcome::Gone => RetryClass::Never,
                DeleteOutcome::Failed(error) => error.class(),
            };
            let again: Vec<usize> = (0..outcomes.len())
                .filter(|i| outcomes.get(*i).is_some_and(|o| class(o) != RetryClass::Never))
                .collect();
            let Some(first) = again.first().and_then(|i| outcomes.get(*i)).map(class) else {
                return Ok(outcomes);
            };
            let Some(delay) = self.delay(&tries, first) else { return Ok(outcomes) };
            if !self.wait(ColdOp::Delete, delay).await {
                return Ok(outcomes);
            }
            let some: Vec<Key> = again.iter().filter_map(|i| keys.get(*i).cloned()).collect();
            let Ok(newer) = self.run(ColdOp::Delete, &mut tries, || self.inner.delete_batch(&some)).await
            else {
                return Ok(outcomes);
            };
            for (at, outcome) in again.into_iter().zip(newer) {
                if let Some(slot) = outcomes.get_mut(at) {
                    *slot = outcome;
                }
            }
        }
    }

    fn describe(&self) -> ColdInfo {
        self.inner.describe()
    }
}

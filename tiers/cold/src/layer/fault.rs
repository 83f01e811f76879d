//! Makes a store misbehave on purpose, by a seed and a plan that may be changed while it runs.
//!
//! It does what links and stores do: refuse, throttle, answer late or not at all, lose the reply of a put that landed, let a
//! put land after its failure was reported, send too few bytes or wrong ones, lose the bucket, deny access. Late puts run in
//! tasks of their own and end with the runtime.

use crate::store::{ColdInfo, ColdStore, DeleteOutcome, ListPage, ListToken, ObjectInfo, ObjectVersion};
use crate::{
    ColdError, ColdErrorKind, ColdOp, ColdResult, Key, KeyPrefix, PermanentCause, PutBody, PutOutcome,
};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What goes wrong, and how often. Rates are 0.0 … 1.0 and tested in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    /// Every call fails, in doubt, until this is taken back.
    pub cut: bool,
    /// Every call is refused with this cause.
    pub permanent: Option<PermanentCause>,
    /// Time that every call takes at least, and a random addition to it.
    pub latency: (Duration, Duration),
    /// Calls refused with "slow down".
    pub throttle_rate: f64,
    /// What a refused call is told to wait.
    pub throttle_after: Option<Duration>,
    /// Calls that fail, in doubt, without any effect.
    pub error_rate: f64,
    /// Puts that land, but whose answer is a failure.
    pub lost_reply_rate: f64,
    /// Puts that are answered with a failure and land later.
    pub late_put_rate: f64,
    /// When they land.
    pub late_put_delay: Duration,
    /// Longest time between a put's landing and its answer.
    pub put_answer_delay: Duration,
    /// Ranged reads that come short.
    pub partial_rate: f64,
    /// Reads, of the owner object too, with a bit flipped.
    pub wrong_bytes_rate: f64,
}

/// Faults dealt so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct FaultCounts {
    pub refused: u64,
    pub throttled: u64,
    pub errors: u64,
    pub lost_replies: u64,
    pub late_puts: u64,
    pub late_puts_landed: u64,
    pub partial: u64,
    pub wrong_bytes: u64,
}

struct Shared {
    plan: Mutex<FaultPlan>,
    counts: Mutex<FaultCounts>,
    random: AtomicU64,
}

/// Steers a fault layer from outside; clones steer the same one.
#[derive(Clone)]
pub struct FaultHandle(Arc<Shared>);

impl FaultHandle {
    /// A handle whose faults follow from the seed (and the order of the calls). Nothing goes wrong until a plan says so.
    #[must_use]
    pub fn new(seed: u64) -> FaultHandle {
        let shared =
            Shared { plan: Mutex::default(), counts: Mutex::default(), random: AtomicU64::new(seed) };
        FaultHandle(Arc::new(shared))
    }

    /// Changes the plan.
    pub fn change(&self, apply: impl FnOnce(&mut FaultPlan)) {
        apply(&mut self.0.plan.lock());
    }

    /// Back to a store without faults.
    pub fn heal(&self) {
        self.change(|plan| *plan = FaultPlan::default());
    }

    /// Faults dealt so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        *self.0.counts.lock()
    }

    fn count(&self, apply: impl FnOnce(&mut FaultCounts)) {
        apply(&mut self.0.counts.lock());
    }

    /// The next number of the seeded sequence (splitmix64).
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn hit(&self, rate: f64) -> bool {
        rate > 0.0 && ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < rate
    }
}

pub(crate) struct Fault {
    pub inner: Arc<dyn ColdStore>,
    pub handle: FaultHandle,
}

impl Fault {
    fn error(kind: ColdErrorKind, op: ColdOp, key: &str, detail: &str) -> ColdError {
        let mut error = ColdError::new(kind, op, "fault", detail);
        key.clone_into(&mut error.key);
        error
    }

    /// What befalls every call; answers the plan for what befalls only some.
    async fn before(&self, op: ColdOp, key: &str) -> ColdResult<FaultPlan> {
        let plan = self.handle.0.plan.lock().clone();
        let (least, more) = plan.latency;
        if !(least + more).is_zero() {
            let part = (self.handle.next() % 1001) as f64 / 1000.0;
            tokio::time::sleep(least + more.mul_f64(part)).await;
        }
        // The plan may have changed during the wait: a cut link stays silent.
        let plan = self.handle.0.plan.lock().clone();
        if plan.cut {
            self.handle.count(|c| c.refused += 1);
            return Err(Self::error(ColdErrorKind::Retry, op, key, "the link is cut"));
        }
        if let Some(cause) = plan.permanent {
            self.handle.count(|c| c.refused += 1);
            return Err(Self::error(ColdErrorKind::Permanent(cause), op, key, "refused by plan"));
        }
        if self.handle.hit(plan.throttle_rate) {
            self.handle.count(|c| c.throttled += 1);
            let kind = ColdErrorKind::Throttled { after: plan.throttle_after };
            return Err(Self::error(kind, op, key, "slow down"));
        }
        if self.handle.hit(plan.error_rate) {
            self.handle.count(|c| c.errors += 1);
            return Err(Self::error(ColdErrorKind::Retry, op, key, "internal error by plan"));
        }
        Ok(plan)
    }

    fn maybe_flipped(&self, plan: &FaultPlan, bytes: Bytes) -> Bytes {
        if bytes.is_empty() || !self.handle.hit(plan.wrong_bytes_rate) {
            return bytes;
        }
        self.handle.count(|c| c.wrong_bytes += 1);
        let at = (self.handle.next() % bytes.len() as u64) as usize;
        let mut wrong = bytes.to_vec();
        if let Some(byte) = wrong.get_mut(at) {
            *byte ^= 1 << (self.handle.next() % 8);
        }
        wrong.into()
    }

    fn land_later(&self, key: &Key, body: PutBody, delay: Duration) {
        let (inner, key, handle) = (Arc::clone(&self.inner), key.clone(), self.handle.clone());
        handle.count(|c| c.late_puts += 1);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Ok(PutOutcome::Stored) = inner.put_if_absent(&key, body).await {
                handle.count(|c| c.late_puts_landed += 1);
            }
        });
    }
}

#[async_trait]
impl ColdStore for Fault {
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        let plan = self.before(ColdOp::Put, key.as_str()).await?;
        let failed = |detail| Err(Self::error(ColdErrorKind::Retry, ColdOp::Put, key.as_str(), detail));
        if self.handle.hit(plan.late_put_rate) {
            self.land_later(key, body, plan.late_put_delay);
            return failed("connection lost before the put landed");
        }
        let outcome = self.inner.put_if_absent(key, body).await?;
        if !plan.put_answer_delay.is_zero() {
            tokio::time::sleep(
                plan.put_answer_delay.mul_f64((self.handle.next() >> 11) as f64 / (1u64 << 53) as f64),
            )
            .await;
        }
        if self.handle.hit(plan.lost_reply_rate) {
            self.handle.count(|c| c.lost_replies += 1);
            return failed("connection lost after the put landed");
        }
        Ok(outcome)
    }

    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion> {
        let plan = self.before(ColdOp::PutOwner, key.as_str()).await?;
        let version = self.inner.put_owner(key, body, expected).await?;
        if self.handle.hit(plan.lost_reply_rate) {
            self.handle.count(|c| c.lost_replies += 1);
            let detail = "connection lost after the put landed";
            return Err(Self::error(ColdErrorKind::Retry, ColdOp::PutOwner, key.as_str(), detail));
        }
        Ok(version)
    }

    async fn get_owner(&self, key: &Key) -> ColdResult<(Bytes, ObjectVersion)> {
        let plan = self.before(ColdOp::GetOwner, key.as_str()).await?;
        let (bytes, version) = self.inner.get_owner(key).await?;
        Ok((self.maybe_flipped(&plan, bytes), version))
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> ColdResult<Vec<Bytes>> {
        let plan = self.before(ColdOp::Get, key.as_str()).await?;
        let mut all = self.inner.get_ranges(key, ranges).await?;
        // One of them is hit; what a single range draws does not depend on there being others.
        let which = if all.len() > 1 { (self.handle.next() % all.len() as u64) as usize } else { 0 };
        let Some(bytes) = all.get_mut(which).filter(|bytes| !bytes.is_empty()) else { return Ok(all) };
        if self.handle.hit(plan.partial_rate) {
            self.handle.count(|c| c.partial += 1);
            bytes.truncate((self.handle.next() % bytes.len() as u64) as usize);
        } else {
            *bytes = self.maybe_flipped(&plan, std::mem::take(bytes));
        }
        Ok(all)
    }

    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo> {
        self.before(ColdOp::Head, key.as_str()).await?;
        self.inner.head(key).await
    }

    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage> {
        self.before(ColdOp::List, prefix.as_str()).await?;
        self.inner.list_page(prefix, after).await
    }

    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        self.before(ColdOp::Delete, "").await?;
        self.inner.delete_batch(keys).await
    }

    fn describe(&self) -> ColdInfo {
        self.inner.describe()
    }
}

//! Permits: a count and bytes, taken before memory is, given back when the reply is in the kernel.
//!
//! Order of taking, so that nobody can wait in a circle: count, small pool, large pool; who holds large bytes and needs
//! more gives them back first. A dropped [`Held`] gives everything back, on every path.

use crate::limits::Limits;
use metrics::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Most bytes of the large pool: what its semaphore counts in one take.
const LARGE_MOST: usize = u32::MAX as usize;

/// The permits that all connections share.
pub struct Pool {
    requests: Semaphore,
    small: Semaphore,
    small_max: usize,
    large: Semaphore,
    large_max: AtomicUsize,
    /// Least bytes of the large pool: the largest single request.
    large_least: usize,
    small_used: Gauge,
    large_used: Gauge,
}

impl Pool {
    /// Makes the permits of these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Pool> {
        let large_least = (limits.record_bytes_max + Limits::REPLY_ALLOWANCE).min(LARGE_MOST);
        let large_max = limits.large_bytes_max.clamp(large_least, LARGE_MOST);
        let small_max = limits.small_bytes_max.max(Limits::SMALL_BYTES);
        Arc::new(Pool {
            requests: Semaphore::new(limits.requests_max.max(1)),
            small: Semaphore::new(small_max),
            small_max,
            large: Semaphore::new(large_max),
            large_max: AtomicUsize::new(large_max),
            large_least,
            small_used: metrics::gauge!("dfs_net_permit_bytes", "pool" => "small"),
            large_used: metrics::gauge!("dfs_net_permit_bytes", "pool" => "large"),
        })
    }

    fn large_max(&self) -> usize {
        self.large_max.load(Ordering::Relaxed)
    }

    /// Changes the bytes of the large pool. What is held stays held: a smaller pool is one as permits come back. Must run on a
    /// tokio runtime.
    pub fn resize_large(self: &Arc<Pool>, bytes: usize) {
        let bytes = bytes.clamp(self.large_least, LARGE_MOST);
        let before = self.large_max.swap(bytes, Ordering::Relaxed);
        if bytes >= before {
            self.large.add_permits(bytes - before);
            return;
        }
        let (pool, less) = (self.clone(), (before - bytes) as u32);
        tokio::spawn(async move {
            if let Ok(permits) = pool.large.acquire_many(less).await {
                permits.forget();
            }
        });
    }

    /// Bytes of the large pool that are free.
    #[must_use]
    pub fn large_free(&self) -> usize {
        self.large.available_permits()
    }

    /// Bytes of the small pool that are free.
    #[must_use]
    pub fn small_free(&self) -> usize {
        self.small.available_permits()
    }

    /// Shows what is in use. Connections do so once for all that they did in a round.
    pub(crate) fn publish(&self) {
        self.small_used.set(self.small_max.saturating_sub(self.small_free()) as f64);
        self.large_used.set(self.large_max().saturating_sub(self.large_free()) as f64);
    }

    fn split(&self, bytes: usize) -> (u32, u32) {
        if bytes <= Limits::SMALL_BYTES { (bytes as u32, 0) } else { (0, bytes.min(self.large_max()) as u32) }
    }

    /// Takes one request's permits if they are free now.
    pub fn try_take(self: &Arc<Pool>, bytes: usize) -> Option<Held> {
        let (small, large) = self.split(bytes);
        let count = self.requests.try_acquire().ok()?;
        let bytes = match large {
            0 => self.small.try_acquire_many(small).ok()?,
            _ => self.large.try_acquire_many(large).ok()?,
        };
        count.forget();
        bytes.forget();
        Some(Held { pool: self.clone(), requests: 1, small, large })
    }

    /// Waits for one request's permits. *Cancel:* safe, nothing is kept.
    pub async fn take(self: Arc<Pool>, bytes: usize) -> Held {
        let (small, large) = self.split(bytes);
        // The semaphores are never closed, so the waits cannot fail.
        if let Ok(permit) = self.requests.acquire().await {
            permit.forget();
        }
        let mut held = Held { pool: self.clone(), requests: 1, small: 0, large: 0 };
        held.acquire(small, large).await;
        held
    }
}

/// Permits of one request, or of several that end together. Dropping it gives them back.
pub struct Held {
    pool: Arc<Pool>,
    requests: u32,
    small: u32,
    large: u32,
}

impl Held {
    /// Takes over what another holds of the same permits, so that both are given back at once.
    pub(crate) fn absorb(&mut self, mut other: Held) {
        self.requests += std::mem::take(&mut other.requests);
        self.small += std::mem::take(&mut other.small);
        self.large += std::mem::take(&mut other.large);
    }

    /// Number of requests that hold these permits.
    pub(crate) fn requests(&self) -> usize {
        self.requests as usize
    }

    /// Bytes that are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.small as usize + self.large as usize
    }

    async fn acquire(&mut self, small: u32, large: u32) {
        if small > 0
            && let Ok(permit) = self.pool.small.acquire_many(small).await
        {
            permit.forget();
            self.small += small;
        }
        if large > 0
            && let Ok(permit) = self.pool.large.acquire_many(large).await
        {
            permit.forget();
            self.large += large;
        }
    }

    /// Bytes of the large pool that must be added to hold `bytes` in all.
    fn missing(&self, bytes: usize) -> u32 {
        bytes.min(self.pool.large_max()).saturating_sub(self.bytes()) as u32
    }

    /// Takes more, up to `bytes` in all, if that is free now.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let more = self.missing(bytes);
        if more == 0 {
            return true;
        }
        let Ok(permit) = self.pool.large.try_acquire_many(more) else { return false };
        permit.forget();
        self.large += more;
        true
    }

    /// Waits for more, up to `bytes` in all. What is held of the large pool is given back first.
    pub async fn grow(mut self, bytes: usize) -> Held {
        self.release_large();
        let more = self.missing(bytes);
        self.acquire(0, more).await;
        self
    }

    fn release_large(&mut self) {
        let large = std::mem::take(&mut self.large);
        if large > 0 {
            self.pool.large.add_permits(large as usize);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release_large();
        if self.small > 0 {
            self.pool.small.add_permits(self.small as usize);
        }
        if self.requests > 0 {
            self.pool.requests.add_permits(self.requests as usize);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn pool() -> Arc<Pool> {
        Pool::new(&Limits {
            requests_max: 4,
            small_bytes_max: 32 << 10,
            large_bytes_max: 2 << 20,
            ..Limits::default()
        })
    }

    #[test]
    fn large_requests_leave_the_small_pool_free() {
        let pool = pool();
        let _first = pool.try_take(1 << 20).unwrap();
        let _second = pool.try_take(1 << 20).unwrap();
        assert!(pool.try_take(1 << 20).is_none());
        assert!(pool.try_take(1024).is_some());
    }

    #[test]
    fn refused_take_gives_its_count_back() {
        let pool = pool();
        let whole = pool.try_take(2 << 20).unwrap();
        for _ in 0..20 {
            assert!(pool.try_take(1 << 20).is_none());
        }
        drop(whole);
        assert!(pool.try_take(1 << 20).is_some());
        assert_eq!(pool.requests.available_permits(), 4);
        assert_eq!(pool.large_free(), 2 << 20);
    }

    #[test]
    fn cancelled_wait_gives_everything_back() {
        let pool = pool();
        let whole = pool.try_take(2 << 20).unwrap();
        let mut wait = Box::pin(pool.clone().take(1 << 20));
        assert!(wait.as_mut().now_or_never().is_none());
        drop(wait);
        drop(whole);
        assert_eq!(pool.requests.available_permits(), 4);
        assert_eq!(pool.large_free(), 2 << 20);
    }

    #[test]
    fn two_growers_of_half_the_pool_do_not_wait_for_each_other() {
        let pool = pool();
        let first = pool.try_take(1 << 20).unwrap();
        let second = pool.try_take(1 << 20).unwrap();
        let mut second = Box::pin(second.grow(2 << 20));
        assert!(second.as_mut().now_or_never().is_none(), "the first still holds half");
        let mut first = Box::pin(first.grow(2 << 20));
        assert!(first.as_mut().now_or_never().is_none(), "the second was there before");
        assert!(second.as_mut().now_or_never().is_some(), "what the first gave back is enough");
    }
}

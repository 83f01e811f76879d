//! How often an address may ask: a bucket of tokens for each, refilled steadily.
//!
//! An IPv6 client counts by its /64, which is what one customer is given. Callers on this machine's own socket are not
//! counted: who may open it may do more than ask often.

use super::recent::Recent;
use dfs_api::Problem;
use dfs_model::{Clock, Monotonic};
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Addresses remembered. One that is forgotten begins with a full bucket.
const ADDRESSES_MAX: usize = 16_384;

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Monotonic,
}

/// Slows down whoever asks too often.
pub(crate) struct Pace {
    buckets: Mutex<Recent<IpAddr, Bucket>>,
    per_second: AtomicU64,
    /// Depth of a bucket in seconds.
    seconds: u32,
    clock: Arc<dyn Clock>,
}

impl Pace {
    /// *Units and shape:* requests a second of one address, 0: as many as it likes; those of so many seconds may come at once.
    pub fn new(per_second: u64, seconds: u32, clock: Arc<dyn Clock>) -> Pace {
        let buckets = Mutex::new(Recent::new(ADDRESSES_MAX));
        Pace { buckets, per_second: AtomicU64::new(per_second), seconds, clock }
    }

    /// Sets the limit; it holds from the next request on.
    pub fn set(&self, per_second: u64) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// Counts a request. *Errors:* 429.
    pub fn admit(&self, from: IpAddr) -> Result<(), Problem> {
        let rate = self.per_second.load(Ordering::Relaxed) as f64;
        if rate == 0.0 {
            return Ok(());
        }
        let (now, depth) = (self.clock.monotonic(), f64::from(self.seconds) * rate);
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(network(from), || Bucket { tokens: depth, at: now });
        let gained = now.since(bucket.at).as_secs_f64() * rate;
        *bucket = Bucket { tokens: (bucket.tokens + gained).min(depth), at: now };
        if bucket.tokens < 1.0 {
            let why = format!("more than {rate} requests a second come from this address; ask less often");
            return Err(Problem::new(429, "too-many-requests", why));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

/// The network that counts as one client.
pub(crate) fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::around::hand::Hand;
    use std::time::Duration;

    #[test]
    fn address_may_burst_then_keeps_its_pace_and_others_are_not_held_up() {
        let hand = Arc::new(Hand::default());
        let pace = Pace::new(10, 2, hand.clone());
        let (busy, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let admitted = |from| (0..100).filter(|_| pace.admit(from).is_ok()).count();
        assert_eq!(admitted(busy), 20);
        assert_eq!(pace.admit(busy).unwrap_err().status, 429);
        assert_eq!(admitted(other), 20);
        hand.turn(Duration::from_millis(500));
        assert_eq!(admitted(busy), 5);
        pace.set(0);
        assert_eq!(admitted(busy), 100);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together_and_mapped_ones_as_ipv4() {
        let pace = Pace::new(10, 2, Arc::new(Hand::default()));
        let host = |n: u128| IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | n));
        assert_eq!((0..100).filter(|n| pace.admit(host(*n)).is_ok()).count(), 20);
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), IpAddr::from([10, 0, 0, 1]));
        for n in 0..4 * ADDRESSES_MAX as u128 {
            pace.admit(IpAddr::V6(Ipv6Addr::from_bits(n << 64))).unwrap();
        }
        assert!(pace.buckets.lock().len() <= ADDRESSES_MAX);
    }
}

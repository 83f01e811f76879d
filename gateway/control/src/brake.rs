//! The brake on password guessing: an address may try so often a minute, then it is refused before any hashing.
//!
//! A try is counted before the password is looked at, so that a thousand logins sent at once are not a thousand guesses. A
//! right password takes the count back. An IPv6 client counts by its /64, which is what one customer is given.

use dfs_api::Problem;
use dfs_model::{Clock, Monotonic};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// Tries without a right one that an address may make within [`WINDOW`].
pub(crate) const TRIES_MAX: u32 = 10;
/// After this long without a try an address starts afresh.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered; the one longest without a try is forgotten for a new one.
const ADDRESSES_MAX: usize = 10_000;

#[derive(Clone, Copy)]
struct Tries {
    count: u32,
    last: Monotonic,
}

/// Slows down whoever guesses passwords.
pub(crate) struct LoginBrake {
    tries: Mutex<HashMap<IpAddr, Tries>>,
    clock: Arc<dyn Clock>,
}

impl LoginBrake {
    pub fn new(clock: Arc<dyn Clock>) -> LoginBrake {
        LoginBrake { tries: Mutex::new(HashMap::new()), clock }
    }

    /// Counts a try. *Errors:* 429 for an address that tried too often; it may again after the time told.
    pub fn start(&self, from: IpAddr) -> Result<(), Problem> {
        let (now, key) = (self.clock.monotonic(), key(from));
        let mut tries = self.tries.lock();
        if tries.len() >= ADDRESSES_MAX && !tries.contains_key(&key) {
            make_room(&mut tries, now);
        }
        let entry = tries.entry(key).or_insert(Tries { count: 0, last: now });
        let idle = now.since(entry.last);
        if idle >= WINDOW {
            entry.count = 0;
        }
        if entry.count >= TRIES_MAX {
            let wait = WINDOW.saturating_sub(idle).as_secs() + 1;
            return Err(Problem::new(
                429,
                "too-many-logins",
                format!("too many wrong logins; try again in {wait} s"),
            ));
        }
        *entry = Tries { count: entry.count + 1, last: now };
        if entry.count == TRIES_MAX {
            tracing::warn!(address = %from, "the last login that this address may try within a minute");
        }
        Ok(())
    }

    /// Takes the count of an address back: its password was right.
    pub fn right(&self, from: IpAddr) {
        self.tries.lock().remove(&key(from));
    }
}

fn key(from: IpAddr) -> IpAddr {
    match from {
        IpAddr::V4(_) => from,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

fn make_room(tries: &mut HashMap<IpAddr, Tries>, now: Monotonic) {
    tries.retain(|_, entry| now.since(entry.last) < WINDOW);
    if tries.len() >= ADDRESSES_MAX {
        let oldest = tries.iter().min_by_key(|(_, entry)| entry.last).map(|(address, _)| *address);
        oldest.map(|address| tries.remove(&address));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use dfs_model::Timestamp;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Hand {
        fn turn(&self, by: Duration) {
            self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
        }
    }

    impl Clock for Hand {
        fn wall(&self) -> Timestamp {
            Timestamp::EPOCH
        }

        fn monotonic(&self) -> Monotonic {
            Monotonic(self.0.load(Ordering::Relaxed))
        }
    }

    fn brake() -> (Arc<Hand>, LoginBrake) {
        let hand = Arc::new(Hand::default());
        (hand.clone(), LoginBrake::new(hand))
    }

    #[test]
    fn tries_beyond_the_limit_are_refused_for_a_minute_per_address() {
        let (hand, brake) = brake();
        let (guesser, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..TRIES_MAX {
            brake.start(guesser).unwrap();
        }
        assert_eq!(brake.start(guesser).unwrap_err().status, 429);
        brake.start(other).unwrap();
        hand.turn(WINDOW - Duration::from_secs(1));
        assert_eq!(brake.start(guesser).unwrap_err().status, 429);
        hand.turn(Duration::from_secs(1));
        brake.start(guesser).unwrap();
    }

    #[test]
    fn right_password_takes_the_count_back() {
        let (_, brake) = brake();
        let address = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..5 * TRIES_MAX {
            brake.start(address).unwrap();
            brake.right(address);
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together_and_memory_is_bounded() {
        let (_, brake) = brake();
        for host in 0..u128::from(TRIES_MAX) {
            brake.start(IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | host))).unwrap();
        }
        assert!(brake.start(IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | 0xffff))).is_err());
        for network in 0..2 * ADDRESSES_MAX as u128 {
            brake.start(IpAddr::V6(Ipv6Addr::from_bits(network << 64))).unwrap();
        }
        assert!(brake.tries.lock().len() <= ADDRESSES_MAX);
    }
}

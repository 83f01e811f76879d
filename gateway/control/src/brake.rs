//! The brake on password guessing: an address may try so often a minute, and so may everybody together with one name; then
//! it is refused before any hashing.
//!
//! A try is counted before the password is looked at, so that a thousand logins sent at once are not a thousand guesses. A
//! right password takes the count of its address back. The count of a name slows guessing from many addresses; it does not
//! hold for addresses that this name logged in from before, nor for this machine itself, so nobody can be locked out for good.
//!
//! Wrong tries are told once per address and minute, with their number: the first time when the address is refused, else
//! when the minute is over.

use crate::around::pace::network;
use crate::around::recent::Recent;
use dfs_api::Problem;
use dfs_model::{Clock, Monotonic};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Tries without a right one that an address may make within [`WINDOW`], by default.
pub(crate) const TRIES_MAX: u32 = 10;
/// Tries with one name from anywhere, for each that an address may make.
const NAME_FACTOR: u32 = 3;
/// After this long without a try an address starts afresh; a name after this long since the first.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses, names and pairs of both that are remembered.
const REMEMBERED: usize = 16_384;
/// Longest name that is told apart from others: no user's is longer.
const NAME_MAX: usize = 64;

#[derive(Clone, Copy)]
struct Tries {
    count: u32,
    at: Monotonic,
}

/// Wrong tries of an address that nobody was told of yet.
#[derive(Clone)]
struct Wrong {
    since: Monotonic,
    count: u64,
    name: String,
    told: bool,
}

/// Wrong tries to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongTries {
    pub address: Option<IpAddr>,
    /// The name tried last.
    pub name: String,
    pub count: u64,
}

struct State {
    addresses: Recent<IpAddr, Tries>,
    names: Recent<String, Tries>,
    /// Who logged in from where.
    known: Recent<(String, IpAddr), ()>,
    wrong: Recent<Option<IpAddr>, Wrong>,
}

/// Slows down whoever guesses passwords.
pub(crate) struct LoginBrake {
    state: Mutex<State>,
    tries_max: AtomicU32,
    clock: Arc<dyn Clock>,
}

impl LoginBrake {
    pub fn new(clock: Arc<dyn Clock>) -> LoginBrake {
        let state = State {
            addresses: Recent::new(REMEMBERED),
            names: Recent::new(REMEMBERED),
            known: Recent::new(REMEMBERED),
            wrong: Recent::new(REMEMBERED),
        };
        LoginBrake { state: Mutex::new(state), tries_max: AtomicU32::new(TRIES_MAX), clock }
    }

    /// Sets how many tries an address has; it holds from the next one on.
    pub fn set(&self, tries_max: u32) {
        self.tries_max.store(tries_max, Ordering::Relaxed);
    }

    /// Counts a try; none of the local socket is. *Errors:* 429 for an address or a name that was tried too often.
    pub fn start(&self, from: Option<IpAddr>, name: &str) -> Result<(), Problem> {
        let Some(from) = from else { return Ok(()) };
        let (now, network, name) = (self.clock.monotonic(), network(from), short(name));
        let tries_max = self.tries_max.load(Ordering::Relaxed);
        let state = &mut *self.state.lock();
        let tries = state.addresses.entry(network, || Tries { count: 0, at: now });
        let idle = now.since(tries.at);
        if idle >= WINDOW {
            tries.count = 0;
        }
        if tries.count >= tries_max {
            return Err(refusal("wrong logins come from this address", WINDOW.saturating_sub(idle)));
        }
        *tries = Tries { count: tries.count + 1, at: now };
        if from.is_loopback() || state.known.get(&(name.clone(), network)).is_some() {
            return Ok(());
        }
        let tries = state.names.entry(name, || Tries { count: 0, at: now });
        let since = now.since(tries.at);
        if since >= WINDOW {
            *tries = Tries { count: 0, at: now };
        }
        if tries.count >= tries_max.saturating_mul(NAME_FACTOR) {
            return Err(refusal("logins are tried with this name", WINDOW.saturating_sub(since)));
        }
        tries.count += 1;
        Ok(())
    }

    /// Takes the count of an address back: its password was right.
    pub fn right(&self, from: Option<IpAddr>, name: &str) {
        let Some(from) = from else { return };
        let (network, name) = (network(from), short(name));
        let state = &mut *self.state.lock();
        state.addresses.remove(&network);
        state.known.entry((name, network), || ());
    }

    /// Notes a wrong try, or one that was refused; answers what is to be told of the address now.
    pub fn wrong(&self, from: Option<IpAddr>, name: &str, refused: bool) -> Option<WrongTries> {
        let (now, address) = (self.clock.monotonic(), from.map(network));
        let fresh = || Wrong { since: now, count: 0, name: String::new(), told: false };
        let state = &mut *self.state.lock();
        let wrong = state.wrong.entry(address, fresh);
        wrong.count += 1;
        wrong.name = short(name);
        if !refused || wrong.told {
            return None;
        }
        wrong.told = true;
        let told = WrongTries { address, name: wrong.name.clone(), count: wrong.count };
        wrong.count = 0;
        Some(told)
    }

    /// What is to be told of addresses whose minute is over.
    pub fn over(&self) -> Vec<WrongTries> {
        let now = self.clock.monotonic();
        let taken = self.state.lock().wrong.take_where(|_, wrong| now.since(wrong.since) >= WINDOW);
        let told = taken.into_iter().filter(|(_, wrong)| wrong.count > 0);
        told.map(|(address, wrong)| WrongTries { address, name: wrong.name, count: wrong.count }).collect()
    }
}

fn short(name: &str) -> String {
    name.chars().take(NAME_MAX).collect()
}

fn refusal(why: &str, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    Problem::new(429, "too-many-logins", format!("too many {why}; try again in {seconds} s"))
        .again_after(seconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::around::hand::Hand;

    fn brake() -> (Arc<Hand>, LoginBrake) {
        let hand = Arc::new(Hand::default());
        (hand.clone(), LoginBrake::new(hand))
    }

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from((0x0a00_0000 + n).to_be_bytes()))
    }

    #[test]
    fn tries_beyond_the_limit_are_refused_for_a_minute_per_address() {
        let (hand, brake) = brake();
        for _ in 0..TRIES_MAX {
            brake.start(address(1), "a").unwrap();
        }
        let refused = brake.start(address(1), "a").unwrap_err();
        assert_eq!((refused.status, refused.retry_after), (429, Some(61)));
        brake.start(address(2), "a").unwrap();
        hand.turn(WINDOW - Duration::from_secs(1));
        assert_eq!(brake.start(address(1), "a").unwrap_err().status, 429);
        hand.turn(Duration::from_secs(1));
        brake.start(address(1), "a").unwrap();
        brake.set(1);
        assert!(brake.start(address(1), "a").is_err());
    }

    #[test]
    fn right_password_takes_the_count_back() {
        let (_, brake) = brake();
        for _ in 0..5 * TRIES_MAX {
            brake.start(address(1), "a").unwrap();
            brake.right(address(1), "a");
        }
    }

    #[test]
    fn name_guessed_from_many_addresses_is_slowed_but_its_owner_gets_in() {
        let (hand, brake) = brake();
        brake.start(address(0), "admin").unwrap();
        brake.right(address(0), "admin");
        let admitted = (1..1000).filter(|n| brake.start(address(*n), "admin").is_ok()).count();
        assert_eq!(admitted as u32, TRIES_MAX * NAME_FACTOR - 1);
        brake.start(address(0), "admin").unwrap();
        brake.start(Some(IpAddr::from([127, 0, 0, 1])), "admin").unwrap();
        brake.start(None, "admin").unwrap();
        brake.start(address(5000), "other").unwrap();
        assert!(brake.start(address(5001), "admin").is_err());
        hand.turn(WINDOW);
        brake.start(address(5001), "admin").unwrap();
    }

    #[test]
    fn memory_is_bounded_whatever_is_tried() {
        let (_, brake) = brake();
        for n in 0..3 * REMEMBERED as u32 {
            let _ = brake.start(address(n), &format!("{n}"));
            brake.wrong(address(n), "x", false);
        }
        let state = brake.state.lock();
        assert!(state.addresses.len() <= REMEMBERED && state.names.len() <= REMEMBERED);
        assert!(state.wrong.len() <= REMEMBERED);
    }

    #[test]
    fn wrong_tries_are_told_once_per_address_and_minute_with_their_number() {
        let (hand, brake) = brake();
        let mut told = Vec::new();
        for n in 0..1000 {
            told.extend(brake.wrong(address(1), "admin", n >= 10));
        }
        assert_eq!(told, [WrongTries { address: address(1), name: "admin".to_owned(), count: 11 }]);
        assert_eq!(brake.wrong(address(2), "bo", false), None);
        assert!(brake.over().is_empty());
        hand.turn(WINDOW);
        let mut rest: Vec<u64> = brake.over().into_iter().map(|told| told.count).collect();
        rest.sort_unstable();
        assert_eq!(rest, [1, 989]);
        assert!(brake.over().is_empty());
    }
}

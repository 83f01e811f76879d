//! What pressure measures over time: the rate of draining and who is writing. Pure: `now` comes in.

use dfs_model::{ClientRef, Monotonic};
use std::collections::HashMap;
use std::time::Duration;

/// Time constant of the drain rate: a few packs' uploads, so that single packs do not make it jump.
const DRAIN_SECONDS: f64 = 10.0;
/// A client that reserved nothing for this long is not counted as writing.
const CLIENT_ACTIVE: Duration = Duration::from_secs(2);
/// Clients remembered at most; idle ones are forgotten first.
const CLIENTS_MAX: usize = 4096;

/// An exponentially weighted rate of bytes per second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DrainRate {
    rate: f64,
    at: Monotonic,
}

impl DrainRate {
    /// Notes that `bytes` drained at `now`.
    pub fn note(&mut self, bytes: u64, now: Monotonic) {
        self.rate = self.read(now) + bytes as f64 / DRAIN_SECONDS;
        self.at = self.at.max(now);
    }

    /// Bytes per second at `now`.
    pub fn read(&self, now: Monotonic) -> f64 {
        self.rate * (-now.since(self.at).as_secs_f64() / DRAIN_SECONDS).exp()
    }
}

#[derive(Clone, Copy, Debug)]
struct Client {
    seen: Monotonic,
    /// When its queue of delayed requests has passed.
    free_at: Monotonic,
}

/// The clients that write, each with its own queue.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_ref: HashMap<ClientRef, Client>,
    active: usize,
    counted: Option<Monotonic>,
}

impl Clients {
    /// Notes that a client asks at `now` and returns how many write.
    pub fn seen(&mut self, who: &ClientRef, now: Monotonic) -> usize {
        match self.by_ref.get_mut(who) {
            Some(client) => client.seen = now,
            None => {
                self.by_ref.insert(who.clone(), Client { seen: now, free_at: now });
                self.counted = None;
            }
        }
        if self.counted.is_none_or(|at| now.since(at) >= CLIENT_ACTIVE / 4) {
            self.count(now);
        }
        self.active.max(1)
    }

    fn count(&mut self, now: Monotonic) {
        if self.by_ref.len() > CLIENTS_MAX {
            self.by_ref.retain(|_, client| now.since(client.seen) < CLIENT_ACTIVE || client.free_at > now);
        }
        self.active = self.by_ref.values().filter(|client| now.since(client.seen) < CLIENT_ACTIVE).count();
        self.counted = Some(now);
    }

    /// Queues a request that takes `pace` behind the client's earlier ones; returns how long it waits, at most `most`.
    pub fn queue(&mut self, who: &ClientRef, pace: Duration, most: Duration, now: Monotonic) -> Duration {
        let Some(client) = self.by_ref.get_mut(who) else { return pace.min(most) };
        let free_at = client.free_at.max(now).plus(pace);
        let wait = free_at.since(now).min(most);
        client.free_at = now.plus(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn client(n: u8) -> ClientRef {
        ClientRef::Nfs3Host { name: bytes::Bytes::new(), address: Ipv4Addr::new(127, 0, 0, n).into() }
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic(millis * 1_000_000)
    }

    #[test]
    fn drain_rate_of_a_steady_stream_approaches_it_and_fades_after() {
        let mut drain = DrainRate::default();
        for n in 1..=1000 {
            drain.note(5_000_000, at(n * 100));
        }
        let steady = drain.read(at(100_000));
        assert!((steady / 50e6 - 1.0).abs() < 0.02, "{steady}");
        assert!(drain.read(at(200_000)) < steady / 1000.0);
    }

    #[test]
    fn clients_that_fall_silent_are_not_counted() {
        let mut clients = Clients::default();
        assert_eq!(clients.seen(&client(1), at(0)), 1);
        assert_eq!(clients.seen(&client(2), at(10)), 2);
        assert_eq!(clients.seen(&client(1), at(2500)), 1);
    }

    #[test]
    fn queue_of_one_client_does_not_delay_another() {
        let (mut clients, pace, most) =
            (Clients::default(), Duration::from_millis(100), Duration::from_secs(1));
        clients.seen(&client(1), at(0));
        clients.seen(&client(2), at(0));
        let waits: Vec<u64> =
            (0..20).map(|_| clients.queue(&client(1), pace, most, at(0)).as_millis() as u64).collect();
        assert_eq!(waits[..3], [100, 200, 300]);
        assert_eq!(waits[19], 1000, "one request waits at most that long");
        assert_eq!(clients.queue(&client(2), pace, most, at(0)), pace);
    }
}

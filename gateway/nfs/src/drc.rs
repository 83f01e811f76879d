//! The replay cache: a repeat of a call that changes something gets the reply of the first time.
//!
//! ```text
//! (absent) ──begin──▶ Running ──finish──▶ Done(reply) ──age, bounds──▶ (absent)
//!                        └──guard dropped (transient status, panic)──▶ (absent)
//! ```
//! Key: client address, transaction id, procedure, checksum over arguments, principal and the client machine's name. An
//! entry answers the connection it came from, every connection from the same port (a port has one living connection, so
//! ours is about to be found dead), and every connection once that one is gone; a call of another *living* connection is
//! another call: two mounts, or two machines behind one address, may use one xid. A repeat of a running call waits for its end. Entries of running calls
//! are bounded by the request permits, those of finished ones by count and bytes, per client and in all, and by age.
//! A crash loses the cache; the seam stores the key with each change, and recognises the repeat then.

use bytes::Bytes;
use dfs_model::{Monotonic, ReplayKey};
use dfs_net::Peer;
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Bounds of the replay cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrcLimits {
    /// Finished entries per client: more than a client can have outstanding when its connection breaks.
    pub client_entries_max: usize,
    /// Bytes of replies per client.
    pub client_bytes_max: usize,
    /// Finished entries in all.
    pub entries_max: usize,
    /// Bytes of replies in all.
    pub bytes_max: usize,
    /// Age at which an entry is forgotten: longer than clients go on repeating over a short outage.
    pub age_max: Duration,
}

impl Default for DrcLimits {
    fn default() -> DrcLimits {
        DrcLimits {
            client_entries_max: 2048,
            client_bytes_max: 1 << 20,
            entries_max: 32 * 1024,
            bytes_max: 16 << 20,
            age_max: Duration::from_secs(180),
        }
    }
}

enum State {
    Running(watch::Sender<()>),
    Done { reply: Bytes, at: Monotonic },
}

struct Entry {
    state: State,
    origin: Arc<Peer>,
    /// Tells this entry from a later one under the same key.
    serial: u64,
}

#[derive(Default)]
struct Client {
    entries: HashMap<ReplayKey, Entry>,
    /// Finished entries, oldest first; may name some that were replaced (other serial).
    order: VecDeque<(ReplayKey, u64)>,
    done: usize,
    bytes: usize,
}

#[derive(Default)]
struct Inner {
    clients: HashMap<IpAddr, Client>,
    done: usize,
    bytes: usize,
    serial: u64,
    swept: Monotonic,
}

pub(crate) struct Drc {
    limits: DrcLimits,
    inner: Mutex<Inner>,
    hits_done: Counter,
    hits_running: Counter,
    entries: Gauge,
    bytes: Gauge,
}

/// What `begin` found.
pub(crate) enum Begin {
    /// Run the call, then [`Guard::finish`].
    New(Guard),
    /// Another living connection has made a call under this key: run this one, without any memory of it.
    Other,
    /// The reply of the first time.
    Repeat(Bytes),
}

/// A running entry. Dropping it without `finish` forgets it, so that a repeat runs again.
pub(crate) struct Guard {
    drc: Arc<Drc>,
    client: IpAddr,
    key: Option<ReplayKey>,
    serial: u64,
}

enum Found {
    Begin(Begin),
    Wait(watch::Receiver<()>),
}

impl Drc {
    pub(crate) fn new(limits: DrcLimits) -> Arc<Drc> {
        Arc::new(Drc {
            limits,
            inner: Mutex::default(),
            hits_done: metrics::counter!("dfs_nfs_replay_hits_count_total", "state" => "done"),
            hits_running: metrics::counter!("dfs_nfs_replay_hits_count_total", "state" => "running"),
            entries: metrics::gauge!("dfs_nfs_replay_entries_count"),
            bytes: metrics::gauge!("dfs_nfs_replay_bytes"),
        })
    }

    /// Enters a call, waiting while the same call runs. *Cancel:* safe.
    pub(crate) async fn begin(self: &Arc<Drc>, key: &ReplayKey, peer: &Arc<Peer>, now: Monotonic) -> Begin {
        loop {
            match self.find(key, peer, now) {
                Found::Begin(begin) => return begin,
                // The sender goes away with the running state; that is the signal.
                Found::Wait(mut ended) => while ended.changed().await.is_ok() {},
            }
        }
    }

    fn find(self: &Arc<Drc>, key: &ReplayKey, peer: &Arc<Peer>, now: Monotonic) -> Found {
        let client = peer.address.ip();
        let mut inner = self.inner.lock();
        self.sweep(&mut inner, now);
        let serial = inner.serial;
        let entries = &mut inner.clients.entry(client).or_default().entries;
        if let Some(entry) = entries.get(key) {
            if entry.origin.address != peer.address && !entry.origin.is_gone() {
                return Found::Begin(Begin::Other);
            }
            match &entry.state {
                State::Running(ended) => {
                    self.hits_running.increment(1);
                    return Found::Wait(ended.subscribe());
                }
                State::Done { reply, at } if now.since(*at) < self.limits.age_max => {
                    self.hits_done.increment(1);
                    return Found::Begin(Begin::Repeat(reply.clone()));
                }
                State::Done { .. } => {}
            }
        }
        let state = State::Running(watch::Sender::new(()));
        let old = entries.insert(key.clone(), Entry { state, origin: peer.clone(), serial });
        inner.serial += 1;
        if let Some(Entry { state: State::Done { reply, .. }, .. }) = old {
            inner.forget(client, reply.len());
        }
        Found::Begin(Begin::New(Guard { drc: self.clone(), client, key: Some(key.clone()), serial }))
    }

    fn finish(&self, client: IpAddr, key: ReplayKey, serial: u64, reply: Bytes, now: Monotonic) {
        let mut inner = self.inner.lock();
        let Some(of_client) = inner.clients.get_mut(&client) else { return };
        let Some(entry) = of_client.entries.get_mut(&key).filter(|entry| entry.serial == serial) else {
            return;
        };
        let len = reply.len();
        entry.state = State::Done { reply, at: now };
        of_client.order.push_back((key, serial));
        of_client.done += 1;
        of_client.bytes += len;
        inner.done += 1;
        inner.bytes += len;
        let limits = &self.limits;
        while inner
            .clients
            .get(&client)
            .is_some_and(|c| c.done > limits.client_entries_max || c.bytes > limits.client_bytes_max)
            && inner.evict(client)
        {}
        while inner.done > limits.entries_max || inner.bytes > limits.bytes_max {
            let Some(largest) = inner.clients.iter().max_by_key(|(_, c)| c.bytes).map(|(ip, _)| *ip) else {
                break;
            };
            if !inner.evict(largest) {
                break;
            }
        }
        self.show(&inner);
    }

    fn show(&self, inner: &Inner) {
        self.entries.set(inner.done as f64);
        self.bytes.set(inner.bytes as f64);
    }

    /// Forgets what is too old, now and then.
    fn sweep(&self, inner: &mut Inner, now: Monotonic) {
        if now.since(inner.swept) < self.limits.age_max / 4 {
            return;
        }
        inner.swept = now;
        let clients: Vec<IpAddr> = inner.clients.keys().copied().collect();
        for client in clients {
            while inner.oldest(client).is_some_and(|at| now.since(at) >= self.limits.age_max)
                && inner.evict(client)
            {}
            if inner.clients.get(&client).is_some_and(|c| c.entries.is_empty()) {
                inner.clients.remove(&client);
            }
        }
        self.show(inner);
    }
}

impl Inner {
    fn forget(&mut self, client: IpAddr, bytes: usize) {
        self.done = self.done.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(client) = self.clients.get_mut(&client) {
            client.done = client.done.saturating_sub(1);
            client.bytes = client.bytes.saturating_sub(bytes);
        }
    }

    /// When the client's oldest finished entry was finished.
    fn oldest(&mut self, client: IpAddr) -> Option<Monotonic> {
        let client = self.clients.get_mut(&client)?;
        loop {
            let (key, serial) = client.order.front()?;
            match client.entries.get(key) {
                Some(Entry { state: State::Done { at, .. }, serial: current, .. }) if current == serial => {
                    return Some(*at);
                }
                _ => client.order.pop_front(),
            };
        }
    }

    /// Forgets the client's oldest finished entry. `false`: it has none.
    fn evict(&mut self, client: IpAddr) -> bool {
        if self.oldest(client).is_none() {
            return false;
        }
        let Some(of_client) = self.clients.get_mut(&client) else { return false };
        let Some((key, _)) = of_client.order.pop_front() else { return false };
        if let Some(Entry { state: State::Done { reply, .. }, .. }) = of_client.entries.remove(&key) {
            self.forget(client, reply.len());
        }
        true
    }
}

impl Guard {
    /// Remembers the reply.
    pub(crate) fn finish(mut self, reply: Bytes, now: Monotonic) {
        if let Some(key) = self.key.take() {
            self.drc.finish(self.client, key, self.serial, reply, now);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let mut inner = self.drc.inner.lock();
        if let Some(client) = inner.clients.get_mut(&self.client)
            && client.entries.get(&key).is_some_and(|entry| entry.serial == self.serial)
        {
            client.entries.remove(&key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn peer(connection: u64) -> Arc<Peer> {
        let address = format!("192.0.2.1:{}", 900 + connection).parse().unwrap();
        Arc::new(Peer::new(connection, address, address))
    }

    fn key(xid: u32) -> ReplayKey {
        ReplayKey::Rpc { client: "192.0.2.1".parse().unwrap(), xid, procedure: 8, checksum: 7 }
    }

    fn begin(drc: &Arc<Drc>, xid: u32, peer: &Arc<Peer>, now: u64) -> Option<Begin> {
        drc.begin(&key(xid), peer, Monotonic(now)).now_or_never()
    }

    fn run(drc: &Arc<Drc>, xid: u32, peer: &Arc<Peer>, now: u64, reply: &'static [u8]) {
        match begin(drc, xid, peer, now) {
            Some(Begin::New(guard)) => guard.finish(Bytes::from_static(reply), Monotonic(now)),
            _ => panic!("{xid} is not new"),
        }
    }

    fn is_repeat(found: Option<Begin>) -> bool {
        matches!(found, Some(Begin::Repeat(_)))
    }

    #[test]
    fn repeat_gets_the_first_reply_until_it_is_too_old() {
        let drc = Drc::new(DrcLimits::default());
        let (one, age) = (peer(1), DrcLimits::default().age_max.as_nanos() as u64);
        run(&drc, 5, &one, 10, b"reply");
        match begin(&drc, 5, &one, 9 + age) {
            Some(Begin::Repeat(reply)) => assert_eq!(&reply[..], b"reply"),
            _ => panic!("not repeated"),
        }
        assert!(matches!(begin(&drc, 5, &one, 10 + age), Some(Begin::New(_))));
        assert_eq!(drc.inner.lock().bytes, 0);
    }

    #[test]
    fn repeat_of_a_running_call_waits_for_its_end() {
        let drc = Drc::new(DrcLimits::default());
        let one = peer(1);
        let Some(Begin::New(guard)) = begin(&drc, 5, &one, 10) else { panic!("not new") };
        let again = key(5);
        let mut wait = Box::pin(drc.begin(&again, &one, Monotonic(11)));
        assert!(wait.as_mut().now_or_never().is_none());
        guard.finish(Bytes::from_static(b"reply"), Monotonic(12));
        assert!(is_repeat(wait.as_mut().now_or_never()));
    }

    #[test]
    fn call_that_was_not_finished_runs_again() {
        let drc = Drc::new(DrcLimits::default());
        let one = peer(1);
        let Some(Begin::New(guard)) = begin(&drc, 5, &one, 10) else { panic!("not new") };
        let again = key(5);
        let mut wait = Box::pin(drc.begin(&again, &one, Monotonic(11)));
        assert!(wait.as_mut().now_or_never().is_none());
        drop(guard);
        assert!(matches!(wait.as_mut().now_or_never(), Some(Begin::New(_))));
    }

    #[test]
    fn other_living_connection_with_the_same_key_is_another_call() {
        let drc = Drc::new(DrcLimits::default());
        run(&drc, 5, &peer(1), 10, b"reply");
        assert!(matches!(begin(&drc, 5, &peer(2), 11), Some(Begin::Other)));
    }

    #[test]
    fn reconnect_from_the_same_port_gets_the_first_reply_before_we_notice() {
        let drc = Drc::new(DrcLimits::default());
        let one = peer(1);
        run(&drc, 5, &one, 10, b"reply");
        let again = Arc::new(Peer::new(2, one.address, one.local));
        assert!(is_repeat(begin(&drc, 5, &again, 11)));
    }

    #[test]
    fn bounds_hold_per_client_and_in_all_and_the_oldest_goes_first() {
        let limits = DrcLimits { client_entries_max: 3, client_bytes_max: 12, ..DrcLimits::default() };
        let drc = Drc::new(limits);
        let one = peer(1);
        for xid in 0..5 {
            run(&drc, xid, &one, 10, b"1234");
        }
        assert!(!is_repeat(begin(&drc, 1, &one, 10)));
        for xid in 2..5 {
            assert!(is_repeat(begin(&drc, xid, &one, 10)), "{xid}");
        }
        run(&drc, 9, &one, 11, b"123456789");
        assert!(drc.inner.lock().bytes <= 12);
        assert!(is_repeat(begin(&drc, 9, &one, 11)));
        let drc = Drc::new(DrcLimits { entries_max: 2, ..DrcLimits::default() });
        for xid in 0..9 {
            run(&drc, xid, &one, 10, b"1234");
        }
        let inner = drc.inner.lock();
        assert_eq!((inner.done, inner.bytes), (2, 8));
    }
}

//! What the proxy has been told to do, its dice and its counters.
//!
//! The faults live in a watch channel: a connection that waits, for a cut to be mended or for a reset, wakes on a change.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;

/// The faults in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// How late each request (raw: each byte) is.
    pub latency: Duration,
    /// Bytes a second for each connection and direction; 0 is no limit.
    pub rate_bytes: u64,
    /// Nothing moves.
    pub cut: bool,
    /// How often `reset` was told.
    pub resets: u64,
    /// Requests that are refused.
    pub fail: Option<Refusal>,
    /// Percent of GET bodies with one flipped byte.
    pub corrupt_percent: f64,
    /// Percent of GET bodies that end half-way.
    pub partial_percent: f64,
}

/// Which requests the proxy answers itself, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Percent of the requests.
    pub percent: f64,
    /// HTTP's status.
    pub status: u16,
    /// S3's error code.
    pub code: String,
    /// Only requests of this method.
    pub method: Option<String>,
}

/// What went through so far.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Requests by method: GET, PUT, the others.
    pub requests: [u64; 3],
    /// Requests answered by the proxy itself.
    pub refused: u64,
    /// Bodies corrupted or cut short.
    pub damaged: u64,
    /// Body bytes of answers to GET, and of PUT requests.
    pub body_bytes: [u64; 2],
    /// All bytes from client to server and back, framing included.
    pub moved_bytes: [u64; 2],
}

/// The control of one proxy: shared by all its connections.
pub struct Control {
    faults: watch::Sender<Faults>,
    dice: Mutex<ChaCha8Rng>,
    counters: Mutex<Counters>,
}

/// A connection's view of the faults.
pub struct Gate(watch::Receiver<Faults>);

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// Returns a control without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            faults: watch::Sender::new(Faults::default()),
            dice: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            counters: Mutex::default(),
        }
    }

    /// Carries out one line of control and returns the answer line.
    pub fn obey(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words == ["stats"] {
            return self.stats();
        }
        let mut faults = self.faults.borrow().clone();
        match change(&mut faults, &words) {
            Some(()) => {
                self.faults.send_replace(faults);
                "ok".into()
            }
            None => format!("error: not understood: {line}"),
        }
    }

    /// Returns the faults in force now.
    pub fn faults(&self) -> Faults {
        self.faults.borrow().clone()
    }

    /// Returns how often `reset` was told so far.
    pub fn resets(&self) -> u64 {
        self.faults.borrow().resets
    }

    /// Returns a connection's view.
    pub fn gate(&self) -> Gate {
        Gate(self.faults.subscribe())
    }

    /// Rolls the dice: true in that percentage of calls.
    pub fn roll(&self, percent: f64) -> bool {
        percent > 0.0 && held(&self.dice).random_range(0.0..100.0) < percent
    }

    /// Changes the counters.
    pub fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut held(&self.counters));
    }

    fn stats(&self) -> String {
        let counters = held(&self.counters).clone();
        let mut text = String::new();
        let rows = [
            ("connections", counters.connections),
            ("gets", counters.requests[0]),
            ("puts", counters.requests[1]),
            ("others", counters.requests[2]),
            ("refused", counters.refused),
            ("damaged", counters.damaged),
            ("get_bytes", counters.body_bytes[0]),
            ("put_bytes", counters.body_bytes[1]),
            ("up_bytes", counters.moved_bytes[0]),
            ("down_bytes", counters.moved_bytes[1]),
        ];
        for (name, value) in rows {
            let _ = write!(text, "{}{name}={value}", if text.is_empty() { "" } else { " " });
        }
        text
    }
}

fn change(faults: &mut Faults, words: &[&str]) -> Option<()> {
    match words {
        ["latency", ms] => faults.latency = Duration::from_millis(ms.parse().ok()?),
        ["rate", bytes] => faults.rate_bytes = bytes.parse().ok()?,
        ["cut"] => faults.cut = true,
        ["mend"] => faults.cut = false,
        ["reset"] => faults.resets += 1,
        ["fail", percent, status, code, method @ ..] if method.len() < 2 => {
            faults.fail = Some(Refusal {
                percent: percentage(percent)?,
                status: status.parse().ok()?,
                code: (*code).into(),
                method: method.first().map(|method| (*method).into()),
            });
        }
        ["corrupt", percent] => faults.corrupt_percent = percentage(percent)?,
        ["partial", percent] => faults.partial_percent = percentage(percent)?,
        ["clear"] => *faults = Faults { resets: faults.resets, ..Faults::default() },
        _ => return None,
    }
    Some(())
}

fn percentage(text: &str) -> Option<f64> {
    text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
}

impl Gate {
    /// Waits while the cable is cut.
    pub async fn open(&mut self) {
        let _ = self.0.wait_for(|faults| !faults.cut).await;
    }

    /// Waits until `reset` has been told more often than `seen`.
    pub async fn reset_after(&mut self, seen: u64) {
        if self.0.wait_for(|faults| faults.resets > seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

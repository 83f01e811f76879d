//! The mark that the first failed sync or write leaves on a data folder (JOURNAL J3).
//!
//! One [`Poison`] may be shared by several pools of one folder. It is set once and never cleared; only a restart, which
//! reads the device again, gets rid of it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::watch;

/// What failed first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoisonCause {
    /// The operation and its object, for instance `sync of segment-000003`.
    pub what: String,
    /// The system's words for the error.
    pub error: String,
}

impl fmt::Display for PoisonCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.what, self.error)
    }
}

/// A shared, one-way mark: clear, then poisoned for ever.
#[derive(Clone, Debug)]
pub struct Poison {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    cause: watch::Sender<Option<PoisonCause>>,
    /// Set after the cause: what every append asks.
    set: AtomicBool,
}

impl Default for Poison {
    fn default() -> Self {
        Self::new()
    }
}

impl Poison {
    /// A clear mark.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::new(State { cause: watch::Sender::new(None), set: AtomicBool::new(false) }) }
    }

    /// Sets the mark; the first cause stays. Logs the first one at ERROR: somebody must look at the disk.
    pub fn set(&self, what: &str, error: &std::io::Error) -> PoisonCause {
        let cause = PoisonCause { what: what.to_owned(), error: error.to_string() };
        let first = self.state.cause.send_if_modified(|state| {
            let first = state.is_none();
            if first {
                *state = Some(cause.clone());
            }
            first
        });
        self.state.set.store(true, Ordering::Release);
        if first && !crate::disk::sim::is_power_cut(error) {
            tracing::error!(%cause, "data folder poisoned: its shares are read-only until the disk is checked and the server restarted");
        }
        self.get().unwrap_or(cause)
    }

    /// The first cause, once there is one.
    #[must_use]
    pub fn get(&self) -> Option<PoisonCause> {
        self.state.cause.borrow().clone()
    }

    /// True once poisoned.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.state.set.load(Ordering::Acquire)
    }

    /// A receiver that sees the change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<PoisonCause>> {
        self.state.cause.subscribe()
    }
}

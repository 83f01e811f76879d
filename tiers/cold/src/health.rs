//! Whether a store can be used, as status, alarms and back-pressure see it: fed by every attempt, watched by whoever likes.
//!
//! ```text
//!            several failed attempts in a row            store-wide permanent error
//!   Up ────────────────────────────────────► Down ──────────────────────────────► Permanent
//!    ▲ ◄───────────── any success ────────────┘ ◄── success of the same operation ──┘
//! ```
//! Success of another operation does not lift a permanent state: reads may work where writes are denied. Throttling and
//! errors about one object say that the store is alive and change nothing.

use crate::{ColdError, ColdErrorKind, ColdOp, PermanentCause};
use dfs_model::Timestamp;
use tokio::sync::watch;

/// State of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColdState {
    /// Answers.
    Up,
    /// Several attempts in a row got no usable answer.
    Down {
        /// Since the first of them.
        since: Timestamp,
    },
    /// Refuses until somebody changes something.
    Permanent {
        /// Since when.
        since: Timestamp,
        /// Why.
        cause: PermanentCause,
        /// Which operation it refuses; success of the same lifts it.
        op: ColdOp,
    },
}

/// What is known about a store's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdHealth {
    /// Its state.
    pub state: ColdState,
    /// The last error that counted, in words for an operator, with its time; kept after recovery.
    pub last_error: Option<(Timestamp, String)>,
    /// Time of the last successful attempt.
    pub last_success: Option<Timestamp>,
    /// Failed attempts in a row.
    pub failures: u32,
    first_failure: Timestamp,
}

impl ColdHealth {
    /// The cause, while the store refuses permanently.
    #[must_use]
    pub fn permanent(&self) -> Option<PermanentCause> {
        match self.state {
            ColdState::Permanent { cause, .. } => Some(cause),
            ColdState::Up | ColdState::Down { .. } => None,
        }
    }

    /// Whether it answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == ColdState::Up
    }
}

/// Takes the outcomes and keeps the state.
pub(crate) struct HealthKeeper {
    sender: watch::Sender<ColdHealth>,
    down_after: u32,
}

impl HealthKeeper {
    pub(crate) fn new(down_after: u32) -> HealthKeeper {
        let health = ColdHealth {
            state: ColdState::Up,
            last_error: None,
            last_success: None,
            failures: 0,
            first_failure: Timestamp::EPOCH,
        };
        HealthKeeper { sender: watch::Sender::new(health), down_after: down_after.max(1) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<ColdHealth> {
        self.sender.subscribe()
    }

    /// Notes a success. Returns the new state if it changed.
    pub(crate) fn success(&self, op: ColdOp, now: Timestamp) -> Option<ColdState> {
        self.change(|health| {
            health.last_success = Some(now);
            health.failures = 0;
            match health.state {
                ColdState::Permanent { op: refused, .. } if refused != op => {}
                _ => health.state = ColdState::Up,
            }
        })
    }

    /// Notes a failure. Returns the new state if it changed.
    pub(crate) fn failure(&self, error: &ColdError, now: Timestamp) -> Option<ColdState> {
        match error.kind {
            ColdErrorKind::Permanent(cause) if cause.is_store_wide() => self.change(|health| {
                health.last_error = Some((now, error.to_string()));
                match health.state {
                    ColdState::Permanent { cause: known, .. } if known == cause => {}
                    _ => health.state = ColdState::Permanent { since: now, cause, op: error.op },
                }
            }),
            ColdErrorKind::Retry | ColdErrorKind::Unknown => self.change(|health| {
                health.last_error = Some((now, error.to_string()));
                if health.failures == 0 {
                    health.first_failure = now;
                }
                health.failures = health.failures.saturating_add(1);
                if health.failures >= self.down_after && health.state == ColdState::Up {
                    health.state = ColdState::Down { since: health.first_failure };
                }
            }),
            ColdErrorKind::Throttled { .. }
            | ColdErrorKind::Conflict
            | ColdErrorKind::NotFound
            | ColdErrorKind::Permanent(_)
            | ColdErrorKind::Cancelled => None,
        }
    }

    fn change(&self, apply: impl FnOnce(&mut ColdHealth)) -> Option<ColdState> {
        let mut changed = None;
        self.sender.send_if_modified(|health| {
            let before = health.state.clone();
            apply(health);
            if health.state != before {
                changed = Some(health.state.clone());
            }
            changed.is_some()
        });
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ColdErrorKind, op: ColdOp) -> ColdError {
        ColdError::new(kind, op, "test", "because")
    }

    #[test]
    fn failures_in_a_row_bring_down_and_one_success_up() {
        let keeper = HealthKeeper::new(3);
        let at = |s| Timestamp::new(s, 0);
        assert_eq!(keeper.failure(&error(ColdErrorKind::Retry, ColdOp::Put), at(1)), None);
        assert_eq!(
            keeper.failure(&error(ColdErrorKind::Throttled { after: None }, ColdOp::Put), at(2)),
            None
        );
        assert_eq!(keeper.failure(&error(ColdErrorKind::Retry, ColdOp::Get), at(3)), None);
        let down = keeper.failure(&error(ColdErrorKind::Retry, ColdOp::Get), at(4));
        assert_eq!(down, Some(ColdState::Down { since: at(1) }));
        assert_eq!(keeper.success(ColdOp::Head, at(5)), Some(ColdState::Up));
        assert_eq!(keeper.subscribe().borrow().failures, 0);
    }

    #[test]
    fn permanent_state_ends_only_with_success_of_the_same_operation() {
        let keeper = HealthKeeper::new(3);
        let denied = ColdErrorKind::Permanent(PermanentCause::AccessDenied);
        let at = |s| Timestamp::new(s, 0);
        assert!(keeper.failure(&error(denied, ColdOp::Put), at(1)).is_some());
        assert_eq!(keeper.success(ColdOp::Get, at(2)), None);
        assert_eq!(keeper.subscribe().borrow().permanent(), Some(PermanentCause::AccessDenied));
        assert_eq!(keeper.success(ColdOp::Put, at(3)), Some(ColdState::Up));
        let one_object = ColdErrorKind::Permanent(PermanentCause::OutOfRange);
        assert_eq!(keeper.failure(&error(one_object, ColdOp::Get), at(4)), None);
    }
}

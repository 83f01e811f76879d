//! Whether a store can be used, as status, alarms and back-pressure see it: fed by every attempt, watched by whoever likes.
//!
//! ```text
//!          failed attempts in a row, many or long       permanent error that stops the store
//!   Up ────────────────────────────────────► Down ──────────────────────────────► Permanent
//!    ▲ ◄───────────── any success ────────────┘ ◄────── a success that lifts it ──┘
//! ```
//! A missing bucket, bad credentials and the like stop every operation, and any success lifts them. A right, or room, is given
//! operation by operation: only a lack of it for puts or gets stops the store, and only success of the same lifts it, because
//! reads may work where writes are denied. Where deletes alone are denied, dead packs stay and nothing else suffers: that is
//! told as the last error. Throttling and errors about one object say that the store is alive and change nothing.

use crate::{CauseScope, ColdError, ColdErrorKind, ColdOp, PermanentCause};
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
        /// Which operation it refused first.
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

/// Whether a cause that one operation met leaves the store of no use for files. Upkeep can wait: what it cannot do is told.
fn stops_files(cause: PermanentCause, op: ColdOp) -> bool {
    match cause.scope() {
        CauseScope::Store => true,
        CauseScope::Operation => matches!(op, ColdOp::Put | ColdOp::Get | ColdOp::Open),
        CauseScope::Request => false,
    }
}

/// Failures so many seconds apart, with no success between, are an outage however few they are: where nothing answers at all,
/// every attempt takes its whole time to fail.
const DOWN_AFTER_SECS: i64 = 10;

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
                ColdState::Permanent { cause, op: refused, .. }
                    if refused != op && cause.scope() != CauseScope::Store => {}
                _ => health.state = ColdState::Up,
            }
        })
    }

    /// Notes a failure. Returns the new state if it changed.
    pub(crate) fn failure(&self, error: &ColdError, now: Timestamp) -> Option<ColdState> {
        match error.kind {
            ColdErrorKind::Permanent(cause) if cause.scope() != CauseScope::Request => {
                self.change(|health| {
                    health.last_error = Some((now, error.to_string()));
                    match health.state {
                        ColdState::Permanent { cause: known, .. } if known == cause => {}
                        _ if stops_files(cause, error.op) => {
                            health.state = ColdState::Permanent { since: now, cause, op: error.op };
                        }
                        _ => {}
                    }
                })
            }
            ColdErrorKind::Retry | ColdErrorKind::Unknown => self.change(|health| {
                health.last_error = Some((now, error.to_string()));
                if health.failures == 0 {
                    health.first_failure = now;
                }
                health.failures = health.failures.saturating_add(1);
                let long = health.failures > 1 && now.secs - health.first_failure.secs >= DOWN_AFTER_SECS;
                if (long || health.failures >= self.down_after) && health.state == ColdState::Up {
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
#[allow(clippy::unwrap_used)]
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
    fn two_failures_far_apart_bring_down_unless_a_success_lies_between() {
        let keeper = HealthKeeper::new(4);
        let at = |s| Timestamp::new(s, 0);
        let failure = |s| keeper.failure(&error(ColdErrorKind::Retry, ColdOp::Put), at(s));
        assert_eq!(failure(1), None);
        assert_eq!(keeper.success(ColdOp::Put, at(5)), None);
        assert_eq!(failure(12), None);
        assert_eq!(failure(21), None, "nine seconds are no outage");
        assert_eq!(failure(22), Some(ColdState::Down { since: at(12) }));
    }

    #[test]
    fn denied_deletes_are_told_and_leave_the_store_up() {
        let keeper = HealthKeeper::new(3);
        let denied = ColdErrorKind::Permanent(PermanentCause::AccessDenied);
        for op in [ColdOp::Delete, ColdOp::List, ColdOp::Head, ColdOp::PutOwner, ColdOp::GetOwner] {
            assert_eq!(keeper.failure(&error(denied, op), Timestamp::new(1, 0)), None, "{op:?}");
        }
        let health = keeper.subscribe().borrow().clone();
        assert!(health.is_up() && health.last_error.unwrap().1.contains("access_denied"));
        assert!(keeper.failure(&error(denied, ColdOp::Get), Timestamp::new(2, 0)).is_some());
    }

    #[test]
    fn missing_bucket_stops_the_store_by_any_operation_and_any_success_lifts_it() {
        let keeper = HealthKeeper::new(3);
        let gone = ColdErrorKind::Permanent(PermanentCause::BucketMissing);
        assert!(keeper.failure(&error(gone, ColdOp::List), Timestamp::new(1, 0)).is_some());
        assert_eq!(keeper.success(ColdOp::Put, Timestamp::new(2, 0)), Some(ColdState::Up));
    }

    #[test]
    fn denied_puts_end_only_with_success_of_a_put() {
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

//! Room: the one place where writers wait, and how segments go back to the pool.
//!
//! ```text
//!  active ── roll or seal ──▶ sealed, dirty ── every record settled ──▶ probation ── room wanted ──▶ pool
//! ```
//!
//! A crash forgets probation: recovery finds every record of such a segment settled and gives it back.

use crate::error::ReserveError;
use crate::journal::{Journal, Reservation};
use crate::pressure::{Member, Reserve, Usage};
use crate::record::HEAD_MAX;
use crate::segments::Sealed;
use dfs_log::{LogError, Priority, SegmentInfo, SegmentState};
use dfs_model::{ClientRef, Monotonic, ShareId};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// With fewer free segments than this in the pool, nothing is kept in probation.
const FREE_SEGMENTS_LOW: usize = 3;
/// How often a journal looks after itself: gauges, idle segments.
const TEND: Duration = Duration::from_secs(1);

impl Journal {
    /// Waits for room for one record with `bytes` of data: the only waiting point of a write.
    ///
    /// *Guarantees:* with the reservation, [`Journal::append`] neither waits nor fails for space. Clients are slowed by
    /// occupancy and each by its own share. *Errors:* [`ReserveError::Delay`] at the deadline;
    /// [`ReserveError::NoSpace`] under a permanent cold error; [`ReserveError::Poisoned`]. *Cancel:* safe.
    pub async fn reserve(
        &self,
        who: &ClientRef,
        bytes: u64,
        kind: Reserve,
        deadline: Option<Monotonic>,
    ) -> Result<Reservation, ReserveError> {
        let start = self.clock.monotonic();
        let outcome = self.reserve_inner(who, bytes, kind, deadline).await;
        self.metrics.reserve_wait.record(self.clock.monotonic().since(start).as_secs_f64());
        match &outcome {
            Err(ReserveError::Delay) => self.metrics.delayed.increment(1),
            Err(ReserveError::NoSpace { .. }) => self.metrics.no_space.increment(1),
            Err(ReserveError::Poisoned { .. }) => self.metrics.poisoned.increment(1),
            Ok(_) | Err(ReserveError::TooLarge { .. }) => {}
        }
        outcome
    }

    async fn reserve_inner(
        &self,
        who: &ClientRef,
        bytes: u64,
        kind: Reserve,
        deadline: Option<Monotonic>,
    ) -> Result<Reservation, ReserveError> {
        let payload = bytes.saturating_add(HEAD_MAX as u64);
        let stopped = || self.pool.poisoned().is_some();
        self.pressure.admit(self.share, who, payload, kind, deadline, &stopped).await?;
        if let Some(cause) = self.poisoned() {
            return Err(ReserveError::Poisoned { cause });
        }
        if self.pool_is_low() {
            self.pressure.reclaim();
        }
        let priority = match kind {
            Reserve::Data | Reserve::SmallCommit => Priority::Data,
            Reserve::Control => Priority::Small,
        };
        let payloads = [payload];
        let mut room = std::pin::pin!(self.log.reserve_records(&payloads, priority));
        loop {
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.since(self.clock.monotonic()));
            let progress = self.pressure.progress(left);
            tokio::select! {
                biased;
                room = &mut room => return room.map(|room| Reservation { room, bytes }).map_err(refused),
                () = progress => {}
            }
            if left.is_zero() {
                return Err(ReserveError::Delay);
            }
            if self.pool_is_low() {
                self.pressure.reclaim();
                self.pressure.press();
            }
        }
    }

    fn pool_is_low(&self) -> bool {
        self.pool.status().free_segments < FREE_SEGMENTS_LOW
    }

    /// Moves segments with nothing unsettled into probation and those that probation cannot keep to the pool.
    pub(crate) fn retire(&self) {
        let keep = if self.pool_is_low() { 0 } else { self.options.probation_segments };
        let leaving = {
            let mut books = self.books.lock();
            if !books.segments.has_clean_rows() && books.segments.probation() <= keep {
                return;
            }
            let sealed = self.log.segments().into_iter().filter(|info| info.state != SegmentState::Active);
            books.segments.retire(sealed.map(|info| Sealed { id: info.id, records: records_in(&info) }));
            books.report(&self.pressure);
            books.segments.leave_probation(keep)
        };
        let mut released = false;
        for segment in leaving {
            match self.log.release(segment) {
                Ok(()) => released = true,
                Err(LogError::Active) => self.books.lock().segments.back_to_probation(segment),
                Err(error) => {
                    tracing::warn!(share = %self.share, %error, "a journal segment could not be given back")
                }
            }
        }
        if released {
            self.pressure.wake();
        }
    }

    /// Gives the active segment up if nothing in it is unplaced, and whatever else is clean, to the last one.
    pub(crate) async fn give_up_clean(&self) {
        let has_active = self.log.segments().last().is_some_and(|info| info.state == SegmentState::Active);
        if has_active && self.books.lock().segments.is_clean() && self.pool.poisoned().is_none() {
            // A failure has poisoned the folder, which says so itself.
            let _ = self.log.seal_active().await;
        }
        self.retire();
    }

    /// Looks after the journal until it is dropped.
    pub(crate) fn tend(self: &Arc<Self>) {
        let weak: Weak<Journal> = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TEND).await;
                let Some(journal) = weak.upgrade() else { return };
                journal.tend_once().await;
            }
        });
    }

    /// Sets the gauges and gives up what an idle journal does not need.
    pub(crate) async fn tend_once(&self) {
        self.publish_gauges();
        let idle = {
            let books = self.books.lock();
            let since = self.clock.monotonic().since(books.last_append);
            books.segments.is_clean() && since >= self.options.idle_seal
        };
        if idle {
            self.give_up_clean().await;
        }
    }
}

/// Records that got a number in a segment.
fn records_in(info: &SegmentInfo) -> u64 {
    info.last.map_or(0, |last| (last.0 + 1).saturating_sub(info.first.0))
}

impl Member for Journal {
    fn reclaim(self: Arc<Self>) {
        self.retire();
        if !self.sealing.swap(true, Ordering::AcqRel) {
            tokio::spawn(async move {
                self.give_up_clean().await;
                self.sealing.store(false, Ordering::Release);
            });
        }
    }

    fn press(&self) {
        self.work.notify_one();
    }

    fn reported(&self) -> (ShareId, Usage) {
        (self.share, self.books.lock().reported())
    }
}

fn refused(error: LogError) -> ReserveError {
    match error {
        LogError::Poisoned(cause) => ReserveError::Poisoned { cause: cause.to_string() },
        LogError::TooLarge { bytes, .. } => ReserveError::TooLarge { bytes },
        other => ReserveError::Poisoned { cause: other.to_string() },
    }
}

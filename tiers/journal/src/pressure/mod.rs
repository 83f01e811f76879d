//! Back-pressure of one data folder, shared by its journals.
//!
//! The only place where writers wait (DESIGN §6.4, §8). What it decides is in [`decide`]; this file keeps the facts:
//! occupancy as the journals report it, the measured drain, the clients, the shares' permanent causes.
//!
//! *Invariants:* no lock is held over a wait; a journal's report is withdrawn when the journal is dropped, so that a
//! closed share never presses on the others. *A cancelled* wait leaves at most a slightly longer queue for its client.

pub mod decide;
mod meters;

pub use decide::Reserve;
use decide::{DATA_UNTIL, Decision, FREE_UNTIL, Facts, PACE_MAX};
use dfs_model::{ClientRef, Clock, Monotonic, ShareId};
use meters::{Clients, DrainRate};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

use crate::error::ReserveError;

/// A waiter looks again after this long even if nobody woke it.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Sizes that pressure is measured against.
#[derive(Clone, Copy, Debug)]
pub struct PressureOptions {
    /// `journal.size`: bytes of all segments.
    pub journal_bytes: u64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Memory that all overlays together may take; reaching it counts as a full journal.
    pub overlay_bytes_max: u64,
}

impl PressureOptions {
    /// Options for a pool of that size with a sixteenth of it, at least 64 MiB, for overlays.
    #[must_use]
    pub fn for_pool(journal_bytes: u64, segment_bytes: u64) -> PressureOptions {
        PressureOptions {
            journal_bytes,
            segment_bytes,
            overlay_bytes_max: (journal_bytes / 16).max(64 << 20),
        }
    }
}

/// What a status page shows.
#[derive(Clone, Debug, PartialEq)]
pub struct PressureStatus {
    /// 0 … 1, may exceed 1.
    pub occupancy: f64,
    /// Bytes from the oldest unplaced record's segment to the head, summed.
    pub used_bytes: u64,
    /// `journal.size`.
    pub journal_bytes: u64,
    /// Memory of all overlays.
    pub overlay_bytes: u64,
    /// Measured bytes that drain in a second.
    pub drain_bytes_per_second: u64,
    /// Shares of which nothing can be uploaded until an operator acts, and why.
    pub permanent: BTreeMap<ShareId, String>,
}

/// What a journal does for the folder.
pub(crate) trait Member: Send + Sync {
    /// Gives back segments that nobody needs: probation, and the active one if it is clean.
    fn reclaim(self: Arc<Self>);
    /// Wakes its flusher.
    fn press(&self);
    /// Its share, and what it reported last.
    fn reported(&self) -> (ShareId, Usage);
}

/// What a journal reports; the sums over all journals are the folder's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Bytes from the segment of the oldest unplaced record to the head.
    pub span_bytes: u64,
    /// Segments with unplaced records.
    pub dirty_segments: u64,
    /// Memory of the overlay.
    pub overlay_bytes: u64,
}

impl Usage {
    fn plus(self, other: Usage) -> Usage {
        Usage {
            span_bytes: self.span_bytes + other.span_bytes,
            dirty_segments: self.dirty_segments + other.dirty_segments,
            overlay_bytes: self.overlay_bytes + other.overlay_bytes,
        }
    }
}

/// Back-pressure of one data folder.
pub struct Pressure {
    options: PressureOptions,
    clock: Arc<dyn Clock>,
    span_bytes: AtomicU64,
    dirty_segments: AtomicU64,
    overlay_bytes: AtomicU64,
    members: Mutex<Vec<Weak<dyn Member>>>,
    meters: Mutex<Meters>,
    permanent: Mutex<BTreeMap<ShareId, String>>,
    progress: Notify,
}

#[derive(Default)]
struct Meters {
    drain: DrainRate,
    clients: Clients,
}

impl Pressure {
    /// Pressure of an empty folder.
    #[must_use]
    pub fn new(options: PressureOptions, clock: Arc<dyn Clock>) -> Arc<Pressure> {
        Arc::new(Pressure {
            options,
            clock,
            span_bytes: AtomicU64::new(0),
            dirty_segments: AtomicU64::new(0),
            overlay_bytes: AtomicU64::new(0),
            members: Mutex::new(Vec::new()),
            meters: Mutex::new(Meters::default()),
            permanent: Mutex::new(BTreeMap::new()),
            progress: Notify::new(),
        })
    }

    /// Occupancy of the folder: 0 … 1, may exceed 1.
    ///
    /// *Units:* the largest of: bytes from the segment of the oldest unplaced record to the head over `journal.size`;
    /// segments in use over all segments, one open segment not counted; memory of the overlays over its maximum.
    pub fn occupancy(&self) -> f64 {
        self.share_of_pool(Usage {
            span_bytes: self.span_bytes.load(Ordering::Relaxed),
            dirty_segments: self.dirty_segments.load(Ordering::Relaxed),
            overlay_bytes: self.overlay_bytes.load(Ordering::Relaxed),
        })
    }

    fn share_of_pool(&self, usage: Usage) -> f64 {
        let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let segments_total = self.options.journal_bytes / self.options.segment_bytes.max(1);
        let segments = usage.dirty_segments.saturating_sub(1);
        ratio(usage.span_bytes, self.options.journal_bytes)
            .max(ratio(segments, segments_total))
            .max(ratio(usage.overlay_bytes, self.options.overlay_bytes_max))
    }

    /// Says that uploads of a share fail until an operator acts, and why; `None` when they work again or it is closed.
    pub fn set_permanent(&self, share: ShareId, cause: Option<String>) {
        let mut known = self.permanent.lock();
        match cause {
            Some(cause) => known.insert(share, cause),
            None => known.remove(&share),
        };
        drop(known);
        self.progress.notify_waiters();
    }

    /// Why uploads of a share fail until an operator acts.
    pub fn permanent(&self, share: ShareId) -> Option<String> {
        self.permanent.lock().get(&share).cloned()
    }

    /// Why a share gets no room before an operator acts: its own cause, or that of shares which fill the pool by
    /// themselves, so that the draining of the others makes no room.
    fn refusal(&self, share: ShareId) -> Option<String> {
        let causes = self.permanent.lock().clone();
        if causes.is_empty() || causes.contains_key(&share) {
            return causes.get(&share).cloned();
        }
        let stuck = self.members().into_iter().map(|member| member.reported());
        let stuck = stuck.filter(|(share, _)| causes.contains_key(share));
        let stuck = stuck.fold(Usage::default(), |sum, (_, usage)| sum.plus(usage));
        let cause = causes.into_values().next();
        cause.filter(|_| self.share_of_pool(stuck) >= DATA_UNTIL)
    }

    /// Bytes that drain in a second, measured.
    pub fn drain_rate(&self) -> f64 {
        self.meters.lock().drain.read(self.clock.monotonic())
    }

    /// What a status page shows.
    pub fn status(&self) -> PressureStatus {
        PressureStatus {
            occupancy: self.occupancy(),
            used_bytes: self.span_bytes.load(Ordering::Relaxed),
            journal_bytes: self.options.journal_bytes,
            overlay_bytes: self.overlay_bytes.load(Ordering::Relaxed),
            drain_bytes_per_second: self.drain_rate() as u64,
            permanent: self.permanent.lock().clone(),
        }
    }

    pub(crate) fn options(&self) -> &PressureOptions {
        &self.options
    }

    /// Makes a journal known.
    pub(crate) fn join(&self, member: Weak<dyn Member>) {
        let mut members = self.members.lock();
        members.retain(|known| known.strong_count() > 0);
        members.push(member);
    }

    fn members(&self) -> Vec<Arc<dyn Member>> {
        self.members.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Asks every journal to give back what nobody needs.
    pub(crate) fn reclaim(&self) {
        self.members().into_iter().for_each(Member::reclaim);
    }

    /// Wakes every flusher.
    pub(crate) fn press(&self) {
        self.members().iter().for_each(|member| member.press());
    }

    /// Replaces what a journal reported before.
    pub(crate) fn report(&self, before: Usage, after: Usage) {
        let change = |total: &AtomicU64, before: u64, after: u64| {
            // Two's complement: adding the difference also subtracts.
            total.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        };
        change(&self.span_bytes, before.span_bytes, after.span_bytes);
        change(&self.dirty_segments, before.dirty_segments, after.dirty_segments);
        change(&self.overlay_bytes, before.overlay_bytes, after.overlay_bytes);
    }

    /// Notes that records of `bytes` were placed or died, and wakes who waits for it.
    pub(crate) fn drained(&self, bytes: u64) {
        let now = self.clock.monotonic();
        self.meters.lock().drain.note(bytes, now);
        self.progress.notify_waiters();
    }

    /// A future that ends when something drains after this call, or after a while; take it before looking, so that
    /// nothing is missed in between.
    pub(crate) fn progress(&self, most: Duration) -> impl Future<Output = ()> + Send + '_ {
        let progress = self.progress.notified();
        async move {
            let _ = tokio::time::timeout(most.min(LOOK_AGAIN), progress).await;
        }
    }

    /// Wakes who waits for room.
    pub(crate) fn wake(&self) {
        self.progress.notify_waiters();
    }

    fn decision(
        &self,
        share: ShareId,
        who: &ClientRef,
        bytes: u64,
        kind: Reserve,
        now: Monotonic,
    ) -> Decision {
        let occupancy = self.occupancy();
        if occupancy < FREE_UNTIL {
            return Decision::Go;
        }
        let permanent = occupancy >= DATA_UNTIL && self.refusal(share).is_some();
        let mut meters = self.meters.lock();
        let clients = meters.clients.seen(who, now);
        let drain_bytes_per_second = meters.drain.read(now);
        let facts = Facts { occupancy, kind, bytes, drain_bytes_per_second, clients, permanent };
        match decide::decide(&facts) {
            Decision::Pace(pace) => Decision::Pace(meters.clients.queue(who, pace, PACE_MAX, now)),
            other => other,
        }
    }

    /// Waits until a reservation of a share may go on. *Errors:* [`ReserveError::Delay`] at the deadline,
    /// [`ReserveError::NoSpace`] under a permanent cause. *Cancel:* safe.
    pub(crate) async fn admit(
        &self,
        share: ShareId,
        who: &ClientRef,
        bytes: u64,
        kind: Reserve,
        deadline: Option<Monotonic>,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Duration, ReserveError> {
        let start = self.clock.monotonic();
        let mut paced = false;
        loop {
            let now = self.clock.monotonic();
            if stopped() {
                return Ok(now.since(start));
            }
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.since(now));
            let progress = self.progress(left);
            match self.decision(share, who, bytes, kind, now) {
                Decision::Go => return Ok(now.since(start)),
                Decision::Pace(_) if paced => return Ok(now.since(start)),
                Decision::Pace(pace) => {
                    self.press();
                    tokio::time::sleep(pace.min(left)).await;
                    paced = true;
                }
                Decision::NoSpace => {
                    if let Some(cause) = self.refusal(share) {
                        return Err(ReserveError::NoSpace { cause });
                    }
                }
                Decision::Wait if left.is_zero() => return Err(ReserveError::Delay),
                Decision::Wait => {
                    self.press();
                    progress.await;
                }
            }
        }
    }

    /// Whether the flusher should widen: occupancy in or above the slowed band.
    pub fn is_pressing(&self) -> bool {
        self.occupancy() >= FREE_UNTIL
    }

    /// Whether data gets no room at all at the moment.
    pub fn is_full(&self) -> bool {
        self.occupancy() >= DATA_UNTIL
    }
}

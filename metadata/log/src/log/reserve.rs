//! Reservations and the roll to the next segment: the only place that waits for room.
//!
//! ```text
//!   fits the active segment ──────────────────────────────> granted
//!   does not: roll task ── take a segment (waits while none is free; small records may still fit)
//!             ── closing: wait for reservations to end ── seal, sync ── header, sync ── active
//! ```
//!
//! *Invariants:* reserved bytes + head + tail never exceed the active segment; while `closing` nothing is granted; the
//! seal's sync ends before the new header is written, and the header's before the first record (J1): a crash between
//! leaves a whole, sealed segment as the newest, or an empty one after it.
//! *A cancelled* reservation leaves at most a roll that serves the next caller.

use super::{Entry, Inner, Log, State, SyncTarget};
use crate::{
    error::LogError,
    format::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, record_bytes, seed},
    mutation::Rule,
    pool::{Segment, SegmentId},
};
use dfs_model::Seq;
use std::sync::{Arc, atomic::Ordering};

/// What a reservation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Data; waits while only the pool's small reserve is free.
    Data,
    /// A record without data (truncate, punch, set times): may use the small reserve, so that a full log drains (J6).
    Small,
}

/// Room in the log that an append cannot fail for. Dropping it gives the rest back.
/// Hold it briefly and ask for nothing else meanwhile: a roll waits for all reservations to end.
pub struct Reservation {
    inner: Arc<Inner>,
    bytes: u64,
}

impl Reservation {
    /// Payload bytes that one more record may have.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.bytes.saturating_sub(RECORD_HEADER_BYTES) & !7
    }

    pub(super) fn holds(&self, inner: &Arc<Inner>, bytes: u64) -> bool {
        Arc::ptr_eq(&self.inner, inner) && self.bytes >= bytes
    }

    pub(super) fn take(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        {
            let mut state = self.inner.state.lock();
            state.reserved = state.reserved.saturating_sub(self.bytes);
        }
        self.inner.room.notify_waiters();
    }
}

impl Log {
    /// Reserves room for one record of data. See [`Log::reserve_records`].
    pub async fn reserve(&self, payload_bytes: u64) -> Result<Reservation, LogError> {
        self.reserve_records(&[payload_bytes], Priority::Data).await
    }

    /// Reserves room for records with these payloads. The last waiting point before an append (SEAM §5).
    /// *Guarantees:* appends within it neither wait nor fail for space. Waits while no segment is free, and for the
    /// seal of the segment before (J1).
    /// *Errors:* `TooLarge` when it cannot fit any segment; `Poisoned`; `Closed`. *Cancel:* safe.
    pub async fn reserve_records(
        &self,
        payloads: &[u64],
        priority: Priority,
    ) -> Result<Reservation, LogError> {
        let need: u64 = payloads.iter().map(|bytes| record_bytes(*bytes)).sum();
        let inner = &self.inner;
        let room = inner.pool.segment_bytes().saturating_sub(SEGMENT_HEADER_BYTES + super::TAIL_BYTES);
        if need > room {
            let bytes = payloads.iter().sum();
            return Err(LogError::TooLarge { bytes, room: room.saturating_sub(RECORD_HEADER_BYTES) });
        }
        let mut waited = false;
        loop {
            let changed = inner.room.notified();
            let freed = inner.pool.changed().notified();
            tokio::pin!(changed, freed);
            changed.as_mut().enable();
            freed.as_mut().enable();
            if let Some(granted) = inner.try_reserve(need, priority)? {
                return Ok(granted);
            }
            if !std::mem::replace(&mut waited, true) {
                inner.metrics.reserve_waits.increment(1);
            }
            let mut poisoned = inner.pool.watch_poison();
            inner.check()?;
            tokio::select! {
                () = changed => {}
                () = freed => {}
                _ = poisoned.changed() => {}
            }
        }
    }

    /// Seals and syncs the active segment, so that an idle log can give it up. `None` when there is none.
    /// The next reservation opens a new one. *Cancel:* safe; the seal may still happen.
    pub async fn seal_active(&self) -> Result<Option<SegmentId>, LogError> {
        let inner = self.inner.clone();
        let task = self.inner.runtime.spawn(async move {
            inner.begin_close().await?;
            let sealed = inner.close_active().await;
            inner.end_close(None);
            sealed
        });
        task.await.unwrap_or(Err(LogError::Closed))
    }
}

impl Inner {
    /// Grants what fits now, else makes sure that a roll is under way.
    fn try_reserve(self: &Arc<Self>, need: u64, priority: Priority) -> Result<Option<Reservation>, LogError> {
        let mut state = self.state.lock();
        self.check()?;
        let (reserved, closing) = (state.reserved, state.closing);
        let fits = match state.active.as_mut() {
            _ if closing => false,
            Some(active) if active.room() >= reserved + need => {
                let spared = active.from_reserve && !self.pool.reserve_is_whole();
                if spared && priority == Priority::Data {
                    return Ok(None);
                }
                active.from_reserve = spared;
                true
            }
            _ => false,
        };
        if fits {
            state.reserved += need;
            return Ok(Some(Reservation { inner: self.clone(), bytes: need }));
        }
        if priority == Priority::Small && !state.want_small {
            state.want_small = true;
            self.room.notify_waiters();
        }
        if !state.rolling {
            state.rolling = true;
            self.runtime.spawn(roll(self.clone()));
        }
        Ok(None)
    }

    /// Waits until nobody else ends the active segment.
    async fn begin_close(&self) -> Result<(), LogError> {
        loop {
            let changed = self.room.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            self.check()?;
            {
                let mut state = self.state.lock();
                if !state.closing {
                    state.closing = true;
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    fn end_close(self: &Arc<Self>, next: Option<Entry>) {
        {
            let mut state = self.state.lock();
            state.closing = false;
            if next.is_some() {
                state.active = next;
            }
        }
        self.room.notify_waiters();
        self.kick_if_awaited();
    }

    fn end_roll(&self) {
        {
            let mut state = self.state.lock();
            state.rolling = false;
            state.want_small = false;
        }
        self.room.notify_waiters();
    }

    /// Waits for a segment; small records may come to want the reserve meanwhile.
    async fn take_segment(&self) -> Result<(Segment, bool), LogError> {
        let mut poisoned = self.pool.watch_poison();
        loop {
            let freed = self.pool.changed().notified();
            let wish = self.room.notified();
            tokio::pin!(freed, wish);
            freed.as_mut().enable();
            wish.as_mut().enable();
            self.check()?;
            if let Some(segment) = self.pool.try_take(false)? {
                return Ok((segment, false));
            }
            let small = self.state.lock().want_small;
            if small && let Some(segment) = self.pool.try_take(true)? {
                return Ok((segment, true));
            }
            tokio::select! {
                () = freed => {}
                () = wish => {}
                _ = poisoned.changed() => {}
            }
        }
    }

    /// Waits for the reservations to end, then seals and syncs the active segment.
    async fn close_active(&self) -> Result<Option<SegmentId>, LogError> {
        loop {
            let changed = self.room.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.state.lock().reserved == 0 {
                break;
            }
            changed.await;
        }
        self.check()?;
        let turn = self.sync_turn.lock().await;
        let (sealed, id) = {
            let mut state = self.state.lock();
            let id = state.active.as_ref().map(|e| e.segment.id);
            (self.seal(&mut state)?, id)
        };
        if let Some((file, target)) = sealed
            && !self.options.mutations.off(Rule::SealBeforeNext)
        {
            self.sync_file(target, || file.clone().sync_later()).await?;
        }
        drop(turn);
        Ok(id)
    }

    /// Ends the active segment and opens the next. `None` after a failure, which has poisoned or closed the log.
    async fn replace_active(&self, segment: Segment, from_reserve: bool) -> Option<Entry> {
        let slot = segment.id.slot;
        let start = self.options.clock.monotonic();
        if self.close_active().await.is_err() {
            self.pool.put_back(slot);
            return None;
        }
        // After a failure here the segment stays taken: its header may or may not be on the disk.
        let entry = self.open_segment(segment, from_reserve).await.ok()?;
        self.state.lock().unsynced_bytes = 0;
        self.metrics.rolls.increment(1);
        self.metrics.roll_seconds.record(self.options.clock.monotonic().since(start).as_secs_f64());
        Some(entry)
    }

    /// Writes and syncs the header of a new segment.
    async fn open_segment(&self, segment: Segment, from_reserve: bool) -> Result<Entry, LogError> {
        let issued = self.number(&self.issued);
        let header = SegmentHeader {
            journal: self.journal,
            generation: segment.id.generation,
            epoch: self.epoch,
            first: Seq(issued.0 + 1),
            vouched: self.vouched,
            free: false,
        };
        let failed = |error: &std::io::Error| self.poison(&format!("header of {}", segment.name), error);
        segment.file.write_at(0, &header.encode()).map_err(|error| failed(&error))?;
        if !self.options.mutations.off(Rule::HeaderSync) {
            segment.file.clone().sync_later().await.map_err(|error| failed(&error))?;
        }
        let seed = match self.options.mutations.off(Rule::SeededChecksum) {
            true => seed(0, 0),
            false => seed(self.journal, segment.id.generation),
        };
        Ok(Entry {
            segment,
            header,
            seed,
            last: None,
            head: SEGMENT_HEADER_BYTES,
            recovered: false,
            from_reserve,
        })
    }
}

/// Takes the next segment, ends the active one, opens the next. Runs in a task of its own, to its end.
async fn roll(inner: Arc<Inner>) {
    if let Ok((segment, from_reserve)) = inner.take_segment().await {
        let slot = segment.id.slot;
        match inner.begin_close().await {
            Ok(()) => {
                let next = inner.replace_active(segment, from_reserve).await;
                inner.end_close(next);
            }
            Err(_) => inner.pool.put_back(slot),
        }
    }
    inner.end_roll();
}

impl State {
    /// File and target of a sync of everything appended so far; `None` while no segment is active.
    pub(super) fn sync_target(&mut self, inner: &Inner) -> Option<SyncTarget> {
        let active = self.active.as_ref()?;
        self.unsynced_bytes = 0;
        Some((active.segment.file.clone(), Seq(inner.issued.load(Ordering::Acquire))))
    }
}

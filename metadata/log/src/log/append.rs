//! Appending: numbering, framing and one write, under the log's short lock.
//!
//! The payload's checksum is made before the lock; the header's, which vouches for it, inside. The write stays inside:
//! a record may be acknowledged only when all before it are in the page cache, or the death of the process could leave
//! a hole before it. *A failed write* poisons: the file may hold half a record.

use super::{Appended, Entry, Inner, Log, Position, State, SyncTarget, reserve::Reservation};
use crate::{
    error::LogError,
    format::{KIND_MAX, KIND_SEAL, KIND_VOUCH, RecordHeader, record_bytes},
};
use dfs_model::Seq;
use std::{borrow::BorrowMut, sync::atomic::Ordering};

/// Padding that brings a record to a multiple of eight bytes.
const PADDING: [u8; 8] = [0; 8];

impl Log {
    /// Appends one record and returns its number and position.
    /// *Units and shape:* `kind` is 1 to [`KIND_MAX`]; the parts' total is at most what the reservation still has; what
    /// the record does not need stays reserved until the reservation ends.
    /// *Guarantees:* never waits for anything but other appends; on return the record survives the death of the
    /// process, and a power cut once [`Log::durable`] answers. Numbers are contiguous in the order of the calls.
    /// *Errors:* `Poisoned` after a failed sync or write, permanent until restart; `TooLarge` beyond the reservation.
    pub fn append(
        &self,
        mut reservation: impl BorrowMut<Reservation>,
        kind: u8,
        inode: u64,
        flags: u16,
        parts: &[&[u8]],
    ) -> Result<Appended, LogError> {
        let reservation: &mut Reservation = reservation.borrow_mut();
        if !(1..=KIND_MAX).contains(&kind) {
            return Err(LogError::Kind(kind));
        }
        let payload: u64 = parts.iter().map(|p| p.len() as u64).sum();
        let need = record_bytes(payload);
        let Some(length) = u32::try_from(payload).ok().filter(|_| reservation.holds(&self.inner, need))
        else {
            return Err(LogError::TooLarge { bytes: payload, room: reservation.payload_bytes() });
        };
        let payload_sum = parts.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part));
        let header = RecordHeader { length, payload_sum, kind, flags, inode, ..RecordHeader::default() };
        let inner = &self.inner;
        let (appended, early, drained) = {
            let mut state = inner.state.lock();
            inner.check()?;
            let seq = inner.next_seq()?;
            reservation.take(need);
            state.reserved = state.reserved.saturating_sub(need);
            let position = inner.write_record(&mut state, RecordHeader { seq, ..header }, parts)?;
            inner.issued.store(seq.0, Ordering::Release);
            let early = state.unsynced_bytes >= inner.options.sync_bytes_max;
            (Appended { seq, position }, early, state.closing && state.reserved == 0)
        };
        if drained {
            inner.room.notify_waiters();
        }
        inner.metrics.appended.increment(1);
        inner.metrics.appended_bytes.increment(need);
        if !inner.armed.swap(true, Ordering::AcqRel) {
            inner.timer.notify_one();
        }
        if early {
            inner.kick();
        }
        Ok(appended)
    }
}

impl Inner {
    fn next_seq(&self) -> Result<Seq, LogError> {
        let last = self.number(&self.issued);
        match last.counter() < Seq::COUNTER_MAX {
            true => Ok(Seq(last.0 + 1)),
            false => Err(LogError::Exhausted),
        }
    }

    /// Writes one record at the active segment's head. The caller holds the lock and has the room.
    fn write_record(
        &self,
        state: &mut State,
        header: RecordHeader,
        parts: &[&[u8]],
    ) -> Result<Position, LogError> {
        let entry = state.active.as_mut().ok_or(LogError::Closed)?;
        let header = RecordHeader { synced_through: self.number(&self.durable), ..header };
        let offset = entry.head;
        self.write_at_head(entry, &header, parts)?;
        if header.kind <= KIND_MAX {
            entry.last = Some(header.seq);
        }
        state.unsynced_bytes += record_bytes(u64::from(header.length));
        Ok(Position {
            segment: entry.segment.id,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            length: header.length,
        })
    }

    fn write_at_head(
        &self,
        entry: &mut Entry,
        header: &RecordHeader,
        parts: &[&[u8]],
    ) -> Result<(), LogError> {
        let bytes = header.encode(entry.seed);
        let need = record_bytes(u64::from(header.length));
        let pad = (need - crate::format::RECORD_HEADER_BYTES - u64::from(header.length)) as usize;
        let mut bufs: Vec<&[u8]> = Vec::with_capacity(parts.len() + 2);
        bufs.push(&bytes);
        bufs.extend_from_slice(parts);
        bufs.push(PADDING.get(..pad).unwrap_or_default());
        let written = entry.segment.file.write_vectored_at(entry.head, &bufs);
        written.map_err(|error| self.poison(&format!("write of {}", entry.segment.name), &error))?;
        entry.head += need;
        Ok(())
    }

    /// Ends the active segment with its seal and moves it to the kept ones. `None` when there is none.
    pub(super) fn seal(&self, state: &mut State) -> Result<Option<SyncTarget>, LogError> {
        if state.active.is_none() {
            return Ok(None);
        }
        let seq = self.number(&self.issued);
        self.write_record(state, RecordHeader { kind: KIND_SEAL, seq, ..RecordHeader::default() }, &[])?;
        let Some(entry) = state.active.take() else { return Ok(None) };
        let file = entry.segment.file.clone();
        state.kept.push(entry);
        Ok(Some((file, seq)))
    }

    /// Writes a record that vouches for everything synced so far, if there is room. False when there is none.
    pub(super) fn vouch(&self) -> Result<bool, LogError> {
        let mut state = self.state.lock();
        let reserved = state.reserved;
        let need = record_bytes(0);
        if state.closing || state.active.as_ref().is_none_or(|e| e.room() < reserved + need) {
            return Ok(false);
        }
        self.check()?;
        let seq = self.number(&self.issued);
        self.write_record(
            &mut state,
            RecordHeader { kind: KIND_VOUCH, seq, ..RecordHeader::default() },
            &[],
        )?;
        Ok(true)
    }
}

//! Bytes in, whole records out, asking for permits between a record's mark and its body.
//!
//! ```text
//! Mark ──4 bytes──▶ Permit ──grant──▶ Body ──last byte of last fragment──▶ record out, Mark
//!   ▲                                  │
//!   └────────── further fragment ──────┘   (its permits were taken with the first one)
//! ```
//! A record in several fragments takes the permits of the largest record at its first mark, so that nobody waits for
//! more while holding some. Pure; a dropped `Inbound` gives its permits back.

use crate::limits::Limits;
use crate::metrics::CloseReason;
use crate::permits::Held;
use crate::service::Service;
use bytes::{Bytes, BytesMut};

/// Most fragments of one record: empty ones cost the peer next to nothing.
const FRAGMENTS_MAX: u32 = 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Mark,
    Permit { len: usize, last: bool },
    Body { left: usize, last: bool },
}

/// What the state machine needs, or has.
pub(crate) enum Step {
    /// More bytes of the stream.
    Input,
    /// Permits for this many bytes, by [`Inbound::grant`].
    Permits(usize),
    /// A whole record with its permits.
    Record(Bytes, Held),
    /// The stream is not a stream of records.
    Close(CloseReason),
}

pub(crate) struct Inbound {
    phase: Phase,
    mark: [u8; 4],
    mark_len: usize,
    record: BytesMut,
    fragments: u32,
    record_max: usize,
    held: Option<Held>,
}

impl Inbound {
    pub(crate) fn new(record_max: usize) -> Inbound {
        let (mark, mark_len, record) = ([0; 4], 0, BytesMut::new());
        Inbound { phase: Phase::Mark, mark, mark_len, record, fragments: 0, record_max, held: None }
    }

    /// Whether the stream stands between two records.
    pub(crate) fn is_between(&self) -> bool {
        self.phase == Phase::Mark && self.mark_len == 0 && self.held.is_none()
    }

    /// Whether a record is being received and holds permits.
    pub(crate) fn holds_permits(&self) -> bool {
        self.held.is_some()
    }

    pub(crate) fn step<S: Service>(&mut self, input: &mut &[u8]) -> Step {
        loop {
            match self.phase {
                Phase::Mark => {
                    while self.mark_len < 4 {
                        let (Some((byte, rest)), Some(place)) =
                            (input.split_first(), self.mark.get_mut(self.mark_len))
                        else {
                            return Step::Input;
                        };
                        *place = *byte;
                        self.mark_len += 1;
                        *input = rest;
                    }
                    self.mark_len = 0;
                    if let Err(reason) = self.on_mark::<S>() {
                        return Step::Close(reason);
                    }
                }
                Phase::Permit { len, last } => {
                    let bytes = if last { len } else { self.record_max };
                    return Step::Permits(bytes + Limits::REPLY_ALLOWANCE);
                }
                Phase::Body { left, last } => {
                    let (taken, rest) = input.split_at(left.min(input.len()));
                    self.record.extend_from_slice(taken);
                    *input = rest;
                    if taken.len() < left {
                        self.phase = Phase::Body { left: left - taken.len(), last };
                        return Step::Input;
                    }
                    self.phase = Phase::Mark;
                    if last {
                        self.fragments = 0;
                        let record = std::mem::take(&mut self.record).freeze();
                        if let Some(held) = self.held.take() {
                            return Step::Record(record, held);
                        }
                    }
                }
            }
        }
    }

    fn on_mark<S: Service>(&mut self) -> Result<(), CloseReason> {
        let (len, last) = S::parse_mark(self.mark).ok_or(CloseReason::Garbage)?;
        if self.record.len() + len > self.record_max {
            return Err(CloseReason::Oversized);
        }
        self.fragments += 1;
        if self.fragments > FRAGMENTS_MAX {
            return Err(CloseReason::Garbage);
        }
        self.phase = match self.held {
            Some(_) => Phase::Body { left: len, last },
            None => Phase::Permit { len, last },
        };
        Ok(())
    }

    /// Hands over the permits that were asked for.
    pub(crate) fn grant(&mut self, held: Held) {
        if let Phase::Permit { len, last } = self.phase {
            self.record = BytesMut::with_capacity(len);
            self.held = Some(held);
            self.phase = Phase::Body { left: len, last };
        }
    }

    /// Where the next `n` bytes of the stream may be read to directly, if `n` is at least `least`.
    pub(crate) fn direct(&mut self, least: usize) -> Option<(&mut BytesMut, usize)> {
        match self.phase {
            Phase::Body { left, .. } if left >= least => Some((&mut self.record, left)),
            _ => None,
        }
    }

    /// Says that `n` bytes were read to where [`Inbound::direct`] said.
    pub(crate) fn filled(&mut self, n: usize) {
        if let Phase::Body { left, last } = self.phase {
            self.phase = Phase::Body { left: left.saturating_sub(n), last };
        }
    }
}

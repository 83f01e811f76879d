//! Replies on their way into the socket: small ones gathered into one buffer, payload written from where it lies.
//!
//! Pure but for the `write` that is passed in. The queue needs no bound of its own: each reply holds the permits of its
//! request until its last byte is written, and permits are bounded.

use crate::permits::Held;
use crate::service::{Reply, ReplyGate, Service};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// Payload parts up to this size are copied behind their head: one more slice in a vectored write costs about as much.
const COPY_MAX: usize = 1024;
/// Slices in one vectored write.
const SLICES_MAX: usize = 64;
const ZEROS: [u8; 3] = [0; 3];

/// Replies waiting to be written.
#[derive(Default)]
pub(crate) struct Outbound {
    parts: VecDeque<Bytes>,
    /// The part that small replies are still appended to; written after all `parts`.
    tail: BytesMut,
    /// Bytes ever queued and ever written.
    queued: u64,
    written: u64,
    /// Where each reply ends, with its permits.
    ends: VecDeque<(u64, Held)>,
    /// Where each reply ends that may leave only while its gate is open.
    gated: VecDeque<(u64, Arc<dyn ReplyGate>)>,
}

/// What a flush did.
pub(crate) struct Flushed {
    pub bytes: usize,
    /// Permits of the requests whose replies were completely written.
    pub done: Option<Held>,
    /// A reply may not leave: nothing more may be written.
    pub shut: bool,
}

impl Outbound {
    pub(crate) fn is_empty(&self) -> bool {
        self.queued == self.written
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.queued - self.written
    }

    pub(crate) fn push<S: Service>(&mut self, mut reply: Reply, held: Held) {
        let len = reply.len();
        reply.seal(S::mark(len));
        self.queued += (len + 4) as u64;
        let Reply { gate, head, body, pad } = reply;
        self.append(&head);
        for part in body {
            if part.len() <= COPY_MAX {
                self.append(&part);
            } else {
                let before = self.tail.split().freeze();
                if !before.is_empty() {
                    self.parts.push_back(before);
                }
                self.parts.push_back(part);
            }
        }
        self.append(ZEROS.get(..pad).unwrap_or_default());
        self.ends.push_back((self.queued, held));
        if let Some(gate) = gate {
            self.gate(gate);
        }
    }

    /// Notes the gate of the reply queued last; neighbours behind one gate are one entry.
    fn gate(&mut self, gate: Arc<dyn ReplyGate>) {
        match self.gated.back_mut() {
            Some((end, last)) if Arc::ptr_eq(last, &gate) => *end = self.queued,
            _ => self.gated.push_back((self.queued, gate)),
        }
    }

    /// Whether some reply that is not completely written may not leave.
    fn is_shut(&self) -> bool {
        self.gated.iter().any(|(_, gate)| !gate.is_open())
    }

    fn append(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Writes until nothing is left, `write` says that it would block, or a gate is shut, which is looked at before each write.
    /// *Errors:* those of `write`, `WouldBlock` excepted.
    pub(crate) fn flush(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Flushed> {
        let mut flushed = Flushed { bytes: 0, done: None, shut: false };
        while !self.is_empty() {
            if self.is_shut() {
                flushed.shut = true;
                return Ok(flushed);
            }
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut used = 0;
            for (slice, part) in slices.iter_mut().zip(&self.parts) {
                *slice = IoSlice::new(part);
                used += 1;
            }
            if let Some(slice) = slices.get_mut(used)
                && !self.tail.is_empty()
            {
                *slice = IoSlice::new(&self.tail);
                used += 1;
            }
            let written = match write(slices.get(..used).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.advance(written);
            flushed.bytes += written;
        }
        while self.ends.front().is_some_and(|(end, _)| *end <= self.written) {
            match (self.ends.pop_front(), &mut flushed.done) {
                (Some((_, held)), Some(done)) => done.absorb(held),
                (ended, done) => *done = ended.map(|(_, held)| held),
            }
        }
        while self.gated.front().is_some_and(|(end, _)| *end <= self.written) {
            self.gated.pop_front();
        }
        Ok(flushed)
    }

    fn advance(&mut self, written: usize) {
        self.written += written as u64;
        let mut left = written;
        while left > 0 {
            let Some(front) = self.parts.front_mut() else { break };
            if front.len() > left {
                front.advance(left);
                return;
            }
            left -= front.len();
            self.parts.pop_front();
        }
        self.tail.advance(left.min(self.tail.len()));
    }
}

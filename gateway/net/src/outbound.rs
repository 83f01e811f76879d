//! Replies on their way into the socket: small ones gathered into one buffer, payload written from where it lies.
//!
//! Pure but for the `write` that is passed in. The queue needs no bound of its own: each reply holds the permits of its
//! request until its last byte is written, and permits are bounded.

use crate::permits::Held;
use crate::service::{Reply, Service};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, IoSlice};

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
}

/// What a flush did.
pub(crate) struct Flushed {
    pub bytes: usize,
    /// Permits of the requests whose replies were completely written.
    pub done: Option<Held>,
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
        let Reply { head, body, pad } = reply;
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
    }

    fn append(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Writes until nothing is left or `write` says that it would block.
    /// *Errors:* those of `write`, `WouldBlock` excepted.
    pub(crate) fn flush(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Flushed> {
        let mut flushed = Flushed { bytes: 0, done: None };
        while !self.is_empty() {
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

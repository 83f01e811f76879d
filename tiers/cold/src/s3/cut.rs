//! A body sorted into the ranges that were asked for while it arrives.
//!
//! Each byte is copied once, out of the connection's buffer while that is still in the processor's cache, into memory that
//! its range alone keeps; so the buffer is used again at once, and no whole body is ever held.

use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// See the module. *Invariant:* `done` holds the ranges that end at or before `at`, `open` the next one's bytes before `at`.
pub(super) struct Cut<'a> {
    ranges: &'a [Range<u64>],
    done: Vec<Bytes>,
    open: BytesMut,
    /// Offset in the object of the next byte.
    at: u64,
    came: u64,
}

impl<'a> Cut<'a> {
    /// A body that starts where the first range does. The ranges are in order, without overlap, none empty.
    pub fn new(ranges: &'a [Range<u64>]) -> Cut<'a> {
        let at = ranges.first().map_or(0, |first| first.start);
        Cut { ranges, done: Vec::with_capacity(ranges.len()), open: BytesMut::new(), at, came: 0 }
    }

    /// Takes the next piece of the body.
    pub fn take(&mut self, mut piece: &[u8]) {
        self.came += piece.len() as u64;
        while let Some(range) = self.ranges.get(self.done.len()).filter(|_| !piece.is_empty()) {
            let inside = self.at >= range.start;
            let until = if inside { range.end } else { range.start };
            let most = usize::try_from(until.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let (head, rest) = piece.split_at(most.min(piece.len()));
            if inside {
                if self.open.is_empty() {
                    self.open.reserve((range.end - range.start) as usize);
                }
                self.open.extend_from_slice(head);
            }
            self.at += head.len() as u64;
            piece = rest;
            if inside && self.at >= range.end {
                self.done.push(std::mem::take(&mut self.open).freeze());
            }
        }
    }

    /// The bytes of every range. *Errors:* the number of bytes that came, where they were too few or too many.
    pub fn finish(self) -> Result<Vec<Bytes>, u64> {
        let span = crate::store::span(self.ranges);
        let whole = self.done.len() == self.ranges.len() && self.came == span.end.saturating_sub(span.start);
        if whole { Ok(self.done) } else { Err(self.came) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn body_in_pieces_of_any_size_comes_out_as_its_ranges() {
        let object: Vec<u8> = (0..=255).collect();
        let ranges = [10..11, 11..40, 57..60, 100..200];
        let span = 10..200;
        for size in 1..=190 {
            let mut cut = Cut::new(&ranges);
            object[span.clone()].chunks(size).for_each(|piece| cut.take(piece));
            let want: Vec<&[u8]> =
                ranges.iter().map(|range| &object[range.start as usize..range.end as usize]).collect();
            assert_eq!(cut.finish().unwrap(), want, "pieces of {size}");
        }
    }

    #[test]
    fn body_too_short_or_too_long_is_refused() {
        for (len, came) in [(0, 0), (9, 9), (11, 11)] {
            let mut cut = Cut::new(&[5..8, 9..15]);
            cut.take(&vec![1; len]);
            assert_eq!(cut.finish(), Err(came));
        }
    }
}

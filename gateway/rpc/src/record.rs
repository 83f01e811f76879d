//! Record marking on a byte stream (RFC 5531 §11): four bytes before each fragment, the top bit marks the last one.
//!
//! [`Assembler`] is the pure form: bytes in, whole records out, under a cap on a record's length and on its number of
//! fragments. Servers that take permits between header and body use [`parse_mark`] themselves.

use bytes::{Buf, Bytes, BytesMut};

/// Most fragments of one record: a peer that sends more is wasting our time (empty fragments cost no bytes).
pub const FRAGMENTS_MAX: u32 = 1024;

const LAST: u32 = 1 << 31;

/// Why a stream is not a stream of records. The connection cannot be used further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record would exceed the cap.
    #[error("a record of at least {len} bytes exceeds the cap of {max}")]
    TooLong {
        /// Length as far as announced.
        len: usize,
        /// The cap.
        max: usize,
    },
    /// The record has too many fragments.
    #[error("a record has more than {FRAGMENTS_MAX} fragments")]
    TooManyFragments,
}

/// Splits a fragment mark into the fragment's length in bytes and whether it is the record's last.
#[must_use]
pub fn parse_mark(mark: [u8; 4]) -> (usize, bool) {
    let mark = u32::from_be_bytes(mark);
    ((mark & !LAST) as usize, mark & LAST != 0)
}

/// Makes the mark of a fragment of `len` bytes; `len` above 2^31 − 1 is cut to it.
#[must_use]
pub fn mark(len: usize, last: bool) -> [u8; 4] {
    let len = (len.min(LAST as usize - 1)) as u32;
    (len | if last { LAST } else { 0 }).to_be_bytes()
}

/// Puts records together from the bytes of a stream.
#[derive(Debug)]
pub struct Assembler {
    pending: BytesMut,
    record: BytesMut,
    fragments: u32,
    len_max: usize,
}

impl Assembler {
    /// Accepts records of at most `len_max` bytes.
    #[must_use]
    pub fn new(len_max: usize) -> Assembler {
        Assembler { pending: BytesMut::new(), record: BytesMut::new(), fragments: 0, len_max }
    }

    /// Adds bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The buffer at whose end the stream's next bytes go, for reading into it without a copy.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.pending
    }

    /// Takes the next whole record. `None` until more bytes are pushed.
    /// *Errors:* [`RecordError`], permanent for this stream.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, RecordError> {
        loop {
            let Some(head) = self.pending.first_chunk::<4>() else { return Ok(None) };
            let (len, last) = parse_mark(*head);
            let total = self.record.len() + len;
            if total > self.len_max {
                return Err(RecordError::TooLong { len: total, max: self.len_max });
            }
            if self.fragments >= FRAGMENTS_MAX {
                return Err(RecordError::TooManyFragments);
            }
            if self.pending.len() < 4 + len {
                return Ok(None);
            }
            self.pending.advance(4);
            let fragment = self.pending.split_to(len);
            if last && self.record.is_empty() {
                self.fragments = 0;
                return Ok(Some(fragment.freeze()));
            }
            self.record.extend_from_slice(&fragment);
            self.fragments += 1;
            if last {
                self.fragments = 0;
                return Ok(Some(self.record.split().freeze()));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn record_longer_than_cap_is_refused_from_its_mark() {
        let mut assembler = Assembler::new(100);
        assembler.push(&mark(101, true));
        assert_eq!(assembler.next_record(), Err(RecordError::TooLong { len: 101, max: 100 }));
    }

    #[test]
    fn fragments_longer_together_than_cap_are_refused() {
        let mut assembler = Assembler::new(100);
        assembler.push(&mark(60, false));
        assembler.push(&[0; 60]);
        assert_eq!(assembler.next_record(), Ok(None));
        assembler.push(&mark(41, true));
        assert_eq!(assembler.next_record(), Err(RecordError::TooLong { len: 101, max: 100 }));
    }

    #[test]
    fn endless_empty_fragments_are_refused() {
        let mut assembler = Assembler::new(100);
        for _ in 0..=FRAGMENTS_MAX {
            assembler.push(&mark(0, false));
        }
        assert_eq!(assembler.next_record(), Err(RecordError::TooManyFragments));
    }

    proptest! {
        #[test]
        fn records_cut_anywhere_come_out_whole(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6),
            fragment in 1usize..64,
            piece in 1usize..50,
        ) {
            let mut stream = Vec::new();
            for record in &records {
                let mut chunks = record.chunks(fragment).peekable();
                if record.is_empty() {
                    stream.extend_from_slice(&mark(0, true));
                }
                while let Some(chunk) = chunks.next() {
                    stream.extend_from_slice(&mark(chunk.len(), chunks.peek().is_none()));
                    stream.extend_from_slice(chunk);
                }
            }
            let mut assembler = Assembler::new(200);
            let mut out = Vec::new();
            for bytes in stream.chunks(piece) {
                assembler.push(bytes);
                while let Some(record) = assembler.next_record().unwrap() {
                    out.push(record.to_vec());
                }
            }
            prop_assert_eq!(out, records);
        }
    }
}

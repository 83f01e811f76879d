//! Byte ranges without overflow and without wire-form ambiguity.

/// A range of a file's bytes. Wire forms are turned into it at the protocol's edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteRange {
    /// Bytes `first..=last`, both inclusive, so the last byte of a 2^64 file can be named.
    Span {
        /// First byte.
        first: u64,
        /// Last byte, at least `first`.
        last: u64,
    },
    /// No byte at all, but a place (an SMB lock of length 0).
    Empty {
        /// The place.
        at: u64,
    },
}

impl ByteRange {
    /// Every byte a file can have.
    pub const ALL: ByteRange = ByteRange::Span { first: 0, last: u64::MAX };

    /// The range of `len` bytes from `offset`; zero bytes make [`ByteRange::Empty`].
    /// *Errors:* `None` when the last byte would lie beyond 2^64 − 1.
    #[must_use]
    pub fn from_len(offset: u64, len: u64) -> Option<ByteRange> {
        match len {
            0 => Some(ByteRange::Empty { at: offset }),
            _ => offset.checked_add(len - 1).map(|last| ByteRange::Span { first: offset, last }),
        }
    }

    /// Everything from `offset` on.
    #[must_use]
    pub fn to_end(offset: u64) -> ByteRange {
        ByteRange::Span { first: offset, last: u64::MAX }
    }

    /// Whether the two ranges share a byte. An empty range overlaps a span that holds bytes on both sides of its place
    /// (MS-FSA §2.1.4.10), and never another empty range.
    #[must_use]
    pub fn overlaps(&self, other: &ByteRange) -> bool {
        match (*self, *other) {
            (ByteRange::Span { first: a, last: b }, ByteRange::Span { first: c, last: d }) => {
                a <= d && c <= b
            }
            (ByteRange::Empty { at }, ByteRange::Span { first, last })
            | (ByteRange::Span { first, last }, ByteRange::Empty { at }) => first < at && at <= last,
            (ByteRange::Empty { .. }, ByteRange::Empty { .. }) => false,
        }
    }

    /// Whether no byte is in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, ByteRange::Empty { .. })
    }
}

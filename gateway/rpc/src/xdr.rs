//! External data representation (RFC 4506): a bounds-checked reader over one record and writing into a buffer.
//!
//! Invariants: the reader never looks past its record; opaque data comes out as slices that share the record's memory; a
//! length is compared with the caller's cap and with what is left before anything is allocated. Pad bytes are skipped
//! without being tested: RFC 4506 §3 asks writers for zeros, and deployed clients do not all comply.

use bytes::{BufMut, Bytes, BytesMut};

/// Why bytes are not the data that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XdrError {
    /// The record ends inside a value.
    #[error("the record ends inside a value")]
    Truncated,
    /// A length exceeds the cap of its field.
    #[error("a length of {len} exceeds the cap of {max}")]
    TooLong {
        /// The length that the peer sent.
        len: u32,
        /// The cap.
        max: u32,
    },
    /// A boolean, an enumeration or a union's discriminant has a value that does not exist.
    #[error("{value} is not a value of {what}")]
    BadValue {
        /// The type.
        what: &'static str,
        /// What the peer sent.
        value: u32,
    },
    /// Bytes are left after the last value.
    #[error("{left} bytes are left after the last value")]
    Trailing {
        /// How many.
        left: usize,
    },
}

/// Result of decoding.
pub type XdrResult<T> = Result<T, XdrError>;

/// A type with an XDR form.
pub trait Encode {
    /// Appends the XDR form.
    fn encode(&self, out: &mut BytesMut);
}

/// A type that is read from its XDR form.
pub trait Decode: Sized {
    /// Reads one value. *Errors:* [`XdrError`]; the reader's position is then undefined.
    fn decode(from: &mut Reader) -> XdrResult<Self>;
}

/// Bytes of padding after `len` bytes of opaque data.
#[must_use]
#[inline]
pub fn pad_of(len: usize) -> usize {
    (4 - len % 4) % 4
}

/// Appends variable-length opaque data: length, bytes, padding.
pub fn encode_opaque(out: &mut BytesMut, data: &[u8]) {
    out.put_u32(data.len() as u32);
    encode_fixed(out, data);
}

/// Appends fixed-length opaque data: bytes, padding.
pub fn encode_fixed(out: &mut BytesMut, data: &[u8]) {
    out.put_slice(data);
    out.put_bytes(0, pad_of(data.len()));
}

/// Reads values from one record.
#[derive(Clone, Debug)]
pub struct Reader {
    record: Bytes,
    at: usize,
}

impl Reader {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(record: Bytes) -> Reader {
        Reader { record, at: 0 }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.record.len() - self.at
    }

    /// Everything not read yet, sharing the record's memory.
    #[must_use]
    pub fn rest(&self) -> Bytes {
        self.record.slice(self.at..)
    }

    /// Ends reading. *Errors:* [`XdrError::Trailing`] if bytes are left.
    pub fn finish(self) -> XdrResult<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(XdrError::Trailing { left }),
        }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> XdrResult<[u8; N]> {
        let bytes =
            self.record.get(self.at..).and_then(|rest| rest.first_chunk::<N>()).ok_or(XdrError::Truncated)?;
        self.at += N;
        Ok(*bytes)
    }

    /// Reads an unsigned integer.
    #[inline]
    pub fn u32(&mut self) -> XdrResult<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// Reads an unsigned hyper integer.
    #[inline]
    pub fn u64(&mut self) -> XdrResult<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// Reads a boolean.
    pub fn bool(&mut self) -> XdrResult<bool> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(XdrError::BadValue { what: "bool", value }),
        }
    }

    /// Reads fixed-length opaque data whose length is a multiple of four.
    pub fn fixed<const N: usize>(&mut self) -> XdrResult<[u8; N]> {
        const { assert!(N.is_multiple_of(4)) };
        self.take()
    }

    /// Reads variable-length opaque data of at most `max` bytes, sharing the record's memory.
    /// *Errors:* [`XdrError::TooLong`] before the bytes are looked at.
    #[inline]
    pub fn opaque(&mut self, max: u32) -> XdrResult<Bytes> {
        let len = self.u32()?;
        if len > max {
            return Err(XdrError::TooLong { len, max });
        }
        let len = len as usize;
        let padded = len + pad_of(len);
        if padded > self.left() {
            return Err(XdrError::Truncated);
        }
        let data = self.record.slice(self.at..self.at + len);
        self.at += padded;
        Ok(data)
    }

    /// Reads a counted array of at most `max` values.
    pub fn array<T: Decode>(&mut self, max: u32) -> XdrResult<Vec<T>> {
        let len = self.u32()?;
        if len > max {
            return Err(XdrError::TooLong { len, max });
        }
        // A value takes at least four bytes, so the capacity is bounded by what was really received.
        let mut values = Vec::with_capacity((len as usize).min(self.left() / 4));
        for _ in 0..len {
            values.push(T::decode(self)?);
        }
        Ok(values)
    }

    /// Reads an optional value (RFC 4506 §4.19).
    pub fn option<T: Decode>(&mut self) -> XdrResult<Option<T>> {
        Ok(if self.bool()? { Some(T::decode(self)?) } else { None })
    }
}

impl Encode for u32 {
    #[inline]
    fn encode(&self, out: &mut BytesMut) {
        out.put_u32(*self);
    }
}

impl Decode for u32 {
    #[inline]
    fn decode(from: &mut Reader) -> XdrResult<u32> {
        from.u32()
    }
}

impl Encode for u64 {
    #[inline]
    fn encode(&self, out: &mut BytesMut) {
        out.put_u64(*self);
    }
}

impl Decode for u64 {
    #[inline]
    fn decode(from: &mut Reader) -> XdrResult<u64> {
        from.u64()
    }
}

impl Encode for bool {
    #[inline]
    fn encode(&self, out: &mut BytesMut) {
        out.put_u32(u32::from(*self));
    }
}

impl Decode for bool {
    #[inline]
    fn decode(from: &mut Reader) -> XdrResult<bool> {
        from.bool()
    }
}

impl Encode for () {
    fn encode(&self, _: &mut BytesMut) {}
}

impl Decode for () {
    fn decode(_: &mut Reader) -> XdrResult<()> {
        Ok(())
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut BytesMut) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(from: &mut Reader) -> XdrResult<Self> {
        from.option()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn opaque_longer_than_cap_is_refused_before_its_bytes() {
        let mut reader = Reader::new(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff]));
        assert_eq!(reader.opaque(64), Err(XdrError::TooLong { len: u32::MAX, max: 64 }));
    }

    #[test]
    fn opaque_without_its_padding_is_truncated() {
        let mut reader = Reader::new(Bytes::from_static(&[0, 0, 0, 1, 7]));
        assert_eq!(reader.opaque(64), Err(XdrError::Truncated));
    }

    #[test]
    fn opaque_shares_the_records_memory() {
        let record = Bytes::from(vec![0, 0, 0, 4, 1, 2, 3, 4]);
        let data = Reader::new(record.clone()).opaque(4).unwrap();
        assert_eq!(data.as_ptr(), record[4..].as_ptr());
    }

    #[test]
    fn array_with_huge_count_allocates_only_what_was_received() {
        let mut reader = Reader::new(Bytes::from_static(&[0, 1, 0, 0, 0, 0, 0, 9]));
        assert_eq!(reader.array::<u32>(1 << 20), Err(XdrError::Truncated));
    }

    #[test]
    fn bool_other_than_zero_or_one_is_refused() {
        let mut reader = Reader::new(Bytes::from_static(&[0, 0, 0, 2]));
        assert_eq!(reader.bool(), Err(XdrError::BadValue { what: "bool", value: 2 }));
    }

    proptest! {
        #[test]
        fn opaque_written_then_read_is_the_same(data: Vec<u8>, number: u64, flag: bool) {
            let mut out = BytesMut::new();
            encode_opaque(&mut out, &data);
            number.encode(&mut out);
            flag.encode(&mut out);
            prop_assert_eq!(out.len() % 4, 0);
            let full = out.freeze();
            let mut reader = Reader::new(full.clone());
            prop_assert_eq!(&reader.opaque(u32::MAX).unwrap()[..], &data[..]);
            prop_assert_eq!(reader.u64().unwrap(), number);
            prop_assert_eq!(reader.bool().unwrap(), flag);
            prop_assert!(reader.finish().is_ok());
            for cut in 0..full.len() {
                let mut reader = Reader::new(full.slice(..cut));
                let all = reader.opaque(u32::MAX).and_then(|_| reader.u64()).and_then(|_| reader.bool());
                prop_assert_eq!(all, Err(XdrError::Truncated));
            }
        }
    }
}

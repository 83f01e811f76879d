//! Little-endian bytes of rows and redo records, written and read by hand.
//!
//! Every row starts with a version byte. A newer program of the same version may append fields: a reader keeps what follows
//! the fields that it knows as the row's *tail* and writes it back when it rewrites the row. Pure values; nothing here
//! panics or allocates more than the bytes it was given, whatever they are.

use bytes::Bytes;

/// Why bytes are not a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// Fewer bytes than the fields need.
    #[error("cut short")]
    Short,
    /// Written by a newer program.
    #[error("version {0}, newer than this program knows")]
    Version(u8),
    /// A field holds a number that means nothing.
    #[error("field {0} is not valid")]
    Field(&'static str),
}

/// Reads fields from the front of a slice.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at bytes that have no version of their own.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Starts at the version byte, which must be `version`. *Errors:* [`BadRow::Short`], [`BadRow::Version`].
    pub fn versioned(bytes: &'a [u8], version: u8) -> Result<Reader<'a>, BadRow> {
        let mut reader = Reader(bytes);
        match reader.u8()? {
            found if found == version => Ok(reader),
            found => Err(BadRow::Version(found)),
        }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], BadRow> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(BadRow::Short)?;
        self.0 = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRow> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(BadRow::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, BadRow> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, BadRow> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, BadRow> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, BadRow> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64, BadRow> {
        self.array().map(i64::from_le_bytes)
    }

    /// A two-byte length and so many bytes, copied.
    pub fn bytes16(&mut self) -> Result<Bytes, BadRow> {
        let len = usize::from(self.u16()?);
        self.take(len).map(Bytes::copy_from_slice)
    }

    /// Whatever is left, copied.
    pub fn tail(self) -> Bytes {
        Bytes::copy_from_slice(self.0)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Appends fields to a buffer.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Starts with a version byte.
    pub fn versioned(version: u8, capacity: usize) -> Writer {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(version);
        Writer(bytes)
    }

    /// Raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Writer {
        self.raw(&[value])
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Writer {
        self.raw(&value.to_le_bytes())
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Writer {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Writer {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self, value: i64) -> &mut Writer {
        self.raw(&value.to_le_bytes())
    }

    /// A two-byte length and the bytes; callers have capped them, longer ones are cut.
    pub fn bytes16(&mut self, bytes: &[u8]) -> &mut Writer {
        let len = bytes.len().min(usize::from(u16::MAX));
        self.u16(len as u16).raw(bytes.get(..len).unwrap_or_default())
    }

    /// The bytes written.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.0)
    }

    /// The bytes written, as a vector.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

//! XDR (RFC 4506) and the frames of ONC RPC over TCP (RFC 5531 §11).

use std::io;

/// Writes XDR.
#[derive(Clone, Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// Writes an unsigned integer.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Writes an unsigned hyper integer.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Writes opaque data of variable length.
    pub fn opaque(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(bytes.len() as u32);
        self.fixed(bytes)
    }

    /// Writes opaque data of a length that both sides know.
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

/// Reads XDR; every read is checked.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        if self.0.len() < length {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply ends early"));
        }
        let (head, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(head)
    }

    /// Reads an unsigned integer.
    pub fn u32(&mut self) -> io::Result<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Reads an unsigned hyper integer.
    pub fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    /// Reads opaque data of variable length.
    pub fn opaque(&mut self) -> io::Result<&'a [u8]> {
        let length = self.u32()? as usize;
        self.fixed(length)
    }

    /// Reads opaque data of known length, and its padding.
    pub fn fixed(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let bytes = self.take(length)?;
        self.take(length.next_multiple_of(4) - length)?;
        Ok(bytes)
    }

    /// Leaves out that many bytes.
    pub fn skip(&mut self, length: usize) -> io::Result<()> {
        self.take(length).map(|_| ())
    }
}

/// Appends a whole record to `out`: mark, call header with AUTH_SYS, arguments.
pub fn record(
    out: &mut Vec<u8>,
    xid: u32,
    procedure: super::Procedure,
    uid: u32,
    arguments: impl FnOnce(&mut Writer),
) {
    let start = out.len();
    let mut writer = Writer(std::mem::take(out));
    writer.u32(0).u32(xid).u32(0).u32(2).u32(procedure.program).u32(procedure.version).u32(procedure.number);
    let mut credential = Writer::default();
    credential.u32(1).opaque(b"laboratory").u32(uid).u32(uid).u32(0);
    writer.u32(1).opaque(&credential.0).u32(0).u32(0);
    arguments(&mut writer);
    let length = (writer.0.len() - start - 4) as u32 | 0x8000_0000;
    writer.0[start..start + 4].copy_from_slice(&length.to_be_bytes());
    *out = writer.0;
}

/// A reply's header, and a reader that stands at its results. *Errors:* of a reply that is not an accepted success.
pub fn reply(record: &[u8]) -> io::Result<(u32, Reader<'_>)> {
    let mut reader = Reader(record);
    let xid = reader.u32()?;
    let (kind, state) = (reader.u32()?, reader.u32()?);
    if kind != 1 || state != 0 {
        return Err(io::Error::other(format!("a call was refused: message type {kind}, state {state}")));
    }
    reader.u32()?;
    reader.opaque()?;
    match reader.u32()? {
        0 => Ok((xid, reader)),
        other => Err(io::Error::other(format!("a call was not run: accept status {other}"))),
    }
}

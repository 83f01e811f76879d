//! Reading HTTP/1.1 off a connection: heads, and bodies by their framing. Knows nothing of faults.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The longest head that is followed; S3 heads are a few KiB.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The most body bytes handed on at once.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// A connection that may be read by one future and written by another at the same time.
#[derive(Clone, Copy)]
pub struct Shared<'a>(pub &'a TcpStream);

impl AsyncRead for Shared<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(into.initialize_unfilled()) {
                Ok(got) => {
                    into.advance(got);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Shared<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(self.0, rustix::net::Shutdown::Write) {
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

/// How the length of a body is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    /// That many bytes, also none.
    Length(u64),
    /// HTTP chunks; handed on as they are, framing included.
    Chunked,
    /// Until the connection closes.
    ToEnd,
}

/// The first line and the fields of a request or an answer.
pub struct Head {
    /// As received, with the empty line.
    pub bytes: Bytes,
    /// The words of the first line.
    pub first: Vec<String>,
    fields: Vec<(String, String)>,
}

impl Head {
    fn parse(bytes: Bytes) -> Self {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or("").split(' ').map(str::to_owned).collect();
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { bytes, first, fields }
    }

    /// Returns a field's value by its lower-case name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Returns the framing of the body, with `without` for a head that tells none.
    pub fn framing(&self, without: Framing) -> Framing {
        if self.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Framing::Chunked;
        }
        self.field("content-length").and_then(|value| value.parse().ok()).map_or(without, Framing::Length)
    }
}

/// A buffered reader of one direction.
pub struct Source<'a> {
    stream: Shared<'a>,
    buffer: BytesMut,
}

impl<'a> Source<'a> {
    /// Returns a reader of a connection.
    pub fn new(stream: &'a TcpStream) -> Self {
        Self { stream: Shared(stream), buffer: BytesMut::with_capacity(PIECE_BYTES_MAX) }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(PIECE_BYTES_MAX);
        self.stream.read_buf(&mut self.buffer).await
    }

    /// Reads up to and with the delimiter; `None` where the peer closed before the first byte.
    async fn until(&mut self, delimiter: &[u8]) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(at) = self.buffer.windows(delimiter.len()).position(|window| window == delimiter) {
                return Ok(Some(self.buffer.split_to(at + delimiter.len()).freeze()));
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("head too long"));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads a head. *Cancel:* safe, what was read stays buffered.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        Ok(self.until(b"\r\n\r\n").await?.map(Head::parse))
    }

    /// Returns some bytes, at most `most`; none at the end of the stream.
    async fn some(&mut self, most: u64) -> io::Result<Bytes> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        let take = self.buffer.len().min(PIECE_BYTES_MAX).min(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(self.buffer.split_to(take).freeze())
    }
}

/// A body being read, piece by piece.
pub struct Body {
    framing: Framing,
    /// Bytes until the next decision: the rest of a length, or of a chunk with its line end.
    rest: u64,
    done: bool,
}

impl Body {
    /// Returns the reader of a body.
    pub fn new(framing: Framing) -> Self {
        let rest = if let Framing::Length(length) = framing { length } else { 0 };
        Self { framing, rest, done: framing == Framing::Length(0) }
    }

    /// Returns the next piece as it stands on the wire, `None` after the last. *Errors:* `UnexpectedEof` where the peer
    /// closed early.
    pub async fn next(&mut self, source: &mut Source<'_>) -> io::Result<Option<Bytes>> {
        if self.done {
            return Ok(None);
        }
        if self.framing == Framing::ToEnd {
            let piece = source.some(u64::MAX).await?;
            self.done = piece.is_empty();
            return Ok((!self.done).then_some(piece));
        }
        if self.framing == Framing::Chunked && self.rest == 0 {
            return self.chunk_line(source).await.map(Some);
        }
        let piece = source.some(self.rest).await?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest -= piece.len() as u64;
        self.done = self.rest == 0 && self.framing != Framing::Chunked;
        Ok(Some(piece))
    }

    async fn chunk_line(&mut self, source: &mut Source<'_>) -> io::Result<Bytes> {
        let bad = || io::Error::other("bad chunk");
        let line = source.until(b"\r\n").await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let text = std::str::from_utf8(&line).map_err(|_| bad())?;
        let digits = text.trim_end().split(';').next().unwrap_or("");
        let length = u64::from_str_radix(digits, 16).map_err(|_| bad())?;
        if length > 0 {
            self.rest = length.checked_add(2).ok_or_else(bad)?;
            return Ok(line);
        }
        let mut last = BytesMut::from(&line[..]);
        loop {
            let trailer = source.until(b"\r\n").await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            last.extend_from_slice(trailer.chunk());
            if trailer.len() == 2 {
                self.done = true;
                return Ok(last.freeze());
            }
        }
    }
}

/// Sleeps as long as that many bytes take at a rate; a rate of 0 is no limit.
pub async fn pace(rate_bytes: u64, length: usize) {
    if let Some(micros) = (length as u64 * 1_000_000).checked_div(rate_bytes) {
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }
}

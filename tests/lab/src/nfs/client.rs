//! Two ways to make calls: one after the other, and many at once on a connection.
//!
//! [`Client`] makes one call and waits; given patience, it behaves as a kernel's hard mount does: it asks again where the
//! server says "later" and connects again where the connection is lost. [`drive`] keeps `depth` calls in flight and hands each reply to the scenario,
//! which says the slot's next call; its cost a call is small, because a limit is measured by the same code.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::calls::{self, Handle};
use super::xdr::{Reader, Writer, record, reply};
use super::{NFS, Procedure, mount, nfs};

/// The longest reply that is taken.
const REPLY_BYTES_MAX: usize = 4 << 20;
/// The least room made for a read.
const READ_BYTES: usize = 256 << 10;
/// NFS3ERR_JUKEBOX: the server will do it, but not now.
const JUKEBOX: u32 = 10_008;
/// The pause before a call is made again.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes received, cut into records of one fragment or many.
#[derive(Default)]
pub struct Records {
    bytes: Vec<u8>,
    start: usize,
}

impl Records {
    /// Reads more from the connection. *Errors:* `UnexpectedEof` where the peer closed.
    pub async fn fill(&mut self, stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<()> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.reserve(READ_BYTES);
        if stream.read_buf(&mut self.bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Returns the next whole record, if there is one.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let rest = &self.bytes[self.start..];
        let Some(mark) = rest.first_chunk::<4>() else { return Ok(None) };
        let mark = u32::from_be_bytes(*mark);
        let length = (mark & 0x7fff_ffff) as usize;
        if mark >> 31 == 0 || length > REPLY_BYTES_MAX {
            return Err(io::Error::other(format!("a reply of several fragments, or of {length} bytes")));
        }
        if rest.len() < 4 + length {
            return Ok(None);
        }
        let from = self.start + 4;
        self.start = from + length;
        Ok(Some(&self.bytes[from..from + length]))
    }
}

/// A connection that makes one call at a time.
pub struct Client {
    server: String,
    stream: TcpStream,
    records: Records,
    xid: u32,
    /// The user that calls.
    pub uid: u32,
    /// How long one call is made again and again before its failure counts.
    pub patience: Duration,
    /// How often the server said "later", and how often the connection was lost.
    pub put_off: (u64, u64),
}

impl Client {
    /// Connects. Transaction ids start at `xid`: give each connection a range of its own.
    pub async fn connect(server: &str, xid: u32) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            server: server.to_owned(),
            stream,
            records: Records::default(),
            xid,
            uid: 0,
            patience: Duration::ZERO,
            put_off: (0, 0),
        })
    }

    /// Makes one call and returns its results, undecoded. *Errors:* a lost connection and "later" only where patience is
    /// used up.
    pub async fn call(
        &mut self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer),
    ) -> io::Result<Vec<u8>> {
        self.xid = self.xid.wrapping_add(1);
        let mut out = Vec::new();
        record(&mut out, self.xid, procedure, self.uid, arguments);
        let until = Instant::now() + self.patience;
        loop {
            let outcome = self.exchange(&out).await;
            let later = procedure.program == NFS
                && procedure.number != 0
                && outcome
                    .as_ref()
                    .is_ok_and(|results| Reader(results).u32().is_ok_and(|word| word == JUKEBOX));
            if (outcome.is_ok() && !later) || Instant::now() >= until {
                return outcome;
            }
            tokio::time::sleep(PAUSE).await;
            if later {
                // a new call: under its old number the server's memory of replies could answer it
                self.put_off.0 += 1;
                self.xid = self.xid.wrapping_add(1);
                if let Some(place) = out.get_mut(4..8) {
                    place.copy_from_slice(&self.xid.to_be_bytes());
                }
            } else if let Ok(stream) = TcpStream::connect(&self.server).await {
                // the same call under the same number: it may have been carried out
                self.put_off.1 += 1;
                stream.set_nodelay(true)?;
                (self.stream, self.records) = (stream, Records::default());
            }
        }
    }

    /// Sends a record and waits for the reply with its number.
    async fn exchange(&mut self, out: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(out).await?;
        loop {
            if let Some(record) = self.records.next()? {
                let (xid, results) = reply(record)?;
                if xid == self.xid {
                    return Ok(results.0.to_vec());
                }
                continue;
            }
            self.records.fill(&mut self.stream).await?;
        }
    }

    /// Mounts an export and returns its root.
    pub async fn mount(&mut self, export: &str) -> io::Result<Handle> {
        let results = self
            .call(mount(1), |writer| {
                writer.opaque(export.as_bytes());
            })
            .await?;
        let mut reader = Reader(&results);
        match reader.u32()? {
            0 => Ok(reader.opaque()?.to_vec()),
            other => Err(io::Error::other(format!("mount of {export}: MNT3ERR {other}"))),
        }
    }

    /// Looks a name up.
    pub async fn lookup(&mut self, folder: &[u8], name: &[u8]) -> io::Result<Handle> {
        let results = self.call(nfs(3), |writer| calls::at(writer, folder, name)).await?;
        calls::lookup_reply(&mut Reader(&results))
    }

    /// Makes a file, or takes the one there.
    pub async fn create(&mut self, folder: &[u8], name: &[u8], mode: u32) -> io::Result<Handle> {
        let results = self.call(nfs(8), |writer| calls::create(writer, folder, name, mode)).await?;
        match calls::made_reply(&mut Reader(&results))? {
            Some(handle) => Ok(handle),
            None => self.lookup(folder, name).await,
        }
    }

    /// Makes an empty file, or empties the one there.
    pub async fn create_empty(&mut self, folder: &[u8], name: &[u8], mode: u32) -> io::Result<Handle> {
        let results = self
            .call(nfs(8), |writer| {
                calls::at(writer, folder, name);
                writer.u32(0);
                calls::set_attributes(writer, Some(mode), Some(0));
            })
            .await?;
        match calls::made_reply(&mut Reader(&results))? {
            Some(handle) => Ok(handle),
            None => self.lookup(folder, name).await,
        }
    }

    /// Makes a folder, or takes the one there.
    pub async fn make_folder(&mut self, folder: &[u8], name: &[u8], mode: u32) -> io::Result<Handle> {
        let results = self.call(nfs(9), |writer| calls::make_folder(writer, folder, name, mode)).await?;
        let mut reader = Reader(&results);
        if reader.u32()? == 17 {
            return self.lookup(folder, name).await;
        }
        match calls::made_reply(&mut Reader(&results))? {
            Some(handle) => Ok(handle),
            None => self.lookup(folder, name).await,
        }
    }

    /// Writes and returns the write verifier. *Errors:* also of a short write.
    pub async fn write(&mut self, file: &[u8], offset: u64, stable: u32, data: &[u8]) -> io::Result<u64> {
        let results = self.call(nfs(7), |writer| calls::write(writer, file, offset, stable, data)).await?;
        let (count, _, verifier) = calls::write_reply(&mut Reader(&results))?;
        if count as usize != data.len() {
            return Err(io::Error::other(format!("wrote {count} of {} bytes", data.len())));
        }
        Ok(verifier)
    }

    /// Commits a file and returns the write verifier.
    pub async fn commit(&mut self, file: &[u8]) -> io::Result<u64> {
        let results = self.call(nfs(21), |writer| calls::commit(writer, file)).await?;
        calls::commit_reply(&mut Reader(&results))
    }

    /// Reads up to `count` bytes; returns them and whether they reach the end.
    pub async fn read(&mut self, file: &[u8], offset: u64, count: u32) -> io::Result<(Vec<u8>, bool)> {
        let results = self.call(nfs(6), |writer| calls::read(writer, file, offset, count)).await?;
        let (data, end) = calls::read_reply(&mut Reader(&results))?;
        Ok((data.to_vec(), end))
    }
}

/// What a slot does next.
pub enum Step {
    /// A call; its arguments are in the writer that the scenario was given.
    Call(Procedure),
    /// Nothing more.
    Done,
}

/// A load: one state machine for each slot of a connection.
pub trait Scenario {
    /// Takes the results of the slot's last call (none at the start), writes the arguments of its next.
    fn step(&mut self, slot: usize, results: Option<Reader<'_>>, arguments: &mut Writer) -> io::Result<Step>;
}

/// Keeps `depth` calls in flight until every slot is done or the time is over. Returns the nanoseconds of each call.
pub async fn drive(
    stream: &mut TcpStream,
    depth: usize,
    scenario: &mut (impl Scenario + ?Sized),
    until: Instant,
) -> io::Result<Vec<u64>> {
    stream.set_nodelay(true)?;
    let (mut records, mut out, mut latencies) = (Records::default(), Vec::new(), Vec::new());
    let (mut began, mut flying) = (vec![Instant::now(); depth], 0);
    let mut arguments = Writer::default();
    for (slot, began) in began.iter_mut().enumerate() {
        arguments.0.clear();
        if let Step::Call(procedure) = scenario.step(slot, None, &mut arguments)? {
            *began = Instant::now();
            record(&mut out, slot as u32, procedure, 0, |writer| writer.0.extend_from_slice(&arguments.0));
            flying += 1;
        }
    }
    while flying > 0 {
        if !out.is_empty() {
            stream.write_all(&out).await?;
            out.clear();
        }
        records.fill(stream).await?;
        while let Some(bytes) = records.next()? {
            let (xid, results) = reply(bytes)?;
            let slot = (xid & 0xffff) as usize;
            let Some(start) = began.get_mut(slot) else { return Err(io::Error::other("a reply to no call")) };
            let now = Instant::now();
            latencies.push(now.duration_since(*start).as_nanos() as u64);
            arguments.0.clear();
            let step = scenario.step(slot, Some(results), &mut arguments)?;
            match step {
                Step::Call(procedure) if now < until => {
                    *start = now;
                    // the number above the slot grows, so that no two calls look like a retransmission
                    let xid = xid.wrapping_add(0x1_0000);
                    record(&mut out, xid, procedure, 0, |writer| writer.0.extend_from_slice(&arguments.0));
                }
                _ => flying -= 1,
            }
        }
    }
    Ok(latencies)
}

//! A small client, for tests and the load generator: one connection, many calls in flight.
//!
//! [`Pipe`] is the whole of it: `send` any number of calls, `flush`, take replies with `receive` in whatever order they
//! come. `call` is one call and its reply. It is driven by its one owner: no task, no lock, no channel.

use crate::wire::{Handle, MountStatus, Procedure, mount};
use bytes::BytesMut;
use dfs_rpc::{
    Assembler, AuthSys, CallHeader, Decode, Encode, OpaqueAuth, Reader, RecordError, ReplyHeader, XdrError,
    record,
};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest reply: 1 MiB of data and what is around it.
const REPLY_MAX: usize = (1 << 20) + (64 << 10);
/// Room made for each read.
const READ_SIZE: usize = 256 * 1024;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed, or was closed.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The stream is not a stream of records.
    #[error("record: {0}")]
    Record(#[from] RecordError),
    /// The reply could not be decoded.
    #[error("reply: {0}")]
    Xdr(#[from] XdrError),
    /// The call was refused before it ran.
    #[error("refused: {0:?}")]
    Refused(ReplyHeader),
    /// A reply to a call that was not made, or was answered already.
    #[error("a reply with the unknown xid {0:#x}")]
    UnknownXid(u32),
    /// MNT was refused.
    #[error("mount: {0:?}")]
    Mount(MountStatus),
}

/// A reply that has arrived.
pub struct Arrived {
    /// Transaction id, as `send` returned it.
    pub xid: u32,
    /// How the call was taken.
    pub header: ReplyHeader,
    /// Stands at the results.
    pub results: Reader,
}

impl Arrived {
    /// Decodes the results. *Errors:* [`ClientError::Refused`], [`ClientError::Xdr`] (bytes left over included).
    pub fn decode<P: Procedure>(self) -> Result<P::Reply, ClientError> {
        if self.header != ReplyHeader::SUCCESS {
            return Err(ClientError::Refused(self.header));
        }
        let mut results = self.results;
        let reply = P::Reply::decode(&mut results)?;
        results.finish()?;
        Ok(reply)
    }
}

/// Encodes a whole record: mark, call header, arguments.
pub fn encode_call<P: Procedure>(xid: u32, credential: &OpaqueAuth, args: &P::Args, out: &mut BytesMut) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let header = CallHeader {
        xid,
        program: P::PROGRAM,
        version: P::VERSION,
        procedure: P::NUMBER,
        credential: credential.clone(),
        verifier: OpaqueAuth::NONE,
    };
    header.encode(out);
    args.encode(out);
    let mark = record::mark(out.len() - start - 4, true);
    if let Some(place) = out.get_mut(start..).and_then(|record| record.first_chunk_mut()) {
        *place = mark;
    }
}

/// A connection with calls in flight.
pub struct Pipe {
    stream: TcpStream,
    credential: OpaqueAuth,
    xid: u32,
    out: BytesMut,
    replies: Assembler,
    early: HashMap<u32, Arrived>,
}

impl Pipe {
    /// Connects. Transaction ids start at `first_xid`: give every connection of a process its own range, since servers
    /// recognise repeats by them.
    pub async fn connect(server: SocketAddr, credential: OpaqueAuth, first_xid: u32) -> io::Result<Pipe> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (out, replies) = (BytesMut::new(), Assembler::new(REPLY_MAX));
        Ok(Pipe { stream, credential, xid: first_xid, out, replies, early: HashMap::new() })
    }

    /// Connects as a Unix user.
    pub async fn connect_as(server: SocketAddr, uid: u32, gid: u32, first_xid: u32) -> io::Result<Pipe> {
        let machine = bytes::Bytes::from_static(b"pipe");
        let sys = AuthSys { stamp: 0, machine, uid, gid, gids: vec![gid] };
        Pipe::connect(server, sys.to_auth(), first_xid).await
    }

    /// Changes the credential of later calls.
    pub fn set_credential(&mut self, credential: OpaqueAuth) {
        self.credential = credential;
    }

    /// Our own address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Queues a call and returns its transaction id. Nothing is sent before `flush`, `receive` or `call`.
    pub fn send<P: Procedure>(&mut self, args: &P::Args) -> u32 {
        let xid = self.xid;
        self.xid = self.xid.wrapping_add(1);
        self.send_as::<P>(xid, args);
        xid
    }

    /// Queues a call under a given transaction id: to repeat one.
    pub fn send_as<P: Procedure>(&mut self, xid: u32, args: &P::Args) {
        encode_call::<P>(xid, &self.credential, args, &mut self.out);
    }

    /// Sends what is queued. *Cancel:* a part may have been sent; the pipe is then of no use.
    pub async fn flush(&mut self) -> io::Result<()> {
        let out = self.out.split();
        self.stream.write_all(&out).await
    }

    /// Takes the next reply, whichever it is. What is queued is sent only when a reply has to be waited for, so that calls
    /// gather into one write.
    pub async fn receive(&mut self) -> Result<Arrived, ClientError> {
        loop {
            if let Some(record) = self.replies.next_record()? {
                let (xid, header, results) = ReplyHeader::decode(record)?;
                return Ok(Arrived { xid, header, results });
            }
            if !self.out.is_empty() {
                self.flush().await?;
            }
            let buffer = self.replies.buffer();
            buffer.reserve(READ_SIZE);
            if self.stream.read_buf(buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Waits for the reply to one call; others that come first are kept.
    pub async fn receive_for(&mut self, xid: u32) -> Result<Arrived, ClientError> {
        if let Some(arrived) = self.early.remove(&xid) {
            return Ok(arrived);
        }
        loop {
            let arrived = self.receive().await?;
            if arrived.xid == xid {
                return Ok(arrived);
            }
            self.early.insert(arrived.xid, arrived);
        }
    }

    /// Makes one call and waits for its reply.
    pub async fn call<P: Procedure>(&mut self, args: &P::Args) -> Result<P::Reply, ClientError> {
        let xid = self.send::<P>(args);
        self.receive_for(xid).await?.decode::<P>()
    }

    /// Mounts a path and returns its handle.
    pub async fn mount(&mut self, path: &str) -> Result<Handle, ClientError> {
        match self.call::<mount::Mount>(&mount::DirPath::from(path)).await? {
            mount::MountReply::Ok { handle, .. } => Ok(handle),
            mount::MountReply::Fail(status) => Err(ClientError::Mount(status)),
        }
    }
}

//! What a protocol brings: the marks of its records, decoding, and running what was decoded.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Context;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The other end of a connection.
pub struct Peer {
    /// Number of the connection in this process.
    pub connection: u64,
    /// Address and port of the client.
    pub address: SocketAddr,
    /// Our address that it connected to.
    pub local: SocketAddr,
    /// When it connected.
    pub since: Instant,
    gone: AtomicBool,
    told: Notify,
    evicted: AtomicBool,
    evict: AtomicWaker,
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    extension: OnceLock<Box<dyn Any + Send + Sync>>,
    pub(crate) in_flight: AtomicUsize,
}

impl Peer {
    /// A peer, for connections and for tests.
    #[must_use]
    pub fn new(connection: u64, address: SocketAddr, local: SocketAddr) -> Peer {
        let (gone, told) = (AtomicBool::new(false), Notify::new());
        Peer {
            connection,
            address,
            local,
            since: Instant::now(),
            gone,
            told,
            evicted: AtomicBool::new(false),
            evict: AtomicWaker::new(),
            requests: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            extension: OnceLock::new(),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// What the protocol keeps for this connection, made at first use. `None` only when it was first used with another
    /// type.
    pub fn state<T: Default + Send + Sync + 'static>(&self) -> Option<&T> {
        self.extension.get_or_init(|| Box::new(T::default())).downcast_ref()
    }

    /// Requests that were received.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes that were received and sent.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }

    /// Requests between their mark and the last byte of their reply.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Ends the connection as soon as its task looks. Requests that were begun run to their end; their replies are lost, and a
    /// client that comes back asks again.
    pub fn evict(&self) {
        self.evicted.store(true, Ordering::Release);
        self.evict.wake();
    }

    /// Whether the connection is to be ended; if not, its task is woken when it is.
    pub(crate) fn poll_evicted(&self, cx: &Context<'_>) -> bool {
        self.evict.register(cx.waker());
        self.evicted.load(Ordering::Acquire)
    }

    // Counted by the connection's own task alone, so that no locked instruction is needed.

    pub(crate) fn count_request(&self) {
        self.requests.store(self.requests.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn count_received(&self, bytes: u64) {
        self.received.store(self.received.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_sent(&self, bytes: u64) {
        self.sent.store(self.sent.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Waits until the connection has ended. *Cancel:* safe.
    pub async fn until_gone(&self) {
        loop {
            let told = self.told.notified();
            if self.is_gone() {
                return;
            }
            told.await;
        }
    }

    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
        self.told.notify_waiters();
    }
}

/// What decoding made of a record.
pub enum Prepared<J> {
    /// The answer is known already.
    Reply(Reply),
    /// Work to be run. `reply_bytes` is an upper bound of the reply's length.
    Run {
        /// The work.
        job: J,
        /// Bytes that the reply may have.
        reply_bytes: usize,
    },
    /// No answer.
    Silent,
    /// Not this protocol: the connection is closed, the reason goes to the log.
    Close(&'static str),
}

/// A protocol on connections.
pub trait Service: Send + Sync + 'static {
    /// A decoded request.
    type Job: Send + 'static;

    /// Label of the metrics and log lines.
    const NAME: &'static str;

    /// Reads a record mark: bytes that follow, and whether the record ends with them. `None` closes the connection.
    fn parse_mark(mark: [u8; 4]) -> Option<(usize, bool)>;

    /// Makes the mark of a whole record of `len` bytes.
    fn mark(len: usize) -> [u8; 4];

    /// Decodes a record. Must be quick and must not wait.
    fn prepare(&self, peer: &Arc<Peer>, record: Bytes) -> Prepared<Self::Job>;

    /// Runs a request; `None` sends nothing. It is polled once where it was read and, if it is not ready then, goes on
    /// in a task of its own, which always runs to its end: a request that must stop when the client leaves watches
    /// [`Peer::until_gone`] itself.
    fn run(
        self: Arc<Self>,
        peer: Arc<Peer>,
        job: Self::Job,
    ) -> impl Future<Output = Option<Reply>> + Send + 'static;

    /// Called once when a connection has ended.
    fn closed(&self, peer: &Peer);
}

/// Says whether replies may leave.
pub trait ReplyGate: Send + Sync + 'static {
    /// Whether a reply may leave now. Asked just before its bytes are given to the kernel; must not block.
    fn is_open(&self) -> bool;
}

/// A reply: encoded bytes, then payload that is written as it is, then padding.
#[derive(Clone)]
pub struct Reply {
    pub(crate) gate: Option<Arc<dyn ReplyGate>>,
    pub(crate) head: BytesMut,
    pub(crate) body: Vec<Bytes>,
    pub(crate) pad: usize,
}

/// Bytes that a record mark takes.
const MARK: usize = 4;

impl Reply {
    /// A reply whose head will have about `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Reply {
        let mut head = BytesMut::with_capacity(MARK + capacity);
        head.put_bytes(0, MARK);
        Reply { gate: None, head, body: Vec::new(), pad: 0 }
    }

    /// A reply whose bytes exist already.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Reply {
        let mut reply = Reply::with_capacity(0);
        reply.body.push(bytes);
        reply
    }

    /// Lets the reply leave only while a gate is open; behind a closed one the connection ends, and nothing is sent.
    #[must_use]
    pub fn behind(mut self, gate: Arc<dyn ReplyGate>) -> Reply {
        self.gate = Some(gate);
        self
    }

    /// Where to append encoded bytes. Nothing may be taken out of it.
    pub fn head(&mut self) -> &mut BytesMut {
        &mut self.head
    }

    /// Adds payload after the head. *Units:* at most 3 bytes of padding follow the last payload.
    pub fn push_payload(&mut self, payload: Bytes) {
        if !payload.is_empty() {
            self.body.push(payload);
        }
    }

    /// Sets the number of zero bytes at the end.
    pub fn set_padding(&mut self, pad: usize) {
        self.pad = pad.min(3);
    }

    /// Bytes without the mark.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() - MARK + self.body.iter().map(Bytes::len).sum::<usize>() + self.pad
    }

    /// Whether nothing was put into it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes without the mark, in one piece.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len());
        out.put_slice(self.head.get(MARK..).unwrap_or_default());
        for part in &self.body {
            out.put_slice(part);
        }
        out.put_bytes(0, self.pad);
        out.freeze()
    }

    pub(crate) fn seal(&mut self, mark: [u8; 4]) {
        if let Some(place) = self.head.first_chunk_mut::<MARK>() {
            *place = mark;
        }
    }
}

//! One connection: one task that reads, decodes, polls each request once, and writes.
//!
//! Replies of requests that went on in tasks of their own come back through a channel whose capacity is the number of
//! requests in flight, so sending never waits. When the connection ends, those tasks go on; only their replies are lost.
//! Everything here is poll-driven and holds no lock.

use crate::inbound::{Inbound, Step};
use crate::limits::Limits;
use crate::metrics::CloseReason;
use crate::outbound::Outbound;
use crate::permits::Held;
use crate::server::{Gate, Shared};
use crate::service::{Peer, Prepared, Reply, Service};
use bytes::BufMut;
use futures_util::task::noop_waker_ref;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

/// Bytes of one read. Also the most that a connection may have read without permits, when they run out in mid-buffer.
const SCRATCH: usize = 64 * 1024;
/// A record with at least this much missing is read straight into its own buffer.
const DIRECT_LEAST: usize = 16 * 1024;
/// Rounds of one poll before other tasks get their turn.
const ROUNDS_MAX: usize = 16;

thread_local! {
    /// Read buffer of the connections that this thread polls; idle connections own none.
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A request whose reply is announced as too large for what it holds.
struct Parked<J> {
    job: J,
    held: Option<Held>,
    reply_bytes: usize,
}

/// What the connection waits for before it may read on.
enum Wait<J> {
    Record(BoxFuture<Held>),
    Reply(J, BoxFuture<Held>),
}

/// Sends the reply of a spawned request, or says that there is none, however its task ends.
struct Slot {
    replies: mpsc::Sender<(Held, Option<Reply>)>,
    held: Option<Held>,
    gate: Arc<Gate>,
}

impl Slot {
    fn finish(mut self, reply: Option<Reply>) {
        if let Some(held) = self.held.take() {
            // Refused only when the connection has ended: then nobody wants it.
            let _ = self.replies.try_send((held, reply));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            let _ = self.replies.try_send((held, None));
        }
        self.gate.leave();
    }
}

pub(crate) struct Connection<S: Service> {
    shared: Arc<Shared<S>>,
    peer: Arc<Peer>,
    stream: TcpStream,
    inbound: Inbound,
    /// Bytes read but not taken, for want of permits.
    carry: Vec<u8>,
    out: Outbound,
    replies: mpsc::Sender<(Held, Option<Reply>)>,
    arrived: mpsc::Receiver<(Held, Option<Reply>)>,
    arrivals: Vec<(Held, Option<Reply>)>,
    in_flight: usize,
    /// What the gauge was told of them.
    in_flight_shown: usize,
    in_flight_bytes: usize,
    parked: Option<Parked<S::Job>>,
    wait: Option<Wait<S::Job>>,
    /// The connection's own caps are reached.
    blocked: bool,
    ended: Option<CloseReason>,
    drain: BoxFuture<()>,
    /// The caps in force, and which state of them.
    limits: Limits,
    limits_state: u64,
    watch: Watch,
}

/// Times out what stands still, at the granularity of a tick, so that the fast path reads no clock.
struct Watch {
    tick: Pin<Box<Sleep>>,
    pause: Duration,
    moved: bool,
    wrote: bool,
    finished_record: bool,
    idle_since: Instant,
    stalled_since: Instant,
    record_since: Instant,
}

impl Watch {
    fn new(limits: &Limits) -> Watch {
        let pause = Watch::pause(limits);
        let now = Instant::now();
        let tick = Box::pin(tokio::time::sleep(pause));
        let (idle_since, stalled_since, record_since) = (now, now, now);
        Watch {
            tick,
            pause,
            moved: false,
            wrote: false,
            finished_record: false,
            idle_since,
            stalled_since,
            record_since,
        }
    }

    /// Time between two looks.
    fn pause(limits: &Limits) -> Duration {
        let least = limits.idle_max.min(limits.record_time_max).min(limits.stall_max);
        (least / 2).max(Duration::from_millis(10))
    }
}

impl<S: Service> Connection<S> {
    pub(crate) fn new(
        shared: Arc<Shared<S>>,
        peer: Arc<Peer>,
        stream: TcpStream,
        drain: BoxFuture<()>,
    ) -> Self {
        let (limits_state, limits) = shared.limits.get();
        // Wide enough for whatever the cap may become; it costs nothing until it is used.
        let (replies, arrived) = mpsc::channel(Limits::CONNECTION_REQUESTS_MOST);
        Connection {
            inbound: Inbound::new(limits.record_bytes_max),
            watch: Watch::new(&limits),
            limits,
            limits_state,
            carry: Vec::new(),
            out: Outbound::default(),
            arrivals: Vec::new(),
            in_flight: 0,
            in_flight_shown: 0,
            in_flight_bytes: 0,
            parked: None,
            wait: None,
            blocked: false,
            ended: None,
            shared,
            peer,
            stream,
            replies,
            arrived,
            drain,
        }
    }

    /// Serves until the connection ends and says why it did.
    pub(crate) async fn serve(mut self) -> CloseReason {
        std::future::poll_fn(|cx| {
            let polled = self.poll(cx);
            self.publish();
            polled
        })
        .await
    }

    /// Shows in the metrics what a poll changed: once for all of its requests.
    fn publish(&mut self) {
        let (now, shown) = (self.in_flight, std::mem::replace(&mut self.in_flight_shown, self.in_flight));
        if now != shown {
            self.shared.metrics.in_flight.increment(now as f64 - shown as f64);
        }
        self.shared.pool.publish();
    }

    /// Takes over caps that were changed.
    fn refresh_limits(&mut self) {
        if self.shared.limits.state() != self.limits_state {
            (self.limits_state, self.limits) = self.shared.limits.get();
            self.watch.pause = Watch::pause(&self.limits);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.refresh_limits();
        if self.peer.poll_evicted(cx) {
            return Poll::Ready(CloseReason::Evicted);
        }
        for _ in 0..ROUNDS_MAX {
            if self.ended.is_none() && self.drain.as_mut().poll(cx).is_ready() {
                self.ended = Some(CloseReason::Drained);
            }
            let mut progress = self.poll_arrivals(cx);
            let stepped = self.poll_wait(cx).and_then(|moved| {
                progress |= moved;
                self.retry_blocked()
            });
            let stepped = match stepped {
                Ok(()) => self.poll_read(cx),
                Err(reason) => Err(reason),
            };
            match stepped {
                Ok(moved) => progress |= moved,
                Err(reason) if reason == CloseReason::Peer => self.ended = Some(reason),
                Err(reason) => return Poll::Ready(reason),
            }
            match self.poll_flush(cx) {
                Ok(moved) => progress |= moved,
                Err(reason) => return Poll::Ready(reason),
            }
            if let Some(reason) = self.ended
                && self.in_flight == self.unstarted()
            {
                return Poll::Ready(reason);
            }
            if let Err(reason) = self.poll_tick(cx) {
                return Poll::Ready(reason);
            }
            if !progress {
                return Poll::Pending;
            }
            self.watch.moved = true;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Requests counted in flight that have not been started and never will be once the connection has ended.
    fn unstarted(&self) -> usize {
        let waiting = usize::from(self.parked.is_some() || matches!(self.wait, Some(Wait::Reply(..))));
        waiting + usize::from(self.inbound.holds_permits())
    }

    fn poll_arrivals(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(count) = self.arrived.poll_recv_many(cx, &mut self.arrivals, 256) else {
            return false;
        };
        let mut arrivals = std::mem::take(&mut self.arrivals);
        for (held, reply) in arrivals.drain(..) {
            self.answer(held, reply);
        }
        self.arrivals = arrivals;
        count > 0
    }

    fn answer(&mut self, held: Held, reply: Option<Reply>) {
        match reply {
            Some(reply) => self.out.push::<S>(reply, held),
            None => self.settle(1, held.bytes()),
        }
    }

    /// Counts requests as done.
    fn settle(&mut self, requests: usize, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(requests);
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        self.peer.in_flight.store(self.in_flight, Ordering::Relaxed);
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        if self.ended.is_some() {
            return Ok(false);
        }
        match self.wait.take() {
            None => Ok(false),
            Some(Wait::Record(mut future)) => match future.as_mut().poll(cx) {
                Poll::Ready(held) => {
                    self.granted(held);
                    self.pump_carry().map(|()| true)
                }
                Poll::Pending => {
                    self.wait = Some(Wait::Record(future));
                    Ok(false)
                }
            },
            Some(Wait::Reply(job, mut future)) => match future.as_mut().poll(cx) {
                Poll::Ready(held) => {
                    self.in_flight_bytes += held.bytes();
                    self.start(job, held);
                    self.pump_carry().map(|()| true)
                }
                Poll::Pending => {
                    self.wait = Some(Wait::Reply(job, future));
                    Ok(false)
                }
            },
        }
    }

    fn granted(&mut self, held: Held) {
        self.in_flight += 1;
        self.in_flight_bytes += held.bytes();
        self.peer.in_flight.store(self.in_flight, Ordering::Relaxed);
        self.inbound.grant(held);
    }

    fn retry_blocked(&mut self) -> Result<(), CloseReason> {
        if self.blocked && self.wait.is_none() && self.ended.is_none() { self.pump_carry() } else { Ok(()) }
    }

    fn pump_carry(&mut self) -> Result<(), CloseReason> {
        let carry = std::mem::take(&mut self.carry);
        self.pump(&carry)
    }

    /// Takes records from `input` as far as permits allow; the rest is kept for later.
    fn pump(&mut self, mut input: &[u8]) -> Result<(), CloseReason> {
        self.blocked = false;
        while self.wait.is_none() {
            if let Some(parked) = self.parked.take()
                && !self.unpark(parked)
            {
                break;
            }
            match self.inbound.step::<S>(&mut input) {
                Step::Input => break,
                Step::Permits(bytes) if !self.has_room(1, bytes) => {
                    self.blocked = true;
                    break;
                }
                Step::Permits(bytes) => match self.shared.pool.try_take(bytes) {
                    Some(held) => self.granted(held),
                    None => {
                        self.shared.metrics.waits.increment(1);
                        self.wait = Some(Wait::Record(Box::pin(self.shared.pool.clone().take(bytes))));
                    }
                },
                Step::Record(record, held) => {
                    self.watch.finished_record = true;
                    self.on_record(record, held)?;
                }
                Step::Close(reason) => return Err(reason),
            }
        }
        self.carry.extend_from_slice(input);
        Ok(())
    }

    /// Whether the connection's own caps leave room. A request that is alone always has room.
    fn has_room(&self, requests: usize, bytes: usize) -> bool {
        let limits = &self.limits;
        self.in_flight == 0
            || (self.in_flight + requests
                <= limits.connection_requests_max.clamp(1, Limits::CONNECTION_REQUESTS_MOST)
                && self.in_flight_bytes + bytes <= limits.connection_bytes_max)
    }

    fn on_record(&mut self, record: bytes::Bytes, held: Held) -> Result<(), CloseReason> {
        self.peer.count_request();
        match self.shared.service.prepare(&self.peer, record) {
            Prepared::Reply(reply) => self.answer(held, Some(reply)),
            Prepared::Silent => self.answer(held, None),
            Prepared::Close(why) => {
                if let Some(left_out) = self.shared.quiet.allow() {
                    tracing::warn!(service = S::NAME, peer = %self.peer.address, left_out, why, "not a request");
                }
                return Err(CloseReason::Garbage);
            }
            Prepared::Run { job, reply_bytes } => {
                let parked = Parked { job, held: Some(held), reply_bytes };
                self.unpark(parked);
            }
        }
        Ok(())
    }

    /// Starts a request once it holds what its reply may need. `false`: it waits.
    fn unpark(&mut self, mut parked: Parked<S::Job>) -> bool {
        let Some(mut held) = parked.held.take() else { return true };
        let before = held.bytes();
        let more = parked.reply_bytes.saturating_sub(before);
        if more > 0 && self.in_flight > 1 && !self.has_room(0, more) {
            parked.held = Some(held);
            self.parked = Some(parked);
            self.blocked = true;
            return false;
        }
        if held.try_grow(parked.reply_bytes) {
            self.in_flight_bytes += held.bytes() - before;
            self.start(parked.job, held);
            return true;
        }
        self.shared.metrics.waits.increment(1);
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(before);
        self.wait = Some(Wait::Reply(parked.job, Box::pin(held.grow(parked.reply_bytes))));
        false
    }

    fn start(&mut self, job: S::Job, held: Held) {
        let mut future = Box::pin(self.shared.service.clone().run(self.peer.clone(), job));
        match future.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(reply) => self.answer(held, reply),
            Poll::Pending => {
                self.shared.metrics.spawned.increment(1);
                self.shared.gate.enter();
                let gate = self.shared.gate.clone();
                let slot = Slot { replies: self.replies.clone(), held: Some(held), gate };
                tokio::spawn(async move {
                    let reply = future.await;
                    slot.finish(reply);
                });
            }
        }
    }

    fn may_read(&self) -> bool {
        !self.blocked && self.wait.is_none() && self.parked.is_none() && self.ended.is_none()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        if !self.may_read() {
            return Ok(false);
        }
        if let Some((record, left)) = self.inbound.direct(DIRECT_LEAST) {
            return match self.stream.poll_read_ready(cx) {
                Poll::Pending => Ok(false),
                Poll::Ready(Err(_)) => Err(CloseReason::Error),
                Poll::Ready(Ok(())) => match self.stream.try_read_buf(&mut record.limit(left)) {
                    Ok(0) => Err(CloseReason::Peer),
                    Ok(count) => {
                        self.shared.metrics.received.increment(count as u64);
                        self.peer.count_received(count as u64);
                        self.inbound.filled(count);
                        self.pump(&[]).map(|()| true)
                    }
                    // Another round asks for readiness again and registers the waker.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
                    Err(_) => Err(CloseReason::Error),
                },
            };
        }
        let mut scratch = SCRATCH_BUFFER.take();
        scratch.resize(SCRATCH, 0);
        let read = self.poll_read_scratch(cx, &mut scratch);
        SCRATCH_BUFFER.set(scratch);
        match read {
            Poll::Pending => Ok(false),
            Poll::Ready(result) => result.map(|()| true),
        }
    }

    fn poll_read_scratch(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<Result<(), CloseReason>> {
        let mut buffer = ReadBuf::new(scratch);
        if ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).is_err() {
            return Poll::Ready(Err(CloseReason::Error));
        }
        let filled = buffer.filled();
        if filled.is_empty() {
            return Poll::Ready(Err(CloseReason::Peer));
        }
        self.shared.metrics.received.increment(filled.len() as u64);
        self.peer.count_received(filled.len() as u64);
        Poll::Ready(self.pump(filled))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let mut progress = false;
        while !self.out.is_empty() {
            let stream = &self.stream;
            let flushed = self.out.flush(|slices| stream.try_write_vectored(slices));
            let flushed = flushed.map_err(|_| CloseReason::Error)?;
            if flushed.shut {
                return Err(CloseReason::Shut);
            }
            if flushed.bytes > 0 {
                self.shared.metrics.sent.increment(flushed.bytes as u64);
                self.peer.count_sent(flushed.bytes as u64);
                if let Some(done) = flushed.done {
                    self.settle(done.requests(), done.bytes());
                }
                self.watch.wrote = true;
                progress = true;
            }
            if !self.out.is_empty() {
                match self.stream.poll_write_ready(cx) {
                    Poll::Ready(result) => result.map_err(|_| CloseReason::Error)?,
                    Poll::Pending => break,
                }
            }
        }
        Ok(progress)
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        if self.watch.tick.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        let now = Instant::now();
        let limits = &self.limits;
        let ours = self.wait.is_some() || self.blocked;
        let watch = &mut self.watch;
        if std::mem::take(&mut watch.moved) || self.in_flight > 0 {
            watch.idle_since = now;
        }
        if std::mem::take(&mut watch.wrote) || self.out.is_empty() {
            watch.stalled_since = now;
        }
        if std::mem::take(&mut watch.finished_record) || self.inbound.is_between() || ours {
            watch.record_since = now;
        }
        if now.duration_since(watch.stalled_since) >= limits.stall_max {
            tracing::debug!(peer = %self.peer.address, bytes = self.out.bytes(), "peer takes no replies");
            return Err(CloseReason::Stalled);
        }
        if now.duration_since(watch.record_since) >= limits.record_time_max {
            return Err(CloseReason::Slow);
        }
        if now.duration_since(watch.idle_since) >= limits.idle_max {
            return Err(CloseReason::Idle);
        }
        watch.tick.as_mut().reset(now + watch.pause);
        // Registers the waker for the new time; not ready by construction.
        let _ = watch.tick.as_mut().poll(cx);
        Ok(())
    }
}

impl<S: Service> Drop for Connection<S> {
    fn drop(&mut self) {
        self.shared.metrics.in_flight.decrement(self.in_flight_shown as f64);
    }
}

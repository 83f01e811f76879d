//! The listener: accepts up to the caps, serves each connection in a task, and drains.
//!
//! Drain: stop accepting → every connection stops reading, finishes what it has begun and closes → at the deadline the
//! rest is named in the log and cut. Requests in tasks of their own are never cut; [`DrainReport::requests_running`]
//! says how many still run, and the caller decides how long to wait for what they use.

use crate::connection::Connection;
use crate::limits::{Limits, LiveLimits};
use crate::metrics::NetMetrics;
use crate::permits::Pool;
use crate::quiet::Quiet;
use crate::service::{Peer, Service};
use parking_lot::Mutex;
use rustix::net::sockopt;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// Connections that the kernel holds for us between two accepts.
const BACKLOG: u32 = 1024;
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A silent peer is probed after this, then every [`KEEPALIVE_INTERVAL`], and given up after [`KEEPALIVE_PROBES`].
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

/// What the connections of one listener share.
pub(crate) struct Shared<S: Service> {
    pub service: Arc<S>,
    pub limits: LiveLimits,
    pub pool: Arc<Pool>,
    pub metrics: NetMetrics,
    pub quiet: Quiet,
    pub gate: Arc<Gate>,
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// Numbers of connections: each one's own in the whole process, so that a number names one connection for good.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Counts requests that run in tasks of their own.
#[derive(Default)]
pub(crate) struct Gate {
    running: AtomicUsize,
    idle: Notify,
}

impl Gate {
    pub(crate) fn enter(&self) {
        self.running.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn leave(&self) {
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }

    async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.running.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// A connection that had not finished at the drain's deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The client.
    pub address: SocketAddr,
    /// Requests it still waited for.
    pub requests: usize,
}

/// What a drain found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections open when the drain began.
    pub connections: usize,
    /// Those cut at the deadline.
    pub late: Vec<Late>,
    /// Requests that still ran at the deadline, and go on.
    pub requests_running: usize,
}

/// A listener with its connections. Dropping it stops accepting and cuts the connections; [`Server::drain`] is the
/// polite way.
pub struct Server<S: Service> {
    shared: Arc<Shared<S>>,
    address: SocketAddr,
    drain: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<JoinSet<()>>,
}

impl<S: Service> Server<S> {
    /// Listens and begins to serve. *Errors:* those of the socket calls; `AddrInUse` when the port is taken.
    pub async fn bind(
        address: SocketAddr,
        limits: Limits,
        pool: Arc<Pool>,
        service: Arc<S>,
    ) -> io::Result<Self> {
        Self::start(listen(address)?, limits, pool, service).await
    }

    /// Begins to serve on a socket made by [`listen`]; connections that came before were kept waiting by the kernel.
    /// *Errors:* those of the socket calls.
    pub async fn start(
        listener: TcpListener,
        limits: Limits,
        pool: Arc<Pool>,
        service: Arc<S>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            service,
            limits: LiveLimits::new(limits),
            pool,
            metrics: NetMetrics::new(S::NAME),
            quiet: Quiet::default(),
            gate: Arc::default(),
            peers: Mutex::default(),
            addresses: Mutex::default(),
        });
        let (drain, draining) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, shared.clone(), draining));
        tracing::info!(service = S::NAME, %address, "listening");
        Ok(Server { shared, address, drain, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.peers.lock().len()
    }

    /// The other ends of the connections open now, oldest first.
    #[must_use]
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        let mut peers: Vec<_> = self.shared.peers.lock().values().cloned().collect();
        peers.sort_by_key(|peer| peer.connection);
        peers
    }

    /// Changes the caps. Connections that are open stay open, also where there are more now than may be; each takes the new
    /// caps over as it goes on. The size of records and of the pool are not changed by this.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.limits.set(limits);
    }

    /// Stops accepting, lets every begun request finish, closes. What is not finished after `within` is cut and named.
    pub async fn drain(mut self, within: Duration) -> DrainReport {
        let mut report = DrainReport { connections: self.connections(), ..DrainReport::default() };
        let _ = self.drain.send(true);
        let Ok(mut tasks) = (&mut self.accepting).await else { return report };
        let all = async {
            while tasks.join_next().await.is_some() {}
            self.shared.gate.until_idle().await;
        };
        if tokio::time::timeout(within, all).await.is_err() {
            for peer in self.shared.peers.lock().values() {
                let late = Late { address: peer.address, requests: peer.in_flight.load(Ordering::Relaxed) };
                tracing::warn!(service = S::NAME, peer = %late.address, requests = late.requests, "cut at the drain's deadline");
                report.late.push(late);
            }
            report.requests_running = self.shared.gate.running.load(Ordering::Acquire);
            tasks.abort_all();
            while tasks.join_next().await.is_some() {}
        }
        tracing::info!(
            service = S::NAME,
            connections = report.connections,
            late = report.late.len(),
            running = report.requests_running,
            "drained"
        );
        report
    }
}

impl<S: Service> Drop for Server<S> {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Takes a port without serving it yet. Must run on a tokio runtime. *Errors:* `AddrInUse` when the port is taken.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept<S: Service>(
    listener: TcpListener,
    shared: Arc<Shared<S>>,
    mut drain: watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = drain.wait_for(|on| *on) => return tasks,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Some(peer) = admit(&shared, &stream, address) {
                    tasks.spawn(serve(shared.clone(), peer, stream, drain.clone()));
                }
            }
            Err(error) => {
                if let Some(left_out) = shared.quiet.allow() {
                    tracing::warn!(service = S::NAME, %error, left_out, "accept failed");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Counts the connection in, or refuses it.
fn admit<S: Service>(shared: &Arc<Shared<S>>, stream: &TcpStream, address: SocketAddr) -> Option<Arc<Peer>> {
    let mut peers = shared.peers.lock();
    let mut addresses = shared.addresses.lock();
    let of_address = addresses.entry(address.ip()).or_insert(0);
    let (_, limits) = shared.limits.get();
    if peers.len() >= limits.connections_max || *of_address >= limits.connections_per_address_max {
        shared.metrics.refused.increment(1);
        if *of_address == 0 {
            addresses.remove(&address.ip());
        }
        if let Some(left_out) = shared.quiet.allow() {
            tracing::warn!(service = S::NAME, peer = %address, left_out, "too many connections, closed");
        }
        return None;
    }
    let local = stream.local_addr().ok()?;
    *of_address += 1;
    let peer = Arc::new(Peer::new(NEXT.fetch_add(1, Ordering::Relaxed), address, local));
    peers.insert(peer.connection, peer.clone());
    shared.metrics.accepted.increment(1);
    shared.metrics.connections.increment(1.0);
    Some(peer)
}

/// Takes a connection off the books however its task ends.
struct Registered<S: Service>(Arc<Shared<S>>, Arc<Peer>);

impl<S: Service> Drop for Registered<S> {
    fn drop(&mut self) {
        let Registered(shared, peer) = self;
        peer.set_gone();
        shared.service.closed(peer);
        shared.peers.lock().remove(&peer.connection);
        let mut addresses = shared.addresses.lock();
        let ip = peer.address.ip();
        if let Some(count) = addresses.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&ip);
            }
        }
        shared.metrics.connections.decrement(1.0);
    }
}

async fn serve<S: Service>(
    shared: Arc<Shared<S>>,
    peer: Arc<Peer>,
    stream: TcpStream,
    mut drain: watch::Receiver<bool>,
) {
    let registered = Registered(shared.clone(), peer.clone());
    if let Err(error) = tune(&stream) {
        tracing::debug!(peer = %peer.address, %error, "socket options");
    }
    tracing::debug!(service = S::NAME, peer = %peer.address, connection = peer.connection, "connected");
    let draining = Box::pin(async move {
        // An error means that the server was dropped, which ends the connection as well.
        let _ = drain.wait_for(|on| *on).await;
    });
    let reason = Connection::new(shared.clone(), peer.clone(), stream, draining).serve().await;
    shared.metrics.closed(reason);
    if reason.is_fault() {
        if let Some(left_out) = shared.quiet.allow() {
            tracing::warn!(service = S::NAME, peer = %peer.address, reason = reason.label(), left_out, "connection closed");
        }
    } else {
        tracing::debug!(service = S::NAME, peer = %peer.address, reason = reason.label(), "connection closed");
    }
    drop(registered);
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    Ok(())
}

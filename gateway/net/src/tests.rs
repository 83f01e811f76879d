//! A toy protocol over real loopback sockets: caps, back-pressure, order, drain, stalls.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::limits::Limits;
use crate::permits::Pool;
use crate::server::Server;
use crate::service::{Peer, Prepared, Reply, ReplyGate, Service};
use bytes::{BufMut, Bytes};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// First byte of a record: `e` echoes at once, `w` echoes when the gate gives a permit, `b` sends that many KiB back,
/// `x` is garbage, `g` echoes behind a door.
struct Toy {
    gate: Semaphore,
    ran: AtomicUsize,
    running_max: AtomicUsize,
    running: AtomicUsize,
    door: Arc<Door>,
}

/// Lets replies out until it is shut.
#[derive(Default)]
struct Door(AtomicBool);

impl ReplyGate for Door {
    fn is_open(&self) -> bool {
        !self.0.load(Ordering::SeqCst)
    }
}

impl Toy {
    fn new() -> Arc<Toy> {
        let zero = || AtomicUsize::new(0);
        let (ran, running_max, running) = (zero(), zero(), zero());
        Arc::new(Toy { gate: Semaphore::new(0), ran, running_max, running, door: Arc::default() })
    }
}

impl Service for Toy {
    type Job = Bytes;
    const NAME: &'static str = "toy";

    fn parse_mark(mark: [u8; 4]) -> Option<(usize, bool)> {
        let mark = u32::from_be_bytes(mark);
        Some(((mark & 0x7fff_ffff) as usize, mark >> 31 == 1))
    }

    fn mark(len: usize) -> [u8; 4] {
        (len as u32 | 1 << 31).to_be_bytes()
    }

    fn prepare(&self, _: &Arc<Peer>, record: Bytes) -> Prepared<Bytes> {
        match record.first() {
            Some(b'x') | None => Prepared::Close("toy garbage"),
            Some(b'b') => {
                let reply_bytes =
                    record.get(1..3).map_or(0, |kib| usize::from(u16::from_be_bytes([kib[0], kib[1]]))) << 10;
                Prepared::Run { job: record, reply_bytes }
            }
            Some(_) => Prepared::Run { reply_bytes: record.len(), job: record },
        }
    }

    async fn run(self: Arc<Self>, _: Arc<Peer>, job: Bytes) -> Option<Reply> {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.running_max.fetch_max(now, Ordering::SeqCst);
        if job[0] == b'w' {
            self.gate.acquire().await.unwrap().forget();
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.ran.fetch_add(1, Ordering::SeqCst);
        let mut reply = Reply::with_capacity(0);
        if job[0] == b'b' {
            let kib = usize::from(u16::from_be_bytes([job[1], job[2]]));
            reply.push_payload(Bytes::from(vec![7; kib << 10]));
        } else {
            reply.head().put_slice(&job);
        }
        Some(if job[0] == b'g' { reply.behind(self.door.clone()) } else { reply })
    }

    fn closed(&self, _: &Peer) {}
}

async fn serve(limits: Limits) -> (Server<Toy>, Arc<Toy>, SocketAddr, Arc<Pool>) {
    let toy = Toy::new();
    let pool = Pool::new(&limits);
    let server =
        Server::bind("127.0.0.1:0".parse().unwrap(), limits, pool.clone(), toy.clone()).await.unwrap();
    let address = server.local_addr();
    (server, toy, address, pool)
}

fn record(bytes: &[u8]) -> Vec<u8> {
    let mut out = Toy::mark(bytes.len()).to_vec();
    out.extend_from_slice(bytes);
    out
}

async fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let len = stream.read_u32().await.unwrap() & 0x7fff_ffff;
    let mut bytes = vec![0; len as usize];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// Waits until `what` holds, by yielding.
async fn until(mut what: impl FnMut() -> bool) {
    tokio::time::timeout(Duration::from_secs(20), async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("did not happen within 20 s"));
}

#[tokio::test]
async fn record_cut_at_every_byte_and_in_fragments_is_answered_whole() {
    let (_server, _, address, _) = serve(Limits::default()).await;
    let whole = record(b"echo this back");
    let mut fragments = 4u32.to_be_bytes().to_vec();
    fragments.extend_from_slice(b"echo");
    fragments.extend_from_slice(&record(b" this back"));
    for bytes in [whole, fragments] {
        for cut in 1..bytes.len() {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(&bytes[..cut]).await.unwrap();
            tokio::task::yield_now().await;
            stream.write_all(&bytes[cut..]).await.unwrap();
            assert_eq!(receive(&mut stream).await, b"echo this back", "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn oversized_record_and_garbage_close_the_connection() {
    let (_server, toy, address, _) = serve(Limits::default()).await;
    for bytes in [(0x8000_0000u32 | (2 << 20)).to_be_bytes().to_vec(), record(b"x")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    }
    assert_eq!(toy.ran.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn thousand_pipelined_requests_are_all_answered() {
    let (_server, toy, address, pool) = serve(Limits::default()).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let sender = tokio::spawn(async move {
        for n in 0..1000u32 {
            let mut bytes = vec![if n % 3 == 0 { b'w' } else { b'e' }];
            bytes.extend_from_slice(&n.to_be_bytes());
            write.write_all(&record(&bytes)).await.unwrap();
        }
        write
    });
    toy.gate.add_permits(1000);
    let mut seen = vec![false; 1000];
    for _ in 0..1000 {
        let len = read.read_u32().await.unwrap() & 0x7fff_ffff;
        let mut bytes = vec![0; len as usize];
        read.read_exact(&mut bytes).await.unwrap();
        let n = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        assert!(!std::mem::replace(&mut seen[n], true), "{n} answered twice");
    }
    drop(sender.await.unwrap());
    assert!(seen.iter().all(|seen| *seen));
    until(|| pool.small_free() == Limits::default().small_bytes_max).await;
}

#[tokio::test]
async fn requests_beyond_the_connections_cap_wait_unread() {
    let (_server, toy, address, _) = serve(Limits { connection_requests_max: 4, ..Limits::default() }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..20 {
        stream.write_all(&record(b"w")).await.unwrap();
    }
    until(|| toy.running.load(Ordering::SeqCst) == 4).await;
    toy.gate.add_permits(20);
    for _ in 0..20 {
        receive(&mut stream).await;
    }
    assert_eq!(toy.running_max.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn large_record_is_not_read_while_permits_are_out_and_small_ones_of_others_run() {
    let limits = Limits { large_bytes_max: 1 << 20, record_bytes_max: 1 << 20, ..Limits::default() };
    let (_server, toy, address, pool) = serve(limits).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut big = vec![b'w'; 1 << 20];
    first.write_all(&record(&big)).await.unwrap();
    until(|| toy.running.load(Ordering::SeqCst) == 1).await;
    assert!(pool.large_free() < 16 << 10);
    let mut second = TcpStream::connect(address).await.unwrap();
    big[0] = b'e';
    let sender = tokio::spawn(async move {
        second.write_all(&record(&big)).await.unwrap();
        second
    });
    let mut third = TcpStream::connect(address).await.unwrap();
    third.write_all(&record(b"e")).await.unwrap();
    assert_eq!(receive(&mut third).await, b"e");
    assert_eq!(toy.ran.load(Ordering::SeqCst), 1, "the large one is not read");
    toy.gate.add_permits(1);
    receive(&mut first).await;
    let mut second = sender.await.unwrap();
    assert_eq!(receive(&mut second).await.len(), 1 << 20);
}

#[tokio::test]
async fn replies_that_nobody_reads_are_bounded_and_the_peer_is_closed() {
    let limits =
        Limits { connection_bytes_max: 4 << 20, stall_max: Duration::from_millis(300), ..Limits::default() };
    let (server, toy, address, pool) = serve(limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = vec![b'b'];
    request.extend_from_slice(&1024u16.to_be_bytes());
    for _ in 0..200 {
        if stream.write_all(&record(&request)).await.is_err() {
            break;
        }
    }
    until(|| server.connections() == 0).await;
    assert!(toy.ran.load(Ordering::SeqCst) < 40, "ran {}", toy.ran.load(Ordering::SeqCst));
    assert_eq!(pool.large_free(), limits.large_bytes_max);
}

#[tokio::test]
async fn half_a_record_that_stays_half_is_closed() {
    let limits = Limits { record_time_max: Duration::from_millis(200), ..Limits::default() };
    let (server, _, address, pool) = serve(limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&record(&[b'e'; 100])[..50]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    until(|| server.connections() == 0).await;
    assert_eq!(pool.small_free(), limits.small_bytes_max);
}

#[tokio::test]
async fn drain_finishes_begun_requests_then_closes() {
    let (server, toy, address, _) = serve(Limits::default()).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(&record(b"wait for it")).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(&record(b"e")).await.unwrap();
    receive(&mut idle).await;
    until(|| toy.running.load(Ordering::SeqCst) == 1).await;
    let drain = tokio::spawn(server.drain(Duration::from_secs(20)));
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0, "the idle one is closed at once");
    assert!(TcpStream::connect(address).await.is_err());
    toy.gate.add_permits(1);
    assert_eq!(receive(&mut busy).await, b"wait for it");
    let report = drain.await.unwrap();
    assert_eq!((report.connections, report.late.len(), report.requests_running), (2, 0, 0));
}

#[tokio::test]
async fn drain_names_who_was_late_and_lets_the_request_run_on() {
    let (server, toy, address, _) = serve(Limits::default()).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(&record(b"w")).await.unwrap();
    until(|| toy.running.load(Ordering::SeqCst) == 1).await;
    let report = server.drain(Duration::from_millis(50)).await;
    assert_eq!(report.late.len(), 1);
    assert_eq!(report.late[0].address, busy.local_addr().unwrap());
    assert_eq!((report.late[0].requests, report.requests_running), (1, 1));
    toy.gate.add_permits(1);
    until(|| toy.ran.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn request_of_a_lost_connection_runs_to_its_end() {
    let (server, toy, address, pool) = serve(Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&record(b"w")).await.unwrap();
    until(|| toy.running.load(Ordering::SeqCst) == 1).await;
    drop(stream);
    toy.gate.add_permits(1);
    until(|| toy.ran.load(Ordering::SeqCst) == 1).await;
    until(|| server.connections() == 0).await;
    until(|| pool.small_free() == Limits::default().small_bytes_max).await;
}

#[tokio::test]
async fn connections_beyond_the_cap_are_closed_at_once() {
    let (server, _, address, _) = serve(Limits { connections_max: 2, ..Limits::default() }).await;
    let first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    until(|| server.connections() == 2).await;
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0);
    drop(first);
    until(|| server.connections() == 1).await;
    let mut fourth = TcpStream::connect(address).await.unwrap();
    fourth.write_all(&record(b"e")).await.unwrap();
    assert_eq!(receive(&mut fourth).await, b"e");
}

#[tokio::test]
async fn reply_behind_a_shut_gate_never_leaves_and_the_connection_ends() {
    let (server, toy, address, _) = serve(Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&record(b"g one")).await.unwrap();
    assert_eq!(receive(&mut stream).await, b"g one");
    toy.door.0.store(true, Ordering::SeqCst);
    stream.write_all(&record(b"g two")).await.unwrap();
    let mut rest = Vec::new();
    // Ends, in whichever way; nothing came.
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
    assert_eq!(toy.ran.load(Ordering::SeqCst), 2, "it ran, and nobody was told");
    let mut other = TcpStream::connect(address).await.unwrap();
    other.write_all(&record(b"e three")).await.unwrap();
    assert_eq!(receive(&mut other).await, b"e three", "what is not behind it is answered");
    drop(server);
}

#[tokio::test]
async fn evicted_connection_ends_at_once_and_may_come_back_under_another_number() {
    let (server, toy, address, pool) = serve(Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&record(b"e")).await.unwrap();
    receive(&mut stream).await;
    stream.write_all(&record(b"w")).await.unwrap();
    until(|| toy.running.load(Ordering::SeqCst) == 1).await;
    let peer = server.peers().pop().unwrap();
    assert_eq!((peer.address, peer.requests()), (stream.local_addr().unwrap(), 2));
    assert_eq!(peer.bytes(), (10, 5));
    peer.evict();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    until(|| server.connections() == 0).await;
    toy.gate.add_permits(1);
    until(|| toy.ran.load(Ordering::SeqCst) == 2).await;
    until(|| pool.small_free() == Limits::default().small_bytes_max).await;
    let mut again = TcpStream::connect(address).await.unwrap();
    again.write_all(&record(b"e")).await.unwrap();
    receive(&mut again).await;
    assert!(server.peers().pop().unwrap().connection > peer.connection);
}

#[tokio::test]
async fn caps_that_change_hold_for_open_connections_too() {
    let (server, toy, address, _) = serve(Limits { connection_requests_max: 2, ..Limits::default() }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..20 {
        stream.write_all(&record(b"w")).await.unwrap();
    }
    until(|| toy.running.load(Ordering::SeqCst) == 2).await;
    server.set_limits(Limits { connection_requests_max: 8, connections_max: 1, ..Limits::default() });
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(second.read(&mut [0; 8]).await.unwrap_or(0), 0, "one connection is all there may be");
    toy.gate.add_permits(1);
    until(|| toy.running.load(Ordering::SeqCst) == 8).await;
    toy.gate.add_permits(19);
    for _ in 0..20 {
        receive(&mut stream).await;
    }
    assert_eq!(toy.running_max.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn idle_time_that_becomes_shorter_ends_an_open_connection() {
    let limits = Limits { stall_max: Duration::from_millis(100), ..Limits::default() };
    let (server, _, address, _) = serve(limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&record(b"e")).await.unwrap();
    receive(&mut stream).await;
    server.set_limits(Limits { idle_max: Duration::from_millis(50), ..limits });
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn pool_that_shrinks_and_grows_again_has_the_permits_that_it_says() {
    let limits = Limits { large_bytes_max: 64 << 20, ..Limits::default() };
    let pool = Pool::new(&limits);
    let held = pool.clone().take(1 << 20).await;
    pool.resize_large(8 << 20);
    until(|| pool.large_free() == 7 << 20).await;
    drop(held);
    assert_eq!(pool.large_free(), 8 << 20);
    pool.resize_large(0);
    let least = limits.record_bytes_max + Limits::REPLY_ALLOWANCE;
    until(|| pool.large_free() == least).await;
    drop(pool.clone().take(1 << 20).await);
    pool.resize_large(32 << 20);
    assert_eq!(pool.large_free(), 32 << 20);
}

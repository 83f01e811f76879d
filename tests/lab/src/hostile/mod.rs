//! A seeded, structure-aware attacker: records that look like calls and are wrong somewhere.
//!
//! Each procedure of NFSv3, MOUNT v3 and (where it listens) the port mapper gets the same number of records. Most keep an
//! intact RPC header and are damaged behind it; the rest are damaged anywhere, cut short, too long or in odd fragments.
//! Meanwhile a well-behaved client asks for attributes on a connection of its own; its waiting is part of the report.
//! What it leaves behind on the share is rubbish: give it a share of its own.

mod grammar;
mod mutate;
#[cfg(test)]
mod tests;
mod udp;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::nfs::client::{Client, Records};
use crate::nfs::xdr::Reader;
use crate::nfs::{MOUNT, NFS, PORTMAP, Procedure, mount, nfs};
use grammar::Targets;
use mutate::Framing;

/// Records in flight on the attacking connection.
const BATCH: u64 = 32;
/// How long an answer may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to attack, and how hard.
#[derive(Args, Clone)]
pub struct HostileArgs {
    /// The gateway's NFS address.
    #[arg(long)]
    server: String,
    /// The port mapper's address, where it listens; `udp:HOST:PORT` for datagrams.
    #[arg(long)]
    portmap: Option<String>,
    /// An export that may be filled with rubbish.
    #[arg(long)]
    export: String,
    /// Handles in hexadecimal that the gateway must not take: of a share that is gone, of another gateway. May be repeated.
    #[arg(long)]
    foreign: Vec<String>,
    /// Records for each procedure.
    #[arg(long, default_value_t = 10_000)]
    records: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Attacking connections at the same time.
    #[arg(long, default_value_t = 4)]
    connections: usize,
}

/// What came of the records of one procedure.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sent: u64,
    /// Sent with an intact header: they reach the procedure.
    reached: u64,
    /// Answered by the procedure itself.
    answered: u64,
    /// Answered with GARBAGE_ARGS, or another accept status.
    unfit: u64,
    /// Refused by the RPC layer.
    denied: u64,
    /// The server closed the connection instead of answering.
    closed: u64,
    /// Neither an answer nor a close in time.
    silent: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.sent += other.sent;
        self.reached += other.reached;
        self.answered += other.answered;
        self.unfit += other.unfit;
        self.denied += other.denied;
        self.closed += other.closed;
        self.silent += other.silent;
    }
}

/// Attacks, prints a line for each procedure and one for the well-behaved client. Returns whether the server still serves.
pub fn run(args: HostileArgs) -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(attack(args))
}

fn procedures(args: &HostileArgs) -> Vec<Procedure> {
    let mut all: Vec<Procedure> = (0..22).map(nfs).chain((0..6).map(mount)).collect();
    if args.portmap.is_some() {
        all.extend((0..6).map(|number| Procedure { program: PORTMAP, version: 2, number }));
    }
    all
}

async fn attack(args: HostileArgs) -> io::Result<bool> {
    println!("seed={}", args.seed);
    let targets = Arc::new(grammar::prepare(&args.server, &args.export, &args.foreign).await?);
    let over = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn(watch(args.server.clone(), targets.root.clone(), over.clone()));
    let mut total = Tally::default();
    for procedure in procedures(&args) {
        let mut running = tokio::task::JoinSet::new();
        for connection in 0..args.connections {
            running.spawn(attack_one(args.clone(), targets.clone(), procedure, connection as u64));
        }
        let mut tally = Tally::default();
        while let Some(one) = running.join_next().await {
            tally.add(&one.map_err(io::Error::other)??);
        }
        let name = format!("{}/{}", program_name(procedure.program), procedure.number);
        println!("procedure={name} {}", told(&tally));
        total.add(&tally);
    }
    over.store(true, Ordering::Relaxed);
    let mut waits = watcher.await.map_err(io::Error::other)??;
    waits.sort_unstable();
    let p99 = waits[(waits.len() * 99 / 100).min(waits.len() - 1)];
    println!("total {}", told(&total));
    println!(
        "bystander calls={} p99_ms={:.2} max_ms={:.2}",
        waits.len(),
        millis(p99),
        millis(waits[waits.len() - 1])
    );
    let mut client = Client::connect(&args.server, 1).await?;
    let alive = client.mount(&args.export).await?;
    Ok(alive == targets.root)
}

fn program_name(program: u32) -> &'static str {
    match program {
        NFS => "nfs",
        MOUNT => "mount",
        _ => "portmap",
    }
}

fn told(tally: &Tally) -> String {
    let Tally { sent, reached, answered, unfit, denied, closed, silent } = tally;
    format!(
        "sent={sent} reached={reached} answered={answered} unfit={unfit} denied={denied} closed={closed} silent={silent}"
    )
}

fn millis(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// The well-behaved client: asks for attributes until told to end; returns how long each answer took.
async fn watch(server: String, root: Vec<u8>, over: Arc<AtomicBool>) -> io::Result<Vec<u64>> {
    let mut client = Client::connect(&server, 0x7000_0000).await?;
    let mut waits = Vec::new();
    loop {
        let began = Instant::now();
        let results = client
            .call(nfs(1), |writer| {
                writer.opaque(&root);
            })
            .await?;
        waits.push(began.elapsed().as_nanos() as u64);
        if Reader(&results).u32()? != 0 {
            return Err(io::Error::other("the bystander was refused"));
        }
        if over.load(Ordering::Relaxed) {
            return Ok(waits);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// One connection's share of the records of one procedure.
async fn attack_one(
    args: HostileArgs,
    targets: Arc<Targets>,
    procedure: Procedure,
    number: u64,
) -> io::Result<Tally> {
    let address = if procedure.program == PORTMAP {
        args.portmap.clone().unwrap_or_default()
    } else {
        args.server.clone()
    };
    let mut dice = ChaCha8Rng::seed_from_u64(args.seed);
    dice.set_stream(u64::from(procedure.program) << 16 | u64::from(procedure.number) << 8 | number);
    let mut tally = Tally::default();
    let wanted = args.records.div_ceil(args.connections as u64);
    if let Some(address) = address.strip_prefix("udp:") {
        return udp::attack(address, procedure, wanted, &targets, &mut dice).await;
    }
    let (mut stream, mut held) = (None, None);
    while tally.sent < wanted || held.is_some() {
        let mut open = match stream.take() {
            Some(open) => open,
            None => (connect(&address).await?, Records::default()),
        };
        // a record that may end the connection travels alone: the ones before it are answered first
        let (out, expected, breaks) = match held.take() {
            Some((bytes, framing)) => (bytes, 1, framing == Framing::Broken),
            None => {
                let (mut out, mut expected) = (Vec::new(), 0u64);
                while expected < BATCH && tally.sent < wanted && held.is_none() {
                    let mut one = Vec::new();
                    let framing = mutate::record(&mut one, dice.random(), procedure, &targets, &mut dice);
                    tally.sent += 1;
                    tally.reached += u64::from(matches!(framing, Framing::Whole | Framing::Pieces));
                    if framing == Framing::Whole {
                        out.extend_from_slice(&one);
                        expected += 1;
                    } else {
                        held = Some((one, framing));
                    }
                }
                (out, expected, false)
            }
        };
        if exchange(&mut open, &out, expected, breaks, &mut tally).await {
            stream = Some(open);
        }
    }
    Ok(tally)
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::other("never tried");
    for _ in 0..50 {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(io::Error::other(format!("{address} takes no connection any more: {last}")))
}

/// Sends a batch and takes the answers. Returns whether the connection can go on.
async fn exchange(
    open: &mut (TcpStream, Records),
    out: &[u8],
    expected: u64,
    breaks: bool,
    tally: &mut Tally,
) -> bool {
    let (stream, records) = open;
    let sent = tokio::time::timeout(PATIENCE, stream.write_all(out)).await;
    let mut left = expected;
    if matches!(sent, Ok(Ok(()))) {
        // behind a broken frame no answer can be expected: half-close, and take what still comes
        if breaks && stream.shutdown().await.is_err() {
            tally.closed += left;
            return false;
        }
        while left > 0 {
            match records.next() {
                Ok(Some(record)) => {
                    classify(record, tally);
                    left -= 1;
                    continue;
                }
                Ok(None) => {}
                Err(_) => break,
            }
            match tokio::time::timeout(PATIENCE, records.fill(stream)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => break,
                Err(_) => {
                    tally.silent += left;
                    return false;
                }
            }
        }
    }
    tally.closed += left;
    left == 0 && !breaks
}

fn classify(record: &[u8], tally: &mut Tally) {
    let mut reader = Reader(record);
    let mut word = || reader.u32().unwrap_or(u32::MAX);
    let (_, kind, state) = (word(), word(), word());
    if kind != 1 || state != 0 {
        tally.denied += 1;
        return;
    }
    let status = reader.u32().and_then(|_| reader.opaque().map(|_| ())).and_then(|()| reader.u32());
    match status {
        Ok(0) => tally.answered += 1,
        _ => tally.unfit += 1,
    }
}

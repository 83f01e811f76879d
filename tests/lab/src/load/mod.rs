//! The load generator: N connections with D calls in flight each, and the limits that its figures are held against.
//!
//! Every run prints one line of `key=value`: operations, seconds, rate, bytes a second, p50 and p99 of a call in
//! microseconds, and the processor time of this process. The limits run in this process alone, on the same driver.

mod limits;
mod listing;
mod scenarios;

use std::io;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio::net::TcpStream;

use crate::nfs::client::{Client, Scenario, drive};

/// What the load does over and over.
#[derive(Clone, Copy, ValueEnum, PartialEq)]
enum Work {
    /// GETATTR of one file.
    Getattr,
    /// Reads of one file in order, from its begin again at its end; with `--count`, once, up to so many bytes.
    Read,
    /// WRITE of 4 KiB and COMMIT, each slot in its own file.
    Durable,
    /// CREATE, WRITE of 4 KiB and COMMIT: a new file each time.
    Create,
    /// CREATE alone: a new empty file each time.
    Name,
    /// CREATE and WRITE of 4 KiB, without COMMIT; ends after `--count` files.
    Files,
    /// WRITE in order up to `--count` bytes, then COMMIT.
    Write,
    /// LOOKUP of the files that `files` made, `--count` of them, in a scattered order; with `--sample`, of so many of these.
    Lookup,
    /// READDIR of the folder `--file` from its begin to its end; an operation is an entry.
    List,
    /// Not the gateway: an echo in this process, replies of `--size` bytes.
    LimitEcho,
    /// Not the gateway: the requests in `--folder`, sent to the object store at `--server`.
    LimitGet,
    /// Not the gateway: {pwrite `--size`, fdatasync} on one pre-zeroed file in `--folder`.
    LimitDisk,
}

/// A load.
#[derive(Args, Clone)]
pub struct LoadArgs {
    work: Work,
    /// The gateway's NFS address.
    #[arg(long, default_value = "")]
    server: String,
    /// The export, such as `/bench`.
    #[arg(long, default_value = "/")]
    export: String,
    /// The folder for the disk limit.
    #[arg(long, default_value = ".")]
    folder: std::path::PathBuf,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// How long, for work without an end of its own.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Bytes of one read, write, or echo.
    #[arg(long, default_value_t = 4096)]
    size: u32,
    /// Files to make or look up; bytes to write.
    #[arg(long, default_value_t = 0)]
    count: u64,
    /// Look-ups to make; 0: one of every file.
    #[arg(long, default_value_t = 0)]
    sample: u64,
    /// The file at the export's root that is read, written or asked about.
    #[arg(long, default_value = "bench-file")]
    file: String,
}

/// What one run came to.
#[derive(Default)]
struct Figures {
    operations: u64,
    bytes: u64,
    latencies: Vec<u64>,
}

impl Figures {
    fn add(&mut self, other: Figures) {
        self.operations += other.operations;
        self.bytes += other.bytes;
        self.latencies.extend(other.latencies);
    }
}

/// Runs a load and prints its line.
pub fn run(args: LoadArgs) -> io::Result<bool> {
    if args.work == Work::LimitDisk {
        let began = Instant::now();
        let figures = limits::disk(&args.folder, args.size as usize, Duration::from_secs_f64(args.seconds))?;
        return print(figures, began.elapsed());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async move {
        let mut args = args;
        if args.work == Work::LimitGet {
            let (began, time) = (Instant::now(), Duration::from_secs_f64(args.seconds));
            let figures = limits::get(&args.server, &args.folder, args.connections, time).await?;
            return print(figures, began.elapsed());
        }
        if args.work == Work::LimitEcho {
            args.server = limits::echo(args.size as usize).await?;
        }
        let mut scenarios = Vec::new();
        for connection in 0..args.connections {
            scenarios.push(scenarios::prepare(&args, connection).await?);
        }
        let mut streams = Vec::new();
        for _ in 0..args.connections {
            streams.push(TcpStream::connect(&args.server).await?);
        }
        let began = Instant::now();
        let until = if args.work.ends_by_itself(args.count) {
            began + Duration::from_secs(86_400)
        } else {
            began + Duration::from_secs_f64(args.seconds)
        };
        let mut running = tokio::task::JoinSet::new();
        for (mut stream, mut scenario) in streams.into_iter().zip(scenarios) {
            let depth = args.depth;
            running.spawn(async move {
                let latencies = drive(&mut stream, depth, scenario.as_mut(), until).await?;
                let (operations, bytes) = scenario.done();
                Ok::<_, io::Error>(Figures { operations, bytes, latencies })
            });
        }
        let mut all = Figures::default();
        while let Some(one) = running.join_next().await {
            all.add(one.map_err(io::Error::other)??);
        }
        print(all, began.elapsed())
    })
}

impl Work {
    fn ends_by_itself(self, count: u64) -> bool {
        matches!(self, Work::Files | Work::Write | Work::Lookup | Work::List)
            || (self == Work::Read && count > 0)
    }
}

/// A scenario that tells what it came to.
trait Counted: Scenario + Send {
    /// Operations and payload bytes so far.
    fn done(&self) -> (u64, u64);
}

fn print(mut figures: Figures, took: Duration) -> io::Result<bool> {
    figures.latencies.sort_unstable();
    let at = |share: f64| {
        let place = (figures.latencies.len() as f64 * share) as usize;
        figures
            .latencies
            .get(place.min(figures.latencies.len().saturating_sub(1)))
            .map_or(0.0, |ns| *ns as f64 / 1e3)
    };
    let seconds = took.as_secs_f64();
    println!(
        "operations={} seconds={seconds:.4} rate={:.1} bytes_rate={:.0} p50_us={:.1} p99_us={:.1} cpu={:.3}",
        figures.operations,
        figures.operations as f64 / seconds,
        figures.bytes as f64 / seconds,
        at(0.5),
        at(0.99),
        processor_seconds()?
    );
    Ok(figures.operations > 0)
}

/// The processor time that this process has used.
fn processor_seconds() -> io::Result<f64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// Connects and mounts.
async fn mounted(args: &LoadArgs, connection: usize) -> io::Result<(Client, Vec<u8>)> {
    let mut client = Client::connect(&args.server, 0x4000_0000 + ((connection as u32) << 16)).await?;
    let root = client.mount(&args.export).await?;
    Ok((client, root))
}

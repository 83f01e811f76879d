//! Fills the embedded metadata store of a share with files, through [`MetadataStore`], as no client could in the time.
//!
//! The gateway that made the share must not run: the store's folder has a lock. Names are those that `dfs-lab load files` gives
//! (folders of a thousand, divided among connections), so that its `lookup` finds them over NFS; and a folder `single` with as many
//! files as are wanted. The last line of figures is printed while the store is still open: whoever reads it may kill the process.
#![forbid(unsafe_code)]

use clap::Parser;
use dfs_log::RealDisk;
use dfs_model::{
    Clock, Credentials, DeviceNumber, Epoch, InodeId, InodeKind, Monotonic, Name, Seq, ShareId, Timestamp,
};
use dfs_store::{
    ChangeCounter, CreateMode, CreateRequest, EmbeddedConfig, EmbeddedStore, MetadataStore, OpContext,
};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Files in one folder, as of `dfs-lab load files`.
const FILES_IN_FOLDER: u64 = 1000;
/// Creates under way at the same time.
const TASKS: u64 = 8;

/// What to make, and where.
#[derive(Clone, Parser)]
#[command(name = "dfs-fill", about = "Fills the metadata store of a share of a gateway that does not run")]
struct Args {
    /// The store's folder: `metadata-NAME` in the data folder.
    folder: PathBuf,
    /// The share.
    #[arg(long)]
    share: String,
    /// Files in folders of a thousand.
    #[arg(long, default_value_t = 0)]
    files: u64,
    /// Connections among which `dfs-lab load` will divide them.
    #[arg(long, default_value_t = 4)]
    connections: u64,
    /// First part of the folders' names.
    #[arg(long, default_value = "many")]
    name: String,
    /// Files in the one folder `single`.
    #[arg(long, default_value_t = 0)]
    single: u64,
    /// Bytes of the store's page cache.
    #[arg(long, default_value_t = 64 << 20)]
    cache: usize,
}

/// The machine's clocks.
struct Clocks;

impl Clock for Clocks {
    fn wall(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Timestamp::new(now.tv_sec, now.tv_nsec as u32)
    }

    fn monotonic(&self) -> Monotonic {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Monotonic((now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64))
    }
}

/// An opened share.
struct Filler {
    store: EmbeddedStore,
    share: ShareId,
    epoch: Epoch,
    changes: ChangeCounter,
    who: Credentials,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Filler {
    async fn open(args: &Args) -> Outcome<Filler> {
        let mut config = EmbeddedConfig::new(Arc::new(Clocks));
        config.cache_bytes = args.cache;
        let store = EmbeddedStore::open(RealDisk::open(&args.folder)?, config).await?;
        let known = store.shares().await?;
        let share = known.iter().find(|share| share.name == args.share);
        let share =
            share.ok_or_else(|| format!("no share '{}' in {}", args.share, args.folder.display()))?.share;
        let epoch = store.begin_epoch(share).await?;
        let who = Credentials::unix(0, 0, &[]);
        Ok(Filler { store, share, epoch, changes: ChangeCounter::new(epoch), who })
    }

    async fn make(&self, dir: InodeId, name: &str, kind: InodeKind) -> Outcome<InodeId> {
        let cx = OpContext {
            share: self.share,
            epoch: self.epoch,
            credentials: &self.who,
            now: Clocks.wall(),
            changes: &self.changes,
            born_seq: Seq::new(self.epoch, 0),
            replay: None,
        };
        let request = CreateRequest {
            dir,
            name: Name::try_from(name)?,
            kind,
            mode: CreateMode::Guarded,
            attrs: Default::default(),
            link_target: None,
            device: DeviceNumber::default(),
        };
        Ok(self.store.create(cx, request).await?.value.inode.id)
    }

    /// Makes files with the numbers `from..to` in a folder.
    async fn make_files(&self, folder: InodeId, from: u64, to: u64) -> Outcome<()> {
        for number in from..to {
            self.make(folder, &format!("file-{number:08}"), InodeKind::File).await?;
        }
        Ok(())
    }

    /// One folder of a thousand files, or of what is left of them.
    async fn make_folder(&self, args: &Args, place: u64) -> Outcome<u64> {
        let of_connection = args.files / args.connections;
        let folders = of_connection.div_ceil(FILES_IN_FOLDER);
        let (connection, number) = (place / folders, place % folders);
        let name = format!("{}-folder-{connection}-{number}", args.name);
        let folder = self.make(InodeId::ROOT, &name, InodeKind::Directory).await?;
        let from = number * FILES_IN_FOLDER;
        let to = (from + FILES_IN_FOLDER).min(of_connection);
        self.make_files(folder, from, to).await?;
        Ok(to - from)
    }
}

/// Makes all folders of a thousand, several at a time; answers how many files that were.
async fn many(filler: &Arc<Filler>, args: &Args) -> Outcome<u64> {
    let folders = (args.files / args.connections).div_ceil(FILES_IN_FOLDER) * args.connections;
    let next = Arc::new(AtomicU64::new(0));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let (filler, args, next) = (filler.clone(), args.clone(), next.clone());
        running.spawn(async move {
            let mut made = 0;
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= folders {
                    return Ok::<u64, Box<dyn std::error::Error + Send + Sync>>(made);
                }
                made += filler.make_folder(&args, place).await?;
            }
        });
    }
    let mut made = 0;
    while let Some(one) = running.join_next().await {
        made += one??;
    }
    Ok(made)
}

/// Makes the one folder with many files.
async fn single(filler: &Arc<Filler>, args: &Args) -> Outcome<u64> {
    if args.single == 0 {
        return Ok(0);
    }
    let folder = filler.make(InodeId::ROOT, "single", InodeKind::Directory).await?;
    let mut running = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (filler, share) = (filler.clone(), args.single.div_ceil(TASKS));
        let (from, to) = (task * share, ((task + 1) * share).min(args.single));
        running.spawn(async move { filler.make_files(folder, from.min(to), to).await });
    }
    while let Some(one) = running.join_next().await {
        one??;
    }
    Ok(args.single)
}

/// The most memory that this process had resident, in bytes.
fn most_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Makes a kind of files and prints how that went.
async fn timed(what: &str, made: impl Future<Output = Outcome<u64>>) -> Outcome<()> {
    let began = Clocks.monotonic();
    let made = made.await?;
    let seconds = Clocks.monotonic().since(began).as_secs_f64();
    let rate = if seconds > 0.0 { made as f64 / seconds } else { 0.0 };
    println!("what={what} files={made} seconds={seconds:.2} rate={rate:.0} resident={}", most_resident());
    Ok(())
}

async fn fill(args: Args) -> Outcome<()> {
    let filler = Arc::new(Filler::open(&args).await?);
    timed("many", many(&filler, &args)).await?;
    timed("single", single(&filler, &args)).await?;
    // What is applied and not durable yet survives the death of the process too: that is what comes now.
    println!("filled");
    let _ = std::io::stdin().lines().next();
    filler.store.close().await?;
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = match runtime {
        Ok(runtime) if args.connections > 0 => runtime.block_on(fill(args)),
        Ok(_) => Err("--connections must not be 0".into()),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dfs-fill: {error}");
            ExitCode::FAILURE
        }
    }
}

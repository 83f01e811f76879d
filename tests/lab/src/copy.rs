//! Copies a local tree over NFSv3 without a mount, reads it back and compares: a round trip that needs no root.
//!
//! Regular files, folders and symbolic links; the permission bits, not the owners. What an interrupted run leaves behind
//! is a part of the tree on the share; running it again goes on over it.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::nfs::calls::{self, Handle, UNSTABLE};
use crate::nfs::client::Client;
use crate::nfs::nfs;
use crate::nfs::xdr::Reader;

/// One WRITE or READ.
const PIECE_BYTES: usize = 256 << 10;

/// What to copy, and where to.
#[derive(Args)]
pub struct CopyArgs {
    /// The gateway's NFS address.
    #[arg(long)]
    server: String,
    /// The MOUNT service's address, where it is not the same.
    #[arg(long)]
    mount_server: Option<String>,
    /// The export, such as `/demo`.
    #[arg(long)]
    export: String,
    /// The folder to copy.
    folder: PathBuf,
    /// The name of the copy at the export's root.
    #[arg(long, default_value = "copy")]
    name: String,
    /// Connections at the same time.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Only read back and compare.
    #[arg(long)]
    verify_only: bool,
    /// Only send.
    #[arg(long, conflicts_with = "verify_only")]
    send_only: bool,
    /// How long a call is made again where the server says "later" or the connection is lost, as a hard mount does.
    #[arg(long, default_value_t = 0)]
    patience_seconds: u64,
}

enum Kind {
    File(u32),
    Link(Vec<u8>),
}

struct Item {
    path: PathBuf,
    folder: Handle,
    name: Vec<u8>,
    kind: Kind,
}

#[derive(Default)]
struct Done {
    files: AtomicU64,
    bytes: AtomicU64,
    later: AtomicU64,
    lost: AtomicU64,
}

/// Copies and compares. Returns whether all was the same.
pub fn run(args: CopyArgs) -> io::Result<bool> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(round_trip(args))
}

async fn round_trip(args: CopyArgs) -> io::Result<bool> {
    let mut client = Client::connect(&args.server, first_xid(1)).await?;
    client.patience = Duration::from_secs(args.patience_seconds);
    let root = match &args.mount_server {
        Some(other) => Client::connect(other, 1).await?.mount(&args.export).await?,
        None => client.mount(&args.export).await?,
    };
    let top = client.make_folder(&root, args.name.as_bytes(), 0o755).await?;
    let mut items = Vec::new();
    let mut folders = vec![(args.folder.clone(), top)];
    while let Some((path, handle)) = folders.pop() {
        let mut entries = std::fs::read_dir(&path)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (kind, name) = (entry.file_type()?, entry.file_name().as_bytes().to_vec());
            if kind.is_dir() {
                let made = client.make_folder(&handle, &name, 0o755).await?;
                folders.push((entry.path(), made));
            } else if kind.is_symlink() {
                let target = std::fs::read_link(entry.path())?.as_os_str().as_bytes().to_vec();
                items.push(Item {
                    path: entry.path(),
                    folder: handle.clone(),
                    name,
                    kind: Kind::Link(target),
                });
            } else if kind.is_file() {
                let mode = entry.metadata()?.permissions().mode() & 0o777;
                items.push(Item { path: entry.path(), folder: handle.clone(), name, kind: Kind::File(mode) });
            }
        }
    }
    let items = Arc::new(items);
    if !args.verify_only {
        let (began, done) = (Instant::now(), pass(&args, &items, true).await?);
        tell("sent", &done, began);
    }
    if !args.send_only {
        let (began, done) = (Instant::now(), pass(&args, &items, false).await?);
        tell("read back and compared", &done, began);
    }
    Ok(true)
}

/// Where a connection's transaction ids start: a range of its own, and another place in it in each run, or a server that
/// remembers its replies would take the calls of a second run for repeats of the first's.
fn first_xid(connection: u32) -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    connection << 24 | now.map_or(0, |time| time.as_micros() as u32 & 0x7f_ffff)
}

fn tell(what: &str, done: &Done, began: Instant) {
    let (files, bytes) = (done.files.load(Ordering::Relaxed), done.bytes.load(Ordering::Relaxed));
    let (later, lost) = (done.later.load(Ordering::Relaxed), done.lost.load(Ordering::Relaxed));
    let mut put_off = String::new();
    if later + lost > 0 {
        put_off = format!(", told to wait {later} times, connections lost {lost}");
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{what}: {files} files, {:.1} MB in {seconds:.1} s{put_off}", bytes as f64 / 1e6);
}

/// Sends or compares every item, spread over the connections. *Errors:* the first of any of them.
async fn pass(args: &CopyArgs, items: &Arc<Vec<Item>>, send: bool) -> io::Result<Arc<Done>> {
    let (done, next) = (Arc::new(Done::default()), Arc::new(Mutex::new(0usize)));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..args.connections.max(1) {
        let (items, done, next, server) = (items.clone(), done.clone(), next.clone(), args.server.clone());
        let patience = Duration::from_secs(args.patience_seconds);
        workers.spawn(async move {
            let mut client = Client::connect(&server, first_xid(worker as u32 + 2)).await?;
            client.patience = patience;
            loop {
                let at = {
                    let mut next = next.lock().await;
                    *next += 1;
                    *next - 1
                };
                let Some(item) = items.get(at) else {
                    done.later.fetch_add(client.put_off.0, Ordering::Relaxed);
                    done.lost.fetch_add(client.put_off.1, Ordering::Relaxed);
                    return Ok::<(), io::Error>(());
                };
                let outcome =
                    if send { put(&mut client, item).await } else { compare(&mut client, item).await };
                let bytes =
                    outcome.map_err(|error| io::Error::other(format!("{}: {error}", item.path.display())))?;
                done.files.fetch_add(1, Ordering::Relaxed);
                done.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.map_err(io::Error::other)??;
    }
    Ok(done)
}

async fn put(client: &mut Client, item: &Item) -> io::Result<u64> {
    let mode = match &item.kind {
        Kind::File(mode) => *mode,
        Kind::Link(target) => {
            let make = |writer: &mut crate::nfs::xdr::Writer| {
                calls::make_link(writer, &item.folder, &item.name, target)
            };
            let results = client.call(nfs(10), make).await?;
            let there = Reader(&results).u32()? == 17;
            return if there { Ok(0) } else { calls::made_reply(&mut Reader(&results)).map(|_| 0) };
        }
    };
    let data = std::fs::read(&item.path)?;
    let file = client.create_empty(&item.folder, &item.name, mode).await?;
    // a server that restarted between a WRITE and the COMMIT tells it by another verifier: then all is sent again
    loop {
        let mut verifiers = std::collections::HashSet::new();
        for (number, piece) in data.chunks(PIECE_BYTES).enumerate() {
            verifiers.insert(client.write(&file, (number * PIECE_BYTES) as u64, UNSTABLE, piece).await?);
        }
        verifiers.insert(client.commit(&file).await?);
        if verifiers.len() == 1 {
            return Ok(data.len() as u64);
        }
    }
}

async fn compare(client: &mut Client, item: &Item) -> io::Result<u64> {
    let file = client.lookup(&item.folder, &item.name).await?;
    if let Kind::Link(target) = &item.kind {
        let results = client
            .call(nfs(5), |writer| {
                writer.opaque(&file);
            })
            .await?;
        let mut reader = Reader(&results);
        calls::status(&mut reader)?;
        calls::post_attributes(&mut reader)?;
        return if reader.opaque()? == target {
            Ok(0)
        } else {
            Err(io::Error::other("the link leads elsewhere"))
        };
    }
    let (mut found, mut offset) = (Sha256::new(), 0u64);
    loop {
        let (data, end) = client.read(&file, offset, PIECE_BYTES as u32).await?;
        found.update(&data);
        offset += data.len() as u64;
        if end {
            break;
        }
        if data.is_empty() {
            return Err(io::Error::other("a read gave nothing before the end"));
        }
    }
    let wanted = Sha256::digest(std::fs::read(&item.path)?);
    if found.finalize() != wanted {
        return Err(io::Error::other(format!("the {offset} bytes read back differ")));
    }
    Ok(offset)
}

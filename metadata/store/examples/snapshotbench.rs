//! How long a snapshot of a share of many files takes, and what the first changes after it cost: over the embedded store on
//! a real disk. `snapshotbench [FILES] [FOLDER]`; prints figures and fails where a snapshot is more than its two rows.

#![allow(clippy::disallowed_methods, clippy::panic)]

use dfs_log::RealDisk;
use dfs_model::{
    AttrPatch, Clock, Credentials, DeviceNumber, Epoch, Generation, InodeId, InodeKind, Monotonic, Name, Seq,
    ShareId, Timestamp,
};
use dfs_store::{
    ChangeCounter, Copies, CreateMode, CreateRequest, EmbeddedConfig, EmbeddedStore, MetadataStore,
    OpContext, ShareRecord, SnapshotOrigin,
};
use std::sync::Arc;
use std::time::Instant;

const SHARE: ShareId = ShareId(1);
/// More than the two rows of a snapshot take in memory.
const ROWS_BYTES_MAX: usize = 4096;
/// Files of one directory.
const PER_DIR: usize = 1000;

struct Real(Instant);

impl Clock for Real {
    fn wall(&self) -> Timestamp {
        Timestamp::new(2_000_000_000, 0).plus(self.0.elapsed())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.elapsed().as_nanos() as u64)
    }
}

fn record() -> ShareRecord {
    ShareRecord {
        share: SHARE,
        name: "share".into(),
        incarnation: Generation(1),
        fsid: 1,
        handle_key: [1; 16],
        fold_version: Name::FOLD_VERSION,
        block_size: 256 << 10,
        created: Timestamp::new(1, 0),
        epoch: Epoch(0),
        settings: Vec::new(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let files: usize = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let temp = tempfile::tempdir()?;
    let folder = args.next().map_or_else(|| temp.path().to_owned(), std::path::PathBuf::from);
    let clock = Arc::new(Real(Instant::now()));
    let disk = RealDisk::open(&folder)?;
    let store = EmbeddedStore::open(disk, EmbeddedConfig::new(clock.clone())).await?;
    store.create_share(record(), 0o755, 0, 0).await?;
    let epoch = store.begin_epoch(SHARE).await?;
    let (changes, root) = (ChangeCounter::new(epoch), Credentials::unix(0, 0, &[]));
    let cx = || OpContext {
        share: SHARE,
        epoch,
        credentials: &root,
        now: clock.wall(),
        changes: &changes,
        born_seq: Seq::ZERO,
        replay: None,
    };
    let made = |dir: InodeId, name: String, kind: InodeKind| CreateRequest {
        dir,
        name: Name::try_from(name.as_str()).unwrap_or_else(|error| panic!("{name}: {error}")),
        kind,
        mode: CreateMode::Guarded,
        attrs: AttrPatch::default(),
        link_target: None,
        device: DeviceNumber::default(),
    };
    let began = Instant::now();
    let mut dir = InodeId::ROOT;
    for nth in 0..files {
        if nth % PER_DIR == 0 {
            let request = made(InodeId::ROOT, format!("d{nth}"), InodeKind::Directory);
            dir = store.create(cx(), request).await?.value.inode.id;
        }
        store.create(cx(), made(dir, format!("f{nth}"), InodeKind::File)).await?;
    }
    store.durable(store.last_commit()).await?;
    println!("{files} files made in {:.1} s", began.elapsed().as_secs_f64());
    let create = |round: usize| store.create(cx(), made(dir, format!("after{round}"), InodeKind::File));
    for round in 0..3 {
        let before = store.stats();
        let began = Instant::now();
        let name = Name::try_from(format!("s{round}").as_str())?;
        let taken = store.snapshot_create(cx(), name, SnapshotOrigin::Asked).await?;
        store.durable(taken.commit).await?;
        let took = began.elapsed();
        let after = store.stats();
        let transactions = after.last_commit.0 - before.last_commit.0;
        println!("snapshot {}: {:.2} ms, durable", taken.value.id, took.as_secs_f64() * 1e3);
        assert_eq!(transactions, 1, "a snapshot is one transaction");
        if after.checkpoints == before.checkpoints {
            let grown = after.memtable_bytes.saturating_sub(before.memtable_bytes);
            assert!(grown < ROWS_BYTES_MAX, "a snapshot is two rows, and {grown} bytes were changed");
        }
        let began = Instant::now();
        create(round).await?;
        println!("  a create after it: {:.3} ms", began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

//! The running gateway without its control plane: what changes while clients work.
#![allow(clippy::unwrap_used, clippy::panic)]

mod adapter;
mod people;
mod shares;

use super::{NfsPlan, Runtime};
use crate::config::{Config, Size};
use dfs_api::{
    ColdBackend, ColdStoreConfig, MetadataKind, MetadataStoreConfig, Problem, ShareConfig, Squash,
};
use dfs_control::{Backend, ManageBackend};
use dfs_log::RealDisk;
use dfs_nfs::client::{ClientError, Pipe};
use dfs_nfs::wire::{
    CreateArgs, CreateHow, Data, DirOp, FileName, Handle, ReadArgs, SetAttributes, Stable, Status, WriteArgs,
    nfs3,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static XIDS: AtomicU32 = AtomicU32::new(1);

/// A gateway with share `s`, served on a port of the kernel's choice.
struct Bed {
    temp: tempfile::TempDir,
    gateway: Arc<Runtime>,
}

impl Bed {
    async fn open() -> Bed {
        let temp = tempfile::tempdir().unwrap();
        let data_dir = temp.path().join("data");
        std::fs::create_dir(&data_dir).unwrap();
        let mut config = Config { data_dir: Some(data_dir.clone()), ..Config::default() };
        config.nfs.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.journal.size = Some(Size(64 << 20));
        config.memory.budget = Some(Size(256 << 20));
        config.warm.size = Some(Size(0));
        config.disk.min_free = Some(Size(1 << 20));
        config.metadata.reserve = Some(Size(1 << 20));
        let disk = RealDisk::open(&data_dir).unwrap();
        let gateway = Runtime::open(disk, config, &data_dir).await.unwrap();
        let names = MetadataStoreConfig { name: "names".to_owned(), kind: MetadataKind::Embedded };
        gateway.add_metadata_store(&names).await.unwrap();
        let path = temp.path().join("cold").display().to_string();
        let packs = ColdStoreConfig { name: "packs".to_owned(), backend: ColdBackend::Dir { path } };
        gateway.add_cold_store(&packs).await.unwrap();
        gateway.create_share(&share("s")).await.unwrap();
        let plan = NfsPlan::of(&gateway.config, None);
        let listener = dfs_net::listen(plan.listen).unwrap();
        gateway.nfs.begin(plan, Some(listener)).await.unwrap();
        Bed { temp, gateway }
    }

    fn at(&self) -> SocketAddr {
        self.gateway.nfs.local_addr().unwrap()
    }

    async fn user(&self, uid: u32) -> Pipe {
        connect(self.at(), uid).await
    }

    /// A connection of a user and the root of a share.
    async fn mounted(&self, uid: u32, share: &str) -> (Pipe, Handle) {
        let mut pipe = self.user(uid).await;
        let root = pipe.mount(&format!("/{share}")).await.unwrap();
        (pipe, root)
    }

    async fn end(self) {
        self.gateway.nfs.stop(Duration::from_secs(5)).await;
        self.gateway.shutdown(Duration::from_secs(10)).await;
        drop(self.temp);
    }
}

async fn connect(at: SocketAddr, uid: u32) -> Pipe {
    let xid = (std::process::id() << 20) ^ (XIDS.fetch_add(1, Ordering::Relaxed) << 12);
    Pipe::connect_as(at, uid, uid, xid).await.unwrap()
}

/// A share for loopback, open to everybody.
fn share(name: &str) -> ShareConfig {
    ShareConfig {
        clients: vec!["127.0.0.1".to_owned()],
        squash: Squash::None,
        root_mode: 0o777,
        block_size: 65_536,
        ..ShareConfig::named(name, "names", "packs")
    }
}

fn place(dir: &Handle, name: &str) -> DirOp {
    DirOp { dir: dir.clone(), name: FileName::from(name) }
}

/// What making a file answers.
async fn make(pipe: &mut Pipe, dir: &Handle, name: &str) -> Result<Status, ClientError> {
    let how = CreateHow::Unchecked(SetAttributes { mode: Some(0o644), ..SetAttributes::default() });
    Ok(pipe.call::<nfs3::Create>(&CreateArgs { place: place(dir, name), how }).await?.status())
}

/// Makes a file with these bytes on stable storage; `None` where the gateway says to ask again.
async fn write(pipe: &mut Pipe, dir: &Handle, name: &str, bytes: &[u8]) -> Result<Option<()>, ClientError> {
    let how = CreateHow::Unchecked(SetAttributes { mode: Some(0o644), ..SetAttributes::default() });
    let made = pipe.call::<nfs3::Create>(&CreateArgs { place: place(dir, name), how }).await?;
    let Ok(made) = made.ok() else { return Ok(None) };
    let file = made.object.unwrap();
    let (count, data) = (bytes.len() as u32, Data::from(bytes));
    let args = WriteArgs { file, offset: 0, count, stable: Stable::FileSync, data };
    Ok(pipe.call::<nfs3::Write>(&args).await?.ok().ok().map(|_| ()))
}

async fn read(pipe: &mut Pipe, dir: &Handle, name: &str) -> Vec<u8> {
    let file = pipe.call::<nfs3::Lookup>(&place(dir, name)).await.unwrap().ok().unwrap().object;
    let args = ReadArgs { file, offset: 0, count: 1 << 16 };
    pipe.call::<nfs3::Read>(&args).await.unwrap().ok().unwrap().data.0.to_vec()
}

/// A refusal that names the clients that would be cut off.
#[track_caller]
fn would_cut<T: std::fmt::Debug>(result: Result<T, Problem>, client: &str) {
    let problem = result.unwrap_err();
    assert_eq!((problem.status, problem.kind.as_str()), (409, "would-cut-clients"), "{problem:?}");
    assert!(problem.clients.iter().any(|line| line.starts_with(client)), "{client}: {problem:?}");
}

/// Waits until something holds.
async fn until(what: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("did not happen within 20 s"));
}

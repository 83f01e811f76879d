//! The whole way from a socket to `ModelVfs` and back, over loopback, with our own client.
#![allow(clippy::unwrap_used, clippy::panic)]

mod fence;
mod matrix;
mod objects;
mod people;
mod protocol;
mod rules;
mod trees;

use crate::client::{ClientError, Pipe};
use crate::exports::{ExportTable, ShareExport};
use crate::service::{NfsConfig, NfsService};
use crate::wire::{
    Attributes, CreateArgs, CreateHow, DirOp, FileName, Handle, SetAttributes, Status, WccData, nfs3,
};
use dfs_auth::{Admission, ClientList, IdentityTable, Squash, SquashMode};
use dfs_model::{Clock, Monotonic, ShareId, Timestamp};
use dfs_net::{Limits, Pool, Server};
use dfs_vfs::ModelVfs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A clock that moves by a microsecond at every reading.
pub(crate) struct StepClock(AtomicU64);

impl StepClock {
    pub(crate) fn new() -> Arc<StepClock> {
        Arc::new(StepClock(AtomicU64::new(1_000)))
    }
}

impl Clock for StepClock {
    fn wall(&self) -> Timestamp {
        let micros = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp::new(1_700_000_000 + (micros / 1_000_000) as i64, (micros % 1_000_000) as u32 * 1_000)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.fetch_add(1, Ordering::Relaxed) * 1_000)
    }
}

/// A running server with one share, `/docs`, whose root is 0777 and owned by uid 0.
pub(crate) struct Fixture {
    pub server: Server<NfsService>,
    pub address: SocketAddr,
    pub exports: Arc<ExportTable>,
    pub identities: Arc<IdentityTable>,
    pub service: Arc<NfsService>,
    pub export: ShareExport,
    xids: AtomicU32,
}

/// A share that squashes in this way, with everything else by default.
pub(crate) fn squashing(mode: SquashMode) -> Admission {
    Admission { squash: Squash { mode, ..Squash::default() }, ..Admission::default() }
}

/// The share of the fixture.
pub(crate) fn export() -> ShareExport {
    let id = ShareId(7 << 100 | 3);
    ShareExport {
        id,
        name: "docs".to_owned(),
        vfs: Arc::new(ModelVfs::new(id, [5; 16], StepClock::new(), (0o777, 0, 0))),
        clients: ClientList::new(vec!["127.0.0.0/8".parse().unwrap()]),
        admission: squashing(SquashMode::None),
        secure: false,
        fsid: 0x1234_5678_9abc,
    }
}

impl Fixture {
    pub(crate) async fn start() -> Fixture {
        Fixture::with(export(), Limits::default()).await
    }

    pub(crate) async fn with(export: ShareExport, limits: Limits) -> Fixture {
        let exports = Arc::new(ExportTable::default());
        let identities = Arc::new(IdentityTable::default());
        exports.set(vec![export.clone()], Vec::new());
        let service = NfsService::new(
            exports.clone(),
            identities.clone(),
            StepClock::new(),
            NfsConfig::default(),
            None,
        );
        let pool = Pool::new(&limits);
        let server =
            Server::bind("127.0.0.1:0".parse().unwrap(), limits, pool, service.clone()).await.unwrap();
        let address = server.local_addr();
        Fixture { server, address, exports, identities, service, export, xids: AtomicU32::new(1) }
    }

    /// A connection of a user.
    pub(crate) async fn user(&self, uid: u32) -> Pipe {
        let first_xid = self.xids.fetch_add(1, Ordering::Relaxed) << 20;
        Pipe::connect_as(self.address, uid, uid, first_xid).await.unwrap()
    }

    /// A connection of a user, and the handle of the share's root.
    pub(crate) async fn mounted(&self, uid: u32) -> (Pipe, Handle) {
        let mut pipe = self.user(uid).await;
        let root = pipe.mount("/docs").await.unwrap();
        (pipe, root)
    }
}

pub(crate) fn place(dir: &Handle, name: &str) -> DirOp {
    DirOp { dir: dir.clone(), name: FileName::from(name) }
}

pub(crate) fn mode(mode: u32) -> SetAttributes {
    SetAttributes { mode: Some(mode), ..SetAttributes::default() }
}

/// Makes a file and returns its handle.
pub(crate) async fn file(pipe: &mut Pipe, dir: &Handle, name: &str) -> Handle {
    let args = CreateArgs { place: place(dir, name), how: CreateHow::Guarded(mode(0o644)) };
    pipe.call::<nfs3::Create>(&args).await.unwrap().ok().unwrap().object.unwrap()
}

pub(crate) async fn attributes(pipe: &mut Pipe, object: &Handle) -> Attributes {
    pipe.call::<nfs3::GetAttr>(object).await.unwrap().ok().unwrap()
}

/// A refusal must describe the untouched object: before and after equal, and equal to what GETATTR says now.
pub(crate) async fn assert_untouched(pipe: &mut Pipe, object: &Handle, wcc: &WccData) {
    let now = attributes(pipe, object).await;
    let (before, after) = (wcc.before.unwrap(), wcc.after.clone().unwrap());
    assert_eq!((before.size, before.mtime, before.ctime), (after.size, after.mtime, after.ctime));
    assert_eq!(after, now);
}

pub(crate) fn mount_status(result: Result<Handle, ClientError>) -> crate::wire::MountStatus {
    match result {
        Err(ClientError::Mount(status)) => status,
        other => panic!("{other:?}"),
    }
}

/// The status of a reply that must be a refusal.
pub(crate) fn refused<G: std::fmt::Debug, B>(outcome: crate::wire::Outcome<G, B>) -> (Status, B) {
    outcome.fail().unwrap()
}

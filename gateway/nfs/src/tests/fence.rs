//! Whose share it is, as clients see it: without a valid lease nothing is told, of reads neither.

use super::*;
use crate::wire::{ReadArgs, WriteArgs};
use dfs_vfs::{Standing, Vfs};
use std::time::Duration;

struct Owned {
    fixture: Fixture,
    model: Arc<ModelVfs>,
}

async fn owned(lapse: Duration) -> Owned {
    let model = Arc::new(ModelVfs::new(ShareId(9), [5; 16], StepClock::new(), (0o777, 0, 0)));
    let vfs: Arc<dyn Vfs> = model.clone();
    let export = ShareExport { id: ShareId(9), vfs, ..export() };
    let exports = Arc::new(ExportTable::default());
    exports.set(vec![export.clone()], Vec::new());
    let config = NfsConfig { lapse, ..NfsConfig::default() };
    let identities = Arc::new(IdentityTable::default());
    let service = NfsService::new(exports.clone(), identities.clone(), StepClock::new(), config, None);
    let limits = Limits::default();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), limits, Pool::new(&limits), service.clone());
    let server = server.await.unwrap();
    let address = server.local_addr();
    let xids = AtomicU32::new(1);
    Owned { fixture: Fixture { server, address, exports, identities, service, export, xids }, model }
}

fn write_args(file: &Handle, data: &[u8]) -> WriteArgs {
    WriteArgs {
        file: file.clone(),
        offset: 0,
        count: data.len() as u32,
        stable: crate::wire::Stable::FileSync,
        data: crate::wire::Data(bytes::Bytes::copy_from_slice(data)),
    }
}

#[tokio::test]
async fn lost_share_is_answered_by_the_end_of_the_connection() {
    let Owned { fixture, model } = owned(Duration::ZERO).await;
    let (mut pipe, root) = fixture.mounted(0).await;
    let object = file(&mut pipe, &root, "a").await;
    pipe.call::<nfs3::Write>(&write_args(&object, b"one")).await.unwrap().ok().unwrap();
    model.set_standing(Standing::Lost);
    let ended = |error: ClientError| assert!(matches!(error, ClientError::Io(_)), "{error:?}");
    ended(pipe.call::<nfs3::GetAttr>(&object).await.unwrap_err());
    let mut pipe = fixture.user(0).await;
    let read = ReadArgs { file: object.clone(), offset: 0, count: 10 };
    ended(pipe.call::<nfs3::Read>(&read).await.unwrap_err());
    let mut pipe = fixture.user(0).await;
    ended(pipe.call::<nfs3::Write>(&write_args(&object, b"two")).await.unwrap_err());
    let mut pipe = fixture.user(0).await;
    ended(pipe.mount("/docs").await.unwrap_err());
}

#[tokio::test]
async fn lapsed_lease_holds_replies_back_until_it_is_renewed() {
    let Owned { fixture, model } = owned(Duration::from_secs(3600)).await;
    let (mut pipe, root) = fixture.mounted(0).await;
    let object = file(&mut pipe, &root, "a").await;
    model.set_standing(Standing::Lapsed);
    let call = pipe.call::<nfs3::GetAttr>(&object);
    let mut call = std::pin::pin!(call);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut call).await;
    assert!(early.is_err(), "a reply left without a lease");
    model.set_standing(Standing::Valid);
    call.await.unwrap().ok().unwrap();
}

#[tokio::test]
async fn reply_that_was_not_told_is_not_remembered_for_a_repeat() {
    let Owned { fixture, model } = owned(Duration::ZERO).await;
    let (pipe, root) = fixture.mounted(0).await;
    drop(pipe);
    let args = CreateArgs { place: place(&root, "a"), how: CreateHow::Guarded(mode(0o644)) };
    let call = async || {
        let mut pipe = Pipe::connect_as(fixture.address, 0, 0, 77 << 20).await.unwrap();
        pipe.call::<nfs3::Create>(&args).await
    };
    model.set_standing(Standing::Lost);
    assert!(matches!(call().await, Err(ClientError::Io(_))));
    model.set_standing(Standing::Valid);
    // The model made it, as an engine with a journal that was given up would; it is asked again, not the memory of it.
    let again = call().await.unwrap();
    assert_eq!(refused(again).0, Status::Exist);
}

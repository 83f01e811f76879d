//! Repeats over the real store: what is stored with a name operation answers its own client alone.

use crate::bed::Bed;
use dfs_nfs::client::Pipe;
use dfs_nfs::wire::{DirOp, FileName, Handle, MkdirArgs, SetAttributes, Status, nfs3};

async fn made(pipe: &mut Pipe, dir: &Handle) -> Status {
    let place = DirOp { dir: dir.clone(), name: FileName::from("lock") };
    let attributes = SetAttributes { mode: Some(0o755), ..SetAttributes::default() };
    pipe.send_as::<nfs3::Mkdir>(4711, &MkdirArgs { place, attributes });
    pipe.receive_for(4711).await.unwrap().decode::<nfs3::Mkdir>().unwrap().status()
}

#[test]
fn second_client_with_the_same_call_is_not_answered_by_the_first_ones_stored_outcome() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    bed.share(&client);
    let root = bed.block(async {
        let mut one = Pipe::connect_as(doors.nfs, 0, 0, 1).await.unwrap();
        let mut two = Pipe::connect_as(doors.nfs, 0, 0, 1 << 20).await.unwrap();
        let root = one.mount("/s").await.unwrap();
        assert_eq!(made(&mut one, &root).await, Status::Ok);
        assert_eq!(made(&mut two, &root).await, Status::Exist, "both would hold the lock");
        assert_eq!(made(&mut one, &root).await, Status::Ok, "its own repeat");
        root
    });
    bed.kill();
    let doors = bed.start();
    bed.block(async {
        let mut again = Pipe::connect_as(doors.nfs, 0, 0, 1).await.unwrap();
        assert_eq!(made(&mut again, &root).await, Status::Ok, "its own repeat after the crash");
    });
}

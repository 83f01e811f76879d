//! Cases: outcomes that are stored with their operation.

use super::{Bed, case_list, name, refused};
use crate::{LinkRequest, OpContext, ReplayOp, SetAttrRequest, StoreError, StoreResult};
use dfs_model::{AttrPatch, FsError, Guard, InodeId, InodeKind, Patch, ReplayKey};
use std::net::{IpAddr, Ipv4Addr};

const ROOT: InodeId = InodeId::ROOT;

fn rpc(xid: u32) -> ReplayKey {
    ReplayKey::Rpc { client: IpAddr::V4(Ipv4Addr::LOCALHOST), xid, procedure: 8, checksum: 0xabcd }
}

#[track_caller]
fn outcome<T: std::fmt::Debug>(result: StoreResult<T>) -> crate::ReplayOutcome {
    match result {
        Err(StoreError::Replayed(outcome)) => *outcome,
        other => panic!("wanted the stored outcome, found {other:?}"),
    }
}

case_list! {
async fn replayed_create_answers_the_first_outcome_and_does_nothing(bed) {
    let key = rpc(1);
    let request = Bed::request(ROOT, "a", InodeKind::File);
    let made = bed.store.create(bed.cx_replay(&bed.user, &key), request.clone()).await.unwrap().value;
    let before = bed.inode(ROOT).await;
    let found = outcome(bed.store.create(bed.cx_replay(&bed.user, &key), request).await);
    assert_eq!((found.op, found.inode, found.dir), (ReplayOp::Create, made.inode.id, ROOT));
    assert_eq!((found.dir_pre.change, found.dir_pre.mtime), (made.dir.pre.change, made.dir.pre.mtime));
    assert_eq!(*bed.inode(ROOT).await, *before);
    assert_eq!(bed.store.replayed(bed.share, &key).await.unwrap(), Some(found));
}
async fn replayed_remove_link_rename_and_chmod_answer_their_outcome(bed) {
    let id = bed.file(ROOT, "a").await;
    let dir = bed.mkdir(ROOT, "d").await;
    let (k2, k3, k4, k5) = (rpc(2), rpc(3), rpc(4), rpc(5));
    let link = LinkRequest { inode: id, dir: ROOT, name: name("b") };
    bed.store.link(bed.cx_replay(&bed.root, &k2), link.clone()).await.unwrap();
    let again = outcome(bed.store.link(bed.cx_replay(&bed.root, &k2), link).await);
    assert_eq!((again.op, again.inode), (ReplayOp::Link, id));
    let rename = Bed::renaming(ROOT, "b", dir, "c");
    bed.store.rename(bed.cx_replay(&bed.root, &k3), rename.clone()).await.unwrap();
    let again = outcome(bed.store.rename(bed.cx_replay(&bed.root, &k3), rename).await);
    assert_eq!((again.op, again.dir, again.to_dir.unwrap().0), (ReplayOp::Rename, ROOT, dir));
    let removal = Bed::removal(dir, "c");
    bed.store.remove(bed.cx_replay(&bed.root, &k4), removal.clone()).await.unwrap();
    let again = outcome(bed.store.remove(bed.cx_replay(&bed.root, &k4), removal).await);
    assert_eq!((again.op, again.inode), (ReplayOp::Remove, id));
    let patch = AttrPatch { mode: Patch::Set(0o600), ..AttrPatch::default() };
    let chmod = SetAttrRequest { inode: id, patch, guard: Guard::None };
    bed.store.set_attr(bed.cx_replay(&bed.root, &k5), chmod.clone()).await.unwrap();
    assert_eq!(outcome(bed.store.set_attr(bed.cx_replay(&bed.root, &k5), chmod).await).op, ReplayOp::SetAttr);
}
async fn replay_key_with_another_checksum_or_xid_is_another_request(bed) {
    bed.store.create(bed.cx_replay(&bed.root, &rpc(1)), Bed::request(ROOT, "a", InodeKind::File)).await.unwrap();
    let mut other = rpc(1);
    if let ReplayKey::Rpc { checksum, .. } = &mut other {
        *checksum += 1;
    }
    assert!(bed.store.replayed(bed.share, &other).await.unwrap().is_none());
    let request = Bed::request(ROOT, "a", InodeKind::File);
    refused(bed.store.create(bed.cx_replay(&bed.root, &other), request.clone()).await, FsError::Exists);
    refused(bed.store.create(bed.cx_replay(&bed.root, &rpc(2)), request).await, FsError::Exists);
}
async fn replay_of_a_refused_operation_is_not_stored(bed) {
    let key = rpc(9);
    refused(bed.store.remove(bed.cx_replay(&bed.root, &key), Bed::removal(ROOT, "a")).await, FsError::NotFound);
    assert!(bed.store.replayed(bed.share, &key).await.unwrap().is_none());
}
async fn replay_outcome_is_bounded_per_client_by_overwriting_the_oldest(bed) {
    let (old, new) = (rpc(1), rpc(1 + 8192));
    bed.store.create(bed.cx_replay(&bed.root, &old), Bed::request(ROOT, "a", InodeKind::File)).await.unwrap();
    bed.store.create(bed.cx_replay(&bed.root, &new), Bed::request(ROOT, "b", InodeKind::File)).await.unwrap();
    assert!(bed.store.replayed(bed.share, &old).await.unwrap().is_none());
    assert!(bed.store.replayed(bed.share, &new).await.unwrap().is_some());
}
async fn replay_outcome_older_than_its_age_does_not_answer(bed) {
    let key = rpc(1);
    let request = Bed::request(ROOT, "a", InodeKind::File);
    bed.store.create(bed.cx_replay(&bed.root, &key), request.clone()).await.unwrap();
    let later = bed.now().plus(crate::REPLAY_AGE_MAX);
    let cx = OpContext { now: later, ..bed.cx_replay(&bed.root, &key) };
    refused(bed.store.create(cx, request).await, FsError::Exists);
}
async fn replay_slot_keys_tell_sequences_apart(bed) {
    let slot = |sequence| ReplayKey::Slot { session: [1; 16], slot: 3, sequence, op: 2 };
    bed.store.create(bed.cx_replay(&bed.root, &slot(7)), Bed::request(ROOT, "a", InodeKind::File)).await.unwrap();
    assert!(bed.store.replayed(bed.share, &slot(7)).await.unwrap().is_some());
    assert!(bed.store.replayed(bed.share, &slot(8)).await.unwrap().is_none());
    bed.store.create(bed.cx_replay(&bed.root, &slot(8)), Bed::request(ROOT, "b", InodeKind::File)).await.unwrap();
    assert!(bed.store.replayed(bed.share, &slot(7)).await.unwrap().is_none());
}
}

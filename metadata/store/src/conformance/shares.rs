//! Cases: shares, epochs, ends, usage and state rows.

use super::{Bed, case_list, refused};
use crate::{StateTable, StoreError};
use bytes::Bytes;
use dfs_model::{Epoch, FsError, InodeId, InodeKind, ShareId};

const ROOT: InodeId = InodeId::ROOT;

case_list! {
async fn share_record_round_trips_with_its_epoch(bed) {
    let mut expected = Bed::record(bed.share.0);
    expected.epoch = bed.epoch;
    assert_eq!(bed.store.share(bed.share).await.unwrap(), expected);
    assert!(bed.store.shares().await.unwrap().contains(&expected));
}
async fn share_root_is_as_asked(bed) {
    let root = bed.inode(ROOT).await;
    assert_eq!((root.kind, root.mode, root.nlink), (InodeKind::Directory, 0o777, 2));
    assert_eq!((root.uid(), root.gid(), root.parent), (0, 0, ROOT));
    assert_eq!(bed.store.usage(bed.share).await.unwrap().inodes, 1);
}
async fn share_created_twice_is_exists(bed) {
    refused(bed.store.create_share(Bed::record(bed.share.0), 0o755, 0, 0).await, FsError::Exists);
}
async fn share_with_an_impossible_record_is_invalid(bed) {
    let base = 1 << 100;
    for (number, block_size) in [(0, 1 << 18), (base, 1 << 15), (base, 1 << 21), (base, 100_000)] {
        let mut record = Bed::record(number);
        record.block_size = block_size;
        refused(bed.store.create_share(record, 0o755, 0, 0).await, FsError::InvalidArgument);
    }
}
async fn share_settings_are_replaced(bed) {
    let settings = vec![("acl_mode".to_owned(), "masked".to_owned())];
    bed.store.set_share_settings(bed.share, settings.clone()).await.unwrap();
    assert_eq!(bed.store.share(bed.share).await.unwrap().settings, settings);
    assert_eq!(bed.store.share(bed.share).await.unwrap().handle_key, [9; 16]);
}
async fn share_that_is_absent_is_told_apart_from_absent_inodes(bed) {
    let absent = ShareId(1 << 90);
    assert!(matches!(bed.store.share(absent).await, Err(StoreError::NoShare(share)) if share == absent));
    assert!(matches!(bed.store.inode(absent, ROOT).await, Err(StoreError::NoShare(_))));
    assert!(matches!(bed.store.usage(absent).await, Err(StoreError::NoShare(_))));
    assert!(matches!(bed.store.begin_epoch(absent).await, Err(StoreError::NoShare(_))));
    assert!(bed.store.inode(bed.share, InodeId(4_000_000)).await.unwrap().is_none());
}
async fn share_deleted_is_gone_with_its_rows_and_others_stay(bed) {
    let neighbour = ShareId(bed.share.0 + (1 << 64));
    bed.store.create_share(Bed::record(neighbour.0), 0o755, 0, 0).await.unwrap();
    for n in 0..100 {
        bed.file(ROOT, &format!("f{n}")).await;
    }
    bed.store.delete_share(bed.share).await.unwrap();
    assert!(matches!(bed.store.share(bed.share).await, Err(StoreError::NoShare(_))));
    assert!(matches!(bed.create(&bed.root, Bed::request(ROOT, "x", InodeKind::File)).await, Err(StoreError::NoShare(_))));
    bed.store.create_share(Bed::record(bed.share.0), 0o755, 0, 0).await.unwrap();
    assert!(bed.list(ROOT, 10).await.is_empty());
    assert_eq!(bed.store.share(neighbour).await.unwrap().share, neighbour);
}
async fn share_deleted_twice_is_absent(bed) {
    bed.store.delete_share(bed.share).await.unwrap();
    assert!(matches!(bed.store.delete_share(bed.share).await, Err(StoreError::NoShare(_))));
}
async fn epoch_grows_by_one_and_is_shown(bed) {
    let next = bed.store.begin_epoch(bed.share).await.unwrap();
    assert_eq!(next, Epoch(bed.epoch.0 + 1));
    assert_eq!(bed.store.share(bed.share).await.unwrap().epoch, next);
}
async fn epochs_of_shares_are_their_own(bed) {
    let neighbour = ShareId(bed.share.0 + (1 << 65));
    bed.store.create_share(Bed::record(neighbour.0), 0o755, 0, 0).await.unwrap();
    assert_eq!(bed.store.begin_epoch(neighbour).await.unwrap(), Epoch(1));
}
async fn ends_take_the_minimum_of_every_opener(bed) {
    let e2 = bed.store.begin_epoch(bed.share).await.unwrap();
    let table = bed.store.write_ends(bed.share, e2, &[(bed.epoch, 10)]).await.unwrap();
    assert_eq!(table, [(bed.epoch, 10)]);
    let e3 = bed.store.begin_epoch(bed.share).await.unwrap();
    let table = bed.store.write_ends(bed.share, e3, &[(bed.epoch, 12), (e2, 5)]).await.unwrap();
    assert_eq!(table, [(bed.epoch, 10), (e2, 5)]);
    let e4 = bed.store.begin_epoch(bed.share).await.unwrap();
    let table = bed.store.write_ends(bed.share, e4, &[(bed.epoch, 7), (e2, 5), (e3, 1)]).await.unwrap();
    assert_eq!(table, [(bed.epoch, 7), (e2, 5), (e3, 1)]);
}
async fn ends_of_an_epoch_that_an_opener_does_not_hold_are_zero_for_ever(bed) {
    let e2 = bed.store.begin_epoch(bed.share).await.unwrap();
    bed.store.write_ends(bed.share, e2, &[]).await.unwrap();
    let e3 = bed.store.begin_epoch(bed.share).await.unwrap();
    let table = bed.store.write_ends(bed.share, e3, &[(bed.epoch, 99), (e2, 3)]).await.unwrap();
    assert_eq!(table, [(bed.epoch, 0), (e2, 3)]);
    let e4 = bed.store.begin_epoch(bed.share).await.unwrap();
    let table = bed.store.write_ends(bed.share, e4, &[(e3, 4)]).await.unwrap();
    assert_eq!(table, [(e2, 0), (e3, 4)], "an epoch that had an end and is not held now is lowered to 0");
}
async fn ends_by_a_stale_epoch_are_fenced(bed) {
    bed.store.begin_epoch(bed.share).await.unwrap();
    assert!(matches!(bed.store.write_ends(bed.share, bed.epoch, &[]).await, Err(StoreError::Fenced { .. })));
}
async fn usage_counts_inodes_and_placed_bytes(bed) {
    let id = bed.file(ROOT, "a").await;
    bed.mkdir(ROOT, "d").await;
    bed.written(id, 0, 10_000, 3).await;
    let usage = bed.store.usage(bed.share).await.unwrap();
    assert_eq!((usage.inodes, usage.bytes), (3, 30_000));
    bed.remove(ROOT, "a").await.unwrap();
    let usage = bed.store.usage(bed.share).await.unwrap();
    assert_eq!((usage.inodes, usage.bytes), (2, 0));
}
async fn state_rows_are_put_listed_replaced_and_deleted(bed) {
    let put = |table, key: &'static str, value: Option<&'static str>| {
        bed.store.state_put(bed.share, bed.epoch, table, key.into(), value.map(Bytes::from))
    };
    put(StateTable::Clients, "b", Some("2")).await.unwrap();
    put(StateTable::Clients, "a", Some("1")).await.unwrap();
    put(StateTable::Grace, "a", Some("g")).await.unwrap();
    put(StateTable::Clients, "b", Some("3")).await.unwrap();
    let rows = bed.store.state_list(bed.share, StateTable::Clients).await.unwrap();
    assert_eq!(rows, [("a".into(), "1".into()), ("b".into(), "3".into())]);
    put(StateTable::Clients, "a", None).await.unwrap();
    assert_eq!(bed.store.state_list(bed.share, StateTable::Clients).await.unwrap().len(), 1);
    assert_eq!(bed.store.state_list(bed.share, StateTable::Grace).await.unwrap().len(), 1);
}
async fn state_rows_by_a_stale_epoch_or_beyond_their_caps_are_refused(bed) {
    let long = Bytes::from(vec![0; 2000]);
    refused(bed.store.state_put(bed.share, bed.epoch, StateTable::Grace, long, None).await, FsError::InvalidArgument);
    bed.store.begin_epoch(bed.share).await.unwrap();
    let late = bed.store.state_put(bed.share, bed.epoch, StateTable::Grace, "a".into(), None).await;
    assert!(matches!(late, Err(StoreError::Fenced { .. })));
}
async fn commit_tokens_grow_and_durable_reaches_them(bed) {
    let before = bed.store.last_commit();
    let made = bed.store.create(bed.cx(&bed.root), Bed::request(ROOT, "a", InodeKind::File)).await.unwrap();
    assert!(made.commit > before && bed.store.last_commit() >= made.commit);
    bed.store.durable(made.commit).await.unwrap();
    assert!(bed.store.durable_commit() >= made.commit);
    bed.store.checkpoint().await.unwrap();
    assert_eq!(bed.store.poisoned(), None);
    assert!(bed.lookup(ROOT, "a").await.is_some());
}
}

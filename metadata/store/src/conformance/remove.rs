//! Cases: `remove`, orphans and `reap`.

use super::{Bed, case_list, name, refused};
use crate::{Fate, RemoveKind, StoreError};
use dfs_model::{FsError, InodeId, InodeKind, ShareCeiling};

const ROOT: InodeId = InodeId::ROOT;

case_list! {
async fn remove_last_name_frees_the_inode(bed) {
    let id = bed.file(ROOT, "a").await;
    let removed = bed.remove(ROOT, "a").await.unwrap();
    assert_eq!((removed.victim.fate, removed.victim.inode.post.nlink), (Fate::Gone, 0));
    assert_eq!(removed.dentry.inode, id);
    assert!(bed.gone(id).await);
    assert_eq!(bed.lookup(ROOT, "a").await, None);
}
async fn remove_one_of_two_names_keeps_the_inode(bed) {
    let id = bed.file(ROOT, "a").await;
    bed.link(&bed.root, id, ROOT, "b").await.unwrap();
    let removed = bed.remove(ROOT, "a").await.unwrap();
    assert_eq!((removed.victim.fate, removed.victim.inode.post.nlink), (Fate::Linked, 1));
    assert!(removed.victim.inode.post.ctime > removed.victim.inode.pre.ctime);
    assert!(removed.victim.inode.post.change > removed.victim.inode.pre.change);
    assert_eq!(bed.lookup(ROOT, "b").await, Some(id));
}
async fn remove_changes_the_directory_and_says_what_it_was(bed) {
    bed.file(ROOT, "a").await;
    let before = bed.inode(ROOT).await;
    let removed = bed.remove(ROOT, "a").await.unwrap();
    assert_eq!(*removed.dir.pre, *before);
    assert_eq!(*removed.dir.post, *bed.inode(ROOT).await);
    assert!(removed.dir.post.mtime > before.mtime && removed.dir.post.change > before.change);
}
async fn remove_absent_name_is_not_found_and_changes_nothing(bed) {
    let before = bed.inode(ROOT).await;
    refused(bed.remove(ROOT, "a").await, FsError::NotFound);
    assert_eq!(*bed.inode(ROOT).await, *before);
}
async fn remove_in_a_file_is_not_a_directory(bed) {
    let id = bed.file(ROOT, "a").await;
    refused(bed.remove(id, "b").await, FsError::NotDirectory);
}
async fn remove_kind_is_tested(bed) {
    bed.file(ROOT, "f").await;
    bed.mkdir(ROOT, "d").await;
    let mut request = Bed::removal(ROOT, "f");
    request.kind = RemoveKind::Directory;
    refused(bed.remove_by(&bed.root, request).await, FsError::NotDirectory);
    let mut request = Bed::removal(ROOT, "d");
    request.kind = RemoveKind::NonDirectory;
    refused(bed.remove_by(&bed.root, request).await, FsError::IsDirectory);
}
async fn remove_directory_that_is_not_empty_is_refused(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    bed.file(dir, "a").await;
    refused(bed.remove(ROOT, "d").await, FsError::NotEmpty);
    bed.remove(dir, "a").await.unwrap();
    bed.remove(ROOT, "d").await.unwrap();
    assert!(bed.gone(dir).await);
}
async fn remove_directory_lowers_the_parents_link_count(bed) {
    bed.mkdir(ROOT, "d").await;
    let before = bed.inode(ROOT).await.nlink;
    let removed = bed.remove(ROOT, "d").await.unwrap();
    assert_eq!(removed.dir.post.nlink, before - 1);
    assert_eq!(removed.victim.inode.post.nlink, 0);
}
async fn remove_with_an_expectation_that_fails_is_raced(bed) {
    let id = bed.file(ROOT, "a").await;
    let mut request = Bed::removal(ROOT, "a");
    request.expect = Some(InodeId(id.0 + 1));
    assert!(matches!(bed.remove_by(&bed.root, request.clone()).await, Err(StoreError::Raced)));
    request.expect = Some(id);
    bed.remove_by(&bed.root, request).await.unwrap();
}
async fn remove_needs_write_and_search_permission_on_the_directory(bed) {
    for (text, mode) in [("r", 0o755), ("x", 0o666)] {
        let dir = bed.made(ROOT, text, InodeKind::Directory, mode, &bed.root).await;
        bed.file(dir, "a").await;
        refused(bed.remove_by(&bed.user, Bed::removal(dir, "a")).await, FsError::AccessDenied);
    }
}
async fn remove_from_a_sticky_directory_needs_an_owner(bed) {
    let dir = bed.made(ROOT, "t", InodeKind::Directory, 0o1777, &bed.root).await;
    bed.made(dir, "mine", InodeKind::File, 0o666, &bed.user).await;
    bed.made(dir, "also", InodeKind::File, 0o666, &bed.user).await;
    refused(bed.remove_by(&bed.other, Bed::removal(dir, "mine")).await, FsError::NotPermitted);
    bed.remove_by(&bed.user, Bed::removal(dir, "mine")).await.unwrap();
    bed.remove_by(&bed.root, Bed::removal(dir, "also")).await.unwrap();
}
async fn remove_from_a_sticky_directory_by_its_owner_works(bed) {
    let dir = bed.made(ROOT, "t", InodeKind::Directory, 0o1777, &bed.other).await;
    bed.made(dir, "a", InodeKind::File, 0o666, &bed.user).await;
    bed.remove_by(&bed.other, Bed::removal(dir, "a")).await.unwrap();
}
async fn remove_on_a_read_only_share_is_read_only(bed) {
    bed.file(ROOT, "a").await;
    let mut who = bed.root.clone();
    who.ceiling = ShareCeiling::ReadOnly;
    refused(bed.remove_by(&who, Bed::removal(ROOT, "a")).await, FsError::ReadOnlyShare);
}
async fn remove_keeping_an_orphan_leaves_its_row_and_data(bed) {
    let id = bed.file(ROOT, "a").await;
    bed.written(id, 0, 65_536, 2).await;
    let mut request = Bed::removal(ROOT, "a");
    request.keep_orphan = true;
    let removed = bed.remove_by(&bed.root, request).await.unwrap();
    assert_eq!(removed.victim.fate, Fate::Orphan);
    assert_eq!(bed.inode(id).await.nlink, 0);
    assert_eq!(bed.map(id).await.len(), 1);
    assert_eq!(bed.store.orphans(bed.share, InodeId(0), 10).await.unwrap(), [id]);
    assert_eq!(bed.store.orphans(bed.share, id, 10).await.unwrap(), []);
}
async fn remove_keeping_an_orphan_with_other_names_is_only_an_unlink(bed) {
    let id = bed.file(ROOT, "a").await;
    bed.link(&bed.root, id, ROOT, "b").await.unwrap();
    let mut request = Bed::removal(ROOT, "a");
    request.keep_orphan = true;
    assert_eq!(bed.remove_by(&bed.root, request).await.unwrap().victim.fate, Fate::Linked);
    assert!(bed.store.orphans(bed.share, InodeId(0), 10).await.unwrap().is_empty());
}
async fn remove_directory_keeping_an_orphan_keeps_its_row(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    let mut request = Bed::removal(ROOT, "d");
    request.keep_orphan = true;
    assert_eq!(bed.remove_by(&bed.root, request).await.unwrap().victim.fate, Fate::Orphan);
    assert!(bed.list(dir, 4).await.is_empty());
    assert!(bed.store.reap(bed.share, bed.epoch, dir).await.unwrap().value);
    assert!(bed.gone(dir).await);
}
async fn remove_frees_extents_and_pack_references(bed) {
    let id = bed.file(ROOT, "a").await;
    let pack = bed.written(id, 0, 65_536, 4).await;
    assert!(bed.pack(pack).await.live_bytes > 0);
    assert!(bed.bury(&[pack]).await.is_empty());
    bed.remove(ROOT, "a").await.unwrap();
    assert_eq!(bed.pack(pack).await.live_bytes, 0);
    assert_eq!(bed.store.usage(bed.share).await.unwrap().bytes, 0);
    assert_eq!(bed.bury(&[pack]).await, [pack]);
}
async fn remove_of_a_file_with_many_extents_leaves_an_orphan_for_reap(bed) {
    let id = bed.file(ROOT, "a").await;
    let pack = bed.pack_up().await;
    let runs: Vec<_> = (0..3000u64).map(|n| Bed::run(pack, n * 8192, 4096, 1)).collect();
    let part = bed.part(id, 3000 * 8192, runs).await;
    bed.place(vec![pack], vec![part]).await.unwrap();
    assert_eq!(bed.remove(ROOT, "a").await.unwrap().victim.fate, Fate::Orphan);
    let mut calls = 0;
    while !bed.store.reap(bed.share, bed.epoch, id).await.unwrap().value {
        calls += 1;
        assert!(calls < 100);
    }
    assert!(calls > 0, "work per call is bounded");
    assert!(bed.gone(id).await);
    assert_eq!(bed.pack(pack).await.live_bytes, 0);
}
async fn reap_of_an_absent_inode_is_done_and_of_a_linked_one_refused(bed) {
    assert!(bed.store.reap(bed.share, bed.epoch, InodeId(5_000_000)).await.unwrap().value);
    let id = bed.file(ROOT, "a").await;
    refused(bed.store.reap(bed.share, bed.epoch, id).await, FsError::InvalidArgument);
    assert_eq!(bed.lookup(ROOT, "a").await, Some(id));
}
async fn reap_frees_an_orphan_and_its_entry(bed) {
    let id = bed.file(ROOT, "a").await;
    bed.written(id, 0, 4096, 3).await;
    let mut request = Bed::removal(ROOT, "a");
    request.keep_orphan = true;
    bed.remove_by(&bed.root, request).await.unwrap();
    assert!(bed.store.reap(bed.share, bed.epoch, id).await.unwrap().value);
    assert!(bed.store.orphans(bed.share, InodeId(0), 10).await.unwrap().is_empty());
    assert_eq!(bed.store.usage(bed.share).await.unwrap().inodes, 1);
}
async fn remove_then_create_of_a_name_has_a_new_cookie(bed) {
    bed.file(ROOT, "a").await;
    let first = bed.list(ROOT, 4).await[0].0;
    bed.remove(ROOT, "a").await.unwrap();
    bed.file(ROOT, "a").await;
    assert!(bed.list(ROOT, 4).await[0].0 > first);
    assert!(bed.store.lookup(bed.share, ROOT, &name("a")).await.unwrap().is_some());
}
}

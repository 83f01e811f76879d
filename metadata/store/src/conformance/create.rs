//! Cases: `create` and `link`.

use super::{Bed, case_list, name, refused};
use crate::{CreateMode, StoreError};
use bytes::Bytes;
use dfs_model::inode::{dos, mode};
use dfs_model::{
    Change, DeviceNumber, Epoch, FsError, Generation, Identity, InodeId, InodeKind, Patch, Seq, ShareCeiling,
    TimePatch, Timestamp,
};

const ROOT: InodeId = InodeId::ROOT;

case_list! {
async fn create_file_is_found_by_name_and_id(bed) {
    let made = bed.create(&bed.user, Bed::request(ROOT, "a", InodeKind::File)).await.unwrap();
    assert!(!made.existed);
    assert_eq!(bed.lookup(ROOT, "a").await, Some(made.inode.id));
    assert_eq!(*bed.inode(made.inode.id).await, *made.inode);
    assert_eq!(bed.lookup(ROOT, "b").await, None);
}
async fn create_first_id_is_above_reserved_ones_and_ids_grow(bed) {
    let first = bed.file(ROOT, "a").await;
    let second = bed.file(ROOT, "b").await;
    assert!(first >= InodeId::FIRST && second > first);
}
async fn create_id_of_a_removed_file_is_not_reused(bed) {
    let first = bed.file(ROOT, "a").await;
    bed.remove(ROOT, "a").await.unwrap();
    assert!(bed.file(ROOT, "a").await > first);
}
async fn create_defaults_are_owner_group_modes_and_now(bed) {
    let file = bed.create(&bed.user, Bed::request(ROOT, "f", InodeKind::File)).await.unwrap().inode;
    let dir = bed.create(&bed.user, Bed::request(ROOT, "d", InodeKind::Directory)).await.unwrap().inode;
    assert_eq!((file.mode, dir.mode), (0o644, 0o755));
    assert_eq!((file.nlink, dir.nlink), (1, 2));
    assert_eq!((file.owner.clone(), file.group.clone()), (Identity::Uid(1000), Identity::Gid(1000)));
    assert_eq!((file.size, file.allocated), (0, 0));
    assert!(file.mtime == file.ctime && file.atime == file.ctime && file.btime == file.ctime);
    assert_eq!((file.generation, file.dos), (Generation(7), dos::ARCHIVE));
    assert_eq!(dir.parent, ROOT);
}
async fn create_changes_the_directory_and_says_what_it_was(bed) {
    let before = bed.inode(ROOT).await;
    let made = bed.create(&bed.root, Bed::request(ROOT, "a", InodeKind::File)).await.unwrap();
    assert_eq!(*made.dir.pre, *before);
    assert_eq!(*made.dir.post, *bed.inode(ROOT).await);
    assert!(made.dir.post.mtime > before.mtime && made.dir.post.ctime > before.ctime);
    assert!(made.dir.post.change > before.change);
    assert_eq!(made.dir.post.nlink, before.nlink);
}
async fn create_given_attributes_are_taken(bed) {
    let mut request = Bed::request(ROOT, "a", InodeKind::File);
    request.attrs.mode = Patch::Set(0o7640);
    request.attrs.owner = Patch::Set(Identity::Uid(5));
    request.attrs.group = Patch::Set(Identity::Gid(6));
    request.attrs.mtime = TimePatch::Set(Timestamp::new(-5, 7));
    request.attrs.atime = TimePatch::Set(Timestamp::new(1 << 40, 8));
    let made = bed.create(&bed.root, request).await.unwrap().inode;
    assert_eq!(made.mode, 0o7640);
    assert_eq!((made.uid(), made.gid()), (5, 6));
    assert_eq!((made.mtime, made.atime), (Timestamp::new(-5, 7), Timestamp::new(1 << 40, 8)));
}
async fn create_with_another_owner_by_a_user_is_not_permitted(bed) {
    let mut request = Bed::request(ROOT, "a", InodeKind::File);
    request.attrs.owner = Patch::Set(Identity::Uid(5));
    refused(bed.create(&bed.user, request).await, FsError::NotPermitted);
}
async fn create_with_a_foreign_group_by_a_user_is_not_permitted(bed) {
    let mut request = Bed::request(ROOT, "a", InodeKind::File);
    request.attrs.group = Patch::Set(Identity::Gid(2000));
    assert_eq!(bed.create(&bed.user, request.clone()).await.unwrap().inode.gid(), 2000);
    request.name = name("b");
    request.attrs.group = Patch::Set(Identity::Gid(3000));
    refused(bed.create(&bed.user, request).await, FsError::NotPermitted);
}
async fn create_guarded_on_existing_name_is_exists(bed) {
    bed.file(ROOT, "a").await;
    refused(bed.create(&bed.user, Bed::request(ROOT, "a", InodeKind::File)).await, FsError::Exists);
}
async fn create_on_existing_name_without_write_permission_is_exists(bed) {
    let dir = bed.made(ROOT, "d", InodeKind::Directory, 0o755, &bed.root).await;
    bed.file(dir, "a").await;
    refused(bed.create(&bed.user, Bed::request(dir, "a", InodeKind::File)).await, FsError::Exists);
    refused(bed.create(&bed.user, Bed::request(dir, "b", InodeKind::File)).await, FsError::AccessDenied);
}
async fn create_unchecked_on_existing_file_changes_nothing(bed) {
    let id = bed.file(ROOT, "a").await;
    let (row, dir) = (bed.inode(id).await, bed.inode(ROOT).await);
    let mut request = Bed::request(ROOT, "a", InodeKind::File);
    request.mode = CreateMode::Unchecked;
    request.attrs.mode = Patch::Set(0o600);
    let made = bed.create(&bed.root, request).await.unwrap();
    assert!(made.existed && made.inode.id == id);
    assert_eq!((*bed.inode(id).await).clone(), (*row).clone());
    assert_eq!(*bed.inode(ROOT).await, *dir);
    assert_eq!(made.dir.pre, made.dir.post);
}
async fn create_unchecked_on_existing_directory_is_exists(bed) {
    bed.mkdir(ROOT, "d").await;
    let mut request = Bed::request(ROOT, "d", InodeKind::File);
    request.mode = CreateMode::Unchecked;
    refused(bed.create(&bed.root, request).await, FsError::Exists);
}
async fn create_exclusive_repeated_with_its_verifier_is_the_same_file(bed) {
    let mut request = Bed::request(ROOT, "a", InodeKind::File);
    request.mode = CreateMode::Exclusive([1, 2, 3, 4, 5, 6, 7, 0xff]);
    let first = bed.create(&bed.user, request.clone()).await.unwrap();
    let again = bed.create(&bed.user, request.clone()).await.unwrap();
    assert!(again.existed && !first.existed && again.inode.id == first.inode.id);
    request.mode = CreateMode::Exclusive([1, 2, 3, 4, 5, 6, 7, 0xfe]);
    refused(bed.create(&bed.user, request).await, FsError::Exists);
}
async fn create_exclusive_zero_verifier_never_matches_an_ordinary_file(bed) {
    bed.file(ROOT, "a").await;
    let mut request = Bed::request(ROOT, "a", InodeKind::File);
    request.mode = CreateMode::Exclusive([0; 8]);
    refused(bed.create(&bed.root, request).await, FsError::Exists);
}
async fn create_exclusive_verifier_is_cleared_by_set_attr(bed) {
    let mut request = Bed::request(ROOT, "a", InodeKind::File);
    request.mode = CreateMode::Exclusive([3; 8]);
    let made = bed.create(&bed.user, request.clone()).await.unwrap().inode;
    let patch = dfs_model::AttrPatch { mode: Patch::Set(0o600), ..Default::default() };
    bed.set(&bed.user, made.id, patch).await.unwrap();
    refused(bed.create(&bed.user, request).await, FsError::Exists);
}
async fn create_in_a_file_is_not_a_directory(bed) {
    let file = bed.file(ROOT, "a").await;
    refused(bed.create(&bed.root, Bed::request(file, "b", InodeKind::File)).await, FsError::NotDirectory);
}
async fn create_in_an_absent_directory_is_stale(bed) {
    let request = Bed::request(InodeId(999_999), "b", InodeKind::File);
    refused(bed.create(&bed.root, request).await, FsError::StaleHandle);
}
async fn create_in_an_orphaned_directory_is_not_found(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    let mut removal = Bed::removal(ROOT, "d");
    removal.keep_orphan = true;
    bed.remove_by(&bed.root, removal).await.unwrap();
    refused(bed.create(&bed.root, Bed::request(dir, "b", InodeKind::File)).await, FsError::NotFound);
}
async fn create_without_search_permission_is_denied(bed) {
    let dir = bed.made(ROOT, "d", InodeKind::Directory, 0o666, &bed.root).await;
    refused(bed.create(&bed.user, Bed::request(dir, "b", InodeKind::File)).await, FsError::AccessDenied);
}
async fn create_on_a_read_only_share_is_read_only(bed) {
    let mut who = bed.root.clone();
    who.ceiling = ShareCeiling::ReadOnly;
    refused(bed.create(&who, Bed::request(ROOT, "b", InodeKind::File)).await, FsError::ReadOnlyShare);
}
async fn create_below_a_sgid_directory_takes_its_group(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    let patch = dfs_model::AttrPatch {
        group: Patch::Set(Identity::Gid(4242)), mode: Patch::Set(0o2777), ..Default::default()
    };
    bed.set(&bed.root, dir, patch).await.unwrap();
    let file = bed.create(&bed.user, Bed::request(dir, "f", InodeKind::File)).await.unwrap().inode;
    let sub = bed.create(&bed.user, Bed::request(dir, "s", InodeKind::Directory)).await.unwrap().inode;
    assert_eq!((file.gid(), sub.gid()), (4242, 4242));
    assert_eq!((file.mode & mode::SGID, sub.mode & mode::SGID), (0, mode::SGID));
}
async fn create_sgid_file_with_a_foreign_group_loses_the_bit(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    let patch = dfs_model::AttrPatch {
        group: Patch::Set(Identity::Gid(4242)), mode: Patch::Set(0o2777), ..Default::default()
    };
    bed.set(&bed.root, dir, patch).await.unwrap();
    let mut request = Bed::request(dir, "f", InodeKind::File);
    request.attrs.mode = Patch::Set(0o6755);
    assert_eq!(bed.create(&bed.user, request).await.unwrap().inode.mode, 0o4755);
}
async fn create_umask_is_applied_when_the_protocol_passed_one(bed) {
    let mut who = bed.user.clone();
    who.umask = Some(0o027);
    let mut request = Bed::request(ROOT, "f", InodeKind::File);
    request.attrs.mode = Patch::Set(0o777);
    assert_eq!(bed.create(&who, request).await.unwrap().inode.mode, 0o750);
}
async fn create_symlink_keeps_its_target_bytes(bed) {
    let mut request = Bed::request(ROOT, "l", InodeKind::Symlink);
    request.link_target = Some(Bytes::from_static(b"../\xff\x01 odd/.."));
    let made = bed.create(&bed.user, request).await.unwrap().inode;
    assert_eq!(made.link_target.as_deref(), Some(&b"../\xff\x01 odd/.."[..]));
    assert_eq!((made.size, made.mode), (12, 0o777));
}
async fn create_symlink_without_or_with_too_long_target_is_refused(bed) {
    let mut request = Bed::request(ROOT, "l", InodeKind::Symlink);
    request.link_target = None;
    refused(bed.create(&bed.user, request.clone()).await, FsError::InvalidArgument);
    request.link_target = Some(Bytes::from(vec![b'x'; 4096]));
    refused(bed.create(&bed.user, request.clone()).await, FsError::NameTooLong);
    request.link_target = Some(Bytes::from(vec![b'x'; 4095]));
    bed.create(&bed.user, request).await.unwrap();
}
async fn create_device_needs_root_and_keeps_its_number(bed) {
    let mut request = Bed::request(ROOT, "n", InodeKind::CharDevice);
    request.device = DeviceNumber { major: 1, minor: 0x1_0003 };
    refused(bed.create(&bed.user, request.clone()).await, FsError::NotPermitted);
    let made = bed.create(&bed.root, request.clone()).await.unwrap().inode;
    assert_eq!(made.device, request.device);
}
async fn create_fifo_and_socket_by_a_user_works(bed) {
    for (text, kind) in [("p", InodeKind::Fifo), ("s", InodeKind::Socket)] {
        assert_eq!(bed.create(&bed.user, Bed::request(ROOT, text, kind)).await.unwrap().inode.kind, kind);
    }
}
async fn create_names_of_any_bytes_and_full_length_round_trip(bed) {
    for text in ["\u{1}\u{7f} *?", "é\u{301}", &"x".repeat(255), "\u{1F600}"] {
        let id = bed.file(ROOT, text).await;
        assert_eq!(bed.lookup(ROOT, text).await, Some(id));
    }
    let odd = dfs_model::Name::new(Bytes::from_static(b"\xff\xfe\x80")).unwrap();
    let mut request = Bed::request(ROOT, "x", InodeKind::File);
    request.name = odd.clone();
    bed.create(&bed.root, request).await.unwrap();
    assert!(bed.store.lookup(bed.share, ROOT, &odd).await.unwrap().is_some());
}
async fn create_newborn_has_the_last_issued_seq(bed) {
    for _ in 0..5 { bed.next_seq(); }
    let expected = bed.cx(&bed.root).born_seq;
    let id = bed.file(ROOT, "a").await;
    assert_eq!(bed.inode(id).await.flushed_seq, expected);
    assert!(expected > Seq::ZERO);
}
async fn create_change_numbers_carry_the_epoch_and_grow(bed) {
    let mut last = Change::ZERO;
    for n in 0..5 {
        let id = bed.file(ROOT, &format!("f{n}")).await;
        let row = bed.inode(id).await;
        assert_eq!(row.change.epoch(), bed.epoch);
        assert!(row.change > last && row.born == row.change);
        last = row.change;
    }
}
async fn create_by_an_older_or_unknown_epoch_is_fenced(bed) {
    let newer = bed.store.begin_epoch(bed.share).await.unwrap();
    match bed.create(&bed.root, Bed::request(ROOT, "a", InodeKind::File)).await {
        Err(StoreError::Fenced { ours, current }) => assert_eq!((ours, current), (bed.epoch, newer)),
        other => panic!("{other:?}"),
    }
    let cx = crate::OpContext { epoch: Epoch(newer.0 + 1), ..bed.cx(&bed.root) };
    let result = bed.store.create(cx, Bed::request(ROOT, "a", InodeKind::File)).await;
    assert!(matches!(result, Err(StoreError::Fenced { .. })));
    assert_eq!(bed.lookup(ROOT, "a").await, None);
}
async fn create_directory_raises_the_parents_link_count(bed) {
    let before = bed.inode(ROOT).await.nlink;
    let dir = bed.mkdir(ROOT, "d").await;
    bed.mkdir(dir, "e").await;
    assert_eq!(bed.inode(ROOT).await.nlink, before + 1);
    assert_eq!(bed.inode(dir).await.nlink, 3);
}
async fn link_adds_a_name_and_raises_count_ctime_and_change(bed) {
    let id = bed.file(ROOT, "a").await;
    let before = bed.inode(id).await;
    let linked = bed.link(&bed.root, id, ROOT, "b").await.unwrap();
    let after = bed.inode(id).await;
    assert_eq!((*linked.inode.pre).clone(), (*before).clone());
    assert_eq!((*linked.inode.post).clone(), (*after).clone());
    assert_eq!(after.nlink, 2);
    assert!(after.ctime > before.ctime && after.change > before.change && after.mtime == before.mtime);
    assert_eq!(bed.lookup(ROOT, "b").await, Some(id));
    assert!(linked.dir.post.mtime > linked.dir.pre.mtime);
}
async fn link_over_an_existing_name_is_exists(bed) {
    let id = bed.file(ROOT, "a").await;
    bed.file(ROOT, "b").await;
    refused(bed.link(&bed.root, id, ROOT, "b").await, FsError::Exists);
    refused(bed.link(&bed.root, id, ROOT, "a").await, FsError::Exists);
}
async fn link_to_a_directory_is_not_permitted(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    refused(bed.link(&bed.root, dir, ROOT, "e").await, FsError::NotPermitted);
}
async fn link_needs_write_permission_on_the_directory(bed) {
    let dir = bed.made(ROOT, "d", InodeKind::Directory, 0o755, &bed.root).await;
    let id = bed.made(ROOT, "a", InodeKind::File, 0o644, &bed.user).await;
    refused(bed.link(&bed.user, id, dir, "b").await, FsError::AccessDenied);
}
async fn link_to_an_absent_inode_is_stale_and_to_an_orphan_not_found(bed) {
    refused(bed.link(&bed.root, InodeId(77_777), ROOT, "x").await, FsError::StaleHandle);
    let id = bed.file(ROOT, "a").await;
    let mut removal = Bed::removal(ROOT, "a");
    removal.keep_orphan = true;
    bed.remove_by(&bed.root, removal).await.unwrap();
    refused(bed.link(&bed.root, id, ROOT, "x").await, FsError::NotFound);
}
async fn link_into_a_file_is_not_a_directory(bed) {
    let a = bed.file(ROOT, "a").await;
    let b = bed.file(ROOT, "b").await;
    refused(bed.link(&bed.root, a, b, "x").await, FsError::NotDirectory);
}
async fn link_names_have_different_cookies_and_are_all_listed_as_names(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    let id = bed.file(ROOT, "a").await;
    bed.link(&bed.root, id, dir, "b").await.unwrap();
    bed.link(&bed.root, id, dir, "c").await.unwrap();
    let names = bed.store.names_of(bed.share, id, 10).await.unwrap();
    assert_eq!(names, [(ROOT, name("a")), (dir, name("b")), (dir, name("c"))]);
    assert_eq!(bed.store.names_of(bed.share, id, 2).await.unwrap().len(), 2);
    let cookies = bed.list(dir, 10).await;
    assert_ne!(cookies[0].0, cookies[1].0);
}
}

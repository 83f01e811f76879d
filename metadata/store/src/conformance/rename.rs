//! Cases: `rename`.

use super::{Bed, case_list, name, refused};
use crate::{Fate, Replace, StoreError};
use dfs_model::{FsError, InodeId, InodeKind};

const ROOT: InodeId = InodeId::ROOT;

case_list! {
async fn rename_moves_the_name_and_keeps_the_inode(bed) {
    let id = bed.file(ROOT, "a").await;
    let before = bed.inode(id).await;
    let renamed = bed.rename(ROOT, "a", ROOT, "b").await.unwrap();
    assert!(!renamed.same_inode && renamed.replaced.is_none());
    assert_eq!((bed.lookup(ROOT, "a").await, bed.lookup(ROOT, "b").await), (None, Some(id)));
    let after = bed.inode(id).await;
    assert_eq!(*renamed.moved.post, *after);
    assert!(after.ctime > before.ctime && after.change > before.change && after.mtime == before.mtime);
    assert_eq!(renamed.from_dir, renamed.to_dir);
}
async fn rename_within_a_directory_keeps_the_cookie(bed) {
    bed.file(ROOT, "a").await;
    bed.file(ROOT, "z").await;
    let before = bed.list(ROOT, 9).await[0].0;
    let renamed = bed.rename(ROOT, "a", ROOT, "b").await.unwrap();
    assert_eq!(renamed.dentry.cookie, before);
    assert_eq!(bed.list(ROOT, 9).await[0], (before, name("b")));
}
async fn rename_across_directories_takes_a_new_cookie_there(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    bed.file(dir, "x").await;
    let id = bed.file(ROOT, "a").await;
    let renamed = bed.rename(ROOT, "a", dir, "b").await.unwrap();
    assert_eq!(renamed.dentry.dir, dir);
    assert_eq!(bed.list(dir, 9).await.last().unwrap().0, renamed.dentry.cookie);
    assert_eq!(bed.store.names_of(bed.share, id, 9).await.unwrap(), [(dir, name("b"))]);
    assert!(renamed.from_dir.post.mtime > renamed.from_dir.pre.mtime);
    assert!(renamed.to_dir.post.mtime > renamed.to_dir.pre.mtime);
    assert_eq!((renamed.from_dir.pre.id, renamed.to_dir.pre.id), (ROOT, dir));
}
async fn rename_over_a_file_replaces_it(bed) {
    let a = bed.file(ROOT, "a").await;
    let b = bed.file(ROOT, "b").await;
    bed.written(b, 0, 4096, 2).await;
    let renamed = bed.rename(ROOT, "a", ROOT, "b").await.unwrap();
    let replaced = renamed.replaced.unwrap();
    assert_eq!((replaced.fate, replaced.inode.pre.id), (Fate::Gone, b));
    assert_eq!(bed.lookup(ROOT, "b").await, Some(a));
    assert!(bed.gone(b).await);
}
async fn rename_over_an_open_file_keeps_it_as_an_orphan(bed) {
    bed.file(ROOT, "a").await;
    let b = bed.file(ROOT, "b").await;
    let mut request = Bed::renaming(ROOT, "a", ROOT, "b");
    request.keep_orphan = true;
    let renamed = bed.rename_by(&bed.root, request).await.unwrap();
    assert_eq!(renamed.replaced.unwrap().fate, Fate::Orphan);
    assert_eq!(bed.store.orphans(bed.share, InodeId(0), 9).await.unwrap(), [b]);
}
async fn rename_over_one_of_several_links_only_lowers_the_count(bed) {
    bed.file(ROOT, "a").await;
    let b = bed.file(ROOT, "b").await;
    bed.link(&bed.root, b, ROOT, "c").await.unwrap();
    let renamed = bed.rename(ROOT, "a", ROOT, "b").await.unwrap();
    assert_eq!(renamed.replaced.unwrap().fate, Fate::Linked);
    assert_eq!((bed.lookup(ROOT, "c").await, bed.inode(b).await.nlink), (Some(b), 1));
}
async fn rename_to_itself_does_nothing(bed) {
    let id = bed.file(ROOT, "a").await;
    let (row, dir) = (bed.inode(id).await, bed.inode(ROOT).await);
    let renamed = bed.rename(ROOT, "a", ROOT, "a").await.unwrap();
    assert!(renamed.same_inode);
    assert_eq!((*bed.inode(id).await).clone(), (*row).clone());
    assert_eq!(*bed.inode(ROOT).await, *dir);
}
async fn rename_between_two_names_of_one_inode_does_nothing(bed) {
    let id = bed.file(ROOT, "a").await;
    bed.link(&bed.root, id, ROOT, "b").await.unwrap();
    let renamed = bed.rename(ROOT, "a", ROOT, "b").await.unwrap();
    assert!(renamed.same_inode);
    assert_eq!((bed.lookup(ROOT, "a").await, bed.lookup(ROOT, "b").await), (Some(id), Some(id)));
    assert_eq!(bed.inode(id).await.nlink, 2);
}
async fn rename_never_replacing_refuses_an_existing_name(bed) {
    let a = bed.file(ROOT, "a").await;
    bed.file(ROOT, "b").await;
    bed.link(&bed.root, a, ROOT, "c").await.unwrap();
    for to in ["b", "c"] {
        let mut request = Bed::renaming(ROOT, "a", ROOT, to);
        request.replace = Replace::Never;
        refused(bed.rename_by(&bed.root, request).await, FsError::Exists);
    }
}
async fn rename_windows_replaces_files_and_never_directories(bed) {
    bed.file(ROOT, "a").await;
    bed.file(ROOT, "b").await;
    bed.mkdir(ROOT, "d").await;
    bed.mkdir(ROOT, "e").await;
    for (from, to, wanted) in [("d", "e", Some(FsError::AccessDenied)), ("a", "d", Some(FsError::AccessDenied)), ("a", "b", None)] {
        let mut request = Bed::renaming(ROOT, from, ROOT, to);
        request.replace = Replace::Windows;
        match wanted {
            Some(error) => refused(bed.rename_by(&bed.root, request).await, error),
            None => assert!(bed.rename_by(&bed.root, request).await.unwrap().replaced.is_some()),
        }
    }
}
async fn rename_absent_source_is_not_found(bed) {
    refused(bed.rename(ROOT, "a", ROOT, "b").await, FsError::NotFound);
}
async fn rename_directory_over_file_and_file_over_directory_is_refused(bed) {
    bed.file(ROOT, "f").await;
    bed.mkdir(ROOT, "d").await;
    refused(bed.rename(ROOT, "d", ROOT, "f").await, FsError::NotDirectory);
    refused(bed.rename(ROOT, "f", ROOT, "d").await, FsError::IsDirectory);
}
async fn rename_over_an_empty_directory_replaces_it_and_over_a_full_one_is_refused(bed) {
    let d = bed.mkdir(ROOT, "d").await;
    let e = bed.mkdir(ROOT, "e").await;
    bed.file(e, "x").await;
    refused(bed.rename(ROOT, "d", ROOT, "e").await, FsError::NotEmpty);
    bed.remove(e, "x").await.unwrap();
    let links = bed.inode(ROOT).await.nlink;
    let renamed = bed.rename(ROOT, "d", ROOT, "e").await.unwrap();
    assert_eq!(renamed.replaced.unwrap().inode.pre.id, e);
    assert_eq!(bed.lookup(ROOT, "e").await, Some(d));
    assert_eq!(bed.inode(ROOT).await.nlink, links - 1);
}
async fn rename_directory_across_parents_moves_links_and_parent(bed) {
    let d = bed.mkdir(ROOT, "d").await;
    let e = bed.mkdir(ROOT, "e").await;
    let links = bed.inode(ROOT).await.nlink;
    let renamed = bed.rename(ROOT, "d", e, "d2").await.unwrap();
    assert_eq!((renamed.from_dir.post.nlink, renamed.to_dir.post.nlink), (links - 1, 3));
    assert_eq!(bed.inode(d).await.parent, e);
}
async fn rename_directory_over_a_directory_elsewhere_keeps_that_parents_count(bed) {
    let d = bed.mkdir(ROOT, "d").await;
    let e = bed.mkdir(ROOT, "e").await;
    bed.mkdir(e, "x").await;
    let links = bed.inode(ROOT).await.nlink;
    bed.rename(ROOT, "d", e, "x").await.unwrap();
    assert_eq!((bed.inode(e).await.nlink, bed.inode(ROOT).await.nlink), (3, links - 1));
    assert_eq!(bed.lookup(e, "x").await, Some(d));
}
async fn rename_directory_into_itself_or_below_is_invalid(bed) {
    let a = bed.mkdir(ROOT, "a").await;
    let b = bed.mkdir(a, "b").await;
    let c = bed.mkdir(b, "c").await;
    for to in [a, b, c] {
        refused(bed.rename(ROOT, "a", to, "x").await, FsError::InvalidArgument);
    }
    bed.rename(b, "c", ROOT, "c").await.unwrap();
    bed.rename(ROOT, "a", c, "a").await.unwrap();
    assert_eq!(bed.lookup(c, "a").await, Some(a));
}
async fn rename_over_an_ancestor_is_not_empty(bed) {
    let a = bed.mkdir(ROOT, "a").await;
    let b = bed.mkdir(a, "b").await;
    bed.mkdir(b, "c").await;
    refused(bed.rename(b, "c", ROOT, "a").await, FsError::NotEmpty);
}
async fn rename_expectations_that_fail_are_raced(bed) {
    let a = bed.file(ROOT, "a").await;
    let b = bed.file(ROOT, "b").await;
    let wrong = [(Some(b), None), (None, Some(None)), (Some(a), Some(Some(a)))];
    for (moved, replaced) in wrong {
        let mut request = Bed::renaming(ROOT, "a", ROOT, "b");
        (request.expect_moved, request.expect_replaced) = (moved, replaced);
        assert!(matches!(bed.rename_by(&bed.root, request).await, Err(StoreError::Raced)));
    }
    let mut request = Bed::renaming(ROOT, "a", ROOT, "b");
    (request.expect_moved, request.expect_replaced) = (Some(a), Some(Some(b)));
    bed.rename_by(&bed.root, request).await.unwrap();
}
async fn rename_needs_write_permission_on_both_directories(bed) {
    let open = bed.mkdir(ROOT, "open").await;
    let shut = bed.made(ROOT, "shut", InodeKind::Directory, 0o755, &bed.root).await;
    bed.made(open, "a", InodeKind::File, 0o666, &bed.user).await;
    bed.file(shut, "b").await;
    let out = Bed::renaming(open, "a", shut, "x");
    refused(bed.rename_by(&bed.user, out).await, FsError::AccessDenied);
    let back = Bed::renaming(shut, "b", open, "x");
    refused(bed.rename_by(&bed.user, back).await, FsError::AccessDenied);
}
async fn rename_in_sticky_directories_needs_an_owner(bed) {
    let dir = bed.made(ROOT, "t", InodeKind::Directory, 0o1777, &bed.root).await;
    bed.made(dir, "a", InodeKind::File, 0o666, &bed.user).await;
    bed.made(dir, "o", InodeKind::File, 0o666, &bed.other).await;
    let away = Bed::renaming(dir, "a", ROOT, "a");
    refused(bed.rename_by(&bed.other, away).await, FsError::NotPermitted);
    let over = Bed::renaming(dir, "o", dir, "a");
    refused(bed.rename_by(&bed.other, over).await, FsError::NotPermitted);
    bed.rename_by(&bed.user, Bed::renaming(dir, "a", ROOT, "a")).await.unwrap();
}
async fn rename_of_a_directory_to_another_parent_needs_write_permission_on_it(bed) {
    let d = bed.made(ROOT, "d", InodeKind::Directory, 0o755, &bed.root).await;
    bed.mkdir(ROOT, "e").await;
    let e = bed.lookup(ROOT, "e").await.unwrap();
    refused(bed.rename_by(&bed.user, Bed::renaming(ROOT, "d", e, "d")).await, FsError::AccessDenied);
    bed.rename_by(&bed.user, Bed::renaming(ROOT, "d", ROOT, "d2")).await.unwrap();
    assert_eq!(bed.lookup(ROOT, "d2").await, Some(d));
}
async fn rename_that_changes_case_only_is_a_real_rename(bed) {
    let id = bed.file(ROOT, "readme").await;
    let renamed = bed.rename(ROOT, "readme", ROOT, "README").await.unwrap();
    assert!(!renamed.same_inode);
    assert_eq!((bed.lookup(ROOT, "readme").await, bed.lookup(ROOT, "README").await), (None, Some(id)));
    let found = bed.store.lookup_fold(bed.share, ROOT, &name("ReadMe")).await.unwrap().unwrap();
    assert_eq!(found.0.name, name("README"));
}
async fn rename_symlinks_and_devices_move_as_they_are(bed) {
    let link = bed.made(ROOT, "l", InodeKind::Symlink, 0o777, &bed.root).await;
    bed.file(ROOT, "f").await;
    bed.rename(ROOT, "l", ROOT, "f").await.unwrap();
    assert_eq!(bed.lookup(ROOT, "f").await, Some(link));
    assert_eq!(bed.inode(link).await.kind, InodeKind::Symlink);
}
async fn rename_into_a_file_is_not_a_directory(bed) {
    let f = bed.file(ROOT, "f").await;
    bed.file(ROOT, "a").await;
    refused(bed.rename(ROOT, "a", f, "x").await, FsError::NotDirectory);
    refused(bed.rename(ROOT, "a", InodeId(44_444), "x").await, FsError::StaleHandle);
}
}

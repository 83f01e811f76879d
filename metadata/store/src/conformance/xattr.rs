//! Cases: extended attributes.

use super::{Bed, case_list, refused};
use crate::{RowChange, StoreError, StoreResult, XattrSetRequest};
use bytes::Bytes;
use dfs_model::xattr::{TOTAL_LEN_MAX, VALUE_LEN_MAX};
use dfs_model::{Credentials, FsError, InodeFlags, InodeId, InodeKind, ReplayKey, XattrMode};

const ROOT: InodeId = InodeId::ROOT;

fn request(inode: InodeId, values: &[(&str, Option<&[u8]>)], mode: XattrMode) -> XattrSetRequest {
    let bytes = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    let values = values.iter().map(|(name, value)| (bytes(name.as_bytes()), value.map(bytes))).collect();
    XattrSetRequest { inode, values, mode, any_case: false }
}

async fn set(bed: &Bed, who: &Credentials, asked: XattrSetRequest) -> StoreResult<RowChange> {
    bed.store.xattr_set(bed.cx(who), asked).await.map(|applied| applied.value)
}

async fn put(bed: &Bed, inode: InodeId, name: &str, value: &[u8]) -> RowChange {
    set(bed, &bed.root, request(inode, &[(name, Some(value))], XattrMode::Either)).await.unwrap()
}

async fn shown(bed: &Bed, inode: InodeId, names: &[&str]) -> Vec<(String, usize)> {
    let names: Vec<Bytes> = names.iter().map(|name| Bytes::copy_from_slice(name.as_bytes())).collect();
    let found = bed.store.xattrs(bed.share, inode, &names).await.unwrap();
    found.into_iter().map(|(name, value)| (String::from_utf8(name.to_vec()).unwrap(), value.len())).collect()
}

case_list! {
async fn xattrs_are_set_listed_in_order_read_and_ended(bed) {
    let id = bed.file(ROOT, "f").await;
    assert!(shown(bed, id, &[]).await.is_empty());
    let change = put(bed, id, "b", b"12").await;
    assert!(change.post.flags.has(InodeFlags::HAS_XATTR) && !change.pre.flags.has(InodeFlags::HAS_XATTR));
    assert!(change.post.ctime > change.pre.ctime && change.post.change > change.pre.change);
    assert_eq!(change.post.mtime, change.pre.mtime, "the bytes did not change");
    put(bed, id, "a", b"").await;
    assert_eq!(shown(bed, id, &[]).await, [("a".into(), 0), ("b".into(), 2)]);
    assert_eq!(shown(bed, id, &["b", "c"]).await, [("b".into(), 2)]);
    put(bed, id, "b", b"1").await;
    assert_eq!(shown(bed, id, &["b"]).await, [("b".into(), 1)]);
    set(bed, &bed.root, request(id, &[("a", None), ("b", None)], XattrMode::Either)).await.unwrap();
    assert!(shown(bed, id, &[]).await.is_empty());
    assert!(!bed.inode(id).await.flags.has(InodeFlags::HAS_XATTR));
}
async fn xattr_modes_and_a_refused_change_leave_all_as_it_was(bed) {
    let id = bed.mkdir(ROOT, "d").await;
    put(bed, id, "a", b"1").await;
    let before = bed.inode(id).await;
    let cases = [
        (request(id, &[("b", Some(b"")), ("a", Some(b"2"))], XattrMode::Create), FsError::Exists),
        (request(id, &[("a", Some(b"2")), ("b", Some(b""))], XattrMode::Replace), FsError::NoXattr),
        (request(id, &[("a", None), ("b", None)], XattrMode::Either), FsError::NoXattr),
        (request(id, &[("", Some(b""))], XattrMode::Either), FsError::InvalidArgument),
    ];
    for (asked, error) in cases {
        refused(set(bed, &bed.root, asked).await, error);
    }
    assert_eq!((shown(bed, id, &[]).await, bed.inode(id).await), (vec![("a".into(), 1)], before));
}
async fn xattr_in_any_case_changes_the_stored_spelling(bed) {
    let id = bed.file(ROOT, "f").await;
    put(bed, id, "Key", b"1").await;
    let any = XattrSetRequest { any_case: true, ..request(id, &[("kEY", Some(b"12"))], XattrMode::Replace) };
    set(bed, &bed.root, any).await.unwrap();
    assert_eq!(shown(bed, id, &[]).await, [("Key".into(), 2)]);
    let end = XattrSetRequest { any_case: true, ..request(id, &[("KEY", None)], XattrMode::Either) };
    set(bed, &bed.root, end).await.unwrap();
    assert!(shown(bed, id, &[]).await.is_empty());
}
async fn xattrs_have_a_largest_value_and_a_largest_total(bed) {
    let id = bed.file(ROOT, "f").await;
    let value = vec![7; VALUE_LEN_MAX];
    refused(set(bed, &bed.root, request(id, &[("a", Some(&[7; VALUE_LEN_MAX + 1]))], XattrMode::Either)).await, FsError::XattrTooBig);
    for name in ["a", "b", "c"] {
        put(bed, id, name, &value).await;
    }
    refused(set(bed, &bed.root, request(id, &[("d", Some(&value))], XattrMode::Either)).await, FsError::NoSpace);
    put(bed, id, "d", &value[..VALUE_LEN_MAX - 4]).await;
    let total: usize = shown(bed, id, &[]).await.iter().map(|(name, len)| name.len() + len).sum();
    assert_eq!(total, TOTAL_LEN_MAX);
}
async fn xattr_needs_the_write_bit_and_a_file_or_directory(bed) {
    let id = bed.made(ROOT, "f", InodeKind::File, 0o664, &bed.user).await;
    let one = |id| request(id, &[("a", Some(b"1"))], XattrMode::Either);
    refused(set(bed, &bed.other, one(id)).await, FsError::AccessDenied);
    set(bed, &bed.user, one(id)).await.unwrap();
    let link = bed.made(ROOT, "l", InodeKind::Symlink, 0o777, &bed.user).await;
    refused(set(bed, &bed.root, one(link)).await, FsError::NotPermitted);
    refused(set(bed, &bed.root, one(InodeId(66_666))).await, FsError::StaleHandle);
}
async fn xattrs_go_with_their_inode_and_stay_with_an_orphan(bed) {
    let id = bed.file(ROOT, "f").await;
    let twin = bed.file(ROOT, "t").await;
    put(bed, id, "a", b"1").await;
    put(bed, twin, "a", b"22").await;
    let orphan = crate::RemoveRequest { keep_orphan: true, ..Bed::removal(ROOT, "f") };
    bed.remove_by(&bed.root, orphan).await.unwrap();
    assert_eq!(shown(bed, id, &[]).await, [("a".into(), 1)]);
    assert!(bed.store.reap(bed.share, bed.epoch, id).await.unwrap().value);
    match bed.store.xattrs(bed.share, id, &[]).await {
        Err(StoreError::Refused(FsError::StaleHandle)) => {}
        other => panic!("the inode is gone: {other:?}"),
    }
    assert_eq!(shown(bed, twin, &[]).await, [("a".into(), 2)]);
    bed.remove(ROOT, "t").await.unwrap();
}
async fn xattr_set_again_under_one_key_is_done_once(bed) {
    let id = bed.file(ROOT, "f").await;
    let key = ReplayKey::Slot { session: [3; 16], slot: 1, sequence: 9, op: 2 };
    let asked = request(id, &[("a", Some(b"1"))], XattrMode::Create);
    bed.store.xattr_set(bed.cx_replay(&bed.root, &key), asked.clone()).await.unwrap();
    match bed.store.xattr_set(bed.cx_replay(&bed.root, &key), asked).await {
        Err(StoreError::Replayed(outcome)) => assert_eq!(outcome.inode, id),
        other => panic!("answered before: {other:?}"),
    }
}
}

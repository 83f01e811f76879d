//! Cases: `set_attr`.

use super::{Bed, case_list, refused};
use crate::SetAttrRequest;
use dfs_model::inode::dos;
use dfs_model::{
    Ace, AceType, Acl, AttrPatch, Change, FsError, Guard, Identity, InodeFlags, InodeId, InodeKind, Patch,
    Rights, ShareCeiling, TimePatch, Timestamp, WellKnown,
};
use std::sync::Arc;

const ROOT: InodeId = InodeId::ROOT;

fn mode(bits: u16) -> AttrPatch {
    AttrPatch { mode: Patch::Set(bits), ..AttrPatch::default() }
}

fn owner(uid: u32) -> AttrPatch {
    AttrPatch { owner: Patch::Set(Identity::Uid(uid)), ..AttrPatch::default() }
}

fn group(gid: u32) -> AttrPatch {
    AttrPatch { group: Patch::Set(Identity::Gid(gid)), ..AttrPatch::default() }
}

fn acl(aces: Vec<Ace>) -> AttrPatch {
    AttrPatch {
        acl: Patch::Set(Arc::new(Acl { control: 0, dacl: Some(aces), sacl: None })),
        ..AttrPatch::default()
    }
}

fn allow(who: WellKnown, mask: u32) -> Ace {
    Ace { kind: AceType::Allow, flags: 0, mask, who: Identity::WellKnown(who) }
}

async fn users_file(bed: &Bed, bits: u16) -> InodeId {
    bed.made(ROOT, "u", InodeKind::File, bits, &bed.user).await
}

case_list! {
async fn chmod_by_owner_and_root_works_and_by_others_is_not_permitted(bed) {
    let id = users_file(bed, 0o644).await;
    let change = bed.set(&bed.user, id, mode(0o600)).await.unwrap();
    assert_eq!((change.pre.mode, change.post.mode), (0o644, 0o600));
    assert!(change.post.ctime > change.pre.ctime && change.post.change > change.pre.change);
    assert_eq!((change.post.mtime, change.post.mode_change), (change.pre.mtime, change.post.change));
    bed.set(&bed.root, id, mode(0o7777)).await.unwrap();
    refused(bed.set(&bed.other, id, mode(0o777)).await, FsError::NotPermitted);
    assert_eq!(bed.inode(id).await.mode, 0o7777);
}
async fn chmod_keeps_only_twelve_bits(bed) {
    let id = users_file(bed, 0o644).await;
    assert_eq!(bed.set(&bed.root, id, mode(0o100_755)).await.unwrap().post.mode, 0o755);
}
async fn chmod_masked_touches_only_the_mask(bed) {
    let id = users_file(bed, 0o640).await;
    let mut patch = mode(0o7777);
    patch.mode_mask = Some(0o007);
    assert_eq!(bed.set(&bed.user, id, patch).await.unwrap().post.mode, 0o647);
}
async fn chmod_sgid_by_an_owner_outside_of_the_group_loses_the_bit(bed) {
    let id = users_file(bed, 0o644).await;
    bed.set(&bed.root, id, group(4242)).await.unwrap();
    assert_eq!(bed.set(&bed.user, id, mode(0o6755)).await.unwrap().post.mode, 0o4755);
    bed.set(&bed.root, id, group(2000)).await.unwrap();
    assert_eq!(bed.set(&bed.user, id, mode(0o2755)).await.unwrap().post.mode, 0o2755);
}
async fn chown_by_a_user_to_another_is_not_permitted(bed) {
    let id = users_file(bed, 0o644).await;
    refused(bed.set(&bed.user, id, owner(1001)).await, FsError::NotPermitted);
    refused(bed.set(&bed.other, id, owner(1001)).await, FsError::NotPermitted);
    bed.set(&bed.user, id, owner(1000)).await.unwrap();
    assert_eq!(bed.set(&bed.root, id, owner(1001)).await.unwrap().post.uid(), 1001);
}
async fn chgrp_by_the_owner_to_a_group_of_his_works_and_to_others_not(bed) {
    let id = users_file(bed, 0o644).await;
    assert_eq!(bed.set(&bed.user, id, group(2000)).await.unwrap().post.gid(), 2000);
    refused(bed.set(&bed.user, id, group(3000)).await, FsError::NotPermitted);
    refused(bed.set(&bed.other, id, group(1001)).await, FsError::NotPermitted);
}
async fn chown_clears_set_id_bits_of_files(bed) {
    let id = users_file(bed, 0o644).await;
    bed.set(&bed.root, id, mode(0o6755)).await.unwrap();
    assert_eq!(bed.set(&bed.user, id, group(2000)).await.unwrap().post.mode, 0o755);
    bed.set(&bed.root, id, mode(0o6745)).await.unwrap();
    assert_eq!(bed.set(&bed.root, id, owner(5)).await.unwrap().post.mode, 0o2745, "SGID without group execute stays");
}
async fn chown_keeps_set_id_bits_of_directories(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    bed.set(&bed.root, dir, mode(0o2755)).await.unwrap();
    assert_eq!(bed.set(&bed.root, dir, group(5)).await.unwrap().post.mode, 0o2755);
}
async fn set_attr_with_nothing_to_set_changes_nothing(bed) {
    let id = users_file(bed, 0o644).await;
    let change = bed.set(&bed.other, id, AttrPatch::default()).await.unwrap();
    assert_eq!(change.pre, change.post);
}
async fn set_attr_of_size_or_times_of_a_file_is_a_journal_record(bed) {
    let id = users_file(bed, 0o644).await;
    let size = AttrPatch { size: Patch::Set(0), ..AttrPatch::default() };
    let mtime = AttrPatch { mtime: TimePatch::ServerNow, ..AttrPatch::default() };
    refused(bed.set(&bed.root, id, size).await, FsError::InvalidArgument);
    refused(bed.set(&bed.root, id, mtime).await, FsError::InvalidArgument);
}
async fn utimes_of_a_directory_follow_posix(bed) {
    let dir = bed.made(ROOT, "d", InodeKind::Directory, 0o757, &bed.user).await;
    let set = AttrPatch { mtime: TimePatch::Set(Timestamp::new(5, 6)), ..AttrPatch::default() };
    let now = AttrPatch { atime: TimePatch::ServerNow, mtime: TimePatch::ServerNow, ..AttrPatch::default() };
    let change = bed.set(&bed.user, dir, set.clone()).await.unwrap();
    assert_eq!(change.post.mtime, Timestamp::new(5, 6));
    assert!(change.post.ctime > change.pre.ctime);
    refused(bed.set(&bed.other, dir, set).await, FsError::NotPermitted);
    let change = bed.set(&bed.other, dir, now.clone()).await.unwrap();
    assert!(change.post.mtime > Timestamp::new(5, 6) && change.post.atime == change.post.mtime);
    bed.set(&bed.user, dir, mode(0o755)).await.unwrap();
    refused(bed.set(&bed.other, dir, now).await, FsError::AccessDenied);
}
async fn set_attr_dos_bits_and_birth_time(bed) {
    let id = users_file(bed, 0o644).await;
    let patch = AttrPatch {
        dos: Patch::Set(dos::HIDDEN | dos::READONLY), btime: TimePatch::Set(Timestamp::new(3, 4)), ..AttrPatch::default()
    };
    refused(bed.set(&bed.other, id, patch.clone()).await, FsError::AccessDenied);
    let change = bed.set(&bed.user, id, patch).await.unwrap();
    assert_eq!((change.post.dos, change.post.btime), (3, Timestamp::new(3, 4)));
    assert!(change.post.flags.has(InodeFlags::DOS_EXPLICIT));
    assert_eq!((change.post.dos_change, change.post.mode), (change.post.change, change.pre.mode));
    assert_eq!(change.post.mode_change, change.pre.mode_change);
    let unknown = AttrPatch { dos: Patch::Set(0x10), ..AttrPatch::default() };
    refused(bed.set(&bed.user, id, unknown).await, FsError::InvalidArgument);
}
async fn set_attr_guard_must_hold(bed) {
    let id = users_file(bed, 0o644).await;
    let row = bed.inode(id).await;
    let seconds = row.ctime.secs as u32;
    let wrong = [Guard::CtimeAs3(seconds, row.ctime.nanos + 1), Guard::Change(Change(row.change.0 + 1))];
    for guard in wrong {
        let request = SetAttrRequest { inode: id, patch: mode(0o600), guard };
        refused(bed.store.set_attr(bed.cx(&bed.root), request).await, FsError::GuardMismatch);
    }
    let guard = Guard::CtimeAs3(seconds, row.ctime.nanos);
    let request = SetAttrRequest { inode: id, patch: mode(0o600), guard };
    let change = bed.store.set_attr(bed.cx(&bed.root), request).await.unwrap().value;
    let guard = Guard::Change(change.post.change);
    bed.store.set_attr(bed.cx(&bed.root), SetAttrRequest { inode: id, patch: mode(0o601), guard }).await.unwrap();
}
async fn set_attr_ctime_grows_even_when_the_clock_went_back(bed) {
    let id = users_file(bed, 0o644).await;
    let before = bed.inode(id).await.ctime;
    let cx = crate::OpContext { now: Timestamp::new(1, 0), ..bed.cx(&bed.root) };
    let request = SetAttrRequest { inode: id, patch: mode(0o600), guard: Guard::None };
    let change = bed.store.set_attr(cx, request).await.unwrap().value;
    assert_eq!(change.post.ctime, before.next());
}
async fn set_attr_of_an_absent_inode_is_stale_and_on_a_read_only_share_refused(bed) {
    refused(bed.set(&bed.root, InodeId(66_666), mode(0o600)).await, FsError::StaleHandle);
    let id = users_file(bed, 0o644).await;
    let mut who = bed.user.clone();
    who.ceiling = ShareCeiling::ReadOnly;
    refused(bed.set(&who, id, mode(0o600)).await, FsError::ReadOnlyShare);
}
async fn set_attr_acl_is_stored_whole_and_shared_by_content(bed) {
    let id = users_file(bed, 0o4640).await;
    let twin = bed.made(ROOT, "t", InodeKind::File, 0o640, &bed.user).await;
    let deny = Ace { kind: AceType::Deny, flags: 3, mask: 2, who: Identity::Uid(1001) };
    let sid = Ace { kind: AceType::Allow, flags: 0, mask: 1, who: Identity::Sid(vec![1; 28].into()) };
    let aces = vec![deny, sid, allow(WellKnown::Owner, Rights::ALL.0), allow(WellKnown::Everyone, 1)];
    for inode in [id, twin] {
        bed.set(&bed.user, inode, acl(aces.clone())).await.unwrap();
    }
    let row = bed.inode(id).await;
    assert_eq!(row.acl.as_ref().unwrap().dacl.as_ref().unwrap(), &aces);
    assert_eq!(row.mode, 0o4744, "nine bits from the ACL, set-id bits kept");
    bed.remove(ROOT, "t").await.unwrap();
    assert_eq!(bed.inode(id).await.acl, row.acl, "the twin's end does not take it away");
    bed.set(&bed.user, id, acl(vec![allow(WellKnown::Owner, 3)])).await.unwrap();
    assert_eq!(bed.inode(id).await.acl.as_ref().unwrap().dacl.as_ref().unwrap().len(), 1);
}
async fn set_attr_acl_decides_who_may_create(bed) {
    let dir = bed.made(ROOT, "d", InodeKind::Directory, 0o755, &bed.root).await;
    let grant = Ace { kind: AceType::Allow, flags: 0, mask: Rights::EXECUTE.and(Rights::ADD_FILE).0, who: Identity::Uid(1000) };
    bed.set(&bed.root, dir, acl(vec![grant])).await.unwrap();
    bed.create(&bed.user, Bed::request(dir, "a", InodeKind::File)).await.unwrap();
    refused(bed.create(&bed.other, Bed::request(dir, "b", InodeKind::File)).await, FsError::AccessDenied);
}
async fn chmod_of_a_file_with_an_acl_keeps_both_in_step(bed) {
    let id = users_file(bed, 0o640).await;
    let named = Ace { kind: AceType::Allow, flags: 0, mask: 7, who: Identity::Uid(1001) };
    bed.set(&bed.user, id, acl(vec![named.clone(), allow(WellKnown::Owner, 7)])).await.unwrap();
    let change = bed.set(&bed.user, id, mode(0o4640)).await.unwrap();
    let list = change.post.acl.clone().unwrap();
    assert_eq!((change.post.mode, list.mode()), (0o4640, 0o640));
    assert!(list.dacl.iter().flatten().any(|ace| ace.who == named.who && ace.mask == 1), "cut down to the group's bits");
    assert_eq!(bed.inode(id).await.acl, Some(list));
    let both = AttrPatch { mode: Patch::Set(0o2777), ..acl(vec![allow(WellKnown::Everyone, 1)]) };
    assert_eq!(bed.set(&bed.root, id, both).await.unwrap().post.mode, 0o2444, "the list decides the nine bits");
}
async fn an_acl_that_says_what_the_mode_says_is_not_kept(bed) {
    let id = users_file(bed, 0o4640).await;
    bed.set(&bed.user, id, acl(vec![allow(WellKnown::Owner, 7)])).await.unwrap();
    assert!(bed.inode(id).await.flags.has(InodeFlags::HAS_ACL));
    let plain = AttrPatch { acl: Patch::Set(Arc::new(Acl::of_mode(0o751, false))), ..AttrPatch::default() };
    let row = bed.set(&bed.user, id, plain).await.unwrap().post;
    assert_eq!((row.mode, row.acl.clone(), row.flags.has(InodeFlags::HAS_ACL)), (0o4751, None, false));
}
async fn chmod_follows_the_acl_mode_of_the_share(bed) {
    let named = Ace { kind: AceType::Allow, flags: 0, mask: 7, who: Identity::Uid(1001) };
    for (word, expected) in [("discard", Ok(None)), ("refuse", Err(FsError::NotPermitted)), ("passthrough", Ok(Some(7)))] {
        bed.store.set_share_settings(bed.share, vec![("acl_mode".into(), word.into())]).await.unwrap();
        let id = bed.made(ROOT, word, InodeKind::File, 0o640, &bed.user).await;
        bed.set(&bed.user, id, acl(vec![named.clone()])).await.unwrap();
        let changed = bed.set(&bed.user, id, mode(0o600)).await;
        match expected {
            Err(error) => refused(changed, error),
            Ok(mask) => {
                let row = changed.unwrap().post;
                let of_named = row.acl.iter().flat_map(|acl| acl.dacl.iter().flatten()).find(|ace| ace.who == named.who);
                assert_eq!((row.mode, of_named.map(|ace| ace.mask)), (0o600, mask), "{word}");
            }
        }
    }
}
async fn new_objects_inherit_the_acl_of_their_directory(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    let grant = Ace { kind: AceType::Allow, flags: 0x3, mask: 0x1f_01ff, who: Identity::Gid(2000) };
    let mine = Ace { kind: AceType::Allow, flags: 0xb, mask: 0x1f_01ff, who: Identity::WellKnown(WellKnown::CreatorOwner) };
    bed.set(&bed.root, dir, acl(vec![grant, mine])).await.unwrap();
    let row = bed.create(&bed.user, Bed::request(dir, "f", InodeKind::File)).await.unwrap().inode;
    let aces: Vec<(u16, Identity)> =
        row.acl.as_ref().unwrap().dacl.iter().flatten().map(|ace| (ace.flags, ace.who.clone())).collect();
    assert_eq!(aces, vec![(0x80, Identity::Gid(2000)), (0x80, Identity::Uid(1000))]);
    assert!(row.flags.has(InodeFlags::HAS_ACL) && row.mode == 0);
    assert_eq!(*bed.inode(row.id).await, *row);
    let sub = bed.create(&bed.user, Bed::request(dir, "s", InodeKind::Directory)).await.unwrap().inode;
    assert_eq!(sub.acl.as_ref().unwrap().dacl.as_ref().unwrap().len(), 3, "for itself and for below");
    let deep = bed.create(&bed.user, Bed::request(sub.id, "g", InodeKind::File)).await.unwrap().inode;
    assert_eq!(deep.acl, row.acl);
    let link = bed.create(&bed.user, Bed::request(dir, "l", InodeKind::Symlink)).await.unwrap().inode;
    assert_eq!((link.mode, link.acl.clone()), (0o777, None));
    let mut asked = Bed::request(dir, "m", InodeKind::File);
    asked.attrs.mode = Patch::Set(0o640);
    let row = bed.create(&bed.user, asked).await.unwrap().inode;
    assert_eq!((row.mode, row.acl.as_ref().unwrap().mode()), (0o640, 0o640));
    let mut asked = Bed::request(dir, "o", InodeKind::File);
    asked.attrs.acl = Patch::Set(Arc::new(Acl { control: 0, dacl: Some(vec![allow(WellKnown::Owner, 1)]), sacl: None }));
    let row = bed.create(&bed.user, asked).await.unwrap().inode;
    assert_eq!((row.mode, row.acl.as_ref().unwrap().dacl.as_ref().unwrap().len()), (0o400, 1), "given: nothing is inherited");
}
async fn audit_entries_need_the_security_privilege(bed) {
    let id = users_file(bed, 0o640).await;
    let audit = Ace { kind: AceType::Audit, flags: 0x20, mask: 1, who: Identity::WellKnown(WellKnown::Everyone) };
    let list = Acl { control: 0, dacl: Some(vec![allow(WellKnown::Owner, 7)]), sacl: Some(vec![audit]) };
    let patch = AttrPatch { acl: Patch::Set(Arc::new(list.clone())), ..AttrPatch::default() };
    refused(bed.set(&bed.user, id, patch.clone()).await, FsError::PrivilegeNotHeld);
    let mut officer = bed.user.clone();
    officer.privileges.security = true;
    bed.set(&officer, id, patch).await.unwrap();
    let keep = Acl { dacl: Some(vec![]), ..list };
    bed.set(&bed.user, id, AttrPatch { acl: Patch::Set(Arc::new(keep)), ..AttrPatch::default() }).await.unwrap();
}
async fn acl_rights_let_others_change_mode_times_and_owner(bed) {
    let dir = bed.made(ROOT, "d", InodeKind::Directory, 0o700, &bed.user).await;
    let rights = Rights::WRITE_ACL.and(Rights::WRITE_OWNER).and(Rights::WRITE_ATTRIBUTES);
    let all = Ace { kind: AceType::Allow, flags: 0, mask: rights.0, who: Identity::Uid(1001) };
    refused(bed.set(&bed.other, dir, mode(0o711)).await, FsError::NotPermitted);
    bed.set(&bed.user, dir, acl(vec![all])).await.unwrap();
    let times = AttrPatch { mtime: TimePatch::Set(Timestamp::new(9, 9)), ..AttrPatch::default() };
    bed.set(&bed.other, dir, times).await.unwrap();
    bed.set(&bed.other, dir, mode(0o711)).await.unwrap();
    refused(bed.set(&bed.other, dir, owner(1002)).await, FsError::NotPermitted);
    assert_eq!(bed.set(&bed.other, dir, owner(1001)).await.unwrap().post.uid(), 1001);
}
async fn set_attr_owners_of_every_kind_round_trip(bed) {
    let id = users_file(bed, 0o644).await;
    let identities = [
        Identity::Sid(vec![7; 68].into()),
        Identity::WellKnown(WellKnown::System),
        Identity::Opaque { domain: "example.org".into(), name: "jane".into() },
        Identity::Uid(u32::MAX - 1),
    ];
    for who in identities {
        let patch = AttrPatch { owner: Patch::Set(who.clone()), ..AttrPatch::default() };
        bed.set(&bed.root, id, patch).await.unwrap();
        assert_eq!(bed.inode(id).await.owner, who);
    }
    let patch = AttrPatch { owner: Patch::Set(Identity::Sid(vec![7; 69].into())), ..AttrPatch::default() };
    refused(bed.set(&bed.root, id, patch).await, FsError::InvalidOwner);
}
}

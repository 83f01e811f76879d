//! The rules of RFC 7530 §6 one by one, and against a judge that asks about one right at a time.

use super::apply::{Newborn, changed, newborn};
use super::*;
use crate::access::{check_chown, check_delete, granted};
use crate::inode::InodeFlags;
use crate::{AttrPatch, Change, Credentials, Generation, Inode, InodeId, InodeKind, Patch, Seq, Timestamp};
use bytes::Bytes;
use flag::{DIRECTORY_INHERIT, FILE_INHERIT, INHERIT_ONLY, INHERITED, NO_PROPAGATE};
use proptest::prelude::*;

const OWNER: Identity = Identity::WellKnown(WellKnown::Owner);
const GROUP: Identity = Identity::WellKnown(WellKnown::Group);
const EVERYONE: Identity = Identity::WellKnown(WellKnown::Everyone);
const READ: u32 = 0x1;
const WRITE: u32 = 0x6;
const EXECUTE: u32 = 0x20;

fn inode(kind: InodeKind, mode: u16, acl: Option<Acl>) -> Inode {
    let at = Timestamp::EPOCH;
    Inode {
        id: InodeId(2000),
        generation: Generation(1),
        kind,
        mode,
        nlink: 1,
        owner: Identity::Uid(1000),
        group: Identity::Gid(100),
        size: 0,
        allocated: 0,
        atime: at,
        mtime: at,
        ctime: at,
        btime: at,
        change: Change::ZERO,
        born: Change::ZERO,
        dos: 0,
        create_verifier: None,
        acl: acl.map(Arc::new),
        parent: InodeId::ROOT,
        flags: InodeFlags::default(),
        link_target: None,
        device: Default::default(),
        flushed_seq: Seq::ZERO,
        mode_change: Change::ZERO,
        dos_change: Change::ZERO,
    }
}

fn list(dacl: Vec<Ace>) -> Acl {
    Acl { control: 0, dacl: Some(dacl), sacl: None }
}

fn ace(kind: AceType, who: Identity, mask: u32, flags: u16) -> Ace {
    Ace { kind, flags, mask, who }
}

fn allow(who: Identity, mask: u32) -> Ace {
    ace(AceType::Allow, who, mask, 0)
}

fn deny(who: Identity, mask: u32) -> Ace {
    ace(AceType::Deny, who, mask, 0)
}

fn with_acl(dacl: Vec<Ace>) -> Inode {
    let acl = list(dacl);
    inode(InodeKind::File, acl.mode(), Some(acl))
}

fn has(row: &Inode, who: &Credentials, mask: u32) -> bool {
    granted(row, who).has(Rights(mask))
}

/// The owner, a member of the group, both, somebody with a SID, and a stranger.
fn people() -> Vec<Credentials> {
    let mut known = Credentials::unix(3000, 300, &[]);
    known.sids = Arc::from([Bytes::from_static(b"sid")]);
    vec![
        Credentials::unix(1000, 1, &[]),
        Credentials::unix(1001, 100, &[]),
        Credentials::unix(1000, 100, &[200]),
        known,
        Credentials::unix(4000, 200, &[]),
    ]
}

#[test]
fn first_entry_that_speaks_of_a_right_decides_it() {
    let bob = Credentials::unix(7, 100, &[]);
    let row = with_acl(vec![
        allow(Identity::Uid(7), READ),
        deny(GROUP, READ | WRITE),
        allow(EVERYONE, READ | WRITE | EXECUTE),
    ]);
    assert!(has(&row, &bob, READ), "allowed before the denial");
    assert!(!has(&row, &bob, WRITE), "denied before the allowance");
    assert!(has(&row, &bob, EXECUTE), "the denial did not speak of it");
    assert!(!has(&row, &bob, READ | WRITE), "all that is asked for must be allowed");
}

#[test]
fn empty_list_allows_nothing_and_null_list_everything() {
    let (stranger, owner) = (Credentials::unix(4000, 200, &[]), Credentials::unix(1000, 1, &[]));
    let empty = inode(InodeKind::File, 0, Some(list(vec![])));
    assert_eq!(granted(&empty, &stranger), Rights::READ_ATTRIBUTES.and(Rights::SYNCHRONIZE));
    assert!(has(&empty, &owner, Rights::WRITE_ACL.and(Rights::READ_ACL).0), "who owns it can repair it");
    let null = inode(InodeKind::File, 0o777, Some(Acl { dacl: None, ..list(vec![]) }));
    assert_eq!(granted(&null, &stranger), Rights::ALL);
}

#[test]
fn owner_rights_entry_replaces_what_the_owner_has_implicitly() {
    let owner = Credentials::unix(1000, 1, &[]);
    let rights = Identity::WellKnown(WellKnown::OwnerRights);
    let row = with_acl(vec![allow(rights, READ)]);
    assert!(has(&row, &owner, READ) && !has(&row, &owner, Rights::WRITE_ACL.0));
}

#[test]
fn audit_and_inherit_only_entries_decide_nothing() {
    let stranger = Credentials::unix(4000, 200, &[]);
    let row = inode(
        InodeKind::Directory,
        0,
        Some(list(vec![ace(AceType::Allow, EVERYONE, READ, INHERIT_ONLY | FILE_INHERIT)])),
    );
    assert!(!has(&row, &stranger, READ));
    let decided = evaluate(&[ace(AceType::Audit, EVERYONE, READ, 0)], |_| true);
    assert_eq!(decided, Decided::default());
}

#[test]
fn delete_needs_the_right_on_either_and_add_file_where_both_leave_it_open() {
    let user = Credentials::unix(4000, 200, &[]);
    let dir = |aces: Vec<Ace>| inode(InodeKind::Directory, 0o777, Some(list(aces)));
    let file = |aces: Vec<Ace>| inode(InodeKind::File, 0, Some(list(aces)));
    let (enter, child, delete) = (EXECUTE, Rights::DELETE_CHILD.0, Rights::DELETE.0);
    let may = |dir: &Inode, file: &Inode| check_delete(dir, file, &user).is_ok();
    let silent = file(vec![]);
    assert!(may(&dir(vec![allow(EVERYONE, enter | child)]), &silent));
    assert!(
        may(&dir(vec![allow(EVERYONE, enter | child)]), &file(vec![deny(EVERYONE, delete)])),
        "either is enough"
    );
    assert!(may(
        &dir(vec![allow(EVERYONE, enter), deny(EVERYONE, child)]),
        &file(vec![allow(EVERYONE, delete)])
    ));
    assert!(!may(&dir(vec![allow(EVERYONE, enter)]), &silent));
    assert!(!may(&dir(vec![allow(EVERYONE, child)]), &silent), "one must get there");
    let adder = dir(vec![allow(EVERYONE, enter | Rights::ADD_FILE.0)]);
    assert!(may(&adder, &silent) && has(&adder, &user, child));
    assert!(!may(&adder, &file(vec![deny(EVERYONE, delete)])), "an explicit denial closes it");
    let mut sticky = adder.clone();
    sticky.mode |= 0o1000;
    assert!(!may(&sticky, &silent));
    let plain = inode(InodeKind::Directory, 0o777, None);
    assert!(may(&plain, &file(vec![deny(EVERYONE, delete)])), "the write bit of a mode is explicit");
}

#[test]
fn write_owner_takes_for_oneself_and_gives_to_nobody() {
    let row = with_acl(vec![allow(Identity::Uid(7), Rights::WRITE_OWNER.0)]);
    let who = Credentials::unix(7, 70, &[71]);
    let owner = |uid| check_chown(&row, &who, Some(&Identity::Uid(uid)), None);
    assert_eq!((owner(7), owner(8)), (Ok(()), Err(FsError::NotPermitted)));
    let group = |gid| check_chown(&row, &who, None, Some(&Identity::Gid(gid)));
    assert_eq!((group(71), group(72)), (Ok(()), Err(FsError::NotPermitted)));
    let other = Credentials::unix(8, 70, &[]);
    assert!(check_chown(&row, &other, Some(&Identity::Uid(8)), None).is_err());
}

/// RFC 7530 §6.3.2: each class by its own entries and everybody's, in order; write needs both halves.
#[test]
fn mode_is_computed_per_class_from_its_and_everybodys_entries() {
    let acl = list(vec![
        allow(Identity::Uid(7), 0x1f_01ff),
        deny(OWNER, WRITE),
        allow(GROUP, WRITE),
        allow(EVERYONE, READ | WRITE | EXECUTE),
    ]);
    assert_eq!(acl.mode(), 0o577);
    let half = list(vec![allow(EVERYONE, READ | 0x2), allow(GROUP, 0x4)]);
    assert_eq!(half.mode(), 0o464, "WRITE_DATA without APPEND_DATA is no write bit");
    let ignored = list(vec![ace(AceType::Allow, EVERYONE, READ, INHERIT_ONLY)]);
    assert_eq!(ignored.mode(), 0);
    assert_eq!(Acl::default().mode(), 0o777, "the null list");
}

#[test]
fn every_mode_shows_a_list_that_says_the_same() {
    for kind in [InodeKind::File, InodeKind::Directory] {
        let is_dir = kind == InodeKind::Directory;
        for mode in 0..=0o777 {
            let acl = Acl::of_mode(mode, is_dir);
            assert_eq!(acl.mode(), mode);
            assert!(acl.is_trivial(is_dir));
            assert_eq!(
                acl.with_mode(0o640, is_dir, AclMode::Masked),
                None,
                "nothing of {mode:o} is worth keeping"
            );
            let (by_mode, by_acl) = (inode(kind, mode, None), inode(kind, mode, Some(acl)));
            for who in people() {
                assert_eq!(
                    granted(&by_mode, &who),
                    granted(&by_acl, &who),
                    "{mode:o} {kind:?} {}",
                    who.principal
                );
            }
        }
    }
}

#[test]
fn chmod_masks_the_named_and_keeps_what_is_inherited() {
    let inherited = ace(AceType::Allow, Identity::Gid(5), READ | WRITE, FILE_INHERIT | INHERIT_ONLY);
    let acl = list(vec![
        inherited.clone(),
        ace(
            AceType::Allow,
            Identity::Uid(7),
            READ | WRITE | Rights::WRITE_ACL.0,
            FILE_INHERIT | DIRECTORY_INHERIT,
        ),
        deny(Identity::Uid(8), READ),
        allow(OWNER, READ | WRITE | EXECUTE | Rights::WRITE_OWNER.0),
    ]);
    let after = acl.with_mode(0o640, true, AclMode::Masked).unwrap();
    let dacl = after.dacl.as_ref().unwrap();
    let expected = vec![
        inherited,
        ace(
            AceType::Allow,
            Identity::Uid(7),
            READ | WRITE | Rights::WRITE_ACL.0,
            FILE_INHERIT | DIRECTORY_INHERIT | INHERIT_ONLY,
        ),
        allow(Identity::Uid(7), READ | Rights::WRITE_ACL.0),
        deny(Identity::Uid(8), READ),
        allow(OWNER, Rights::WRITE_OWNER.0),
    ];
    assert_eq!(dacl[1..6], expected, "between the owner's entry and the group's");
    let passed = acl.with_mode(0o640, true, AclMode::Passthrough).unwrap();
    assert!(
        passed.dacl.unwrap().contains(&acl.dacl.as_ref().unwrap()[1]),
        "passthrough leaves the named alone"
    );
    assert_eq!(acl.with_mode(0o640, true, AclMode::Discard), None);
}

#[test]
fn change_of_mode_follows_the_share_and_a_list_wins_over_a_mode() {
    let acl = list(vec![allow(Identity::Uid(7), READ | WRITE), allow(OWNER, READ)]);
    let row = inode(InodeKind::File, 0o4400, Some(acl.clone()));
    let chmod = |mode| AttrPatch { mode: Patch::Set(mode), ..AttrPatch::default() };
    assert_eq!(changed(&row, &chmod(0o600), AclMode::Refuse), Err(FsError::NotPermitted));
    assert_eq!(changed(&row, &chmod(0o600), AclMode::Discard), Ok((0o600, None)));
    let (mode, kept) = changed(&row, &chmod(0o2640), AclMode::Masked).unwrap();
    assert_eq!((mode, kept.unwrap().mode()), (0o2640, 0o640));
    let high = AttrPatch { mode_mask: Some(0o7000), ..chmod(0o2777) };
    assert_eq!(
        changed(&row, &high, AclMode::Refuse),
        Ok((0o2400, row.acl.clone())),
        "no bit of the list is touched"
    );
    let both = AttrPatch { acl: Patch::Set(Arc::new(acl.clone())), ..chmod(0o1777) };
    assert_eq!(changed(&row, &both, AclMode::Refuse), Ok((0o1400, Some(Arc::new(acl)))));
    let trivial = AttrPatch { acl: Patch::Set(Arc::new(Acl::of_mode(0o751, false))), ..AttrPatch::default() };
    assert_eq!(
        changed(&row, &trivial, AclMode::Masked),
        Ok((0o4751, None)),
        "a list that says the mode is not kept"
    );
}

#[test]
fn chmod_of_an_auto_inherited_list_protects_it() {
    let acl = Acl { control: control::DACL_AUTO_INHERITED, ..list(vec![allow(Identity::Uid(7), READ)]) };
    let after = acl.with_mode(0o640, false, AclMode::Masked).unwrap();
    assert_eq!(after.control, control::DACL_AUTO_INHERITED | control::DACL_PROTECTED);
}

/// Every combination of inheritance flags, for a plain subject and a creator: flags that a file and a directory get.
#[test]
fn inheritance_of_every_flag_combination() {
    let (f, d, n, i) = (FILE_INHERIT, DIRECTORY_INHERIT, NO_PROPAGATE, INHERIT_ONLY);
    let heirs = |who: &Identity, flags, is_dir| -> Vec<(u16, Identity)> {
        let parent = list(vec![ace(AceType::Allow, who.clone(), READ, flags)]);
        let (owner, group) = (Identity::Uid(42), Identity::Gid(43));
        let got = parent.inherited(Heir { is_dir, owner: &owner, group: &group });
        got.map_or(vec![], |acl| {
            acl.dacl.unwrap().into_iter().map(|ace| (ace.flags & !INHERITED, ace.who)).collect()
        })
    };
    let plain = Identity::Gid(9);
    let creator = Identity::WellKnown(WellKnown::CreatorOwner);
    for only in [0, i] {
        let same = |flags: u16| vec![(flags, plain.clone())];
        for flags in [0, n, d, d | n] {
            assert!(heirs(&plain, flags | only, false).is_empty(), "a file wants FILE_INHERIT");
        }
        for flags in [f, f | n, f | d, f | d | n] {
            assert_eq!(heirs(&plain, flags | only, false), same(0));
            assert_eq!(heirs(&creator, flags | only, false), vec![(0, Identity::Uid(42))]);
        }
        for flags in [0, n, f | n] {
            assert!(heirs(&plain, flags | only, true).is_empty(), "{flags:x} ends here");
        }
        assert_eq!(heirs(&plain, f | only, true), same(f | i), "for the files below");
        for flags in [d, f | d] {
            assert_eq!(heirs(&plain, flags | only, true), same(flags));
            let twice = vec![(0, Identity::Uid(42)), (flags | i, creator.clone())];
            assert_eq!(heirs(&creator, flags | only, true), twice, "for itself and for below");
            assert_eq!(heirs(&plain, flags | n | only, true), same(0));
        }
    }
    let marked = list(vec![ace(AceType::Deny, plain, READ, f)]);
    let got = marked.inherited(Heir { is_dir: false, owner: &OWNER, group: &GROUP }).unwrap().dacl.unwrap();
    assert_eq!((got[0].flags, got[0].kind), (INHERITED, AceType::Deny));
}

fn born(kind: InodeKind, parent: Option<&AclRef>, asked: &AttrPatch, how: AclMode) -> (u16, Option<AclRef>) {
    let heir = Heir {
        is_dir: kind == InodeKind::Directory,
        owner: &Identity::Uid(1000),
        group: &Identity::Gid(100),
    };
    newborn(Newborn { kind, heir, parent, asked, default_mode: 0o644, umask: 0o027 }, how).unwrap()
}

/// RFC 7530 §6.4.3: mode and ACL given or not, with and without something to inherit.
#[test]
fn new_object_takes_list_then_inheritance_then_mode() {
    let named = ace(AceType::Allow, Identity::Uid(7), READ | WRITE | EXECUTE, FILE_INHERIT);
    let parent = Arc::new(list(vec![named.clone(), ace(AceType::Allow, OWNER, READ | WRITE, FILE_INHERIT)]));
    let (none, parent) = (AttrPatch::default(), Some(&parent));
    let mode = AttrPatch { mode: Patch::Set(0o4646), ..AttrPatch::default() };
    assert_eq!(born(InodeKind::File, None, &mode, AclMode::Masked), (0o4640, None), "mode and umask");
    let (bits, acl) = born(InodeKind::File, parent, &none, AclMode::Masked);
    assert_eq!(
        (bits, acl.unwrap().dacl.as_ref().unwrap().len()),
        (0o600, 2),
        "inherited unmodified decides the mode"
    );
    for (how, left) in
        [(AclMode::Masked, READ), (AclMode::Discard, READ), (AclMode::Passthrough, READ | WRITE | EXECUTE)]
    {
        let (bits, acl) = born(InodeKind::File, parent, &mode, how);
        let acl = acl.unwrap();
        assert_eq!((bits, acl.mode()), (0o4646, 0o646), "no umask where something is inherited");
        let of_named = acl.dacl.iter().flatten().find(|ace| ace.who == named.who).unwrap();
        assert_eq!(of_named.mask, left, "{how}");
    }
    let own = Arc::new(list(vec![allow(Identity::Gid(1), READ)]));
    let given = AttrPatch { acl: Patch::Set(own.clone()), ..mode };
    assert_eq!(born(InodeKind::File, parent, &given, AclMode::Masked), (0o4000, Some(own)), "no inheritance");
    assert_eq!(born(InodeKind::Symlink, parent, &none, AclMode::Masked), (0o777, None));
    assert_eq!(
        born(InodeKind::Directory, parent, &none, AclMode::Masked).1.unwrap().mode(),
        0,
        "entries for files only"
    );
}

#[test]
fn audit_entries_alone_do_not_open_the_new_object() {
    let audit = ace(AceType::Audit, EVERYONE, READ, FILE_INHERIT | flag::FAILED_ACCESS);
    let parent = Arc::new(Acl { sacl: Some(vec![audit]), ..list(vec![]) });
    let asked = AttrPatch { mode: Patch::Set(0o640), ..AttrPatch::default() };
    let (bits, acl) = born(InodeKind::File, Some(&parent), &asked, AclMode::Masked);
    let acl = acl.unwrap();
    assert_eq!((bits, acl.mode(), acl.sacl.as_ref().unwrap().len()), (0o640, 0o640, 1));
    assert!(acl.dacl.is_some(), "a null list would allow everything");
}

#[test]
fn stored_form_spells_generic_rights_out_and_refuses_what_it_does_not_know() {
    let all = list(vec![allow(EVERYONE, 0x1000_0000), allow(OWNER, 0x8000_0000)]).checked().unwrap();
    let masks: Vec<u32> = all.dacl.unwrap().iter().map(|ace| ace.mask).collect();
    assert_eq!(masks, vec![Rights::ALL.0, 0x12_0089]);
    let refused = [
        list(vec![allow(OWNER, 0x800)]),
        list(vec![ace(AceType::Audit, OWNER, 1, 0)]),
        list(vec![ace(AceType::Allow, OWNER, 1, 0x100)]),
        Acl { control: 1, ..list(vec![]) },
        Acl { sacl: Some(vec![allow(OWNER, 1)]), ..list(vec![]) },
        list(vec![allow(OWNER, 1); Acl::ACES_MAX + 1]),
    ];
    for acl in refused {
        assert_eq!(acl.checked(), Err(FsError::InvalidArgument));
    }
    assert!(list(vec![allow(OWNER, 1); Acl::ACES_MAX]).checked().is_ok());
    for (word, mode) in AclMode::WORDS {
        assert_eq!((word.parse(), mode.to_string().as_str()), (Ok(mode), word));
    }
    assert!("mask".parse::<AclMode>().is_err());
}

fn some_identity() -> impl Strategy<Value = Identity> {
    prop_oneof![
        Just(OWNER),
        Just(GROUP),
        Just(EVERYONE),
        Just(Identity::WellKnown(WellKnown::Authenticated)),
        Just(Identity::WellKnown(WellKnown::CreatorOwner)),
        Just(Identity::Sid(Bytes::from_static(b"sid"))),
        prop_oneof![Just(1000), Just(1001), Just(4000)].prop_map(Identity::Uid),
        prop_oneof![Just(100), Just(200), Just(300)].prop_map(Identity::Gid),
    ]
}

prop_compose! {
    fn some_ace()(deny: bool, who in some_identity(), mask in 0u32..=0x1f_01ff, flags in 0u16..16) -> Ace {
        let kind = if deny { AceType::Deny } else { AceType::Allow };
        ace(kind, who, mask & Rights::ALL.0, flags)
    }
}

fn some_list() -> impl Strategy<Value = Acl> {
    prop::collection::vec(some_ace(), 0..10).prop_map(list)
}

/// Asks about one right at a time, as the RFC words it: the first entry that applies and names the right decides.
fn judge(acl: &Acl, row: &Inode, who: &Credentials, right: u32) -> bool {
    for ace in acl.dacl.iter().flatten() {
        if ace.flags & INHERIT_ONLY != 0 || ace.mask & right == 0 {
            continue;
        }
        let applies = match &ace.who {
            Identity::WellKnown(WellKnown::Everyone | WellKnown::Authenticated) => true,
            Identity::WellKnown(WellKnown::Owner) => row.owner == Identity::Uid(who.uid),
            Identity::WellKnown(WellKnown::Group) => {
                who.groups.iter().chain([&who.gid]).any(|gid| row.group == Identity::Gid(*gid))
            }
            Identity::Uid(uid) => *uid == who.uid,
            Identity::Gid(gid) => who.groups.iter().chain([&who.gid]).any(|of| of == gid),
            Identity::Sid(sid) => who.sids.iter().any(|of| of == sid),
            _ => false,
        };
        if applies {
            return ace.kind == AceType::Allow;
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn granted_agrees_with_the_judge_on_every_right(acl in some_list(), is_dir: bool) {
        let kind = if is_dir { InodeKind::Directory } else { InodeKind::File };
        let row = inode(kind, 0o1000 | acl.mode(), Some(acl.clone()));
        for who in people() {
            let rights = granted(&row, &who);
            for bit in (0..21).map(|n| 1u32 << n).filter(|bit| Rights::ALL.0 & bit != 0) {
                let implicit = match Rights(bit) {
                    Rights::SYNCHRONIZE | Rights::READ_ATTRIBUTES => true,
                    Rights::WRITE_ACL | Rights::READ_ACL | Rights::WRITE_ATTRIBUTES => who.uid == 1000,
                    _ => false,
                };
                let expected = implicit || judge(&acl, &row, &who, bit);
                prop_assert_eq!(rights.0 & bit != 0, expected, "{:x} of {}", bit, &who.principal);
            }
        }
    }

    #[test]
    fn chmod_yields_the_mode_masks_the_named_and_is_idempotent(acl in some_list(), mode in 0u16..512, is_dir: bool) {
        let after = acl.with_mode(mode, is_dir, AclMode::Masked);
        let shown = after.clone().unwrap_or_else(|| Acl::of_mode(mode, is_dir));
        prop_assert_eq!(shown.mode(), mode);
        if let Some(after) = after {
            prop_assert_eq!(after.with_mode(mode, is_dir, AclMode::Masked), Some(after.clone()));
            let group = (mode >> 3) & 7;
            let beyond = [(4, READ), (2, WRITE), (1, EXECUTE)].iter().filter(|(bit, _)| group & bit == 0);
            let beyond = beyond.fold(0, |all, (_, mask)| all | mask);
            for ace in after.dacl.iter().flatten().filter(|ace| ace.is_effective() && ace.kind == AceType::Allow) {
                let special = ace.is_special();
                prop_assert!(special || ace.mask & beyond == 0, "{:?} beyond the group's bits", ace);
            }
            let below = |acl: &Acl| acl.dacl.iter().flatten().filter(|ace| is_dir && ace.is_inheritable())
                .map(|ace| Ace { flags: ace.flags | INHERIT_ONLY, ..ace.clone() }).collect::<Vec<_>>();
            prop_assert_eq!(below(&after), below(&acl), "what is inherited stays");
        }
        let passed = acl.with_mode(mode, is_dir, AclMode::Passthrough);
        prop_assert_eq!(passed.unwrap_or_else(|| Acl::of_mode(mode, is_dir)).mode(), mode);
    }

    #[test]
    fn chmod_of_the_owner_is_what_the_owner_gets(acl in some_list(), mode in 0u16..512, is_dir: bool) {
        let kind = if is_dir { InodeKind::Directory } else { InodeKind::File };
        let row = inode(kind, mode, acl.with_mode(mode, is_dir, AclMode::Masked));
        for who in people().into_iter().filter(|who| who.uid == 1000) {
            let rights = granted(&row, &who);
            for (bit, right) in [(0o400, READ), (0o200, WRITE), (0o100, EXECUTE)] {
                prop_assert_eq!(rights.has(Rights(right)), mode & bit != 0, "{:o} of {:o}", bit, mode);
            }
        }
    }
}

//! Rows: round trips, golden bytes, kept tails, hostile bytes.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::share::SnapshotMark;
use super::*;
use crate::{Dentry, PackRow, PackState, ReplayOp, ReplayOutcome, ShareRecord};
use bytes::Bytes;
use dfs_model::*;
use std::sync::Arc;

fn full_inode() -> InodeRow {
    let at = |n: i64| Timestamp::new(-n, n as u32);
    let inode = Inode {
        id: InodeId(0x1122),
        generation: Generation(3),
        kind: InodeKind::Symlink,
        mode: 0o7654,
        nlink: 9,
        owner: Identity::Uid(0x0102_0304),
        group: Identity::Sid(Bytes::from_static(&[1, 5])),
        size: 1 << 40,
        allocated: 77,
        atime: at(1),
        mtime: at(2),
        ctime: at(3),
        btime: at(4),
        change: Change(10),
        born: Change(11),
        dos: 0x21,
        create_verifier: Some([8; 8]),
        acl: None,
        parent: InodeId(12),
        flags: InodeFlags(0x81),
        link_target: Some(Bytes::from_static(b"to")),
        device: DeviceNumber { major: 13, minor: 14 },
        flushed_seq: Seq(15),
        mode_change: Change(16),
        dos_change: Change(17),
    };
    InodeRow {
        inode,
        acl_hash: Some([0xaa; 16]),
        last_cookie: Cookie(18),
        tail: Bytes::from_static(b"newer"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn inode_row_round_trips_with_its_tail_and_refuses_cut_bytes() {
    let row = full_inode();
    let bytes = row.encode();
    assert_eq!(InodeRow::decode(row.inode.id, &bytes).unwrap(), row);
    let known = bytes.len() - row.tail.len();
    for len in 0..known {
        assert!(InodeRow::decode(row.inode.id, &bytes[..len]).is_err(), "{len} of {known} bytes");
    }
}

#[test]
fn inode_row_of_a_newer_version_is_refused() {
    let mut bytes = full_inode().encode().to_vec();
    bytes[0] = 2;
    assert_eq!(InodeRow::decode(InodeId(1), &bytes), Err(crate::wire::BadRow::Version(2)));
}

#[test]
fn inode_row_v1_bytes_are_golden() {
    let wanted = concat!(
        "0103ac0f",
        "09000000",
        "81000000",
        "21000000",
        "03000000",
        "0000000000010000",
        "4d00000000000000",
        "ffffffffffffffff01000000",
        "feffffffffffffff02000000",
        "fdffffffffffffff03000000",
        "fcffffffffffffff04000000",
        "0a00000000000000",
        "0b00000000000000",
        "0c00000000000000",
        "0f00000000000000",
        "1000000000000000",
        "1100000000000000",
        "1200000000000000",
        "0d000000",
        "0e000000",
        "07",
        "0004030201",
        "0202000105",
        "0808080808080808",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "0200746f",
        "6e65776572",
    );
    assert_eq!(hex(&full_inode().encode()), wanted);
}

#[test]
fn dentry_rows_round_trip_with_their_tail() {
    let dentry = Dentry {
        dir: InodeId(5),
        name: Name::try_from("na\u{ef}ve").unwrap(),
        inode: InodeId(6),
        kind: InodeKind::Fifo,
        cookie: Cookie(7),
        born: Change(8),
        delete_pending: true,
    };
    let row = DentryRow { dentry: dentry.clone(), tail: Bytes::from_static(b"tail") };
    let by_name = DentryRow::decode_by_name(dentry.dir, dentry.name.clone(), &row.encode_by_name()).unwrap();
    let by_cookie = DentryRow::decode_by_cookie(dentry.dir, dentry.cookie, &row.encode_by_cookie()).unwrap();
    assert_eq!((&by_name, &by_cookie), (&row, &row));
    let golden = "01060106000000000000000800000000000000";
    assert_eq!(hex(&row.encode_by_name()), format!("{golden}07000000000000007461696c"));
    assert_eq!(hex(&row.encode_by_cookie()), format!("{golden}066e61c3af76657461696c"));
}

#[test]
fn pack_row_round_trips_and_its_bytes_are_golden() {
    let row = PackRow {
        pack: PackId(1),
        state: PackState::Live,
        len: 2,
        live_bytes: 3,
        since: Timestamp::new(4, 5),
        epoch: Epoch(6),
    };
    let ledger = PackLedgerRow { row, tail: Bytes::from_static(b"t") };
    assert_eq!(PackLedgerRow::decode(PackId(1), &ledger.encode()).unwrap(), ledger);
    assert_eq!(
        hex(&ledger.encode()),
        "01020200000000000000030000000000000004000000000000000500000006000000".to_owned() + "74"
    );
}

#[test]
fn replay_row_round_trips_and_answers_its_own_key_only() {
    let key = ReplayKey::Slot { session: [4; 16], slot: 1, sequence: 2, op: 3 };
    let pre =
        PreAttrs { size: 1, mtime: Timestamp::new(2, 3), ctime: Timestamp::new(4, 5), change: Change(6) };
    let outcome = ReplayOutcome {
        op: ReplayOp::Rename,
        inode: InodeId(7),
        dir: InodeId(8),
        dir_pre: pre,
        to_dir: Some((InodeId(9), pre)),
        at: Timestamp::new(10, 11),
    };
    let bytes = replay::encode(&key, &outcome);
    assert_eq!(replay::decode(&key, &bytes).unwrap(), Some(outcome.clone()));
    assert_eq!(replay::decode_any(&bytes).unwrap(), outcome);
    let other = ReplayKey::Slot { session: [4; 16], slot: 1, sequence: 3, op: 3 };
    assert_eq!(replay::decode(&other, &bytes).unwrap(), None);
}

#[test]
fn share_record_and_head_round_trip_with_their_tails() {
    let record = ShareRecord {
        share: ShareId(1),
        name: "Büro".into(),
        incarnation: Generation(2),
        fsid: 3,
        handle_key: [4; 16],
        fold_version: 5,
        block_size: 1 << 18,
        created: Timestamp::new(6, 7),
        epoch: Epoch(0),
        settings: vec![("a".into(), "b".into()), ("c".into(), String::new())],
    };
    let bytes = share::encode_record(&record, b"tail");
    assert_eq!(share::decode_record(ShareId(1), &bytes).unwrap(), (record, Bytes::from_static(b"tail")));
    let head = Head {
        epoch: Epoch(1),
        ends_below: Epoch(2),
        next_inode: InodeId(3),
        bytes: 4,
        inodes: 5,
        incarnation: Generation(6),
        snapshots: Default::default(),
        tail: Bytes::from_static(b"x"),
    };
    assert_eq!(Head::decode(&head.encode()).unwrap(), head);
    assert_eq!(
        hex(&head.encode()),
        "0101000000020000000300000000000000040000000000000005000000000000000600000078"
    );
    let snapshots = SnapshotMark { last: SnapshotId(7), newest: SnapshotId(8), inodes_below: InodeId(9) };
    let head = Head { snapshots, ..head };
    assert_eq!(Head::decode(&head.encode()).unwrap(), head);
    assert_eq!(
        hex(&head.encode()),
        "02010000000200000003000000000000000400000000000000050000000000000006000000070000000000000008000000000000000900000000000000\
        78"
    );
    let snapshot = snapshot::SnapshotRow {
        snapshot: crate::Snapshot {
            id: SnapshotId(1),
            name: Name::try_from("mon").unwrap(),
            origin: crate::SnapshotOrigin::Schedule,
            taken: Timestamp::new(2, 3),
            change: Change(4),
            inodes_below: InodeId(5),
        },
        deleted: true,
        tail: Bytes::from_static(b"t"),
    };
    assert_eq!(snapshot::SnapshotRow::decode(SnapshotId(1), &snapshot.encode()).unwrap(), snapshot);
    assert_eq!(
        hex(&snapshot.encode()),
        "010103006d6f6e010200000000000000030000000400000000000000050000000000000074"
    );
}

#[test]
fn acl_form_round_trips_null_empty_and_every_identity() {
    let ace = |who| Ace { kind: AceType::Deny, flags: 0x1234, mask: 0x001f_01ff, who };
    let everyone = vec![
        ace(Identity::Uid(1)),
        ace(Identity::Gid(2)),
        ace(Identity::Sid(Bytes::from_static(&[1, 2, 3]))),
        ace(Identity::WellKnown(WellKnown::Service)),
        ace(Identity::Opaque { domain: "d".into(), name: "n".into() }),
    ];
    for (dacl, sacl) in [(None, None), (Some(vec![]), None), (Some(everyone.clone()), Some(everyone))] {
        let acl = Arc::new(Acl { control: 7, dacl, sacl });
        assert_eq!(super::identity::decode_acl(&super::identity::encode_acl(&acl)).unwrap(), *acl);
    }
}

#[test]
fn rows_of_random_bytes_never_panic() {
    let mut random = crate::conformance::model::Random(1);
    for _ in 0..20_000 {
        let len = random.below(260) as usize;
        let mut bytes: Vec<u8> = (0..len).map(|_| random.draw() as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let _ = InodeRow::decode(InodeId(1), &bytes);
        let _ = DentryRow::decode_by_cookie(InodeId(1), Cookie(1), &bytes);
        let _ = PackLedgerRow::decode(PackId(1), &bytes);
        let _ = Head::decode(&bytes);
        let _ = share::decode_record(ShareId(1), &bytes);
        let _ = replay::decode_any(&bytes);
        let _ = super::identity::decode_acl(&bytes);
        let _ = crate::kv::Batch::decode(&bytes);
    }
}

//! "Who breaks what" (SEAM §2), one test per row: every column's holder is set up, the request is made, and the answer
//! and the break are compared with the cell as it is written in the table.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
use common::*;
use dfs_locks::*;
use dfs_model::{Actor, FsError, Rights};

/// Columns of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    R,
    W,
    H,
    DelegationRead,
    DelegationWrite,
    Denying,
    SmbLock,
    PosixLock,
}
use Holder::*;
const COLUMNS: [Holder; 8] = [R, W, H, DelegationRead, DelegationWrite, Denying, SmbLock, PosixLock];

/// Cells of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// "–": granted, nothing broken.
    Free,
    /// Break to the bits, no wait.
    Break(LeaseBits),
    /// Break to the bits, wait.
    Wait(LeaseBits),
    /// An error.
    No(Refusal),
    /// The holder cannot exist beside what the requester has already.
    Never,
}
use Cell::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Share,
    Io,
    Range,
    Lock,
    InUse,
}

fn refusal(error: &FsError) -> Refusal {
    match error {
        FsError::ShareDenied => Refusal::Share,
        FsError::IoDenied => Refusal::Io,
        FsError::RangeLocked => Refusal::Range,
        FsError::LockDenied { .. } => Refusal::Lock,
        FsError::InUse { .. } => Refusal::InUse,
        other => panic!("not in the matrix: {other:?}"),
    }
}

const RECALL: Cell = Wait(LeaseBits::NONE);

/// Sets the column's holder up.
fn hold(table: &ClaimTable, holder: Holder) -> bool {
    let lease = |bits| leased(table, key_lease(9, 9, bits)).bits == bits;
    let delegation =
        |bits| leased(table, LeaseAsk::new(v4(9), FILE, LeaseKind::Delegation, bits)).bits == bits;
    match holder {
        R => lease(LeaseBits::R),
        W => lease(LeaseBits::RW),
        H => lease(LeaseBits::RH),
        DelegationRead => delegation(LeaseBits::R),
        DelegationWrite => delegation(LeaseBits::RW),
        Denying => {
            matches!(table.admit(Request::Open(open(smb(9), READ, Uses::SHARED)), NOW), Admission::Granted(_))
        }
        SmbLock => {
            let holder = opened(table, open(smb(9), READ, Uses::NONE));
            let ask = lock(through(smb(9), holder.open), Flavour::PerOpen, span(0, 9), true, LockWait::Never);
            matches!(table.admit(Request::Lock(ask), NOW), Admission::Granted(_))
        }
        PosixLock => {
            let ask = lock(owned(nfs3(9), b"9"), Flavour::Posix, span(0, 9), true, LockWait::Recall);
            matches!(table.admit(Request::Lock(ask), NOW), Admission::Granted(_))
        }
    }
}

/// Makes the row's request against each column's holder and compares.
fn row(binding: Binding, request: impl Fn(&ClaimTable, bool) -> Option<Request>, cells: [Cell; 8]) {
    for (holder, want) in COLUMNS.into_iter().zip(cells) {
        let table = table_with(|settings| settings.binding = binding);
        // Requests through an open need it before the holder comes.
        let early = request(&table, true);
        if want == Never {
            assert!(!hold(&table, holder), "{holder:?} was granted although the matrix has no such cell");
            continue;
        }
        assert!(hold(&table, holder), "{holder:?} could not be set up");
        let _ = table.drain_notices();
        let request = early.or_else(|| request(&table, false)).unwrap();
        let admission = table.admit(request, NOW);
        let broken = breaks(&table);
        let to = broken.first().map(|(_, _, to, _)| *to);
        assert!(broken.len() <= 1, "{holder:?}: {broken:?}");
        let got = match (&admission, to) {
            (Admission::Granted(_), None) => Free,
            (Admission::Granted(_), Some(to)) => Break(to),
            (Admission::Wait(_), Some(to)) => Wait(to),
            (Admission::Refused(error), None) => No(refusal(error)),
            other => panic!("{holder:?}: {other:?}"),
        };
        assert_eq!(got, want, "{holder:?}");
    }
}

fn plain(request: impl Fn() -> Request) -> impl Fn(&ClaimTable, bool) -> Option<Request> {
    move |_, early| (!early).then(&request)
}

fn opening(actor: Actor, access: Rights, truncate: bool) -> impl Fn(&ClaimTable, bool) -> Option<Request> {
    plain(move || {
        let mut ask = open(actor.clone(), access, Uses::NONE);
        ask.truncate = truncate.then(|| span(0, 99));
        Request::Open(ask)
    })
}

fn smb_io(access: Rights, kind: IoKind) -> impl Fn(&ClaimTable, bool) -> Option<Request> {
    move |table, early| {
        early.then(|| {
            let mine = opened(table, open(smb(1), access, Uses::NONE));
            io(through(smb(1), mine.open), kind, span(5, 6))
        })
    }
}

#[test]
fn stat_open_disturbs_nobody() {
    let stat = Rights::READ_ATTRIBUTES.and(Rights::SYNCHRONIZE).and(Rights::WRITE_ATTRIBUTES);
    row(Binding::Enforce, opening(smb(1), stat, false), [Free; 8]);
    // Lease holders tolerate READ_CONTROL too.
    row(Binding::Enforce, opening(smb(1), stat.and(Rights::READ_ACL), false), [Free; 8]);
}

#[test]
fn stat_open_with_read_control_breaks_an_oplock() {
    for (access, want) in [(Rights::READ_ATTRIBUTES, 0), (Rights::READ_ACL, 1), (Rights::READ_NAMED_ATTRS, 1)]
    {
        let table = table();
        let mut ask = open(smb(9), READ, Uses::NONE);
        ask.lease = Some(LeaseAsk::new(smb(9), FILE, LeaseKind::Oplock, LeaseBits::RWH));
        assert_eq!(opened(&table, ask).lease.unwrap().bits, LeaseBits::RWH);
        let admission = table.admit(Request::Open(open(smb(1), access, Uses::NONE)), NOW);
        assert_eq!(breaks(&table).len(), want, "{access:?}: {admission:?}");
    }
}

#[test]
fn open_for_read_breaks_w_and_recalls_write_delegations() {
    let cells = [Free, Wait(LeaseBits::R), Free, Free, RECALL, No(Refusal::Share), Free, Free];
    row(Binding::Enforce, opening(smb(1), READ, false), cells);
    row(Binding::Enforce, opening(smb(1), Rights::EXECUTE, false), cells);
    row(Binding::Enforce, opening(v4(1), READ, false), cells);
    // Deny modes between opens bind NFSv4 even where they only advise I/O.
    row(Binding::Advise, opening(v4(1), READ, false), cells);
}

#[test]
fn open_for_extended_attributes_breaks_w_but_meets_no_deny_mode() {
    let cells = [Free, Wait(LeaseBits::R), Free, Free, RECALL, Free, Free, Free];
    row(Binding::Enforce, opening(smb(1), Rights::READ_NAMED_ATTRS, false), cells);
}

#[test]
fn open_for_write_recalls_read_delegations_too() {
    let cells = [Free, Wait(LeaseBits::R), Free, RECALL, RECALL, No(Refusal::Share), Free, Free];
    row(Binding::Enforce, opening(smb(1), WRITE, false), cells);
    row(Binding::Enforce, opening(v4(1), Rights::APPEND_DATA, false), cells);
}

#[test]
fn open_truncating_breaks_all_and_is_a_write_on_the_cut_range() {
    let leases = [Break(LeaseBits::NONE), RECALL, RECALL, RECALL, RECALL, No(Refusal::Share)];
    let cells = |locks: [Cell; 2]| {
        [leases[0], leases[1], leases[2], leases[3], leases[4], leases[5], locks[0], locks[1]]
    };
    let range = No(Refusal::Range);
    row(Binding::Enforce, opening(smb(1), WRITE, true), cells([range, range]));
    row(Binding::Enforce, opening(v4(1), WRITE, true), cells([range, Free]));
    row(Binding::Advise, opening(v4(1), WRITE, true), cells([Free, Free]));
}

#[test]
fn read_stateless_breaks_w_and_meets_deny_modes_and_smb_locks() {
    let request = || plain(|| io(nfs3(1), IoKind::Read, span(5, 6)));
    let (denied, locked) = (No(Refusal::Io), No(Refusal::Range));
    row(Binding::Enforce, request(), [Free, Wait(LeaseBits::R), Free, Free, RECALL, denied, locked, Free]);
    row(Binding::Advise, request(), [Free, Wait(LeaseBits::R), Free, Free, RECALL, Free, Free, Free]);
    let bypass = plain(|| io(v4(1), IoKind::ReadBypass, span(5, 6)));
    row(Binding::Enforce, bypass, [Free, Wait(LeaseBits::R), Free, Free, RECALL, Free, Free, Free]);
}

#[test]
fn read_by_smb_meets_locks_of_both_flavours() {
    let cells = [Free, Never, Free, Free, Never, Never, No(Refusal::Range), No(Refusal::Range)];
    row(Binding::Enforce, smb_io(READ, IoKind::Read), cells);
}

#[test]
fn write_stateless_breaks_everything_and_waits_only_for_w() {
    let none = LeaseBits::NONE;
    let request = || plain(|| io(nfs3(1), IoKind::Write, span(5, 6)));
    let leases = [Break(none), Wait(none), Break(none), RECALL, RECALL];
    let cells =
        |rest: [Cell; 3]| [leases[0], leases[1], leases[2], leases[3], leases[4], rest[0], rest[1], rest[2]];
    row(Binding::Enforce, request(), cells([No(Refusal::Io), No(Refusal::Range), Free]));
    row(Binding::Advise, request(), cells([Free, Free, Free]));
}

#[test]
fn write_by_smb_breaks_r_and_meets_locks_of_both_flavours() {
    let none = LeaseBits::NONE;
    let locked = No(Refusal::Range);
    let cells = [Break(none), Never, Break(none), Never, Never, Never, locked, locked];
    row(Binding::Enforce, smb_io(WRITE, IoKind::Write), cells);
}

#[test]
fn lock_request_breaks_r_and_waits_for_w() {
    let none = LeaseBits::NONE;
    let cells =
        [Break(none), Wait(none), Break(none), RECALL, RECALL, Free, No(Refusal::Lock), No(Refusal::Lock)];
    let nlm = || lock(owned(nfs3(1), b"1"), Flavour::Posix, span(9, 20), true, LockWait::Recall);
    row(Binding::Enforce, plain(|| Request::Lock(nlm())), cells);
    // FAIL_IMMEDIATELY never waits, not even for a recall; the break is begun all the same.
    let table = table();
    assert!(hold(&table, W));
    let now = LockAsk { wait: LockWait::Never, ..nlm() };
    assert_eq!(refusal(&refused(table.admit(Request::Lock(now), NOW))), Refusal::Lock);
    assert_eq!(breaks(&table).len(), 1);
}

#[test]
fn set_attr_recalls_delegations_only() {
    let cells = [Free, Free, Free, RECALL, RECALL, Free, Free, Free];
    row(Binding::Enforce, plain(|| set_attr(nfs3(1))), cells);
    row(Binding::Enforce, plain(|| name(nfs3(1), FILE, NameRole::LinkSource)), cells);
}

#[test]
fn remove_breaks_h_then_meets_opens_that_deny_deletion() {
    let request = || plain(|| name(nfs3(1), FILE, NameRole::Victim));
    let cells = |denied| [Free, Free, Wait(LeaseBits::R), RECALL, RECALL, denied, Free, Free];
    row(Binding::Enforce, request(), cells(No(Refusal::InUse)));
    row(Binding::Advise, request(), cells(Free));
}

#[test]
fn change_in_directory_breaks_its_leases_to_none_in_one_notice() {
    for (bits, want) in [(LeaseBits::R, false), (LeaseBits::RH, true)] {
        let table = table();
        let mut ask = key_lease(9, 9, bits);
        (ask.inode, ask.directory) = (DIR, true);
        assert_eq!(leased(&table, ask.clone()).bits, bits);
        let _going_on = granted(table.admit(name(nfs3(1), DIR, NameRole::Entries), NOW));
        let broken = breaks(&table);
        assert_eq!(broken.len(), 1);
        assert_eq!((broken[0].1, broken[0].2, broken[0].3), (bits, LeaseBits::NONE, want));
    }
}

#[test]
fn change_in_directory_with_the_parent_key_breaks_nothing() {
    let table = table();
    let mut ask = key_lease(9, 9, LeaseBits::RH);
    (ask.inode, ask.directory) = (DIR, true);
    leased(&table, ask);
    let mut actor = smb(9);
    actor.parent_lease_key = Some(key(9, 9));
    let _own = granted(table.admit(name(actor, DIR, NameRole::Entries), NOW));
    assert!(breaks(&table).is_empty());
    // Its own key alone is another file's lease, not the parent's.
    let _other = granted(table.admit(name(with_key(smb(9), key(9, 9)), DIR, NameRole::Entries), NOW));
    assert_eq!(breaks(&table).len(), 1);
}

#[test]
fn change_in_directory_recalls_its_delegation_unless_the_holder_is_notified() {
    for notified in [false, true] {
        let table = table();
        let mut ask = LeaseAsk::new(v4(9), DIR, LeaseKind::Delegation, LeaseBits::R);
        (ask.directory, ask.notified) = (true, notified);
        assert!(leased(&table, ask).claim.is_some());
        let admission = table.admit(name(nfs3(1), DIR, NameRole::Entries), NOW);
        assert_eq!(matches!(admission, Admission::Wait(_)), !notified);
        let _own = granted(table.admit(name(v4(9), DIR, NameRole::Entries), NOW));
    }
}

#[test]
fn rename_of_directory_breaks_h_below_then_meets_smb_opens() {
    for posix in [true, false] {
        let table = table();
        let mut ask = open(smb(9), READ, Uses::NONE);
        ask.parent = Some(dfs_model::InodeId(DIR.0 + 5));
        ask.lease = Some(key_lease(9, 9, LeaseBits::RWH));
        let held = opened(&table, ask);
        let rename = || name(smb(1), DIR, NameRole::MovedDirectory { posix });
        let ticket = waits(table.admit(rename(), NOW));
        let broken = breaks(&table);
        assert_eq!((broken.len(), broken[0].1, broken[0].2), (1, LeaseBits::RWH, LeaseBits::RW), "H alone");
        table.lease_ack(broken[0].0, LeaseBits::RW, None, NOW).unwrap();
        match table.retry(ticket, NOW) {
            Admission::Granted(_) => assert!(posix),
            Admission::Refused(FsError::InUse { is_dir: true }) => assert!(!posix),
            other => panic!("{other:?}"),
        }
        table.close(held.open, NOW).unwrap();
        let _moving = granted(table.admit(rename(), NOW));
        let above = name(smb(1), dfs_model::InodeId(DIR.0 + 9), NameRole::MovedDirectory { posix: false });
        let _elsewhere = granted(table.admit(above, NOW));
    }
}

#[test]
fn open_denied_by_an_open_with_h_breaks_h_and_tests_again() {
    for closes in [true, false] {
        let table = table();
        let mut ask = open(smb(9), READ, Uses::SHARED);
        ask.lease = Some(key_lease(9, 9, LeaseBits::RWH));
        let held = opened(&table, ask);
        let ticket = waits(table.admit(Request::Open(open(smb(1), READ, Uses::NONE)), NOW));
        let broken = breaks(&table);
        assert_eq!((broken.len(), broken[0].2), (1, LeaseBits::RW), "H goes before the deny test decides");
        if closes {
            table.close(held.open, NOW).unwrap();
            assert!(matches!(table.retry(ticket, NOW), Admission::Granted(_)));
        } else {
            table.lease_ack(broken[0].0, LeaseBits::RW, None, NOW).unwrap();
            assert_eq!(refused(table.retry(ticket, NOW)), FsError::ShareDenied);
            assert!(breaks(&table).is_empty(), "W stays when the open is refused");
        }
    }
}

#[test]
fn own_claims_are_no_obstacle() {
    // Key: a second open and I/O under the same lease key.
    let table = table();
    let mut ask = open(smb(9), READ, Uses::NONE);
    ask.lease = Some(key_lease(9, 9, LeaseBits::RWH));
    opened(&table, ask.clone());
    let second = opened(&table, ask);
    assert_eq!(second.lease.unwrap().bits, LeaseBits::RWH);
    let _write = granted(
        table.admit(io(with_key(through(smb(9), second.open), key(9, 9)), IoKind::Write, span(0, 9)), NOW),
    );
    // Client: a delegation and its own stateless I/O, lock and attribute change.
    let table = common::table();
    leased(&table, LeaseAsk::new(v4(9), FILE, LeaseKind::Delegation, LeaseBits::RW));
    let _write = granted(table.admit(io(v4(9), IoKind::Write, span(0, 9)), NOW));
    let mine = lock(owned(v4(9), b"o"), Flavour::Posix, span(0, 9), true, LockWait::Recall);
    granted(table.admit(Request::Lock(mine), NOW));
    let _attr = granted(table.admit(set_attr(v4(9)), NOW));
    let _victim = granted(table.admit(name(v4(9), FILE, NameRole::Victim), NOW));
    assert!(breaks(&table).is_empty());
}

#[test]
fn smb_write_meets_its_own_shared_lock_and_not_its_own_exclusive_one() {
    for (exclusive, passes) in [(true, true), (false, false)] {
        let table = table();
        let mine = through(smb(1), opened(&table, open(smb(1), READ.and(WRITE), Uses::NONE)).open);
        granted(table.admit(
            Request::Lock(lock(mine.clone(), Flavour::PerOpen, span(0, 9), exclusive, LockWait::Never)),
            NOW,
        ));
        let write = table.admit(io(mine.clone(), IoKind::Write, span(5, 6)), NOW);
        assert_eq!(matches!(write, Admission::Granted(_)), passes, "{write:?}");
        let _read = granted(table.admit(io(mine, IoKind::Read, span(5, 6)), NOW));
        // A shared lock lets others read and nobody write.
        let read = table.admit(io(nfs3(1), IoKind::Read, span(5, 6)), NOW);
        assert_eq!(matches!(read, Admission::Granted(_)), !exclusive);
        assert_eq!(refused(table.admit(io(nfs3(1), IoKind::Write, span(5, 6)), NOW)), FsError::RangeLocked);
    }
}

#[test]
fn empty_range_takes_no_claim_and_breaks_nothing() {
    for holder in COLUMNS {
        let table = table();
        assert!(hold(&table, holder));
        let before = table.claims_on(FILE).len();
        let empty = dfs_model::ByteRange::Empty { at: 5 };
        let guard = granted(table.admit(io(nfs3(1), IoKind::Write, empty), NOW));
        assert_eq!((table.claims_on(FILE).len(), breaks(&table).len()), (before, 0), "{holder:?}");
        drop(guard);
    }
}

#[test]
fn streams_are_apart_for_data_and_together_for_deletion() {
    let table = table();
    opened(&table, open(smb(9), READ, Uses::SHARED));
    let mut ask = open(smb(1), READ, Uses::NONE);
    ask.stream = StreamId(7);
    opened(&table, ask.clone());
    ask.access = Rights::DELETE;
    assert_eq!(refused(table.admit(Request::Open(ask), NOW)), FsError::ShareDenied);
    let mut read =
        IoAsk { actor: nfs3(1), inode: FILE, stream: StreamId(7), kind: IoKind::Read, range: span(0, 1) };
    let _stream = granted(table.admit(Request::Io(read.clone()), NOW));
    read.stream = StreamId::MAIN;
    assert_eq!(refused(table.admit(Request::Io(read), NOW)), FsError::IoDenied);
}

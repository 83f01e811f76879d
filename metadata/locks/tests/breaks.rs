//! Breaks: notices, answers, merges, deadlines, questions to holders, grants beside I/O in flight.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
use common::*;
use dfs_locks::*;
use dfs_model::{FsError, Rights};
use std::time::Duration;

fn rwh(table: &ClaimTable) -> ClaimId {
    let mut ask = open(smb(9), READ.and(WRITE), Uses::NONE);
    ask.lease = Some(key_lease(9, 9, LeaseBits::RWH));
    let lease = opened(table, ask).lease.unwrap();
    assert_eq!(lease.bits, LeaseBits::RWH);
    lease.claim.unwrap()
}

#[test]
fn ack_above_the_target_or_without_a_break_is_refused() {
    let table = table();
    let lease = rwh(&table);
    assert_eq!(table.lease_ack(lease, LeaseBits::R, None, NOW), Err(FsError::InvalidArgument));
    let _ticket = waits(table.admit(io(nfs3(1), IoKind::Read, span(0, 9)), NOW));
    assert_eq!(table.lease_ack(lease, LeaseBits::RWH, None, NOW), Err(FsError::InvalidArgument));
    assert_eq!(table.lease_ack(lease, LeaseBits::RH, Some(77), NOW), Err(FsError::InvalidArgument));
    assert_eq!(table.lease_ack(lease, LeaseBits::RH, None, NOW), Ok(LeaseBits::RH));
    assert_eq!(table.lease_ack(ClaimId(999), LeaseBits::R, None, NOW), Err(FsError::OpenUnknown));
}

#[test]
fn second_conflict_while_breaking_merges_and_the_next_notice_follows_the_ack() {
    let table = table();
    let lease = rwh(&table);
    let read = waits(table.admit(io(nfs3(1), IoKind::Read, span(0, 9)), NOW));
    assert_eq!(breaks(&table), vec![(lease, LeaseBits::RWH, LeaseBits::RH, true)]);
    let mut write = waits(table.admit(io(nfs3(2), IoKind::Write, span(0, 9)), NOW));
    let _again = waits(table.admit(io(nfs3(3), IoKind::Write, span(0, 9)), NOW));
    assert_eq!(breaks(&table), vec![], "a running break is not told twice");
    assert!(!ready(&mut write));
    let epoch = table.claim(lease).unwrap().lease().unwrap().state.epoch();
    table.lease_ack(lease, LeaseBits::RH, Some(epoch), NOW).unwrap();
    assert_eq!(breaks(&table), vec![(lease, LeaseBits::RH, LeaseBits::NONE, true)]);
    assert_eq!(table.claim(lease).unwrap().lease().unwrap().state.epoch(), epoch + 1, "one step per notice");
    assert!(ready(&mut write));
    let _read = granted(table.retry(read, NOW));
    // The matrix does not wait for H and R: the write goes on while the holder gives them up.
    let _write = granted(table.retry(write, NOW));
    table.lease_ack(lease, LeaseBits::NONE, None, NOW).unwrap();
    assert_eq!(table.claim(lease).unwrap().bits(), LeaseBits::NONE, "the key lives on with its open");
}

#[test]
fn unanswered_break_is_revoked_by_the_clock_alone() {
    let table = table();
    let lease = rwh(&table);
    let mut write = waits(table.admit(io(nfs3(1), IoKind::Write, span(0, 9)), NOW));
    assert_eq!(table.next_deadline(), Some(after(35)));
    table.tick(after(34));
    assert!(!ready(&mut write));
    let _ = table.drain_notices();
    table.tick(after(35));
    assert!(ready(&mut write));
    assert!(
        matches!(table.drain_notices()[..], [Notice { body: NoticeBody::Revoked { claim }, .. }] if claim == lease)
    );
    let _write = granted(table.retry(write, after(35)));
    assert_eq!(table.next_deadline(), None);
}

#[test]
fn revoked_delegation_conflicts_with_nothing_and_stays_listed_until_freed() {
    let table = table();
    let lease =
        leased(&table, LeaseAsk::new(v4(9), FILE, LeaseKind::Delegation, LeaseBits::RW)).claim.unwrap();
    let write = waits(table.admit(io(nfs3(1), IoKind::Write, span(0, 9)), NOW));
    table.tick(after(90));
    let _write = granted(table.retry(write, after(90)));
    assert!(table.claims_of(&v4(9).client)[0].revoked);
    assert_eq!(table.lease_return(lease, after(90)), Err(FsError::Revoked));
    assert!(table.forget(lease, after(91)).unwrap().is_none());
    assert!(table.claims_of(&v4(9).client).is_empty());
}

#[test]
fn batch_oplock_breaks_to_level_two_and_exclusive_with_it() {
    for bits in [LeaseBits::RW, LeaseBits::RWH] {
        let table = table();
        let mut ask = open(smb(9), READ, Uses::NONE);
        ask.lease = Some(LeaseAsk::new(smb(9), FILE, LeaseKind::Oplock, bits));
        let lease = opened(&table, ask).lease.unwrap().claim.unwrap();
        let _ticket = waits(table.admit(Request::Open(open(smb(1), READ, Uses::NONE)), NOW));
        assert_eq!(breaks(&table), vec![(lease, bits, LeaseBits::R, true)]);
        table.lease_ack(lease, LeaseBits::R, None, NOW).unwrap();
        // Level II needs no answer and is gone at once.
        let _write = granted(table.admit(io(nfs3(1), IoKind::Write, span(0, 9)), NOW));
        assert_eq!(breaks(&table), vec![(lease, LeaseBits::R, LeaseBits::NONE, false)]);
        assert!(table.claim(lease).is_none());
    }
}

#[test]
fn lease_beside_another_open_has_no_w_and_oplock_is_level_two() {
    let table = table();
    opened(&table, open(smb(1), READ, Uses::NONE));
    assert_eq!(leased(&table, key_lease(9, 9, LeaseBits::RWH)).bits, LeaseBits::RH);
    let mut ask = open(smb(8), READ, Uses::NONE);
    ask.lease = Some(LeaseAsk::new(smb(8), FILE, LeaseKind::Oplock, LeaseBits::RWH));
    assert_eq!(opened(&table, ask).lease.unwrap().bits, LeaseBits::R);
    let delegation = |bits| LeaseAsk::new(v4(1), FILE, LeaseKind::Delegation, bits);
    let read = leased(&table, delegation(LeaseBits::RW));
    assert_eq!(read.bits, LeaseBits::R);
    table.lease_return(read.claim.unwrap(), NOW).unwrap();
    opened(&table, open(smb(1), WRITE, Uses::NONE));
    assert_eq!(leased(&table, LeaseAsk { actor: v4(2), ..delegation(LeaseBits::R) }).claim, None);
}

#[test]
fn lease_beside_io_in_flight_is_reduced() {
    let cases = [
        (Fast::Read, LeaseBits::RH),
        (Fast::GetAttr, LeaseBits::RH),
        (Fast::Write, LeaseBits::NONE),
        (Fast::SetAttr, LeaseBits::NONE),
    ];
    for (fast, want) in cases {
        let table = table();
        let word = table.summary(FILE);
        let guard = Summary::enter(&*word, fast).unwrap();
        assert_eq!(leased(&table, key_lease(9, 9, LeaseBits::RWH)).bits, want, "{fast:?}");
        drop(guard);
        assert_eq!(leased(&table, key_lease(9, 9, LeaseBits::RWH)).bits, LeaseBits::RWH, "{fast:?}, over");
    }
    for (kind, want) in [(IoKind::Read, LeaseBits::RH), (IoKind::Write, LeaseBits::NONE)] {
        let table = table();
        let _guard = granted(table.admit(io(nfs3(1), kind, span(0, 9)), NOW));
        assert_eq!(leased(&table, key_lease(9, 9, LeaseBits::RWH)).bits, want, "{kind:?} with a claim");
    }
}

#[test]
fn bits_broken_a_moment_ago_are_not_granted_again() {
    let table = table_with(|settings| settings.storm_guard = Duration::from_secs(5));
    leased(&table, key_lease(9, 9, LeaseBits::R));
    drop(granted(table.admit(io(nfs3(1), IoKind::Write, span(0, 9)), NOW)));
    assert_eq!(leased(&table, key_lease(8, 8, LeaseBits::RH)).claim, None);
    table.tick(after(5));
    let ask = Request::Lease(key_lease(8, 8, LeaseBits::RH));
    let Grant::Lease(lease) = granted(table.admit(ask, after(5))) else { panic!("not a lease") };
    assert_eq!(lease.bits, LeaseBits::RH);
}

#[test]
fn key_lease_is_widened_never_narrowed_and_names_one_file() {
    let table = table();
    let first = leased(&table, key_lease(9, 9, LeaseBits::R));
    let second = leased(&table, key_lease(9, 9, LeaseBits::RWH));
    assert_eq!((second.claim, second.bits, second.epoch), (first.claim, LeaseBits::RWH, first.epoch + 1));
    let third = leased(&table, key_lease(9, 9, LeaseBits::R));
    assert_eq!((third.bits, third.epoch), (LeaseBits::RWH, second.epoch));
    let elsewhere = LeaseAsk { inode: DIR, ..key_lease(9, 9, LeaseBits::R) };
    assert_eq!(refused(table.admit(Request::Lease(elsewhere), NOW)), FsError::InvalidArgument);
    // While it is being broken, an open with the key is told so.
    let _ticket = waits(table.admit(io(nfs3(1), IoKind::Read, span(0, 9)), NOW));
    let during = leased(&table, key_lease(9, 9, LeaseBits::RWH));
    assert!(during.breaking);
}

#[test]
fn open_that_may_not_wait_is_told_so() {
    let table = table();
    rwh(&table);
    let mut ask = open(smb(1), READ, Uses::NONE);
    ask.no_wait = true;
    assert_eq!(refused(table.admit(Request::Open(ask), NOW)), FsError::CannotBreakLease);
}

#[test]
fn holder_of_a_write_delegation_is_asked_once_and_its_answer_served() {
    let table = table();
    let lease =
        leased(&table, LeaseAsk::new(v4(9), FILE, LeaseKind::Delegation, LeaseBits::RW)).claim.unwrap();
    let get = |n| Request::Attr(AttrAsk { actor: nfs3(n), inode: FILE, set: false, question: None });
    let mut first = waits(table.admit(get(1), NOW));
    let second = waits(table.admit(get(2), NOW));
    let asked = table.drain_notices();
    assert!(matches!(asked[..], [Notice { body: NoticeBody::AskHolder { .. }, .. }]), "{asked:?}");
    let answer = HolderAnswer { change: 5, size: 6, times: None };
    table.holder_answer(lease, answer, NOW).unwrap();
    assert!(ready(&mut first));
    for ticket in [first, second] {
        let Grant::Attributes(served) = granted(table.retry(ticket, NOW)) else { panic!("not attributes") };
        assert_eq!(served, Some(answer));
    }
    assert_eq!(table.holder_answer(lease, answer, NOW), Err(FsError::InvalidArgument));
    // The next reader asks anew; the holder itself is served at once; who does not answer is recalled.
    let Grant::Attributes(None) = granted(
        table.admit(Request::Attr(AttrAsk { actor: v4(9), inode: FILE, set: false, question: None }), NOW),
    ) else {
        panic!("the holder was asked for its own file")
    };
    let third = waits(table.admit(get(3), NOW));
    table.tick(after(5));
    assert_eq!(breaks(&table), vec![(lease, LeaseBits::RW, LeaseBits::NONE, true)]);
    let third = waits(table.retry(third, after(5)));
    table.lease_return(lease, after(6)).unwrap();
    let Grant::Attributes(None) = granted(table.retry(third, after(6))) else {
        panic!("not from the server")
    };
}

#[test]
fn entrant_in_flight_holds_up_a_denying_open_and_wakes_it() {
    let table = table();
    let word = table.summary(FILE);
    let entrant = Summary::enter(&*word, Fast::Write).unwrap();
    let mut ticket = waits(table.admit(Request::Open(open(smb(1), READ, Uses::WRITE)), NOW));
    assert_eq!(ticket.reason(), &WaitReason::InFlight);
    assert!(!ready(&mut ticket));
    assert!(Summary::enter(&*word, Fast::Write).is_err(), "the fast path is closed meanwhile");
    drop(entrant);
    assert!(ready(&mut ticket));
    granted(table.retry(ticket, NOW));
    assert_eq!(refused(table.admit(io(nfs3(1), IoKind::Write, span(0, 0)), NOW)), FsError::IoDenied);
}

#[test]
fn cancelled_open_opens_the_fast_path_again() {
    let table = table();
    let word = table.summary(FILE);
    let entrant = Summary::enter(&*word, Fast::Write).unwrap();
    let ticket = waits(table.admit(Request::Open(open(smb(1), READ, Uses::WRITE)), NOW));
    drop(ticket);
    assert_eq!(word.flags(), 0);
    assert!(Summary::enter(&*word, Fast::Write).is_ok());
    drop(entrant);
    assert_eq!(word.entrants(), dfs_locks::summary::Entrants::default());
    assert!(table.claims_on(FILE).is_empty());
}

#[test]
fn truncating_open_holds_a_write_until_its_guard_goes() {
    let table = table();
    let mut ask = open(smb(1), READ.and(WRITE), Uses::NONE);
    ask.truncate = Some(span(0, 99));
    let mut grant = opened(&table, ask);
    assert_eq!(leased(&table, key_lease(9, 9, LeaseBits::R)).claim, None);
    drop(grant.truncating.take());
    assert_eq!(leased(&table, key_lease(9, 9, LeaseBits::R)).bits, LeaseBits::R);
}

#[test]
fn notices_wake_who_waits_for_them() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let table = table();
    rwh(&table);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = std::task::Waker::from(Arc::clone(&count));
    let mut context = std::task::Context::from_waker(&waker);
    assert!(table.poll_notices(&mut context).is_pending());
    let _ticket = waits(table.admit(io(nfs3(1), IoKind::Read, span(0, 9)), NOW));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(table.poll_notices(&mut context).is_ready());
}

#[test]
fn parts_of_a_rename_are_admitted_together_or_not_at_all() {
    let table = table();
    opened(&table, open(smb(9), Rights::READ_DATA, Uses::DELETE));
    let part = |inode, role| NamePart { inode, role };
    let parts = vec![
        part(DIR, NameRole::Entries),
        part(dfs_model::InodeId(2001), NameRole::Victim),
        part(FILE, NameRole::Victim),
    ];
    let ask = Request::Name(NameAsk { actor: nfs3(1), parts });
    assert_eq!(refused(table.admit(ask.clone(), NOW)), FsError::InUse { is_dir: false });
    assert!(table.claims_on(DIR).is_empty());
    table.client_gone(&smb(9).client, NOW);
    let guard = granted(table.admit(ask, NOW));
    assert_eq!(table.claims_on(DIR).len(), 1);
    // While it runs, nobody is granted H, nor an open that denies deletion.
    assert_eq!(leased(&table, key_lease(8, 8, LeaseBits::RH)).bits, LeaseBits::R);
    let mut open = waits(table.admit(Request::Open(open(smb(1), READ, Uses::DELETE)), NOW));
    drop(guard);
    assert!(ready(&mut open));
    granted(table.retry(open, NOW));
}

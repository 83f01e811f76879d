//! Byte-range locks: flavours, queue, cancel against grant, NLM and NFSv4 waiters, deadlocks.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
use common::*;
use dfs_locks::*;
use dfs_model::{Actor, ByteRange, FsError};

fn posix(actor: &Actor, range: ByteRange, exclusive: bool, wait: LockWait) -> LockAsk {
    lock(actor.clone(), Flavour::Posix, range, exclusive, wait)
}

fn nlm(n: u8) -> Actor {
    owned(nfs3(n), [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9"][usize::from(n)])
}

#[track_caller]
fn locked(table: &ClaimTable, ask: &LockAsk) -> Vec<ClaimId> {
    match granted(table.admit(Request::Lock(ask.clone()), NOW)) {
        Grant::Lock(locks) => locks,
        other => panic!("not locks: {other:?}"),
    }
}

fn spans(table: &ClaimTable, actor: &Actor) -> Vec<(u64, u64, bool)> {
    let mut spans: Vec<_> = table
        .held(actor.lock_owner.as_ref().unwrap(), Some(FILE))
        .iter()
        .map(|claim| match claim.lock().unwrap() {
            LockBody { range: ByteRange::Span { first, last }, exclusive, .. } => (*first, *last, *exclusive),
            other => panic!("{other:?}"),
        })
        .collect();
    spans.sort_unstable();
    spans
}

fn unlock(table: &ClaimTable, actor: &Actor, flavour: Flavour, ranges: &[ByteRange]) -> Result<(), FsError> {
    table.unlock(actor, FILE, StreamId::MAIN, flavour, ranges, NOW)
}

fn smb_open(table: &ClaimTable, n: u8) -> Actor {
    through(smb(n), opened(table, open(smb(n), READ.and(WRITE), Uses::NONE)).open)
}

fn per_open(actor: &Actor, ranges: &[(u64, u64, bool)], wait: LockWait) -> LockAsk {
    let mut ask = lock(actor.clone(), Flavour::PerOpen, span(0, 0), true, wait);
    ask.ranges = ranges
        .iter()
        .map(|(first, last, exclusive)| LockRange { range: span(*first, *last), exclusive: *exclusive })
        .collect();
    ask
}

#[test]
fn posix_lock_splits_merges_and_converts() {
    let table = table();
    let me = nlm(1);
    locked(&table, &posix(&me, span(0, 99), true, LockWait::Recall));
    unlock(&table, &me, Flavour::Posix, &[span(40, 59)]).unwrap();
    assert_eq!(spans(&table, &me), vec![(0, 39, true), (60, 99, true)]);
    locked(&table, &posix(&me, span(30, 69), false, LockWait::Recall));
    assert_eq!(spans(&table, &me), vec![(0, 29, true), (30, 69, false), (70, 99, true)]);
    locked(&table, &posix(&me, span(30, 69), true, LockWait::Recall));
    assert_eq!(spans(&table, &me), vec![(0, 99, true)]);
    // A downgrade lets the shared waiter in.
    let mut waiter =
        waits(table.admit(Request::Lock(posix(&nlm(2), span(0, 9), false, LockWait::Park)), NOW));
    locked(&table, &posix(&me, span(0, 99), false, LockWait::Recall));
    assert!(ready(&mut waiter));
    granted(table.retry(waiter, NOW));
    unlock(&table, &me, Flavour::Posix, &[span(500, u64::MAX)]).unwrap();
}

#[test]
fn denied_lock_names_its_holder() {
    let table = table();
    locked(&table, &posix(&nlm(1), span(0, 9), true, LockWait::Recall));
    let ask = posix(&nlm(2), span(5, 20), false, LockWait::Recall);
    let FsError::LockDenied { holder: Some(holder) } = refused(table.admit(Request::Lock(ask.clone()), NOW))
    else {
        panic!("no holder")
    };
    assert_eq!((holder.owner, holder.range, holder.exclusive), (nlm(1).lock_owner, span(0, 9), true));
    assert_eq!(table.test_lock(&ask).unwrap().owner, nlm(1).lock_owner);
    assert!(table.test_lock(&posix(&nlm(1), span(5, 20), true, LockWait::Recall)).is_none());
}

#[test]
fn flavours_meet_by_range_and_an_owner_of_one_is_not_the_owner_of_the_other() {
    let table = table();
    let mut me = smb_open(&table, 1);
    me = owned(me, b"both");
    locked(&table, &per_open(&me, &[(0, 9, true)], LockWait::Never));
    let ask = posix(&me, span(5, 5), true, LockWait::Recall);
    assert!(matches!(refused(table.admit(Request::Lock(ask), NOW)), FsError::LockDenied { .. }));
}

#[test]
fn per_open_locks_stack_and_unlock_exactly() {
    let table = table();
    let me = smb_open(&table, 1);
    locked(&table, &per_open(&me, &[(0, 9, true)], LockWait::Never));
    locked(&table, &per_open(&me, &[(0, 9, false)], LockWait::Never));
    let again = per_open(&me, &[(0, 9, true)], LockWait::Never);
    assert!(matches!(refused(table.admit(Request::Lock(again), NOW)), FsError::LockDenied { .. }));
    assert_eq!(unlock(&table, &me, Flavour::PerOpen, &[span(0, 8)]), Err(FsError::LockNotHeld));
    // The exclusive one goes first: others may read now.
    unlock(&table, &me, Flavour::PerOpen, &[span(0, 9)]).unwrap();
    drop(granted(table.admit(io(nfs3(1), IoKind::Read, span(0, 9)), NOW)));
    // A list stops at the first that fails; what came before it is unlocked.
    locked(&table, &per_open(&me, &[(20, 29, true), (30, 39, true)], LockWait::Never));
    let list = [span(20, 29), span(21, 22), span(30, 39)];
    assert_eq!(unlock(&table, &me, Flavour::PerOpen, &list), Err(FsError::LockNotHeld));
    let left: Vec<_> = table.claims_on(FILE).iter().filter_map(|c| c.lock().map(|l| l.range)).collect();
    assert_eq!(left, vec![span(0, 9), span(30, 39)]);
}

#[test]
fn list_of_locks_is_granted_whole_or_not_at_all() {
    let table = table();
    let (me, other) = (smb_open(&table, 1), smb_open(&table, 2));
    locked(&table, &per_open(&other, &[(50, 59, true)], LockWait::Never));
    let ask = per_open(&me, &[(0, 9, true), (50, 50, false)], LockWait::Never);
    assert!(matches!(refused(table.admit(Request::Lock(ask), NOW)), FsError::LockDenied { .. }));
    assert_eq!(table.claims_on(FILE).iter().filter(|c| c.lock().is_some()).count(), 1);
    let own = per_open(&me, &[(0, 9, false), (5, 5, true)], LockWait::Never);
    assert!(matches!(refused(table.admit(Request::Lock(own), NOW)), FsError::LockDenied { .. }));
    let parked = per_open(&me, &[(0, 9, true), (20, 29, true)], LockWait::Park);
    assert_eq!(refused(table.admit(Request::Lock(parked), NOW)), FsError::InvalidArgument);
}

#[test]
fn queue_is_first_come_first_served_over_flavours() {
    let table = table();
    locked(&table, &posix(&nlm(1), span(0, 9), true, LockWait::Recall));
    let me = smb_open(&table, 1);
    let mut first = waits(table.admit(Request::Lock(per_open(&me, &[(5, 5, true)], LockWait::Park)), NOW));
    let mut second = waits(table.admit(Request::Lock(posix(&nlm(2), span(0, 9), true, LockWait::Park)), NOW));
    unlock(&table, &nlm(1), Flavour::Posix, &[ByteRange::ALL]).unwrap();
    assert!(ready(&mut first) && !ready(&mut second));
    granted(table.retry(first, NOW));
    unlock(&table, &me, Flavour::PerOpen, &[span(5, 5)]).unwrap();
    assert!(ready(&mut second));
    granted(table.retry(second, NOW));
}

#[test]
fn dropped_ticket_gives_back_what_it_was_granted() {
    let table = table();
    locked(&table, &posix(&nlm(1), span(0, 9), true, LockWait::Recall));
    let first = waits(table.admit(Request::Lock(posix(&nlm(2), span(0, 9), true, LockWait::Park)), NOW));
    let mut second = waits(table.admit(Request::Lock(posix(&nlm(3), span(0, 9), true, LockWait::Park)), NOW));
    unlock(&table, &nlm(1), Flavour::Posix, &[ByteRange::ALL]).unwrap();
    assert_eq!(spans(&table, &nlm(2)), vec![(0, 9, true)], "granted in the table");
    assert!(!ready(&mut second));
    drop(first);
    assert!(ready(&mut second));
    assert_eq!(spans(&table, &nlm(2)), vec![]);
}

#[test]
fn nlm_waiter_is_found_again_granted_acknowledged_and_released_in_silence() {
    let table = table();
    locked(&table, &posix(&nlm(1), span(0, 9), true, LockWait::Recall));
    let ask = posix(&nlm(2), span(0, 9), true, LockWait::ParkAcked);
    let ticket = waits(table.admit(Request::Lock(ask.clone()), NOW)).id();
    assert_eq!(
        waits(table.admit(Request::Lock(ask.clone()), NOW)).id(),
        ticket,
        "a repeat finds its own place"
    );
    unlock(&table, &nlm(1), Flavour::Posix, &[ByteRange::ALL]).unwrap();
    let notices = table.drain_notices();
    let [Notice { body: NoticeBody::LockGranted { ticket: of, lock, deadline, .. }, .. }] = notices[..]
    else {
        panic!("{notices:?}")
    };
    assert_eq!((of, deadline), (ticket, after(30)));
    // Nobody says that he knows: it goes to the next.
    let next = waits(table.admit(Request::Lock(posix(&nlm(3), span(0, 9), true, LockWait::ParkAcked)), NOW));
    table.tick(after(30));
    assert_eq!(table.lock_ack(lock, after(30)), Err(FsError::LockNotHeld));
    assert_eq!(spans(&table, &nlm(3)), vec![(0, 9, true)]);
    let granted_to_next = table.drain_notices();
    let Some(NoticeBody::LockGranted { lock, .. }) =
        granted_to_next.iter().map(|n| n.body.clone()).find(|b| matches!(b, NoticeBody::LockGranted { .. }))
    else {
        panic!("{granted_to_next:?}")
    };
    drop(next);
    table.lock_ack(lock, after(31)).unwrap();
    table.tick(after(500));
    assert_eq!(spans(&table, &nlm(3)), vec![(0, 9, true)]);
}

#[test]
fn nlm_repeat_after_the_grant_counts_as_acknowledgement() {
    let table = table();
    locked(&table, &posix(&nlm(1), span(0, 9), true, LockWait::Recall));
    let ask = posix(&nlm(2), span(0, 9), true, LockWait::ParkAcked);
    let _waiting = waits(table.admit(Request::Lock(ask.clone()), NOW));
    unlock(&table, &nlm(1), Flavour::Posix, &[ByteRange::ALL]).unwrap();
    locked(&table, &ask);
    table.tick(after(500));
    assert_eq!(spans(&table, &nlm(2)), vec![(0, 9, true)]);
}

#[test]
fn cancel_and_grant_are_settled_in_the_table() {
    let table = table();
    locked(&table, &posix(&nlm(1), span(0, 9), true, LockWait::Recall));
    let ask = posix(&nlm(2), span(0, 9), true, LockWait::ParkAcked);
    let other_mode = posix(&nlm(2), span(0, 9), false, LockWait::ParkAcked);
    let _waiting = waits(table.admit(Request::Lock(ask.clone()), NOW));
    assert_eq!(table.cancel_like(&other_mode), CancelOutcome::Unknown, "the mode counts");
    assert_eq!(table.cancel_like(&ask), CancelOutcome::Cancelled);
    let _waiting = waits(table.admit(Request::Lock(ask.clone()), NOW));
    unlock(&table, &nlm(1), Flavour::Posix, &[ByteRange::ALL]).unwrap();
    assert!(matches!(table.cancel_like(&ask), CancelOutcome::AlreadyGranted(_)));
}

#[test]
fn deadlock_over_two_and_three_owners_is_found() {
    for owners in [2u8, 3] {
        let table = table();
        let range = |n: u8| span(u64::from(n) * 10, u64::from(n) * 10 + 9);
        for n in 0..owners {
            locked(&table, &posix(&nlm(n), range(n), true, LockWait::Recall));
        }
        let mut parked = Vec::new();
        for n in 0..owners - 1 {
            parked.push(waits(
                table.admit(Request::Lock(posix(&nlm(n), range(n + 1), true, LockWait::Park)), NOW),
            ));
        }
        let last = posix(&nlm(owners - 1), range(0), true, LockWait::Park);
        assert_eq!(refused(table.admit(Request::Lock(last.clone()), NOW)), FsError::Deadlock);
        // Without the cycle it parks.
        drop(parked);
        let _ticket = waits(table.admit(Request::Lock(last), NOW));
    }
}

#[test]
fn nfs4_waiter_keeps_its_place_for_a_while() {
    let table = table();
    let (me, other) = (owned(v4(1), b"o"), nlm(3));
    locked(&table, &posix(&nlm(1), span(0, 9), true, LockWait::Recall));
    let ask = posix(&me, span(0, 9), true, LockWait::Poll);
    assert!(matches!(refused(table.admit(Request::Lock(ask.clone()), NOW)), FsError::LockDenied { .. }));
    assert!(matches!(refused(table.admit(Request::Lock(ask.clone()), NOW)), FsError::LockDenied { .. }));
    unlock(&table, &nlm(1), Flavour::Posix, &[ByteRange::ALL]).unwrap();
    let notices = table.drain_notices();
    assert!(matches!(notices[..], [Notice { body: NoticeBody::LockAvailable { .. }, .. }]), "{notices:?}");
    let barge = posix(&other, span(9, 9), false, LockWait::Recall);
    assert!(matches!(refused(table.admit(Request::Lock(barge.clone()), NOW)), FsError::LockDenied { .. }));
    locked(&table, &ask);
    unlock(&table, &me, Flavour::Posix, &[ByteRange::ALL]).unwrap();
    locked(&table, &barge);
    // A place that is not used runs out.
    assert!(matches!(refused(table.admit(Request::Lock(ask), NOW)), FsError::LockDenied { .. }));
    unlock(&table, &other, Flavour::Posix, &[ByteRange::ALL]).unwrap();
    let mut parked = waits(table.admit(Request::Lock(posix(&nlm(4), span(0, 0), true, LockWait::Park)), NOW));
    assert!(!ready(&mut parked));
    table.tick(after(90));
    assert!(ready(&mut parked));
}

#[test]
fn smb_lock_waits_for_foreign_io_on_its_range_only() {
    let table = table();
    let me = smb_open(&table, 1);
    let reading = granted(table.admit(io(nfs3(1), IoKind::Read, span(0, 9)), NOW));
    locked(&table, &per_open(&me, &[(0, 9, false)], LockWait::Never));
    locked(&table, &per_open(&me, &[(10, 19, true)], LockWait::Never));
    let other = smb_open(&table, 2);
    unlock(&table, &me, Flavour::PerOpen, &[span(0, 9)]).unwrap();
    let now = per_open(&other, &[(5, 5, true)], LockWait::Never);
    assert!(matches!(refused(table.admit(Request::Lock(now), NOW)), FsError::LockDenied { .. }));
    let mut ticket =
        waits(table.admit(Request::Lock(per_open(&other, &[(5, 5, true)], LockWait::Park)), NOW));
    // POSIX locks are advisory for NFS I/O.
    locked(&table, &posix(&nlm(1), span(8, 8), true, LockWait::Recall));
    assert!(!ready(&mut ticket));
    drop(reading);
    assert!(ready(&mut ticket));
    granted(table.retry(ticket, NOW));
}

#[test]
fn closed_open_takes_its_locks_and_feeds_the_queue() {
    let table = table();
    let me = smb_open(&table, 1);
    locked(&table, &per_open(&me, &[(0, 9, true)], LockWait::Never));
    let mut ticket = waits(table.admit(Request::Lock(posix(&nlm(2), span(0, 9), true, LockWait::Park)), NOW));
    table.close(me.open.unwrap(), NOW).unwrap();
    assert!(ready(&mut ticket));
    let late = per_open(&me, &[(0, 9, true)], LockWait::Never);
    assert_eq!(refused(table.admit(Request::Lock(late), NOW)), FsError::OpenUnknown);
}

#[test]
fn malformed_lock_requests_are_refused() {
    let table = table();
    let nobody = lock(nfs3(1), Flavour::Posix, span(0, 9), true, LockWait::Recall);
    assert_eq!(refused(table.admit(Request::Lock(nobody), NOW)), FsError::InvalidArgument);
    let empty = posix(&nlm(1), ByteRange::Empty { at: 3 }, true, LockWait::Recall);
    assert_eq!(refused(table.admit(Request::Lock(empty), NOW)), FsError::LockRange);
    let mut none = posix(&nlm(1), span(0, 9), true, LockWait::Recall);
    none.ranges.clear();
    assert_eq!(refused(table.admit(Request::Lock(none), NOW)), FsError::InvalidArgument);
}

#[test]
fn full_queue_answers_limit() {
    let table = table_with(|settings| settings.waiting_max = 1);
    locked(&table, &posix(&nlm(1), span(0, 9), true, LockWait::Recall));
    let _first = waits(table.admit(Request::Lock(posix(&nlm(2), span(0, 9), true, LockWait::Park)), NOW));
    let second = posix(&nlm(3), span(0, 9), true, LockWait::Park);
    assert_eq!(refused(table.admit(Request::Lock(second), NOW)), FsError::Limit);
}

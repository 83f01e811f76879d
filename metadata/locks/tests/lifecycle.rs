//! Opens after their grant: close, loss and return, delete marks; clients: courtesy, grace, peers; restart.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
use bytes::Bytes;
use common::*;
use dfs_locks::codec::Record;
use dfs_locks::*;
use dfs_model::{Actor, ClientRef, FsError, OpenId, Rights};
use std::collections::BTreeSet;
use std::time::Duration;

fn durable(durability: Durability) -> Box<OpenAsk> {
    let mut ask = open(smb(9), READ.and(WRITE), Uses::WRITE);
    ask.durability = durability;
    ask.create_guid = Some([3; 16]);
    ask.principal = Bytes::from_static(b"alice");
    ask.lease = Some(key_lease(9, 9, LeaseBits::RWH));
    ask
}

const MINUTE: Duration = Duration::from_secs(60);

fn back(open: OpenId) -> Reconnect {
    Reconnect {
        open: Some(open),
        create_guid: Some([3; 16]),
        lease_key: Some(key(9, 9)),
        principal: Bytes::from_static(b"alice"),
        client: ClientRef::Smb { client_guid: [9; 16], session: 77 },
    }
}

fn lock_through(table: &ClaimTable, actor: Actor) -> ClaimId {
    let ask = lock(actor, Flavour::PerOpen, span(0, 9), true, LockWait::Never);
    match granted(table.admit(Request::Lock(ask), NOW)) {
        Grant::Lock(locks) => locks[0],
        other => panic!("{other:?}"),
    }
}

#[test]
fn close_takes_the_oplock_and_the_last_close_takes_the_key_lease() {
    let table = table();
    let mut ask = open(smb(9), READ, Uses::NONE);
    ask.lease = Some(key_lease(9, 9, LeaseBits::RH));
    let (first, second) = (opened(&table, ask.clone()), opened(&table, ask));
    let lease = first.lease.unwrap().claim.unwrap();
    assert_eq!(second.lease.unwrap().claim, Some(lease));
    table.close(first.open, NOW).unwrap();
    assert!(table.claim(lease).is_some());
    table.close(second.open, NOW).unwrap();
    assert!(table.claims_on(FILE).is_empty());
    assert_eq!(table.close(second.open, NOW), Err(FsError::OpenUnknown));
}

#[test]
fn lost_durable_open_comes_back_as_it_was() {
    let table = table();
    let grant = opened(&table, durable(Durability::Durable(MINUTE)));
    let held = lock_through(&table, through(smb(9), grant.open));
    assert_eq!(table.client_gone(&smb(9).client, NOW), vec![Lost::Kept(grant.open)]);
    // It still denies others while it is away.
    let wrong = |change: fn(&mut Reconnect)| {
        let mut ask = back(grant.open);
        change(&mut ask);
        table.reconnect(&ask, after(1)).unwrap_err()
    };
    assert_eq!(wrong(|ask| ask.principal = Bytes::from_static(b"mallory")), FsError::AccessDenied);
    assert_eq!(wrong(|ask| ask.lease_key = None), FsError::NotFound);
    assert_eq!(wrong(|ask| ask.create_guid = Some([4; 16])), FsError::NotFound);
    let claim = table.reconnect(&back(grant.open), after(1)).unwrap();
    assert_eq!(
        (claim.uses, claim.denies),
        (Uses::READ.with(Uses::WRITE), Uses::WRITE),
        "the open's, not the request's"
    );
    assert_eq!(table.claims_of(&back(grant.open).client).len(), 3, "open, lease and lock changed hands");
    assert!(table.claims_of(&smb(9).client).is_empty());
    let mine = Actor { open: Some(grant.open), ..Actor::of(back(grant.open).client) };
    drop(granted(table.admit(io(mine, IoKind::Write, span(0, 9)), after(1))));
    assert!(table.claim(held).is_some());
    assert_eq!(
        table.reconnect(&back(grant.open), after(2)),
        Err(FsError::NotFound),
        "it is not lost any more"
    );
    table.tick(after(500));
    assert!(table.open(grant.open).is_some());
}

#[test]
fn lost_durable_open_is_closed_by_its_deadline_and_by_a_break() {
    for broken in [false, true] {
        let table = table();
        let grant = opened(&table, durable(Durability::Durable(MINUTE)));
        table.client_gone(&smb(9).client, NOW);
        if broken {
            // A deny mode and a lease stand in the way; nobody is there to answer.
            opened(&table, open(smb(1), WRITE, Uses::NONE));
        } else {
            table.tick(after(59));
            assert!(table.open(grant.open).is_some());
            table.tick(after(60));
        }
        assert!(table.open(grant.open).is_none());
        let notices = table.drain_notices();
        let closed =
            |n: &Notice| matches!(n.body, NoticeBody::Closed { open, delete: None } if open == grant.open);
        assert!(notices.iter().any(closed), "{notices:?}");
        assert_eq!(table.reconnect(&back(grant.open), after(61)), Err(FsError::NotFound));
    }
}

#[test]
fn lost_persistent_open_is_not_closed_by_a_break() {
    let table = table();
    let grant = opened(&table, durable(Durability::Persistent(MINUTE)));
    table.client_gone(&smb(9).client, NOW);
    let ticket = waits(table.admit(Request::Open(open(smb(1), WRITE, Uses::NONE)), NOW));
    table.tick(after(35));
    assert!(table.open(grant.open).is_some());
    assert_eq!(refused(table.retry(ticket, after(35))), FsError::ShareDenied);
}

#[test]
fn break_running_when_the_connection_goes_is_answered_by_closing() {
    let table = table();
    let grant = opened(&table, durable(Durability::Durable(MINUTE)));
    let mut ticket = waits(table.admit(Request::Open(open(smb(1), WRITE, Uses::NONE)), NOW));
    table.client_gone(&smb(9).client, NOW);
    assert!(table.open(grant.open).is_none());
    assert!(ready(&mut ticket));
    granted(table.retry(ticket, NOW));
}

#[test]
fn delete_mark_goes_to_the_last_smb_close_once() {
    let table = table();
    let mut ask = open(smb(1), Rights::DELETE, Uses::NONE);
    (ask.delete_on_close, ask.parent, ask.blob) = (true, Some(DIR), Bytes::from_static(b"name"));
    let (first, second) = (opened(&table, ask.clone()), opened(&table, open(smb(2), READ, Uses::NONE)));
    let nfs = opened(&table, open(v4(1), READ, Uses::NONE));
    assert_eq!(table.close(first.open, NOW).unwrap().delete, None);
    for actor in [smb(3), v4(2)] {
        assert_eq!(
            refused(table.admit(Request::Open(open(actor, READ, Uses::NONE)), NOW)),
            FsError::DeletePending
        );
    }
    assert_eq!(
        leased(&table, key_lease(2, 2, LeaseBits::RH)).bits,
        LeaseBits::R,
        "no H on what is being deleted"
    );
    let closed = table.close(second.open, NOW).unwrap();
    let mark = closed.delete.unwrap();
    assert_eq!((mark.by, mark.directory, mark.blob), (first.open, Some(DIR), Bytes::from_static(b"name")));
    assert_eq!(refused(table.admit(Request::Open(ask), NOW)), FsError::DeletePending);
    table.delete_done(FILE, NOW);
    assert_eq!(table.close(nfs.open, NOW).unwrap().delete, None);
    opened(&table, open(smb(3), READ, Uses::NONE));
}

#[test]
fn delete_mark_can_be_set_and_taken_back() {
    let table = table();
    let grant = opened(&table, open(smb(1), Rights::DELETE, Uses::NONE));
    let mark = DeleteMark { by: grant.open, directory: Some(DIR), blob: Bytes::new() };
    table.set_delete(grant.open, Some(mark.clone()), NOW).unwrap();
    assert_eq!(table.delete_mark(FILE), Some(mark));
    table.set_delete(grant.open, None, NOW).unwrap();
    assert_eq!(table.close(grant.open, NOW).unwrap().delete, None);
}

#[test]
fn upgrade_is_tested_against_the_open_itself_and_seen_by_others() {
    let table = table();
    let first = opened(&table, open(v4(1), READ, Uses::WRITE));
    let mut ask = open(v4(1), WRITE, Uses::NONE);
    ask.upgrade = Some(first.open);
    assert_eq!(refused(table.admit(Request::Open(ask.clone()), NOW)), FsError::ShareDenied);
    table.open_change(first.open, READ, Uses::NONE, NOW).unwrap();
    assert_eq!(opened(&table, ask).open, first.open);
    let claim = table.open(first.open).unwrap();
    assert_eq!(claim.uses, Uses::READ.with(Uses::WRITE));
    assert_eq!(
        refused(table.admit(Request::Open(open(smb(1), READ, Uses::WRITE)), NOW)),
        FsError::ShareDenied
    );
    table.open_change(first.open, READ, Uses::NONE, NOW).unwrap();
    let denying = opened(&table, open(smb(1), READ, Uses::WRITE));
    assert_eq!(table.open_change(first.open, WRITE, Uses::NONE, NOW), Err(FsError::ShareDenied));
    table.close(denying.open, NOW).unwrap();
    table.open_change(first.open, WRITE, Uses::NONE, NOW).unwrap();
}

fn record(n: u8) -> ClientRecord {
    ClientRecord {
        client: v4(n).client,
        owner: Bytes::from_static(b"host"),
        verifier: [n; 8],
        principal: Bytes::from_static(b"krb5:host"),
        reclaim_complete: false,
        lost: false,
        lease: Duration::from_secs(90),
    }
}

#[test]
fn courtesy_client_is_lost_only_when_in_the_way_and_only_once_recorded() {
    let table = table();
    table.client_put(record(1), NOW);
    let grant = opened(&table, open(v4(1), READ, Uses::WRITE));
    table.tick(after(90));
    assert_eq!(table.client_state(&v4(1).client), Some(ClientState::Courtesy));
    // Nobody minds: it may come back.
    drop(granted(table.admit(io(nfs3(1), IoKind::Read, span(0, 9)), after(91))));
    table.client_renew(&v4(1).client, after(92)).unwrap();
    assert_eq!(table.client_state(&v4(1).client), Some(ClientState::Active));
    assert_eq!(refused(table.admit(io(nfs3(1), IoKind::Write, span(0, 9)), after(93))), FsError::IoDenied);
    table.tick(after(182));
    let mut ticket = waits(table.admit(io(nfs3(1), IoKind::Write, span(0, 9)), after(183)));
    assert_eq!(ticket.reason(), &WaitReason::Client(v4(1).client));
    let notices = table.drain_notices();
    assert!(matches!(notices[..], [Notice { body: NoticeBody::MarkLost, .. }]), "{notices:?}");
    assert_eq!(table.client_renew(&v4(1).client, after(184)), Err(FsError::Expired));
    assert!(!ready(&mut ticket), "nothing is granted before the loss is durable");
    assert_eq!(table.lost_recorded(&v4(1).client, after(185)), vec![grant.claim]);
    assert!(ready(&mut ticket));
    let _write = granted(table.retry(ticket, after(185)));
    assert!(table.open(grant.open).unwrap().revoked);
    let stateful = io(through(v4(1), grant.open), IoKind::Read, span(0, 9));
    assert_eq!(refused(table.admit(stateful, after(186))), FsError::Revoked);
    table.forget(grant.claim, after(187)).unwrap();
    assert!(table.open(grant.open).is_none());
}

#[test]
fn grace_lets_listed_clients_reclaim_and_holds_others_back() {
    let table = table();
    let grace: BTreeSet<ClientRef> = [v4(1).client, nfs3(1).client].into();
    table.start_grace(grace, after(90), NOW);
    let reclaiming = |n| {
        let mut ask = open(v4(n), READ, Uses::NONE);
        ask.reclaim = Reclaim::Previous;
        Request::Open(ask)
    };
    assert_eq!(refused(table.admit(Request::Open(open(v4(1), READ, Uses::NONE)), NOW)), FsError::Grace);
    assert_eq!(refused(table.admit(reclaiming(2), NOW)), FsError::ReclaimBad);
    granted(table.admit(reclaiming(1), NOW));
    let mut nlm = lock(owned(nfs3(1), b"o"), Flavour::Posix, span(0, 9), true, LockWait::Recall);
    assert_eq!(refused(table.admit(Request::Lock(nlm.clone()), NOW)), FsError::Grace);
    nlm.reclaim = Reclaim::Previous;
    granted(table.admit(Request::Lock(nlm), NOW));
    // NFSv3 runs; SMB opens and NFSv4 I/O without state wait.
    drop(granted(table.admit(io(nfs3(5), IoKind::Write, span(0, 9)), NOW)));
    let mut smb_open = waits(table.admit(Request::Open(open(smb(1), READ, Uses::NONE)), NOW));
    let v4_read = waits(table.admit(io(v4(2), IoKind::Read, span(0, 9)), NOW));
    table.reclaim_complete(&v4(1).client, NOW);
    assert_eq!(refused(table.admit(reclaiming(1), NOW)), FsError::NoGrace);
    assert!(!ready(&mut smb_open));
    table.reclaim_complete(&nfs3(1).client, NOW);
    assert!(!table.in_grace() && ready(&mut smb_open));
    granted(table.retry(smb_open, NOW));
    drop(granted(table.retry(v4_read, NOW)));
    assert_eq!(refused(table.admit(reclaiming(1), NOW)), FsError::NoGrace);
}

#[test]
fn grace_ends_with_its_time_and_does_not_begin_without_records() {
    let table = table();
    table.start_grace(BTreeSet::new(), after(90), NOW);
    assert!(!table.in_grace());
    table.start_grace([v4(1).client].into(), after(90), NOW);
    let mut ticket = waits(table.admit(Request::Open(open(smb(1), READ, Uses::NONE)), NOW));
    table.tick(after(90));
    assert!(!table.in_grace() && ready(&mut ticket));
}

#[test]
fn nlm_peer_is_released_only_by_a_growing_state_number() {
    let table = table();
    let peer = owned(nfs3(1), b"o");
    table.host_put(HostRecord { client: peer.client.clone(), state: 7, monitored: true });
    let ask = lock(peer.clone(), Flavour::Posix, span(0, 9), true, LockWait::Recall);
    granted(table.admit(Request::Lock(ask), NOW));
    let mut share = open(nfs3(1), READ, Uses::WRITE);
    share.principal = Bytes::new();
    opened(&table, share);
    for stale in [7, 5] {
        assert!(!table.host_notify(&peer.client, stale, NOW));
        assert_eq!(table.claims_of(&peer.client).len(), 2);
    }
    assert!(!table.host_notify(&nfs3(2).client, 9, NOW), "a peer that we do not know");
    assert!(table.host_notify(&peer.client, 9, NOW));
    assert!(table.claims_of(&peer.client).is_empty());
}

#[test]
fn client_gone_ends_what_it_held_and_waited_for() {
    let table = table();
    let peer = owned(v4(1), b"o");
    opened(&table, open(v4(1), READ, Uses::WRITE));
    leased(&table, LeaseAsk::new(v4(1), FILE, LeaseKind::Delegation, LeaseBits::R));
    let ask = lock(peer.clone(), Flavour::Posix, span(0, 9), true, LockWait::Recall);
    granted(table.admit(Request::Lock(ask), NOW));
    // The share mode refuses at once; the delegation makes wait.
    assert_eq!(refused(table.admit(io(nfs3(1), IoKind::Write, span(0, 9)), NOW)), FsError::IoDenied);
    let mut other = waits(table.admit(set_attr(nfs3(1)), NOW));
    let lost = table.client_gone(&peer.client, NOW);
    assert!(matches!(lost[..], [Lost::Closed(_)]));
    assert!(ready(&mut other));
    assert!(table.claims_of(&peer.client).is_empty());
}

#[test]
fn administrator_lists_pages_and_closes_opens() {
    let table = table();
    let opens: Vec<_> = (1..=5).map(|n| opened(&table, open(smb(n), READ, Uses::NONE))).collect();
    let page = table.list(ClaimId(0), 3);
    assert_eq!(page.len(), 3);
    assert_eq!(table.list(page[2].id, 10).len(), 2);
    let closed = table.forget(opens[0].claim, NOW).unwrap().unwrap();
    assert_eq!(closed.claim.open().unwrap().open, opens[0].open);
    assert_eq!(table.forget(opens[0].claim, NOW), Err(FsError::OpenUnknown));
    let _io = granted(table.admit(io(nfs3(1), IoKind::Read, span(0, 1)), NOW));
    let running = table.claims_of(&nfs3(1).client)[0].id;
    assert_eq!(table.forget(running, NOW), Err(FsError::InvalidArgument), "I/O in flight ends by itself");
}

#[test]
fn full_table_answers_limit() {
    let table = table_with(|settings| settings.client_claims_max = 4);
    opened(&table, open(smb(1), READ, Uses::NONE));
    opened(&table, open(smb(1), READ, Uses::NONE));
    assert_eq!(refused(table.admit(Request::Open(open(smb(1), READ, Uses::NONE)), NOW)), FsError::Limit);
    opened(&table, open(smb(2), READ, Uses::NONE));
}

#[test]
fn persistent_open_survives_a_restart_with_lease_and_locks() {
    let before = table();
    let grant = opened(&before, durable(Durability::Persistent(MINUTE)));
    let held = lock_through(&before, through(smb(9), grant.open));
    let record = before.persistent(grant.open, NOW).unwrap();
    let bytes = record.encode();
    let table = table();
    let record = PersistentOpen::decode(&bytes).unwrap();
    table.restore(record.clone(), after(1000)).unwrap();
    assert_eq!(table.restore(record.clone(), after(1000)), Err(FsError::InvalidArgument));
    assert_eq!(table.claims_on(FILE).len(), 3);
    assert_eq!(
        refused(table.admit(io(nfs3(1), IoKind::Write, span(50, 50)), after(1001))),
        FsError::IoDenied
    );
    table.reconnect(&back(grant.open), after(1002)).unwrap();
    assert!(table.claim(held).is_some());
    let mut ask = open(smb(9), READ, Uses::NONE);
    ask.lease = Some(key_lease(9, 9, LeaseBits::R));
    let next = opened(&table, ask);
    assert!(next.claim > held, "ids go on after the restored ones");
    // Without return it is closed after its time.
    let again = common::table();
    again.restore(record, after(1000)).unwrap();
    again.tick(after(1060));
    assert!(again.claims_on(FILE).is_empty());
}

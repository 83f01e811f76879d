//! The fast path under real threads: no entrant beside a grant that excludes it, and nobody left asleep.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
use common::*;
use dfs_locks::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

const GRANTS: usize = 500;
const ATTEMPTS_MAX: usize = 2_000_000;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for the ticket as a runtime would. A lost wake-up shows as a panic.
fn await_ticket(ticket: &mut Ticket) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut rounds = 0;
    while std::pin::Pin::new(&mut *ticket).poll(&mut context).is_pending() {
        std::thread::park_timeout(Duration::from_secs(20));
        rounds += 1;
        assert!(rounds < 1000, "woken again and again without being ready");
    }
}

/// Runs `grant` many times beside threads that write by the fast path. `grant` gets a check that nobody is inside.
/// Ends when `grant` has done its work `GRANTS` times.
fn beside_writers(grant: impl Fn(&ClaimTable, &dyn Fn()) -> bool) {
    let table = table();
    let (inside, excluded, done) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let word = table.summary(FILE);
                while !done.load(Ordering::SeqCst) {
                    if let Ok(guard) = Summary::enter(&*word, Fast::Write) {
                        inside.fetch_add(1, Ordering::SeqCst);
                        assert!(
                            !excluded.load(Ordering::SeqCst),
                            "an entrant beside a grant that excludes it"
                        );
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(guard);
                    }
                    std::thread::yield_now();
                }
            });
        }
        let check = || {
            excluded.store(true, Ordering::SeqCst);
            assert_eq!(inside.load(Ordering::SeqCst), 0, "a grant beside an entrant that it excludes");
            excluded.store(false, Ordering::SeqCst);
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut granted = 0;
            for _ in 0..ATTEMPTS_MAX {
                granted += usize::from(grant(&table, &check));
                if granted == GRANTS {
                    return;
                }
                std::thread::yield_now();
            }
            panic!("only {granted} grants in {ATTEMPTS_MAX} attempts");
        }));
        done.store(true, Ordering::SeqCst);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    assert_eq!(table.summary(FILE).entrants(), dfs_locks::summary::Entrants::default());
    assert_eq!(table.summary(FILE).flags(), 0);
}

#[test]
fn lease_is_never_held_beside_a_fast_writer() {
    beside_writers(|table, check| {
        let lease = leased(table, key_lease(9, 9, LeaseBits::R)).claim;
        if let Some(lease) = lease {
            check();
            table.lease_return(lease, NOW).unwrap();
        }
        lease.is_some()
    });
}

#[test]
fn denying_open_waits_for_fast_writers_and_is_always_woken() {
    beside_writers(|table, check| {
        let mut admission = table.admit(Request::Open(open(smb(1), READ, Uses::WRITE)), NOW);
        let grant = loop {
            match admission {
                Admission::Granted(Grant::Open(grant)) => break grant,
                Admission::Wait(mut ticket) => {
                    await_ticket(&mut ticket);
                    admission = table.retry(ticket, NOW);
                }
                other => panic!("{other:?}"),
            }
        };
        check();
        table.close(grant.open, NOW).unwrap();
        true
    });
}

/// Which stateless requests each claim sends to the table: what the matrix gives a cell other than "–", and every read and
/// write once an SMB open is there, because its locks need ranges.
#[test]
fn fast_path_is_closed_by_exactly_what_may_matter() {
    use Fast::*;
    let delegation = |bits| {
        move |table: &ClaimTable| {
            assert!(leased(table, LeaseAsk::new(v4(9), FILE, LeaseKind::Delegation, bits)).claim.is_some());
        }
    };
    let lease = |bits| {
        move |table: &ClaimTable| {
            assert_eq!(leased(table, key_lease(9, 9, bits)).bits, bits);
        }
    };
    let opened_by = |actor: dfs_model::Actor, denies| {
        move |table: &ClaimTable| {
            opened(table, open(actor.clone(), READ, denies));
        }
    };
    let posix = |table: &ClaimTable| {
        let ask = lock(owned(nfs3(9), b"9"), Flavour::Posix, span(0, 9), true, LockWait::Recall);
        granted(table.admit(Request::Lock(ask), NOW));
    };
    type Holder = Box<dyn Fn(&ClaimTable)>;
    let cases: Vec<(&str, Holder, Vec<Fast>)> = vec![
        ("nothing", Box::new(|_: &ClaimTable| {}), vec![]),
        ("R", Box::new(lease(LeaseBits::R)), vec![Write, Entries]),
        ("RW", Box::new(lease(LeaseBits::RW)), vec![Read, Write, Entries]),
        ("RH", Box::new(lease(LeaseBits::RH)), vec![Write, Victim, Entries]),
        ("read delegation", Box::new(delegation(LeaseBits::R)), vec![Write, SetAttr, Victim, Entries]),
        (
            "write delegation",
            Box::new(delegation(LeaseBits::RW)),
            vec![Read, Write, SetAttr, GetAttr, Victim, Entries],
        ),
        ("SMB open", Box::new(opened_by(smb(9), Uses::NONE)), vec![Read, Write]),
        ("SMB open denying", Box::new(opened_by(smb(9), Uses::DELETE)), vec![Read, Write, Victim]),
        ("NFS open", Box::new(opened_by(v4(9), Uses::NONE)), vec![]),
        ("NFS open denying", Box::new(opened_by(v4(9), Uses::WRITE)), vec![Write]),
        ("POSIX lock", Box::new(posix), vec![]),
    ];
    for (holder, hold, sent) in cases {
        let table = table();
        let word = table.summary(FILE);
        hold(&table);
        for fast in [Read, Write, SetAttr, GetAttr, Victim, Entries] {
            assert_eq!(Summary::enter(&*word, fast).is_err(), sent.contains(&fast), "{holder}: {fast:?}");
        }
    }
}

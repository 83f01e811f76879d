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
fn beside_writers(grant: impl Fn(&ClaimTable, &dyn Fn())) {
    let table = table();
    let (inside, excluded, done) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
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
                    std::hint::spin_loop();
                }
            });
        }
        let check = || {
            excluded.store(true, Ordering::SeqCst);
            assert_eq!(inside.load(Ordering::SeqCst), 0, "a grant beside an entrant that it excludes");
            excluded.store(false, Ordering::SeqCst);
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..3000 {
                grant(&table, &check);
            }
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
    let granted_once = AtomicUsize::new(0);
    beside_writers(|table, check| {
        if let Some(lease) = leased(table, key_lease(9, 9, LeaseBits::R)).claim {
            check();
            granted_once.fetch_add(1, Ordering::SeqCst);
            table.lease_return(lease, NOW).unwrap();
        }
    });
    assert!(granted_once.load(Ordering::SeqCst) > 0, "no lease was ever granted");
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
    });
}

//! Prints what one uncontended admission costs, in nanoseconds: the fast path, and the table for comparison.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // A stopwatch needs the clock.

use dfs_locks::{ClaimTable, Fast, IoAsk, IoKind, NoAncestry, Request, Settings, StreamId, Summary};
use dfs_model::{Actor, ByteRange, InodeId, Monotonic};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

fn main() {
    let table = ClaimTable::new(Settings::default(), Arc::new(NoAncestry));
    let word = table.summary(InodeId(2000));
    // The limit: the two atomic additions that the fast path cannot do without.
    let bare = AtomicU64::new(0);
    time("two bare atomic additions", 20_000_000, || {
        black_box(black_box(&bare).fetch_add(1, Ordering::AcqRel));
        black_box(black_box(&bare).fetch_sub(1, Ordering::AcqRel));
    });
    time("fast path, borrowed word", 20_000_000, || {
        let _ = black_box(Summary::enter(black_box(&*word), Fast::Read).is_ok());
    });
    time("fast path, owned word", 20_000_000, || {
        let _ = black_box(Summary::enter(Arc::clone(black_box(&word)), Fast::Read).is_ok());
    });
    let ask = IoAsk {
        actor: Actor::nfs3([10, 0, 0, 1].into()),
        inode: InodeId(2000),
        stream: StreamId::MAIN,
        kind: IoKind::Read,
        range: ByteRange::Span { first: 0, last: 4095 },
    };
    time("through the table", 1_000_000, || {
        drop(black_box(table.admit(Request::Io(ask.clone()), Monotonic(1))));
    });
}

fn time(what: &str, rounds: u32, mut f: impl FnMut()) {
    (0..rounds / 10).for_each(|_| f());
    let start = Instant::now();
    (0..rounds).for_each(|_| f());
    println!("{what}: {:.1} ns", start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds));
}

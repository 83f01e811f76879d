//! Tests of the log: directed ones, and random histories against a model.
#![allow(clippy::unwrap_used, clippy::panic)]

mod damage;
mod directed;
mod history;
mod mutants;

use crate::{
    Disk, Log, LogOptions, Mutations, PoolConfig, Prepare, RecoverError, Recovered, RecoveredRecord,
    SegmentPool, SimDisk,
};
use dfs_model::{Clock, Epoch, Monotonic, Seq, Timestamp};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A clock that moves a microsecond with each look.
#[derive(Default)]
struct StepClock(AtomicU64);

impl Clock for StepClock {
    fn wall(&self) -> Timestamp {
        Timestamp::default()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.fetch_add(1_000, Ordering::Relaxed))
    }
}

const SEGMENT: u64 = 8192;

fn options(mutations: &Mutations) -> LogOptions {
    let clock: Arc<dyn Clock> = Arc::new(StepClock::default());
    LogOptions { mutations: mutations.clone(), ..LogOptions::new(clock) }
}

fn config(segments: u64, mutations: &Mutations) -> PoolConfig {
    PoolConfig {
        segment_bytes: SEGMENT,
        small_reserve: 0,
        prepare: Prepare::Inline,
        mutations: mutations.clone(),
        ..PoolConfig::new(segments * SEGMENT)
    }
}

fn pool(disk: &Arc<SimDisk>, segments: u64) -> Arc<SegmentPool> {
    let disk: Arc<dyn Disk> = disk.clone();
    SegmentPool::open(disk, config(segments, &Mutations::none())).unwrap()
}

/// A record as tests keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    seq: Seq,
    inode: u64,
    payload: Vec<u8>,
}

impl Kept {
    fn of(record: &RecoveredRecord<'_>) -> Kept {
        Kept { seq: record.seq, inode: record.inode, payload: record.payload.to_vec() }
    }
}

fn recover(
    pool: &Arc<SegmentPool>,
    journal: u128,
    rules: &Mutations,
) -> Result<(Recovered, Vec<Kept>), RecoverError> {
    let mut found = Vec::new();
    let recovered = Log::recover(pool, journal, options(rules), &mut |record| {
        found.push(Kept::of(&record));
        Ok(())
    })?;
    Ok((recovered, found))
}

/// An open log of epoch 1 on a fresh machine.
async fn fresh(disk: &Arc<SimDisk>, segments: u64) -> Log {
    let pool = pool(disk, segments);
    let (recovered, found) = recover(&pool, 1, &Mutations::none()).unwrap();
    assert!(found.is_empty());
    recovered.start(Epoch(1)).await.unwrap()
}

async fn put(log: &Log, inode: u64, payload: &[u8]) -> crate::Appended {
    let reservation = log.reserve(payload.len() as u64).await.unwrap();
    log.append(reservation, 1, inode, 0, &[payload]).unwrap()
}

/// Runs a future on one thread with paused time.
fn simulate<T>(body: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(body)
}

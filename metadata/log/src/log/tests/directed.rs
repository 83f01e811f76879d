//! One behaviour per test, on the simulated disk unless said otherwise.

use super::{Kept, SEGMENT, config, fresh, options, pool, put, recover, simulate};
use crate::{
    Crash, Disk, Log, LogError, Mutations, PoolConfig, PoolError, Priority, RealDisk, RecoverError,
    SegmentPool, SegmentState, SimDisk,
};
use dfs_model::{Epoch, Seq};
use std::{sync::Arc, time::Duration};

#[test]
fn append_numbers_records_from_one_and_reads_them_back() {
    simulate(async {
        let log = fresh(&SimDisk::new(1, 1 << 20), 4).await;
        let reservation = log.reserve(11).await.unwrap();
        let first = log.append(reservation, 7, 42, 0x8001, &[b"hello", b" ", b"world"]).unwrap();
        assert_eq!(first.seq, Seq::new(Epoch(1), 1));
        let second = put(&log, 43, b"").await;
        assert_eq!(second.seq, Seq::new(Epoch(1), 2));
        let record = log.read_record(first.position).unwrap();
        assert_eq!(
            (record.kind, record.inode, record.flags, &record.payload[..]),
            (7, 42, 0x8001, &b"hello world"[..])
        );
        let mut part = [0; 5];
        log.read(first.position, 42, first.seq, 6, &mut part).unwrap();
        assert_eq!(&part, b"world");
        assert!(matches!(
            log.read(first.position, 42, first.seq, 7, &mut part),
            Err(LogError::TooLarge { .. })
        ));
        assert!(matches!(log.read(first.position, 41, first.seq, 0, &mut part), Err(LogError::Damaged(_))));
    });
}

#[test]
fn append_beyond_reservation_or_with_reserved_kind_is_refused() {
    simulate(async {
        let log = fresh(&SimDisk::new(1, 1 << 20), 4).await;
        let reservation = log.reserve(8).await.unwrap();
        let mut reservation = reservation;
        assert!(matches!(
            log.append(&mut reservation, 1, 0, 0, &[&[0; 9]]),
            Err(LogError::TooLarge { room: 8, .. })
        ));
        assert!(matches!(log.append(&mut reservation, 255, 0, 0, &[]), Err(LogError::Kind(255))));
        log.append(&mut reservation, 1, 0, 0, &[&[0; 8]]).unwrap();
        assert!(matches!(log.append(&mut reservation, 1, 0, 0, &[]), Err(LogError::TooLarge { .. })));
        assert!(matches!(log.reserve(SEGMENT).await, Err(LogError::TooLarge { .. })));
    });
}

#[test]
fn process_crash_keeps_everything_appended() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let log = fresh(&disk, 6).await;
        let mut want = Vec::new();
        for n in 0..20u64 {
            let payload = vec![n as u8; 600];
            let appended = put(&log, n, &payload).await;
            want.push(Kept { seq: appended.seq, inode: n, payload });
        }
        assert!(log.segments().len() > 2, "rolled");
        let disk = disk.crash(Crash::Process);
        let (recovered, found) = recover(&pool(&disk, 6), 1, &Mutations::none()).unwrap();
        assert_eq!(found, want);
        assert_eq!(recovered.newest_epoch(), Some(Epoch(1)));
        assert!(matches!(
            recovered.start(Epoch(1)).await.err().unwrap(),
            RecoverError::EpochNotAbove { held: Epoch(1), starting: Epoch(1) }
        ));
    });
}

#[test]
fn durable_record_survives_power_cut_and_reopening() {
    for seed in 0..50 {
        simulate(async {
            let mut disk = SimDisk::new(seed, 1 << 20);
            let mut want = Vec::new();
            for epoch in 1..=4 {
                let pool = pool(&disk, 8);
                let (recovered, found) = recover(&pool, 1, &Mutations::none()).unwrap();
                assert_eq!(found, want, "seed {seed} epoch {epoch}");
                let log = recovered.start(Epoch(epoch)).await.unwrap();
                let appended = put(&log, 5, b"kept").await;
                log.durable(appended.seq).await.unwrap();
                want.push(Kept { seq: appended.seq, inode: 5, payload: b"kept".to_vec() });
                disk = disk.crash(Crash::Power);
            }
        });
    }
}

#[test]
fn concurrent_waiters_share_syncs() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let log = Arc::new(fresh(&disk, 4).await);
        put(&log, 0, b"first").await;
        log.flush().await.unwrap();
        let before = disk.steps();
        let tasks: Vec<_> = (0..40)
            .map(|n| {
                let log = log.clone();
                tokio::spawn(async move {
                    let appended = put(&log, n, b"x").await;
                    log.durable(appended.seq).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let syncs = disk.steps() - before - 40;
        assert!((1..=2).contains(&syncs), "{syncs} syncs for 40 waiters");
    });
}

#[test]
fn unsynced_record_is_synced_after_sync_max() {
    simulate(async {
        let log = fresh(&SimDisk::new(1, 1 << 20), 4).await;
        let appended = put(&log, 1, b"x").await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(log.durable_seq() < appended.seq);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(log.durable_seq(), appended.seq);
    });
}

#[test]
fn many_unsynced_bytes_are_synced_early() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let pool = pool(&disk, 4);
        let options = crate::LogOptions { sync_bytes_max: 1000, ..options(&Mutations::none()) };
        let log = Log::recover(&pool, 1, options, &mut |_| Ok(())).unwrap().start(Epoch(1)).await.unwrap();
        let appended = put(&log, 1, &[1; 1200]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(log.durable_seq(), appended.seq);
    });
}

#[test]
fn failed_sync_poisons_every_log_of_the_pool() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let pool = pool(&disk, 6);
        let rules = Mutations::none();
        let one = recover(&pool, 1, &rules).unwrap().0.start(Epoch(1)).await.unwrap();
        let two = recover(&pool, 2, &rules).unwrap().0.start(Epoch(1)).await.unwrap();
        let appended = put(&one, 1, b"x").await;
        let other = put(&two, 1, b"x").await;
        let spare = two.reserve(1).await.unwrap();
        disk.fail_syncs(1);
        assert!(matches!(one.durable(appended.seq).await, Err(LogError::Poisoned(_))));
        assert!(matches!(one.durable(appended.seq).await, Err(LogError::Poisoned(_))));
        assert!(matches!(two.durable(other.seq).await, Err(LogError::Poisoned(_))));
        assert!(matches!(two.append(spare, 1, 1, 0, &[b"y"]), Err(LogError::Poisoned(_))));
        assert!(matches!(two.reserve(1).await, Err(LogError::Poisoned(_))));
        assert_eq!(two.read_record(other.position).unwrap().payload, b"x", "reading stays possible");
        assert!(pool.poisoned().unwrap().to_string().contains("sync"));
    });
}

#[test]
fn full_disk_never_breaks_an_append() {
    simulate(async {
        let disk = SimDisk::new(1, 6 * SEGMENT);
        let log = fresh(&disk, 6).await;
        disk.set_capacity(0);
        for n in 0..12 {
            let appended = put(&log, n, &[3; 1500]).await;
            log.durable(appended.seq).await.unwrap();
        }
    });
}

#[test]
fn reserve_waits_while_no_segment_is_free_and_ends_with_a_release() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let log = Arc::new(fresh(&disk, 2).await);
        let first = put(&log, 1, &[1; 3500]).await;
        put(&log, 2, &[2; 3500]).await;
        let cancelled = tokio::time::timeout(Duration::from_secs(10), log.reserve(3500)).await;
        assert!(cancelled.is_err(), "no room");
        let waiter = tokio::spawn({
            let log = log.clone();
            async move { put(&log, 3, &[3; 3500]).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiter.is_finished());
        let active = log.segments().last().unwrap().id;
        assert!(matches!(log.release(active), Err(LogError::Active)));
        log.release(first.position.segment).unwrap();
        let third = waiter.await.unwrap();
        assert!(matches!(log.read_record(first.position), Err(LogError::Moved)));
        assert_eq!(log.read_record(third.position).unwrap().payload, [3; 3500]);
        assert_eq!(third.position.segment.slot, first.position.segment.slot, "the segment was recycled");
    });
}

#[test]
fn full_pool_of_active_segments_drains_by_sealing() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let log = Arc::new(fresh(&disk, 2).await);
        put(&log, 1, &[1; 3500]).await;
        put(&log, 2, &[2; 3500]).await;
        let old = log.segments().first().unwrap().id;
        let waiter = tokio::spawn({
            let log = log.clone();
            async move { put(&log, 3, &[3; 3500]).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sealed = log.seal_active().await.unwrap().unwrap();
        assert_ne!(sealed, old);
        log.release(sealed).unwrap();
        waiter.await.unwrap();
        assert_eq!(log.segments().len(), 2);
        assert_eq!(log.segments().last().unwrap().state, SegmentState::Active);
    });
}

#[test]
fn small_reserve_serves_small_records_when_data_waits() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let config = PoolConfig { small_reserve: 1, ..config(3, &Mutations::none()) };
        let dyn_disk: Arc<dyn Disk> = disk.clone();
        let pool = SegmentPool::open(dyn_disk, config).unwrap();
        let log = recover(&pool, 1, &Mutations::none()).unwrap().0.start(Epoch(1)).await.unwrap();
        let log = Arc::new(log);
        let first = put(&log, 1, &[1; 3500]).await;
        put(&log, 2, &[2; 3800]).await;
        let data = tokio::spawn({
            let log = log.clone();
            async move { put(&log, 3, &[3; 200]).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!data.is_finished(), "data must not open the reserve");
        let small = log.reserve_records(&[150], Priority::Small).await.unwrap();
        log.append(small, 1, 4, 0, &[&[4; 150]]).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!data.is_finished(), "data must not use a segment opened from the reserve");
        log.release(first.position.segment).unwrap();
        data.await.unwrap();
    });
}

#[test]
fn reservation_dropped_gives_room_back() {
    simulate(async {
        let log = fresh(&SimDisk::new(1, 1 << 20), 2).await;
        for _ in 0..50 {
            let reservation = log.reserve(3000).await.unwrap();
            drop(reservation);
        }
        assert_eq!(log.segments().len(), 1);
    });
}

#[test]
fn closed_log_is_recovered_and_started_again_in_the_same_process() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let log = fresh(&disk, 4).await;
        let pool = log.pool().clone();
        put(&log, 1, b"x").await;
        assert!(matches!(recover(&pool, 1, &Mutations::none()), Err(RecoverError::InUse)));
        log.close().await.unwrap();
        assert_eq!(pool.journals().len(), 1);
        let (recovered, found) = recover(&pool, 1, &Mutations::none()).unwrap();
        assert_eq!(found.len(), 1);
        let log = recovered.start(Epoch(2)).await.unwrap();
        let appended = put(&log, 1, b"y").await;
        assert_eq!(appended.seq, Seq::new(Epoch(2), 1));
        assert_eq!(log.segments().first().unwrap().state, SegmentState::Recovered);
        log.close().await.unwrap();
        assert_eq!(pool.discard(1), 2);
        assert_eq!(pool.status().free_segments, 4);
    });
}

#[test]
fn occupancy_counts_from_the_segment_of_the_oldest_record() {
    simulate(async {
        let log = fresh(&SimDisk::new(1, 1 << 20), 6).await;
        let first = put(&log, 1, &[1; 3500]).await;
        let second = put(&log, 2, &[2; 3500]).await;
        assert_eq!(log.bytes_since(first.seq), 2 * SEGMENT);
        assert_eq!(log.bytes_since(second.seq), SEGMENT);
        assert_eq!(log.bytes_since(Seq(second.seq.0 + 1)), 0);
        assert_eq!(log.pool().status().used_bytes, 2 * SEGMENT);
    });
}

#[test]
fn pool_refuses_small_disks_second_openers_and_bad_sizes() {
    let disk: Arc<dyn Disk> = SimDisk::new(1, 3 * SEGMENT);
    let rules = Mutations::none();
    let open = |config| SegmentPool::open(disk.clone(), config);
    match open(config(4, &rules)).err().unwrap() {
        PoolError::TooSmall { needed_bytes, free_bytes } => {
            assert_eq!((needed_bytes, free_bytes), (4 * SEGMENT, 3 * SEGMENT));
        }
        other => panic!("{other}"),
    }
    assert!(matches!(open(config(1, &rules)), Err(PoolError::Config(_))));
    assert!(matches!(
        open(PoolConfig { segment_bytes: 10_000, ..config(4, &rules) }),
        Err(PoolError::Config(_))
    ));
    let kept = open(config(2, &rules)).unwrap();
    assert!(matches!(open(config(2, &rules)), Err(PoolError::InUse)));
    drop(kept);
    assert_eq!(open(config(3, &rules)).unwrap().status().segments, 3);
    assert_eq!(open(config(2, &rules)).unwrap().status().segments, 2, "surplus free segments are removed");
}

#[test]
fn pool_crash_at_any_step_of_its_first_open_is_repaired() {
    for steps in 0..40 {
        let disk = SimDisk::new(steps, 1 << 20);
        disk.cut_after(steps);
        let first: Arc<dyn Disk> = disk.clone();
        let _ = SegmentPool::open(first, config(5, &Mutations::none()));
        let disk = disk.crash(Crash::Power);
        simulate(async {
            let log = fresh(&disk, 5).await;
            let appended = put(&log, 1, b"x").await;
            log.durable(appended.seq).await.unwrap();
            assert_eq!(log.pool().status().segments, 5, "steps {steps}");
        });
    }
}

#[test]
fn real_disk_with_threads_keeps_every_confirmed_record() {
    let folder = tempfile::tempdir().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_time().build().unwrap();
    let open = async || {
        let disk = RealDisk::open(folder.path().join("log")).unwrap();
        let config = PoolConfig { segment_bytes: 64 << 10, ..PoolConfig::new(64 * (64 << 10)) };
        // The thread of the last sync may still be dropping the pool before: its lock goes with it.
        for _ in 0..1000 {
            match SegmentPool::open(disk.clone(), config.clone()) {
                Err(PoolError::InUse) => tokio::time::sleep(Duration::from_millis(1)).await,
                opened => return opened.unwrap(),
            }
        }
        panic!("the pool stays in use");
    };
    let mut want = runtime.block_on(async {
        let log = recover(&open().await, 1, &Mutations::none()).unwrap().0.start(Epoch(1)).await.unwrap();
        let log = Arc::new(log);
        let tasks: Vec<_> = (0..8u64)
            .map(|task| {
                let log = log.clone();
                tokio::spawn(async move {
                    let mut mine = Vec::new();
                    for n in 0..60u64 {
                        let payload = vec![(task * 60 + n) as u8; (n * 97 % 4000) as usize];
                        let appended = put(&log, task, &payload).await;
                        assert_eq!(log.read_record(appended.position).unwrap().payload, payload);
                        log.durable(appended.seq).await.unwrap();
                        assert!(log.durable_seq() >= appended.seq);
                        mine.push(Kept { seq: appended.seq, inode: task, payload });
                    }
                    mine
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        let log = Arc::into_inner(log).unwrap();
        log.close().await.unwrap();
        all
    });
    want.sort_by_key(|kept| kept.seq);
    let (recovered, found) = recover(&runtime.block_on(open()), 1, &Mutations::none()).unwrap();
    assert_eq!(found.len(), 480);
    assert!(found == want);
    assert_eq!(recovered.epochs().last().unwrap().last, Seq::new(Epoch(1), 480));
}

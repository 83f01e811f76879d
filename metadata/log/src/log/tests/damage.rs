//! Bit rot, damaged headers, stale records: what no crash explains is refused, with a message that helps.

use super::{config, fresh, pool, put, recover, simulate};
use crate::{
    Crash, Disk, LogError, Mutations, PoolError, Position, RecoverError, Rule, SegmentPool, SimDisk,
    format::{RECORD_HEADER_BYTES, record_bytes},
};
use dfs_model::{Epoch, Seq};
use std::{sync::Arc, time::Duration};

fn name_of(position: Position) -> String {
    format!("segment-{:06}", position.segment.slot)
}

/// Two durable records, the second written after the first was known to be synced; then a byte of the first rots.
async fn rotten_vouched(seed: u64, rules: &Mutations) -> (String, u64, Result<usize, RecoverError>) {
    let disk = SimDisk::new(seed, 1 << 20);
    let log = fresh(&disk, 4).await;
    let first = put(&log, 1, &[1; 100]).await;
    log.durable(first.seq).await.unwrap();
    let second = put(&log, 1, &[2; 100]).await;
    log.durable(second.seq).await.unwrap();
    let disk = disk.crash(Crash::Power);
    let offset = u64::from(first.position.offset);
    assert!(disk.rot(&name_of(first.position), offset + RECORD_HEADER_BYTES + 10, 4));
    let result = recover(&pool(&disk, 4), 1, rules).map(|(_, found)| found.len());
    (name_of(first.position), offset, result)
}

#[test]
fn rot_before_a_record_that_vouches_is_refused_and_names_file_and_offset() {
    simulate(async {
        let (file, offset, result) = rotten_vouched(1, &Mutations::none()).await;
        let text = result.err().unwrap().to_string();
        assert!(text.contains(&file) && text.contains(&format!("byte {offset}")), "{text}");
        assert!(text.contains("record 1.1 is bad") && text.contains("put the data folder back"), "{text}");
        assert!(text.contains("Nothing was changed"), "{text}");
    });
}

#[test]
fn rot_before_a_record_that_vouches_without_that_rule_loses_a_confirmed_record() {
    simulate(async {
        let (_, _, result) = rotten_vouched(1, &Mutations::dropping(&[Rule::VouchedRefuses])).await;
        assert_eq!(result.unwrap(), 0, "the rule is what stands between rot and silent loss");
    });
}

#[test]
fn rot_in_the_last_record_of_an_idle_log_is_refused() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let log = fresh(&disk, 4).await;
        let only = put(&log, 1, &[1; 100]).await;
        log.durable(only.seq).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let disk = disk.crash(Crash::Power);
        disk.rot(&name_of(only.position), u64::from(only.position.offset) + 3, 1);
        assert!(matches!(recover(&pool(&disk, 4), 1, &Mutations::none()), Err(RecoverError::Damaged(_))));
    });
}

#[test]
fn rot_in_a_sealed_segment_is_refused() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let log = fresh(&disk, 6).await;
        let first = put(&log, 1, &[1; 3500]).await;
        let last = put(&log, 1, &[2; 3500]).await;
        log.durable(last.seq).await.unwrap();
        let disk = disk.crash(Crash::Process);
        let seal = u64::from(first.position.offset) + record_bytes(3500);
        disk.rot(&name_of(first.position), seal + 20, 1);
        let error = recover(&pool(&disk, 6), 1, &Mutations::none()).err().unwrap();
        assert!(error.to_string().contains(&format!("byte {seal}")), "{error}");
    });
}

#[test]
fn rot_in_a_tail_that_an_earlier_recovery_accepted_is_refused() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let log = fresh(&disk, 6).await;
        let old = put(&log, 1, &[1; 100]).await;
        log.durable(old.seq).await.unwrap();
        let disk = disk.crash(Crash::Process);
        let log = recover(&pool(&disk, 6), 1, &Mutations::none()).unwrap().0.start(Epoch(2)).await.unwrap();
        let new = put(&log, 1, &[1; 100]).await;
        log.durable(new.seq).await.unwrap();
        let disk = disk.crash(Crash::Process);
        disk.rot(&name_of(old.position), u64::from(old.position.offset) + 60, 1);
        let error = recover(&pool(&disk, 6), 1, &Mutations::none()).err().unwrap();
        assert!(error.to_string().contains("an earlier recovery accepted all up to 1.1"), "{error}");
    });
}

#[test]
fn header_rot_is_repaired_from_the_second_copy_and_refused_when_both_are_bad() {
    simulate(async {
        let disk = SimDisk::new(1, 1 << 20);
        let log = fresh(&disk, 4).await;
        let only = put(&log, 1, b"x").await;
        log.durable(only.seq).await.unwrap();
        let disk = disk.crash(Crash::Process);
        let name = name_of(only.position);
        disk.rot(&name, 30, 1);
        assert_eq!(recover(&pool(&disk, 4), 1, &Mutations::none()).unwrap().1.len(), 1);
        disk.rot(&name, 2048 + 30, 1);
        let open: Arc<dyn Disk> = disk.clone();
        match SegmentPool::open(open, config(4, &Mutations::none())).err().unwrap() {
            PoolError::Damaged(damage) => assert_eq!((damage.file, damage.offset), (name, 0)),
            other => panic!("{other}"),
        }
    });
}

#[test]
fn newer_format_is_refused_by_name() {
    let disk = SimDisk::new(1, 1 << 20);
    let rules = Mutations::none();
    simulate(async {
        let log = fresh(&disk, 2).await;
        put(&log, 1, b"x").await;
    });
    let disk = disk.crash(Crash::Process);
    let file = disk.open("segment-000000").unwrap();
    let mut copy = [0; 72];
    file.read_at(0, &mut copy).unwrap();
    copy[8] = 2;
    let sum = crc32c::crc32c(&copy[..68]);
    copy[68..].copy_from_slice(&sum.to_le_bytes());
    file.write_at(0, &copy).unwrap();
    let open: Arc<dyn Disk> = disk.clone();
    match SegmentPool::open(open, config(2, &rules)).err().unwrap() {
        PoolError::NewerFormat { file, found: 2, known: 1 } => assert_eq!(file, "segment-000000"),
        other => panic!("{other}"),
    }
}

/// A segment of journal 2 is recycled for journal 1: the same numbers, the same sizes, so that the stale record lies
/// just where journal 1's next one would.
async fn recycled(rules: &Mutations) -> Vec<(Seq, u64)> {
    let disk = SimDisk::new(1, 1 << 20);
    let open: Arc<dyn Disk> = disk.clone();
    let pool = SegmentPool::open(open, config(2, rules)).unwrap();
    let two = recover(&pool, 2, rules).unwrap().0.start(Epoch(1)).await.unwrap();
    for _ in 0..3 {
        put(&two, 2, b"stale").await;
    }
    let id = two.seal_active().await.unwrap().unwrap();
    two.release(id).unwrap();
    let one = recover(&pool, 1, rules).unwrap().0.start(Epoch(1)).await.unwrap();
    let appended = put(&one, 1, b"fresh").await;
    assert_eq!(appended.position.segment.slot, id.slot);
    one.durable(appended.seq).await.unwrap();
    let disk = disk.crash(Crash::Power);
    let open: Arc<dyn Disk> = disk.clone();
    let pool = SegmentPool::open(open, config(2, rules)).unwrap();
    recover(&pool, 1, rules).unwrap().1.into_iter().map(|kept| (kept.seq, kept.inode)).collect()
}

#[test]
fn stale_records_of_a_recycled_segment_are_never_taken() {
    simulate(async {
        assert_eq!(recycled(&Mutations::none()).await, [(Seq::new(Epoch(1), 1), 1)]);
        let mutant = recycled(&Mutations::dropping(&[Rule::SeededChecksum])).await;
        assert!(mutant.len() > 1, "without the seed, another journal's records appear: {mutant:?}");
    });
}

/// Reads at a position whose segment was given back and holds another record by now.
async fn read_recycled(rules: &Mutations) -> Result<[u8; 10], LogError> {
    let disk: Arc<dyn Disk> = SimDisk::new(1, 1 << 20);
    let pool = SegmentPool::open(disk, config(2, rules)).unwrap();
    let log = recover(&pool, 1, rules).unwrap().0.start(Epoch(1)).await.unwrap();
    let old = put(&log, 1, &[1; 3500]).await;
    put(&log, 2, &[2; 3500]).await;
    log.release(old.position.segment).unwrap();
    let new = put(&log, 3, &[3; 3500]).await;
    assert_eq!(new.position.segment.slot, old.position.segment.slot);
    let mut bytes = [0; 10];
    log.read(old.position, 1, old.seq, 0, &mut bytes).map(|()| bytes)
}

#[test]
fn reader_of_a_recycled_segment_gets_moved_never_other_bytes() {
    simulate(async {
        assert!(matches!(read_recycled(&Mutations::none()).await, Err(LogError::Moved)));
        let mutant = read_recycled(&Mutations::dropping(&[Rule::ReaderVerifies])).await;
        assert_eq!(mutant.unwrap(), [3; 10], "without the rule, another record's bytes are returned");
    });
}

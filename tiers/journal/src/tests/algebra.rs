//! Random histories of writes, truncates, holes, cuts, failed uploads and places against plain byte vectors.

use super::*;
use crate::Cut;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;

const SPAN: u64 = 600;

/// One file as the model knows it.
struct File {
    row: Inode,
    bytes: Vec<u8>,
    base: Vec<u8>,
    /// State after each record.
    history: HashMap<Seq, Vec<u8>>,
    cuts: VecDeque<Cut>,
    mtime: Timestamp,
}

impl File {
    fn new(inode: u64, born: Seq) -> File {
        let (bytes, base, history, cuts) = (Vec::new(), Vec::new(), HashMap::new(), VecDeque::new());
        File { row: row(inode, born), bytes, base, history, cuts, mtime: Timestamp::EPOCH }
    }

    fn act(&mut self, record: &Record) {
        match record {
            Record::Write { offset, data, mtime } => {
                let end = *offset as usize + data.len();
                if !data.is_empty() {
                    self.bytes.resize(self.bytes.len().max(end), 0);
                }
                self.bytes
                    .get_mut(*offset as usize..end)
                    .into_iter()
                    .for_each(|part| part.copy_from_slice(data));
                self.mtime = *mtime;
            }
            Record::SetSize { size, mtime } => {
                self.bytes.resize(*size as usize, 0);
                self.mtime = mtime.unwrap_or(self.mtime);
            }
            Record::Zero { offset, len, mtime } => {
                let end = (offset + len).min(self.bytes.len() as u64) as usize;
                self.bytes.get_mut(*offset as usize..end).into_iter().for_each(|part| part.fill(0));
                self.mtime = *mtime;
            }
            Record::SetTimes { mtime, .. } => self.mtime = mtime.unwrap_or(self.mtime),
        }
    }
}

fn record(random: &mut SmallRng, time: Timestamp) -> Record {
    let offset = random.random_range(0..SPAN);
    let len = random.random_range(0..120);
    match random.random_range(0..10) {
        0..6 => {
            let data: Vec<u8> = (0..len).map(|_| random.random_range(1..=255)).collect();
            Record::Write { offset, mtime: time, data: data.into() }
        }
        6 => Record::SetSize { size: offset, mtime: Some(time) },
        7 => Record::SetSize { size: random.random_range(0..SPAN * 2), mtime: None },
        8 => Record::Zero { offset, len: len * 2, mtime: time },
        _ => Record::SetTimes { atime: None, mtime: Some(time) },
    }
}

fn check_read(bench: &Bench, file: &File, random: &mut SmallRng) -> Result<(), String> {
    let (offset, len) = (random.random_range(0..SPAN), random.random_range(0..SPAN * 2));
    for (offset, len) in [(offset, len), (0, file.bytes.len() as u64 + 10)] {
        let seen = bench.read(file.row.id, offset, len, &file.base).ok_or("moved under a reader")?;
        let mut want = file.bytes.get(offset as usize..).unwrap_or_default().to_vec();
        want.resize(len as usize, 0);
        if seen != want {
            return Err(format!("read of {offset}+{len} differs"));
        }
    }
    let attrs = bench.journal.overlay(file.row.id);
    let size = attrs.map_or(file.base.len() as u64, |attrs| attrs.size);
    let mtime = attrs.and_then(|attrs| attrs.mtime).unwrap_or(file.row.mtime);
    if (size, mtime) != (file.bytes.len() as u64, file.mtime) {
        return Err(format!("size {size} or mtime differs"));
    }
    Ok(())
}

/// Places the oldest cut: in order, once it is read back again as a retry would.
fn place(bench: &Bench, file: &mut File) -> Result<(), String> {
    let Some(cut) = file.cuts.pop_front() else { return Ok(()) };
    if cut.from_seq != file.row.flushed_seq {
        return Err(format!("cut starts at {} but the row is at {}", cut.from_seq, file.row.flushed_seq));
    }
    if bench.journal.recut(cut.inode, cut.to_seq).is_some_and(|again| again != cut) {
        return Err("a cut taken again differs".into());
    }
    bench.apply(&cut, &mut file.base)?;
    file.row.flushed_seq = cut.to_seq;
    file.row.size = cut.size;
    file.row.mtime = cut.mtime.unwrap_or(file.row.mtime);
    if file.history.get(&cut.to_seq) != Some(&file.base) {
        return Err(format!("cut {}..{} is not the state there", cut.from_seq, cut.to_seq));
    }
    bench.journal.placed(cut.inode, cut.to_seq);
    Ok(())
}

fn data_bytes(cuts: &VecDeque<Cut>) -> u64 {
    cuts.iter().map(|cut| cut.writes.iter().map(|(_, len, _)| len).sum::<u64>()).sum()
}

/// One random history; then everything is drained and every segment must be free.
pub(super) async fn history(seed: u64, steps: usize, mutations: Mutations) -> Result<(), String> {
    let mut random = SmallRng::seed_from_u64(seed);
    let bench = Bench::with(seed, 16, mutations).await;
    let born = bench.journal.last_issued();
    let mut files: Vec<File> = (0..3).map(|n| File::new(2000 + n, born)).collect();
    for _ in 0..steps {
        let file = &mut files[random.random_range(0..3)];
        match random.random_range(0..20) {
            0..12 => {
                let record = record(&mut random, bench.clock.wall());
                file.act(&record);
                let seq = bench.append(&file.row, record).await;
                file.history.insert(seq, file.bytes.clone());
            }
            12..15 => file.cuts.extend(bench.journal.cut(file.row.id)),
            15 => {
                if let Some(merged) = bench.journal.recut_merged(file.row.id) {
                    file.cuts = VecDeque::from([merged]);
                }
            }
            _ => place(&bench, file)?,
        }
        let stats = bench.journal.stats();
        let uncut: u64 = bench.journal.dirty_inodes(9, None).iter().map(|dirty| dirty.bytes).sum();
        let cut: u64 = files.iter().map(|file| data_bytes(&file.cuts)).sum();
        if (stats.uncut_bytes, stats.dirty_bytes) != (uncut, uncut + cut) {
            return Err(format!("books differ: {stats:?}, uncut {uncut}, cut {cut}"));
        }
        let file = &files[random.random_range(0..3)];
        check_read(&bench, file, &mut random)?;
    }
    drain(&bench, &mut files).await
}

async fn drain(bench: &Bench, files: &mut [File]) -> Result<(), String> {
    for file in files.iter_mut() {
        file.cuts.extend(bench.journal.cut(file.row.id));
        while !file.cuts.is_empty() {
            place(bench, file)?;
        }
        if file.base != file.bytes {
            return Err("the drained base is not the file".into());
        }
    }
    let stats = bench.journal.stats();
    let left = (stats.dirty_bytes, stats.dirty_inodes, stats.overlay_bytes, stats.segments_dirty);
    if left != (0, 0, 0, 0) || bench.pressure.occupancy() != 0.0 {
        return Err(format!("drained, but {left:?} remain"));
    }
    bench.journal.give_up_clean().await;
    let held = bench.journal.stats().segments_held - bench.journal.stats().segments_probation;
    if held != 0 {
        return Err(format!("drained, but {held} segments are held"));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn history_of_random_operations_equals_plain_bytes() {
    let seeds = std::env::var("DFS_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for seed in 0..seeds {
        let outcome = history(seed, 400, Mutations::none()).await;
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn allocated_estimate_of_a_file_written_from_empty_is_exact() {
    let bench = Bench::new(1, 8).await;
    let file = row(2000, bench.journal.last_issued());
    bench.write(&file, 0, &[1; 100]).await;
    bench.write(&file, 50, &[2; 100]).await;
    bench.write(&file, 1000, &[3; 10]).await;
    let allocated = || bench.journal.overlay(file.id).unwrap().allocated_estimate;
    assert_eq!(allocated(), 160);
    bench.append(&file, Record::Zero { offset: 100, len: 905, mtime: Timestamp::EPOCH }).await;
    assert_eq!(allocated(), 105);
    let _ = bench.journal.cut(file.id);
    bench.append(&file, Record::SetSize { size: 30, mtime: None }).await;
    assert_eq!(allocated(), 30);
    let map = bench.journal.map_dirty(file.id).unwrap();
    assert_eq!(map.pieces.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn allocated_estimate_over_a_dense_base_does_not_count_overwrites_twice() {
    let bench = Bench::new(1, 8).await;
    let file = Inode { size: 1000, allocated: 1000, ..row(2000, bench.journal.last_issued()) };
    bench.write(&file, 0, &[1; 500]).await;
    bench.write(&file, 900, &[1; 200]).await;
    assert_eq!(bench.journal.overlay(file.id).unwrap().allocated_estimate, 1100);
}

#[tokio::test(start_paused = true)]
async fn allocated_estimate_grows_by_an_append_to_a_placed_file_as_foretold() {
    let bench = Bench::new(1, 8).await;
    let file = Inode { size: 1000, allocated: 1000, ..row(2000, bench.journal.last_issued()) };
    let append =
        |offset| Record::Write { offset, mtime: Timestamp::EPOCH, data: Bytes::from_static(&[1; 100]) };
    for (offset, allocated) in [(1000, 1100), (5000, 1200), (950, 1200), (5050, 1250)] {
        assert_eq!(bench.journal.allocated_after(&file, &append(offset)), allocated);
        bench.append(&file, append(offset)).await;
        assert_eq!(bench.journal.overlay(file.id).unwrap().allocated_estimate, allocated);
    }
}

#[tokio::test(start_paused = true)]
async fn records_with_ranges_beyond_the_largest_size_are_refused_without_trace() {
    let bench = Bench::new(1, 8).await;
    let file = row(2000, bench.journal.last_issued());
    let far = Record::Zero { offset: u64::MAX - 1, len: 10, mtime: Timestamp::EPOCH };
    let room = bench.journal.reserve(&client(1), 0, Reserve::Control, None).await.unwrap();
    let refused = bench.journal.append(room, &file, bench.meta(), far);
    assert!(matches!(refused, Err(crate::JournalError::Range { .. })));
    assert!(bench.journal.overlay(file.id).is_none());
    let room = bench.journal.reserve(&client(1), 4, Reserve::Data, None).await.unwrap();
    let big = Record::Write { offset: 0, mtime: Timestamp::EPOCH, data: Bytes::from_static(b"12345") };
    assert!(matches!(
        bench.journal.append(room, &file, bench.meta(), big),
        Err(crate::JournalError::TooLarge { .. })
    ));
    assert_eq!(bench.journal.last_issued().counter(), 0);
}

#[tokio::test(start_paused = true)]
async fn attributes_follow_the_records_and_keep_the_newest_flags() {
    let bench = Bench::new(1, 8).await;
    let file = row(2000, bench.journal.last_issued());
    let put = async |clear_suid: bool, set_archive: bool, record: Record| {
        let room = bench.journal.reserve(&client(1), record.data_len(), Reserve::Data, None).await.unwrap();
        let meta = RecordMeta { clear_suid, set_archive, ..bench.meta() };
        (meta.change, bench.journal.append(room, &file, meta, record).unwrap().attrs)
    };
    let write =
        |time| Record::Write { offset: 0, mtime: Timestamp::new(time, 0), data: Bytes::from_static(b"x") };
    let (first, attrs) = put(true, true, write(5)).await;
    assert_eq!((attrs.clear_suid, attrs.set_archive, attrs.change), (Some(first), Some(first), first));
    let _ = bench.journal.cut(file.id);
    let (second, attrs) = put(false, true, write(6)).await;
    assert_eq!((attrs.clear_suid, attrs.set_archive), (Some(first), Some(second)));
    let times = Record::SetTimes { atime: Some(Timestamp::new(1, 0)), mtime: Some(Timestamp::new(2, 0)) };
    let (third, attrs) = put(false, false, times).await;
    assert_eq!((attrs.atime, attrs.mtime), (Some(Timestamp::new(1, 0)), Some(Timestamp::new(2, 0))));
    assert_eq!((attrs.change, attrs.size), (third, 1));
}

//! Crashes at any step over a disk that loses, tears and reorders what was not synced.
//!
//! The metadata store of these tests is a map that is durable at once; so the ends of older epochs and the placed rows
//! survive, and everything else must come from the segments.

use super::*;
use dfs_log::{Crash, Disk};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// One file as its history says.
struct File {
    row: Inode,
    base: Vec<u8>,
    /// State after each record that may still exist.
    history: BTreeMap<Seq, Vec<u8>>,
    cuts: std::collections::VecDeque<crate::Cut>,
}

impl File {
    /// State after everything up to the newest record.
    fn now(&self) -> Vec<u8> {
        self.history.last_key_value().map_or_else(|| self.base.clone(), |(_, bytes)| bytes.clone())
    }

    /// Forgets what a crash lost: everything above `end`, unless it was placed.
    fn keep_through(&mut self, end: impl Fn(Seq) -> bool) {
        let flushed = self.row.flushed_seq;
        self.history.retain(|seq, _| *seq > flushed && end(*seq));
        self.cuts.clear();
    }
}

/// The machine and its metadata store.
struct World {
    disk: Arc<SimDisk>,
    files: Vec<File>,
    ends: BTreeMap<Epoch, u64>,
    epoch: Epoch,
    /// Newest record that must survive a power cut.
    acked: Seq,
    /// Newest record that must survive as long as only processes die.
    written: Seq,
    mutations: Mutations,
    segments: u64,
}

impl World {
    fn new(seed: u64, mutations: Mutations) -> World {
        let file = |n: u64| File {
            row: row(2000 + n, Seq::ZERO),
            base: Vec::new(),
            history: BTreeMap::new(),
            cuts: Default::default(),
        };
        World {
            disk: SimDisk::new(seed, 16 << 20),
            files: (0..4).map(file).collect(),
            ends: BTreeMap::new(),
            epoch: Epoch(0),
            acked: Seq::ZERO,
            written: Seq::ZERO,
            mutations,
            segments: 12,
        }
    }

    fn crash(&mut self, kind: Crash, issued: Seq) {
        self.written = if kind == Crash::Process { issued } else { Seq::ZERO };
        self.disk = self.disk.crash(kind);
    }

    /// Opens in the next epoch as JOURNAL §7 says.
    async fn open(&mut self) -> Result<Bench, String> {
        self.epoch = self.epoch.next().ok_or("epochs")?;
        let clock = SimClock::new();
        let config = pool_config(self.segments, &self.mutations);
        let pool = SegmentPool::open(self.disk.clone(), config).map_err(|error| error.to_string())?;
        let pressure = pressure(self.segments, &clock);
        let options = options(&clock, &self.mutations);
        let recovered = Journal::recover(pool.clone(), SHARE, options, pressure.clone()).await;
        let recovered = recovered.map_err(|error| error.to_string())?;
        let held: BTreeMap<Epoch, u64> = recovered.held().into_iter().collect();
        for epoch in 1..self.epoch.0 {
            let held = held.get(&Epoch(epoch)).copied().unwrap_or(0);
            let end = self.ends.entry(Epoch(epoch)).or_insert(held);
            *end = (*end).min(held);
        }
        let ends: Vec<_> = self.ends.iter().map(|(epoch, end)| (*epoch, *end)).collect();
        let rows = self.files.iter().map(|file| (file.row.id, Arc::new(file.row.clone()))).collect();
        let journal = recovered.start(self.epoch, &ends, &rows).await.map_err(|error| error.to_string())?;
        let changes = AtomicU64::new(u64::from(self.epoch.0) << 40);
        Ok(Bench { clock, pressure, pool, journal, changes })
    }

    /// After an opening: nothing acknowledged is lost, and every file is at one exact point of its history.
    fn check(&mut self, bench: &Bench) -> Result<(), String> {
        let ends = self.ends.clone();
        let kept = move |seq: Seq| ends.get(&seq.epoch()).is_none_or(|end| seq.counter() <= *end);
        for file in &mut self.files {
            let must = self.acked.max(self.written);
            let acked = file.history.keys().rfind(|seq| **seq <= must).copied();
            if let Some(seq) = acked.filter(|seq| !kept(*seq) && *seq > file.row.flushed_seq) {
                return Err(format!("{seq} was acknowledged and is lost, ends {:?}", self.ends));
            }
            file.keep_through(&kept);
            let (want, id) = (file.now(), file.row.id);
            let size = bench.journal.overlay(id).map_or(file.base.len() as u64, |attrs| attrs.size);
            let seen = bench.read(id, 0, size, &file.base).ok_or("a segment moved right after recovery")?;
            if seen != want {
                return Err(format!("inode {id} is not at its point of history"));
            }
            // It was shown to clients now.
            self.acked = self.acked.max(bench.journal.last_seq(id).unwrap_or_default());
        }
        Ok(())
    }

    async fn step(&mut self, bench: &Bench, random: &mut SmallRng) -> Result<(), String> {
        let file = &mut self.files[random.random_range(0..4)];
        match random.random_range(0..20) {
            0..10 => {
                let record = random_record(random);
                let mut bytes = file.now();
                apply(&record, &mut bytes);
                let deadline = Some(bench.clock.monotonic().plus(Duration::from_secs(2)));
                let room =
                    bench.journal.reserve(&client(1), record.data_len(), Reserve::Control, deadline).await;
                if matches!(room, Err(crate::ReserveError::Delay)) {
                    self.files.iter_mut().try_for_each(|file| drain(bench, file))?;
                    return Ok(());
                }
                let room = room.map_err(|error| error.to_string())?;
                let done = bench.journal.append(room, &file.row, bench.meta(), record);
                file.history.insert(done.map_err(|error| error.to_string())?.seq, bytes);
            }
            10..13 => {
                let seq = bench.journal.last_issued();
                bench.journal.durable(seq).await.map_err(|error| error.to_string())?;
                self.acked = self.acked.max(seq);
            }
            13..16 => file.cuts.extend(bench.journal.cut(file.row.id)),
            16..19 => place(bench, file)?,
            _ => tokio::time::sleep(Duration::from_millis(random.random_range(1..3000))).await,
        }
        Ok(())
    }
}

fn random_record(random: &mut SmallRng) -> Record {
    let offset = if random.random_bool(0.3) { 0 } else { random.random_range(0..20_000) };
    let mtime = Timestamp::new(random.random_range(0..1000), 0);
    match random.random_range(0..8) {
        0..5 => {
            let (len, byte) = (random.random_range(0..20_000), random.random());
            Record::Write { offset, mtime, data: vec![byte; len].into() }
        }
        5 => Record::SetSize { size: offset, mtime: None },
        6 => Record::Zero { offset, len: 5000, mtime },
        _ => Record::SetTimes { atime: Some(mtime), mtime: None },
    }
}

fn apply(record: &Record, bytes: &mut Vec<u8>) {
    match record {
        Record::Write { offset, data, .. } if !data.is_empty() => {
            let end = *offset as usize + data.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[*offset as usize..end].copy_from_slice(data);
        }
        Record::SetSize { size, .. } => bytes.resize(*size as usize, 0),
        Record::Zero { offset, len, .. } => {
            let end = ((offset + len) as usize).min(bytes.len());
            bytes.get_mut(*offset as usize..end).into_iter().for_each(|part| part.fill(0));
        }
        _ => {}
    }
}

fn place(bench: &Bench, file: &mut File) -> Result<(), String> {
    let Some(cut) = file.cuts.pop_front() else { return Ok(()) };
    bench.apply(&cut, &mut file.base)?;
    file.row.flushed_seq = cut.to_seq;
    file.row.size = cut.size;
    bench.journal.placed(cut.inode, cut.to_seq);
    Ok(())
}

/// Places everything that an inode has.
fn drain(bench: &Bench, file: &mut File) -> Result<(), String> {
    file.cuts.extend(bench.journal.cut(file.row.id));
    while !file.cuts.is_empty() {
        place(bench, file)?;
    }
    Ok(())
}

/// Random work, crashes at random steps, also within recovery; at the end everything drains and every segment is free.
pub(super) async fn history(seed: u64, mutations: Mutations) -> Result<(), String> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut world = World::new(seed, mutations);
    for _ in 0..6 {
        let bench = loop {
            if random.random_bool(0.3) {
                world.disk.cut_after(random.random_range(0..60));
            }
            match world.open().await {
                Ok(bench) if !world.disk.is_down() => break bench,
                Ok(_) => world.crash(Crash::Power, Seq::ZERO),
                Err(_) if world.disk.is_down() => world.crash(Crash::Power, Seq::ZERO),
                Err(error) => return Err(error),
            }
        };
        world.check(&bench)?;
        world.disk.cut_after(random.random_range(0..400));
        for _ in 0..random.random_range(0..120) {
            match world.step(&bench, &mut random).await {
                Err(_) if world.disk.is_down() => break,
                other => other?,
            }
        }
        let kind =
            if world.disk.is_down() || random.random_bool(0.5) { Crash::Power } else { Crash::Process };
        let issued = bench.journal.last_issued();
        drop(bench);
        world.crash(kind, issued);
    }
    let bench = world.open().await?;
    world.check(&bench)?;
    world.files.iter_mut().try_for_each(|file| drain(&bench, file))?;
    bench.journal.give_up_clean().await;
    let stats = bench.journal.stats();
    match (stats.segments_dirty, stats.segments_held - stats.segments_probation) {
        (0, 0) => Ok(()),
        left => Err(format!("drained, but {left:?} segments are dirty, held")),
    }
}

#[tokio::test(start_paused = true)]
async fn recovery_of_random_crashes_gives_one_exact_prefix() {
    let seeds = std::env::var("DFS_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for seed in 0..seeds {
        let outcome = history(seed, Mutations::none()).await;
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn start_without_the_ends_of_held_epochs_is_refused() {
    let mut world = World::new(1, Mutations::none());
    let bench = world.open().await.unwrap();
    bench.write(&world.files[0].row, 0, b"x").await;
    bench.journal.durable(bench.journal.last_issued()).await.unwrap();
    drop(bench);
    world.disk = world.disk.crash(Crash::Process);
    let clock = SimClock::new();
    let pool = SegmentPool::open(world.disk.clone(), pool_config(12, &world.mutations)).unwrap();
    let recovered =
        Journal::recover(pool, SHARE, options(&clock, &world.mutations), pressure(12, &clock)).await.unwrap();
    assert_eq!(recovered.held(), [(Epoch(1), 1)]);
    assert_eq!((recovered.newest_epoch(), recovered.inodes()), (Some(Epoch(1)), vec![InodeId(2000)]));
    let refused = recovered.start(Epoch(2), &[], &HashMap::new()).await;
    assert!(matches!(refused.err(), Some(crate::JournalError::NoEnd(Epoch(1)))));
}

#[tokio::test(start_paused = true)]
async fn start_in_an_epoch_not_above_the_held_one_is_refused() {
    let mut world = World::new(1, Mutations::none());
    let bench = world.open().await.unwrap();
    bench.write(&world.files[0].row, 0, b"x").await;
    drop(bench);
    world.disk = world.disk.crash(Crash::Process);
    world.epoch = Epoch(0);
    world.ends.insert(Epoch(1), 1);
    let why = world.open().await.err().unwrap();
    assert!(why.contains("older copy"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn failed_sync_stops_the_journal_and_keeps_it_readable() {
    let mut world = World::new(1, Mutations::none());
    let bench = world.open().await.unwrap();
    let file = world.files[0].row.clone();
    let seq = bench.write(&file, 0, b"hello").await;
    world.disk.fail_syncs(1);
    assert!(matches!(bench.journal.durable(seq).await, Err(crate::JournalError::Poisoned { .. })));
    assert!(bench.journal.poisoned().is_some());
    let refused = bench.journal.reserve(&client(1), 1, Reserve::Data, None).await;
    assert!(matches!(refused.err(), Some(crate::ReserveError::Poisoned { .. })));
    assert!(bench.journal.durable(seq).await.is_err(), "never taken back");
    assert_eq!(bench.read(file.id, 0, 5, &[]), Some(b"hello".to_vec()));
    assert!(bench.journal.cut(file.id).is_some(), "flushing may go on");
}

#[tokio::test(start_paused = true)]
async fn reader_of_a_recycled_segment_is_told_to_resolve_again() {
    let mut world = World::new(1, Mutations::none());
    let bench = world.open().await.unwrap();
    let file = world.files[0].row.clone();
    bench.write(&file, 0, &[9; 30_000]).await;
    let plan = bench.journal.read_plan(file.id, 0, 100).unwrap();
    let Source::Log(location) = plan.pieces[0].source else { panic!("{plan:?}") };
    let mut out = [0; 100];
    bench.journal.read_location(&location, file.id, &mut out).unwrap();
    assert_eq!(out, [9; 100]);
    for n in 0..60 {
        let other = row(5000 + n, Seq::ZERO);
        for id in [file.id, other.id] {
            if let Some(cut) = bench.journal.cut(id) {
                bench.journal.placed(id, cut.to_seq);
            }
        }
        bench.write(&other, 0, &[8; 30_000]).await;
        let cut = bench.journal.cut(other.id).unwrap();
        bench.journal.placed(other.id, cut.to_seq);
        let seen = bench.journal.read_location(&location, file.id, &mut out);
        assert!(seen == Err(crate::Moved::Recycled) || out == [9; 100], "other bytes were returned");
    }
    let seen = bench.journal.read_location(&location, file.id, &mut out);
    assert_eq!(seen, Err(crate::Moved::Recycled), "the segment lived on 60 rolls later");
}

#[tokio::test(start_paused = true)]
async fn rotten_byte_of_a_record_is_found_before_it_is_uploaded() {
    let mut world = World::new(1, Mutations::none());
    let bench = world.open().await.unwrap();
    let file = world.files[0].row.clone();
    bench.write(&file, 0, &[9; 3000]).await;
    bench.write(&file, 1000, &[7; 100]).await;
    bench.journal.durable(bench.journal.last_issued()).await.unwrap();
    let cut = bench.journal.cut(file.id).unwrap();
    let (_, len, before) = cut.writes[0];
    let record = bench.journal.read_verified(&before, file.id).unwrap();
    assert_eq!(record.bytes_at(&before, len as usize).unwrap(), [9; 1000]);
    let (_, len, after) = cut.writes[2];
    assert_eq!(record.bytes_at(&after, len as usize).unwrap(), [9; 1900]);
    assert_eq!(record.bytes_at(&cut.writes[1].2, 100), None, "bytes of another record");
    let names = world.disk.list().unwrap();
    let hit = names.iter().filter(|name| world.disk.rot(name, 4096 + 40 + 60 + 500, 0x40)).count();
    assert!(hit > 0);
    for place in [before, after] {
        let read = bench.journal.read_verified(&place, file.id);
        assert!(matches!(read, Err(crate::Moved::Damaged(_))), "{names:?}");
    }
}

//! Random histories of two logs in one small pool over a machine that crashes, checked against a model.
//!
//! The model keeps every record ever appended with what is known of it, and after each recovery asks: is every record
//! found one that was written, in order, without a hole in its epoch; is every confirmed one there; does none come back
//! that an earlier recovery dropped; did the death of the process alone lose nothing.

use super::{Kept, config, options, recover};
use crate::{Crash, Disk, Log, LogError, Mutations, Position, Rule, SegmentId, SegmentPool, SimDisk};
use dfs_model::{Epoch, Seq};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{collections::HashSet, sync::Arc, time::Duration};

const SEGMENTS: u64 = 8;
const JOURNALS: [u128; 2] = [11, 12];

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// In the page cache at least.
    Appended,
    /// Confirmed, or served by a recovery.
    Durable,
    /// Its segment was given back: may be there or not.
    Released,
    /// An earlier recovery dropped it.
    Gone,
}

#[derive(Clone, Debug)]
struct Record {
    kept: Kept,
    fate: Fate,
    position: Position,
}

#[derive(Default)]
struct Model {
    records: Vec<Record>,
    issued: HashSet<Seq>,
}

impl Model {
    fn confirm(&mut self, epoch: Epoch, seq: Seq) {
        let up_to = self.records.iter_mut().filter(|r| r.kept.seq.epoch() == epoch && r.kept.seq <= seq);
        up_to.filter(|r| r.fate == Fate::Appended).for_each(|r| r.fate = Fate::Durable);
    }

    fn release(&mut self, segment: SegmentId) {
        self.records
            .iter_mut()
            .filter(|r| r.position.segment == segment)
            .for_each(|r| r.fate = Fate::Released);
    }

    /// Which records of the model were found. *Errors:* the violation.
    fn match_up(&self, found: &[Kept]) -> Result<Vec<bool>, String> {
        let mut rest = found;
        let mut present = Vec::with_capacity(self.records.len());
        for record in &self.records {
            let here = rest.first() == Some(&record.kept);
            if here {
                rest = &rest[1..];
            }
            present.push(here);
        }
        match rest.first() {
            Some(kept) => Err(format!(
                "record {} of {} bytes was not written so, or out of order",
                kept.seq,
                kept.payload.len()
            )),
            None => Ok(present),
        }
    }

    fn check(&self, found: &[Kept], whole: bool) -> Result<Vec<bool>, String> {
        let present = self.match_up(found)?;
        let mut hole: Option<Seq> = None;
        for (record, present) in self.records.iter().zip(&present) {
            let seq = record.kept.seq;
            match (record.fate, present) {
                (Fate::Durable, false) => return Err(format!("confirmed record {seq} is lost")),
                (Fate::Appended, false) if whole => {
                    return Err(format!("record {seq} is lost by a mere process crash"));
                }
                (Fate::Gone, true) => return Err(format!("record {seq} is back after it was dropped")),
                (Fate::Appended, false) => hole = Some(seq),
                (Fate::Appended | Fate::Durable, true) if hole.is_some_and(|h| h.epoch() == seq.epoch()) => {
                    return Err(format!("record {seq} is there without one before it"));
                }
                _ => {}
            }
        }
        Ok(present)
    }

    /// The recovery is served: what it holds is confirmed, what it dropped is gone.
    fn accept(&mut self, present: &[bool]) {
        for (record, present) in self.records.iter_mut().zip(present) {
            record.fate = match (record.fate, present) {
                (Fate::Appended, true) => Fate::Durable,
                (Fate::Appended, false) => Fate::Gone,
                (fate, _) => fate,
            };
        }
    }
}

/// Figures of a history, to see that it exercised something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) appended: u64,
    pub(super) confirmed: u64,
    pub(super) recovered: u64,
    pub(super) dropped: u64,
    pub(super) rolls: u64,
    pub(super) lives: u64,
}

struct World {
    random: SmallRng,
    disk: Arc<SimDisk>,
    rules: Mutations,
    models: [Model; 2],
    epoch: u32,
    /// The last crash must have kept everything appended.
    whole: bool,
    figures: Figures,
}

type Confirmed = Arc<Mutex<Vec<(usize, Seq)>>>;

/// Runs one history. *Errors:* the violation, with the seed.
pub(super) fn run(seed: u64, rules: &[Rule]) -> Result<Figures, String> {
    super::simulate(async {
        let mut world = World {
            random: SmallRng::seed_from_u64(seed),
            disk: SimDisk::new(seed, 4 << 20),
            rules: Mutations::dropping(rules),
            models: Default::default(),
            epoch: 0,
            whole: true,
            figures: Figures::default(),
        };
        for _ in 0..world.random.random_range(3..8) {
            world.life().await.map_err(|why| format!("seed {seed}, epoch {}: {why}", world.epoch))?;
        }
        Ok(world.figures)
    })
}

impl World {
    /// Opens, checks, works, crashes.
    async fn life(&mut self) -> Result<(), String> {
        self.epoch += 1;
        self.figures.lives += 1;
        match self.random.random_range(0..4) {
            0 => self.disk.cut_after(self.random.random_range(0..30)),
            1 => self.disk.cut_after(self.random.random_range(10..150)),
            _ => {}
        }
        let opened = self.open().await;
        let mut broken = false;
        if let Some((pool, logs)) = self.unless_down(opened)? {
            let worked = self.work(&pool, &logs).await;
            broken = pool.poisoned().is_some();
            self.unless_down(worked)?;
        }
        let kind = match self.disk.is_down() || self.random.random_range(0..3) > 0 {
            true => Crash::Power,
            false => Crash::Process,
        };
        self.whole = kind == Crash::Process && !broken;
        self.disk = self.disk.crash(kind);
        Ok(())
    }

    /// A failure of a machine that is down is no finding.
    fn unless_down<T>(&self, result: Result<T, String>) -> Result<Option<T>, String> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.disk.is_down() => Ok(None),
            Err(why) => Err(why),
        }
    }

    async fn open(&mut self) -> Result<(Arc<SegmentPool>, Vec<Log>), String> {
        let disk: Arc<dyn Disk> = self.disk.clone();
        let pool =
            SegmentPool::open(disk, config(SEGMENTS, &self.rules)).map_err(|e| format!("pool: {e}"))?;
        let mut logs = Vec::new();
        for (journal, model) in JOURNALS.into_iter().zip(&mut self.models) {
            let (first, found) = recover(&pool, journal, &self.rules).map_err(|e| format!("refused: {e}"))?;
            let (second, again) =
                recover(&pool, journal, &self.rules).map_err(|e| format!("refused again: {e}"))?;
            if found != again || first.epochs() != second.epochs() {
                return Err("two recoveries differ".to_owned());
            }
            let present = model.check(&found, self.whole)?;
            let log = second.start(Epoch(self.epoch)).await.map_err(|e| format!("start: {e}"))?;
            self.figures.recovered += found.len() as u64;
            self.figures.dropped +=
                model.records.iter().zip(&present).filter(|(r, p)| r.fate == Fate::Appended && !**p).count()
                    as u64;
            model.accept(&present);
            logs.push(log);
        }
        Ok((pool, logs))
    }

    async fn work(&mut self, pool: &Arc<SegmentPool>, logs: &[Log]) -> Result<(), String> {
        let confirmed: Confirmed = Arc::default();
        for _ in 0..self.random.random_range(5..90) {
            let at = self.random.random_range(0..logs.len());
            let done = self.act(at, &logs[at], logs, &confirmed).await;
            if let Err(failure) = done {
                if matches!(failure, LogError::Poisoned(_)) && pool.poisoned().is_some() {
                    break;
                }
                return Err(format!("unexpected failure: {failure}"));
            }
        }
        for (at, log) in logs.iter().enumerate() {
            let seq = log.durable_seq();
            confirmed.lock().push((at, seq));
            self.figures.rolls += log.segments().len() as u64;
        }
        for (at, seq) in confirmed.lock().drain(..) {
            self.figures.confirmed += 1;
            self.models[at].confirm(seq.epoch(), seq);
        }
        Ok(())
    }

    async fn act(
        &mut self,
        at: usize,
        log: &Log,
        logs: &[Log],
        confirmed: &Confirmed,
    ) -> Result<(), LogError> {
        match self.random.random_range(0..100) {
            0..55 => self.append(at, log, logs).await?,
            55..60 => self.read(at, log)?,
            60..78 => {
                let seq = log.last_issued();
                log.durable(seq).await?;
                confirmed.lock().push((at, seq));
            }
            78..86 => {
                let sealed: Vec<_> = log
                    .segments()
                    .iter()
                    .filter(|s| s.state != crate::SegmentState::Active)
                    .map(|s| s.id)
                    .collect();
                if !sealed.is_empty() {
                    let chosen = sealed[self.random.random_range(0..sealed.len())];
                    self.release(at, log, chosen)?;
                }
            }
            86..90 => drop(log.seal_active().await?),
            90..97 => tokio::time::sleep(Duration::from_millis(self.random.random_range(0..2500))).await,
            _ => self.disk.fail_syncs(1),
        }
        Ok(())
    }

    fn release(&mut self, at: usize, log: &Log, id: SegmentId) -> Result<(), LogError> {
        self.models[at].release(id);
        log.release(id)
    }

    async fn append(&mut self, at: usize, log: &Log, logs: &[Log]) -> Result<(), LogError> {
        let length = match self.random.random_range(0..3) {
            0 => self.random.random_range(0..20),
            1 => 200,
            _ => self.random.random_range(0..1800),
        };
        let payload: Vec<u8> = (0..length).map(|_| self.random.random()).collect();
        let inode = self.random.random_range(1..5);
        let mut tries = 0;
        let reservation = loop {
            match tokio::time::timeout(Duration::from_secs(60), log.reserve(length as u64)).await {
                Ok(reservation) => break reservation?,
                Err(_) => self.make_room(logs, tries).await?,
            }
            tries += 1;
        };
        let appended = log.append(reservation, 1, inode, 0, &[&payload])?;
        self.figures.appended += 1;
        let model = &mut self.models[at];
        let fresh = model.issued.insert(appended.seq);
        let seq = if fresh { appended.seq } else { Seq(0) };
        let kept = Kept { seq, inode, payload };
        model.records.push(Record { kept, fate: Fate::Appended, position: appended.position });
        if !fresh {
            return Err(LogError::Io {
                what: "numbering".to_owned(),
                error: format!("{} was issued before", appended.seq),
            });
        }
        Ok(())
    }

    /// Reads some record back: what was written, or, once its segment was given back, `Moved`.
    fn read(&mut self, at: usize, log: &Log) -> Result<(), LogError> {
        let records = &self.models[at].records;
        if records.is_empty() {
            return Ok(());
        }
        let record = &records[self.random.random_range(0..records.len())];
        match (record.fate, log.read_record(record.position)) {
            (Fate::Released | Fate::Gone, Err(_)) => Ok(()),
            (Fate::Gone, Ok(_)) => Ok(()),
            (_, Ok(read)) if read.payload == record.kept.payload && read.inode == record.kept.inode => Ok(()),
            (_, Ok(_)) => {
                Err(LogError::Io { what: "read".to_owned(), error: "another record's bytes".to_owned() })
            }
            (_, Err(failure)) => Err(failure),
        }
    }

    /// The pool is full: gives back one ended segment, or ends one.
    async fn make_room(&mut self, logs: &[Log], tries: u32) -> Result<(), LogError> {
        assert!(tries < 50, "a full pool does not drain");
        for (at, log) in logs.iter().enumerate() {
            if let Some(id) =
                log.segments().iter().find(|s| s.state != crate::SegmentState::Active).map(|s| s.id)
            {
                return self.release(at, log, id);
            }
        }
        for log in logs {
            log.seal_active().await?;
        }
        Ok(())
    }
}

#[test]
fn histories_with_crashes_keep_every_promise() {
    let seeds: u64 = std::env::var("DFS_LOG_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000);
    let mut all = Figures::default();
    for seed in 0..seeds {
        let one = run(seed, &[]).unwrap_or_else(|why| panic!("{why}"));
        all.appended += one.appended;
        all.confirmed += one.confirmed;
        all.recovered += one.recovered;
        all.dropped += one.dropped;
        all.rolls += one.rolls;
        all.lives += one.lives;
    }
    println!("seeds 0..{seeds}: {all:?}");
    assert!(
        all.recovered > seeds && all.dropped > seeds / 20 && all.rolls > seeds && all.confirmed > seeds,
        "{all:?}"
    );
}

#[test]
fn options_of_histories_use_the_simulated_clock() {
    assert!(options(&Mutations::none()).clock.monotonic().0 < 1_000_000);
}

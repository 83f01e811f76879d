//! Recovery (JOURNAL §7.2–4): what a log still holds after any crash, and the start of the next epoch.
//!
//! Per epoch, in order: every segment but the newest must be whole, which its seal record proves; the newest is accepted
//! up to its first bad record. It is refused when something vouches for the bad record: a later valid record whose
//! `synced_through` covers it, or the header of a newer epoch, which names the last record accepted before.
//! *Invariants:* recovery writes nothing; `start` syncs what was kept before anything new is written. *A crash* in
//! either: recover again, with the same result or, before the sync ended, a longer or shorter unsynced tail.

use super::{Entry, Inner, Log, LogOptions, Position, State, sync};
use crate::{
    disk::read_exact,
    error::{Damage, LogError, RecoverError},
    format::{
        KIND_MAX, KIND_SEAL, KIND_VOUCH, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES,
        record_bytes, seed,
    },
    metrics::LogMetrics,
    mutation::Rule,
    pool::{HeldSegment, SegmentId, SegmentPool},
};
use dfs_model::{Epoch, Seq};
use parking_lot::Mutex;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
};
use tokio::sync::{Notify, watch};

/// A record as recovery shows it.
#[derive(Clone, Copy, Debug)]
pub struct RecoveredRecord<'a> {
    /// Its number.
    pub seq: Seq,
    /// The caller's kind.
    pub kind: u8,
    /// The caller's key.
    pub inode: u64,
    /// The caller's flags.
    pub flags: u16,
    /// The payload, verified.
    pub payload: &'a [u8],
    /// Where it lies; readable through the log once started.
    pub position: Position,
}

/// What recovery holds of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: Epoch,
    /// Its last accepted record; n is zero when its segments hold none. Older ones may have been given back.
    pub last: Seq,
    /// Where a torn tail was cut, file and byte, for the start log.
    pub cut: Option<(String, u64)>,
}

/// A recovered log, not yet started. Dropping it leaves everything as it was.
pub struct Recovered {
    pool: Arc<SegmentPool>,
    journal: u128,
    options: LogOptions,
    entries: Vec<Entry>,
    epochs: Vec<EpochEnd>,
    newest_epoch: Option<Epoch>,
}

/// What one segment holds.
struct Scan {
    last: Option<Seq>,
    /// Byte after the last accepted record.
    end: u64,
    sealed: bool,
    /// Number that the record at `end` should have had.
    expected: Seq,
}

type Visitor<'v> = dyn FnMut(RecoveredRecord<'_>) -> Result<(), String> + 'v;

fn failed(what: String) -> impl FnOnce(io::Error) -> RecoverError {
    move |source| RecoverError::Io { what, source }
}

impl Log {
    /// Reads all segments of a journal from the device and shows every accepted record, in the order of their numbers.
    /// Blocks; reads each segment once, whole.
    /// *Guarantees:* changes nothing. When it fails, what the visitor was shown so far means nothing.
    /// *Errors:* `Damaged` when confirmed records are missing or bad; `Refused` by the visitor; `InUse` while open; `Io`.
    pub fn recover(
        pool: &Arc<SegmentPool>,
        journal: u128,
        options: LogOptions,
        visitor: &mut Visitor<'_>,
    ) -> Result<Recovered, RecoverError> {
        if let Some(cause) = pool.poisoned() {
            return Err(RecoverError::Poisoned(cause));
        }
        let mut held = pool.held(journal).ok_or(RecoverError::InUse)?;
        held.sort_by_key(|s| (s.header.epoch, s.header.first, s.header.generation));
        let mut recovered = Recovered {
            pool: pool.clone(),
            journal,
            options,
            entries: Vec::new(),
            epochs: Vec::new(),
            newest_epoch: held.last().map(|s| s.header.epoch),
        };
        for (at, segment) in held.iter().enumerate() {
            let next = held.get(at + 1);
            let newest = next.is_none_or(|next| next.header.epoch != segment.header.epoch);
            recovered.accept(segment, newest, &held, visitor)?;
        }
        Ok(recovered)
    }
}

impl Recovered {
    /// What is held of each epoch, oldest first.
    #[must_use]
    pub fn epochs(&self) -> &[EpochEnd] {
        &self.epochs
    }

    /// Newest epoch in any segment, empty ones included.
    #[must_use]
    pub fn newest_epoch(&self) -> Option<Epoch> {
        self.newest_epoch
    }

    /// The last accepted record of all.
    #[must_use]
    pub fn last(&self) -> Option<Seq> {
        self.entries.iter().rev().find_map(|e| e.last)
    }

    fn accept(
        &mut self,
        held: &HeldSegment,
        newest: bool,
        all: &[HeldSegment],
        visitor: &mut Visitor<'_>,
    ) -> Result<(), RecoverError> {
        let HeldSegment { slot, header } = *held;
        let segment =
            self.pool.segment(slot, header.generation).map_err(failed("open of a segment".to_owned()))?;
        let damaged =
            |offset, found| RecoverError::Damaged(Damage { file: segment.name.clone(), offset, found });
        let mut bytes = vec![0; segment.bytes as usize];
        let device = !self.options.mutations.off(Rule::ReadDevice);
        read_exact(&*segment.file, device, 0, &mut bytes)
            .map_err(failed(format!("read of {}", segment.name)))?;
        let seeded = !self.options.mutations.off(Rule::SeededChecksum);
        let seed = if seeded { seed(self.journal, header.generation) } else { seed(0, 0) };
        let walk = Walk { id: segment.id, bytes: &bytes, seed };
        let previous = self.entries.last().filter(|e| e.header.epoch == header.epoch).and_then(|e| e.last);
        if previous.is_some_and(|last| header.first <= last) {
            let why = format!(
                "its first record is {}, but the segment before it ends with a later one",
                header.first
            );
            return Err(damaged(0, why));
        }
        let mut scan = walk.accept(header.first, visitor)?;
        let mut cut = None;
        if !scan.sealed {
            if !newest {
                let why = format!("record {} is bad or missing, but newer segments follow", scan.expected);
                return Err(damaged(scan.end, why));
            }
            self.judge_tail(&walk, &scan, header.epoch, all).map_err(|why| damaged(scan.end, why))?;
            if walk.later(scan.end).next().is_some() {
                cut = Some((segment.name.clone(), scan.end));
            }
            if self.options.mutations.off(Rule::CutAtFirstBad) {
                scan = walk.accept_all(scan, visitor)?;
            }
        }
        self.note_epoch(header.epoch, scan.last, cut);
        let head = scan.end;
        self.entries.push(Entry {
            segment,
            header,
            seed,
            last: scan.last,
            head,
            recovered: true,
            from_reserve: false,
        });
        Ok(())
    }

    /// Decides whether a tail without a seal may be cut. *Errors:* what vouches for the first record that is missing.
    fn judge_tail(
        &self,
        walk: &Walk<'_>,
        scan: &Scan,
        epoch: Epoch,
        all: &[HeldSegment],
    ) -> Result<(), String> {
        let mutations = &self.options.mutations;
        if mutations.off(Rule::TornTailOpens) && walk.later(scan.end).next().is_some() {
            return Err("mutation: any torn tail is refused".to_owned());
        }
        if mutations.off(Rule::VouchedRefuses) || mutations.off(Rule::SeqHasEpoch) {
            return Ok(());
        }
        if let Some(witness) = walk.later(scan.end).find(|later| later.synced_through >= scan.expected) {
            return Err(format!(
                "record {} is bad, but record {} says that all up to {} were synced",
                scan.expected, witness.seq, witness.synced_through
            ));
        }
        let vouched = all.iter().map(|s| s.header.vouched).filter(|v| v.epoch() == epoch).max();
        match vouched {
            Some(vouched) if vouched >= scan.expected => Err(format!(
                "record {} is bad, but an earlier recovery accepted all up to {vouched}",
                scan.expected
            )),
            _ => Ok(()),
        }
    }

    fn note_epoch(&mut self, epoch: Epoch, last: Option<Seq>, cut: Option<(String, u64)>) {
        let empty = Seq::new(epoch, 0);
        match self.epochs.last_mut().filter(|e| e.epoch == epoch) {
            Some(end) => {
                end.last = last.unwrap_or(end.last);
                end.cut = cut.or(end.cut.take());
            }
            None => self.epochs.push(EpochEnd { epoch, last: last.unwrap_or(empty), cut }),
        }
    }

    /// Syncs every kept segment and opens the log for the new epoch; its records go to a new segment (J2), taken with
    /// the first reservation. Runs in the runtime that will carry the log's tasks.
    /// *Guarantees:* on return what recovery accepted survives a power cut. The caller serves nothing before this
    /// *and* its own `ends` are durable (JOURNAL §7.4).
    /// *Errors:* `EpochNotAbove`: the metadata store is an older copy; `InUse`; `Poisoned`. *Cancel:* safe before the end.
    pub async fn start(mut self, epoch: Epoch) -> Result<Log, RecoverError> {
        if let Some(held) = self.newest_epoch.filter(|held| *held >= epoch) {
            return Err(RecoverError::EpochNotAbove { held, starting: epoch });
        }
        if !self.options.mutations.off(Rule::FsyncInRecovery) {
            for entry in &self.entries {
                let synced = entry.segment.file.clone().sync_later().await;
                synced.map_err(|error| {
                    let what = format!("sync of {}", entry.segment.name);
                    RecoverError::Poisoned(self.pool.poison().set(&what, &error))
                })?;
            }
        }
        let last = self.last().unwrap_or(Seq::ZERO);
        let first = match self.options.mutations.off(Rule::SeqHasEpoch) {
            true => Seq::new(Epoch(1), last.counter()),
            false => Seq::new(epoch, 0),
        };
        if !self.pool.claim(self.journal) {
            return Err(RecoverError::InUse);
        }
        let entries = std::mem::take(&mut self.entries);
        let (kept, empty): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.last.is_some());
        for entry in empty {
            self.pool.give_back(entry.segment.id.slot, &entry.header);
        }
        Ok(self.open(epoch, first, last, kept))
    }

    fn open(self, epoch: Epoch, first: Seq, vouched: Seq, kept: Vec<Entry>) -> Log {
        let closed = watch::Sender::new(false);
        let timer = Arc::new(Notify::new());
        let metrics = LogMetrics::new(self.options.label);
        let inner = Arc::new(Inner {
            pool: self.pool,
            journal: self.journal,
            epoch,
            vouched,
            options: self.options,
            state: Mutex::new(State { kept, ..State::default() }),
            issued: AtomicU64::new(first.0),
            durable: AtomicU64::new(first.0),
            sync: Mutex::default(),
            sync_turn: tokio::sync::Mutex::new(()),
            room: Notify::new(),
            timer: timer.clone(),
            armed: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            runtime: tokio::runtime::Handle::current(),
            metrics,
            closed,
        });
        let task = sync::timer(Arc::downgrade(&inner), timer, inner.closed.subscribe());
        inner.runtime.spawn(task);
        Log { inner }
    }
}

/// One segment's bytes under the checksum of its life.
struct Walk<'b> {
    id: SegmentId,
    bytes: &'b [u8],
    seed: u32,
}

impl<'b> Walk<'b> {
    /// The record at an offset, header and payload verified, with the offset after it.
    fn record(&self, offset: u64) -> Option<(RecordHeader, &'b [u8], u64)> {
        let at = usize::try_from(offset).ok()?;
        let header = RecordHeader::decode(self.bytes.get(at..)?, self.seed)?;
        let start = at + RECORD_HEADER_BYTES as usize;
        let payload = self.bytes.get(start..start.checked_add(header.length as usize)?)?;
        let end = offset + record_bytes(u64::from(header.length));
        (crc32c::crc32c(payload) == header.payload_sum && end <= self.bytes.len() as u64)
            .then_some((header, payload, end))
    }

    /// Valid record headers anywhere after an offset: the witnesses. Their payload may be torn; what they say was true
    /// when they were written.
    fn later(&self, from: u64) -> impl Iterator<Item = RecordHeader> + '_ {
        let from = usize::try_from(from).unwrap_or(usize::MAX).saturating_add(8);
        (from..self.bytes.len()).step_by(8).filter_map(|at| {
            let bytes = self.bytes.get(at..)?;
            // Most of an unused tail is zero: a record has a kind.
            if bytes.get(12).is_none_or(|kind| *kind == 0) {
                return None;
            }
            RecordHeader::decode(bytes, self.seed)
        })
    }

    fn show(
        &self,
        offset: u64,
        header: &RecordHeader,
        payload: &[u8],
        to: &mut Visitor<'_>,
    ) -> Result<(), RecoverError> {
        let RecordHeader { length, kind, flags, seq, inode, .. } = *header;
        let position =
            Position { segment: self.id, offset: u32::try_from(offset).unwrap_or(u32::MAX), length };
        to(RecoveredRecord { seq, kind, inode, flags, payload, position })
            .map_err(|why| RecoverError::Refused { seq, why })
    }

    /// Shows the records from the start to the seal or the first bad one.
    fn accept(&self, first: Seq, visitor: &mut Visitor<'_>) -> Result<Scan, RecoverError> {
        let mut scan = Scan { last: None, end: SEGMENT_HEADER_BYTES, sealed: false, expected: first };
        while let Some((header, payload, end)) = self.record(scan.end) {
            let before = Seq(scan.expected.0.saturating_sub(1));
            match header.kind {
                KIND_SEAL if header.seq == before => {
                    scan.sealed = true;
                    scan.end = end;
                    break;
                }
                KIND_VOUCH if header.seq == before => {}
                1..=KIND_MAX if header.seq == scan.expected => {
                    self.show(scan.end, &header, payload, visitor)?;
                    scan.last = Some(header.seq);
                    scan.expected = Seq(scan.expected.0 + 1);
                }
                _ => break,
            }
            scan.end = end;
        }
        Ok(scan)
    }

    /// What a recovery does that does not stop at the first bad record; only a test asks for it.
    fn accept_all(&self, mut scan: Scan, visitor: &mut Visitor<'_>) -> Result<Scan, RecoverError> {
        while scan.end < self.bytes.len() as u64 {
            match self.record(scan.end) {
                Some((header, payload, end)) if header.kind <= KIND_MAX => {
                    self.show(scan.end, &header, payload, visitor)?;
                    scan.last = Some(header.seq);
                    scan.end = end;
                }
                _ => scan.end += 8,
            }
        }
        Ok(scan)
    }
}

impl From<RecoverError> for LogError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Damaged(damage) => LogError::Damaged(damage),
            RecoverError::Poisoned(cause) => LogError::Poisoned(cause),
            other => LogError::Io { what: "recovery".to_owned(), error: other.to_string() },
        }
    }
}

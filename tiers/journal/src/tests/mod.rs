//! Tests of the whole journal over a simulated disk, and what they share.

mod algebra;
mod drain;
mod mutations;
mod recovery;

use crate::{Journal, JournalOptions, Pressure, PressureOptions, Record, RecordMeta, Reserve, Source};
use bytes::Bytes;
use dfs_log::{Mutations, PoolConfig, Prepare, SegmentPool, SimDisk};
use dfs_model::{
    Change, ClientRef, Clock, DeviceNumber, Epoch, Generation, Identity, Inode, InodeFlags, InodeId,
    InodeKind, Monotonic, Seq, ShareId, Timestamp,
};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock on tokio's time, which tests pause.
pub(crate) struct SimClock {
    start: tokio::time::Instant,
    wall: AtomicU64,
}

impl SimClock {
    pub fn new() -> Arc<SimClock> {
        Arc::new(SimClock { start: tokio::time::Instant::now(), wall: AtomicU64::new(0) })
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Timestamp {
        Timestamp::new(1_000_000, self.wall.fetch_add(1, Ordering::Relaxed) as u32)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(1).plus(self.start.elapsed())
    }
}

pub(crate) const SHARE: ShareId = ShareId(0x5eed);
pub(crate) const SEGMENT: u64 = 64 << 10;

pub(crate) fn client(n: u8) -> ClientRef {
    ClientRef::Nfs3Host { name: Bytes::new(), address: Ipv4Addr::new(127, 0, 0, n).into() }
}

/// An empty file's row, born at `seq`.
pub(crate) fn row(inode: u64, born: Seq) -> Inode {
    Inode {
        id: InodeId(inode),
        generation: Generation(1),
        kind: InodeKind::File,
        mode: 0o644,
        nlink: 1,
        owner: Identity::Uid(1),
        group: Identity::Gid(1),
        size: 0,
        allocated: 0,
        atime: Timestamp::EPOCH,
        mtime: Timestamp::EPOCH,
        ctime: Timestamp::EPOCH,
        btime: Timestamp::EPOCH,
        change: Change::ZERO,
        born: Change::ZERO,
        dos: 0,
        create_verifier: None,
        acl: None,
        parent: InodeId::ROOT,
        flags: InodeFlags::default(),
        link_target: None,
        device: DeviceNumber::default(),
        flushed_seq: born,
        mode_change: Change::ZERO,
        dos_change: Change::ZERO,
    }
}

/// A journal on a simulated disk, with what it needs around it.
pub(crate) struct Bench {
    pub clock: Arc<SimClock>,
    pub pressure: Arc<Pressure>,
    pub pool: Arc<SegmentPool>,
    pub journal: Arc<Journal>,
    changes: AtomicU64,
}

pub(crate) fn options(clock: &Arc<SimClock>, mutations: &Mutations) -> JournalOptions {
    JournalOptions { mutations: mutations.clone(), ..JournalOptions::new(clock.clone()) }
}

pub(crate) fn pressure(segments: u64, clock: &Arc<SimClock>) -> Arc<Pressure> {
    let sizes = PressureOptions::for_pool(segments * SEGMENT, SEGMENT);
    Pressure::new(sizes, clock.clone())
}

impl Bench {
    pub async fn new(seed: u64, segments: u64) -> Bench {
        Bench::with(seed, segments, Mutations::none()).await
    }

    pub async fn with(seed: u64, segments: u64, mutations: Mutations) -> Bench {
        let disk = SimDisk::new(seed, 64 << 20);
        Bench::open(disk, Epoch(1), segments, mutations, &[], &HashMap::new()).await
    }

    /// Opens whatever the disk holds.
    pub async fn open(
        disk: Arc<SimDisk>,
        epoch: Epoch,
        segments: u64,
        mutations: Mutations,
        ends: &[(Epoch, u64)],
        rows: &HashMap<InodeId, Arc<Inode>>,
    ) -> Bench {
        let clock = SimClock::new();
        let pool = SegmentPool::open(disk, pool_config(segments, &mutations)).unwrap();
        let pressure = pressure(segments, &clock);
        let recovered = Journal::recover(pool.clone(), SHARE, options(&clock, &mutations), pressure.clone())
            .await
            .unwrap();
        let journal = recovered.start(epoch, ends, rows).await.unwrap();
        Bench { clock, pressure, pool, journal, changes: AtomicU64::new(u64::from(epoch.0) << 40) }
    }

    pub fn meta(&self) -> RecordMeta {
        let change = Change(self.changes.fetch_add(1, Ordering::Relaxed) + 1);
        RecordMeta { ctime: self.clock.wall(), change, clear_suid: false, set_archive: false }
    }

    pub async fn append(&self, row: &Inode, record: Record) -> Seq {
        let room = self.journal.reserve(&client(1), record.data_len(), Reserve::Control, None).await.unwrap();
        self.journal.append(room, row, self.meta(), record).unwrap().seq
    }

    pub async fn write(&self, row: &Inode, offset: u64, data: &[u8]) -> Seq {
        self.append(
            row,
            Record::Write { offset, mtime: self.clock.wall(), data: Bytes::copy_from_slice(data) },
        )
        .await
    }

    /// What a client reads: overlay over `base`, whose bytes beyond its end are zeros. `None` when a segment moved.
    pub fn read(&self, inode: InodeId, offset: u64, len: u64, base: &[u8]) -> Option<Vec<u8>> {
        let from_base = |offset: u64, out: &mut [u8]| {
            let start = (offset as usize).min(base.len());
            let end = (offset as usize + out.len()).min(base.len());
            out[..end - start].copy_from_slice(&base[start..end]);
        };
        let mut out = vec![0; len as usize];
        let Some(plan) = self.journal.read_plan(inode, offset, len) else {
            from_base(offset, &mut out);
            return Some(out);
        };
        let mut at = offset;
        for piece in &plan.pieces {
            assert_eq!(piece.offset, at, "pieces join without gap: {plan:?}");
            assert!(piece.len > 0);
            let part = &mut out[(at - offset) as usize..(at - offset + piece.len) as usize];
            match piece.source {
                Source::Zero => {}
                Source::Base => from_base(piece.offset, part),
                Source::Log(location) => self.journal.read_location(&location, inode, part).ok()?,
            }
            at += piece.len;
        }
        assert_eq!(at, offset + len, "pieces cover the range");
        Some(out)
    }

    /// Applies a cut to a base as `place` would, reading the data from the log. On an error nothing changed.
    pub fn apply(&self, cut: &crate::Cut, base: &mut Vec<u8>) -> Result<(), String> {
        let mut next = base.clone();
        next.truncate(cut.size_low as usize);
        next.resize(cut.size as usize, 0);
        for (start, end) in &cut.zeros {
            assert!(start < end && *end <= cut.size_low, "{cut:?}");
            next[*start as usize..*end as usize].fill(0);
        }
        for (offset, len, location) in &cut.writes {
            let part = &mut next[*offset as usize..(offset + len) as usize];
            self.journal.read_location(location, cut.inode, part).map_err(|error| error.to_string())?;
        }
        *base = next;
        Ok(())
    }
}

/// A small pool whose segments are made at need.
pub(crate) fn pool_config(segments: u64, mutations: &Mutations) -> PoolConfig {
    PoolConfig {
        segment_bytes: SEGMENT,
        prepare: Prepare::Inline,
        mutations: mutations.clone(),
        ..PoolConfig::new(segments * SEGMENT)
    }
}

/// Lets background tasks run.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

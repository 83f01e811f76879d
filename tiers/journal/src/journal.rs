//! One share's journal: append, durability, and what readers see.
//!
//! *Locks:* an inode's shard, then the books; both short, neither held over I/O or an await. The log is appended to
//! outside of both: the caller holds the inode's section, so the records of one inode are published in order, and a
//! record between its append and its publication keeps its segment (see `segments`).

use crate::error::{JournalError, Moved};
use crate::index::{Books, Shard, Totals, Uncut};
use crate::layer::Spot;
use crate::metrics::JournalMetrics;
use crate::overlay::{Landed, Origin, Overlay, OverlayAttrs};
use crate::plan::{Piece, ReadPlan, Source, joined};
use crate::pressure::Pressure;
use crate::record::{self, Effect, Record, RecordMeta};
use dfs_log::{Log, LogError, Mutations, Position, Rule, SegmentId, SegmentPool};
use dfs_model::{Clock, Epoch, Inode, InodeId, Monotonic, Seq, ShareId};
use parking_lot::Mutex;
use std::borrow::BorrowMut;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::Notify;

/// Shards of the overlay: enough that requests on different inodes rarely meet.
pub(crate) const SHARDS: usize = 64;

/// Settings of a journal.
#[derive(Clone)]
pub struct JournalOptions {
    /// Unsynced records are synced at the latest this long after the oldest.
    pub sync_max: Duration,
    /// Rules that a test dropped.
    pub mutations: Mutations,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Placed segments kept readable for readers that are under way, at most; none while the pool runs short. More of
    /// them lengthen recovery, which reads every kept segment.
    pub probation_segments: usize,
    /// A clean active segment goes back to the pool after this long without a record.
    pub idle_seal: Duration,
    /// The flusher is woken when that many more bytes became dirty: a pack's worth.
    pub wake_bytes: u64,
}

impl JournalOptions {
    /// Defaults of the `local` class.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> JournalOptions {
        JournalOptions {
            sync_max: Duration::from_secs(1),
            mutations: Mutations::none(),
            clock,
            probation_segments: 2,
            idle_seal: Duration::from_secs(30),
            wake_bytes: 16 << 20,
        }
    }
}

/// Where bytes of a record lie in the log.
///
/// *Guarantees:* never names other bytes: once its segment is recycled, reading it is [`Moved`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    position: Position,
    seq: Seq,
    /// Byte of the record's payload.
    skip: u32,
}

/// A record whose checksum was verified over all of it.
#[derive(Clone, Debug)]
pub struct VerifiedRecord {
    position: Position,
    seq: Seq,
    payload: Vec<u8>,
}

impl VerifiedRecord {
    /// `len` bytes at a location; `None` when it is one of another record.
    #[must_use]
    pub fn bytes_at(&self, location: &Location, len: usize) -> Option<&[u8]> {
        let same = self.seq == location.seq && self.position == location.position;
        let start = location.skip as usize;
        same.then(|| self.payload.get(start..start.checked_add(len)?)).flatten()
    }
}

impl Location {
    pub(crate) fn new(position: Position, seq: Seq, skip: u32) -> Location {
        Location { position, seq, skip }
    }

    /// The record that wrote the bytes.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The place `bytes` further in the same record.
    #[must_use]
    pub fn advanced(self, bytes: u64) -> Location {
        let skip = u64::from(self.skip).saturating_add(bytes);
        Location { skip: u32::try_from(skip).unwrap_or(u32::MAX), ..self }
    }
}

impl Spot for Location {
    fn advance(self, bytes: u64) -> Self {
        self.advanced(bytes)
    }
}

/// Room for records. Dropping it gives back what they did not take.
pub struct Reservation {
    pub(crate) room: dfs_log::Reservation,
    pub(crate) bytes: u64,
}

impl Reservation {
    /// Bytes of data that fit.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Number of the record.
    pub seq: Seq,
    /// The inode's attributes with it.
    pub attrs: OverlayAttrs,
}

/// One share's journal, open in one epoch. Made by [`crate::RecoveredJournal::start`].
pub struct Journal {
    pub(crate) share: ShareId,
    pub(crate) epoch: Epoch,
    pub(crate) log: Log,
    pub(crate) pool: Arc<SegmentPool>,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: JournalOptions,
    pub(crate) shards: Vec<Mutex<Shard>>,
    pub(crate) books: Mutex<Books>,
    pub(crate) work: Notify,
    /// A task that gives up the active segment lives.
    pub(crate) sealing: AtomicBool,
    pub(crate) metrics: JournalMetrics,
}

impl Journal {
    pub(crate) fn assemble(
        share: ShareId,
        epoch: Epoch,
        log: Log,
        pool: Arc<SegmentPool>,
        pressure: Arc<Pressure>,
        options: JournalOptions,
    ) -> Journal {
        Journal {
            share,
            epoch,
            log,
            pool,
            pressure,
            clock: options.clock.clone(),
            options,
            shards: (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect(),
            books: Mutex::new(Books::default()),
            work: Notify::new(),
            sealing: AtomicBool::new(false),
            metrics: JournalMetrics::new(share),
        }
    }

    pub(crate) fn shard(&self, inode: InodeId) -> &Mutex<Shard> {
        let mixed = inode.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        &self.shards[mixed as usize % SHARDS]
    }

    /// The share.
    #[must_use]
    pub fn share(&self) -> ShareId {
        self.share
    }

    /// The epoch of this opening.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The folder's back-pressure.
    #[must_use]
    pub fn pressure(&self) -> &Arc<Pressure> {
        &self.pressure
    }

    /// Appends one record and publishes it to the overlay, with which the inode's attributes are returned.
    ///
    /// *Units:* the record's data at most the reservation's bytes, which several records may share; its range ends at or below 2^63 − 1. `row` is the
    /// newest metadata row; it is looked at only when the inode has no overlay. *Guarantees:* never waits; the record
    /// survives the death of the process on return, a power cut once [`Journal::durable`] answers. The caller holds the
    /// inode's section. *Errors:* [`JournalError::Poisoned`]; [`JournalError::Range`] and [`JournalError::TooLarge`] for
    /// records that cannot be; nothing was changed.
    pub fn append(
        &self,
        mut reservation: impl BorrowMut<Reservation>,
        row: &Inode,
        meta: RecordMeta,
        record: Record,
    ) -> Result<Appended, JournalError> {
        let reservation: &mut Reservation = reservation.borrow_mut();
        let effect = record.effect();
        effect.act.check().map_err(|(offset, len)| JournalError::Range { offset, len })?;
        if record.data_len() > reservation.bytes {
            return Err(JournalError::TooLarge { bytes: record.data_len(), room: reservation.bytes });
        }
        #[cfg(any(test, feature = "mutation"))]
        if let Some(attrs) = self.punched_without_record(row.id, &effect) {
            return Ok(Appended { seq: self.log.last_issued(), attrs });
        }
        let head = record::encode(&meta, &record);
        let parts = [head.as_slice(), record.data()];
        let bytes = dfs_log::record_bytes((head.as_slice().len() as u64) + record.data_len());
        let done = self.log.append(&mut reservation.room, head.kind, row.id.0, head.flags, &parts)?;
        let spot = Location::new(done.position, done.seq, head.as_slice().len() as u32);
        let landed = Landed {
            seq: done.seq,
            spot,
            segment: done.position.segment,
            bytes,
            now: self.clock.monotonic(),
        };
        let attrs = self.publish(row, &meta, &effect, &landed);
        self.metrics.records.increment(1);
        self.metrics.appended.increment(bytes);
        Ok(Appended { seq: done.seq, attrs })
    }

    /// Puts a record into overlay and books.
    pub(crate) fn publish(
        &self,
        row: &Inode,
        meta: &RecordMeta,
        effect: &Effect,
        landed: &Landed<Location, SegmentId>,
    ) -> OverlayAttrs {
        let mut shard = self.shard(row.id).lock();
        let overlay = shard.entry(row.id).or_insert_with(|| Overlay::over(row));
        let before = Totals::of(Some(overlay));
        let fresh = overlay.is_empty();
        let opens = overlay.apply(landed, meta, effect);
        let after = Totals::of(Some(overlay));
        let attrs = overlay.attrs().expect("an overlay that just took a record has attributes");
        #[cfg(any(test, feature = "mutation"))]
        let dropped = self.overwritten(overlay, effect, landed.bytes);
        let mut books = self.books.lock();
        let was_clean = books.segments.is_clean();
        let rolled = books.segments.published(landed.segment, landed.bytes);
        if opens {
            books.uncut.insert(landed.seq, Uncut { inode: row.id, at: landed.now, segment: landed.segment });
        }
        if fresh {
            books.segments.move_oldest(None, Some((landed.seq, landed.now)));
        }
        let wake_bytes = self.options.wake_bytes.max(1);
        let packs_before = books.totals.uncut_bytes / wake_bytes;
        books.totals.replace(before, after);
        books.note_append(landed.seq, landed.now, self.log.durable_seq());
        #[cfg(any(test, feature = "mutation"))]
        books.segments.settled(&dropped);
        books.report(&self.pressure);
        let pack_full = books.totals.uncut_bytes / wake_bytes > packs_before;
        drop(books);
        drop(shard);
        if was_clean || pack_full || rolled {
            self.work.notify_one();
        }
        if rolled {
            self.retire();
        }
        attrs
    }

    /// With the rule dropped, a punch changes the map of dirty ranges and is no record.
    #[cfg(any(test, feature = "mutation"))]
    fn punched_without_record(&self, inode: InodeId, effect: &Effect) -> Option<OverlayAttrs> {
        match effect.act {
            record::Act::Zero { offset, len } if self.options.mutations.off(Rule::PunchIsRecord) => {
                self.shard(inode).lock().get_mut(&inode)?.punch(offset, len)
            }
            _ => None,
        }
    }

    /// With the rule dropped, a write over everything the layer holds settles the older records.
    #[cfg(any(test, feature = "mutation"))]
    fn overwritten(
        &self,
        overlay: &mut crate::index::InodeOverlay,
        effect: &Effect,
        bytes: u64,
    ) -> Vec<crate::layer::Hold<SegmentId>> {
        let covers = match effect.act {
            record::Act::Write { offset: 0, len } => overlay.attrs().is_some_and(|attrs| attrs.size <= len),
            _ => false,
        };
        if covers && self.options.mutations.off(Rule::FreeNotByNewer) {
            overlay.forget_older_holds(bytes)
        } else {
            Vec::new()
        }
    }

    /// Waits until every record up to `seq` is durable, sharing one sync with other waiters. A seq of an older epoch is
    /// durable since the start. *Errors:* [`JournalError::Poisoned`]. *Cancel:* safe.
    pub async fn durable(&self, seq: Seq) -> Result<(), JournalError> {
        if seq.epoch() < self.epoch {
            return Ok(());
        }
        self.log.durable(seq).await.map_err(JournalError::from)
    }

    /// Waits until an inode's newest record is durable; at once when it has none. *Errors, Cancel:* as `durable`.
    pub async fn sync_inode(&self, inode: InodeId) -> Result<(), JournalError> {
        match self.last_seq(inode) {
            Some(seq) => self.durable(seq).await,
            None => Ok(()),
        }
    }

    /// Newest seq given out in this epoch; its zero before the first.
    #[must_use]
    pub fn last_issued(&self) -> Seq {
        self.log.last_issued()
    }

    /// Newest unplaced record of an inode.
    #[must_use]
    pub fn last_seq(&self, inode: InodeId) -> Option<Seq> {
        self.overlay(inode).map(|attrs| attrs.last_seq)
    }

    /// What [`OverlayAttrs::allocated_estimate`] will be once `record` is appended over `row`. Right as long as the caller
    /// holds the inode's section.
    #[must_use]
    pub fn allocated_after(&self, row: &Inode, record: &Record) -> u64 {
        let act = record.effect().act;
        match self.shard(row.id).lock().get(&row.id) {
            Some(overlay) => overlay.estimated(&act),
            None => crate::index::InodeOverlay::over(row).estimated(&act),
        }
    }

    /// Why nothing can be appended any more: a sync or write failed.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.pool.poisoned().map(|cause| cause.to_string())
    }

    /// Attributes of an inode as its unplaced records leave them; `None` when it has none.
    #[must_use]
    pub fn overlay(&self, inode: InodeId) -> Option<OverlayAttrs> {
        self.shard(inode).lock().get(&inode)?.attrs()
    }

    /// How to read `len` bytes from `offset`; `None` when the inode has no unplaced record.
    #[must_use]
    pub fn read_plan(&self, inode: InodeId, offset: u64, len: u64) -> Option<ReadPlan> {
        let shard = self.shard(inode).lock();
        let overlay = shard.get(&inode)?;
        let attrs = overlay.attrs()?;
        let mut pieces = Vec::new();
        overlay.resolve(offset, offset.saturating_add(len), &mut |from, to, origin| {
            let source = match origin {
                Origin::Data(location) => Source::Log(location),
                Origin::Zero => Source::Zero,
                Origin::Base => Source::Base,
            };
            pieces.push(Piece { offset: from, len: to - from, source });
        });
        drop(shard);
        Some(ReadPlan { last_seq: attrs.last_seq, size: attrs.size, pieces: joined(pieces) })
    }

    /// The whole file as a plan, for SEEK and allocation queries; costs as many pieces as the overlay has ranges.
    #[must_use]
    pub fn map_dirty(&self, inode: InodeId) -> Option<ReadPlan> {
        let size = self.overlay(inode)?.size;
        self.read_plan(inode, 0, size)
    }

    /// Fills `out` with bytes of a record, from the page cache. Blocks like a read of a file.
    /// *Guarantees:* that the bytes are that record's is verified after the read (J5), and that the disk did not change
    /// them when they are the whole record's; see [`Journal::read_verified`].
    /// *Errors:* [`Moved::Recycled`]: resolve again; [`Moved::Damaged`].
    pub fn read_location(&self, location: &Location, inode: InodeId, out: &mut [u8]) -> Result<(), Moved> {
        let Location { position, seq, skip } = *location;
        let whole =
            skip as usize <= record::HEAD_MAX && skip as usize + out.len() == position.length as usize;
        let read = if whole {
            self.read_whole(location, inode).and_then(|payload| match payload.get(skip as usize..) {
                Some(data) if data.len() == out.len() => {
                    out.copy_from_slice(data);
                    Ok(())
                }
                _ => Err(LogError::Moved),
            })
        } else {
            self.log.read(position, inode.0, seq, skip, out)
        };
        read.map_err(|error| self.moved(&error))
    }

    /// Reads the whole record behind a location against its checksum: what the flusher takes bytes from, so that bytes which
    /// the disk (or memory) changed under a partly overwritten record are never uploaded as good. Blocks like a read of a
    /// file. *Errors:* as [`Journal::read_location`].
    pub fn read_verified(&self, location: &Location, inode: InodeId) -> Result<VerifiedRecord, Moved> {
        let payload = self.read_whole(location, inode).map_err(|error| self.moved(&error))?;
        Ok(VerifiedRecord { position: location.position, seq: location.seq, payload })
    }

    fn read_whole(&self, location: &Location, inode: InodeId) -> Result<Vec<u8>, LogError> {
        let record = self.log.read_record(location.position)?;
        let same = record.seq == location.seq && record.inode == inode.0;
        if same || self.options.mutations.off(Rule::ReaderVerifies) {
            Ok(record.payload)
        } else {
            Err(LogError::Moved)
        }
    }

    fn moved(&self, error: &LogError) -> Moved {
        match error {
            LogError::Moved => {
                self.metrics.moved.increment(1);
                Moved::Recycled
            }
            other => Moved::Damaged(other.to_string()),
        }
    }

    pub(crate) fn oldest_undurable(&self, books: &Books) -> Option<Monotonic> {
        books.oldest_undurable(self.log.last_issued(), self.log.durable_seq())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.books.lock().withdraw(&self.pressure);
        self.pressure.set_permanent(self.share, None);
    }
}

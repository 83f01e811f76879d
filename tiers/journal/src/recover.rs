//! Opening a journal after whatever happened (JOURNAL §7.3–6).
//!
//! ```text
//!  recover: read and check every kept segment ─▶ held() ─▶ [caller: epoch, ends, rows — each durable] ─▶ start
//! ```
//!
//! *A crash* at any point: begin again. Nothing is changed before [`RecoveredJournal::start`], which syncs the kept
//! segments before it shows a record. Memory: the records' heads, not their bytes.

use crate::error::JournalError;
use crate::journal::{Journal, JournalOptions, Location};
use crate::overlay::Landed;
use crate::pressure::{Member, Pressure};
use crate::record::{self, Decoded};
use dfs_log::{Log, LogOptions, Position, Recovered, SegmentPool};
use dfs_model::{Epoch, Inode, InodeId, Seq, ShareId};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A record found in a segment.
struct Found {
    seq: Seq,
    inode: InodeId,
    decoded: Decoded,
    position: Position,
    bytes: u64,
}

/// A journal as it was found, before it is opened in a new epoch.
pub struct RecoveredJournal {
    share: ShareId,
    recovered: Recovered,
    records: Vec<Found>,
    pool: Arc<SegmentPool>,
    pressure: Arc<Pressure>,
    options: JournalOptions,
}

impl Journal {
    /// Reads a share's journal from the device and checks it.
    ///
    /// *Guarantees:* changes nothing. Blocks its thread while it reads the kept segments. *Errors:* [`JournalError::Recover`] when confirmed records are damaged or the
    /// format is newer. *Cancel:* safe.
    pub async fn recover(
        pool: Arc<SegmentPool>,
        share: ShareId,
        options: JournalOptions,
        pressure: Arc<Pressure>,
    ) -> Result<RecoveredJournal, JournalError> {
        let log_options = LogOptions {
            sync_max: options.sync_max,
            mutations: options.mutations.clone(),
            ..LogOptions::new(options.clock.clone())
        };
        let mut records = Vec::new();
        let recovered = Log::recover(&pool, share.0, log_options, &mut |found| {
            let decoded = record::decode(found.kind, found.flags, found.payload)?;
            let bytes = dfs_log::record_bytes(found.payload.len() as u64);
            records.push(Found {
                seq: found.seq,
                inode: InodeId(found.inode),
                decoded,
                position: found.position,
                bytes,
            });
            Ok(())
        })?;
        records.sort_by_key(|found| found.seq);
        Ok(RecoveredJournal { share, recovered, records, pool, pressure, options })
    }
}

impl RecoveredJournal {
    /// The last n held of each epoch, for the metadata store's `ends`.
    #[must_use]
    pub fn held(&self) -> Vec<(Epoch, u64)> {
        self.recovered.epochs().iter().map(|end| (end.epoch, end.last.counter())).collect()
    }

    /// Newest epoch of which anything is held.
    #[must_use]
    pub fn newest_epoch(&self) -> Option<Epoch> {
        self.recovered.newest_epoch()
    }

    /// Inodes that have records.
    #[must_use]
    pub fn inodes(&self) -> Vec<InodeId> {
        let inodes: BTreeSet<InodeId> = self.records.iter().map(|found| found.inode).collect();
        inodes.into_iter().collect()
    }

    /// Opens the journal in `epoch`: syncs what is kept, drops what is dead, rebuilds the overlay in order, and begins a
    /// new segment with n = 1 (at the first record).
    ///
    /// `ends` are the metadata store's, durable, for every epoch held; `rows` the durable rows, read after the epoch
    /// was raised, of every inode in [`RecoveredJournal::inodes`] that still exists. *Errors:* an epoch not above what is
    /// held ([`JournalError::Recover`]), [`JournalError::NoEnd`], a failed sync ([`JournalError::Poisoned`]).
    /// *Cancel:* begin again with `recover`.
    pub async fn start(
        self,
        epoch: Epoch,
        ends: &[(Epoch, u64)],
        rows: &HashMap<InodeId, Arc<Inode>>,
    ) -> Result<Arc<Journal>, JournalError> {
        let ends: HashMap<Epoch, u64> = ends.iter().copied().collect();
        if let Some((missing, _)) = self.held().into_iter().find(|(epoch, _)| !ends.contains_key(epoch)) {
            return Err(JournalError::NoEnd(missing));
        }
        let log = self.recovered.start(epoch).await?;
        let journal =
            Journal::assemble(self.share, epoch, log, self.pool, self.pressure.clone(), self.options);
        let mut dropped = 0u64;
        for found in &self.records {
            let ended = ends.get(&found.seq.epoch()).is_none_or(|end| found.seq.counter() > *end);
            let row = rows.get(&found.inode).filter(|row| !ended && found.seq > row.flushed_seq);
            let segment = found.position.segment;
            match row {
                Some(row) => {
                    let spot = Location::new(found.position, found.seq, found.decoded.data_at);
                    let now = journal.clock.monotonic();
                    let landed = Landed { seq: found.seq, spot, segment, bytes: found.bytes, now };
                    journal.publish(row, &found.decoded.meta, &found.decoded.effect, &landed);
                }
                None => {
                    dropped += 1;
                    journal.books.lock().segments.published_dead(segment);
                }
            }
        }
        let stats = journal.stats();
        tracing::info!(share = %journal.share, epoch = epoch.0, records = self.records.len(), dropped,
            inodes = stats.dirty_inodes, bytes = stats.dirty_bytes, "journal recovered");
        let journal = Arc::new(journal);
        let member: Arc<dyn Member> = journal.clone();
        self.pressure.join(Arc::downgrade(&member));
        journal.retire();
        journal.tend();
        Ok(journal)
    }
}

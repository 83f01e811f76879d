//! The opening number, in a file of its own (`metadata.opening`): written in place, so that an open asks a full disk for
//! nothing; and the position below which the name log may have been given back, so that an older copy of the checkpoint
//! is told from the one that belongs here.
//!
//! ```text
//!   offset 0     slot 0     magic 8 │ turn u64 │ opening u64 │ position u64 │ xxh3-64 of those 32 bytes      (little-endian)
//!   offset 4096  slot 1     the same; the valid slot with the higher turn counts, the next turn is written over the other
//! ```
//! *A crash* while a slot is written leaves the other one. The file is made whole under another name and gets its own with
//! a rename. A folder without it is of a version that kept the number in `metadata.redb` alone: it goes on from that.

use super::base::{Meta, disk_failed};
use crate::{StoreError, StoreResult};
use dfs_log::{Disk, DiskFile};
use dfs_model::{Epoch, Seq};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The file's name in the data folder.
pub const FILE: &str = "metadata.opening";
const NEW_FILE: &str = "metadata.opening.new";
const MAGIC: u64 = u64::from_le_bytes(*b"dfsopen1");
const FIELDS: usize = 4;
const SLOT_BYTES: usize = (FIELDS + 1) * 8;
const SLOT_STRIDE: u64 = 4096;

/// The open file.
pub struct Opening {
    file: Arc<dyn DiskFile>,
    newest: Mutex<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    turn: u64,
    meta: Meta,
}

impl Opening {
    /// Opens the file, or makes it from what the checkpoint says. Answers it with the opening number that counts.
    ///
    /// *Errors:* [`StoreError::Unusable`] where the file is damaged, or the checkpoint is an older copy than the file beside
    /// it; [`StoreError::Broken`] where the disk fails.
    pub fn open(disk: &dyn Disk, base: Meta) -> StoreResult<(Opening, Meta)> {
        let there = disk.list().map_err(|error| disk_failed("listing of the data folder", &error))?;
        if !there.iter().any(|name| name == FILE) {
            let made = Opening::create(disk, &there, Slot { turn: 0, meta: base });
            return made
                .map(|opening| (opening, base))
                .map_err(|error| disk_failed("making of metadata.opening", &error));
        }
        let file = disk.open(FILE).map_err(|error| disk_failed("open of metadata.opening", &error))?;
        let slots = [0, 1].map(|index| Slot::read(file.as_ref(), index));
        let mut newest: Option<Slot> = None;
        for slot in slots {
            let slot = slot.map_err(|error| disk_failed("read of metadata.opening", &error))?;
            newest = newest.into_iter().chain(slot).max_by_key(|slot| slot.turn);
        }
        let newest = newest.ok_or_else(|| {
            StoreError::Unusable(
                "metadata.opening is damaged: neither of its two copies is whole. Nothing was changed. Put the data folder back from a copy of the disk".into(),
            )
        })?;
        if base.position < newest.meta.position {
            return Err(StoreError::Unusable(format!(
                "metadata.redb is an older copy: it holds the names up to {}, and the name log beside it begins after {}. \
                 Bring the newer metadata.redb back. Nothing was changed",
                base.position, newest.meta.position
            )));
        }
        let opening = newest.meta.opening.max(base.opening);
        Ok((Opening { file, newest: Mutex::new(newest) }, Meta { opening, ..base }))
    }

    fn create(disk: &dyn Disk, there: &[String], slot: Slot) -> io::Result<Opening> {
        if there.iter().any(|name| name == NEW_FILE) {
            disk.remove(NEW_FILE)?;
        }
        let file = disk.create(NEW_FILE)?;
        file.zero(0, 2 * SLOT_STRIDE)?;
        slot.write(file.as_ref())?;
        file.sync()?;
        disk.rename(NEW_FILE, FILE)?;
        disk.sync_dir()?;
        Ok(Opening { file, newest: Mutex::new(slot) })
    }

    /// Stores the next opening number, durably. *Errors:* [`StoreError::Unusable`] when all 2^24 are used up.
    pub fn begin(&self, meta: Meta) -> StoreResult<Meta> {
        let used_up = || StoreError::Unusable("the metadata store has used all of its 2^24 openings".into());
        let meta = Meta { opening: meta.opening.next().ok_or_else(used_up)?, ..meta };
        let released = self.newest.lock().meta.position;
        self.store(Meta { opening: meta.opening, position: released })?;
        Ok(meta)
    }

    /// Stores, durably, that the name log up to `position` may be given back: the checkpoint holds it. Blocks.
    pub fn releases(&self, position: Seq) -> StoreResult<()> {
        let newest = self.newest.lock().meta;
        if newest.position >= position {
            return Ok(());
        }
        self.store(Meta { position, ..newest })
    }

    fn store(&self, meta: Meta) -> StoreResult<()> {
        let mut newest = self.newest.lock();
        let slot = Slot { turn: newest.turn + 1, meta };
        let written = slot.write(self.file.as_ref()).and_then(|()| self.file.sync());
        written.map_err(|error| disk_failed("write of metadata.opening", &error))?;
        *newest = slot;
        Ok(())
    }
}

impl Slot {
    fn fields(self) -> [u64; FIELDS] {
        [MAGIC, self.turn, u64::from(self.meta.opening.0), self.meta.position.0]
    }

    fn write(self, file: &dyn DiskFile) -> io::Result<()> {
        let mut bytes: Vec<u8> = self.fields().iter().flat_map(|field| field.to_le_bytes()).collect();
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        file.write_at(self.turn % 2 * SLOT_STRIDE, &bytes)
    }

    /// The slot of an index, where it is whole.
    fn read(file: &dyn DiskFile, index: u64) -> io::Result<Option<Slot>> {
        let mut bytes = [0; SLOT_BYTES];
        let read = file.read_at(index * SLOT_STRIDE, &mut bytes)?;
        if read < SLOT_BYTES {
            return Ok(None);
        }
        let (words, _) = bytes.as_chunks::<8>();
        let [magic, turn, opening, position, sum] = *words else { return Ok(None) };
        let (covered, _) = bytes.split_at(FIELDS * 8);
        let opening =
            u32::try_from(u64::from_le_bytes(opening)).ok().map(Epoch).filter(|epoch| *epoch <= Epoch::MAX);
        let whole = u64::from_le_bytes(magic) == MAGIC && u64::from_le_bytes(sum) == xxh3_64(covered);
        let position = Seq(u64::from_le_bytes(position));
        let slot = |opening| Slot { turn: u64::from_le_bytes(turn), meta: Meta { opening, position } };
        Ok(opening.filter(|_| whole).map(slot))
    }
}

//! Blocks whose bytes still lie in the journal: a segment that is placed stays readable until the log wants its room
//! (probation), and a read right after a flush needs neither the cache nor the object store.
//!
//! A block is looked up by its id, which is never reused, and taken from the records that it was made of, each verified
//! whole (JOURNAL J5): what was given back meanwhile is a miss. Only an index, bounded, in memory; a crash or a forgotten
//! entry costs a fetch.

use bytes::{Bytes, BytesMut};
use dfs_journal::{Journal, Location};
use dfs_model::{BlockId, InodeId};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};

/// Most records that a remembered block comes from: more of them cost more than a fetch.
pub(crate) const RECORDS_MAX: usize = 8;

/// The records that a block was made of, in order.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub inode: InodeId,
    /// Where, and how many bytes.
    pub records: Box<[(Location, u32)]>,
}

#[derive(Default)]
struct Known {
    origins: HashMap<BlockId, Origin>,
    /// Oldest first; may name some that are gone.
    order: VecDeque<BlockId>,
}

/// See the module.
pub(crate) struct Probation {
    known: Mutex<Known>,
    blocks_max: usize,
}

impl Probation {
    /// Remembers at most so many blocks.
    pub fn new(blocks_max: usize) -> Probation {
        Probation { known: Mutex::default(), blocks_max }
    }

    /// Remembers where a block came from.
    pub fn note(&self, block: BlockId, origin: Origin) {
        let mut known = self.known.lock();
        if self.blocks_max == 0 {
            return;
        }
        while known.order.len() >= self.blocks_max {
            let Some(oldest) = known.order.pop_front() else { break };
            known.origins.remove(&oldest);
        }
        known.order.push_back(block);
        known.origins.insert(block, origin);
    }

    /// Forgets everything, as time does.
    #[cfg(test)]
    pub fn forget_all(&self) {
        *self.known.lock() = Known::default();
    }

    /// The block's bytes, if the journal still has all of them. Blocks like a read of a file.
    pub fn read(&self, journal: &Journal, block: BlockId) -> Option<Bytes> {
        let origin = self.known.lock().origins.get(&block).cloned()?;
        let bytes = assemble(journal, &origin);
        if bytes.is_none() {
            self.known.lock().origins.remove(&block);
        }
        bytes
    }
}

fn assemble(journal: &Journal, origin: &Origin) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    for (location, len) in &origin.records {
        let record = journal.read_verified(location, origin.inode).ok()?;
        bytes.extend_from_slice(record.bytes_at(location, *len as usize)?);
    }
    Some(bytes.freeze())
}

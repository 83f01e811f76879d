//! A pack before it has an id: encoded blocks of several cuts, sealed anew for every try.
//!
//! Sealing copies no block, so a failed upload costs neither reading nor compressing again. The footer holds the place
//! records of the cuts, so that a bucket alone can rebuild its files. Memory only; the permit bounds it.

use crate::fetch::Origin;
use crate::stack::Shared;
use bytes::Bytes;
use dfs_block::{EncodedBlock, PackBuilder, PackError, PackIdentity, PlaceRecord};
use dfs_cold::PutBody;
use dfs_journal::Cut;
use dfs_model::{BLOCKS_PER_RUN_MAX, BlockId, ExtentRun, Generation, PackId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Consecutive blocks of the draft that hold consecutive bytes of a file.
struct DraftRun {
    cut: usize,
    offset: u64,
    end: u64,
    first: u32,
    count: u32,
}

/// What a draft says of one cut in its footer.
struct DraftRecord {
    cut: usize,
    part: u32,
    last_part: bool,
}

/// A cut with the generation of its inode.
pub(crate) struct BatchCut {
    pub cut: Arc<Cut>,
    pub generation: Generation,
}

/// See the module.
pub(crate) struct Draft {
    blocks: Vec<EncodedBlock>,
    /// Per block, where its bytes lie in the journal.
    origins: Vec<Option<Origin>>,
    runs: Vec<DraftRun>,
    records: Vec<DraftRecord>,
    batch: Arc<Vec<BatchCut>>,
    stored: u64,
    _memory: OwnedSemaphorePermit,
}

/// A draft under an id, ready for one PUT.
pub(crate) struct Sealed {
    pub body: PutBody,
    pub runs: Vec<(usize, ExtentRun)>,
}

impl Draft {
    pub fn new(batch: Arc<Vec<BatchCut>>, memory: OwnedSemaphorePermit) -> Draft {
        Draft {
            blocks: Vec::new(),
            origins: Vec::new(),
            runs: Vec::new(),
            records: Vec::new(),
            batch,
            stored: 0,
            _memory: memory,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether a block of that many stored bytes still belongs into this pack.
    pub fn fits(&self, stored_len: u64, pack_size: u64) -> bool {
        let room = dfs_block::BLOCKS_PER_PACK_MAX.min(dfs_block::RECORDS_PER_PACK_MAX);
        self.blocks.is_empty() || (self.stored + stored_len <= pack_size && self.blocks.len() < room)
    }

    /// Adds a block of a cut that holds the file's bytes from `offset` on. `origin`: where else they are.
    pub fn push(&mut self, cut: usize, offset: u64, block: EncodedBlock, origin: Option<Origin>) {
        let end = offset + u64::from(block.reference.decoded_len);
        let index = self.blocks.len() as u32;
        self.stored += block.stored.len() as u64;
        self.blocks.push(block);
        self.origins.push(origin);
        match self.runs.last_mut() {
            Some(run) if run.cut == cut && run.end == offset && (run.count as usize) < BLOCKS_PER_RUN_MAX => {
                run.end = end;
                run.count += 1;
            }
            _ => self.runs.push(DraftRun { cut, offset, end, first: index, count: 1 }),
        }
    }

    /// Cuts with blocks in it.
    pub fn cuts(&self) -> impl Iterator<Item = usize> + '_ {
        self.runs.iter().map(|run| run.cut)
    }

    /// Notes that the footer tells of a cut, whether it has blocks here or not.
    pub fn record(&mut self, cut: usize, part: u32, last_part: bool) {
        if self.records.len() < dfs_block::RECORDS_PER_PACK_MAX {
            self.records.push(DraftRecord { cut, part, last_part });
        }
    }

    /// The pack's bytes under an id.
    pub fn seal(&self, shared: &Shared, pack: PackId) -> Result<Sealed, PackError> {
        let mut builder = PackBuilder::new(PackIdentity { share: shared.share, pack, epoch: shared.epoch });
        for block in &self.blocks {
            builder.push(block.clone())?;
        }
        let mut runs = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let mut made = builder.run(run.offset, run.first, run.count)?;
            made.seq = self.batch.get(run.cut).map_or(made.seq, |of| of.cut.to_seq);
            runs.push((run.cut, made));
        }
        let mut by_cut: BTreeMap<usize, Vec<ExtentRun>> = BTreeMap::new();
        runs.iter().for_each(|(cut, run)| by_cut.entry(*cut).or_default().push(run.clone()));
        for record in &self.records {
            if let Some(of) = self.batch.get(record.cut) {
                builder.record(place_record(of, record, by_cut.remove(&record.cut).unwrap_or_default()))?;
            }
        }
        Ok(Sealed { body: PutBody::new(builder.finish()?.parts), runs })
    }

    /// Its blocks with their ids under a pack, for the cache.
    pub fn blocks(&self, pack: PackId) -> impl Iterator<Item = (BlockId, &EncodedBlock)> {
        self.blocks
            .iter()
            .enumerate()
            .map(move |(index, block)| (BlockId { pack, index: index as u32 }, block))
    }

    /// Where its blocks' bytes lie in the journal, as far as that is known.
    pub fn take_origins(&mut self, pack: PackId) -> impl Iterator<Item = (BlockId, Origin)> + use<> {
        let numbered = std::mem::take(&mut self.origins).into_iter().enumerate();
        numbered.filter_map(move |(index, origin)| Some((BlockId { pack, index: index as u32 }, origin?)))
    }

    /// Bytes of file in it.
    pub fn decoded_bytes(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.reference.decoded_len)).sum()
    }
}

fn place_record(of: &BatchCut, record: &DraftRecord, extents: Vec<ExtentRun>) -> PlaceRecord {
    let cut = &of.cut;
    PlaceRecord {
        inode: cut.inode,
        generation: of.generation,
        from_seq: cut.from_seq,
        to_seq: cut.to_seq,
        part: record.part,
        last_part: record.last_part,
        extents,
        zeros: if record.last_part { cut.zeros.clone() } else { Vec::new() },
        size_low: cut.size_low,
        size: cut.size,
        atime: cut.atime,
        mtime: cut.mtime,
        ctime: cut.ctime,
        change: cut.change,
        clear_suid: cut.clear_suid,
        set_archive: cut.set_archive,
    }
}

/// A copy of a block's decoded bytes, for a cache without NVMe. `None` when it cannot be decoded, which its maker would know.
pub(crate) fn decoded(id: BlockId, block: &EncodedBlock) -> Option<Bytes> {
    dfs_block::decode_block(id, block.stored.clone(), &block.reference).ok()
}

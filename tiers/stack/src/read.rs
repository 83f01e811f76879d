//! The read path: overlay pieces from the journal, the rest from the extents of one state of the file.
//!
//! ```text
//!  plan ─ base ranges ─ row (flushed_seq ≤ plan's last seq, else Moved) ─ extents at that seq ─ pieces of blocks
//!                                 read-ahead is issued here ─┘                                        │
//!  reply ◀─ assemble ◀─ wait until the deadline ◀───────────────── one fetch per block ◀──────────────┘
//! ```
//! Invariant: all bytes of a reply belong to one state of the file: the plan's `last_seq`, or without a plan the row's
//! `flushed_seq`. A cancel leaves fetches that end by themselves; a crash leaves nothing.

use crate::ahead::Seen;
use crate::error::StackReadError;
use crate::fetch::{FetchError, Slot};
use crate::maps::RowState;
use crate::stack::Stack;
use bytes::{Bytes, BytesMut};
use dfs_journal::{Location, Moved, Piece, ReadPlan, Source};
use dfs_log::mutation::Rule;
use dfs_model::extent::BlockPiece;
use dfs_model::{Activity, BlockId, ClientRef, InodeId, Monotonic};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Zeros that every hole of every reply shares.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
/// Times that a read resolves again because a pack was gone, before it gives up: each time needs a flush, a compaction or a
/// clone in between.
const RESOLVES_MAX: usize = 4;

/// Who reads: the same client on the same file is one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamKey(pub u64);

impl StreamKey {
    pub const MIN: StreamKey = StreamKey(0);
    pub const MAX: StreamKey = StreamKey(u64::MAX);

    /// The stream of a client.
    pub fn of(client: &ClientRef) -> StreamKey {
        let mut hasher = DefaultHasher::new();
        client.hash(&mut hasher);
        StreamKey(hasher.finish())
    }
}

/// One read.
pub(crate) struct Read<'a> {
    pub inode: InodeId,
    pub plan: Option<&'a ReadPlan>,
    pub offset: u64,
    pub len: u64,
    pub activity: &'a Activity,
    pub stream: StreamKey,
    pub deadline: Option<Monotonic>,
}

/// A part of the reply before its bytes are there.
enum Part {
    Zero(u64),
    Log(Location, u64),
    /// Bytes `skip..skip + len` of the block in slot `slot`.
    Block {
        slot: usize,
        skip: u32,
        len: u32,
    },
}

/// What a read needs.
struct Needs {
    parts: Vec<Part>,
    blocks: Vec<BlockPiece>,
}

/// What went wrong inside; `Missing` is resolved again.
enum Failed {
    Read(StackReadError),
    Missing(BlockId),
}

impl From<StackReadError> for Failed {
    fn from(error: StackReadError) -> Failed {
        Failed::Read(error)
    }
}

impl Stack {
    pub(crate) async fn read_range(&self, read: Read<'_>) -> Result<Vec<Bytes>, StackReadError> {
        let mut gone: Option<BlockId> = None;
        for _ in 0..RESOLVES_MAX {
            let (row, needs) = self.resolve(&read).await?;
            // P4: only an extent that did not change is an error.
            if let Some(block) = gone.filter(|gone| needs.blocks.iter().any(|piece| piece.id == *gone)) {
                return Err(self.lost(block));
            }
            self.read_ahead(&read, &row).await;
            match self.serve(&read, needs).await {
                Ok(bytes) => return Ok(bytes),
                Err(Failed::Read(error)) => return Err(error),
                Err(Failed::Missing(block)) if self.shared.mutations.off(Rule::ReaderResolvesAgain) => {
                    return Err(self.lost(block));
                }
                Err(Failed::Missing(block)) => {
                    self.maps.forget_all_of(read.inode);
                    gone = Some(block);
                }
            }
        }
        Err(StackReadError::Moved)
    }

    fn lost(&self, block: BlockId) -> StackReadError {
        tracing::error!(share = %self.shared.share, pack = %block.pack, block = block.index, "the object is missing in the store");
        self.shared.note_error(&format!("pack {} is missing in the object store", block.pack));
        StackReadError::Corrupt { block }
    }

    /// Finds where every byte is. *Errors:* `Moved` when the row is beyond the plan, or without plan shorter than the read.
    async fn resolve(&self, read: &Read<'_>) -> Result<(RowState, Needs), StackReadError> {
        let row = self.maps.row(read.inode).await?;
        let end = read.offset.saturating_add(read.len);
        let whole = [Piece { offset: read.offset, len: read.len, source: Source::Base }];
        let (pieces, moved) = match read.plan {
            Some(plan) => (plan.pieces.as_slice(), row.flushed_seq > plan.last_seq),
            None => (whole.as_slice(), row.size < end),
        };
        if moved {
            return Err(StackReadError::Moved);
        }
        let mut needs = Needs { parts: Vec::with_capacity(pieces.len()), blocks: Vec::new() };
        for piece in pieces {
            match piece.source {
                Source::Zero => needs.parts.push(Part::Zero(piece.len)),
                Source::Log(location) => needs.parts.push(Part::Log(location, piece.len)),
                Source::Base => self.resolve_base(read.inode, &row, piece, &mut needs).await?,
            }
        }
        Ok((row, needs))
    }

    async fn resolve_base(
        &self,
        inode: InodeId,
        row: &RowState,
        piece: &Piece,
        needs: &mut Needs,
    ) -> Result<(), StackReadError> {
        let (mut at, end) = (piece.offset, piece.offset.saturating_add(piece.len));
        let shown = end.min(row.size);
        for block in self.block_pieces(inode, row, piece.offset, shown).await? {
            if block.offset > at {
                needs.parts.push(Part::Zero(block.offset - at));
            }
            at = block.end();
            let slot = match needs.blocks.iter().rposition(|known| known.id == block.id) {
                Some(slot) => slot,
                None => {
                    needs.blocks.push(block);
                    needs.blocks.len() - 1
                }
            };
            needs.parts.push(Part::Block { slot, skip: block.skip, len: block.len });
        }
        if at < end {
            needs.parts.push(Part::Zero(end - at));
        }
        Ok(())
    }

    /// The parts of blocks that hold `[start, end)`, in order, without what lies in holes.
    async fn block_pieces(
        &self,
        inode: InodeId,
        row: &RowState,
        start: u64,
        end: u64,
    ) -> Result<Vec<BlockPiece>, StackReadError> {
        let mut pieces = Vec::new();
        if start >= end {
            return Ok(pieces);
        }
        let mut at = start;
        for part in self.maps.runs(inode, row, start, end).await? {
            for run in part.iter() {
                // A run that crosses two parts of the map is in both.
                pieces.extend(run.pieces(at, end));
                at = at.max(run.end().min(end));
            }
        }
        Ok(pieces)
    }

    /// Issues the read-ahead that the read makes due; what cannot be resolved is not fetched.
    async fn read_ahead(&self, read: &Read<'_>, row: &RowState) {
        let seen = Seen {
            inode: read.inode,
            stream: read.stream,
            offset: read.offset,
            len: read.len,
            size: row.size,
            activity: read.activity,
            memory: self.fetcher.ahead_memory(),
        };
        let Some((from, to)) = self.streams.observe(&seen, &*self.shared.policy) else { return };
        let Ok(pieces) = self.block_pieces(read.inode, row, from, to).await else { return };
        let taken = self.fetcher.ahead(&pieces, read.activity);
        if let Some(refused) = pieces.get(taken) {
            self.streams.issued_until(read.inode, read.stream, refused.offset);
        }
    }

    async fn serve(&self, read: &Read<'_>, needs: Needs) -> Result<Vec<Bytes>, Failed> {
        let slots = self.fetcher.obtain(&needs.blocks, read.activity);
        let log = self.read_log(read.inode, &needs.parts)?;
        let mut blocks = Vec::with_capacity(slots.len());
        let deadline = read.deadline.map(|deadline| deadline.since(self.shared.clock.monotonic()));
        let wait = wait_all(slots, &mut blocks);
        match deadline {
            None => wait.await?,
            Some(left) => match tokio::time::timeout(left, wait).await {
                Ok(waited) => waited?,
                Err(_) => return Err(StackReadError::ColdUnavailable.into()),
            },
        }
        let reply = assemble(&needs.parts, log, &blocks);
        for part in &needs.parts {
            if let Part::Block { slot, skip, len } = part {
                let piece = needs.blocks.get(*slot);
                if let Some(piece) = piece.filter(|piece| skip + len >= piece.block.decoded_len) {
                    self.fetcher.taken(piece.id);
                }
            }
        }
        Ok(reply)
    }

    /// Bytes of the journal's pieces, in order, in one buffer.
    fn read_log(&self, inode: InodeId, parts: &[Part]) -> Result<Bytes, StackReadError> {
        let total: u64 = parts.iter().map(|part| if let Part::Log(_, len) = part { *len } else { 0 }).sum();
        let mut buffer = BytesMut::zeroed(total as usize);
        let mut rest = &mut buffer[..];
        for part in parts {
            let Part::Log(location, len) = part else { continue };
            let (out, tail) = rest.split_at_mut(*len as usize);
            rest = tail;
            self.shared.journal.read_location(location, inode, out).map_err(|moved| match moved {
                Moved::Recycled => StackReadError::Moved,
                Moved::Damaged(why) => StackReadError::Io(why),
            })?;
        }
        Ok(buffer.freeze())
    }
}

async fn wait_all(slots: Vec<Slot>, blocks: &mut Vec<Bytes>) -> Result<(), Failed> {
    for slot in slots {
        let bytes = slot.wait().await.map_err(|error| match error {
            FetchError::Unavailable(_) => Failed::Read(StackReadError::ColdUnavailable),
            FetchError::Damaged(block) => Failed::Read(StackReadError::Corrupt { block }),
            FetchError::Missing(block) => Failed::Missing(block),
        })?;
        blocks.push(bytes);
    }
    Ok(())
}

/// Puts the parts together without copying.
fn assemble(parts: &[Part], log: Bytes, blocks: &[Bytes]) -> Vec<Bytes> {
    let mut reply = Vec::with_capacity(parts.len());
    let mut log_at = 0usize;
    for part in parts {
        match part {
            Part::Zero(len) => {
                let mut left = *len;
                while left > 0 {
                    let some = left.min(ZEROS.len() as u64);
                    reply.push(Bytes::from_static(&ZEROS[..some as usize]));
                    left -= some;
                }
            }
            Part::Log(_, len) => {
                let end = log_at + *len as usize;
                reply.push(log.slice(log_at..end));
                log_at = end;
            }
            Part::Block { slot, skip, len } => {
                if let Some(block) = blocks.get(*slot) {
                    reply.push(block.slice(*skip as usize..(*skip + *len) as usize));
                }
            }
        }
    }
    reply
}

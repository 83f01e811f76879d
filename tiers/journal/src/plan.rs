//! Where the bytes of a range come from: overlay layers, newest first, then the extents.

use crate::journal::Location;
use dfs_model::Seq;

/// Where a piece's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The journal: [`crate::Journal::read_location`].
    Log(Location),
    /// Zeros.
    Zero,
    /// The extents of the metadata store, whose bytes beyond the row's size are zeros.
    Base,
}

/// A run of bytes with one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First byte of the file.
    pub offset: u64,
    /// Bytes, at least 1.
    pub len: u64,
    /// Where they are.
    pub source: Source,
}

/// How to read a range of an inode that has records in the journal.
///
/// *Guarantees:* the pieces cover exactly the range asked for, in order, whatever the size; what lies beyond `size` is
/// [`Source::Zero`]. The plan is the file's state at `last_seq` as long as the extents behind `Base` belong to a row
/// whose `flushed_seq` is at most `last_seq`: a reader that finds a larger one takes a new plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPlan {
    /// Newest record in the plan.
    pub last_seq: Seq,
    /// Size of the file at that record.
    pub size: u64,
    /// The pieces.
    pub pieces: Vec<Piece>,
}

/// Sorts pieces and joins neighbours of the sources that have no place of their own.
pub(crate) fn joined(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.sort_unstable_by_key(|piece| piece.offset);
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match out.last_mut() {
            Some(last) if last.source == piece.source && !matches!(piece.source, Source::Log(_)) => {
                last.len += piece.len;
            }
            _ => out.push(piece),
        }
    }
    out
}

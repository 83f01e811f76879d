//! What can be wrong with a block or a pack. Every message names the pack, the place in it, what was expected and what is there.

use dfs_model::{BadExtent, BlockId, Compression, PackId};

/// A block's bytes are not what its reference says. Never cured by decoding again; another copy may be good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum BlockError {
    #[error("pack {} block {}: damaged: {actual} stored bytes, expected {expected}", id.pack, id.index)]
    Length { id: BlockId, expected: u32, actual: u64 },
    #[error("pack {} block {}: damaged: checksum {actual:016x}, expected {expected:016x}", id.pack, id.index)]
    Hash { id: BlockId, expected: u64, actual: u64 },
    #[error("pack {} block {}: {} data does not decode to {expected} bytes: {detail}", id.pack, id.index, compression.name())]
    Decode { id: BlockId, compression: Compression, expected: u32, detail: String },
    #[error("pack {} block {}: the reference to it is not possible (stored {stored}, decoded {decoded} bytes)", id.pack, id.index)]
    Reference { id: BlockId, stored: u32, decoded: u32 },
}

impl BlockError {
    /// Which block.
    #[must_use]
    pub fn id(&self) -> BlockId {
        match self {
            BlockError::Length { id, .. }
            | BlockError::Hash { id, .. }
            | BlockError::Decode { id, .. }
            | BlockError::Reference { id, .. } => *id,
        }
    }
}

/// A pack cannot be built or trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PackError {
    #[error("pack {pack}: {what} is {have} bytes, expected {want}")]
    Length { pack: PackId, what: &'static str, have: u64, want: u64 },
    #[error("pack {pack}: {what} does not start or end as a pack's: not a pack, or damaged")]
    Magic { pack: PackId, what: &'static str },
    #[error("pack {pack}: damaged {what}: checksum {actual:016x}, expected {expected:016x}")]
    Checksum { pack: PackId, what: &'static str, expected: u64, actual: u64 },
    #[error("pack {pack}: format version {version} is newer than this program; upgrade it")]
    Newer { pack: PackId, version: u16 },
    #[error("pack {pack}: encryption {number} is not known to this program")]
    Encryption { pack: PackId, number: u8 },
    #[error("the object under the name of pack {expected} is pack {found}")]
    OtherPack { expected: PackId, found: PackId },
    #[error("pack {pack}: {what} is not valid")]
    Invalid { pack: PackId, what: &'static str },
    #[error("pack {pack}: an extent is not valid: {error}")]
    Extent { pack: PackId, error: BadExtent },
    #[error("pack {pack}: no room for more {what}; the most is {max}")]
    Full { pack: PackId, what: &'static str, max: u64 },
    #[error("a block must have 1 to {max} bytes, not {have}")]
    BlockLength { have: u64, max: u32 },
    #[error("a block cannot be compressed: {0}")]
    Compress(String),
    #[error(transparent)]
    Block(#[from] BlockError),
}

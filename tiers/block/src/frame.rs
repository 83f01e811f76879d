//! The fixed parts of a pack: header at its start, trailer at its end. Little-endian; the README has the tables.
//!
//! Both carry the version and their own checksum, so that a pack can be identified from either end; the trailer leads to
//! the footer. Nothing behind a checksum is looked at before the checksum holds, except the magic and the version, which
//! decide whether this program understands the rest.

use crate::PackError;
use crate::footer::FOOTER_LEN_MAX;
use dfs_model::{Epoch, PackId, ShareId};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the header; the first block starts behind it.
pub const HEADER_LEN: usize = 64;
/// Bytes of the trailer, the last of the pack.
pub const TRAILER_LEN: usize = 56;
/// Longest pack that is built or read: far above the 16 MiB target, small enough to hold a pack in memory.
pub const PACK_LEN_MAX: u64 = 1 << 30;
/// Most blocks of a pack: a 16 MiB pack of blocks of 256 bytes.
pub const BLOCKS_PER_PACK_MAX: usize = 1 << 16;

/// Newest format that this program writes and reads.
pub(crate) const VERSION: u16 = 1;
const HEADER_MAGIC: &[u8; 8] = b"DFSPACK\0";
const TRAILER_MAGIC: &[u8; 8] = b"DFSPEND\0";
/// The one value of the encryption byte so far: not encrypted.
const PLAIN: u8 = 0;

/// Which pack it is, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PackIdentity {
    pub share: ShareId,
    pub pack: PackId,
    /// Epoch of the gateway that built it.
    pub epoch: Epoch,
}

impl PackIdentity {
    pub(crate) fn encode_header(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(HEADER_MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[10] = PLAIN;
        out[16..32].copy_from_slice(&self.share.0.to_le_bytes());
        out[32..48].copy_from_slice(&self.pack.0.to_le_bytes());
        out[48..52].copy_from_slice(&self.epoch.0.to_le_bytes());
        let hash = xxh3_64(&out[..56]);
        out[56..].copy_from_slice(&hash.to_le_bytes());
        out
    }

    /// Reads a header. *Errors:* [`PackError`] naming `pack`, the id under which the bytes were found.
    pub fn parse_header(pack: PackId, bytes: &[u8]) -> Result<PackIdentity, PackError> {
        let head: &[u8; HEADER_LEN] = exact(pack, "header", bytes)?;
        check_start(pack, "header", &head[..8], HEADER_MAGIC, u16_at(head, 8), head[10])?;
        check_sum(pack, "header", &head[..56], u64_at(head, 56))?;
        if head[11..16] != [0; 5] || head[52..56] != [0; 4] {
            return Err(PackError::Invalid { pack, what: "header" });
        }
        let found = PackIdentity {
            share: ShareId(u128_at(head, 16)),
            pack: PackId(u128_at(head, 32)),
            epoch: Epoch(u64_at(head, 48) as u32),
        };
        same_pack(pack, found.pack)?;
        Ok(found)
    }
}

/// The end of a pack: where its footer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The pack.
    pub pack: PackId,
    /// First byte of the footer, one past the last block.
    pub footer_offset: u64,
    /// Bytes of the footer, at most [`FOOTER_LEN_MAX`].
    pub footer_len: u32,
    /// xxh3-64 of the footer.
    pub footer_hash: u64,
}

impl Trailer {
    pub(crate) fn encode(&self) -> [u8; TRAILER_LEN] {
        let mut out = [0; TRAILER_LEN];
        out[..8].copy_from_slice(&self.footer_offset.to_le_bytes());
        out[8..12].copy_from_slice(&self.footer_len.to_le_bytes());
        out[12..14].copy_from_slice(&VERSION.to_le_bytes());
        out[14] = PLAIN;
        out[16..24].copy_from_slice(&self.footer_hash.to_le_bytes());
        out[24..40].copy_from_slice(&self.pack.0.to_le_bytes());
        let hash = xxh3_64(&out[..40]);
        out[40..48].copy_from_slice(&hash.to_le_bytes());
        out[48..].copy_from_slice(TRAILER_MAGIC);
        out
    }

    /// Reads the last [`TRAILER_LEN`] bytes of an object of `object_len` bytes found under the id `pack`.
    /// *Guarantees:* the footer lies between header and trailer and fills the space up to the trailer.
    /// *Errors:* [`PackError`].
    pub fn parse(pack: PackId, object_len: u64, bytes: &[u8]) -> Result<Trailer, PackError> {
        let tail: &[u8; TRAILER_LEN] = exact(pack, "trailer", bytes)?;
        check_start(pack, "trailer", &tail[48..], TRAILER_MAGIC, u16_at(tail, 12), tail[14])?;
        check_sum(pack, "trailer", &tail[..40], u64_at(tail, 40))?;
        let trailer = Trailer {
            pack: PackId(u128_at(tail, 24)),
            footer_offset: u64_at(tail, 0),
            footer_len: u64_at(tail, 8) as u32,
            footer_hash: u64_at(tail, 16),
        };
        same_pack(pack, trailer.pack)?;
        if tail[15] != 0
            || trailer.footer_len as usize > FOOTER_LEN_MAX
            || trailer.footer_offset < HEADER_LEN as u64
        {
            return Err(PackError::Invalid { pack, what: "trailer" });
        }
        let want = trailer.footer_range().end.saturating_add(TRAILER_LEN as u64);
        if object_len != want || want > PACK_LEN_MAX {
            return Err(PackError::Length { pack, what: "object", have: object_len, want });
        }
        Ok(trailer)
    }

    /// Bytes of the pack that hold the footer.
    #[must_use]
    pub fn footer_range(&self) -> Range<u64> {
        self.footer_offset..self.footer_offset.saturating_add(u64::from(self.footer_len))
    }

    /// Checks that these bytes are the footer that the trailer means. *Errors:* [`PackError`].
    pub(crate) fn check_footer(&self, footer: &[u8]) -> Result<(), PackError> {
        if footer.len() as u64 != u64::from(self.footer_len) {
            let (have, want) = (footer.len() as u64, u64::from(self.footer_len));
            return Err(PackError::Length { pack: self.pack, what: "footer", have, want });
        }
        check_sum(self.pack, "footer", footer, self.footer_hash)
    }
}

fn exact<'a, const N: usize>(
    pack: PackId,
    what: &'static str,
    bytes: &'a [u8],
) -> Result<&'a [u8; N], PackError> {
    bytes.try_into().map_err(|_| PackError::Length { pack, what, have: bytes.len() as u64, want: N as u64 })
}

fn check_start(
    pack: PackId,
    what: &'static str,
    have: &[u8],
    magic: &[u8; 8],
    version: u16,
    encryption: u8,
) -> Result<(), PackError> {
    if have != magic {
        return Err(PackError::Magic { pack, what });
    }
    match (version, encryption) {
        (VERSION, PLAIN) => Ok(()),
        (VERSION, number) => Err(PackError::Encryption { pack, number }),
        (0, _) => Err(PackError::Invalid { pack, what }),
        (version, _) => Err(PackError::Newer { pack, version }),
    }
}

fn check_sum(pack: PackId, what: &'static str, bytes: &[u8], expected: u64) -> Result<(), PackError> {
    match xxh3_64(bytes) {
        actual if actual == expected => Ok(()),
        actual => Err(PackError::Checksum { pack, what, expected, actual }),
    }
}

fn same_pack(expected: PackId, found: PackId) -> Result<(), PackError> {
    if expected == found { Ok(()) } else { Err(PackError::OtherPack { expected, found }) }
}

/// The `N` bytes at `at`; callers hold arrays that are long enough.
fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(take(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(bytes, at))
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(take(bytes, at))
}

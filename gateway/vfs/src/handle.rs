//! File handles: share, inode, generation and a keyed MAC, the same on every gateway and after every restart.
//!
//! Layout v1, 37 bytes, little-endian: version·kind (1), share id (16), inode (8), generation (4), MAC (8). Nothing of the
//! mount, device, export order or process is in it. The MAC is SipHash-2-4 under the share's handle key over all bytes
//! before it: a forged or damaged handle is [`BadHandle`], never somebody else's file.

use dfs_model::{Generation, InodeId, ShareId};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// What a handle names (SEAM §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HandleKind {
    /// An inode.
    Inode = 0,
    /// A directory of the pseudo file system above the shares.
    Pseudo = 1,
    /// The attribute directory of an inode.
    AttributeDirectory = 2,
    /// A named stream.
    Stream = 3,
}

/// The parts of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct FileHandle {
    pub kind: HandleKind,
    pub share: ShareId,
    pub inode: InodeId,
    pub generation: Generation,
}

/// The bytes are not a handle that this share's gateways made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a handle of this share")]
pub struct BadHandle;

const VERSION: u8 = 0x10;
const BODY: usize = 29;

impl FileHandle {
    /// Length of the wire form in bytes.
    pub const LEN: usize = BODY + 8;

    /// The wire form under the share's key.
    #[must_use]
    pub fn encode(&self, key: &[u8; 16]) -> [u8; Self::LEN] {
        let mut wire = [0; Self::LEN];
        wire[0] = VERSION | self.kind as u8;
        wire[1..17].copy_from_slice(&self.share.0.to_le_bytes());
        wire[17..25].copy_from_slice(&self.inode.0.to_le_bytes());
        wire[25..BODY].copy_from_slice(&self.generation.0.to_le_bytes());
        let mac = mac(&wire[..BODY], key);
        wire[BODY..].copy_from_slice(&mac.to_le_bytes());
        wire
    }

    /// The share that a handle claims to belong to, before its MAC is checked: tells which key to check it with.
    /// *Errors:* [`BadHandle`] for another length or version.
    pub fn peek_share(wire: &[u8]) -> Result<ShareId, BadHandle> {
        let right = wire.len() == Self::LEN && wire.first().is_some_and(|b| b & 0xf0 == VERSION);
        let bytes = wire.get(1..17).and_then(|b| <[u8; 16]>::try_from(b).ok());
        match bytes {
            Some(bytes) if right => Ok(ShareId(u128::from_le_bytes(bytes))),
            _ => Err(BadHandle),
        }
    }

    /// Checks the MAC and takes the parts. *Errors:* [`BadHandle`].
    pub fn decode(wire: &[u8], key: &[u8; 16]) -> Result<FileHandle, BadHandle> {
        let wire: &[u8; Self::LEN] = wire.try_into().map_err(|_| BadHandle)?;
        let share = Self::peek_share(wire)?;
        let (body, tag) = wire.split_at(BODY);
        // A 64-bit tag compared as one integer: no byte-by-byte timing.
        if mac(body, key).to_le_bytes() != *tag {
            return Err(BadHandle);
        }
        let kind = match wire[0] & 0x0f {
            0 => HandleKind::Inode,
            1 => HandleKind::Pseudo,
            2 => HandleKind::AttributeDirectory,
            3 => HandleKind::Stream,
            _ => return Err(BadHandle),
        };
        let inode = u64::from_le_bytes(wire[17..25].try_into().map_err(|_| BadHandle)?);
        let generation = u32::from_le_bytes(wire[25..BODY].try_into().map_err(|_| BadHandle)?);
        Ok(FileHandle { kind, share, inode: InodeId(inode), generation: Generation(generation) })
    }
}

fn mac(body: &[u8], key: &[u8; 16]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(body);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> FileHandle {
        FileHandle {
            kind: HandleKind::Inode,
            share: ShareId(7 << 90 | 5),
            inode: InodeId(1025),
            generation: Generation(3),
        }
    }

    #[test]
    fn handle_round_trips_under_its_key() {
        let wire = sample().encode(&[9; 16]);
        assert_eq!(FileHandle::decode(&wire, &[9; 16]), Ok(sample()));
        assert_eq!(FileHandle::peek_share(&wire), Ok(sample().share));
    }

    #[test]
    fn handle_with_any_bit_flipped_is_refused() {
        let wire = sample().encode(&[9; 16]);
        for bit in 0..wire.len() * 8 {
            let mut bad = wire;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FileHandle::decode(&bad, &[9; 16]), Err(BadHandle), "bit {bit}");
        }
    }

    #[test]
    fn handle_of_another_key_or_length_is_refused() {
        let wire = sample().encode(&[9; 16]);
        assert_eq!(FileHandle::decode(&wire, &[8; 16]), Err(BadHandle));
        for len in 0..wire.len() {
            assert_eq!(FileHandle::decode(&wire[..len], &[9; 16]), Err(BadHandle));
        }
    }
}

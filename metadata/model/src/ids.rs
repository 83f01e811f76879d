//! Newtypes for every id and unit that crosses a seam.

use std::fmt;

/// Declares a transparent integer newtype with the usual derives.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                Self(value)
            }
        }
    };
}

id! {
    /// Number of an inode in its share: 1024 ≤ id < 2^63 for files that clients see, never reused.
    InodeId(u64)
}
id! {
    /// The incarnation of the share in which an inode was made; part of every handle.
    Generation(u32)
}
id! {
    /// One per opening of a share (24 bits): fences owners and makes the write verifier.
    Epoch(u32)
}
id! {
    /// Place of a name in its directory's listing order: grows, never reused; 0 start, 1 `.`, 2 `..`, names from 16.
    Cookie(u64)
}
id! {
    /// Number of a snapshot in its share: grows, never reused, at least 1, at most [`SnapshotId::MAX`].
    SnapshotId(u64)
}
id! {
    /// A number that names an open of a file; never reused within a share's life.
    OpenId(u64)
}

impl InodeId {
    /// The root directory of every share.
    pub const ROOT: InodeId = InodeId(1024);
    /// First id that is handed out to a created inode.
    pub const FIRST: InodeId = InodeId(1025);
    /// First id that is never handed out (signed columns need the top bit clear).
    pub const LIMIT: InodeId = InodeId(1 << 63);
}

/// Bit that tells an inode of a snapshot from one that lives.
const SNAPSHOT_BIT: u64 = 1 << 62;
/// Bits of the inode's own number in it; the snapshot's are above.
const SNAPSHOT_INODE_BITS: u32 = 42;

impl InodeId {
    /// The directory that lists a share's snapshots; not stored anywhere.
    pub const SNAPSHOTS: InodeId = InodeId(SNAPSHOT_BIT | 1);
    /// First id that cannot be named in a snapshot: a share that gave it out takes none.
    pub const SNAPSHOT_LIMIT: InodeId = InodeId(1 << SNAPSHOT_INODE_BITS);

    /// The id by which an inode is known as of a snapshot: bit 62, the snapshot in the 20 bits below it, the inode's own
    /// number in the lowest 42. Distinct from every other id, and the same for ever.
    #[must_use]
    pub fn in_snapshot(self, snapshot: SnapshotId) -> InodeId {
        debug_assert!(self < Self::SNAPSHOT_LIMIT && snapshot <= SnapshotId::MAX);
        InodeId(SNAPSHOT_BIT | (snapshot.0 << SNAPSHOT_INODE_BITS) | self.0)
    }

    /// The snapshot and the inode's own number, of an id made by [`InodeId::in_snapshot`].
    #[must_use]
    pub fn snapshot(self) -> Option<(SnapshotId, InodeId)> {
        let snapshot = (self.0 ^ SNAPSHOT_BIT) >> SNAPSHOT_INODE_BITS;
        let own = InodeId(self.0 & (Self::SNAPSHOT_LIMIT.0 - 1));
        (self.is_past() && snapshot > 0).then_some((SnapshotId(snapshot), own))
    }

    /// Whether it is of a snapshot, or the directory that lists them: nothing about it can change.
    #[must_use]
    pub fn is_past(self) -> bool {
        self.0 & SNAPSHOT_BIT != 0 && self < Self::LIMIT
    }
}

impl SnapshotId {
    /// Largest number of a snapshot.
    pub const MAX: SnapshotId = SnapshotId((1 << 20) - 1);
}

impl Epoch {
    /// Largest epoch that fits its 24 bits.
    pub const MAX: Epoch = Epoch((1 << 24) - 1);

    /// The epoch after this one. *Errors:* `None` when the 24 bits are used up.
    #[must_use]
    pub fn next(self) -> Option<Epoch> {
        (self < Self::MAX).then(|| Epoch(self.0 + 1))
    }
}

impl Cookie {
    /// Start of a listing.
    pub const START: Cookie = Cookie(0);
    /// The entry `.`.
    pub const DOT: Cookie = Cookie(1);
    /// The entry `..`.
    pub const DOT_DOT: Cookie = Cookie(2);
    /// The directory of snapshots, in the root of a share that lists it.
    pub const SNAPSHOTS: Cookie = Cookie(3);
    /// First cookie given to a real name.
    pub const FIRST: Cookie = Cookie(16);
}

/// 128 random bits that name a share for ever.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareId(pub u128);

/// 128 random bits that name a pack; never derived from metadata, never two contents under one id.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId(pub u128);

macro_rules! hex_id {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;

            /// Parses exactly 32 lower-case hexadecimal digits.
            fn from_str(text: &str) -> Result<Self, BadId> {
                let plain = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if !plain {
                    return Err(BadId);
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| BadId)
            }
        }
    };
}
hex_id!(ShareId);
hex_id!(PackId);

/// The text is not the 32 lower-case hexadecimal digits of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected 32 lower-case hexadecimal digits")]
pub struct BadId;

/// One block of one pack. *Guarantees:* never reused, so what a cache returns for it is right or absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId {
    /// The pack that holds the block.
    pub pack: PackId,
    /// Index of the block in the pack's footer.
    pub index: u32,
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pack, self.index)
    }
}

/// Declares a number made of a 24-bit epoch and a 40-bit counter.
macro_rules! epoch_number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// Below every number that was ever issued.
            pub const ZERO: $name = $name(0);
            /// Bits of the counter below the epoch.
            pub const COUNTER_BITS: u32 = 40;
            /// Largest counter of an epoch.
            pub const COUNTER_MAX: u64 = (1 << Self::COUNTER_BITS) - 1;

            /// Joins an epoch and a counter. The counter must be at most [`Self::COUNTER_MAX`].
            #[must_use]
            pub fn new(epoch: Epoch, counter: u64) -> Self {
                debug_assert!(counter <= Self::COUNTER_MAX && epoch <= Epoch::MAX);
                Self((u64::from(epoch.0) << Self::COUNTER_BITS) | (counter & Self::COUNTER_MAX))
            }

            /// The epoch in which the number was issued.
            #[must_use]
            pub fn epoch(self) -> Epoch {
                Epoch((self.0 >> Self::COUNTER_BITS) as u32)
            }

            /// The counter within the epoch.
            #[must_use]
            pub fn counter(self) -> u64 {
                self.0 & Self::COUNTER_MAX
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}.{}", self.epoch().0, self.counter())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}.{})"), self.epoch().0, self.counter())
            }
        }
    };
}

epoch_number! {
    /// A journal record's number in its share: epoch · n, n from 1 and contiguous within the epoch (JOURNAL §2).
    Seq
}
epoch_number! {
    /// The share-wide growing number behind the NFS change attribute: epoch · counter, never repeats or goes back.
    Change
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_ids_go_there_and_back_and_are_nobody_elses() {
        for snapshot in [1, 7, SnapshotId::MAX.0].map(SnapshotId) {
            for own in [InodeId::ROOT, InodeId(InodeId::SNAPSHOT_LIMIT.0 - 1)] {
                let id = own.in_snapshot(snapshot);
                assert_eq!(id.snapshot(), Some((snapshot, own)));
                assert!(id.is_past() && id < InodeId::LIMIT && id != InodeId::SNAPSHOTS);
            }
        }
        assert_eq!((InodeId::SNAPSHOTS.snapshot(), InodeId::SNAPSHOTS.is_past()), (None, true));
        for live in [InodeId::ROOT, InodeId((1 << 62) - 1), InodeId(u64::MAX)] {
            assert_eq!((live.snapshot(), live.is_past()), (None, false));
        }
    }
}

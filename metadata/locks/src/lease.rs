//! Leases, oplocks and delegations: their bits and the one state machine of their breaks.
//!
//! ```text
//!            begin(to)                    ack(kept ⊆ to)
//!   Held ───────────────▶ Breaking ──────────────────────▶ Held(kept)        kept = none: gone, unless a key lease
//!    ▲                     │  │ begin(again): `wanted` shrinks, no new notice
//!    └── grant, upgrade    │  └── kept ⊄ wanted: the next break starts by itself
//!                          └── deadline: Held(none), or the claim is revoked
//! ```
//! *Invariants:* one epoch step per grant and per notice; `wanted ⊆ to ⊂ from`; a delegation breaks to none only.
//! *Crash:* leases are lost with the process, except those of persistent opens (see `codec`).

use dfs_model::{Monotonic, Timestamp};
use std::time::Duration;

/// Cache rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeaseBits(pub u8);

#[allow(missing_docs)]
impl LeaseBits {
    pub const NONE: LeaseBits = LeaseBits(0);
    /// Read caching.
    pub const R: LeaseBits = LeaseBits(1);
    /// Write caching.
    pub const W: LeaseBits = LeaseBits(2);
    /// Handle caching.
    pub const H: LeaseBits = LeaseBits(4);
    /// Attributes are stable (NFSv4).
    pub const A: LeaseBits = LeaseBits(8);
    pub const RW: LeaseBits = LeaseBits(3);
    pub const RH: LeaseBits = LeaseBits(5);
    pub const RWH: LeaseBits = LeaseBits(7);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: LeaseBits) -> LeaseBits {
        LeaseBits(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn both(self, other: LeaseBits) -> LeaseBits {
        LeaseBits(self.0 & other.0)
    }

    /// This set without the other.
    #[must_use]
    pub const fn without(self, other: LeaseBits) -> LeaseBits {
        LeaseBits(self.0 & !other.0)
    }

    /// Whether all of `other` is in the set.
    #[must_use]
    pub const fn has(self, other: LeaseBits) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is contained in `other`.
    #[must_use]
    pub const fn within(self, other: LeaseBits) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What kind of cache grant it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseKind {
    /// SMB oplock: Level II = R, Exclusive = RW, Batch = RWH; of one open.
    Oplock,
    /// SMB lease without epoch.
    SmbV1,
    /// SMB lease with epoch.
    SmbV2,
    /// NFSv4 delegation: read = R, write = RW; broken to none only.
    Delegation,
}

impl LeaseKind {
    /// The nearest smaller set that this kind can hold: without R there is nothing, an oplock has no H without W, a
    /// delegation has no H and is left with nothing once it loses a bit of `had`.
    #[must_use]
    pub fn normal(self, had: LeaseBits, bits: LeaseBits) -> LeaseBits {
        if !bits.has(LeaseBits::R) {
            return LeaseBits::NONE;
        }
        match self {
            LeaseKind::Oplock if !bits.has(LeaseBits::W) => LeaseBits::R,
            LeaseKind::Delegation if bits != had => LeaseBits::NONE,
            LeaseKind::Delegation | LeaseKind::Oplock | LeaseKind::SmbV1 | LeaseKind::SmbV2 => bits,
        }
    }

    /// Whether the holder must answer a break from these bits. *Spec:* MS-SMB2 §2.2.23.2 (read caching alone needs none).
    #[must_use]
    pub fn needs_ack(self, from: LeaseBits) -> bool {
        self == LeaseKind::Delegation || from.0 & (LeaseBits::W.0 | LeaseBits::H.0) != 0
    }

    /// Whether the record stays, without bits, while opens use its key.
    #[must_use]
    pub fn keyed(self) -> bool {
        matches!(self, LeaseKind::SmbV1 | LeaseKind::SmbV2)
    }
}

/// State of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Held.
    Held {
        /// Cache rights.
        bits: LeaseBits,
        /// Counts grants and notices.
        epoch: u32,
    },
    /// A notice is out.
    Breaking {
        /// Held until the answer.
        from: LeaseBits,
        /// What the notice allows to keep.
        to: LeaseBits,
        /// What later conflicts leave: the next notice follows the answer by itself.
        wanted: LeaseBits,
        /// Counts grants and notices.
        epoch: u32,
        /// When the notice was made.
        since: Monotonic,
        /// When the table takes it away.
        deadline: Monotonic,
    },
}

/// What a conflict did to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: it gives no more than is wanted already.
    Nothing,
    /// A notice goes out and the state is [`LeaseState::Breaking`].
    Noticed,
    /// A notice goes out that needs no answer; the bits are gone.
    Dropped,
    /// A break was running; it has been told of the smaller wish.
    Merged,
}

impl LeaseState {
    /// Cache rights in force: during a break, those from before it.
    #[must_use]
    pub fn bits(&self) -> LeaseBits {
        match self {
            LeaseState::Held { bits, .. } => *bits,
            LeaseState::Breaking { from, .. } => *from,
        }
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        match self {
            LeaseState::Held { epoch, .. } | LeaseState::Breaking { epoch, .. } => *epoch,
        }
    }

    /// When a running break ends.
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        match self {
            LeaseState::Held { .. } => None,
            LeaseState::Breaking { deadline, .. } => Some(*deadline),
        }
    }

    /// Asks that no more than `keep` of the bits be left.
    pub fn begin(&mut self, kind: LeaseKind, keep: LeaseBits, now: Monotonic, patience: Duration) -> Begun {
        match *self {
            LeaseState::Held { bits, epoch } => {
                let to = kind.normal(bits, bits.both(keep));
                if to == bits {
                    return Begun::Nothing;
                }
                let epoch = epoch.wrapping_add(1);
                if !kind.needs_ack(bits) {
                    *self = LeaseState::Held { bits: to, epoch };
                    return Begun::Dropped;
                }
                let deadline = now.plus(patience);
                *self = LeaseState::Breaking { from: bits, to, wanted: to, epoch, since: now, deadline };
                Begun::Noticed
            }
            LeaseState::Breaking { from, to, wanted, epoch, since, deadline } => {
                let smaller = kind.normal(from, wanted.both(keep));
                if smaller == wanted {
                    return Begun::Nothing;
                }
                *self = LeaseState::Breaking { from, to, wanted: smaller, epoch, since, deadline };
                Begun::Merged
            }
        }
    }

    /// Takes the holder's answer and returns what later conflicts still want, when that is less than `kept`.
    /// `None` in the error means that no break is running or more was kept than allowed.
    pub fn acknowledge(&mut self, kept: LeaseBits) -> Option<Option<LeaseBits>> {
        match *self {
            LeaseState::Breaking { to, wanted, epoch, .. } if kept.within(to) => {
                *self = LeaseState::Held { bits: kept, epoch };
                Some((!kept.within(wanted)).then_some(wanted))
            }
            _ => None,
        }
    }
}

/// What the holder of a write delegation says about the file (CB_GETATTR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderAnswer {
    /// The holder's change number.
    pub change: u64,
    /// The holder's size.
    pub size: u64,
    /// Access and modification time, where the holder keeps them.
    pub times: Option<(Timestamp, Timestamp)>,
}

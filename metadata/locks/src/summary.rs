//! The summary word of an inode: what its claims can matter to, and how much stateless I/O is in flight.
//!
//! ```text
//!   63        40 39        16 15      0
//!   ┌───────────┬────────────┬─────────┐
//!   │ writers   │ readers    │ flags   │   readers and writers: stateless I/O that came in without a claim
//!   └───────────┴────────────┴─────────┘   flags: written under the table's mutex only
//! ```
//! *Invariants.* An entrant adds itself and sees the flags in the same instruction; a granter sets [`CLOSED`] and sees the
//! entrants in the same instruction. So either the entrant sees that it must ask the table, or the granter sees the
//! entrant. An entrant that must ask takes itself out again.
//! *Cancel:* dropping the guard takes the entrant out; if somebody waits for that, the table is told.

use crate::table::Shared;
use dfs_model::InodeId;
use std::ops::Deref;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

/// An NFS open.
pub const OPEN_NFS: u64 = 1;
/// An SMB open: I/O must tell its range and owner from now on.
pub const OPEN_SMB: u64 = 1 << 1;
/// An open denies reading.
pub const DENY_READ: u64 = 1 << 2;
/// An open denies writing.
pub const DENY_WRITE: u64 = 1 << 3;
/// An open denies deletion.
pub const DENY_DELETE: u64 = 1 << 4;
/// An SMB lease or oplock with R.
pub const LEASE_R: u64 = 1 << 5;
/// … with W.
pub const LEASE_W: u64 = 1 << 6;
/// … with H.
pub const LEASE_H: u64 = 1 << 7;
/// A read delegation.
pub const DELEG_READ: u64 = 1 << 8;
/// A write delegation.
pub const DELEG_WRITE: u64 = 1 << 9;
/// A lock that binds I/O.
pub const LOCK_PER_OPEN: u64 = 1 << 10;
/// A POSIX lock; no obstacle to NFS I/O.
pub const LOCK_POSIX: u64 = 1 << 11;
/// The fast path is closed: a grant is being decided, or somebody waits for the entrants to leave.
pub const CLOSED: u64 = 1 << 12;
/// All flag bits.
pub const FLAGS: u64 = 0xffff;

const READER: u64 = 1 << 16;
const WRITER: u64 = 1 << 40;
const COUNT: u64 = (1 << 24) - 1;

/// What a stateless entrant does. Never for SMB requests, nor for NFSv4 without an open during grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fast {
    /// Reads bytes.
    Read,
    /// Writes or cuts bytes.
    Write,
    /// Sets attributes other than size, or adds a link to it.
    SetAttr,
    /// Reads attributes.
    GetAttr,
    /// Removes, renames, replaces it (not a directory that is renamed).
    Victim,
    /// Changes entries of this directory.
    Entries,
}

impl Fast {
    /// Flags that send the entrant to the table.
    #[must_use]
    pub const fn obstacles(self) -> u64 {
        let delegations = DELEG_READ | DELEG_WRITE;
        CLOSED
            | match self {
                Fast::Read => OPEN_SMB | DENY_READ | LEASE_W | DELEG_WRITE | LOCK_PER_OPEN,
                Fast::Write => {
                    OPEN_SMB | DENY_WRITE | LEASE_R | LEASE_W | LEASE_H | delegations | LOCK_PER_OPEN
                }
                Fast::SetAttr => delegations,
                Fast::GetAttr => DELEG_WRITE,
                Fast::Victim => DENY_DELETE | LEASE_H | delegations,
                Fast::Entries => LEASE_R | LEASE_H | delegations,
            }
    }

    const fn unit(self) -> u64 {
        match self {
            Fast::Read | Fast::GetAttr => READER,
            Fast::Write | Fast::SetAttr | Fast::Victim | Fast::Entries => WRITER,
        }
    }
}

/// Stateless entrants of an inode at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entrants {
    /// Readers.
    pub readers: u64,
    /// Writers of bytes, attributes and names.
    pub writers: u64,
}

/// The word of one inode. The engine keeps it with the cached inode.
#[derive(Debug)]
pub struct Summary {
    word: AtomicU64,
    inode: InodeId,
    table: Weak<Shared>,
}

impl Summary {
    pub(crate) fn new(inode: InodeId, table: Weak<Shared>, flags: u64) -> Summary {
        Summary { word: AtomicU64::new(flags & FLAGS), inode, table }
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> InodeId {
        self.inode
    }

    /// The flags, for tests and listings.
    #[must_use]
    pub fn flags(&self) -> u64 {
        self.word.load(Ordering::Acquire) & FLAGS
    }

    /// Whether anybody has the inode open.
    #[must_use]
    pub fn has_opens(&self) -> bool {
        self.flags() & (OPEN_NFS | OPEN_SMB) != 0
    }

    /// The entrants now in flight.
    #[must_use]
    pub fn entrants(&self) -> Entrants {
        entrants(self.word.load(Ordering::Acquire))
    }

    /// Lets a stateless request in without asking the table, when nothing held can matter to it: one `fetch_add`, and one
    /// `fetch_sub` when the guard is dropped.
    ///
    /// *Errors:* gives `this` back when the table must be asked (`ClaimTable::admit`). *Cancel:* safe; drop the guard.
    pub fn enter<S: Deref<Target = Summary>>(this: S, fast: Fast) -> Result<FastGuard<S>, S> {
        let before = this.word.fetch_add(fast.unit(), Ordering::AcqRel);
        if before & fast.obstacles() == 0 {
            return Ok(FastGuard { summary: this, unit: fast.unit() });
        }
        this.leave(fast.unit());
        Err(this)
    }

    fn leave(&self, unit: u64) {
        let before = self.word.fetch_sub(unit, Ordering::AcqRel);
        let last = (before / unit) & COUNT == 1;
        if last && before & CLOSED != 0 {
            self.tell();
        }
    }

    #[cold]
    fn tell(&self) {
        if let Some(table) = self.table.upgrade() {
            table.entrants_left(self.inode);
        }
    }

    /// Closes the fast path and returns who is inside. Only under the table's mutex.
    pub(crate) fn close(&self) -> Entrants {
        entrants(self.word.fetch_or(CLOSED, Ordering::AcqRel))
    }

    /// Replaces the flags. Only under the table's mutex.
    pub(crate) fn set_flags(&self, flags: u64) {
        // New obstacles first, so that no entrant passes between the two.
        self.word.fetch_or(flags & FLAGS, Ordering::AcqRel);
        self.word.fetch_and(!(FLAGS & !flags), Ordering::AcqRel);
    }
}

fn entrants(word: u64) -> Entrants {
    Entrants { readers: (word >> 16) & COUNT, writers: (word >> 40) & COUNT }
}

/// A stateless request in flight. Dropping it takes it out.
#[derive(Debug)]
pub struct FastGuard<S: Deref<Target = Summary>> {
    summary: S,
    unit: u64,
}

impl<S: Deref<Target = Summary>> Drop for FastGuard<S> {
    fn drop(&mut self) {
        self.summary.leave(self.unit);
    }
}

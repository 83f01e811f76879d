//! What the table tells protocols without being asked. Values; they borrow nothing and name claims by id.
//!
//! *Invariants:* a lease has at most one unanswered break notice, a lock at most one grant notice, so the queue is bounded
//! by the claims. *Crash:* lost; the deadline of each is in the table, not in the queue.

use crate::claim::ClaimId;
use crate::lease::{LeaseBits, LeaseKind};
use crate::lifecycle::DeleteMark;
use crate::ticket::TicketId;
use dfs_model::{ByteRange, ClientRef, InodeId, LeaseKey, LockOwner, Monotonic, OpenId};

/// One notice and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The client that is told.
    pub client: ClientRef,
    /// The inode it is about.
    pub inode: InodeId,
    /// What happened.
    pub body: NoticeBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeBody {
    /// A lease must shrink, or has shrunk when no answer is needed.
    Break {
        /// The lease.
        lease: ClaimId,
        /// Its kind.
        kind: LeaseKind,
        /// Key of an SMB lease.
        key: Option<LeaseKey>,
        /// Open of an oplock.
        open: Option<OpenId>,
        /// Held so far.
        from: LeaseBits,
        /// May be kept.
        to: LeaseBits,
        /// Epoch after the step.
        epoch: u32,
        /// When it is taken away; `None`: no answer is needed.
        deadline: Option<Monotonic>,
    },
    /// A parked NLM request holds its lock; it must be acknowledged before the deadline.
    LockGranted {
        /// The request.
        ticket: TicketId,
        /// The lock.
        lock: ClaimId,
        /// Its owner.
        owner: Option<LockOwner>,
        /// Its range.
        range: ByteRange,
        /// Exclusive.
        exclusive: bool,
        /// When it is released again.
        deadline: Monotonic,
    },
    /// A lock that was denied may be asked for again; the place is kept until the deadline.
    LockAvailable {
        /// The request.
        ticket: TicketId,
        /// Its owner.
        owner: Option<LockOwner>,
        /// Until when others are kept off.
        deadline: Monotonic,
    },
    /// A claim was taken away.
    Revoked {
        /// The claim.
        claim: ClaimId,
    },
    /// The holder of a write delegation is asked for the file's attributes.
    AskHolder {
        /// The delegation.
        lease: ClaimId,
        /// Number of the question.
        question: u64,
        /// When the delegation is recalled instead.
        deadline: Monotonic,
    },
    /// The table closed an open whose connection was lost; the name is to be removed when a mark says so.
    Closed {
        /// The open.
        open: OpenId,
        /// The name that must go now.
        delete: Option<DeleteMark>,
    },
    /// A courtesy client stands in somebody's way: store that it is lost, then call `lost_recorded`.
    MarkLost,
}

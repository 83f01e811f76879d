//! What is asked of the table, and what it answers.
//!
//! Requests are values: the table keeps a copy in the ticket of one that waits, and tests that copy again.

use crate::claim::{ClaimId, Durability, Flavour, NameRole, StreamId, Uses};
use crate::lease::{HolderAnswer, LeaseBits, LeaseKind};
use crate::table::InFlight;
use crate::ticket::Ticket;
use bytes::Bytes;
use dfs_model::{Actor, ByteRange, FsError, InodeId, LeaseKey, OpenId, Rights};

/// One request for admission.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Request {
    Open(Box<OpenAsk>),
    Lock(LockAsk),
    Lease(LeaseAsk),
    Io(IoAsk),
    Name(NameAsk),
    Attr(AttrAsk),
}

impl Request {
    /// Who asks.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        match self {
            Request::Open(ask) => &ask.actor,
            Request::Lock(ask) => &ask.actor,
            Request::Lease(ask) => &ask.actor,
            Request::Io(ask) => &ask.actor,
            Request::Name(ask) => &ask.actor,
            Request::Attr(ask) => &ask.actor,
        }
    }

    pub(crate) fn actor_mut(&mut self) -> &mut Actor {
        match self {
            Request::Open(ask) => &mut ask.actor,
            Request::Lock(ask) => &mut ask.actor,
            Request::Lease(ask) => &mut ask.actor,
            Request::Io(ask) => &mut ask.actor,
            Request::Name(ask) => &mut ask.actor,
            Request::Attr(ask) => &mut ask.actor,
        }
    }

    /// The inodes it touches.
    #[must_use]
    pub fn inodes(&self) -> Vec<InodeId> {
        match self {
            Request::Open(ask) => vec![ask.inode],
            Request::Lock(ask) => vec![ask.inode],
            Request::Lease(ask) => vec![ask.inode],
            Request::Io(ask) => vec![ask.inode],
            Request::Name(ask) => ask.parts.iter().map(|part| part.inode).collect(),
            Request::Attr(ask) => vec![ask.inode],
        }
    }
}

/// What a request reclaims after a restart (RFC 8881 §18.16, NLM `reclaim`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reclaim {
    #[default]
    None,
    Previous,
    Delegation,
}

/// Opens a stream, or widens an NFSv4 open (`upgrade`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAsk {
    /// Who opens.
    pub actor: Actor,
    /// The file.
    pub inode: InodeId,
    /// The stream.
    pub stream: StreamId,
    /// The directory through which it was found.
    pub parent: Option<InodeId>,
    /// NT access mask.
    pub access: Rights,
    /// Share mode, said as what is forbidden to others.
    pub denies: Uses,
    /// The bytes that the open cuts off: a write on them, from the new size to the old one. Empty when the file is empty.
    pub truncate: Option<ByteRange>,
    /// A lease, oplock or delegation wished with it: kind, bits and key.
    pub lease: Option<LeaseAsk>,
    /// How long the open outlives its connection.
    pub durability: Durability,
    /// Create GUID.
    pub create_guid: Option<[u8; 16]>,
    /// Application instance.
    pub app_instance: Option<[u8; 16]>,
    /// The opener.
    pub principal: Bytes,
    /// The protocol's own bytes.
    pub blob: Bytes,
    /// Marks the file for deletion when this open closes.
    pub delete_on_close: bool,
    /// The open that this one widens.
    pub upgrade: Option<OpenId>,
    /// Answers `CannotBreakLease` instead of waiting for a lease.
    pub no_wait: bool,
    /// Reclaim after a restart.
    pub reclaim: Reclaim,
}

impl OpenAsk {
    /// An open of a file's main stream that denies nothing.
    #[must_use]
    pub fn new(actor: Actor, inode: InodeId, access: Rights) -> OpenAsk {
        OpenAsk {
            actor,
            inode,
            stream: StreamId::MAIN,
            parent: None,
            access,
            denies: Uses::NONE,
            truncate: None,
            lease: None,
            durability: Durability::None,
            create_guid: None,
            app_instance: None,
            principal: Bytes::new(),
            blob: Bytes::new(),
            delete_on_close: false,
            upgrade: None,
            no_wait: false,
            reclaim: Reclaim::None,
        }
    }
}

/// How long a lock request may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// Not at all, not even for a lease to be broken (SMB FAIL_IMMEDIATELY).
    Never,
    /// For leases, not for locks (NFSv4 LOCK, NLM without block).
    Recall,
    /// For locks, in the queue (SMB).
    Park,
    /// In the queue; the grant must be acknowledged (NLM).
    ParkAcked,
    /// Not for locks, but keeps its place for a while and is told (NFSv4 with CB_NOTIFY_LOCK).
    Poll,
}

/// One range of a lock request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LockRange {
    pub range: ByteRange,
    pub exclusive: bool,
}

/// Locks all of the ranges or none. More than one range cannot park.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockAsk {
    /// Who locks; Posix locks need its `lock_owner`, PerOpen locks its `open`.
    pub actor: Actor,
    /// The file.
    pub inode: InodeId,
    /// The stream.
    pub stream: StreamId,
    /// Flavour.
    pub flavour: Flavour,
    /// What to lock.
    pub ranges: Vec<LockRange>,
    /// How long to wait.
    pub wait: LockWait,
    /// Reclaim after a restart.
    pub reclaim: Reclaim,
}

/// A lease wished, by itself or with an open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseAsk {
    /// Who wishes.
    pub actor: Actor,
    /// The file or directory.
    pub inode: InodeId,
    /// The stream.
    pub stream: StreamId,
    /// Kind.
    pub kind: LeaseKind,
    /// Cache rights wished.
    pub bits: LeaseBits,
    /// On a directory.
    pub directory: bool,
    /// Key of an SMB lease.
    pub key: Option<LeaseKey>,
    /// Key of the lease on the parent directory.
    pub parent_key: Option<LeaseKey>,
    /// The client's epoch (SMB lease v2).
    pub epoch: u32,
    /// Wants to be told of changes instead of recalled.
    pub notified: bool,
    /// Reclaim after a restart.
    pub reclaim: Reclaim,
}

impl LeaseAsk {
    /// A wish for a lease on a file's main stream.
    #[must_use]
    pub fn new(actor: Actor, inode: InodeId, kind: LeaseKind, bits: LeaseBits) -> LeaseAsk {
        LeaseAsk {
            actor,
            inode,
            stream: StreamId::MAIN,
            kind,
            bits,
            directory: false,
            key: None,
            parent_key: None,
            epoch: 0,
            notified: false,
            reclaim: Reclaim::None,
        }
    }
}

/// What an I/O does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IoKind {
    /// Reads bytes.
    Read,
    /// Reads bytes whatever is locked or denied (the READ bypass stateid); leases still count.
    ReadBypass,
    /// Writes, truncates, deallocates, copies to: a size change is a write on `[new, old)`.
    Write,
}

/// Reads or writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoAsk {
    /// Who.
    pub actor: Actor,
    /// The file.
    pub inode: InodeId,
    /// The stream.
    pub stream: StreamId,
    /// What.
    pub kind: IoKind,
    /// Where. An empty range takes no claim and breaks nothing.
    pub range: ByteRange,
}

/// Part of a name operation: one inode and what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NamePart {
    pub inode: InodeId,
    pub role: NameRole,
}

/// Removes, renames, replaces, links, marks for deletion: all parts are admitted together or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAsk {
    /// Who.
    pub actor: Actor,
    /// The inodes and what happens to each.
    pub parts: Vec<NamePart>,
}

/// Sets attributes other than size (ACL and extended attributes too), or reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrAsk {
    /// Who.
    pub actor: Actor,
    /// The file.
    pub inode: InodeId,
    /// Sets; else reads, which asks the holder of a write delegation.
    pub set: bool,
    /// Number of the question that this request waits for; the table fills it in.
    pub question: Option<u64>,
}

/// The table's answer.
#[derive(Debug)]
pub enum Admission {
    /// Go on; the grant says what is held.
    Granted(Grant),
    /// Await the ticket, then retry it.
    Wait(Ticket),
    /// No.
    Refused(FsError),
}

/// What is held after admission.
#[derive(Debug)]
pub enum Grant {
    /// An open.
    Open(OpenGrant),
    /// Locks, in the order asked. Posix locks may have been merged: then the merged lock stands for the range.
    Lock(Vec<ClaimId>),
    /// A lease.
    Lease(LeaseGrant),
    /// The I/O, name operation or attribute change is in flight until the guard is dropped.
    InFlight(InFlight),
    /// Attributes may be read; where a holder was asked, what it said.
    Attributes(Option<HolderAnswer>),
}

/// An open granted.
#[derive(Debug)]
pub struct OpenGrant {
    /// Its number.
    pub open: OpenId,
    /// Its claim.
    pub claim: ClaimId,
    /// What became of the lease wished.
    pub lease: Option<LeaseGrant>,
    /// The truncation in flight; drop it when the bytes are gone.
    pub truncating: Option<InFlight>,
}

/// What became of a lease wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseGrant {
    /// The lease; `None` when nothing was granted.
    pub claim: Option<ClaimId>,
    /// Cache rights now held.
    pub bits: LeaseBits,
    /// The epoch.
    pub epoch: u32,
    /// A break of this lease is running.
    pub breaking: bool,
}

/// Who came first, the cancel or the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Nothing is held and nothing will be.
    Cancelled,
    /// The lock is held already.
    AlreadyGranted(Vec<ClaimId>),
    /// No such request waits.
    Unknown,
}

//! Requests and replies about opens, locks, leases and notices (SEAM §1, §2, §8). Typed in full; served by the share once a
//! protocol with state is.

use crate::{ChangeEvent, NameCase};
use bytes::Bytes;
use dfs_model::{
    AttrPatch, Attrs, ByteRange, FsError, InodeId, LeaseKey, LockHolder, LockOwner, Name, OpenId, Rights,
    Target, Wcc,
};
use std::time::Duration;

/// Share mode bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ShareMode {
    pub read: bool,
    pub write: bool,
    pub delete: bool,
}

/// What an open does with an existing or a missing file (MS-SMB2 §2.2.13 CreateDisposition).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Disposition {
    Open,
    Create,
    OpenIf,
    Overwrite,
    OverwriteIf,
    Supersede,
}

/// Kind that an open accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OpenKind {
    File,
    Directory,
    Any,
}

/// How an open that creates guards against an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Exclusive {
    None,
    Guarded,
    Verifier([u8; 8]),
}

/// Flags of an open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct OpenFlags {
    pub delete_on_close: bool,
    pub no_follow: bool,
    pub write_through: bool,
    pub backup_intent: bool,
    pub no_recall: bool,
    pub require_lease: bool,
    pub stat_only: bool,
}

/// Read, write and handle caching bits of a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LeaseBits {
    pub read: bool,
    pub write: bool,
    pub handle: bool,
}

/// Which kind of lease is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LeaseKind {
    Oplock,
    LeaseV1(LeaseKey),
    LeaseV2 { key: LeaseKey, parent: Option<LeaseKey>, epoch: u16 },
    Delegation,
}

/// Asks for a lease along with an open.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct LeaseRequest {
    pub kind: LeaseKind,
    pub bits: LeaseBits,
}

/// How long an open outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Durability {
    None,
    Durable(Duration),
    Persistent(Duration),
}

/// What an open reclaims (RFC 8881 §18.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reclaim {
    None,
    Previous,
    DelegationCurrent,
    DelegationPrevious,
}

/// Asks for an open.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Open {
    pub dir: InodeId,
    /// Relative path, walked in the same call; empty opens `dir` itself.
    pub names: Vec<Name>,
    pub case: NameCase,
    pub access: Rights,
    pub share: ShareMode,
    pub disposition: Disposition,
    pub kind: OpenKind,
    pub exclusive: Exclusive,
    pub attrs: AttrPatch,
    pub allocation: Option<u64>,
    pub stream: Option<Bytes>,
    pub flags: OpenFlags,
    pub lease: Option<LeaseRequest>,
    pub durability: Durability,
    pub reclaim: Reclaim,
    pub create_guid: Option<[u8; 16]>,
    pub app_instance: Option<([u8; 16], u64)>,
    pub upgrade: Option<OpenId>,
    /// Opaque state of the protocol, at most 256 bytes, kept with a persistent open.
    pub blob: Bytes,
}

/// What an open did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OpenAction {
    Opened,
    Created,
    Overwritten,
    Superseded,
}

/// An open.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Opened {
    pub open: OpenId,
    pub inode: InodeId,
    pub action: OpenAction,
    pub granted: Rights,
    pub maximal: Rights,
    pub lease: Option<(u64, LeaseBits)>,
    pub break_in_progress: bool,
    pub dir: Option<Wcc>,
    pub attrs: Attrs,
}

/// Changes access and share mode of an open (v4 upgrade and OPEN_DOWNGRADE).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct OpenChange {
    pub open: OpenId,
    pub access: Rights,
    pub share: ShareMode,
    pub durability: Option<Durability>,
}

/// Ends an open.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Close {
    pub open: OpenId,
    pub flush: bool,
}

/// What `close` did. A failed delete-on-close never fails the close.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct CloseReply {
    pub attrs: Option<Attrs>,
    pub deleted: bool,
}

/// What becomes of opens whose connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OpenLost {
    Keep,
    Close,
}

/// Takes a preserved open back.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Reconnect {
    pub open: OpenId,
    pub create_guid: Option<[u8; 16]>,
    pub lease_key: Option<LeaseKey>,
}

/// Flavour of a byte-range lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LockFlavour {
    Posix,
    PerOpen,
}

/// Whether a lock request may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LockWait {
    None,
    Park,
}

/// Asks for locks, all or nothing.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Lock {
    pub target: Target,
    pub owner: LockOwner,
    pub flavour: LockFlavour,
    pub ranges: Vec<(ByteRange, bool)>,
    pub wait: LockWait,
    pub reclaim: bool,
}

/// Answer to a lock request.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum LockReply {
    Held(u64),
    Parked(u64),
}

/// Asks who is in the way, or gives ranges back.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct LockTest {
    pub target: Target,
    pub owner: LockOwner,
    pub range: ByteRange,
    pub exclusive: bool,
}

/// Gives locks back. A list stops at the first error.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Unlock {
    pub target: Target,
    pub owner: LockOwner,
    pub flavour: LockFlavour,
    pub ranges: Vec<ByteRange>,
}

/// Names a parked request.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum CancelPark {
    Ticket(u64),
    Request { target: Target, owner: LockOwner, range: ByteRange, exclusive: bool },
}

/// Whether the cancel came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cancelled {
    Cancelled,
    AlreadyGranted,
}

/// Answer to a break or return of a lease.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct LeaseAck {
    pub lease: u64,
    pub keep: LeaseBits,
    pub epoch: u16,
}

/// Asks for a lease without an open.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct LeaseGet {
    pub inode: InodeId,
    pub kind: LeaseKind,
    pub bits: LeaseBits,
    pub notify: u32,
}

/// Answer of a lease holder to a question about its cached attributes (CB_GETATTR).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct HolderAnswer {
    pub lease: u64,
    pub change: u64,
    pub size: u64,
}

/// Something that a protocol must tell its client.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Notice {
    Break {
        lease: u64,
        kind: LeaseKind,
        from: LeaseBits,
        to: LeaseBits,
        epoch: u16,
        ack: bool,
    },
    LockGranted {
        ticket: u64,
        holder: LockHolder,
    },
    LockAvailable {
        ticket: u64,
    },
    Revoked {
        lease: u64,
        reason: FsError,
    },
    AskHolder {
        lease: u64,
    },
    Change(ChangeEvent),
    /// Events were lost; look at everything again.
    Rescan,
}

/// Bounded stream of notices for one subscriber.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Notices {
    pub receiver: tokio::sync::mpsc::Receiver<Notice>,
}

//! The one record of the table. A claim's class is only a filling of it (SEAM §2).
//!
//! *Invariants:* an id is never reused; `uses` and `denies` mean the same in every protocol; a revoked claim conflicts
//! with nothing and is kept only so that its owner can be told.

use crate::lease::{HolderAnswer, LeaseBits, LeaseKind, LeaseState};
use bytes::Bytes;
use dfs_model::{Actor, ByteRange, ClientRef, InodeId, LeaseKey, LockOwner, Monotonic, OpenId, Rights};
use std::time::Duration;

/// Number of a claim; never reused within a share's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub u64);

/// Which of a file's streams: the number of the stream's own data inode, or [`StreamId::MAIN`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl StreamId {
    /// The unnamed stream.
    pub const MAIN: StreamId = StreamId(0);
}

/// A set of kinds of use: what a claim does, or what it forbids others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Uses(pub u8);

#[allow(missing_docs)]
impl Uses {
    pub const NONE: Uses = Uses(0);
    pub const READ: Uses = Uses(1);
    pub const WRITE: Uses = Uses(2);
    pub const DELETE: Uses = Uses(4);
    pub const ATTR: Uses = Uses(8);
    /// What share modes are about.
    pub const SHARED: Uses = Uses(7);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Uses) -> Uses {
        Uses(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn both(self, other: Uses) -> Uses {
        Uses(self.0 & other.0)
    }

    /// Whether the sets have something in common.
    #[must_use]
    pub const fn meets(self, other: Uses) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The uses that an access mask stands for: reading and executing read, writing and appending write; rights on
    /// attributes, extended attributes and ACL use nothing. *Spec:* MS-FSA §2.1.5.1.2.
    #[must_use]
    pub const fn of(access: Rights) -> Uses {
        let read = access.0 & (Rights::READ_DATA.0 | Rights::EXECUTE.0) != 0;
        let write = access.0 & (Rights::WRITE_DATA.0 | Rights::APPEND_DATA.0) != 0;
        let delete = access.0 & Rights::DELETE.0 != 0;
        Uses(read as u8 | (write as u8) << 1 | (delete as u8) << 2)
    }
}

/// For whom a claim is no obstacle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Exemption {
    /// Requests through this open (oplocks, SMB locks, opens).
    Open(OpenId),
    /// Requests that carry this lease key (SMB leases).
    Key(LeaseKey),
    /// Requests of this owner (POSIX locks).
    Owner(LockOwner),
    /// Requests of this client (NFSv4 delegations).
    Client(ClientRef),
    /// Nobody (stateless I/O).
    Nobody,
}

impl Exemption {
    /// Whether a request of `actor` is the holder's own.
    #[must_use]
    pub fn covers(&self, actor: &Actor) -> bool {
        match self {
            Exemption::Open(open) => actor.open == Some(*open),
            Exemption::Key(key) => actor.lease_key == Some(*key),
            Exemption::Owner(owner) => actor.lock_owner.as_ref() == Some(owner),
            Exemption::Client(client) => actor.client == *client,
            Exemption::Nobody => false,
        }
    }
}

/// The five classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Class {
    Open,
    Lock,
    Lease,
    Io,
    NameOp,
}

/// How long an open outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Not at all.
    None,
    /// For this long, within the life of the process.
    Durable(Duration),
    /// For this long, across restarts.
    Persistent(Duration),
}

/// Whether an open's connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenLink {
    /// It does.
    Connected,
    /// It does not; the open is closed at this time unless its owner comes back.
    Lost {
        /// When the open is closed.
        until: Monotonic,
    },
}

/// What an open holds beyond uses and denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBody {
    /// Its number.
    pub open: OpenId,
    /// Granted access mask.
    pub access: Rights,
    /// Directory through which it was opened: index of the renames of directories.
    pub parent: Option<InodeId>,
    /// The lease or oplock it has a part in.
    pub lease: Option<ClaimId>,
    /// How long it outlives its connection.
    pub durability: Durability,
    /// Whether its connection lives.
    pub link: OpenLink,
    /// Create GUID of a durable open.
    pub create_guid: Option<[u8; 16]>,
    /// Application instance id.
    pub app_instance: Option<[u8; 16]>,
    /// Principal who opened it; only the same one reconnects.
    pub principal: Bytes,
    /// The protocol's own bytes (position, mode, channel and lock sequences), at most 256.
    pub blob: Bytes,
    /// The file is marked for deletion when this open closes.
    pub delete_on_close: bool,
}

/// The two flavours of byte-range lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flavour {
    /// Per owner; splits, merges, converts; advisory among NFS, binding for SMB I/O.
    Posix,
    /// Per open; exact; binding for I/O.
    PerOpen,
}

/// State of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockState {
    /// Held.
    Held,
    /// Granted to a parked NLM request whose client has not yet said that it knows; released at `deadline`.
    Unacked {
        /// When it is released.
        deadline: Monotonic,
    },
}

/// A byte-range lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockBody {
    /// Range.
    pub range: ByteRange,
    /// Exclusive or shared.
    pub exclusive: bool,
    /// Flavour.
    pub flavour: Flavour,
    /// The open it ends with.
    pub open: Option<OpenId>,
    /// Order in which the locks of the table were taken.
    pub order: u64,
    /// State.
    pub state: LockState,
}

/// A lease, oplock or delegation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseBody {
    /// Kind.
    pub kind: LeaseKind,
    /// On a directory.
    pub directory: bool,
    /// State.
    pub state: LeaseState,
    /// Key of the lease on the parent directory (SMB lease v2).
    pub parent_key: Option<LeaseKey>,
    /// A directory delegation whose holder is told of changes instead of being recalled.
    pub notified: bool,
    /// The holder's last answer to a question for attributes, with the number of the question.
    pub answer: Option<(u64, HolderAnswer)>,
    /// Number of the open question, and when the holder is recalled instead.
    pub asked: Option<(u64, Monotonic)>,
}

/// An I/O in flight. Its `uses` say read, write or attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoBody {
    /// Range; empty for attributes.
    pub range: ByteRange,
}

/// What a name operation does to one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameRole {
    /// Its names change: removed, renamed, replaced, marked for deletion.
    Victim,
    /// It gets another name.
    LinkSource,
    /// Entries of this directory come, go or change their attributes.
    Entries,
    /// This directory is renamed. With `posix`, opens below do not hinder it.
    MovedDirectory {
        /// Rename as POSIX has it.
        posix: bool,
    },
}

/// A name operation in flight, on one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameBody {
    /// What it does to the inode.
    pub role: NameRole,
}

/// The part of a claim that its class decides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ClaimBody {
    Open(OpenBody),
    Lock(LockBody),
    Lease(LeaseBody),
    Io(IoBody),
    Name(NameBody),
}

/// One claim of one actor on one inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its number.
    pub id: ClaimId,
    /// The file.
    pub inode: InodeId,
    /// The stream.
    pub stream: StreamId,
    /// Who holds it.
    pub actor: Actor,
    /// For whom it is no obstacle.
    pub exemption: Exemption,
    /// What it does.
    pub uses: Uses,
    /// What it forbids others.
    pub denies: Uses,
    /// Taken away; kept until its owner frees it.
    pub revoked: bool,
    /// When it was made.
    pub since: Monotonic,
    /// What its class adds.
    pub body: ClaimBody,
}

impl Claim {
    /// Its class.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.body {
            ClaimBody::Open(_) => Class::Open,
            ClaimBody::Lock(_) => Class::Lock,
            ClaimBody::Lease(_) => Class::Lease,
            ClaimBody::Io(_) => Class::Io,
            ClaimBody::Name(_) => Class::NameOp,
        }
    }

    /// Whether an SMB client holds it.
    #[must_use]
    pub fn is_smb(&self) -> bool {
        is_smb(&self.actor)
    }

    /// The open, when it is one.
    #[must_use]
    pub fn open(&self) -> Option<&OpenBody> {
        match &self.body {
            ClaimBody::Open(open) => Some(open),
            _ => None,
        }
    }

    /// The lock, when it is one.
    #[must_use]
    pub fn lock(&self) -> Option<&LockBody> {
        match &self.body {
            ClaimBody::Lock(lock) => Some(lock),
            _ => None,
        }
    }

    /// The lease, when it is one.
    #[must_use]
    pub fn lease(&self) -> Option<&LeaseBody> {
        match &self.body {
            ClaimBody::Lease(lease) => Some(lease),
            _ => None,
        }
    }

    /// Cache rights in force; none unless it is a lease.
    #[must_use]
    pub fn bits(&self) -> LeaseBits {
        self.lease().map_or(LeaseBits::NONE, |lease| lease.state.bits())
    }
}

/// Whether an SMB client acts.
#[must_use]
pub fn is_smb(actor: &Actor) -> bool {
    matches!(actor.client, ClientRef::Smb { .. })
}

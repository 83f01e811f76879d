//! Who acts: clients, the actor of one request, credentials and the activity class (SEAM §2, §5).

use crate::{InodeId, OpenId, Timestamp};
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;

/// The client behind a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientRef {
    /// An NFSv3 host: the caller name of NLM (empty for plain v3) and its address.
    Nfs3Host {
        /// `caller_name` of NLM, or empty.
        name: Bytes,
        /// Address of the host.
        address: IpAddr,
    },
    /// An NFSv4 client record.
    Nfs4 {
        /// Client id.
        id: u64,
        /// Minor version.
        minor: u8,
    },
    /// An SMB session of a client.
    Smb {
        /// ClientGuid of NEGOTIATE.
        client_guid: [u8; 16],
        /// Session id.
        session: u64,
    },
    /// Nobody in particular (a stateless NFSv4 request without session).
    Anonymous,
    /// One of our own jobs.
    Internal(InternalJob),
}

/// Jobs of the gateway itself that touch files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum InternalJob {
    Flush,
    Compaction,
    Prefetch,
    Snapshot,
    Restore,
    Administrator,
}

/// An SMB lease key in its client's scope: client GUID and 16-byte key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey {
    /// ClientGuid of NEGOTIATE.
    pub client_guid: [u8; 16],
    /// LeaseKey of the create context.
    pub key: [u8; 16],
}

/// Owner of a POSIX-flavoured lock within a client: NLM `svid`+`oh`, or an NFSv4 lock owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockOwner {
    /// The client.
    pub client: ClientRef,
    /// Opaque owner bytes, at most 1024.
    pub owner: Bytes,
}

/// Who asks: the client, and what of its state the request names. Decides which claims are its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The client.
    pub client: ClientRef,
    /// The open through which the request comes.
    pub open: Option<OpenId>,
    /// The lease key that the request carries.
    pub lease_key: Option<LeaseKey>,
    /// The lease key of the parent directory that the request carries.
    pub parent_lease_key: Option<LeaseKey>,
    /// The lock owner that the request names.
    pub lock_owner: Option<LockOwner>,
}

impl Actor {
    /// An actor that names no state.
    #[must_use]
    pub fn of(client: ClientRef) -> Actor {
        Actor { client, open: None, lease_key: None, parent_lease_key: None, lock_owner: None }
    }

    /// A plain NFSv3 client.
    #[must_use]
    pub fn nfs3(address: IpAddr) -> Actor {
        Actor::of(ClientRef::Nfs3Host { name: Bytes::new(), address })
    }
}

/// How strongly the principal was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Strength {
    None,
    Guest,
    Sys,
    Ntlm,
    Krb5,
    Krb5i,
    Krb5p,
}

/// Upper bound that the share's permissions put on whatever files allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShareCeiling {
    /// Nothing.
    None,
    /// Reading only.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
    /// Everything, administration of the share included.
    Admin,
}

/// Privileges that override file permissions. `superuser` is the share administrator's: he passes as root does, and what he
/// makes is his own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Privileges {
    pub superuser: bool,
    pub backup: bool,
    pub restore: bool,
    pub take_ownership: bool,
    pub security: bool,
    pub bypass_traverse: bool,
}

/// Who the request speaks for, already squashed, once, at one place (`gateway/auth`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Name for logs and audit.
    pub principal: Arc<str>,
    /// Effective user id.
    pub uid: u32,
    /// Effective primary group id.
    pub gid: u32,
    /// Supplementary groups, sorted, without duplicates.
    pub groups: Arc<[u32]>,
    /// Windows identifiers of user and groups.
    pub sids: Arc<[Bytes]>,
    /// Overriding privileges.
    pub privileges: Privileges,
    /// How the principal was proved.
    pub strength: Strength,
    /// The share's upper bound.
    pub ceiling: ShareCeiling,
    /// Umask, when the protocol passed one.
    pub umask: Option<u16>,
    /// When the identity data was looked up; `auth` owns its time to live.
    pub as_of: Timestamp,
}

impl Credentials {
    /// Credentials of a Unix user as AUTH_SYS gives them. `groups` need not be sorted.
    #[must_use]
    pub fn unix(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
        let mut groups = groups.to_vec();
        groups.sort_unstable();
        groups.dedup();
        Credentials {
            principal: Arc::from(format!("uid:{uid}")),
            uid,
            gid,
            groups: groups.into(),
            sids: Arc::from([]),
            privileges: Privileges::default(),
            strength: Strength::Sys,
            ceiling: ShareCeiling::ReadWrite,
            umask: None,
            as_of: Timestamp::EPOCH,
        }
    }

    /// Whether the caller is the superuser: root itself, or an administrator of the share under his own id.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.uid == 0 || self.privileges.superuser
    }

    /// Whether the caller is in the group.
    #[must_use]
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.binary_search(&gid).is_ok()
    }
}

/// What kind of work a request belongs to; set once at the protocol, passed on unread by the engine to policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum ActivityClass {
    Interactive,
    Backup,
    Antivirus,
    Indexer,
    Replication,
    Admin,
    Internal(InternalJob),
}

/// Activity of one request: class, evidence and what may be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// The class.
    pub class: ActivityClass,
    /// Why it was put into the class.
    pub evidence: &'static str,
    /// The client announced sequential access.
    pub sequential: bool,
    /// Whether what is read may be promoted to a faster tier.
    pub promote: bool,
}

impl Activity {
    /// What an ordinary client request is until something says otherwise.
    pub const INTERACTIVE: Activity =
        Activity { class: ActivityClass::Interactive, evidence: "default", sequential: false, promote: true };
}

/// Key under which the outcome of a name operation is stored, so that a repeat after a crash gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplayKey {
    /// ONC RPC: client address, transaction id, procedure and a checksum over arguments, principal and machine name.
    Rpc {
        /// Address of the client.
        client: IpAddr,
        /// Transaction id.
        xid: u32,
        /// Procedure number, program and version folded in by the protocol.
        procedure: u32,
        /// Checksum over the arguments, the principal and the client machine's name.
        checksum: u64,
    },
    /// NFSv4.1 session slot.
    Slot {
        /// Session id.
        session: [u8; 16],
        /// Slot number.
        slot: u32,
        /// Slot sequence.
        sequence: u32,
        /// Index of the operation in its compound.
        op: u32,
    },
}

/// An inode seen through the handle that named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Stateless: the inode itself.
    Inode(InodeId),
    /// Through an open.
    Open(OpenId),
    /// Through a lease or delegation alone.
    Lease(u64),
}

//! The one codec of records that outlive the process: claims of persistent opens, clients, NLM peers, delete marks.
//!
//! ```text
//!   version u8 = 1 · kind u8 · fields, little-endian, in the order of the struct; options and enums by a tag byte,
//!   byte strings by u32 length; nothing may follow
//! ```
//! Monotonic times mean nothing after a restart: they are written as they are and set anew by `restore`.
//! *Errors:* decoding never panics and never allocates more than the input is long.

mod wire;

use crate::claim::{
    Claim, ClaimBody, ClaimId, Durability, Exemption, Flavour, IoBody, LeaseBody, LockBody, LockState,
    NameBody, NameRole, OpenBody, OpenLink, StreamId, Uses,
};
use crate::clients::{ClientRecord, HostRecord};
use crate::lease::{HolderAnswer, LeaseBits, LeaseKind, LeaseState};
use crate::lifecycle::DeleteMark;
use crate::state::State;
use dfs_model::{
    Actor, ByteRange, ClientRef, FsError, InodeId, InternalJob, LeaseKey, LockOwner, Monotonic, OpenId,
    Rights, Timestamp,
};
use wire::{Field, Input};

/// An open with everything that hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistentOpen {
    /// The open.
    pub open: Claim,
    /// Its lease.
    pub lease: Option<Claim>,
    /// Its locks, in the order they were taken.
    pub locks: Vec<Claim>,
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// It ends early, or a tag is unknown, or bytes follow.
    #[error("a stored claim record is damaged")]
    Damaged,
    /// It was written by a newer version.
    #[error("a stored claim record has version {0}, which is newer than this program")]
    Newer(u8),
    /// It is a record of another kind.
    #[error("a stored claim record is of another kind")]
    WrongKind,
}

const VERSION: u8 = 1;

/// A record that can be stored.
pub trait Record: Sized {
    /// Its kind byte.
    const KIND: u8;

    /// Writes it.
    #[must_use]
    fn encode(&self) -> Vec<u8>;

    /// Reads it. *Errors:* [`CodecError`]; a retry does not help.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError>;
}

macro_rules! record {
    ($name:ident, $kind:literal) => {
        impl Record for $name {
            const KIND: u8 = $kind;

            fn encode(&self) -> Vec<u8> {
                let mut out = vec![VERSION, Self::KIND];
                self.put(&mut out);
                out
            }

            fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
                let mut input = Input(bytes);
                match u8::take(&mut input)? {
                    VERSION => {}
                    newer if newer > VERSION => return Err(CodecError::Newer(newer)),
                    _ => return Err(CodecError::Damaged),
                }
                if u8::take(&mut input)? != Self::KIND {
                    return Err(CodecError::WrongKind);
                }
                let value = Self::take(&mut input)?;
                if input.0.is_empty() { Ok(value) } else { Err(CodecError::Damaged) }
            }
        }
    };
}
record!(Claim, 1);
record!(PersistentOpen, 2);
record!(ClientRecord, 3);
record!(HostRecord, 4);
record!(DeleteMark, 5);

/// Codec of a struct: its fields in order. Naming all of them makes a new field a compile error here.
macro_rules! fields {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let $name { $($field),* } = self;
                $($field.put(out);)*
            }

            fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
                $(let $field = Field::take(input)?;)*
                Ok($name { $($field),* })
            }
        }
    };
}

/// Codec of a newtype.
macro_rules! newtypes {
    ($($name:ident),*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
                Ok($name(Field::take(input)?))
            }
        }
    )*};
}

/// Codec of an enum: a tag byte, then the variant's fields.
macro_rules! variants {
    ($name:ident { $($tag:literal = $variant:ident $({ $($field:ident),* })? $(( $inner:ident ))?),* $(,)? }) => {
        impl Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $($name::$variant $({ $($field),* })? $(($inner))? => {
                        out.push($tag);
                        $($($field.put(out);)*)?
                        $($inner.put(out);)?
                    })*
                }
            }

            fn take(input: &mut Input<'_>) -> Result<Self, CodecError> {
                match u8::take(input)? {
                    $($tag => {
                        $($(let $field = Field::take(input)?;)*)?
                        $(let $inner = Field::take(input)?;)?
                        Ok($name::$variant $({ $($field),* })? $(($inner))?)
                    })*
                    _ => Err(CodecError::Damaged),
                }
            }
        }
    };
}

newtypes!(ClaimId, StreamId, Uses, LeaseBits, InodeId, OpenId, Rights, Monotonic);
fields!(Claim { id, inode, stream, actor, exemption, uses, denies, revoked, since, body });
fields!(PersistentOpen { open, lease, locks });
fields!(ClientRecord { client, owner, verifier, principal, reclaim_complete, lost, lease });
fields!(HostRecord { client, state, monitored });
fields!(DeleteMark { by, directory, blob });
fields!(Actor { client, open, lease_key, parent_lease_key, lock_owner });
fields!(LeaseKey { client_guid, key });
fields!(LockOwner { client, owner });
fields!(OpenBody {
    open,
    access,
    parent,
    lease,
    durability,
    link,
    create_guid,
    app_instance,
    principal,
    blob,
    delete_on_close,
});
fields!(LockBody { range, exclusive, flavour, open, order, state });
fields!(LeaseBody { kind, directory, state, parent_key, notified, answer, asked });
fields!(IoBody { range });
fields!(NameBody { role });
fields!(HolderAnswer { change, size, times });
fields!(Timestamp { secs, nanos });
variants!(ClaimBody { 1 = Open(body), 2 = Lock(body), 3 = Lease(body), 4 = Io(body), 5 = Name(body) });
variants!(Exemption { 1 = Open(open), 2 = Key(key), 3 = Owner(owner), 4 = Client(client), 5 = Nobody });
variants!(ClientRef {
    1 = Nfs3Host { name, address },
    2 = Nfs4 { id, minor },
    3 = Smb { client_guid, session },
    4 = Anonymous,
    5 = Internal(job),
});
variants!(InternalJob { 1 = Flush, 2 = Compaction, 3 = Prefetch, 4 = Snapshot, 5 = Restore, 6 = Administrator });
variants!(ByteRange { 1 = Span { first, last }, 2 = Empty { at } });
variants!(Durability { 1 = None, 2 = Durable(wait), 3 = Persistent(wait) });
variants!(OpenLink { 1 = Connected, 2 = Lost { until } });
variants!(Flavour { 1 = Posix, 2 = PerOpen });
variants!(LockState { 1 = Held, 2 = Unacked { deadline } });
variants!(LeaseKind { 1 = Oplock, 2 = SmbV1, 3 = SmbV2, 4 = Delegation });
variants!(LeaseState { 1 = Held { bits, epoch }, 2 = Breaking { from, to, wanted, epoch, since, deadline } });
variants!(NameRole { 1 = Victim, 2 = LinkSource, 3 = Entries, 4 = MovedDirectory { posix } });

impl State {
    /// An open with its lease and locks.
    pub(crate) fn persistent(&self, open: OpenId) -> Result<PersistentOpen, FsError> {
        let claim = self.by_open.get(&open).and_then(|id| self.claims.get(id)).ok_or(FsError::OpenUnknown)?;
        let lease = claim.open().and_then(|body| body.lease).and_then(|id| self.claims.get(&id)).cloned();
        let locks = self
            .claims_on(claim.inode)
            .filter(|other| other.lock().is_some_and(|lock| lock.open == Some(open)));
        let mut locks: Vec<Claim> = locks.cloned().collect();
        locks.sort_by_key(|claim| claim.lock().map(|lock| lock.order));
        Ok(PersistentOpen { open: claim.clone(), lease, locks })
    }

    /// Puts a stored open back, lost, with its times set anew.
    pub(crate) fn restore(&mut self, record: PersistentOpen) -> Result<(), FsError> {
        let PersistentOpen { mut open, lease, locks } = record;
        let (now, patience) = (self.now, self.settings.break_timeout);
        let ClaimBody::Open(body) = &mut open.body else { return Err(FsError::InvalidArgument) };
        let wait = match body.durability {
            Durability::Durable(wait) | Durability::Persistent(wait) => wait,
            Durability::None => return Err(FsError::InvalidArgument),
        };
        body.link = OpenLink::Lost { until: now.plus(wait) };
        let (inode, number, names) = (open.inode, body.open, body.lease);
        open.since = now;
        let mut claims = vec![open];
        for mut claim in lease.into_iter().chain(locks) {
            claim.since = now;
            match &mut claim.body {
                ClaimBody::Lease(lease) if names == Some(claim.id) => {
                    (lease.asked, lease.answer) = (None, None);
                    if let LeaseState::Breaking { since, deadline, .. } = &mut lease.state {
                        (*since, *deadline) = (now, now.plus(patience));
                    }
                }
                ClaimBody::Lock(lock) if lock.open == Some(number) => {}
                _ => return Err(FsError::InvalidArgument),
            }
            // Opens of one key store its lease once each.
            let shared = claim.lease().is_some() && self.claims.contains_key(&claim.id);
            if claim.inode != inode {
                return Err(FsError::InvalidArgument);
            }
            if !shared {
                claims.push(claim);
            }
        }
        if claims.iter().any(|claim| self.claims.contains_key(&claim.id)) {
            return Err(FsError::InvalidArgument);
        }
        for claim in claims {
            self.skip_numbers(claim.id.0.saturating_add(1));
            self.insert(claim);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

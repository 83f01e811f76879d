//! Builders of synthetic clients and requests, shared by the table's tests.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use dfs_locks::*;
use dfs_model::{
    Actor, ByteRange, ClientRef, FsError, InodeId, LeaseKey, LockOwner, Monotonic, OpenId, Rights,
};
use std::sync::Arc;
use std::time::Duration;

pub const FILE: InodeId = InodeId(2000);
pub const DIR: InodeId = InodeId(3000);
pub const NOW: Monotonic = Monotonic(1_000_000_000_000);

pub const READ: Rights = Rights::READ_DATA;
pub const WRITE: Rights = Rights::WRITE_DATA;

pub fn after(seconds: u64) -> Monotonic {
    NOW.plus(Duration::from_secs(seconds))
}

/// Directories whose id is above their ancestor's lie below it.
struct ByNumber;
impl Ancestry for ByNumber {
    fn is_below(&self, directory: InodeId, ancestor: InodeId) -> bool {
        directory > ancestor
    }
}

pub fn table_with(change: impl FnOnce(&mut Settings)) -> ClaimTable {
    let mut settings = Settings { storm_guard: Duration::ZERO, ..Settings::default() };
    change(&mut settings);
    ClaimTable::new(settings, Arc::new(ByNumber))
}

pub fn table() -> ClaimTable {
    table_with(|_| {})
}

pub fn nfs3(n: u8) -> Actor {
    Actor::nfs3([10, 0, 0, n].into())
}

pub fn smb(n: u8) -> Actor {
    Actor::of(ClientRef::Smb { client_guid: [n; 16], session: u64::from(n) })
}

pub fn v4(n: u8) -> Actor {
    Actor::of(ClientRef::Nfs4 { id: u64::from(n), minor: 1 })
}

pub fn through(mut actor: Actor, open: OpenId) -> Actor {
    actor.open = Some(open);
    actor
}

pub fn key(client: u8, key: u8) -> LeaseKey {
    LeaseKey { client_guid: [client; 16], key: [key; 16] }
}

pub fn with_key(mut actor: Actor, key: LeaseKey) -> Actor {
    actor.lease_key = Some(key);
    actor
}

pub fn owned(mut actor: Actor, owner: &'static [u8]) -> Actor {
    actor.lock_owner = Some(LockOwner { client: actor.client.clone(), owner: Bytes::from_static(owner) });
    actor
}

pub fn span(first: u64, last: u64) -> ByteRange {
    ByteRange::Span { first, last }
}

pub fn open(actor: Actor, access: Rights, denies: Uses) -> Box<OpenAsk> {
    Box::new(OpenAsk { denies, ..OpenAsk::new(actor, FILE, access) })
}

pub fn io(actor: Actor, kind: IoKind, range: ByteRange) -> Request {
    Request::Io(IoAsk { actor, inode: FILE, stream: StreamId::MAIN, kind, range })
}

pub fn lock(actor: Actor, flavour: Flavour, range: ByteRange, exclusive: bool, wait: LockWait) -> LockAsk {
    LockAsk {
        actor,
        inode: FILE,
        stream: StreamId::MAIN,
        flavour,
        ranges: vec![LockRange { range, exclusive }],
        wait,
        reclaim: Reclaim::None,
    }
}

pub fn name(actor: Actor, inode: InodeId, role: NameRole) -> Request {
    Request::Name(NameAsk { actor, parts: vec![NamePart { inode, role }] })
}

pub fn set_attr(actor: Actor) -> Request {
    Request::Attr(AttrAsk { actor, inode: FILE, set: true, question: None })
}

pub fn key_lease(client: u8, number: u8, bits: LeaseBits) -> LeaseAsk {
    let mut ask = LeaseAsk::new(smb(client), FILE, LeaseKind::SmbV2, bits);
    ask.key = Some(key(client, number));
    ask
}

#[track_caller]
pub fn granted(admission: Admission) -> Grant {
    match admission {
        Admission::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

#[track_caller]
pub fn opened(table: &ClaimTable, ask: Box<OpenAsk>) -> OpenGrant {
    match granted(table.admit(Request::Open(ask), NOW)) {
        Grant::Open(open) => open,
        other => panic!("not an open: {other:?}"),
    }
}

#[track_caller]
pub fn waits(admission: Admission) -> Ticket {
    match admission {
        Admission::Wait(ticket) => ticket,
        other => panic!("does not wait: {other:?}"),
    }
}

#[track_caller]
pub fn refused(admission: Admission) -> FsError {
    match admission {
        Admission::Refused(error) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
pub fn leased(table: &ClaimTable, ask: LeaseAsk) -> LeaseGrant {
    match granted(table.admit(Request::Lease(ask), NOW)) {
        Grant::Lease(lease) => lease,
        other => panic!("not a lease: {other:?}"),
    }
}

/// The break notices, as (lease, from, to, needs an answer); other notices are dropped.
pub fn breaks(table: &ClaimTable) -> Vec<(ClaimId, LeaseBits, LeaseBits, bool)> {
    let notices = table.drain_notices().into_iter();
    notices
        .filter_map(|notice| match notice.body {
            NoticeBody::Break { lease, from, to, deadline, .. } => {
                Some((lease, from, to, deadline.is_some()))
            }
            _ => None,
        })
        .collect()
}

/// Whether the ticket says that it should be retried.
pub fn ready(ticket: &mut Ticket) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(ticket).poll(&mut context).is_ready()
}

//! The table's calls beside admission: ends, answers, clients, time, notices, listings, restart.
//!
//! Each is one step under the mutex; who waited for what it released is woken before it returns.

use crate::claim::{Claim, ClaimId, Flavour, StreamId, Uses};
use crate::clients::{ClientRecord, ClientState, HostRecord};
use crate::codec::PersistentOpen;
use crate::lease::{HolderAnswer, LeaseBits};
use crate::lifecycle::{Closed, DeleteMark, Lost, Reconnect};
use crate::notice::Notice;
use crate::request::{CancelOutcome, LockAsk};
use crate::table::ClaimTable;
use crate::ticket::TicketId;
use dfs_model::{
    Actor, ByteRange, ClientRef, FsError, FsResult, InodeId, LockHolder, LockOwner, Monotonic, OpenId, Rights,
};
use std::collections::BTreeSet;
use std::task::{Context, Poll};

impl ClaimTable {
    /// Closes an open; its locks and its part in a lease end with it. The answer says whether a name must be removed now.
    pub fn close(&self, open: OpenId, now: Monotonic) -> FsResult<Closed> {
        self.at(now, |state| state.close(open))
    }

    /// Alters what an open uses and denies. *Errors:* `ShareDenied` when others are in the way; nothing changed then.
    pub fn open_change(&self, open: OpenId, access: Rights, denies: Uses, now: Monotonic) -> FsResult<()> {
        self.at(now, |state| state.open_change(open, access, denies))
    }

    /// Unlocks ranges in order and stops at the first that fails. Posix: what is not held is no error. Never waits.
    pub fn unlock(
        &self,
        actor: &Actor,
        inode: InodeId,
        stream: StreamId,
        flavour: Flavour,
        ranges: &[ByteRange],
        now: Monotonic,
    ) -> FsResult<()> {
        self.at(now, |state| state.unlock(actor, inode, stream, flavour, ranges))
    }

    /// Who would stand in the way of a lock; breaks and queues nothing.
    #[must_use]
    pub fn test_lock(&self, ask: &LockAsk) -> Option<LockHolder> {
        self.shared.run(|state| state.blockers(ask, None).next().map(|blocker| blocker.holder))
    }

    /// Cancels a waiting request by number.
    pub fn cancel(&self, ticket: TicketId) -> CancelOutcome {
        self.shared.run(|state| state.cancel(ticket))
    }

    /// Cancels a waiting lock request by what it asked: file, owner, ranges and modes (NLM_CANCEL).
    pub fn cancel_like(&self, ask: &LockAsk) -> CancelOutcome {
        self.shared.run(|state| state.cancel_like(ask))
    }

    /// The NLM client knows of its lock. *Errors:* `LockNotHeld` when it was released meanwhile.
    pub fn lock_ack(&self, lock: ClaimId, now: Monotonic) -> FsResult<ClaimId> {
        self.at(now, |state| state.acknowledge_lock(lock)).ok_or(FsError::LockNotHeld)
    }

    /// Takes a holder's answer to a break and returns the bits now held. If later conflicts want more, the next notice
    /// is queued. *Errors:* `OpenUnknown`, `Revoked`; `InvalidArgument` when more is kept than allowed or nothing is asked.
    pub fn lease_ack(
        &self,
        lease: ClaimId,
        kept: LeaseBits,
        epoch: Option<u32>,
        now: Monotonic,
    ) -> FsResult<LeaseBits> {
        self.at(now, |state| state.lease_ack(lease, kept, epoch))
    }

    /// The holder gives a lease or delegation up.
    pub fn lease_return(&self, lease: ClaimId, now: Monotonic) -> FsResult<()> {
        self.at(now, |state| state.lease_return(lease))
    }

    /// The holder of a write delegation answers `AskHolder`.
    pub fn holder_answer(&self, lease: ClaimId, answer: HolderAnswer, now: Monotonic) -> FsResult<()> {
        self.at(now, |state| state.holder_answer(lease, answer))
    }

    /// Marks a file for deletion, or takes the mark back. The caller holds the name operation's claim.
    pub fn set_delete(&self, open: OpenId, mark: Option<DeleteMark>, now: Monotonic) -> FsResult<()> {
        self.at(now, |state| state.set_delete(open, mark))
    }

    /// The name of a file whose close returned a mark is gone, or cannot go. New opens are let in again.
    pub fn delete_done(&self, inode: InodeId, now: Monotonic) {
        self.at(now, |state| state.delete_done(inode));
    }

    /// The mark that is set on a file.
    #[must_use]
    pub fn delete_mark(&self, inode: InodeId) -> Option<DeleteMark> {
        self.shared.run(|state| state.nodes.get(&inode).and_then(|node| node.delete.clone()))
    }

    /// A client, or its connection, is gone: durable opens are kept, everything else ends.
    pub fn client_gone(&self, client: &ClientRef, now: Monotonic) -> Vec<Lost> {
        self.at(now, |state| state.client_gone(client))
    }

    /// Gives a lost open back as it was. *Errors:* `NotFound`; `AccessDenied` for another principal.
    pub fn reconnect(&self, ask: &Reconnect, now: Monotonic) -> FsResult<Claim> {
        self.at(now, |state| state.reconnect(ask))
    }

    /// Adds or replaces an NFSv4 client. Its record must be durable before it is granted anything.
    pub fn client_put(&self, record: ClientRecord, now: Monotonic) {
        self.at(now, |state| state.client_put(record));
    }

    /// Extends a client's lease. *Errors:* `Expired` when it is unknown or lost.
    pub fn client_renew(&self, client: &ClientRef, now: Monotonic) -> FsResult<()> {
        self.at(now, |state| state.client_renew(client))
    }

    /// Where a client stands.
    #[must_use]
    pub fn client_state(&self, client: &ClientRef) -> Option<ClientState> {
        self.shared.run(|state| state.clients.get(client).map(|entry| entry.state))
    }

    /// The loss of a client is durable (answer to `MarkLost`): what it held is revoked.
    pub fn lost_recorded(&self, client: &ClientRef, now: Monotonic) -> Vec<ClaimId> {
        self.at(now, |state| state.lost_recorded(client))
    }

    /// Begins grace for the clients on record. Without any there is none.
    pub fn start_grace(&self, clients: BTreeSet<ClientRef>, until: Monotonic, now: Monotonic) {
        self.at(now, |state| state.start_grace(clients, until));
    }

    /// A client reclaims no more.
    pub fn reclaim_complete(&self, client: &ClientRef, now: Monotonic) {
        self.at(now, |state| state.reclaim_complete(client));
    }

    /// Whether grace is on. NFSv4 I/O without state must not use the fast path then.
    #[must_use]
    pub fn in_grace(&self) -> bool {
        self.shared.run(|state| state.grace.is_some())
    }

    /// Remembers an NLM peer.
    pub fn host_put(&self, host: HostRecord) {
        self.shared.run(|state| state.hosts.insert(host.client.clone(), host));
    }

    /// An NLM peer's state number. Tells whether it grew, and so the peer's locks and shares were released.
    pub fn host_notify(&self, client: &ClientRef, number: u32, now: Monotonic) -> bool {
        self.at(now, |state| state.host_notify(client, number))
    }

    /// Handles everything that fell due.
    pub fn tick(&self, now: Monotonic) {
        self.at(now, |state| state.tick(now));
    }

    /// When to call [`ClaimTable::tick`] next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.shared.run(|state| state.next_deadline())
    }

    /// Takes all notices.
    #[must_use]
    pub fn drain_notices(&self) -> Vec<Notice> {
        self.shared.run(|state| state.notices.drain(..).collect())
    }

    /// Takes all notices, or is woken when there are some. One caller at a time.
    pub fn poll_notices(&self, cx: &mut Context<'_>) -> Poll<Vec<Notice>> {
        self.shared.run(|state| {
            if state.notices.is_empty() {
                state.notice_waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(state.notices.drain(..).collect())
        })
    }

    /// A copy of a claim.
    #[must_use]
    pub fn claim(&self, id: ClaimId) -> Option<Claim> {
        self.shared.run(|state| state.claims.get(&id).cloned())
    }

    /// A copy of an open's claim.
    #[must_use]
    pub fn open(&self, open: OpenId) -> Option<Claim> {
        self.shared.run(|state| state.by_open.get(&open).and_then(|id| state.claims.get(id)).cloned())
    }

    /// Copies of the claims of an inode, in the order they were made.
    #[must_use]
    pub fn claims_on(&self, inode: InodeId) -> Vec<Claim> {
        self.shared.run(|state| state.claims_on(inode).cloned().collect())
    }

    /// Copies of the claims of a client, revoked ones too.
    #[must_use]
    pub fn claims_of(&self, client: &ClientRef) -> Vec<Claim> {
        self.shared.run(|state| {
            let ids = state.by_client.get(client).into_iter().flatten();
            ids.filter_map(|id| state.claims.get(id)).cloned().collect()
        })
    }

    /// Copies of at most `limit` claims with ids above `after`: one page of an administrator's list.
    #[must_use]
    pub fn list(&self, after: ClaimId, limit: usize) -> Vec<Claim> {
        let from = ClaimId(after.0.saturating_add(1));
        self.shared
            .run(|state| state.claims.range(from..).take(limit).map(|(_, claim)| claim.clone()).collect())
    }

    /// The locks of an owner, on one inode or on all.
    #[must_use]
    pub fn held(&self, owner: &LockOwner, inode: Option<InodeId>) -> Vec<Claim> {
        self.shared.run(|state| {
            let mine = state.by_client.get(&owner.client).into_iter().flatten();
            let claims = mine.filter_map(|id| state.claims.get(id));
            let locks = claims
                .filter(|claim| claim.lock().is_some() && claim.actor.lock_owner.as_ref() == Some(owner));
            locks.filter(|claim| inode.is_none_or(|inode| inode == claim.inode)).cloned().collect()
        })
    }

    /// Owners for whom an owner's parked requests wait. A server with several shares joins the answers of their tables.
    #[must_use]
    pub fn waits_for(&self, owner: &LockOwner) -> Vec<LockOwner> {
        self.shared.run(|state| state.waits_for(owner))
    }

    /// Removes an open, lock or lease, whoever holds it, or frees revoked state. *Errors:* `OpenUnknown`.
    pub fn forget(&self, claim: ClaimId, now: Monotonic) -> FsResult<Option<Closed>> {
        self.at(now, |state| state.forget(claim))
    }

    /// An open with its lease and locks, to be stored (SMB persistent opens). *Errors:* `OpenUnknown`.
    pub fn persistent(&self, open: OpenId, now: Monotonic) -> FsResult<PersistentOpen> {
        self.at(now, |state| state.persistent(open))
    }

    /// Puts a stored open back, as lost, with its time to return starting now. *Errors:* `InvalidArgument` when the record
    /// does not fit together or is there already.
    pub fn restore(&self, record: PersistentOpen, now: Monotonic) -> FsResult<()> {
        self.at(now, |state| state.restore(record))
    }

    fn at<T>(&self, now: Monotonic, f: impl FnOnce(&mut crate::state::State) -> T) -> T {
        self.shared.run(|state| {
            state.advance(now);
            f(state)
        })
    }
}

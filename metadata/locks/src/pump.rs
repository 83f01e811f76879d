//! Requests that wait: one queue per inode over all classes and flavours, tested in order whenever anything is released.
//!
//! *Invariants:* a lock is granted here, in the queue's order, so that grant and cancel are settled in the table; every
//! other request is only woken and decides anew. A newcomer that meets no held claim need not queue. A place kept for an
//! NFSv4 waiter (`offered`) keeps others off until it is used or runs out.
//! *Cancel:* a cancelled ticket gives back what it was granted.

use crate::claim::{ClaimId, Class, LockState};
use crate::notice::NoticeBody;
use crate::request::{CancelOutcome, LockAsk, LockWait, Request};
use crate::state::{Due, RawGrant, State, Verdict};
use crate::table::Decided;
use crate::ticket::{TicketId, WaitReason};
use dfs_model::{FsError, InodeId, Monotonic};
use std::task::Waker;

/// One waiting request.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub request: Request,
    pub reason: WaitReason,
    /// Something changed since the last test.
    pub ready: bool,
    /// Decided by the table: locks only.
    pub outcome: Option<Result<Vec<ClaimId>, FsError>>,
    pub waker: Option<Waker>,
    /// A place kept without a ticket, and until when.
    pub place: Option<Monotonic>,
    /// The lock is free and the place's owner was told.
    pub offered: bool,
}

impl State {
    /// Marks an inode for [`State::flush`].
    pub fn pump(&mut self, inode: InodeId) {
        if self.nodes.get(&inode).is_some_and(|node| !node.waiting.is_empty()) {
            self.dirty.insert(inode);
        }
    }

    /// Tests the queues of all inodes on which something was released.
    pub fn flush(&mut self) {
        while let Some(inode) = self.dirty.pop_first() {
            let waiting = self.nodes.get(&inode).map(|node| node.waiting.clone()).unwrap_or_default();
            for ticket in waiting {
                self.test_waiter(ticket);
            }
            self.refresh(inode);
        }
    }

    fn test_waiter(&mut self, id: TicketId) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        let Request::Lock(ask) = &waiter.request else {
            waiter.ready = true;
            self.wakers.extend(waiter.waker.take());
            return;
        };
        if waiter.outcome.is_some() {
            return;
        }
        let ask = ask.clone();
        if waiter.place.is_some() {
            self.offer(id, &ask);
            return;
        }
        let outcome = match self.decide(&Request::Lock(ask.clone()), Some(id)) {
            Verdict::Wait(reason) => {
                self.set_reason(id, reason);
                return;
            }
            Verdict::Granted(RawGrant::Lock(locks)) => Ok(locks),
            Verdict::Granted(_) => Err(FsError::Internal),
            Verdict::Refused(error) => Err(error),
        };
        if ask.wait == LockWait::ParkAcked {
            // Its client was told that it waits: only a grant, which is noticed, ends that.
            if outcome.is_ok() {
                self.unqueue(id);
            }
            return;
        }
        if let Some(waiter) = self.waiters.get_mut(&id) {
            waiter.outcome = Some(outcome);
            self.wakers.extend(waiter.waker.take());
        }
    }

    fn set_reason(&mut self, id: TicketId, reason: WaitReason) {
        if let Some(waiter) = self.waiters.get_mut(&id) {
            waiter.reason = reason;
        }
    }

    /// Tells the owner of a kept place that the lock is free, once.
    fn offer(&mut self, id: TicketId, ask: &LockAsk) {
        if self.blockers(ask, Some(id)).next().is_some() {
            return;
        }
        let until = self.now.plus(self.settings.place_timeout);
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        if waiter.offered {
            return;
        }
        waiter.offered = true;
        if let Some(old) = waiter.place.replace(until) {
            self.deadlines.remove(&(old, Due::Waiter(id)));
        }
        self.deadlines.insert((until, Due::Waiter(id)));
        let owner = ask.actor.lock_owner.clone();
        let body = NoticeBody::LockAvailable { ticket: id, owner, deadline: until };
        self.notify(ask.actor.client.clone(), ask.inode, body);
    }

    /// Decides a new request and queues it when it must wait.
    pub fn admit(&mut self, request: Request, now: Monotonic) -> Decided {
        self.advance(now);
        let request = self.carry_key(request);
        if let Request::Lock(ask) = &request
            && let Some(decided) = self.own_request(ask)
        {
            return decided;
        }
        let verdict = self.decide(&request, None);
        self.conclude(request, verdict, None)
    }

    /// Decides a waiting request again.
    pub fn retry(&mut self, id: TicketId, now: Monotonic) -> Decided {
        self.advance(now);
        let Some(waiter) = self.waiters.get_mut(&id) else { return Decided::Refused(FsError::Cancelled) };
        if let Some(outcome) = waiter.outcome.take() {
            self.unqueue(id);
            return match outcome {
                Ok(locks) => Decided::Granted(RawGrant::Lock(locks)),
                Err(error) => Decided::Refused(error),
            };
        }
        waiter.ready = false;
        let request = waiter.request.clone();
        let verdict = self.decide(&request, Some(id));
        self.conclude(request, verdict, Some(id))
    }

    /// Queues, requeues or unqueues after a decision.
    fn conclude(&mut self, request: Request, verdict: Verdict, id: Option<TicketId>) -> Decided {
        let reason = match Decided::of(verdict) {
            Ok(decided) => {
                if let Some(id) = id {
                    self.unqueue(id);
                }
                return decided;
            }
            Err(reason) => reason,
        };
        let stays = matches!(&request, Request::Lock(ask) if ask.wait == LockWait::ParkAcked);
        match id.or_else(|| self.queue(request, reason.clone(), None)) {
            Some(ticket) => {
                self.set_reason(ticket, reason.clone());
                self.note_question(ticket, &reason);
                self.refresh_waiter(ticket);
                Decided::Wait { ticket, reason, stays }
            }
            None => Decided::Refused(FsError::Limit),
        }
    }

    /// Remembers which question a reader of attributes waits for.
    fn note_question(&mut self, id: TicketId, reason: &WaitReason) {
        if let (WaitReason::Question { number, .. }, Some(waiter)) = (reason, self.waiters.get_mut(&id))
            && let Request::Attr(ask) = &mut waiter.request
        {
            ask.question = Some(*number);
        }
    }

    fn refresh_waiter(&mut self, id: TicketId) {
        let inodes = self.waiters.get(&id).map(|waiter| waiter.request.inodes()).unwrap_or_default();
        let mut in_flight = false;
        for inode in inodes {
            self.refresh(inode);
            in_flight |= self.waiters.get(&id).is_some_and(|waiter| waiter.reason == WaitReason::InFlight);
            // The last entrant may have left between the decision and the flag.
            let entrants = self.summary(inode).entrants();
            if in_flight && entrants == crate::summary::Entrants::default() {
                self.pump(inode);
            }
        }
    }

    /// Puts a request into the queues of its inodes. `None`: a queue is full.
    pub fn queue(
        &mut self,
        request: Request,
        reason: WaitReason,
        place: Option<Monotonic>,
    ) -> Option<TicketId> {
        let inodes = request.inodes();
        let full = |inode: &InodeId| {
            self.nodes.get(inode).is_some_and(|node| node.waiting.len() >= self.settings.waiting_max)
        };
        if inodes.iter().any(full) {
            return None;
        }
        let id = TicketId(self.number());
        for inode in inodes {
            let node = self.nodes.entry(inode).or_default();
            if !node.waiting.contains(&id) {
                node.waiting.push(id);
            }
        }
        if let Some(until) = place {
            self.deadlines.insert((until, Due::Waiter(id)));
        }
        let waiter =
            Waiter { request, reason, ready: false, outcome: None, waker: None, place, offered: false };
        self.waiters.insert(id, waiter);
        Some(id)
    }

    /// Takes a request out of its queues.
    pub fn unqueue(&mut self, id: TicketId) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        if let Some(until) = waiter.place {
            self.deadlines.remove(&(until, Due::Waiter(id)));
        }
        for inode in waiter.request.inodes() {
            if let Some(node) = self.nodes.get_mut(&inode) {
                node.waiting.retain(|other| *other != id);
            }
            self.refresh(inode);
            if waiter.offered {
                self.pump(inode);
            }
        }
        Some(waiter)
    }

    /// Whether a ticket should be retried; else its waker is kept.
    pub fn poll_ticket(&mut self, id: TicketId, waker: &Waker) -> bool {
        match self.waiters.get_mut(&id) {
            None => true,
            Some(waiter) if waiter.ready || waiter.outcome.is_some() => true,
            Some(waiter) => {
                waiter.waker = Some(waker.clone());
                false
            }
        }
    }

    /// Ends a waiting request. What it was granted meanwhile is given back.
    pub fn cancel(&mut self, id: TicketId) -> CancelOutcome {
        let Some(waiter) = self.unqueue(id) else { return CancelOutcome::Unknown };
        self.wakers.extend(waiter.waker);
        if let Some(Ok(locks)) = waiter.outcome {
            self.end(&locks);
        }
        CancelOutcome::Cancelled
    }

    /// Removes claims and tests who waited for them.
    pub fn end(&mut self, claims: &[ClaimId]) {
        for id in claims {
            if let Some(claim) = self.remove(*id) {
                self.pump(claim.inode);
            }
        }
    }

    /// Finds the request that this one repeats: an NLM client asks again, an NFSv4 client polls.
    fn own_request(&mut self, ask: &LockAsk) -> Option<Decided> {
        let same = |other: &LockAsk| {
            other.actor.lock_owner == ask.actor.lock_owner
                && other.actor.lock_owner.is_some()
                && (other.inode, other.stream, other.flavour) == (ask.inode, ask.stream, ask.flavour)
                && other.ranges == ask.ranges
        };
        let waiting = self.nodes.get(&ask.inode)?.waiting.clone();
        for id in waiting {
            let Some(Waiter { request: Request::Lock(other), place, reason, .. }) = self.waiters.get(&id)
            else {
                continue;
            };
            if !same(other) {
                continue;
            }
            if place.is_some() {
                let place = *place;
                let mut fresh = ask.clone();
                let verdict = self.decide(&Request::Lock(fresh.clone()), Some(id));
                if matches!(verdict, Verdict::Granted(_)) || ask.wait != LockWait::Poll {
                    self.unqueue(id);
                } else if let Some(until) = place {
                    // Still denied: the place is kept anew.
                    fresh.wait = LockWait::Poll;
                    self.keep_place(id, until);
                }
                return Some(self.conclude(Request::Lock(fresh), verdict, None));
            }
            if other.wait == LockWait::ParkAcked && ask.wait == LockWait::ParkAcked {
                return Some(Decided::Wait { ticket: id, reason: reason.clone(), stays: true });
            }
        }
        let unacked = self.claims_on(ask.inode).find(|claim| {
            claim.lock().is_some_and(|lock| {
                matches!(lock.state, LockState::Unacked { .. })
                    && ask.ranges.iter().any(|r| r.range == lock.range && r.exclusive == lock.exclusive)
            }) && claim.class() == Class::Lock
                && claim.actor.lock_owner == ask.actor.lock_owner
                && claim.stream == ask.stream
        })?;
        let id = unacked.id;
        let held = self.acknowledge_lock(id)?;
        Some(Decided::Granted(RawGrant::Lock(vec![held])))
    }

    fn keep_place(&mut self, id: TicketId, old: Monotonic) {
        let until = self.now.plus(self.settings.place_timeout);
        if let Some(waiter) = self.waiters.get_mut(&id) {
            waiter.place = Some(until);
            waiter.offered = false;
            self.deadlines.remove(&(old, Due::Waiter(id)));
            self.deadlines.insert((until, Due::Waiter(id)));
        }
    }

    /// A request for a lease acts under that lease's key, and one through an open under its open's key, so that what the
    /// key holds already is its own.
    fn carry_key(&self, mut request: Request) -> Request {
        let wished = match &request {
            Request::Open(ask) => ask.lease.as_ref().and_then(|lease| lease.key),
            Request::Lease(ask) => ask.key,
            Request::Lock(_) | Request::Io(_) | Request::Name(_) | Request::Attr(_) => None,
        };
        let actor = request.actor_mut();
        let through = actor.open.and_then(|open| self.claims.get(self.by_open.get(&open)?)?.actor.lease_key);
        actor.lease_key = wished.or(actor.lease_key).or(through);
        request
    }
}

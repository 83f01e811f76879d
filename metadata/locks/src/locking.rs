//! Byte-range locks: the test, the grant, unlock, cancel, and the search for deadlocks.
//!
//! *Invariants:* the Posix locks that one owner holds on one stream do not overlap; PerOpen locks are kept as they were
//! asked. Unlock never waits for others. An NLM lock granted from the queue stays apart (`Unacked`) until its client says
//! that it knows of it, so that its release takes nothing else with it.

use crate::admit::waits_for_leases;
use crate::claim::{Claim, ClaimBody, ClaimId, Exemption, Flavour, LockBody, LockState, StreamId, Uses};
use crate::conflict::locks_collide;
use crate::notice::NoticeBody;
use crate::posix::{Piece, plan};
use crate::request::{CancelOutcome, LockAsk, LockRange, LockWait, Request};
use crate::state::{RawGrant, State, Verdict};
use crate::summary::Entrants;
use crate::table::Binding;
use crate::ticket::{TicketId, WaitReason};
use dfs_model::{Actor, ByteRange, FsError, InodeId, LockHolder, LockOwner};
use std::collections::BTreeSet;

impl State {
    pub fn decide_lock(
        &mut self,
        ask: &LockAsk,
        request: &Request,
        entrants: Entrants,
        me: Option<TicketId>,
    ) -> Verdict {
        if let Err(error) = validate(ask) {
            return Verdict::Refused(error);
        }
        let effects = self.effects(ask.inode, request, None);
        if let Some(reason) = self.courtesy(&effects) {
            return Verdict::Wait(reason);
        }
        let held_up = self.break_all(&effects).or_else(|| {
            let bound = ask.flavour == Flavour::PerOpen && self.settings.binding == Binding::Enforce;
            let entered =
                ask.ranges.iter().any(|r| entrants.writers > 0 || r.exclusive && entrants.readers > 0);
            let busy = effects.iter().any(|(_, effect)| effect.busy) || bound && entered;
            busy.then_some(WaitReason::InFlight)
        });
        match held_up {
            Some(_) if !waits_for_leases(ask.wait) => {
                return Verdict::Refused(FsError::LockDenied { holder: None });
            }
            Some(reason) => return Verdict::Wait(reason),
            None => {}
        }
        let holder = self.blockers(ask, me).next().map(|blocker| blocker.holder);
        match holder {
            None => Verdict::Granted(RawGrant::Lock(self.grant_locks(ask, me))),
            Some(holder) => self.denied_lock(ask, me, holder),
        }
    }

    fn denied_lock(&mut self, ask: &LockAsk, me: Option<TicketId>, holder: LockHolder) -> Verdict {
        let holder = Some(Box::new(holder));
        match ask.wait {
            LockWait::Never | LockWait::Recall => Verdict::Refused(FsError::LockDenied { holder }),
            LockWait::Poll => {
                if me.is_none() {
                    let until = self.now.plus(self.settings.place_timeout);
                    self.queue(Request::Lock(ask.clone()), WaitReason::Lock, Some(until));
                }
                Verdict::Refused(FsError::LockDenied { holder })
            }
            LockWait::Park | LockWait::ParkAcked if self.would_deadlock(ask) => {
                Verdict::Refused(FsError::Deadlock)
            }
            LockWait::Park | LockWait::ParkAcked => Verdict::Wait(WaitReason::Lock),
        }
    }

    /// Who stands in the way of a lock: held locks, then places that were offered to others.
    pub fn blockers<'a>(
        &'a self,
        ask: &'a LockAsk,
        me: Option<TicketId>,
    ) -> impl Iterator<Item = Blocker> + 'a {
        let held = self.claims_on(ask.inode).filter(|claim| !claim.revoked).filter_map(move |claim| {
            let lock = claim.lock()?;
            let collides = ask.ranges.iter().any(|wanted| locks_collide(ask, wanted, claim, lock));
            collides.then(|| Blocker {
                owner: claim.actor.lock_owner.clone(),
                holder: LockHolder {
                    owner: claim.actor.lock_owner.clone(),
                    range: lock.range,
                    exclusive: lock.exclusive,
                },
            })
        });
        let waiting = self.nodes.get(&ask.inode).map(|node| node.waiting.as_slice()).unwrap_or_default();
        let offered = waiting.iter().filter(move |id| Some(**id) != me).filter_map(move |id| {
            let waiter = self.waiters.get(id).filter(|waiter| waiter.offered)?;
            let Request::Lock(other) = &waiter.request else { return None };
            let owner = other.actor.lock_owner.clone();
            let range = collision(ask, other)?;
            Some(Blocker {
                owner: owner.clone(),
                holder: LockHolder { owner, range: range.range, exclusive: range.exclusive },
            })
        });
        held.chain(offered)
    }

    /// Whether an owner for whom the request would wait, waits, directly or not, for the requester.
    fn would_deadlock(&self, ask: &LockAsk) -> bool {
        let (Flavour::Posix, Some(me)) = (ask.flavour, &ask.actor.lock_owner) else { return false };
        let mut seen: BTreeSet<LockOwner> = BTreeSet::new();
        let mut todo: Vec<LockOwner> = self.blockers(ask, None).filter_map(|blocker| blocker.owner).collect();
        while let Some(owner) = todo.pop() {
            if owner == *me {
                return true;
            }
            if !seen.insert(owner.clone()) {
                continue;
            }
            todo.extend(self.waits_for(&owner));
        }
        false
    }

    /// Owners for whose locks an owner's parked requests wait. The engine joins the answers of several tables.
    pub fn waits_for(&self, owner: &LockOwner) -> Vec<LockOwner> {
        let parked =
            self.waiters.values().filter(|waiter| waiter.place.is_none() && waiter.outcome.is_none());
        let asks = parked.filter_map(|waiter| match &waiter.request {
            Request::Lock(ask) if ask.actor.lock_owner.as_ref() == Some(owner) => Some(ask),
            _ => None,
        });
        asks.flat_map(|ask| self.blockers(ask, None).filter_map(|blocker| blocker.owner)).collect()
    }

    fn grant_locks(&mut self, ask: &LockAsk, me: Option<TicketId>) -> Vec<ClaimId> {
        let acked = me.is_none() || ask.wait != LockWait::ParkAcked;
        ask.ranges
            .iter()
            .map(|wanted| {
                match (ask.flavour, wanted.range) {
                    (Flavour::Posix, ByteRange::Span { first, last }) if acked => {
                        self.set_posix(&ask.actor, ask.inode, ask.stream, first, last, Some(wanted.exclusive))
                    }
                    _ => None,
                }
                .unwrap_or_else(|| {
                    let id = self.put_lock(&ask.actor, ask.inode, ask.stream, ask.flavour, *wanted);
                    if !acked {
                        self.await_ack(id, me);
                    }
                    id
                })
            })
            .collect()
    }

    fn await_ack(&mut self, id: ClaimId, ticket: Option<TicketId>) {
        let deadline = self.now.plus(self.settings.unacked_timeout);
        self.update(id, |claim| {
            if let ClaimBody::Lock(lock) = &mut claim.body {
                lock.state = LockState::Unacked { deadline };
            }
        });
        let Some(claim) = self.claims.get(&id) else { return };
        if let (Some(lock), Some(ticket)) = (claim.lock(), ticket) {
            let owner = claim.actor.lock_owner.clone();
            let (range, exclusive) = (lock.range, lock.exclusive);
            let body = NoticeBody::LockGranted { ticket, lock: id, owner, range, exclusive, deadline };
            let (client, inode) = (claim.actor.client.clone(), claim.inode);
            self.notify(client, inode, body);
        }
    }

    /// The client knows of its lock: it joins the owner's others. `None`: it is not waiting for that.
    pub fn acknowledge_lock(&mut self, id: ClaimId) -> Option<ClaimId> {
        let claim = self.claims.get(&id)?;
        let lock = claim.lock().filter(|lock| matches!(lock.state, LockState::Unacked { .. }))?.clone();
        let (actor, inode, stream) = (claim.actor.clone(), claim.inode, claim.stream);
        let ByteRange::Span { first, last } = lock.range else { return None };
        self.remove(id);
        self.pump(inode);
        self.set_posix(&actor, inode, stream, first, last, Some(lock.exclusive))
    }

    fn put_lock(
        &mut self,
        actor: &Actor,
        inode: InodeId,
        stream: StreamId,
        flavour: Flavour,
        wanted: LockRange,
    ) -> ClaimId {
        let id = ClaimId(self.number());
        let exemption = match (flavour, actor.open, &actor.lock_owner) {
            (Flavour::PerOpen, Some(open), _) => Exemption::Open(open),
            (Flavour::Posix, _, Some(owner)) => Exemption::Owner(owner.clone()),
            _ => Exemption::Nobody,
        };
        let body = LockBody {
            range: wanted.range,
            exclusive: wanted.exclusive,
            flavour,
            open: actor.open,
            order: id.0,
            state: LockState::Held,
        };
        self.insert(Claim {
            id,
            inode,
            stream,
            actor: actor.clone(),
            exemption,
            uses: Uses::NONE,
            denies: Uses::NONE,
            revoked: false,
            since: self.now,
            body: ClaimBody::Lock(body),
        });
        id
    }

    /// Sets or clears a span of the owner's locks and returns the lock that stands for it.
    fn set_posix(
        &mut self,
        actor: &Actor,
        inode: InodeId,
        stream: StreamId,
        first: u64,
        last: u64,
        mode: Option<bool>,
    ) -> Option<ClaimId> {
        let mine = |claim: &&Claim| {
            !claim.revoked && claim.stream == stream && claim.actor.lock_owner == actor.lock_owner
        };
        let pieces: Vec<Piece> = self
            .claims_on(inode)
            .filter(mine)
            .filter_map(|claim| {
                let lock = claim.lock().filter(|lock| lock.flavour == Flavour::Posix)?;
                let counts = mode.is_none() || lock.state == LockState::Held;
                match lock.range {
                    ByteRange::Span { first, last } if counts => {
                        Some(Piece { claim: claim.id, first, last, exclusive: lock.exclusive })
                    }
                    _ => None,
                }
            })
            .collect();
        let plan = plan(&pieces, first, last, mode);
        for id in &plan.remove {
            self.remove(*id);
        }
        for (first, last, exclusive) in plan.rest {
            let wanted = LockRange { range: ByteRange::Span { first, last }, exclusive };
            self.put_lock(actor, inode, stream, Flavour::Posix, wanted);
        }
        if !plan.remove.is_empty() {
            self.pump(inode);
        }
        let (first, last, exclusive) = plan.lock?;
        let wanted = LockRange { range: ByteRange::Span { first, last }, exclusive };
        Some(self.put_lock(actor, inode, stream, Flavour::Posix, wanted))
    }

    /// Unlocks ranges one after the other and stops at the first that fails.
    pub fn unlock(
        &mut self,
        actor: &Actor,
        inode: InodeId,
        stream: StreamId,
        flavour: Flavour,
        ranges: &[ByteRange],
    ) -> Result<(), FsError> {
        for range in ranges {
            match (flavour, *range) {
                (Flavour::Posix, ByteRange::Span { first, last }) => {
                    if actor.lock_owner.is_none() {
                        return Err(FsError::InvalidArgument);
                    }
                    self.set_posix(actor, inode, stream, first, last, None);
                }
                (Flavour::Posix, ByteRange::Empty { .. }) => return Err(FsError::LockRange),
                (Flavour::PerOpen, range) => {
                    let id = self.exact_lock(actor, inode, stream, range).ok_or(FsError::LockNotHeld)?;
                    self.end(&[id]);
                }
            }
        }
        Ok(())
    }

    /// The open's lock on exactly that range, an exclusive one first. *Spec:* MS-FSA §2.1.5.9.
    fn exact_lock(
        &self,
        actor: &Actor,
        inode: InodeId,
        stream: StreamId,
        range: ByteRange,
    ) -> Option<ClaimId> {
        let open = actor.open?;
        let mine = self.claims_on(inode).filter(|claim| claim.stream == stream && !claim.revoked);
        let exact = mine.filter_map(|claim| {
            let lock = claim.lock()?;
            let same = lock.flavour == Flavour::PerOpen && lock.open == Some(open) && lock.range == range;
            same.then_some((!lock.exclusive, lock.order, claim.id))
        });
        exact.min().map(|(_, _, id)| id)
    }

    /// Cancels by what was asked: owner, ranges and modes must be the same.
    pub fn cancel_like(&mut self, ask: &LockAsk) -> CancelOutcome {
        let like = |other: &LockAsk| {
            (other.inode, other.stream, other.flavour) == (ask.inode, ask.stream, ask.flavour)
                && other.actor.lock_owner == ask.actor.lock_owner
                && other.actor.open == ask.actor.open
                && other.ranges == ask.ranges
        };
        let found = self.waiters.iter().find_map(|(id, waiter)| match &waiter.request {
            Request::Lock(other) if like(other) => Some((*id, waiter.outcome.clone())),
            _ => None,
        });
        match found {
            Some((_, Some(Ok(locks)))) => return CancelOutcome::AlreadyGranted(locks),
            Some((id, _)) => return self.cancel(id),
            None => {}
        }
        let held: Vec<ClaimId> = self
            .claims_on(ask.inode)
            .filter(|claim| claim.stream == ask.stream && claim.actor.lock_owner == ask.actor.lock_owner)
            .filter(|claim| {
                claim.lock().is_some_and(|lock| {
                    matches!(lock.state, LockState::Unacked { .. })
                        && ask.ranges.iter().any(|r| r.range == lock.range && r.exclusive == lock.exclusive)
                })
            })
            .map(|claim| claim.id)
            .collect();
        if held.is_empty() { CancelOutcome::Unknown } else { CancelOutcome::AlreadyGranted(held) }
    }
}

/// What stands in the way of a lock.
#[derive(Debug)]
pub(crate) struct Blocker {
    pub owner: Option<LockOwner>,
    pub holder: LockHolder,
}

/// The range of an offered request that collides with what is asked, unless both are one owner's.
fn collision(ask: &LockAsk, other: &LockAsk) -> Option<LockRange> {
    let same_owner = ask.flavour == Flavour::Posix && ask.actor.lock_owner == other.actor.lock_owner;
    if same_owner || ask.stream != other.stream {
        return None;
    }
    let hits = |range: &&LockRange| {
        ask.ranges.iter().any(|r| (r.exclusive || range.exclusive) && r.range.overlaps(&range.range))
    };
    other.ranges.iter().find(hits).copied()
}

fn validate(ask: &LockAsk) -> Result<(), FsError> {
    let parks = matches!(ask.wait, LockWait::Park | LockWait::ParkAcked | LockWait::Poll);
    let bound = match ask.flavour {
        Flavour::Posix => ask.actor.lock_owner.is_some(),
        Flavour::PerOpen => {
            ask.actor.open.is_some() && !matches!(ask.wait, LockWait::ParkAcked | LockWait::Poll)
        }
    };
    if ask.ranges.is_empty() || !bound || parks && ask.ranges.len() > 1 {
        return Err(FsError::InvalidArgument);
    }
    if ask.flavour == Flavour::Posix && ask.ranges.iter().any(|r| r.range.is_empty()) {
        return Err(FsError::LockRange);
    }
    // A later range of the list may lie over an earlier one only if it is shared.
    let clash = |(at, later): (usize, &LockRange)| {
        later.exclusive && ask.ranges.iter().take(at).any(|earlier| earlier.range.overlaps(&later.range))
    };
    if ask.flavour == Flavour::PerOpen && ask.ranges.iter().enumerate().any(clash) {
        return Err(FsError::LockDenied { holder: None });
    }
    Ok(())
}

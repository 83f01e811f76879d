//! Admission: the order of the tests inside one request (SEAM §2 "Order").
//!
//! ```text
//!   names known? grace? ─▶ deny test ─▶ leases ─▶ in flight ─▶ ranges ─▶ grant
//!                            │ break H    │ break    │ wait      │ refuse or park
//!                            └─ wait ─────┴─ wait ───┘           └─ any wait: everything is tested again
//! ```
//! *Invariants:* nothing is granted in part; a request that is refused by a deny mode which cannot give way breaks no
//! lease. *Crash and cancel:* breaks that were begun go on, as the matrix allows at any time.

use crate::claim::{
    Claim, ClaimBody, ClaimId, Exemption, IoBody, OpenBody, OpenLink, StreamId, Uses, is_smb,
};
use crate::clients::ClientState;
use crate::conflict::{Effect, Shrink, judge, open_denies};
use crate::lease::{LeaseBits, LeaseKind};
use crate::notice::NoticeBody;
use crate::request::{AttrAsk, IoAsk, IoKind, LeaseAsk, LockWait, OpenAsk, OpenGrant, Request};
use crate::state::{RawGrant, State, Verdict};
use crate::summary::Entrants;
use crate::table::Binding;
use crate::ticket::{TicketId, WaitReason};
use dfs_model::{Actor, ByteRange, FsError, InodeId, OpenId};

/// Claims of one inode that mean something for a request.
pub(crate) type Effects = Vec<(ClaimId, Effect)>;

impl State {
    /// Decides a request as of now; `me` is its ticket when it has waited before.
    pub fn decide(&mut self, request: &Request, me: Option<TicketId>) -> Verdict {
        if let Err(error) = self.precheck(request) {
            return Verdict::Refused(error);
        }
        if self.grace_holds_back(request) {
            return Verdict::Wait(WaitReason::Grace);
        }
        let inodes = request.inodes();
        let counts: Vec<Entrants> = match request {
            Request::Open(_) | Request::Lock(_) | Request::Lease(_) => {
                inodes.iter().map(|inode| self.close_fast(*inode)).collect()
            }
            Request::Io(_) | Request::Name(_) | Request::Attr(_) => Vec::new(),
        };
        let entrants = counts.first().copied().unwrap_or_default();
        let verdict = match request {
            Request::Open(ask) => self.decide_open(ask, request, entrants),
            Request::Io(ask) => self.decide_io(ask, request),
            Request::Lock(ask) => self.decide_lock(ask, request, entrants, me),
            Request::Lease(ask) => self.decide_lease(ask, entrants),
            Request::Name(ask) => self.decide_name(ask, request),
            Request::Attr(ask) => self.decide_attr(ask, request),
        };
        if !counts.is_empty() {
            inodes.iter().for_each(|inode| self.refresh(*inode));
        }
        verdict
    }

    /// Tests what needs no claims of others.
    fn precheck(&self, request: &Request) -> Result<(), FsError> {
        if let (Some(open), false) = (request.actor().open, matches!(request, Request::Open(_))) {
            self.open_alive(open)?;
        }
        let (reclaim, client) = match request {
            Request::Open(ask) => (ask.reclaim, &ask.actor.client),
            Request::Lock(ask) => (ask.reclaim, &ask.actor.client),
            Request::Lease(ask) => (ask.reclaim, &ask.actor.client),
            Request::Io(_) | Request::Name(_) | Request::Attr(_) => return Ok(()),
        };
        self.reclaim_allowed(reclaim, client)?;
        match request {
            Request::Open(ask) => {
                self.room(client, 3)?;
                if let Some(open) = ask.upgrade {
                    self.open_alive(open)?;
                } else if self.nodes.get(&ask.inode).is_some_and(|node| node.delete.is_some()) {
                    return Err(FsError::DeletePending);
                }
                if ask.blob.len() > 256 {
                    return Err(FsError::InvalidArgument);
                }
                Ok(())
            }
            Request::Lock(ask) => self.room(client, ask.ranges.len() * 3),
            _ => self.room(client, 1),
        }
    }

    fn open_alive(&self, open: OpenId) -> Result<(), FsError> {
        let claim = self.by_open.get(&open).and_then(|id| self.claims.get(id)).ok_or(FsError::OpenUnknown)?;
        if claim.revoked { Err(FsError::Revoked) } else { Ok(()) }
    }

    /// What the claims of an inode mean for a request; those that mean nothing are left out.
    pub fn effects(&self, inode: InodeId, request: &Request, role: Option<crate::NameRole>) -> Effects {
        let binding = self.settings.binding;
        self.claims_on(inode)
            .map(|held| (held.id, judge(request, role, held, binding)))
            .filter(|(_, effect)| *effect != Effect::default())
            .collect()
    }

    /// A holder that is a courtesy client must be recorded as lost before anybody is granted what it stands in the way of.
    pub fn courtesy(&mut self, effects: &Effects) -> Option<WaitReason> {
        let mut wait = None;
        for (id, effect) in effects {
            let Some(claim) = self.claims.get(id) else { continue };
            let (client, inode) = (claim.actor.client.clone(), claim.inode);
            let stands = effect.denied || effect.handle || effect.cache.is_some() || effect.locked;
            let Some(entry) = self.clients.get_mut(&client) else { continue };
            if stands && entry.state != ClientState::Active {
                if entry.state == ClientState::Courtesy {
                    entry.state = ClientState::Losing;
                    self.notify(client.clone(), inode, NoticeBody::MarkLost);
                }
                wait = Some(WaitReason::Client(client));
            }
        }
        wait
    }

    /// Breaks the handle caching behind denying opens. `Ok` when nothing denies any more; else a wait or a refusal.
    pub fn deny_test(&mut self, effects: &Effects, actor: &Actor, refusal: FsError) -> Result<(), Verdict> {
        let mut denied = false;
        let mut wait: Option<WaitReason> = None;
        for (id, _) in effects.iter().filter(|(_, effect)| effect.denied) {
            denied = true;
            let lease = self.claims.get(id).and_then(Claim::open).and_then(|open| open.lease);
            let Some(lease) = lease.and_then(|lease| self.claims.get(&lease)) else { continue };
            if !lease.bits().has(LeaseBits::H) || lease.exemption.covers(actor) {
                continue;
            }
            let keep = LeaseBits(!LeaseBits::H.0);
            if let Some(reason) = self.shrink(lease.id, Shrink { keep, wait: true }) {
                wait = Some(reason);
            }
        }
        match (denied, wait) {
            (false, _) => Ok(()),
            (true, Some(reason)) => Err(Verdict::Wait(reason)),
            (true, None) => {
                // A break may have closed a lost open: look again at those that are still there.
                let still = effects.iter().any(|(id, effect)| effect.denied && self.claims.contains_key(id));
                if still { Err(Verdict::Refused(refusal)) } else { Ok(()) }
            }
        }
    }

    /// Begins the breaks that a request needs and tells whether it must wait for one.
    pub fn break_all(&mut self, effects: &Effects) -> Option<WaitReason> {
        let mut wait = None;
        for (id, effect) in effects {
            if let Some(shrink) = effect.cache
                && let Some(reason) = self.shrink(*id, shrink)
            {
                wait = Some(reason);
            }
        }
        wait
    }

    fn decide_open(&mut self, ask: &OpenAsk, request: &Request, entrants: Entrants) -> Verdict {
        let effects = self.effects(ask.inode, request, None);
        if let Some(reason) = self.courtesy(&effects) {
            return Verdict::Wait(reason);
        }
        if let Err(verdict) = self.deny_test(&effects, &ask.actor, FsError::ShareDenied) {
            return no_wait(ask, verdict);
        }
        if let Some(reason) = self.break_all(&effects) {
            return no_wait(ask, Verdict::Wait(reason));
        }
        let denies = open_denies(ask);
        let bound = self.settings.binding == Binding::Enforce || !is_smb(&ask.actor);
        let entered = denies.meets(Uses::READ) && entrants.readers > 0
            || denies.meets(Uses::WRITE.with(Uses::DELETE)) && entrants.writers > 0;
        if effects.iter().any(|(_, effect)| effect.busy) || bound && entered {
            return Verdict::Wait(WaitReason::InFlight);
        }
        if effects.iter().any(|(_, effect)| effect.locked) {
            return Verdict::Refused(FsError::RangeLocked);
        }
        match self.key_taken_elsewhere(ask.lease.as_ref(), ask.inode, ask.stream) {
            true => Verdict::Refused(FsError::InvalidArgument),
            false => Verdict::Granted(self.grant_open(ask, entrants)),
        }
    }

    fn grant_open(&mut self, ask: &OpenAsk, entrants: Entrants) -> RawGrant {
        let (open, claim) = match ask.upgrade.and_then(|open| Some((open, *self.by_open.get(&open)?))) {
            Some((open, claim)) => {
                self.widen_open(claim, ask);
                (open, claim)
            }
            None => self.new_open(ask),
        };
        let mut actor = ask.actor.clone();
        actor.open = Some(open);
        let lease = ask.lease.as_ref().map(|wish| {
            let wish =
                LeaseAsk { actor: actor.clone(), inode: ask.inode, stream: ask.stream, ..wish.clone() };
            let granted = self.grant_lease(&wish, entrants);
            if wish.kind != LeaseKind::Delegation {
                self.update(claim, |claim| {
                    if let ClaimBody::Open(body) = &mut claim.body {
                        body.lease = granted.claim;
                    }
                });
            }
            granted
        });
        let truncating = ask.truncate.filter(|range| !range.is_empty()).map(|range| {
            let io = IoAsk { actor, inode: ask.inode, stream: ask.stream, kind: IoKind::Write, range };
            self.put_io(&io)
        });
        RawGrant::Open { grant: OpenGrant { open, claim, lease, truncating: None }, truncating }
    }

    fn new_open(&mut self, ask: &OpenAsk) -> (OpenId, ClaimId) {
        let id = ClaimId(self.number());
        let open = OpenId(id.0);
        let mut actor = ask.actor.clone();
        actor.open = Some(open);
        let body = OpenBody {
            open,
            access: ask.access,
            parent: ask.parent,
            lease: None,
            durability: ask.durability,
            link: OpenLink::Connected,
            create_guid: ask.create_guid,
            app_instance: ask.app_instance,
            principal: ask.principal.clone(),
            blob: ask.blob.clone(),
            delete_on_close: ask.delete_on_close,
        };
        self.insert(Claim {
            id,
            inode: ask.inode,
            stream: ask.stream,
            actor,
            exemption: Exemption::Open(open),
            uses: Uses::of(ask.access),
            denies: open_denies(ask),
            revoked: false,
            since: self.now,
            body: ClaimBody::Open(body),
        });
        (open, id)
    }

    fn widen_open(&mut self, claim: ClaimId, ask: &OpenAsk) {
        self.update(claim, |claim| {
            claim.uses = claim.uses.with(Uses::of(ask.access));
            claim.denies = claim.denies.with(open_denies(ask));
            if let ClaimBody::Open(body) = &mut claim.body {
                body.access = body.access.and(ask.access);
            }
        });
    }

    fn decide_io(&mut self, ask: &IoAsk, request: &Request) -> Verdict {
        if ask.range.is_empty() {
            return Verdict::Granted(RawGrant::InFlight(Vec::new()));
        }
        let effects = self.effects(ask.inode, request, None);
        if let Some(reason) = self.courtesy(&effects) {
            return Verdict::Wait(reason);
        }
        if effects.iter().any(|(_, effect)| effect.denied) {
            return Verdict::Refused(FsError::IoDenied);
        }
        if let Some(reason) = self.break_all(&effects) {
            return Verdict::Wait(reason);
        }
        if effects.iter().any(|(_, effect)| effect.locked) {
            return Verdict::Refused(FsError::RangeLocked);
        }
        Verdict::Granted(RawGrant::InFlight(vec![self.put_io(ask)]))
    }

    fn put_io(&mut self, ask: &IoAsk) -> ClaimId {
        let uses = if ask.kind == IoKind::Write { Uses::WRITE } else { Uses::READ };
        self.put(&ask.actor, ask.inode, ask.stream, uses, ClaimBody::Io(IoBody { range: ask.range }))
    }

    /// Adds a claim that is in flight.
    pub fn put(
        &mut self,
        actor: &Actor,
        inode: InodeId,
        stream: StreamId,
        uses: Uses,
        body: ClaimBody,
    ) -> ClaimId {
        let id = ClaimId(self.number());
        self.insert(Claim {
            id,
            inode,
            stream,
            actor: actor.clone(),
            exemption: Exemption::Nobody,
            uses,
            denies: Uses::NONE,
            revoked: false,
            since: self.now,
            body,
        });
        id
    }

    fn decide_attr(&mut self, ask: &AttrAsk, request: &Request) -> Verdict {
        let effects = self.effects(ask.inode, request, None);
        if let Some(reason) = self.courtesy(&effects) {
            return Verdict::Wait(reason);
        }
        if let Some(reason) = self.break_all(&effects) {
            return Verdict::Wait(reason);
        }
        if ask.set {
            let range = ByteRange::Empty { at: 0 };
            let body = ClaimBody::Io(IoBody { range });
            let id = self.put(&ask.actor, ask.inode, StreamId::MAIN, Uses::ATTR, body);
            return Verdict::Granted(RawGrant::InFlight(vec![id]));
        }
        match effects.iter().find(|(_, effect)| effect.question).map(|(id, _)| *id) {
            None => Verdict::Granted(RawGrant::Attributes(None)),
            Some(holder) => self.ask_holder(holder, ask.question),
        }
    }

    /// Serves the holder's answer when there is one to this request's question, else asks, or waits for a break that runs.
    fn ask_holder(&mut self, holder: ClaimId, mine: Option<u64>) -> Verdict {
        let Some(lease) = self.claims.get(&holder).and_then(Claim::lease) else {
            return Verdict::Granted(RawGrant::Attributes(None));
        };
        if let (Some(mine), Some((number, answer))) = (mine, lease.answer)
            && number >= mine
        {
            return Verdict::Granted(RawGrant::Attributes(Some(answer)));
        }
        if let Some(deadline) = lease.state.deadline() {
            return Verdict::Wait(WaitReason::Break { deadline });
        }
        if let Some((number, deadline)) = lease.asked {
            return Verdict::Wait(WaitReason::Question { number, deadline });
        }
        let question = self.number();
        let deadline = self.now.plus(self.settings.ask_timeout);
        self.update(holder, |claim| {
            if let ClaimBody::Lease(lease) = &mut claim.body {
                lease.asked = Some((question, deadline));
            }
        });
        if let Some(claim) = self.claims.get(&holder) {
            let (client, inode) = (claim.actor.client.clone(), claim.inode);
            self.notify(client, inode, NoticeBody::AskHolder { lease: holder, question, deadline });
        }
        Verdict::Wait(WaitReason::Question { number: question, deadline })
    }
}

/// Answers instead of waiting, when the open asks for that.
fn no_wait(ask: &OpenAsk, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Wait(WaitReason::Break { .. }) if ask.no_wait => Verdict::Refused(FsError::CannotBreakLease),
        other => other,
    }
}

/// Whether a lock request that meets a lease to be broken may wait for it.
pub(crate) fn waits_for_leases(wait: LockWait) -> bool {
    wait != LockWait::Never
}

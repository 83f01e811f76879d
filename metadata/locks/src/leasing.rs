//! Leases in the table: the begin of a break, and the grant.
//!
//! *Invariants:* a break notice is queued in the step that begins the break; a lease is granted only as far as `grant`
//! allows; a lease of the same key is widened, never made smaller. *Crash and cancel:* a break that was begun goes on.

use crate::claim::{Claim, ClaimBody, ClaimId, Exemption, LeaseBody, StreamId, Uses};
use crate::conflict::Shrink;
use crate::grant::{Scene, allowed};
use crate::lease::{Begun, LeaseBits, LeaseKind, LeaseState};
use crate::notice::NoticeBody;
use crate::request::{LeaseAsk, LeaseGrant, Reclaim};
use crate::state::{RawGrant, State, Verdict};
use crate::summary::Entrants;
use crate::ticket::WaitReason;
use dfs_model::{ClientRef, FsError, InodeId};

impl State {
    /// Begins a break, unless it is running, and tells whether the request waits for it.
    pub fn shrink(&mut self, id: ClaimId, shrink: Shrink) -> Option<WaitReason> {
        self.begin_break(id, shrink.keep);
        let lease = self.claims.get(&id)?.lease()?;
        let bits = lease.state.bits();
        let goal = lease.kind.normal(bits, bits.both(shrink.keep));
        let deadline = lease.state.deadline()?;
        (shrink.wait && !bits.within(goal)).then_some(WaitReason::Break { deadline })
    }

    /// Asks a holder to keep no more than `keep`.
    pub fn begin_break(&mut self, id: ClaimId, keep: LeaseBits) {
        let (now, settings) = (self.now, self.settings);
        let Some(claim) = self.claims.get(&id) else { return };
        let Some(lease) = claim.lease() else { return };
        let (kind, before) = (lease.kind, lease.state);
        let patience =
            if kind == LeaseKind::Delegation { settings.recall_timeout } else { settings.break_timeout };
        let mut after = before;
        let begun = after.begin(kind, keep, now, patience);
        if begun == Begun::Noticed && self.close_if_lost(id) {
            return;
        }
        if begun == Begun::Nothing {
            return;
        }
        self.update(id, |claim| {
            if let ClaimBody::Lease(lease) = &mut claim.body {
                lease.state = after;
            }
        });
        if begun != Begun::Merged {
            self.announce(id, before.bits());
        }
        if begun == Begun::Dropped {
            self.settle(id);
        }
    }

    /// Sends the notice of a break that just began and keeps the bits from being granted again at once.
    fn announce(&mut self, id: ClaimId, from: LeaseBits) {
        let Some(claim) = self.claims.get(&id) else { return };
        let Some(lease) = claim.lease() else { return };
        let (to, deadline) = match lease.state {
            LeaseState::Held { bits, .. } => (bits, None),
            LeaseState::Breaking { to, deadline, .. } => (to, Some(deadline)),
        };
        let key = match &claim.exemption {
            Exemption::Key(key) => Some(*key),
            _ => None,
        };
        let open = match &claim.exemption {
            Exemption::Open(open) => Some(*open),
            _ => None,
        };
        let epoch = lease.state.epoch();
        let kind = lease.kind;
        let body = NoticeBody::Break { lease: id, kind, key, open, from, to, epoch, deadline };
        let (client, inode) = (claim.actor.client.clone(), claim.inode);
        self.guard(inode, from.without(to));
        crate::metrics::break_begun(kind, deadline.is_some());
        self.notify(client, inode, body);
    }

    pub fn decide_lease(&mut self, ask: &LeaseAsk, entrants: Entrants) -> Verdict {
        if self.key_taken_elsewhere(Some(ask), ask.inode, ask.stream) {
            return Verdict::Refused(FsError::InvalidArgument);
        }
        Verdict::Granted(RawGrant::Lease(self.grant_lease(ask, entrants)))
    }

    /// Grants as much of a lease as others leave; a lease of the same key is widened, never made smaller.
    pub fn grant_lease(&mut self, ask: &LeaseAsk, entrants: Entrants) -> LeaseGrant {
        const NOTHING: LeaseGrant =
            LeaseGrant { claim: None, bits: LeaseBits::NONE, epoch: 0, breaking: false };
        let Some(exemption) = exemption_of(ask) else { return NOTHING };
        let node = self.nodes.get(&ask.inode);
        let guarded =
            node.and_then(|node| node.guard).filter(|(_, until)| *until > self.now).map(|(bits, _)| bits);
        let deleting = node.is_some_and(|node| node.delete.is_some());
        let mine = self.claims_on(ask.inode).find(|claim| {
            claim.lease().is_some_and(|lease| lease.kind.keyed() == ask.kind.keyed())
                && claim.exemption == exemption
                && claim.stream == ask.stream
                && !claim.revoked
        });
        let mine = mine.map(|claim| claim.id);
        let guarded =
            if ask.reclaim == Reclaim::None { guarded.unwrap_or_default() } else { LeaseBits::NONE };
        let scene = Scene { entrants, guarded, deleting };
        let bits = allowed(ask, &exemption, self.claims_on(ask.inode), &scene);
        match mine {
            Some(id) => self.widen_lease(id, bits),
            None if bits.is_empty() => NOTHING,
            None => self.new_lease(ask, exemption, bits),
        }
    }

    fn new_lease(&mut self, ask: &LeaseAsk, exemption: Exemption, bits: LeaseBits) -> LeaseGrant {
        let id = ClaimId(self.number());
        let epoch = ask.epoch.wrapping_add(1);
        let body = LeaseBody {
            kind: ask.kind,
            directory: ask.directory,
            state: LeaseState::Held { bits, epoch },
            parent_key: ask.parent_key,
            notified: ask.notified,
            answer: None,
            asked: None,
        };
        self.insert(Claim {
            id,
            inode: ask.inode,
            stream: ask.stream,
            actor: ask.actor.clone(),
            exemption,
            uses: Uses::NONE,
            denies: Uses::NONE,
            revoked: false,
            since: self.now,
            body: ClaimBody::Lease(body),
        });
        LeaseGrant { claim: Some(id), bits, epoch, breaking: false }
    }

    fn widen_lease(&mut self, id: ClaimId, bits: LeaseBits) -> LeaseGrant {
        let state = self.update(id, |claim| {
            let ClaimBody::Lease(lease) = &mut claim.body else { return None };
            if let LeaseState::Held { bits: held, epoch } = lease.state
                && held.within(bits)
                && held != bits
            {
                lease.state = LeaseState::Held { bits, epoch: epoch.wrapping_add(1) };
            }
            Some(lease.state)
        });
        match state.flatten() {
            Some(state) => LeaseGrant {
                claim: Some(id),
                bits: state.bits(),
                epoch: state.epoch(),
                breaking: state.deadline().is_some(),
            },
            None => LeaseGrant { claim: None, bits: LeaseBits::NONE, epoch: 0, breaking: false },
        }
    }
    /// A lease key names one file of its client. *Spec:* MS-SMB2 §3.3.5.9.8.
    pub fn key_taken_elsewhere(&self, ask: Option<&LeaseAsk>, inode: InodeId, stream: StreamId) -> bool {
        let claim = ask
            .and_then(|ask| ask.key)
            .and_then(|key| self.by_key.get(&key))
            .and_then(|id| self.claims.get(id));
        claim.is_some_and(|claim| claim.inode != inode || claim.stream != stream)
    }
}

/// For whom the lease wished will be no obstacle. `None`: the wish names nothing it could be bound to.
fn exemption_of(ask: &LeaseAsk) -> Option<Exemption> {
    match ask.kind {
        LeaseKind::Oplock => ask.actor.open.map(Exemption::Open),
        LeaseKind::SmbV1 | LeaseKind::SmbV2 => ask.key.map(Exemption::Key),
        LeaseKind::Delegation => match ask.actor.client {
            ClientRef::Nfs4 { .. } => Some(Exemption::Client(ask.actor.client.clone())),
            _ => None,
        },
    }
}

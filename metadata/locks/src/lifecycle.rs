//! The life of opens and leases after their grant: change, close, loss of the connection and return, delete marks,
//! answers to breaks, and what an administrator does.
//!
//! ```text
//!   Connected ── client_gone, durable ──▶ Lost{until} ── reconnect ──▶ Connected
//!       │                                    │ deadline, or a conflict that its lease must answer
//!       └── close ──────────▶ gone ◀─────────┘
//! ```
//! *Invariants:* an open's id, locks and lease outlive its connection; whoever closes the last SMB open of a marked file
//! gets the mark, exactly once, decided in the step that drops the open.

use crate::claim::{Claim, ClaimBody, ClaimId, Class, Durability, OpenLink, Uses};
use crate::lease::{HolderAnswer, LeaseBits, LeaseKind, LeaseState};
use crate::notice::NoticeBody;
use crate::state::{Due, State};
use bytes::Bytes;
use dfs_model::{ClientRef, FsError, InodeId, LeaseKey, OpenId, Rights};

/// A file is to lose a name when its last SMB open goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteMark {
    /// The open that set the mark.
    pub by: OpenId,
    /// Directory of the name.
    pub directory: Option<InodeId>,
    /// The name and the marker's credentials, as the engine stores them.
    pub blob: Bytes,
}

/// What closing an open meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The claim as it was.
    pub claim: Claim,
    /// The name must go now; call `delete_done` afterwards.
    pub delete: Option<DeleteMark>,
}

/// What the loss of a client meant for one of its opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It waits for its owner.
    Kept(OpenId),
    /// It is closed.
    Closed(Box<Closed>),
}

/// How an owner names the open that it wants back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The open, when the client knows its id.
    pub open: Option<OpenId>,
    /// The create GUID; must be the open's when given.
    pub create_guid: Option<[u8; 16]>,
    /// The lease key; must be the open's when the open has one.
    pub lease_key: Option<LeaseKey>,
    /// The principal; must be the opener.
    pub principal: Bytes,
    /// The client as it is called now.
    pub client: ClientRef,
}

impl State {
    /// Keeps bits that were just broken from being granted again for a while.
    pub fn guard(&mut self, inode: InodeId, bits: LeaseBits) {
        let until = self.now.plus(self.settings.storm_guard);
        if bits.is_empty() || until == self.now {
            return;
        }
        let now = self.now;
        let node = self.nodes.entry(inode).or_default();
        let old = node.guard.replace((bits, until));
        if let Some((more, at)) = old {
            if at > now {
                node.guard = Some((bits.with(more), until));
            }
            self.deadlines.remove(&(at, Due::Guard(inode)));
        }
        self.deadlines.insert((until, Due::Guard(inode)));
    }

    fn opens_of_lease(&self, lease: &Claim) -> Vec<ClaimId> {
        let opens = self.claims_on(lease.inode).filter(|claim| !claim.revoked);
        opens
            .filter(|claim| claim.open().is_some_and(|open| open.lease == Some(lease.id)))
            .map(|claim| claim.id)
            .collect()
    }

    /// A break of a lease whose opens are all lost, and not persistent, is answered by closing them. Tells whether it did.
    pub fn close_if_lost(&mut self, lease: ClaimId) -> bool {
        let Some(claim) = self.claims.get(&lease) else { return false };
        let opens = self.opens_of_lease(claim);
        let lost = |id: &ClaimId| {
            self.claims.get(id).and_then(Claim::open).is_some_and(|open| {
                open.link != OpenLink::Connected && !matches!(open.durability, Durability::Persistent(_))
            })
        };
        if opens.is_empty() || !opens.iter().all(lost) {
            return false;
        }
        for id in opens {
            self.close_unasked(id);
        }
        true
    }

    /// Closes an open that nobody asked to close, and tells so.
    pub fn close_unasked(&mut self, id: ClaimId) {
        let Some(open) = self.claims.get(&id).and_then(Claim::open).map(|open| open.open) else { return };
        if let Ok(closed) = self.close(open) {
            let (client, inode) = (closed.claim.actor.client.clone(), closed.claim.inode);
            self.notify(client, inode, NoticeBody::Closed { open, delete: closed.delete });
        }
    }

    /// After a lease changed: a lease without bits goes, unless opens still use its key; who waited is tested.
    pub fn settle(&mut self, id: ClaimId) {
        let Some(claim) = self.claims.get(&id) else { return };
        let Some(lease) = claim.lease() else { return };
        let inode = claim.inode;
        let used = lease.kind.keyed() && !self.opens_of_lease(claim).is_empty();
        if lease.state.bits().is_empty() && !used && !claim.revoked {
            self.remove(id);
            let users: Vec<ClaimId> = self.on(inode);
            for open in users {
                let named =
                    self.claims.get(&open).and_then(Claim::open).is_some_and(|open| open.lease == Some(id));
                if named {
                    self.update(open, |claim| {
                        if let ClaimBody::Open(body) = &mut claim.body {
                            body.lease = None;
                        }
                    });
                }
            }
        }
        self.pump(inode);
    }

    /// Closes an open: its locks and its part in a lease end with it.
    pub fn close(&mut self, open: OpenId) -> Result<Closed, FsError> {
        let id = *self.by_open.get(&open).ok_or(FsError::OpenUnknown)?;
        let inode = self.claims.get(&id).ok_or(FsError::OpenUnknown)?.inode;
        let locks: Vec<ClaimId> = self
            .claims_on(inode)
            .filter(|claim| claim.lock().is_some_and(|lock| lock.open == Some(open)))
            .map(|claim| claim.id)
            .collect();
        self.end(&locks);
        let claim = self.remove(id).ok_or(FsError::OpenUnknown)?;
        let body = claim.open().ok_or(FsError::Internal)?;
        if body.delete_on_close {
            let directory = body.parent;
            let node = self.nodes.entry(inode).or_default();
            node.delete.get_or_insert(DeleteMark { by: open, directory, blob: body.blob.clone() });
        }
        if let Some(lease) = body.lease
            && let Some(held) = self.claims.get(&lease)
            && self.opens_of_lease(held).is_empty()
        {
            self.remove(lease);
        }
        let last = claim.is_smb()
            && !self.claims_on(inode).any(|other| other.class() == Class::Open && other.is_smb());
        let delete = self.nodes.get(&inode).and_then(|node| node.delete.clone()).filter(|_| last);
        self.refresh(inode);
        self.pump(inode);
        Ok(Closed { claim, delete })
    }

    /// Alters what an open uses and denies (NFSv4 downgrade, or upgrade).
    pub fn open_change(&mut self, open: OpenId, access: Rights, denies: Uses) -> Result<(), FsError> {
        let id = *self.by_open.get(&open).ok_or(FsError::OpenUnknown)?;
        let claim = self.claims.get(&id).ok_or(FsError::OpenUnknown)?;
        if claim.revoked {
            return Err(FsError::Revoked);
        }
        let (inode, uses) = (claim.inode, Uses::of(access));
        if !uses.meets(Uses::SHARED) {
            return Err(FsError::InvalidArgument);
        }
        let denies = denies.both(Uses::SHARED);
        let others = self
            .claims_on(inode)
            .filter(|other| other.id != id && other.class() == Class::Open && !other.revoked);
        let stream = claim.stream;
        let collides = others
            .into_iter()
            .any(|other| crate::conflict::opens_collide(uses, denies, other.stream == stream, other));
        if collides {
            return Err(FsError::ShareDenied);
        }
        self.update(id, |claim| {
            (claim.uses, claim.denies) = (uses, denies);
            if let ClaimBody::Open(body) = &mut claim.body {
                body.access = access;
            }
        });
        self.pump(inode);
        Ok(())
    }

    /// A client's connection, or the client, is gone: durable opens wait for it, everything else of it ends.
    pub fn client_gone(&mut self, client: &ClientRef) -> Vec<Lost> {
        let tickets: Vec<_> = self
            .waiters
            .iter()
            .filter(|(_, waiter)| waiter.request.actor().client == *client)
            .map(|(id, _)| *id)
            .collect();
        for id in tickets {
            self.cancel(id);
        }
        let mine: Vec<ClaimId> = self.by_client.get(client).into_iter().flatten().copied().collect();
        let mut lost = Vec::new();
        for id in &mine {
            let Some(open) = self.claims.get(id).and_then(Claim::open) else { continue };
            let (number, wait) = match (open.durability, open.link) {
                (_, OpenLink::Lost { .. }) => continue,
                (Durability::None, _) => (open.open, None),
                (Durability::Durable(wait) | Durability::Persistent(wait), _) => (open.open, Some(wait)),
            };
            match wait {
                Some(wait) => {
                    let until = self.now.plus(wait);
                    self.set_link(*id, OpenLink::Lost { until });
                    self.answer_for_lost(*id);
                    lost.push(Lost::Kept(number));
                }
                None => lost.extend(self.close(number).ok().map(|closed| Lost::Closed(Box::new(closed)))),
            }
        }
        // What does not hang on an open that was kept.
        for id in mine {
            let Some(claim) = self.claims.get(&id) else { continue };
            let kept = match &claim.body {
                ClaimBody::Open(_) => true,
                ClaimBody::Lock(lock) => lock.open.is_some_and(|open| self.by_open.contains_key(&open)),
                ClaimBody::Lease(_) => !self.opens_of_lease(claim).is_empty(),
                // Their guards end them.
                ClaimBody::Io(_) | ClaimBody::Name(_) => true,
            };
            if !kept {
                self.end(&[id]);
            }
        }
        lost
    }

    /// A break that was running when the connection went is answered by closing, unless the open is persistent.
    fn answer_for_lost(&mut self, open: ClaimId) {
        let lease = self.claims.get(&open).and_then(Claim::open).and_then(|open| open.lease);
        let Some(lease) = lease.and_then(|id| self.claims.get(&id)) else { return };
        if lease.lease().is_some_and(|lease| lease.state.deadline().is_some()) {
            self.close_if_lost(lease.id);
        }
    }

    fn set_link(&mut self, id: ClaimId, link: OpenLink) {
        self.update(id, |claim| {
            if let ClaimBody::Open(open) = &mut claim.body {
                open.link = link;
            }
        });
    }

    /// Gives a lost open back to its owner, as it was.
    pub fn reconnect(&mut self, ask: &Reconnect) -> Result<Claim, FsError> {
        let found = self.claims.values().find(|claim| {
            claim.open().is_some_and(|open| {
                let by_id = ask.open.is_none_or(|id| id == open.open);
                let by_guid = ask.create_guid.is_none_or(|guid| open.create_guid == Some(guid));
                open.link != OpenLink::Connected
                    && by_id
                    && by_guid
                    && (ask.open.is_some() || ask.create_guid.is_some())
            })
        });
        let claim = found.ok_or(FsError::NotFound)?;
        let open = claim.open().ok_or(FsError::Internal)?;
        let lease = open.lease;
        let key = claim.actor.lease_key;
        if key.is_some() && key != ask.lease_key {
            return Err(FsError::NotFound);
        }
        if open.principal != ask.principal {
            return Err(FsError::AccessDenied);
        }
        let (id, number, inode) = (claim.id, open.open, claim.inode);
        let locks = self.claims_on(inode).filter(|c| c.lock().is_some_and(|lock| lock.open == Some(number)));
        let all: Vec<ClaimId> = locks.map(|claim| claim.id).chain(lease).chain([id]).collect();
        for id in all {
            let client = ask.client.clone();
            self.update(id, |claim| claim.actor.client = client);
        }
        self.set_link(id, OpenLink::Connected);
        self.claims.get(&id).cloned().ok_or(FsError::Internal)
    }

    /// Takes a holder's answer to a break. What later conflicts still want goes out as the next notice.
    pub fn lease_ack(
        &mut self,
        id: ClaimId,
        kept: LeaseBits,
        epoch: Option<u32>,
    ) -> Result<LeaseBits, FsError> {
        let claim = self.claims.get(&id).ok_or(FsError::OpenUnknown)?;
        if claim.revoked {
            return Err(FsError::Revoked);
        }
        let lease = claim.lease().ok_or(FsError::OpenUnknown)?;
        if epoch.is_some_and(|epoch| epoch != lease.state.epoch()) {
            return Err(FsError::InvalidArgument);
        }
        let mut state = lease.state;
        let kept = lease.kind.normal(kept, kept);
        let more = state.acknowledge(kept).ok_or(FsError::InvalidArgument)?;
        self.set_state(id, state);
        self.settle(id);
        if let Some(wanted) = more {
            self.begin_break(id, wanted);
        }
        Ok(kept)
    }

    /// The holder gives the lease up.
    pub fn lease_return(&mut self, id: ClaimId) -> Result<(), FsError> {
        let claim =
            self.claims.get(&id).filter(|claim| claim.class() == Class::Lease).ok_or(FsError::OpenUnknown)?;
        if claim.revoked {
            return Err(FsError::Revoked);
        }
        let epoch = claim.lease().map_or(0, |lease| lease.state.epoch());
        self.set_state(id, LeaseState::Held { bits: LeaseBits::NONE, epoch });
        self.settle(id);
        Ok(())
    }

    pub fn set_state(&mut self, id: ClaimId, state: LeaseState) {
        self.update(id, |claim| {
            if let ClaimBody::Lease(lease) = &mut claim.body {
                lease.state = state;
            }
        });
    }

    /// Takes away a lease whose holder did not answer.
    pub fn revoke_lease(&mut self, id: ClaimId) {
        let Some(claim) = self.claims.get(&id) else { return };
        let Some(lease) = claim.lease() else { return };
        let (client, inode, delegation) =
            (claim.actor.client.clone(), claim.inode, lease.kind == LeaseKind::Delegation);
        let epoch = lease.state.epoch().wrapping_add(1);
        self.set_state(id, LeaseState::Held { bits: LeaseBits::NONE, epoch });
        if delegation {
            self.update(id, |claim| claim.revoked = true);
        }
        crate::metrics::revoked();
        self.notify(client, inode, NoticeBody::Revoked { claim: id });
        self.settle(id);
    }

    /// The holder of a write delegation answers a question.
    pub fn holder_answer(&mut self, id: ClaimId, answer: HolderAnswer) -> Result<(), FsError> {
        let inode = self.claims.get(&id).ok_or(FsError::OpenUnknown)?.inode;
        let taken = self.update(id, |claim| {
            let ClaimBody::Lease(lease) = &mut claim.body else { return false };
            let Some((number, _)) = lease.asked.take() else { return false };
            lease.answer = Some((number, answer));
            true
        });
        self.pump(inode);
        if taken == Some(true) { Ok(()) } else { Err(FsError::InvalidArgument) }
    }

    /// Marks or unmarks a file for deletion. The caller holds the name operation's claim.
    pub fn set_delete(&mut self, open: OpenId, mark: Option<DeleteMark>) -> Result<(), FsError> {
        let id = self.by_open.get(&open).ok_or(FsError::OpenUnknown)?;
        let inode = self.claims.get(id).ok_or(FsError::OpenUnknown)?.inode;
        self.nodes.entry(inode).or_default().delete = mark;
        self.refresh(inode);
        Ok(())
    }

    /// The name of a closed, marked file is gone, or cannot go.
    pub fn delete_done(&mut self, inode: InodeId) {
        if let Some(node) = self.nodes.get_mut(&inode) {
            node.delete = None;
        }
        self.refresh(inode);
        self.pump(inode);
    }

    /// Removes a claim of any kind: an administrator's order, or a client that frees revoked state.
    pub fn forget(&mut self, id: ClaimId) -> Result<Option<Closed>, FsError> {
        let claim = self.claims.get(&id).ok_or(FsError::OpenUnknown)?;
        match &claim.body {
            ClaimBody::Open(open) => {
                let open = open.open;
                self.close(open).map(Some)
            }
            ClaimBody::Lease(_) => {
                if claim.revoked {
                    self.end(&[id]);
                } else {
                    self.lease_return(id)?;
                }
                Ok(None)
            }
            ClaimBody::Lock(_) => {
                self.end(&[id]);
                Ok(None)
            }
            ClaimBody::Io(_) | ClaimBody::Name(_) => Err(FsError::InvalidArgument),
        }
    }
}

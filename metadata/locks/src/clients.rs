//! Clients: lease times, courtesy, grace, and the NLM peers' state numbers.
//!
//! ```text
//!   Active ── lease time passed ──▶ Courtesy ── in somebody's way, or too long ──▶ Losing ── recorded ──▶ Lost
//!      ▲───────── renew ───────────────┘                                          (MarkLost notice)   all revoked
//! ```
//! *Invariants:* nothing that a lost client held is granted to others before its loss is recorded durably; only listed
//! clients reclaim, only in grace; an NLM peer's locks go only when its state number grew.

use crate::claim::{ClaimId, Class};
use crate::notice::NoticeBody;
use crate::request::{IoKind, Reclaim, Request};
use crate::state::{Due, State};
use bytes::Bytes;
use dfs_model::{ClientRef, FsError, Monotonic};
use std::collections::BTreeSet;
use std::time::Duration;

/// An NFSv4 client as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRecord {
    /// The client.
    pub client: ClientRef,
    /// Its owner string.
    pub owner: Bytes,
    /// Its boot verifier.
    pub verifier: [u8; 8],
    /// Who it is.
    pub principal: Bytes,
    /// It has said that it reclaims no more.
    pub reclaim_complete: bool,
    /// It was lost while others needed what it held: it may not reclaim.
    pub lost: bool,
    /// Its lease time.
    pub lease: Duration,
}

/// An NLM peer as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRecord {
    /// The peer.
    pub client: ClientRef,
    /// The last NSM state number seen; odd while it is up.
    pub state: u32,
    /// We told its status monitor that we want to know.
    pub monitored: bool,
}

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ClientState {
    Active,
    Courtesy,
    Losing,
    Lost,
}

/// A client and its lease.
#[derive(Debug)]
pub(crate) struct ClientEntry {
    pub record: ClientRecord,
    pub state: ClientState,
    pub due: Monotonic,
}

/// A grace period.
#[derive(Debug)]
pub(crate) struct GracePeriod {
    pub until: Monotonic,
    pub waiting_for: BTreeSet<ClientRef>,
    pub listed: BTreeSet<ClientRef>,
}

impl State {
    /// Adds or replaces a client.
    pub fn client_put(&mut self, record: ClientRecord) {
        let client = record.client.clone();
        if let Some(old) = self.clients.get(&client) {
            self.deadlines.remove(&(old.due, Due::Client(client.clone())));
        }
        let due = self.now.plus(record.lease);
        let state = if record.lost { ClientState::Lost } else { ClientState::Active };
        if state == ClientState::Active {
            self.deadlines.insert((due, Due::Client(client.clone())));
        }
        self.clients.insert(client, ClientEntry { record, state, due });
    }

    /// Extends a client's lease. *Errors:* `Expired` once it is being lost.
    pub fn client_renew(&mut self, client: &ClientRef) -> Result<(), FsError> {
        let now = self.now;
        let entry = self.clients.get_mut(client).ok_or(FsError::Expired)?;
        if !matches!(entry.state, ClientState::Active | ClientState::Courtesy) {
            return Err(FsError::Expired);
        }
        let old = entry.due;
        entry.state = ClientState::Active;
        entry.due = now.plus(entry.record.lease);
        let due = entry.due;
        self.deadlines.remove(&(old, Due::Client(client.clone())));
        self.deadlines.insert((due, Due::Client(client.clone())));
        Ok(())
    }

    /// A client's lease, or its time as a courtesy client, has passed.
    pub fn client_due(&mut self, client: &ClientRef) {
        let courtesy_ends = self.now.plus(self.settings.courtesy_max);
        let Some(entry) = self.clients.get_mut(client) else { return };
        match entry.state {
            ClientState::Active => {
                entry.state = ClientState::Courtesy;
                entry.due = courtesy_ends;
                self.deadlines.insert((courtesy_ends, Due::Client(client.clone())));
            }
            ClientState::Courtesy => {
                entry.state = ClientState::Losing;
                self.notify(client.clone(), dfs_model::InodeId(0), NoticeBody::MarkLost);
            }
            ClientState::Losing | ClientState::Lost => {}
        }
    }

    /// The loss of a client is durable: everything it held is revoked, and who waited is tested.
    pub fn lost_recorded(&mut self, client: &ClientRef) -> Vec<ClaimId> {
        let Some(entry) = self.clients.get_mut(client) else { return Vec::new() };
        if !matches!(entry.state, ClientState::Losing | ClientState::Courtesy) {
            return Vec::new();
        }
        entry.state = ClientState::Lost;
        entry.record.lost = true;
        let due = entry.due;
        self.deadlines.remove(&(due, Due::Client(client.clone())));
        let mine: Vec<ClaimId> = self.by_client.get(client).into_iter().flatten().copied().collect();
        let held: Vec<ClaimId> = mine
            .into_iter()
            .filter(|id| self.claims.get(id).is_some_and(|c| !matches!(c.class(), Class::Io | Class::NameOp)))
            .collect();
        for id in &held {
            self.update(*id, |claim| claim.revoked = true);
            if let Some(inode) = self.claims.get(id).map(|claim| claim.inode) {
                self.pump(inode);
            }
        }
        let waiting: Vec<_> = self
            .waiters
            .iter()
            .filter(|(_, waiter)| waiter.request.actor().client == *client)
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.cancel(id);
        }
        // Whoever waited for this client may sit on an inode where it held nothing that was revoked.
        let others: Vec<_> = self.waiters.values().flat_map(|waiter| waiter.request.inodes()).collect();
        others.into_iter().for_each(|inode| self.pump(inode));
        held
    }

    /// Begins grace for the clients that may reclaim.
    pub fn start_grace(&mut self, clients: BTreeSet<ClientRef>, until: Monotonic) {
        if clients.is_empty() {
            return;
        }
        self.deadlines.insert((until, Due::Grace));
        self.grace = Some(GracePeriod { until, waiting_for: clients.clone(), listed: clients });
    }

    /// A client reclaims no more; when it was the last, grace ends.
    pub fn reclaim_complete(&mut self, client: &ClientRef) {
        if let Some(entry) = self.clients.get_mut(client) {
            entry.record.reclaim_complete = true;
        }
        if let Some(grace) = &mut self.grace {
            grace.waiting_for.remove(client);
            if grace.waiting_for.is_empty() {
                self.end_grace();
            }
        }
    }

    /// Ends grace and tests who waited for that.
    pub fn end_grace(&mut self) {
        if let Some(grace) = self.grace.take() {
            self.deadlines.remove(&(grace.until, Due::Grace));
            let inodes: Vec<_> = self.waiters.values().flat_map(|waiter| waiter.request.inodes()).collect();
            inodes.into_iter().for_each(|inode| self.pump(inode));
        }
    }

    /// *Errors:* `Grace` for new state in grace, `NoGrace` for a reclaim outside it, `ReclaimBad` for one not listed.
    pub fn reclaim_allowed(&self, reclaim: Reclaim, client: &ClientRef) -> Result<(), FsError> {
        let nfs = matches!(client, ClientRef::Nfs3Host { .. } | ClientRef::Nfs4 { .. });
        match (&self.grace, reclaim) {
            (None, Reclaim::None) => Ok(()),
            (None, _) => Err(FsError::NoGrace),
            (Some(_), Reclaim::None) if nfs => Err(FsError::Grace),
            (Some(_), Reclaim::None) => Ok(()),
            (Some(grace), _) if grace.waiting_for.contains(client) => Ok(()),
            (Some(grace), _) if grace.listed.contains(client) => Err(FsError::NoGrace),
            (Some(_), _) => Err(FsError::ReclaimBad),
        }
    }

    /// In grace, new SMB opens and stateless NFSv4 I/O wait for what may be reclaimed; NFSv3 runs.
    pub fn grace_holds_back(&self, request: &Request) -> bool {
        if self.grace.is_none() {
            return false;
        }
        let actor = request.actor();
        match request {
            Request::Open(_) => matches!(actor.client, ClientRef::Smb { .. }),
            Request::Io(ask) => {
                let v4 = matches!(actor.client, ClientRef::Nfs4 { .. } | ClientRef::Anonymous);
                let stateful = actor.open.is_some() || actor.lock_owner.is_some();
                v4 && !stateful && matches!(ask.kind, IoKind::Read | IoKind::ReadBypass | IoKind::Write)
            }
            Request::Lock(_) | Request::Lease(_) | Request::Name(_) | Request::Attr(_) => false,
        }
    }

    /// An NLM peer's status monitor says that the peer is in this state. Its locks and shares are released only when the
    /// number grew. Tells whether they were.
    pub fn host_notify(&mut self, client: &ClientRef, state: u32) -> bool {
        let Some(host) = self.hosts.get_mut(client) else { return false };
        // Serial-number comparison: the counter may wrap.
        let grew = state != host.state && state.wrapping_sub(host.state) < u32::MAX / 2;
        if !grew {
            return false;
        }
        host.state = state;
        self.client_gone(client);
        true
    }
}

//! The pure state behind the table's mutex: claims, their indexes, deadlines, and the flags of the summary words.
//!
//! *Invariants:* claims enter, change and leave only through [`State::insert`], [`State::update`] and [`State::remove`], which
//! keep every index, deadline and summary word in step. All maps are ordered, so that a history replays the same.
//! `now` never goes back.

use crate::claim::{Claim, ClaimBody, ClaimId, Flavour, LockState, OpenLink, Uses};
use crate::clients::{ClientEntry, GracePeriod, HostRecord};
use crate::lease::{HolderAnswer, LeaseBits, LeaseKind};
use crate::lifecycle::DeleteMark;
use crate::notice::{Notice, NoticeBody};
use crate::pump::Waiter;
use crate::request::{LeaseGrant, OpenGrant};
use crate::summary::{self, Entrants, Summary};
use crate::table::{Ancestry, Settings, Shared};
use crate::ticket::{TicketId, WaitReason};
use dfs_model::{ClientRef, FsError, InodeId, LeaseKey, Monotonic, OpenId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::task::Waker;

/// What is decided about a request, before guards are made.
#[derive(Debug)]
pub(crate) enum Verdict {
    Granted(RawGrant),
    Wait(WaitReason),
    Refused(FsError),
}

/// A grant whose guards are still claim ids.
#[derive(Debug)]
pub(crate) enum RawGrant {
    Open { grant: OpenGrant, truncating: Option<ClaimId> },
    Lock(Vec<ClaimId>),
    Lease(LeaseGrant),
    InFlight(Vec<ClaimId>),
    Attributes(Option<HolderAnswer>),
}

/// What falls due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Claim(ClaimId),
    Waiter(TicketId),
    Client(ClientRef),
    Guard(InodeId),
    Grace,
}

/// Everything about one inode.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Its claims, in the order they were made.
    pub claims: Vec<ClaimId>,
    /// Requests that wait, first come first tested.
    pub waiting: Vec<TicketId>,
    /// Its word, kept while there is anything to say.
    pub summary: Option<Arc<Summary>>,
    /// Bits that were broken lately, and until when they are not granted.
    pub guard: Option<(LeaseBits, Monotonic)>,
    /// Marked for deletion.
    pub delete: Option<DeleteMark>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.waiting.is_empty() && self.guard.is_none() && self.delete.is_none()
    }
}

/// The state.
pub(crate) struct State {
    pub settings: Settings,
    pub ancestry: Arc<dyn Ancestry>,
    pub now: Monotonic,
    next: u64,
    pub claims: BTreeMap<ClaimId, Claim>,
    pub nodes: BTreeMap<InodeId, Node>,
    pub by_client: BTreeMap<ClientRef, BTreeSet<ClaimId>>,
    pub by_open: BTreeMap<OpenId, ClaimId>,
    pub by_key: BTreeMap<LeaseKey, ClaimId>,
    pub by_parent: BTreeMap<InodeId, BTreeSet<ClaimId>>,
    pub deadlines: BTreeSet<(Monotonic, Due)>,
    pub waiters: BTreeMap<TicketId, Waiter>,
    pub clients: BTreeMap<ClientRef, ClientEntry>,
    pub hosts: BTreeMap<ClientRef, HostRecord>,
    pub grace: Option<GracePeriod>,
    pub notices: VecDeque<Notice>,
    pub notice_waker: Option<Waker>,
    pub wakers: Vec<Waker>,
    /// Inodes on which something was released since the queues were last tested.
    pub dirty: BTreeSet<InodeId>,
    summaries: BTreeMap<InodeId, Weak<Summary>>,
    sweep_at: usize,
    shared: Weak<Shared>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("claims", &self.claims.len())
            .field("waiters", &self.waiters.len())
            .finish()
    }
}

impl State {
    pub fn new(settings: Settings, ancestry: Arc<dyn Ancestry>, shared: Weak<Shared>) -> State {
        State {
            settings,
            ancestry,
            now: Monotonic::default(),
            next: settings.first_id.max(1),
            claims: BTreeMap::new(),
            nodes: BTreeMap::new(),
            by_client: BTreeMap::new(),
            by_open: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_parent: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            waiters: BTreeMap::new(),
            clients: BTreeMap::new(),
            hosts: BTreeMap::new(),
            grace: None,
            notices: VecDeque::new(),
            notice_waker: None,
            wakers: Vec::new(),
            dirty: BTreeSet::new(),
            summaries: BTreeMap::new(),
            sweep_at: 1024,
            shared,
        }
    }

    /// Takes the caller's time, unless it is older than one seen before.
    pub fn advance(&mut self, now: Monotonic) {
        self.now = self.now.max(now);
    }

    /// The next number of a claim, ticket or question.
    pub fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Numbers from `at` on are free; those below are taken (restored claims).
    pub fn skip_numbers(&mut self, at: u64) {
        self.next = self.next.max(at);
    }

    /// The word of an inode.
    pub fn summary(&mut self, inode: InodeId) -> Arc<Summary> {
        if let Some(word) = self.nodes.get(&inode).and_then(|node| node.summary.clone()) {
            return word;
        }
        if let Some(word) = self.summaries.get(&inode).and_then(Weak::upgrade) {
            return word;
        }
        if self.summaries.len() >= self.sweep_at {
            self.summaries.retain(|_, word| word.strong_count() > 0);
            self.sweep_at = (self.summaries.len() * 2).max(1024);
        }
        let word = Arc::new(Summary::new(inode, self.shared.clone(), self.flags(inode)));
        self.summaries.insert(inode, Arc::downgrade(&word));
        word
    }

    /// Closes the inode's fast path for the decision that follows; [`State::refresh`] opens it again.
    pub fn close_fast(&mut self, inode: InodeId) -> Entrants {
        self.summary(inode).close()
    }

    /// The claims of an inode, as copies of their ids.
    pub fn on(&self, inode: InodeId) -> Vec<ClaimId> {
        self.nodes.get(&inode).map(|node| node.claims.clone()).unwrap_or_default()
    }

    /// The claims of an inode.
    pub fn claims_on(&self, inode: InodeId) -> impl Iterator<Item = &Claim> {
        let ids = self.nodes.get(&inode).map(|node| node.claims.as_slice()).unwrap_or_default();
        ids.iter().filter_map(|id| self.claims.get(id))
    }

    /// Adds a claim. Its id must be new.
    pub fn insert(&mut self, claim: Claim) {
        let id = claim.id;
        let inode = claim.inode;
        debug_assert!(!self.claims.contains_key(&id), "claim ids are never reused");
        self.nodes.entry(inode).or_default().claims.push(id);
        self.by_client.entry(claim.actor.client.clone()).or_default().insert(id);
        self.index(&claim);
        if let Some(due) = due_of(&claim) {
            self.deadlines.insert((due, Due::Claim(id)));
        }
        let silent = flags_of(&claim) == 0;
        self.claims.insert(id, claim);
        if !silent {
            self.refresh(inode);
        }
    }

    fn index(&mut self, claim: &Claim) {
        if let Some(open) = claim.open() {
            self.by_open.insert(open.open, claim.id);
            if let Some(parent) = open.parent {
                self.by_parent.entry(parent).or_default().insert(claim.id);
            }
        }
        if let (Some(lease), crate::claim::Exemption::Key(key)) = (claim.lease(), &claim.exemption)
            && lease.kind.keyed()
        {
            self.by_key.insert(*key, claim.id);
        }
    }

    /// Changes a claim in place. Its id, inode, open, parent and key stay as they are; its client may change.
    pub fn update<T>(&mut self, id: ClaimId, change: impl FnOnce(&mut Claim) -> T) -> Option<T> {
        let claim = self.claims.get_mut(&id)?;
        let inode = claim.inode;
        let before = due_of(claim);
        let client = claim.actor.client.clone();
        let value = change(claim);
        let after = due_of(claim);
        if claim.actor.client != client {
            let now_of = claim.actor.client.clone();
            self.by_client.entry(now_of).or_default().insert(id);
            remove_from(&mut self.by_client, &client, id);
        }
        if before != after {
            if let Some(due) = before {
                self.deadlines.remove(&(due, Due::Claim(id)));
            }
            if let Some(due) = after {
                self.deadlines.insert((due, Due::Claim(id)));
            }
        }
        self.refresh(inode);
        Some(value)
    }

    /// Removes a claim. The caller pumps its inode.
    pub fn remove(&mut self, id: ClaimId) -> Option<Claim> {
        let claim = self.claims.remove(&id)?;
        if let Some(node) = self.nodes.get_mut(&claim.inode) {
            node.claims.retain(|other| *other != id);
        }
        remove_from(&mut self.by_client, &claim.actor.client, id);
        if let Some(open) = claim.open() {
            self.by_open.remove(&open.open);
            if let Some(parent) = open.parent {
                remove_from(&mut self.by_parent, &parent, id);
            }
        }
        if let crate::claim::Exemption::Key(key) = &claim.exemption
            && self.by_key.get(key) == Some(&id)
        {
            self.by_key.remove(key);
        }
        if let Some(due) = due_of(&claim) {
            self.deadlines.remove(&(due, Due::Claim(id)));
        }
        if flags_of(&claim) != 0 || self.nodes.get(&claim.inode).is_some_and(Node::is_empty) {
            self.refresh(claim.inode);
        }
        Some(claim)
    }

    /// Brings the inode's word up to date, and forgets the inode when there is nothing to say.
    pub fn refresh(&mut self, inode: InodeId) {
        let flags = self.flags(inode);
        let word = self.summary(inode);
        word.set_flags(flags);
        let empty = match self.nodes.get_mut(&inode) {
            Some(node) if !node.is_empty() => {
                node.summary = Some(word);
                false
            }
            Some(_) => true,
            None => false,
        };
        if empty {
            self.nodes.remove(&inode);
        }
    }

    /// The flags that the inode's word must show.
    pub fn flags(&self, inode: InodeId) -> u64 {
        let mut flags = self.claims_on(inode).map(flags_of).fold(0, |all, one| all | one);
        if let Some(node) = self.nodes.get(&inode) {
            let drains = |id: &TicketId| {
                self.waiters.get(id).is_some_and(|waiter| waiter.reason == WaitReason::InFlight)
            };
            if node.waiting.iter().any(drains) {
                flags |= summary::CLOSED;
            }
        }
        flags
    }

    /// Queues a notice.
    pub fn notify(&mut self, client: ClientRef, inode: InodeId, body: NoticeBody) {
        self.notices.push_back(Notice { client, inode, body });
        if let Some(waker) = self.notice_waker.take() {
            self.wakers.push(waker);
        }
    }

    /// *Errors:* `Limit` when the table, or the client in it, holds as much as it may.
    pub fn room(&self, client: &ClientRef, more: usize) -> Result<(), FsError> {
        let mine = self.by_client.get(client).map_or(0, BTreeSet::len);
        let full = self.claims.len() + more > self.settings.claims_max
            || mine + more > self.settings.client_claims_max;
        if full { Err(FsError::Limit) } else { Ok(()) }
    }
}

/// What a claim shows in its inode's word.
pub(crate) fn flags_of(claim: &Claim) -> u64 {
    if claim.revoked {
        return 0;
    }
    let flag = |on: bool, flag: u64| if on { flag } else { 0 };
    match &claim.body {
        ClaimBody::Open(_) => {
            let kind = if claim.is_smb() { summary::OPEN_SMB } else { summary::OPEN_NFS };
            kind | flag(claim.denies.meets(Uses::READ), summary::DENY_READ)
                | flag(claim.denies.meets(Uses::WRITE), summary::DENY_WRITE)
                | flag(claim.denies.meets(Uses::DELETE), summary::DENY_DELETE)
        }
        ClaimBody::Lease(lease) => {
            let bits = lease.state.bits();
            match (lease.kind, bits.has(LeaseBits::W)) {
                (LeaseKind::Delegation, true) => summary::DELEG_WRITE,
                (LeaseKind::Delegation, false) => summary::DELEG_READ,
                _ => {
                    flag(bits.has(LeaseBits::R), summary::LEASE_R)
                        | flag(bits.has(LeaseBits::W), summary::LEASE_W)
                        | flag(bits.has(LeaseBits::H), summary::LEASE_H)
                }
            }
        }
        ClaimBody::Lock(lock) => match lock.flavour {
            Flavour::Posix => summary::LOCK_POSIX,
            Flavour::PerOpen => summary::LOCK_PER_OPEN,
        },
        ClaimBody::Io(_) | ClaimBody::Name(_) => 0,
    }
}

/// When something must happen to a claim by itself.
fn due_of(claim: &Claim) -> Option<Monotonic> {
    if claim.revoked {
        return None;
    }
    match &claim.body {
        ClaimBody::Open(open) => match open.link {
            OpenLink::Lost { until } => Some(until),
            OpenLink::Connected => None,
        },
        ClaimBody::Lock(lock) => match lock.state {
            LockState::Unacked { deadline } => Some(deadline),
            LockState::Held => None,
        },
        ClaimBody::Lease(lease) => {
            let asked = lease.asked.map(|(_, at)| at);
            [lease.state.deadline(), asked].into_iter().flatten().min()
        }
        ClaimBody::Io(_) | ClaimBody::Name(_) => None,
    }
}

fn remove_from<K: Ord + Clone>(index: &mut BTreeMap<K, BTreeSet<ClaimId>>, key: &K, id: ClaimId) {
    if let Some(set) = index.get_mut(key) {
        set.remove(&id);
        if set.is_empty() {
            index.remove(key);
        }
    }
}

//! The table as the engine sees it: one short mutex around the pure state, guards, tickets and wake-ups.
//!
//! *Invariants:* wakers are called after the mutex is released; nothing under the mutex waits or does I/O, except that a
//! directory rename asks [`Ancestry`], which must not wait either and must not call the table.

use crate::claim::ClaimId;
use crate::request::{Admission, Grant, Request};
use crate::state::{RawGrant, State, Verdict};
use crate::summary::{FastGuard, Summary};
use crate::ticket::{Ticket, TicketId, WaitReason};
use dfs_model::{InodeId, Monotonic};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Whether SMB share modes and locks bind NFS requests (share setting `smb_state_binds_nfs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// They do.
    #[default]
    Enforce,
    /// NFS passes.
    Advise,
}

/// Settings of one share's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether SMB state binds NFS requests.
    pub binding: Binding,
    /// First claim id: the share's epoch in the high bits, so that ids are never reused.
    pub first_id: u64,
    /// Patience with an SMB holder (Windows waits 35 s).
    pub break_timeout: Duration,
    /// Patience with an NFSv4 holder.
    pub recall_timeout: Duration,
    /// Patience with a holder asked for attributes, before it is recalled.
    pub ask_timeout: Duration,
    /// Patience with an NLM client that was granted a lock.
    pub unacked_timeout: Duration,
    /// How long the place of an NFSv4 waiter is kept.
    pub place_timeout: Duration,
    /// How long bits that were broken are not granted again on the inode.
    pub storm_guard: Duration,
    /// How long a courtesy client is kept.
    pub courtesy_max: Duration,
    /// Most claims of the table.
    pub claims_max: usize,
    /// Most claims of one client.
    pub client_claims_max: usize,
    /// Most requests that wait on one inode.
    pub waiting_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            binding: Binding::Enforce,
            first_id: 1,
            break_timeout: Duration::from_secs(35),
            recall_timeout: Duration::from_secs(90),
            ask_timeout: Duration::from_secs(5),
            unacked_timeout: Duration::from_secs(30),
            place_timeout: Duration::from_secs(90),
            storm_guard: Duration::from_secs(5),
            courtesy_max: Duration::from_secs(24 * 3600),
            claims_max: 4_000_000,
            client_claims_max: 500_000,
            waiting_max: 4096,
        }
    }
}

/// Tells where directories lie. Must answer without waiting and without calling the table.
pub trait Ancestry: Send + Sync + 'static {
    /// Whether `directory` lies below `ancestor` (not: is it).
    fn is_below(&self, directory: InodeId, ancestor: InodeId) -> bool;
}

/// For shares on which nobody keeps opens: nothing lies below anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAncestry;

impl Ancestry for NoAncestry {
    fn is_below(&self, _directory: InodeId, _ancestor: InodeId) -> bool {
        false
    }
}

/// The mutex and what is behind it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
}

impl Shared {
    /// Runs `f` on the state, then wakes whom it made ready.
    pub(crate) fn run<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let (value, wakers) = {
            let mut state = self.state.lock();
            let value = f(&mut state);
            state.flush();
            (value, std::mem::take(&mut state.wakers))
        };
        for waker in wakers {
            waker.wake();
        }
        value
    }

    /// The last stateless entrant left an inode whose fast path is closed.
    #[cold]
    pub(crate) fn entrants_left(&self, inode: InodeId) {
        self.run(|state| state.pump(inode));
    }
}

/// The claim table of one share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClaimTable {
    pub(crate) shared: Arc<Shared>,
}

impl ClaimTable {
    /// An empty table.
    #[must_use]
    pub fn new(settings: Settings, ancestry: Arc<dyn Ancestry>) -> ClaimTable {
        let shared = Arc::new_cyclic(|weak: &Weak<Shared>| Shared {
            state: Mutex::new(State::new(settings, ancestry, weak.clone())),
        });
        ClaimTable { shared }
    }

    /// The summary word of an inode; the same one for all who ask while anybody keeps it.
    #[must_use]
    pub fn summary(&self, inode: InodeId) -> Arc<Summary> {
        self.shared.run(|state| state.summary(inode))
    }

    /// Decides a request: deny modes, leases, locks, in one step.
    ///
    /// *Guarantees:* what is granted is visible to every later request before this returns; breaks that were begun are in
    /// the notices. *Errors:* [`Admission::Refused`] is final unless its `retry` says otherwise.
    /// *Cancel:* drop the ticket or the guard. *Spec:* SEAM §2.
    #[must_use]
    pub fn admit(&self, request: Request, now: Monotonic) -> Admission {
        let decided = self.shared.run(|state| state.admit(request, now));
        self.answer(decided)
    }

    /// Tests a waiting request again, as a whole. Takes what the table granted it meanwhile.
    #[must_use]
    pub fn retry(&self, ticket: Ticket, now: Monotonic) -> Admission {
        let id = ticket.disarm();
        let decided = self.shared.run(|state| state.retry(id, now));
        self.answer(decided)
    }

    /// Turns a decision into guards and tickets.
    fn answer(&self, decided: Decided) -> Admission {
        match decided {
            Decided::Granted(raw) => Admission::Granted(self.grant(raw)),
            Decided::Refused(error) => Admission::Refused(error),
            Decided::Wait { ticket, reason, stays } => {
                Admission::Wait(Ticket::new(ticket, reason, stays, Arc::clone(&self.shared)))
            }
        }
    }

    fn grant(&self, raw: RawGrant) -> Grant {
        match raw {
            RawGrant::Open { mut grant, truncating } => {
                grant.truncating = truncating.map(|claim| self.guard(vec![claim]));
                Grant::Open(grant)
            }
            RawGrant::Lock(locks) => Grant::Lock(locks),
            RawGrant::Lease(lease) => Grant::Lease(lease),
            RawGrant::InFlight(claims) => Grant::InFlight(self.guard(claims)),
            RawGrant::Attributes(answer) => Grant::Attributes(answer),
        }
    }

    fn guard(&self, claims: Vec<ClaimId>) -> InFlight {
        InFlight(Hold::Claims(claims, Arc::clone(&self.shared)))
    }
}

/// A decision before it got its guards.
#[derive(Debug)]
pub(crate) enum Decided {
    Granted(RawGrant),
    Wait { ticket: TicketId, reason: WaitReason, stays: bool },
    Refused(dfs_model::FsError),
}

impl Decided {
    pub(crate) fn of(verdict: Verdict) -> Result<Decided, WaitReason> {
        match verdict {
            Verdict::Granted(raw) => Ok(Decided::Granted(raw)),
            Verdict::Refused(error) => Ok(Decided::Refused(error)),
            Verdict::Wait(reason) => Err(reason),
        }
    }
}

/// An I/O, attribute change or name operation in flight. Others see it until it is dropped.
///
/// *Cancel:* dropping it takes its claims out and wakes who waits for that.
#[derive(Debug)]
#[must_use = "the claim ends when this is dropped"]
pub struct InFlight(Hold);

#[derive(Debug)]
enum Hold {
    Fast(#[allow(dead_code)] FastGuard<Arc<Summary>>),
    Claims(Vec<ClaimId>, Arc<Shared>),
}

impl InFlight {
    /// The claims behind it; none when it came in by the fast path or is about an empty range.
    #[must_use]
    pub fn claims(&self) -> &[ClaimId] {
        match &self.0 {
            Hold::Fast(_) => &[],
            Hold::Claims(claims, _) => claims,
        }
    }
}

impl From<FastGuard<Arc<Summary>>> for InFlight {
    fn from(guard: FastGuard<Arc<Summary>>) -> InFlight {
        InFlight(Hold::Fast(guard))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Hold::Claims(claims, shared) = &self.0
            && !claims.is_empty()
        {
            shared.run(|state| state.end(claims));
        }
    }
}

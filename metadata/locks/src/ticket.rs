//! A request that waits: a future without a runtime.
//!
//! *Invariants:* the table wakes a ticket whenever something it waits for may have changed; being woken grants nothing, the
//! retry decides. *Cancel:* dropping a ticket removes its request, and what it was granted meanwhile; an NLM request stays
//! (`stays`) until it is cancelled by name, because its client was already told that it waits.

use crate::table::Shared;
use dfs_model::{ClientRef, Monotonic};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Number of a waiting request; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(pub u64);

/// What a request waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// A lease holder's answer, at the latest its deadline.
    Break {
        /// When the table takes the lease away.
        deadline: Monotonic,
    },
    /// I/O or name operations in flight.
    InFlight,
    /// A lock.
    Lock,
    /// A courtesy client must be recorded as lost first.
    Client(ClientRef),
    /// A holder's attributes.
    Question {
        /// Number of the question.
        number: u64,
        /// When it is recalled instead.
        deadline: Monotonic,
    },
    /// The end of grace.
    Grace,
}

/// A place in the queue of one request. A future that ends when the request should be retried.
#[derive(Debug)]
#[must_use = "dropping a ticket cancels its request"]
pub struct Ticket {
    id: TicketId,
    reason: WaitReason,
    stays: bool,
    shared: Option<Arc<Shared>>,
}

impl Ticket {
    pub(crate) fn new(id: TicketId, reason: WaitReason, stays: bool, shared: Arc<Shared>) -> Ticket {
        Ticket { id, reason, stays, shared: Some(shared) }
    }

    /// Its number, for a cancel by name.
    #[must_use]
    pub fn id(&self) -> TicketId {
        self.id
    }

    /// What it waits for.
    #[must_use]
    pub fn reason(&self) -> &WaitReason {
        &self.reason
    }

    /// Gives up the handle without cancelling.
    pub(crate) fn disarm(mut self) -> TicketId {
        self.shared = None;
        self.id
    }
}

impl Future for Ticket {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(shared) = &self.shared else { return Poll::Ready(()) };
        if shared.run(|state| state.poll_ticket(self.id, cx.waker())) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take()
            && !self.stays
        {
            let _ = shared.run(|state| state.cancel(self.id));
        }
    }
}

//! Time: what falls due, in order, driven by nobody's request (SEAM trap 33).
//!
//! *Invariants:* each deadline in the set belongs to a claim, place, client or inode that still has it.

use crate::claim::{Claim, ClaimBody, ClaimId};
use crate::lease::LeaseBits;
use crate::notice::NoticeBody;
use crate::state::{Due, State};
use dfs_model::Monotonic;

impl State {
    /// Handles everything due at `now`.
    pub fn tick(&mut self, now: Monotonic) {
        self.advance(now);
        while let Some((at, due)) = self.deadlines.first().cloned() {
            if at > self.now {
                break;
            }
            self.deadlines.pop_first();
            match due {
                Due::Claim(id) => self.claim_due(id),
                Due::Waiter(id) => {
                    self.unqueue(id);
                }
                Due::Client(client) => self.client_due(&client),
                Due::Guard(inode) => {
                    if let Some(node) = self.nodes.get_mut(&inode) {
                        node.guard = None;
                    }
                    self.refresh(inode);
                }
                Due::Grace => self.end_grace(),
            }
        }
    }

    /// When to call [`State::tick`] next.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn claim_due(&mut self, id: ClaimId) {
        let Some(claim) = self.claims.get(&id) else { return };
        let inode = claim.inode;
        match &claim.body {
            ClaimBody::Open(_) => self.close_unasked(id),
            ClaimBody::Lock(_) => {
                let client = claim.actor.client.clone();
                self.end(&[id]);
                self.notify(client, inode, NoticeBody::Revoked { claim: id });
            }
            ClaimBody::Lease(lease) => {
                let unanswered = lease.asked.filter(|(_, at)| *at <= self.now).is_some();
                let broken = lease.state.deadline().filter(|at| *at <= self.now).is_some();
                self.forget_question(id, unanswered);
                if broken {
                    self.revoke_lease(id);
                } else if unanswered {
                    self.begin_break(id, LeaseBits::NONE);
                    self.pump(inode);
                }
            }
            ClaimBody::Io(_) | ClaimBody::Name(_) => {}
        }
    }

    /// Puts the claim's next deadline in place, without the question when that went unanswered.
    fn forget_question(&mut self, id: ClaimId, unanswered: bool) {
        self.update(id, |claim: &mut Claim| {
            if let ClaimBody::Lease(lease) = &mut claim.body
                && unanswered
            {
                lease.asked = None;
            }
        });
    }
}

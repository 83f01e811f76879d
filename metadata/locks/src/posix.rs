//! POSIX locks of one owner on one stream as a list of spans: set, clear, split, merge.
//!
//! Pure. *Invariants:* the spans of a plan's outcome do not overlap, and touching spans of one mode are one span.

use crate::claim::ClaimId;

/// One span that an owner holds, with the claim that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its claim.
    pub claim: ClaimId,
    /// First byte.
    pub first: u64,
    /// Last byte.
    pub last: u64,
    /// Mode.
    pub exclusive: bool,
}

/// What must change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Claims that go.
    pub remove: Vec<ClaimId>,
    /// Spans that stay of them, with their modes.
    pub rest: Vec<(u64, u64, bool)>,
    /// The span of the new lock, grown by what it merged with.
    pub lock: Option<(u64, u64, bool)>,
}

/// Plans setting `first..=last` to a mode, or clearing it (`None`), over what the owner holds.
#[must_use]
pub fn plan(held: &[Piece], first: u64, last: u64, mode: Option<bool>) -> Plan {
    let mut plan = Plan::default();
    let (mut low, mut high) = (first, last);
    for piece in held {
        let overlaps = piece.first <= last && first <= piece.last;
        let touches = piece.last.checked_add(1) == Some(first) || last.checked_add(1) == Some(piece.first);
        if mode == Some(piece.exclusive) && (overlaps || touches) {
            plan.remove.push(piece.claim);
            low = low.min(piece.first);
            high = high.max(piece.last);
        } else if overlaps {
            plan.remove.push(piece.claim);
            if piece.first < first {
                plan.rest.push((piece.first, first - 1, piece.exclusive));
            }
            if piece.last > last {
                plan.rest.push((last + 1, piece.last, piece.exclusive));
            }
        }
    }
    plan.lock = mode.map(|exclusive| (low, high, exclusive));
    plan
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    /// Applies a plan to pieces, giving new spans new claims.
    fn apply(held: &mut Vec<Piece>, plan: &Plan, next: &mut u64) {
        held.retain(|piece| !plan.remove.contains(&piece.claim));
        for (first, last, exclusive) in plan.rest.iter().copied().chain(plan.lock) {
            *next += 1;
            held.push(Piece { claim: ClaimId(*next), first, last, exclusive });
        }
    }

    #[test]
    fn plan_over_random_histories_equals_one_mode_per_byte() {
        let seed = 0x10c5;
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut held: Vec<Piece> = Vec::new();
        let mut bytes = [None; 64];
        let mut next = 0;
        for step in 0..20_000 {
            let first = rng.random_range(0..64u64);
            let last = rng.random_range(first..64);
            let mode = [None, Some(false), Some(true)][rng.random_range(0..3)];
            let plan = plan(&held, first, last, mode);
            apply(&mut held, &plan, &mut next);
            bytes[first as usize..=last as usize].fill(mode);
            for (at, want) in bytes.iter().enumerate() {
                let at = at as u64;
                let over: Vec<_> = held.iter().filter(|p| p.first <= at && at <= p.last).collect();
                assert!(over.len() <= 1, "seed {seed:#x} step {step}: overlap at {at}");
                assert_eq!(over.first().map(|p| p.exclusive), *want, "seed {seed:#x} step {step} byte {at}");
            }
            for a in &held {
                let touching = held.iter().any(|b| a.last + 1 == b.first && a.exclusive == b.exclusive);
                assert!(!touching, "seed {seed:#x} step {step}: {a:?} was not merged");
            }
        }
    }

    #[test]
    fn plan_at_the_last_byte_does_not_overflow() {
        let all = Piece { claim: ClaimId(1), first: 0, last: u64::MAX, exclusive: true };
        let cleared = plan(&[all], u64::MAX, u64::MAX, None);
        assert_eq!(cleared.rest, vec![(0, u64::MAX - 1, true)]);
        let widened = plan(&[all], 0, u64::MAX, Some(false));
        assert_eq!((widened.rest.len(), widened.lock), (0, Some((0, u64::MAX, false))));
    }
}

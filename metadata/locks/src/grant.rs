//! What of a wished lease can be granted beside what others hold. Pure.
//!
//! *Invariants:* a lease is granted only if no request of the matrix that would break it is held or in flight: nothing that
//! reads or writes beside W, nothing that writes beside R, nothing that is being deleted beside H.

use crate::claim::{Claim, ClaimBody, Exemption, NameRole, Uses};
use crate::conflict::is_stat;
use crate::lease::{LeaseBits, LeaseKind};
use crate::request::LeaseAsk;
use crate::summary::Entrants;

/// What else counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scene {
    /// Stateless I/O in flight without a claim.
    pub entrants: Entrants,
    /// Bits broken a moment ago.
    pub guarded: LeaseBits,
    /// The file is marked for deletion.
    pub deleting: bool,
}

/// The bits of the wish that can be granted.
pub fn allowed<'a>(
    ask: &LeaseAsk,
    exemption: &Exemption,
    held: impl Iterator<Item = &'a Claim>,
    scene: &Scene,
) -> LeaseBits {
    let kinds = match (ask.kind, ask.directory) {
        (LeaseKind::Delegation, true) => LeaseBits::R.with(LeaseBits::A),
        (LeaseKind::Delegation, false) => LeaseBits::RW.with(LeaseBits::A),
        (_, true) => LeaseBits::RH,
        (_, false) => LeaseBits::RWH,
    };
    let mut bits = ask.bits.both(kinds).without(scene.guarded);
    if scene.entrants.writers > 0 {
        bits = LeaseBits::NONE;
    }
    if scene.entrants.readers > 0 {
        bits = bits.without(LeaseBits::W);
    }
    if scene.deleting {
        bits = bits.without(LeaseBits::H);
    }
    for claim in held.filter(|claim| !claim.revoked && !exemption.covers(&claim.actor)) {
        bits = bits.without(forbidden(ask, claim));
    }
    normal(ask, bits)
}

/// The whole grant that the bits leave: a delegation may shrink before it is granted, not after.
fn normal(ask: &LeaseAsk, bits: LeaseBits) -> LeaseBits {
    match ask.kind {
        LeaseKind::Delegation if bits.has(LeaseBits::R) => bits,
        LeaseKind::Delegation => LeaseBits::NONE,
        kind => kind.normal(bits, bits),
    }
}

/// Bits that another's claim rules out.
fn forbidden(ask: &LeaseAsk, claim: &Claim) -> LeaseBits {
    const ALL: LeaseBits = LeaseBits(!0);
    let delegation = ask.kind == LeaseKind::Delegation;
    let same_stream = claim.stream == ask.stream;
    match &claim.body {
        ClaimBody::Open(open) if same_stream && !ask.directory => {
            if is_stat(open.access, ask.kind) {
                LeaseBits::NONE
            } else if delegation && claim.uses.meets(Uses::WRITE) {
                ALL
            } else {
                LeaseBits::W
            }
        }
        ClaimBody::Lock(_) if same_stream => ALL,
        ClaimBody::Lease(lease) if same_stream => {
            let bits = lease.state.bits();
            if bits.is_empty() || ask.directory {
                LeaseBits::NONE
            } else if bits.has(LeaseBits::W) {
                ALL
            } else {
                LeaseBits::W
            }
        }
        ClaimBody::Io(_) if claim.uses.meets(Uses::ATTR) => {
            if delegation {
                ALL
            } else {
                LeaseBits::NONE
            }
        }
        ClaimBody::Io(_) if same_stream => {
            if claim.uses.meets(Uses::WRITE) {
                ALL
            } else {
                LeaseBits::W
            }
        }
        ClaimBody::Name(name) => match name.role {
            NameRole::Entries if ask.directory => ALL,
            NameRole::Entries => LeaseBits::NONE,
            NameRole::LinkSource => {
                if delegation {
                    ALL
                } else {
                    LeaseBits::NONE
                }
            }
            NameRole::Victim | NameRole::MovedDirectory { .. } => {
                if delegation {
                    ALL
                } else {
                    LeaseBits::H
                }
            }
        },
        ClaimBody::Open(_) | ClaimBody::Lock(_) | ClaimBody::Lease(_) | ClaimBody::Io(_) => LeaseBits::NONE,
    }
}

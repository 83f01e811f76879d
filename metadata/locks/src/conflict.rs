//! The one conflict function: what a request means for one claim that another holds. The matrix of SEAM §2, row by row.
//!
//! Pure. [`judge`] looks at one pair; the order of the tests inside a request (deny, leases, ranges) is `admit`'s business.
//! A claim that is the requester's own by its exemption never gets here, but where the matrix says "own too".

use crate::claim::{Claim, ClaimBody, Flavour, LockBody, NameRole, Uses, is_smb};
use crate::lease::{LeaseBits, LeaseKind};
use crate::request::{AttrAsk, IoAsk, IoKind, LockAsk, LockRange, OpenAsk, Request};
use crate::table::Binding;
use dfs_model::{Actor, ByteRange, Rights};

/// What a request wants of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrink {
    /// Bits that may stay.
    pub keep: LeaseBits,
    /// Whether the request waits until they alone are left.
    pub wait: bool,
}

/// What a held claim means for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// An open forbids it (or its use is forbidden by the request). For opens, the holder's H is broken first.
    pub denied: bool,
    /// A name operation breaks this lease's handle caching before anything is refused.
    pub handle: bool,
    /// A lease must shrink.
    pub cache: Option<Shrink>,
    /// A lock is on the range.
    pub locked: bool,
    /// An I/O or name operation in flight must end first.
    pub busy: bool,
    /// The holder of a write delegation is asked for the attributes.
    pub question: bool,
}

/// Rights that oplock holders tolerate in an open.
const STAT_OPLOCK: u32 = Rights::SYNCHRONIZE.0 | Rights::READ_ATTRIBUTES.0 | Rights::WRITE_ATTRIBUTES.0;
/// Rights that lease holders tolerate in an open.
const STAT_LEASE: u32 = STAT_OPLOCK | Rights::READ_ACL.0;

/// Whether an open with this mask disturbs no holder of that kind.
#[must_use]
pub fn is_stat(access: Rights, kind: LeaseKind) -> bool {
    let tolerated = if kind == LeaseKind::Oplock { STAT_OPLOCK } else { STAT_LEASE };
    access.0 & !tolerated == 0
}

/// What `held` means for `request`, on the inode and in the role that `role` says (names only).
#[must_use]
pub fn judge(request: &Request, role: Option<NameRole>, held: &Claim, binding: Binding) -> Effect {
    if held.revoked {
        return Effect::default();
    }
    match request {
        Request::Open(ask) => open(ask, held, binding),
        Request::Io(ask) => io(ask, held, binding),
        Request::Lock(ask) => lock(ask, held, binding),
        Request::Attr(ask) => attr(ask, held),
        Request::Name(ask) => name(&ask.actor, role, held, binding),
        Request::Lease(_) => Effect::default(),
    }
}

/// Whether two opens, one held and one asked, exclude each other: data uses per stream, deletion per file.
#[must_use]
pub fn opens_collide(uses: Uses, denies: Uses, same_stream: bool, held: &Claim) -> bool {
    let scope = if same_stream { Uses::SHARED } else { Uses::DELETE };
    uses.both(scope).meets(held.denies) || denies.both(scope).meets(held.uses)
}

/// Uses of an open as the tests see them: cutting bytes off is a write.
#[must_use]
pub fn open_uses(ask: &OpenAsk) -> Uses {
    let uses = Uses::of(ask.access);
    if ask.truncate.is_some() { uses.with(Uses::WRITE) } else { uses }
}

/// What an open forbids: nothing unless it uses something that share modes are about. *Spec:* MS-FSA §2.1.5.1.2.2.
#[must_use]
pub fn open_denies(ask: &OpenAsk) -> Uses {
    if open_uses(ask).meets(Uses::SHARED) { ask.denies.both(Uses::SHARED) } else { Uses::NONE }
}

/// SMB state binds an NFS request unless the share says that it only advises.
fn binds(held: &Claim, actor: &Actor, binding: Binding) -> bool {
    binding == Binding::Enforce || !held.is_smb() || is_smb(actor)
}

fn shrink(keep: LeaseBits, wait: bool) -> Option<Shrink> {
    Some(Shrink { keep, wait })
}

/// What is left of `bits` when these are taken.
fn taking(taken: LeaseBits) -> LeaseBits {
    LeaseBits(!taken.0)
}

fn open(ask: &OpenAsk, held: &Claim, binding: Binding) -> Effect {
    let mut effect = Effect::default();
    let same_stream = held.stream == ask.stream;
    match &held.body {
        ClaimBody::Open(_) => {
            effect.denied = opens_collide(open_uses(ask), open_denies(ask), same_stream, held);
        }
        ClaimBody::Io(_) | ClaimBody::Name(_) => {
            let through_open = held.actor.open.is_some();
            let scope = if same_stream { Uses::SHARED } else { Uses::DELETE };
            let bound = binding == Binding::Enforce || !is_smb(&ask.actor) || held.is_smb();
            effect.busy = bound && !through_open && open_denies(ask).both(scope).meets(held.uses);
        }
        ClaimBody::Lease(lease) if same_stream && !held.exemption.covers(&ask.actor) => {
            let bits = lease.state.bits();
            effect.cache = if lease.directory || (ask.truncate.is_none() && is_stat(ask.access, lease.kind)) {
                None
            } else if lease.kind == LeaseKind::Delegation {
                let writes = open_uses(ask).meets(Uses::WRITE);
                if bits.has(LeaseBits::W) || writes { shrink(LeaseBits::NONE, true) } else { None }
            } else if ask.truncate.is_some() {
                shrink(LeaseBits::NONE, !bits.within(LeaseBits::R))
            } else {
                shrink(taking(LeaseBits::W), true)
            };
        }
        ClaimBody::Lock(lock) if same_stream => {
            if let Some(range) = ask.truncate {
                effect.locked =
                    lock_hinders_write(lock, &range, is_smb(&ask.actor), binds(held, &ask.actor, binding));
            }
        }
        ClaimBody::Lease(_) | ClaimBody::Lock(_) => {}
    }
    effect
}

/// Whether a lock stands in the way of a write: SMB locks do, shared ones and the writer's own shared ones too;
/// POSIX locks only against SMB.
fn lock_hinders_write(lock: &LockBody, range: &ByteRange, smb: bool, binds: bool) -> bool {
    let meant = match lock.flavour {
        Flavour::PerOpen => binds,
        Flavour::Posix => smb,
    };
    meant && lock.range.overlaps(range)
}

fn io(ask: &IoAsk, held: &Claim, binding: Binding) -> Effect {
    let mut effect = Effect::default();
    if held.stream != ask.stream || ask.range.is_empty() {
        return effect;
    }
    let smb = is_smb(&ask.actor);
    let write = ask.kind == IoKind::Write;
    let own = held.exemption.covers(&ask.actor);
    let bound = binds(held, &ask.actor, binding);
    match &held.body {
        ClaimBody::Open(_) => {
            let uses = if write { Uses::WRITE } else { Uses::READ };
            effect.denied =
                !own && !smb && bound && ask.kind != IoKind::ReadBypass && held.denies.meets(uses);
        }
        ClaimBody::Lease(lease) if !own && !lease.directory => {
            let bits = lease.state.bits();
            effect.cache = match (lease.kind == LeaseKind::Delegation, write, smb) {
                (true, true, _) => shrink(LeaseBits::NONE, true),
                (true, false, _) if bits.has(LeaseBits::W) => shrink(LeaseBits::NONE, true),
                (true, false, _) => None,
                (false, true, false) => shrink(LeaseBits::NONE, bits.has(LeaseBits::W)),
                (false, true, true) if bits.has(LeaseBits::W) => None,
                (false, true, true) => shrink(taking(LeaseBits::R), false),
                (false, false, false) => shrink(taking(LeaseBits::W), true),
                (false, false, true) => None,
            };
        }
        ClaimBody::Lock(lock) if write => {
            let exempt = own && lock.exclusive;
            effect.locked = !exempt && lock_hinders_write(lock, &ask.range, smb, bound);
        }
        ClaimBody::Lock(lock) => {
            let meant = lock.flavour == Flavour::PerOpen && bound || lock.flavour == Flavour::Posix && smb;
            let bypass = ask.kind == IoKind::ReadBypass;
            effect.locked = !own && !bypass && meant && lock.exclusive && lock.range.overlaps(&ask.range);
        }
        ClaimBody::Lease(_) | ClaimBody::Io(_) | ClaimBody::Name(_) => {}
    }
    effect
}

/// Whether a held lock stands in the way of one range of a request.
#[must_use]
pub fn locks_collide(ask: &LockAsk, wanted: &LockRange, held: &Claim, lock: &LockBody) -> bool {
    if held.stream != ask.stream
        || !lock.range.overlaps(&wanted.range)
        || !(lock.exclusive || wanted.exclusive)
    {
        return false;
    }
    let own = held.exemption.covers(&ask.actor) && lock.flavour == ask.flavour;
    match ask.flavour {
        Flavour::Posix => !own,
        // A shared lock may be put on top of one's own exclusive one; every other overlap counts, one's own too.
        Flavour::PerOpen => !(own && lock.exclusive && !wanted.exclusive),
    }
}

fn lock(ask: &LockAsk, held: &Claim, binding: Binding) -> Effect {
    let mut effect = Effect::default();
    if held.stream != ask.stream {
        return effect;
    }
    match &held.body {
        ClaimBody::Lock(lock) => {
            effect.locked = ask.ranges.iter().any(|wanted| locks_collide(ask, wanted, held, lock));
        }
        ClaimBody::Lease(lease) if !lease.directory && !held.exemption.covers(&ask.actor) => {
            let bits = lease.state.bits();
            let wait = lease.kind == LeaseKind::Delegation || bits.has(LeaseBits::W);
            effect.cache = shrink(taking(LeaseBits::RW), wait);
        }
        ClaimBody::Io(io) => {
            let own = ask.actor.open.is_some() && held.actor.open == ask.actor.open;
            let meant = held.is_smb() || ask.flavour == Flavour::PerOpen && binding == Binding::Enforce;
            let writes = held.uses.meets(Uses::WRITE);
            let data = held.uses.meets(Uses::READ.with(Uses::WRITE));
            effect.busy = !own
                && meant
                && data
                && ask.ranges.iter().any(|r| (r.exclusive || writes) && io.range.overlaps(&r.range));
        }
        ClaimBody::Lease(_) | ClaimBody::Open(_) | ClaimBody::Name(_) => {}
    }
    effect
}

fn attr(ask: &AttrAsk, held: &Claim) -> Effect {
    let mut effect = Effect::default();
    if let ClaimBody::Lease(lease) = &held.body {
        let others =
            lease.kind == LeaseKind::Delegation && !lease.directory && !held.exemption.covers(&ask.actor);
        if others && ask.set {
            effect.cache = shrink(LeaseBits::NONE, true);
        } else if others && lease.state.bits().has(LeaseBits::W) {
            effect.question = true;
        }
    }
    effect
}

fn name(actor: &Actor, role: Option<NameRole>, held: &Claim, binding: Binding) -> Effect {
    let mut effect = Effect::default();
    match (&held.body, role) {
        (ClaimBody::Open(_), Some(NameRole::Victim)) => {
            let own = held.exemption.covers(actor);
            effect.denied = !own && binds(held, actor, binding) && held.denies.meets(Uses::DELETE);
        }
        (ClaimBody::Lease(lease), Some(NameRole::Victim)) if !held.exemption.covers(actor) => {
            let delegation = lease.kind == LeaseKind::Delegation;
            effect.handle = delegation || lease.state.bits().has(LeaseBits::H);
            effect.cache = match (delegation, effect.handle) {
                (true, _) => shrink(LeaseBits::NONE, true),
                (false, true) => shrink(taking(LeaseBits::H), true),
                (false, false) => None,
            };
        }
        (ClaimBody::Lease(lease), Some(NameRole::LinkSource)) => {
            let others = lease.kind == LeaseKind::Delegation && !held.exemption.covers(actor);
            effect.cache = if others { shrink(LeaseBits::NONE, true) } else { None };
        }
        (ClaimBody::Lease(lease), Some(NameRole::Entries)) if lease.directory && !lease.notified => {
            effect.cache = if covers_parent(held, actor) {
                None
            } else {
                shrink(LeaseBits::NONE, lease.kind == LeaseKind::Delegation)
            };
        }
        // The renamed directory's own claims; those below it are `naming`'s business.
        (ClaimBody::Lease(lease), Some(NameRole::MovedDirectory { .. }))
            if lease.state.bits().has(LeaseBits::H) && !held.exemption.covers(actor) =>
        {
            effect.handle = true;
            effect.cache = shrink(taking(LeaseBits::H), true);
        }
        _ => {}
    }
    effect
}

/// Whether the request names the directory's lease as its parent's, or comes from the delegation's client.
fn covers_parent(held: &Claim, actor: &Actor) -> bool {
    match &held.exemption {
        crate::claim::Exemption::Key(key) => actor.parent_lease_key == Some(*key),
        other => other.covers(actor),
    }
}

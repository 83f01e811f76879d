//! The reference: a naive list of what is held, and the matrix of SEAM §2 written out again, cell by cell.
//!
//! Shares no code with the table but plain numbers: bits R = 1, W = 2, H = 4; uses read = 1, write = 2, delete = 4.
//! It is slow, keeps no index, and tests everything against everything.

pub const R: u8 = 1;
pub const W: u8 = 2;
pub const H: u8 = 4;
pub const BYTES: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    V3(u8),
    V4(u8),
    Smb(u8),
}

impl Who {
    pub fn smb(self) -> bool {
        matches!(self, Who::Smb(_))
    }
}

/// An access mask, with what the protocols say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub mask: u32,
    pub uses: u8,
    pub stat_oplock: bool,
    pub stat_lease: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Oplock,
    Key(u8),
    Delegation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Posix(Who, u8),
    Open(u64),
}

#[derive(Clone, Debug)]
pub enum Ask {
    Open { who: Who, access: Access, denies: u8, truncate: Option<(u64, u64)>, wish: Option<(Kind, u8)> },
    Delegation { who: Who, bits: u8 },
    Io { who: Who, open: Option<u64>, write: bool, range: (u64, u64), fast: bool },
    Lock { who: Who, owner: Owner, range: (u64, u64), exclusive: bool, park: bool },
    SetAttr { who: Who, fast: bool },
    Remove { who: Who, fast: bool },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// With the bits of the lease, when one was wished.
    Granted(Option<u8>),
    Wait,
    Refused(&'static str),
}

#[derive(Clone, Debug)]
pub struct Open {
    pub label: u64,
    pub who: Who,
    pub access: Access,
    pub denies: u8,
    pub key: Option<u8>,
    pub lease: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Lease {
    pub label: u64,
    pub who: Who,
    pub kind: Kind,
    pub open: u64,
    pub bits: u8,
    /// To, wanted, until.
    pub breaking: Option<(u8, u8, u64)>,
}

#[derive(Clone, Debug)]
pub struct Flight {
    pub number: u64,
    pub who: Who,
    pub open: Option<u64>,
    pub ask: Ask,
}

#[derive(Clone, Debug)]
pub struct Parked {
    pub number: u64,
    pub ask: Ask,
    pub outcome: Option<Verdict>,
}

/// One file.
#[derive(Default)]
pub struct File {
    pub now: u64,
    pub advise: bool,
    pub guard_time: u64,
    pub opens: Vec<Open>,
    pub leases: Vec<Lease>,
    pub posix: Vec<(Owner, [Option<bool>; BYTES])>,
    pub per_open: Vec<(u64, (u64, u64), bool)>,
    pub flights: Vec<Flight>,
    pub parked: Vec<Parked>,
    pub notices: Vec<(u64, u8, u8)>,
    pub guard: Option<(u8, u64)>,
    pub released: bool,
}

fn overlap(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

fn whole(kind: Kind, had: u8, bits: u8) -> u8 {
    match kind {
        _ if bits & R == 0 => 0,
        Kind::Oplock if bits & W == 0 => R,
        Kind::Delegation if bits != had => 0,
        _ => bits,
    }
}

impl File {
    fn key_of(&self, open: Option<u64>) -> Option<u8> {
        self.opens.iter().find(|o| Some(o.label) == open)?.key
    }

    /// Whether what was done by `who` through `open` under `key` is the lease holder's own doing.
    fn own(&self, lease: &Lease, who: Who, open: Option<u64>, key: Option<u8>) -> bool {
        match lease.kind {
            Kind::Oplock => open == Some(lease.open),
            Kind::Key(mine) => who == lease.who && key == Some(mine),
            Kind::Delegation => who == lease.who,
        }
    }

    fn actor(&self, ask: &Ask) -> (Who, Option<u64>, Option<u8>) {
        match ask {
            Ask::Open { who, wish, .. } => {
                let key = match wish {
                    Some((Kind::Key(key), _)) => Some(*key),
                    _ => None,
                };
                (*who, None, key)
            }
            Ask::Io { who, open, .. } => (*who, *open, self.key_of(*open)),
            Ask::Lock { who, owner: Owner::Open(open), .. } => (*who, Some(*open), self.key_of(Some(*open))),
            Ask::Lock { who, .. }
            | Ask::Delegation { who, .. }
            | Ask::SetAttr { who, .. }
            | Ask::Remove { who, .. } => (*who, None, None),
        }
    }

    /// The matrix: what a lease that is not the requester's own must come down to, and whether the request waits.
    fn cell(ask: &Ask, lease: &Lease) -> Option<(u8, bool)> {
        let delegation = lease.kind == Kind::Delegation;
        let (r, w, h) = (lease.bits & R != 0, lease.bits & W != 0, lease.bits & H != 0);
        match ask {
            Ask::Open { truncate: Some(_), .. } if delegation => Some((0, true)),
            Ask::Open { truncate: Some(_), .. } => Some((0, w || h)),
            Ask::Open { access, .. } => {
                let stat = if lease.kind == Kind::Oplock { access.stat_oplock } else { access.stat_lease };
                match (stat, delegation) {
                    (true, _) => None,
                    (false, true) if w || access.uses & 2 != 0 => Some((0, true)),
                    (false, true) => None,
                    (false, false) => Some((lease.bits & !W, true)),
                }
            }
            Ask::Io { write: false, .. } if delegation => w.then_some((0, true)),
            Ask::Io { write: false, who, .. } if who.smb() => None,
            Ask::Io { write: false, .. } => Some((lease.bits & !W, true)),
            Ask::Io { write: true, .. } if delegation => Some((0, true)),
            Ask::Io { write: true, who, .. } if who.smb() && w => None,
            Ask::Io { write: true, who, .. } if who.smb() => r.then_some((0, false)),
            Ask::Io { write: true, .. } => Some((0, w)),
            Ask::Lock { .. } if delegation => Some((0, true)),
            Ask::Lock { .. } => Some((0, w)),
            Ask::SetAttr { .. } => delegation.then_some((0, true)),
            Ask::Remove { .. } if delegation => Some((0, true)),
            Ask::Remove { .. } => h.then_some((lease.bits & !H, true)),
            Ask::Delegation { .. } => None,
        }
    }

    /// Wants a lease to come down; tells whether it is not down yet.
    fn want(&mut self, label: u64, keep: u8) -> bool {
        let Some(at) = self.leases.iter().position(|l| l.label == label) else { return false };
        let now = self.now;
        let lease = &mut self.leases[at];
        let goal = whole(lease.kind, lease.bits, lease.bits & keep);
        match &mut lease.breaking {
            Some((_, wanted, _)) => *wanted = whole(lease.kind, lease.bits, *wanted & keep),
            None if goal == lease.bits => {}
            None => {
                self.notices.push((label, lease.bits, goal));
                let lost = lease.bits & !goal;
                let older = self.guard.filter(|(_, until)| *until > now).map_or(0, |(bits, _)| bits);
                self.guard = Some((older | lost, now + self.guard_time));
                let lease = &mut self.leases[at];
                if lease.kind != Kind::Delegation && lease.bits == R {
                    lease.bits = goal;
                    self.released = true;
                    self.tidy(label);
                } else {
                    let patience = if lease.kind == Kind::Delegation { 90 } else { 35 };
                    lease.breaking = Some((goal, goal, now + patience));
                }
            }
        }
        self.leases.iter().any(|l| l.label == label && l.breaking.is_some() && l.bits != goal)
    }

    /// A lease without bits goes, unless opens use its key.
    fn tidy(&mut self, label: u64) {
        let used = self.opens.iter().any(|o| o.lease == Some(label));
        self.leases.retain(|l| l.label != label || l.bits != 0 || matches!(l.kind, Kind::Key(_)) && used);
        if !self.leases.iter().any(|l| l.label == label) {
            self.opens.iter_mut().filter(|o| o.lease == Some(label)).for_each(|o| o.lease = None);
        }
    }

    fn break_matching(&mut self, ask: &Ask, only: impl Fn(&Lease) -> bool) -> bool {
        let (who, open, key) = self.actor(ask);
        let cells: Vec<(u64, u8, bool)> = self
            .leases
            .iter()
            .filter(|lease| !self.own(lease, who, open, key) && only(lease))
            .filter_map(|lease| Self::cell(ask, lease).map(|(keep, wait)| (lease.label, keep, wait)))
            .collect();
        cells.into_iter().fold(false, |waits, (label, keep, wait)| (self.want(label, keep) && wait) || waits)
    }

    /// Decides a request as the matrix says. Breaks are begun; grants are not entered.
    pub fn decide(&mut self, ask: &Ask) -> Verdict {
        match ask {
            Ask::Open { access, denies, truncate, wish, who } => {
                self.decide_open(ask, *who, *access, *denies, *truncate, *wish)
            }
            Ask::Delegation { who, bits } => {
                Verdict::Granted(Some(self.leaseable(Kind::Delegation, *who, None, *bits)))
            }
            Ask::Io { who, open, write, range, .. } => {
                let bit = if *write { 2 } else { 1 };
                let bound = |o: &Open| !(who.smb() || self.advise && o.who.smb() || Some(o.label) == *open);
                if self.opens.iter().any(|o| bound(o) && o.denies & bit != 0) {
                    return Verdict::Refused("IoDenied");
                }
                if self.break_matching(ask, |_| true) {
                    return Verdict::Wait;
                }
                match self.io_locked(*who, *open, *write, *range) {
                    true => Verdict::Refused("RangeLocked"),
                    false => Verdict::Granted(None),
                }
            }
            Ask::Lock { owner, range, exclusive, park, .. } => {
                self.decide_lock(ask, *owner, *range, *exclusive, *park)
            }
            Ask::SetAttr { .. } if self.break_matching(ask, |_| true) => Verdict::Wait,
            Ask::SetAttr { .. } => Verdict::Granted(None),
            Ask::Remove { .. } if self.break_matching(ask, |_| true) => Verdict::Wait,
            Ask::Remove { who, .. } => {
                let bound = |o: &Open| who.smb() || !(self.advise && o.who.smb());
                match self.opens.iter().any(|o| bound(o) && o.denies & 4 != 0) {
                    true => Verdict::Refused("InUse"),
                    false => Verdict::Granted(None),
                }
            }
        }
    }

    fn decide_open(
        &mut self,
        ask: &Ask,
        who: Who,
        access: Access,
        denies: u8,
        truncate: Option<(u64, u64)>,
        wish: Option<(Kind, u8)>,
    ) -> Verdict {
        let uses = access.uses | if truncate.is_some() { 2 } else { 0 };
        let denies = if uses == 0 { 0 } else { denies };
        let collides = |o: &Open| uses & o.denies != 0 || denies & o.access.uses != 0;
        let denying: Vec<Open> = self.opens.iter().filter(|o| collides(o)).cloned().collect();
        let (_, _, key) = self.actor(ask);
        let mut waits = false;
        for open in &denying {
            let Some(lease) = self.leases.iter().find(|l| Some(l.label) == open.lease).cloned() else {
                continue;
            };
            if lease.bits & H != 0 && !self.own(&lease, who, None, key) {
                waits |= self.want(lease.label, !H);
            }
        }
        if !denying.is_empty() {
            return if waits { Verdict::Wait } else { Verdict::Refused("ShareDenied") };
        }
        if self.break_matching(ask, |_| true) {
            return Verdict::Wait;
        }
        if !(self.advise && who.smb()) && self.flights.iter().any(|f| denied_flight(f, denies)) {
            return Verdict::Wait;
        }
        // With `advise`, other SMB requests in flight still count; only they go through opens, which is tested at open.
        if let Some(range) = truncate {
            let by_smb = self.per_open.iter().any(|(_, held, _)| overlap(*held, range));
            let by_posix = self.posix_hit(range, |_| true, true);
            if by_smb && (who.smb() || !self.advise) || by_posix && who.smb() {
                return Verdict::Refused("RangeLocked");
            }
        }
        Verdict::Granted(wish.map(|(kind, bits)| self.leaseable(kind, who, key, bits)))
    }

    fn posix_hit(&self, range: (u64, u64), not: impl Fn(Owner) -> bool, shared_too: bool) -> bool {
        self.posix.iter().filter(|(owner, _)| not(*owner)).any(|(_, bytes)| {
            (range.0..=range.1)
                .any(|at| bytes.get(at as usize).copied().flatten().is_some_and(|x| x || shared_too))
        })
    }

    fn io_locked(&self, who: Who, open: Option<u64>, write: bool, range: (u64, u64)) -> bool {
        let per_open = self.per_open.iter().any(|(holder, held, exclusive)| {
            let own = Some(*holder) == open;
            let counts = if write { !(own && *exclusive) } else { !own && *exclusive };
            counts && overlap(*held, range) && (who.smb() || !self.advise)
        });
        per_open || who.smb() && self.posix_hit(range, |_| true, write)
    }

    fn decide_lock(
        &mut self,
        ask: &Ask,
        owner: Owner,
        range: (u64, u64),
        exclusive: bool,
        park: bool,
    ) -> Verdict {
        let never = matches!(owner, Owner::Open(_)) && !park;
        let waits = self.break_matching(ask, |_| true);
        let busy = self.flights.iter().any(|f| self.hinders_lock(f, owner, range, exclusive));
        if waits || busy {
            return if never { Verdict::Refused("LockDenied") } else { Verdict::Wait };
        }
        match self.lock_holders(owner, range, exclusive).is_empty() {
            true => Verdict::Granted(None),
            false if !park => Verdict::Refused("LockDenied"),
            false if self.cycle(owner, range, exclusive) => Verdict::Refused("Deadlock"),
            false => Verdict::Wait,
        }
    }

    fn hinders_lock(&self, flight: &Flight, owner: Owner, range: (u64, u64), exclusive: bool) -> bool {
        let binding = matches!(owner, Owner::Open(_)) && !self.advise;
        match &flight.ask {
            Ask::Io { fast: true, write, .. } => binding && (exclusive || *write),
            Ask::SetAttr { fast: true, .. } | Ask::Remove { fast: true, .. } => binding,
            Ask::Io { write, range: at, who, open, .. } => {
                let own = matches!(owner, Owner::Open(mine) if Some(mine) == *open);
                !own && (who.smb() || binding) && (exclusive || *write) && overlap(*at, range)
            }
            _ => false,
        }
    }

    /// Owners of held locks in the way; `None` is an SMB open.
    fn lock_holders(&self, owner: Owner, range: (u64, u64), exclusive: bool) -> Vec<Option<Owner>> {
        let smb = self.per_open.iter().filter(|(open, held, held_exclusive)| {
            let stacked = owner == Owner::Open(*open) && *held_exclusive && !exclusive;
            overlap(*held, range) && (exclusive || *held_exclusive) && !stacked
        });
        let posix = self.posix.iter().filter(|(holder, bytes)| {
            let hit = (range.0..=range.1).any(|at| bytes[at as usize].is_some_and(|x| x || exclusive));
            *holder != owner && hit
        });
        smb.map(|_| None).chain(posix.map(|(holder, _)| Some(*holder))).collect()
    }

    fn cycle(&self, owner: Owner, range: (u64, u64), exclusive: bool) -> bool {
        if !matches!(owner, Owner::Posix(..)) {
            return false;
        }
        let mut reached: Vec<Owner> =
            self.lock_holders(owner, range, exclusive).into_iter().flatten().collect();
        let mut at = 0;
        while at < reached.len() {
            let waiting = reached[at];
            for parked in self.parked.iter().filter(|p| p.outcome.is_none()) {
                if let Ask::Lock { owner: its, range, exclusive, .. } = parked.ask
                    && its == waiting
                {
                    for next in self.lock_holders(its, range, exclusive).into_iter().flatten() {
                        if !reached.contains(&next) {
                            reached.push(next);
                        }
                    }
                }
            }
            at += 1;
        }
        reached.contains(&owner)
    }

    /// What of a wished lease can be granted, or what the holder's own lease has become.
    fn leaseable(&self, kind: Kind, who: Who, key: Option<u8>, wished: u8) -> u8 {
        let mine = |who2: Who, open: Option<u64>| match kind {
            Kind::Oplock => false,
            Kind::Key(_) => who2 == who && self.key_of(open) == key,
            Kind::Delegation => who2 == who,
        };
        let delegation = kind == Kind::Delegation;
        let mut bits = wished & if delegation { R | W } else { R | W | H };
        bits &= !self.guard.filter(|(_, until)| *until > self.now).map_or(0, |(bits, _)| bits);
        for open in self.opens.iter().filter(|o| !mine(o.who, Some(o.label))) {
            let stat = if kind == Kind::Oplock { open.access.stat_oplock } else { open.access.stat_lease };
            bits &= match () {
                () if stat => !0,
                () if delegation && open.access.uses & 2 != 0 => 0,
                () => !W,
            };
        }
        let foreign_posix = self.posix.iter().any(|(owner, bytes)| {
            let Owner::Posix(holder, _) = owner else { return true };
            !(delegation && *holder == who) && bytes.iter().any(Option::is_some)
        });
        let foreign_smb = self.per_open.iter().any(|(open, _, _)| {
            let holder = self.opens.iter().find(|o| o.label == *open).map(|o| o.who);
            !holder.is_some_and(|holder| mine(holder, Some(*open)))
        });
        if foreign_posix || foreign_smb {
            return self.held_or(kind, who, key, 0);
        }
        for lease in &self.leases {
            let own = lease.who == who && lease.kind == kind && kind != Kind::Oplock;
            if !own && lease.bits != 0 {
                bits &= if lease.bits & W != 0 { 0 } else { !W };
            }
        }
        for flight in &self.flights {
            let fast = matches!(
                flight.ask,
                Ask::Io { fast: true, .. } | Ask::SetAttr { fast: true, .. } | Ask::Remove { fast: true, .. }
            );
            if !fast && mine(flight.who, flight.open) {
                continue;
            }
            bits &= match flight.ask {
                Ask::Io { write: false, .. } => !W,
                Ask::Io { .. } => 0,
                _ if fast || delegation => 0,
                Ask::Remove { .. } => !H,
                _ => !0,
            };
        }
        let bits = if delegation { if bits & R != 0 { bits } else { 0 } } else { whole(kind, bits, bits) };
        self.held_or(kind, who, key, bits)
    }

    fn held_or(&self, kind: Kind, who: Who, _key: Option<u8>, bits: u8) -> u8 {
        match self.own_lease(kind, who) {
            Some(lease) if lease.breaking.is_none() && lease.bits & !bits == 0 => bits,
            Some(lease) => lease.bits,
            None => bits,
        }
    }

    pub fn own_lease(&self, kind: Kind, who: Who) -> Option<&Lease> {
        self.leases.iter().find(|l| kind != Kind::Oplock && l.kind == kind && l.who == who)
    }

    /// Enters a lock.
    pub fn enter_lock(&mut self, owner: Owner, range: (u64, u64), exclusive: bool) {
        match owner {
            Owner::Open(open) => self.per_open.push((open, range, exclusive)),
            Owner::Posix(..) => self.set_posix(owner, range, Some(exclusive)),
        }
    }

    pub fn set_posix(&mut self, owner: Owner, range: (u64, u64), mode: Option<bool>) {
        if !self.posix.iter().any(|(holder, _)| *holder == owner) {
            self.posix.push((owner, [None; BYTES]));
        }
        for (holder, bytes) in &mut self.posix {
            if *holder == owner {
                self.released |= (range.0..=range.1).any(|at| bytes[at as usize].is_some());
                (range.0..=range.1).for_each(|at| bytes[at as usize] = mode);
            }
        }
    }

    /// Tests the parked locks in order when something was released, until nothing changes.
    pub fn flush(&mut self) {
        while std::mem::take(&mut self.released) {
            for at in 0..self.parked.len() {
                let Parked { ask: ask @ Ask::Lock { .. }, outcome: None, .. } = self.parked[at].clone()
                else {
                    continue;
                };
                let verdict = self.decide(&ask);
                if verdict == Verdict::Wait {
                    continue;
                }
                if let (Verdict::Granted(_), Ask::Lock { owner, range, exclusive, .. }) = (&verdict, ask) {
                    self.enter_lock(owner, range, exclusive);
                }
                self.parked[at].outcome = Some(verdict);
            }
        }
    }

    pub fn close(&mut self, label: u64) {
        let lease = self.opens.iter().find(|o| o.label == label).and_then(|o| o.lease);
        self.opens.retain(|o| o.label != label);
        self.per_open.retain(|(open, _, _)| *open != label);
        let used = self.opens.iter().any(|o| o.lease == lease);
        if lease.is_some() && !used {
            self.leases.retain(|l| Some(l.label) != lease);
        }
        self.released = true;
    }

    /// The holder answers, keeping `kept`.
    pub fn ack(&mut self, label: u64, kept: u8) {
        let Some(lease) = self.leases.iter_mut().find(|l| l.label == label) else { return };
        let Some((_, wanted, _)) = lease.breaking.take() else { return };
        lease.bits = whole(lease.kind, kept, kept);
        let more = lease.bits & !wanted != 0;
        self.released = true;
        self.tidy(label);
        if more {
            self.want(label, wanted);
        }
    }

    pub fn give_up(&mut self, label: u64) {
        if let Some(lease) = self.leases.iter_mut().find(|l| l.label == label) {
            (lease.bits, lease.breaking) = (0, None);
        }
        self.released = true;
        self.tidy(label);
    }

    /// Time passes: holders that did not answer lose everything.
    pub fn pass(&mut self, now: u64) {
        self.now = now;
        let mut due: Vec<(u64, u64)> =
            self.leases.iter().filter_map(|l| l.breaking.map(|(_, _, until)| (until, l.label))).collect();
        due.sort_unstable();
        for (_, label) in due.into_iter().filter(|(until, _)| *until <= now) {
            self.give_up(label);
        }
    }
}

/// Whether a stateless request in flight does what an open is about to deny.
fn denied_flight(flight: &Flight, denies: u8) -> bool {
    match &flight.ask {
        Ask::Io { fast: true, write: false, .. } => denies & 1 != 0,
        Ask::Io { fast: true, .. } | Ask::SetAttr { fast: true, .. } | Ask::Remove { fast: true, .. } => {
            denies & 6 != 0
        }
        Ask::Io { open: Some(_), .. } => false,
        Ask::Io { write, .. } => denies & if *write { 2 } else { 1 } != 0,
        Ask::Remove { .. } => denies & 4 != 0,
        _ => false,
    }
}

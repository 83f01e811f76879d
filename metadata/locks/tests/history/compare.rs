//! Saying a request to the table, bringing both sides to rest, and comparing them.

use super::*;

impl Run {
    /// The request as the table takes it.
    pub fn request(&self, ask: &Ask) -> Request {
        match ask.clone() {
            Ask::Open { who, access, denies, truncate, wish } => {
                let mut open = open(actor_of(who), Rights(access.mask), Uses(denies));
                open.truncate = truncate.map(|(first, last)| span(first, last));
                open.lease = wish.map(|(kind, bits)| {
                    let (kind, key) = match (kind, who) {
                        (Kind::Oplock, _) => (LeaseKind::Oplock, None),
                        (Kind::Key(n), Who::Smb(client)) => (LeaseKind::SmbV2, Some(key(client, n))),
                        (Kind::Key(_), _) => panic!("keys are SMB's"),
                        (Kind::Delegation, _) => (LeaseKind::Delegation, None),
                    };
                    LeaseAsk { key, ..LeaseAsk::new(actor_of(who), FILE, kind, LeaseBits(bits)) }
                });
                Request::Open(open)
            }
            Ask::Delegation { who, bits } => {
                Request::Lease(LeaseAsk::new(actor_of(who), FILE, LeaseKind::Delegation, LeaseBits(bits)))
            }
            Ask::Io { who, open, write, range, .. } => {
                let mut actor = actor_of(who);
                actor.open = open.map(OpenId);
                io(actor, if write { IoKind::Write } else { IoKind::Read }, span(range.0, range.1))
            }
            Ask::Lock { who, owner, range, exclusive, park } => {
                let mut actor = actor_of(who);
                let flavour = match owner {
                    Owner::Open(open) => {
                        actor.open = Some(OpenId(open));
                        Flavour::PerOpen
                    }
                    Owner::Posix(who, n) => {
                        actor.lock_owner =
                            Some(LockOwner { client: actor_of(who).client, owner: vec![n].into() });
                        Flavour::Posix
                    }
                };
                let wait = match (who, park) {
                    (Who::V3(_), true) => LockWait::ParkAcked,
                    (_, true) => LockWait::Park,
                    (Who::Smb(_), false) => LockWait::Never,
                    (_, false) => LockWait::Recall,
                };
                Request::Lock(lock(actor, flavour, span(range.0, range.1), exclusive, wait))
            }
            Ask::SetAttr { who, .. } => set_attr(actor_of(who)),
            Ask::Remove { who, .. } => name(actor_of(who), FILE, NameRole::Victim),
        }
    }

    /// Lets both sides come to rest: queues pumped, NLM grants acknowledged, notices compared.
    pub fn settle(&mut self) {
        let mut told = Vec::new();
        loop {
            self.model.flush();
            let notices = self.table.drain_notices();
            if notices.is_empty() {
                break;
            }
            for notice in notices {
                match notice.body {
                    NoticeBody::Break { lease, from, to, .. } => told.push((lease.0, from.0, to.0)),
                    NoticeBody::LockGranted { ticket, lock, .. } => {
                        let at = self.waiting.iter().position(|w| w.ticket.id() == ticket).unwrap();
                        let gone = self.waiting.remove(at);
                        let parked = self.model.parked.iter().find(|p| p.number == gone.number).unwrap();
                        assert_eq!(
                            parked.outcome,
                            Some(Verdict::Granted(None)),
                            "{} {:?}",
                            self.at(),
                            gone.ask
                        );
                        self.model.parked.retain(|p| p.number != gone.number);
                        self.table.lock_ack(lock, self.now()).unwrap();
                        self.count("NLM granted");
                    }
                    NoticeBody::Revoked { .. } => self.count("revoked"),
                    other => panic!("{}: {other:?}", self.at()),
                }
            }
        }
        let mut want = std::mem::take(&mut self.model.notices);
        want.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, want, "{}: break notices", self.at());
    }

    /// Retries everything that waits, in order; who can go on must have been woken.
    pub fn retest(&mut self) {
        let numbers: Vec<u64> = self.waiting.iter().map(|w| w.number).collect();
        for number in numbers {
            let Some(at) = self.waiting.iter().position(|w| w.number == number) else { continue };
            if matches!(self.waiting[at].ask, Ask::Lock { who: Who::V3(_), park: true, .. }) {
                continue;
            }
            let mut waiting = self.waiting.remove(at);
            let was_ready = ready(&mut waiting.ticket);
            let admission = self.table.retry(waiting.ticket, self.now());
            let outcome =
                self.model.parked.iter().find(|p| p.number == number).and_then(|p| p.outcome.clone());
            let queued = outcome.is_some();
            let verdict = outcome.unwrap_or_else(|| self.model.decide(&waiting.ask));
            // A refusal may come from what others were granted meanwhile; a grant must have been announced.
            let asleep = matches!(&admission, Admission::Granted(_)) && !was_ready;
            assert!(!asleep, "{}: {:?} could go on but sleeps", self.at(), waiting.ask);
            if queued {
                self.number_granted.push(number);
            }
            self.conclude(number, waiting.ask, admission, verdict);
        }
    }

    pub fn compare(&self) {
        let at = self.at();
        let claims = self.table.claims_on(FILE);
        let opens: Vec<_> = claims
            .iter()
            .filter(|c| c.open().is_some() && !c.revoked)
            .map(|c| (c.open().unwrap().open.0, c.uses.0, c.denies.0))
            .collect();
        let want: Vec<_> = self.model.opens.iter().map(|o| (o.label, o.access.uses, o.denies)).collect();
        assert_eq!(opens, want, "{at}: opens");
        let mut leases: Vec<_> = claims
            .iter()
            .filter(|c| !c.revoked)
            .filter_map(|c| match c.lease()?.state {
                LeaseState::Held { bits, .. } => Some((c.id.0, bits.0, None)),
                LeaseState::Breaking { from, to, wanted, .. } => {
                    Some((c.id.0, from.0, Some((to.0, wanted.0))))
                }
            })
            .collect();
        leases.sort_unstable();
        let leases_of = self.model.leases.iter();
        let mut want: Vec<_> =
            leases_of.map(|l| (l.label, l.bits, l.breaking.map(|(to, wanted, _)| (to, wanted)))).collect();
        want.sort_unstable();
        assert_eq!(leases, want, "{at}: leases");
        self.compare_locks(&at, &claims);
        self.compare_word(&at, &claims);
    }

    fn compare_locks(&self, at: &str, claims: &[Claim]) {
        let mut posix: BTreeMap<LockOwner, [Option<bool>; BYTES]> = BTreeMap::new();
        let mut per_open = Vec::new();
        for (claim, lock) in claims.iter().filter_map(|c| Some((c, c.lock()?))) {
            let ByteRange::Span { first, last } = lock.range else { panic!("{at}: {lock:?}") };
            assert_eq!(lock.state, LockState::Held, "{at}");
            match &claim.actor.lock_owner {
                Some(owner) => {
                    let bytes = posix.entry(owner.clone()).or_insert([None; BYTES]);
                    for byte in first..=last {
                        assert!(bytes[byte as usize].replace(lock.exclusive).is_none(), "{at}: overlap");
                    }
                }
                None => per_open.push((lock.open.unwrap().0, (first, last), lock.exclusive)),
            }
        }
        let wanted = self.model.posix.iter().filter(|(_, bytes)| bytes.iter().any(Option::is_some));
        let want: BTreeMap<_, _> = wanted
            .map(|(owner, bytes)| {
                let Owner::Posix(who, n) = owner else { panic!("{owner:?}") };
                (LockOwner { client: actor_of(*who).client, owner: vec![*n].into() }, *bytes)
            })
            .collect();
        assert_eq!(posix, want, "{at}: POSIX locks");
        assert_eq!(per_open, self.model.per_open, "{at}: SMB locks");
    }

    /// The word equals what the reference holds, bit by bit, and counts who came in by the fast path.
    fn compare_word(&self, at: &str, claims: &[Claim]) {
        use dfs_locks::summary as s;
        let model = &self.model;
        let any_open = |f: &dyn Fn(&model::Open) -> bool| model.opens.iter().any(f);
        let lease = |bit: u8| model.leases.iter().any(|l| l.kind != Kind::Delegation && l.bits & bit != 0);
        let delegation =
            |w: bool| model.leases.iter().any(|l| l.kind == Kind::Delegation && (l.bits & 2 != 0) == w);
        let flags = [
            (s::OPEN_NFS, any_open(&|o| !o.who.smb())),
            (s::OPEN_SMB, any_open(&|o| o.who.smb())),
            (s::DENY_READ, any_open(&|o| o.denies & 1 != 0)),
            (s::DENY_WRITE, any_open(&|o| o.denies & 2 != 0)),
            (s::DENY_DELETE, any_open(&|o| o.denies & 4 != 0)),
            (s::LEASE_R, lease(1)),
            (s::LEASE_W, lease(2)),
            (s::LEASE_H, lease(4)),
            (s::DELEG_READ, delegation(false)),
            (s::DELEG_WRITE, delegation(true)),
            (s::LOCK_PER_OPEN, !model.per_open.is_empty()),
            (s::LOCK_POSIX, claims.iter().any(|c| c.lock().is_some_and(|l| l.flavour == Flavour::Posix))),
        ];
        let want = flags.iter().filter(|(_, on)| *on).fold(0, |all, (flag, _)| all | flag);
        let got = self.word.flags();
        assert_eq!(got & !s::CLOSED, want, "{at}: flags");
        let nlm_waits =
            self.waiting.iter().any(|w| matches!(w.ask, Ask::Lock { who: Who::V3(_), park: true, .. }));
        if !nlm_waits {
            let closed = self.waiting.iter().any(|w| *w.ticket.reason() == WaitReason::InFlight);
            assert_eq!(got & s::CLOSED != 0, closed, "{at}: closed");
        }
        let fast = |write: bool| {
            let counts = |f: &&model::Flight| match f.ask {
                Ask::Io { fast, write: w, .. } => fast && w == write,
                Ask::SetAttr { fast, .. } | Ask::Remove { fast, .. } => fast && write,
                _ => false,
            };
            model.flights.iter().filter(counts).count() as u64
        };
        let entrants = self.word.entrants();
        assert_eq!((entrants.readers, entrants.writers), (fast(false), fast(true)), "{at}: entrants");
    }

    /// Everything ends: nothing is left.
    pub fn finish(mut self) -> BTreeMap<String, u64> {
        for waiting in std::mem::take(&mut self.waiting) {
            self.table.cancel(waiting.ticket.id());
        }
        self.flights.clear();
        for n in 1..=2 {
            for who in [Who::V3(n), Who::V4(n), Who::Smb(n)] {
                let client = actor_of(who).client;
                self.table.client_gone(&client, self.now());
                for claim in self.table.claims_of(&client) {
                    self.table.forget(claim.id, self.now()).unwrap();
                }
            }
        }
        self.table.tick(after(self.model.now + 100));
        assert!(self.table.list(ClaimId(0), 10).is_empty(), "seed {}", self.seed);
        assert_eq!(self.word.flags(), 0, "seed {}", self.seed);
        assert_eq!(self.table.next_deadline(), None, "seed {}", self.seed);
        self.counts
    }
}

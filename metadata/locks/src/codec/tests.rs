//! Round trips over every variant, and hostile bytes.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

const SEED: u64 = 0xc0dec;

/// Makes random values, every variant and both sides of every option in turn.
struct Maker(SmallRng);

impl Maker {
    fn pick(&mut self, n: u32) -> u32 {
        self.0.random_range(0..n)
    }

    fn number(&mut self) -> u64 {
        self.0.random()
    }

    fn flag(&mut self) -> bool {
        self.0.random()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Maker) -> T) -> Option<T> {
        if self.flag() { Some(make(self)) } else { None }
    }

    fn blob(&mut self) -> Bytes {
        let len = self.pick(40) as usize;
        (0..len).map(|_| self.0.random::<u8>()).collect::<Vec<_>>().into()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.0.random())
    }

    fn time(&mut self) -> Monotonic {
        Monotonic(self.number())
    }

    fn duration(&mut self) -> Duration {
        Duration::new(self.number(), self.pick(1_000_000_000))
    }

    fn key(&mut self) -> LeaseKey {
        LeaseKey { client_guid: self.array(), key: self.array() }
    }

    fn client(&mut self) -> ClientRef {
        match self.pick(5) {
            0 if self.flag() => ClientRef::Nfs3Host { name: self.blob(), address: self.array::<4>().into() },
            0 => ClientRef::Nfs3Host { name: self.blob(), address: self.array::<16>().into() },
            1 => ClientRef::Nfs4 { id: self.number(), minor: self.pick(3) as u8 },
            2 => ClientRef::Smb { client_guid: self.array(), session: self.number() },
            3 => ClientRef::Anonymous,
            _ => ClientRef::Internal(
                [
                    InternalJob::Flush,
                    InternalJob::Compaction,
                    InternalJob::Prefetch,
                    InternalJob::Snapshot,
                    InternalJob::Restore,
                    InternalJob::Administrator,
                ][self.pick(6) as usize],
            ),
        }
    }

    fn owner(&mut self) -> LockOwner {
        LockOwner { client: self.client(), owner: self.blob() }
    }

    fn actor(&mut self) -> Actor {
        Actor {
            client: self.client(),
            open: self.maybe(|m| OpenId(m.number())),
            lease_key: self.maybe(Self::key),
            parent_lease_key: self.maybe(Self::key),
            lock_owner: self.maybe(Self::owner),
        }
    }

    fn range(&mut self) -> ByteRange {
        if self.flag() {
            ByteRange::Span { first: self.number(), last: self.number() }
        } else {
            ByteRange::Empty { at: self.number() }
        }
    }

    fn exemption(&mut self) -> Exemption {
        match self.pick(5) {
            0 => Exemption::Open(OpenId(self.number())),
            1 => Exemption::Key(self.key()),
            2 => Exemption::Owner(self.owner()),
            3 => Exemption::Client(self.client()),
            _ => Exemption::Nobody,
        }
    }

    fn open(&mut self) -> OpenBody {
        OpenBody {
            open: OpenId(self.number()),
            access: Rights(self.0.random()),
            parent: self.maybe(|m| InodeId(m.number())),
            lease: self.maybe(|m| ClaimId(m.number())),
            durability: match self.pick(3) {
                0 => Durability::None,
                1 => Durability::Durable(self.duration()),
                _ => Durability::Persistent(self.duration()),
            },
            link: if self.flag() { OpenLink::Connected } else { OpenLink::Lost { until: self.time() } },
            create_guid: self.maybe(Self::array),
            app_instance: self.maybe(Self::array),
            principal: self.blob(),
            blob: self.blob(),
            delete_on_close: self.flag(),
        }
    }

    fn lease(&mut self) -> LeaseBody {
        let state = if self.flag() {
            LeaseState::Held { bits: LeaseBits(self.0.random()), epoch: self.0.random() }
        } else {
            LeaseState::Breaking {
                from: LeaseBits(self.0.random()),
                to: LeaseBits(self.0.random()),
                wanted: LeaseBits(self.0.random()),
                epoch: self.0.random(),
                since: self.time(),
                deadline: self.time(),
            }
        };
        let kinds = [LeaseKind::Oplock, LeaseKind::SmbV1, LeaseKind::SmbV2, LeaseKind::Delegation];
        LeaseBody {
            kind: kinds[self.pick(4) as usize],
            directory: self.flag(),
            state,
            parent_key: self.maybe(Self::key),
            notified: self.flag(),
            answer: self.maybe(|m| {
                let stamp = |m: &mut Maker| Timestamp { secs: m.0.random(), nanos: m.0.random() };
                let times = m.maybe(|m| (stamp(m), stamp(m)));
                (m.number(), HolderAnswer { change: m.number(), size: m.number(), times })
            }),
            asked: self.maybe(|m| (m.number(), m.time())),
        }
    }

    fn claim(&mut self) -> Claim {
        let body = match self.pick(5) {
            0 => ClaimBody::Open(self.open()),
            1 => ClaimBody::Lock(LockBody {
                range: self.range(),
                exclusive: self.flag(),
                flavour: if self.flag() { Flavour::Posix } else { Flavour::PerOpen },
                open: self.maybe(|m| OpenId(m.number())),
                order: self.number(),
                state: if self.flag() {
                    LockState::Held
                } else {
                    LockState::Unacked { deadline: self.time() }
                },
            }),
            2 => ClaimBody::Lease(self.lease()),
            3 => ClaimBody::Io(IoBody { range: self.range() }),
            _ => ClaimBody::Name(NameBody {
                role: match self.pick(4) {
                    0 => NameRole::Victim,
                    1 => NameRole::LinkSource,
                    2 => NameRole::Entries,
                    _ => NameRole::MovedDirectory { posix: self.flag() },
                },
            }),
        };
        Claim {
            id: ClaimId(self.number()),
            inode: InodeId(self.number()),
            stream: StreamId(self.number()),
            actor: self.actor(),
            exemption: self.exemption(),
            uses: Uses(self.0.random()),
            denies: Uses(self.0.random()),
            revoked: self.flag(),
            since: self.time(),
            body,
        }
    }
}

fn round_trip<R: Record + PartialEq + std::fmt::Debug>(
    record: &R,
    seen: &mut std::collections::HashSet<Vec<u8>>,
) {
    let bytes = record.encode();
    assert_eq!(R::decode(&bytes).as_ref(), Ok(record), "seed {SEED:#x}");
    seen.insert(bytes);
}

#[test]
fn record_of_every_kind_round_trips() {
    let mut make = Maker(SmallRng::seed_from_u64(SEED));
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3000 {
        round_trip(&make.claim(), &mut seen);
        let locks = (0..make.pick(4)).map(|_| make.claim()).collect();
        let lease = make.maybe(Maker::claim);
        round_trip(&PersistentOpen { open: make.claim(), lease, locks }, &mut seen);
        let record = ClientRecord {
            client: make.client(),
            owner: make.blob(),
            verifier: make.array(),
            principal: make.blob(),
            reclaim_complete: make.flag(),
            lost: make.flag(),
            lease: make.duration(),
        };
        round_trip(&record, &mut seen);
        let host = HostRecord { client: make.client(), state: make.0.random(), monitored: make.flag() };
        round_trip(&host, &mut seen);
        let directory = make.maybe(|m| InodeId(m.number()));
        let mark = DeleteMark { by: OpenId(make.number()), directory, blob: make.blob() };
        round_trip(&mark, &mut seen);
    }
    assert!(seen.len() > 14_900, "different values have different bytes: {}", seen.len());
}

#[test]
fn damaged_record_is_an_error_and_never_another_length() {
    let mut make = Maker(SmallRng::seed_from_u64(SEED));
    for _ in 0..200 {
        let bytes = make.claim().encode();
        for len in 0..bytes.len() {
            assert_eq!(Claim::decode(&bytes[..len]), Err(CodecError::Damaged), "seed {SEED:#x} cut at {len}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Claim::decode(&longer), Err(CodecError::Damaged));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << make.pick(8);
            if let Ok(claim) = Claim::decode(&flipped) {
                assert_eq!(claim.encode(), flipped, "one reading for one spelling");
            }
        }
    }
}

#[test]
fn newer_and_foreign_records_are_told_apart() {
    let mut make = Maker(SmallRng::seed_from_u64(SEED));
    let mut bytes = make.claim().encode();
    assert_eq!(ClientRecord::decode(&bytes), Err(CodecError::WrongKind));
    bytes[0] = 2;
    assert_eq!(Claim::decode(&bytes), Err(CodecError::Newer(2)));
    bytes[0] = 0;
    assert_eq!(Claim::decode(&bytes), Err(CodecError::Damaged));
}

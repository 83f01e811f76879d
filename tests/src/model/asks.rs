//! Random questions: well-formed more often than not, but every refusal is asked for too.

use super::compare::Pair;
use dfs_model::{Ace, AceType, Acl, Identity, Name, Rights, Timestamp, WellKnown};
use rand::Rng;
use rand::rngs::StdRng;

/// A question in terms of the pair's own file numbers, so that both sides can be asked.
#[derive(Clone, Debug)]
pub enum Ask {
    Lookup {
        who: usize,
        dir: usize,
        name: Name,
    },
    GetAttr {
        who: usize,
        file: usize,
    },
    Access {
        who: usize,
        file: usize,
        rights: u32,
    },
    SetAttr {
        who: usize,
        file: usize,
        mode: Option<u16>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        mtime: Option<Option<Timestamp>>,
        guard: Guarded,
    },
    SetAcl {
        who: usize,
        file: usize,
        acl: Acl,
        mode: Option<u16>,
    },
    SetSecurity {
        who: usize,
        file: usize,
        /// Owner, group, dacl, sacl.
        parts: u8,
        acl: Acl,
        uid: u32,
        gid: u32,
    },
    GetSecurity {
        who: usize,
        file: usize,
        parts: u8,
    },
    XattrSet {
        who: usize,
        file: usize,
        values: Vec<(&'static str, Option<usize>)>,
        /// Create, replace, either.
        mode: u8,
        any_case: bool,
    },
    XattrGet {
        who: usize,
        file: usize,
        names: Vec<&'static str>,
        any_case: bool,
    },
    XattrList {
        who: usize,
        file: usize,
        bytes_max: usize,
    },
    Create {
        who: usize,
        dir: usize,
        name: Name,
        kind: Kind,
        existing: Existing,
        mode: Option<u16>,
        truncate: bool,
    },
    Link {
        who: usize,
        file: usize,
        dir: usize,
        name: Name,
    },
    Remove {
        who: usize,
        dir: usize,
        name: Name,
        what: u8,
    },
    Rename {
        who: usize,
        from: usize,
        from_name: Name,
        to: usize,
        to_name: Name,
    },
    ReadLink {
        who: usize,
        file: usize,
    },
    ReadDir {
        who: usize,
        dir: usize,
        entries: usize,
    },
    Read {
        who: usize,
        file: usize,
        offset: u64,
        len: u32,
    },
    Write {
        who: usize,
        file: usize,
        offset: u64,
        len: usize,
        fill: u8,
        stable: bool,
    },
    Commit {
        who: usize,
        file: usize,
    },
    Copy {
        who: usize,
        from: usize,
        to: usize,
        /// Blocks before the range, in source and target.
        blocks: (u64, u64),
        /// Bytes more before it, in the source.
        odd: u64,
        len: u64,
        /// Replace, clone, copy.
        how: u8,
    },
}

impl Ask {
    /// Whether it is about names, not about attributes and bytes.
    pub fn is_about_names(&self) -> bool {
        use Ask::{Create, Link, Lookup, ReadDir, ReadLink, Remove, Rename};
        matches!(
            self,
            Lookup { .. }
                | Create { .. }
                | Link { .. }
                | Remove { .. }
                | Rename { .. }
                | ReadLink { .. }
                | ReadDir { .. }
        )
    }
}

/// Condition of a SetAttr.
#[derive(Clone, Copy, Debug)]
pub enum Guarded {
    No,
    Right,
    Wrong,
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    Device,
}

/// How to treat an existing name.
#[derive(Clone, Copy, Debug)]
pub enum Existing {
    Unchecked,
    Guarded,
    Exclusive(u8),
}

/// Users of a history: the superuser, two users of one group, one of none.
pub const USERS: usize = 4;

fn name(rng: &mut StdRng) -> Name {
    Name::try_from(["a", "b", "c", "d", "e", "f"][rng.random_range(0..6)]).unwrap()
}

/// A random question.
pub fn random(rng: &mut StdRng, pair: &Pair) -> Ask {
    let who = rng.random_range(0..USERS);
    let file = pair.some_file(rng);
    let dir = if rng.random_bool(0.9) { pair.some_dir(rng) } else { file };
    match rng.random_range(0..100) {
        0..6 => Ask::Lookup { who, dir, name: name(rng) },
        6..10 => Ask::GetAttr { who, file },
        10..14 => Ask::Access { who, file, rights: rng.random_range(0..0x1f_01ff) },
        14..24 => set_attr(rng, who, file),
        24..27 => security(rng, who, file),
        27..31 => xattrs(rng, who, file),
        31..50 => create(rng, who, dir),
        50..55 => Ask::Link { who, file, dir, name: name(rng) },
        55..63 => Ask::Remove { who, dir, name: name(rng), what: rng.random_range(0..3) },
        63..72 => {
            Ask::Rename { who, from: dir, from_name: name(rng), to: pair.some_dir(rng), to_name: name(rng) }
        }
        72..74 => Ask::ReadLink { who, file },
        74..78 => Ask::ReadDir { who, dir, entries: rng.random_range(1..8) },
        78..86 => {
            Ask::Read { who, file, offset: rng.random_range(0..30_000), len: rng.random_range(0..20_000) }
        }
        86..97 => Ask::Write {
            who,
            file,
            offset: if rng.random_bool(0.02) { i64::MAX as u64 - 3 } else { rng.random_range(0..30_000) },
            len: rng.random_range(0..9000),
            fill: rng.random(),
            stable: rng.random_bool(0.3),
        },
        97 => copy(rng, who, pair),
        _ => Ask::Commit { who, file },
    }
}

fn copy(rng: &mut StdRng, who: usize, pair: &Pair) -> Ask {
    let (from, to) = (pair.some_file(rng), pair.some_file(rng));
    let whole = rng.random_bool(0.5);
    let some = |rng: &mut StdRng| if rng.random_bool(0.7) { 0 } else { rng.random_range(0..2) };
    Ask::Copy {
        who: if rng.random_bool(0.5) { 0 } else { who },
        from,
        to,
        blocks: (some(rng), some(rng)),
        odd: if rng.random_bool(0.9) { 0 } else { 1 },
        len: if whole || rng.random_bool(0.3) { 0 } else { rng.random_range(0..30_000) },
        how: if whole { 0 } else { 1 + u8::from(rng.random_bool(0.05)) },
    }
}

fn set_attr(rng: &mut StdRng, who: usize, file: usize) -> Ask {
    let some = |rng: &mut StdRng, chance: f64| rng.random_bool(chance);
    Ask::SetAttr {
        who,
        file,
        mode: some(rng, 0.4).then(|| rng.random_range(0..0o10000)),
        uid: some(rng, 0.15).then(|| [0, 1000, 1001, 2000][rng.random_range(0..4)]),
        gid: some(rng, 0.15).then(|| [0, 100, 200][rng.random_range(0..3)]),
        size: some(rng, 0.3).then(|| rng.random_range(0..30_000)),
        mtime: some(rng, 0.3)
            .then(|| some(rng, 0.5).then(|| Timestamp::new(rng.random_range(0..1 << 31), 5))),
        guard: [Guarded::No, Guarded::No, Guarded::Right, Guarded::Wrong][rng.random_range(0..4)],
    }
}

fn xattrs(rng: &mut StdRng, who: usize, file: usize) -> Ask {
    let name = |rng: &mut StdRng| {
        let names = ["colour", "Colour", "origin", "", "with \0"];
        names[if rng.random_bool(0.95) { rng.random_range(0..3) } else { rng.random_range(3..5) }]
    };
    let any_case = rng.random_bool(0.2);
    match rng.random_range(0..4) {
        0 => Ask::XattrList { who, file, bytes_max: rng.random_range(0..60) },
        1 => Ask::XattrGet {
            who,
            file,
            names: (0..rng.random_range(0..3)).map(|_| name(rng)).collect(),
            any_case,
        },
        _ => {
            let value = |rng: &mut StdRng| rng.random_bool(0.8).then(|| rng.random_range(0..100));
            let mut values: Vec<_> = (0..rng.random_range(1..3)).map(|_| (name(rng), value(rng))).collect();
            if let ([(_, value)], true) = (&mut values[..], rng.random_bool(0.1)) {
                *value = Some(rng.random_range(65_537..65_600));
            }
            Ask::XattrSet { who, file, values, mode: rng.random_range(0..4), any_case }
        }
    }
}

fn security(rng: &mut StdRng, who: usize, file: usize) -> Ask {
    match rng.random_range(0..4) {
        0 => Ask::GetSecurity { who, file, parts: rng.random_range(0..16) },
        1 => Ask::SetSecurity {
            who,
            file,
            parts: rng.random_range(0..16),
            acl: some_acl(rng),
            uid: [1000, 1001][rng.random_range(0..2)],
            gid: [100, 200][rng.random_range(0..2)],
        },
        _ => Ask::SetAcl {
            who,
            file,
            acl: some_acl(rng),
            mode: rng.random_bool(0.2).then(|| rng.random_range(0..0o10000)),
        },
    }
}

fn some_acl(rng: &mut StdRng) -> Acl {
    if rng.random_bool(0.1) {
        return Acl::of_mode(rng.random_range(0..0o1000), rng.random());
    }
    let dacl = (0..rng.random_range(0..6)).map(|_| some_ace(rng, false)).collect();
    let audits = rng.random_bool(0.05);
    let sacl = audits.then(|| vec![some_ace(rng, true)]);
    Acl { control: 0, dacl: (!rng.random_bool(0.05)).then_some(dacl), sacl }
}

fn some_ace(rng: &mut StdRng, audit: bool) -> Ace {
    let who = match rng.random_range(0..10) {
        0..3 => Identity::WellKnown(WellKnown::Everyone),
        3 => Identity::WellKnown(WellKnown::Owner),
        4 => Identity::WellKnown(WellKnown::Group),
        5 => Identity::WellKnown(WellKnown::CreatorOwner),
        6 => Identity::WellKnown(WellKnown::CreatorGroup),
        7 | 8 => Identity::Uid([1000, 1001, 2000][rng.random_range(0..3)]),
        _ => Identity::Gid([100, 200][rng.random_range(0..2)]),
    };
    let kind = match (audit, rng.random_bool(0.25)) {
        (true, _) => AceType::Audit,
        (false, true) => AceType::Deny,
        (false, false) => AceType::Allow,
    };
    let mask = match rng.random_range(0..4) {
        0 => rng.random_range(0..0x20_0000) & Rights::ALL.0,
        1 => 0x27,
        2 => 0x1000_0000,
        _ => Rights::ALL.0,
    };
    Ace { kind, flags: if rng.random_bool(0.5) { 0 } else { rng.random_range(0..16) }, mask, who }
}

fn create(rng: &mut StdRng, who: usize, dir: usize) -> Ask {
    let kind =
        [Kind::File, Kind::File, Kind::Directory, Kind::Directory, Kind::Symlink, Kind::Fifo, Kind::Device]
            [rng.random_range(0..7)];
    let existing = match rng.random_range(0..4) {
        0 => Existing::Unchecked,
        1 => Existing::Exclusive(rng.random_range(0..2)),
        _ => Existing::Guarded,
    };
    let mode =
        rng.random_bool(0.8).then(|| if rng.random_bool(0.5) { 0o777 } else { rng.random_range(0..0o10000) });
    Ask::Create { who, dir, name: name(rng), kind, existing, mode, truncate: rng.random_bool(0.3) }
}

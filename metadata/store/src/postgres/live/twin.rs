//! The SQL functions and the operations in Rust are twins: the same random calls, refused ones too, get the same replies,
//! field by field, ACLs and every kind of caller included.

use super::*;
use crate::conformance::model::Random;
use crate::conformance::{check_consistent, name};
use crate::{
    CreateMode, CreateRequest, LinkRequest, MemoryStore, OpContext, ReadDirRequest, RemoveKind,
    RemoveRequest, RenameRequest, Replace, SetAttrRequest, XattrSetRequest,
};
use bytes::Bytes;
use dfs_model::{
    Ace, AceType, Acl, AttrPatch, Cookie, Credentials, DeviceNumber, Guard, Identity, InodeId, InodeKind,
    Patch, Rights, ShareCeiling, TimePatch, Timestamp, WellKnown, XattrMode,
};

fn pick<T: Clone>(random: &mut Random, from: &[T]) -> T {
    random.pick(from).clone()
}

fn sometimes<T>(random: &mut Random, one_in: u64, make: impl FnOnce(&mut Random) -> T) -> Option<T> {
    (random.below(one_in) == 0).then(|| make(random))
}

fn identity(random: &mut Random) -> Identity {
    pick(
        random,
        &[
            Identity::Uid(0),
            Identity::Uid(1000),
            Identity::Uid(1001),
            Identity::Gid(1000),
            Identity::Gid(2000),
            Identity::Sid(Bytes::from_static(&[1, 2, 3])),
            Identity::WellKnown(WellKnown::Owner),
            Identity::WellKnown(WellKnown::Group),
            Identity::WellKnown(WellKnown::Everyone),
            Identity::WellKnown(WellKnown::OwnerRights),
            Identity::WellKnown(WellKnown::Authenticated),
            Identity::WellKnown(WellKnown::Anonymous),
            Identity::Sid(Bytes::from(vec![9; 69])),
        ],
    )
}

fn acl(random: &mut Random) -> Arc<Acl> {
    let masks = [Rights::ALL.0, 0x1, 0x2, 0x4, 0x20, 0x40, 0x100, 0x1_0000, 0x4_0000, 0x27, 0x60, 0x66];
    let count = random.below(5);
    let aces = (0..count).map(|_| Ace {
        kind: pick(random, &[AceType::Allow, AceType::Allow, AceType::Allow, AceType::Deny]),
        flags: pick(random, &[0, 0, 3, 3, 8, 0xb, 1, 2, 7]),
        mask: pick(random, &masks),
        who: identity(random),
    });
    let dacl: Vec<Ace> =
        aces.filter(|ace| !matches!(&ace.who, Identity::Sid(sid) if sid.len() > 68)).collect();
    let dacl = if random.below(8) == 0 { None } else { Some(dacl) };
    let audit =
        Ace { kind: AceType::Audit, flags: 0x11, mask: 1, who: Identity::WellKnown(WellKnown::Everyone) };
    let sacl = sometimes(random, 6, |_| vec![audit]);
    Arc::new(Acl { control: pick(random, &[0, 0, 0x400, 4]), dacl, sacl })
}

fn time(random: &mut Random) -> TimePatch {
    match random.below(8) {
        0 => TimePatch::Set(Timestamp::new(
            random.below(5000) as i64 - 1000,
            random.below(1_000_000_000) as u32,
        )),
        1 => TimePatch::ServerNow,
        2 => TimePatch::Freeze,
        _ => TimePatch::Keep,
    }
}

fn set<T>(value: Option<T>) -> Patch<T> {
    match value {
        Some(value) => Patch::Set(value),
        None => Patch::Keep,
    }
}

fn patch(random: &mut Random) -> AttrPatch {
    AttrPatch {
        mode: set(sometimes(random, 2, |random| {
            pick(random, &[0o777, 0o755, 0o1777, 0o2775, 0o6750, 0o10644, 0o4711, 0])
        })),
        mode_mask: sometimes(random, 6, |random| random.below(0o10000) as u16),
        owner: set(sometimes(random, 8, identity)),
        group: set(sometimes(random, 6, identity)),
        size: set(sometimes(random, 40, |_| 0)),
        atime: time(random),
        mtime: time(random),
        btime: time(random),
        ctime: TimePatch::Keep,
        dos: set(sometimes(random, 6, |random| pick(random, &[1, 2, 0x21, 0x10]))),
        acl: set(sometimes(random, 5, acl)),
    }
}

fn caller(random: &mut Random) -> Credentials {
    let mut who = pick(
        random,
        &[
            Credentials::unix(0, 0, &[]),
            Credentials::unix(0, 0, &[]),
            Credentials::unix(1000, 1000, &[2000]),
            Credentials::unix(1000, 1000, &[2000]),
            Credentials::unix(1001, 1001, &[]),
        ],
    );
    if random.below(4) == 0 {
        who.sids = Arc::from([Bytes::from_static(&[1, 2, 3])]);
    }
    if random.below(15) == 0 {
        who.ceiling = pick(random, &[ShareCeiling::None, ShareCeiling::ReadOnly, ShareCeiling::Admin]);
    }
    if random.below(10) == 0 {
        who.strength = dfs_model::Strength::Guest;
    }
    who.umask = sometimes(random, 4, |_| 0o022);
    who.privileges.take_ownership = random.below(6) == 0;
    who.privileges.security = random.below(4) == 0;
    who
}

enum Call {
    Create(CreateRequest),
    Link(LinkRequest),
    Remove(RemoveRequest),
    Rename(RenameRequest),
    SetAttr(SetAttrRequest),
    Xattr(XattrSetRequest),
}

fn create(random: &mut Random, dir: InodeId, name: dfs_model::Name) -> Call {
    let kinds = [
        InodeKind::File,
        InodeKind::File,
        InodeKind::Directory,
        InodeKind::Directory,
        InodeKind::Symlink,
        InodeKind::BlockDevice,
        InodeKind::Fifo,
    ];
    let modes = [
        CreateMode::Guarded,
        CreateMode::Guarded,
        CreateMode::Unchecked,
        CreateMode::Exclusive([1; 8]),
        CreateMode::Exclusive([2; 8]),
    ];
    let kind = pick(random, &kinds);
    let target = random.below(8) < if kind == InodeKind::Symlink { 7 } else { 1 };
    Call::Create(CreateRequest {
        dir,
        name,
        kind,
        mode: pick(random, &modes),
        attrs: if random.below(4) > 0 { AttrPatch::default() } else { patch(random) },
        link_target: target.then(|| pick(random, &["", "to", "else/where", "up"]).into()),
        device: DeviceNumber { major: 8, minor: u32::MAX },
    })
}

fn call(random: &mut Random, ids: &[InodeId]) -> Call {
    let text = |random: &mut Random| {
        name(pick(random, &["a", "b", "c", "d", "e", "A", "B", "ü", "Ü", "dir", "Dir"]))
    };
    let dir = |random: &mut Random| if random.below(2) == 0 { InodeId::ROOT } else { *random.pick(ids) };
    let (one, other) = (dir(random), dir(random));
    match random.below(20) {
        0..=6 => {
            let name = text(random);
            create(random, one, name)
        }
        7..=8 => Call::Link(LinkRequest { inode: one, dir: other, name: text(random) }),
        9..=11 => Call::Remove(RemoveRequest {
            dir: one,
            name: text(random),
            kind: pick(
                random,
                &[RemoveKind::Any, RemoveKind::Any, RemoveKind::Directory, RemoveKind::NonDirectory],
            ),
            expect: sometimes(random, 10, |_| other),
            keep_orphan: random.below(3) == 0,
        }),
        12..=15 => Call::Rename(RenameRequest {
            from_dir: one,
            from_name: text(random),
            to_dir: if random.below(3) == 0 { one } else { other },
            to_name: text(random),
            replace: pick(random, &[Replace::Posix, Replace::Posix, Replace::Windows, Replace::Never]),
            expect_moved: sometimes(random, 12, |_| other),
            expect_replaced: sometimes(random, 12, |random| sometimes(random, 2, |_| other)),
            keep_orphan: random.below(3) == 0,
        }),
        16 => Call::Xattr(XattrSetRequest {
            inode: *random.pick(ids),
            values: (0..1 + random.below(3))
                .map(|_| {
                    let value = sometimes(random, 4, |_| ()).is_none().then(|| Bytes::from(vec![7; 3]));
                    (Bytes::from(pick(random, &["a", "A", "b", ""])), value)
                })
                .collect(),
            mode: pick(
                random,
                &[XattrMode::Either, XattrMode::Either, XattrMode::Create, XattrMode::Replace],
            ),
            any_case: random.below(2) == 0,
        }),
        _ => Call::SetAttr(SetAttrRequest {
            inode: if random.below(30) == 0 { one } else { *random.pick(ids.get(1..).unwrap_or(ids)) },
            patch: patch(random),
            guard: pick(random, &[Guard::None, Guard::None, Guard::None, Guard::CtimeAs3(2_001, 500)]),
        }),
    }
}

async fn ask(bed: &Bed, cx: OpContext<'_>, call: &Call) -> String {
    let store = &bed.store;
    match call {
        Call::Create(request) => {
            format!("{:?}", store.create(cx, request.clone()).await.map(|done| done.value))
        }
        Call::Link(request) => format!("{:?}", store.link(cx, request.clone()).await.map(|done| done.value)),
        Call::Remove(request) => {
            format!("{:?}", store.remove(cx, request.clone()).await.map(|done| done.value))
        }
        Call::Rename(request) => {
            format!("{:?}", store.rename(cx, request.clone()).await.map(|done| done.value))
        }
        Call::SetAttr(request) => {
            format!("{:?}", store.set_attr(cx, request.clone()).await.map(|done| done.value))
        }
        Call::Xattr(request) => {
            format!("{:?}", store.xattr_set(cx, request.clone()).await.map(|done| done.value))
        }
    }
}

async fn shown(bed: &Bed, ids: &[InodeId]) -> String {
    let mut text = format!("{:?}", bed.store.inodes(bed.share, ids).await.unwrap());
    for id in ids {
        let request =
            ReadDirRequest { dir: *id, after: Cookie::START, up_to: Cookie(u64::MAX), limit: 50, rows: true };
        let page = bed.store.read_dir(bed.share, request).await.map(|page| page.entries);
        text += &format!("{page:?} {:?}", bed.store.names_of(bed.share, *id, 50).await.unwrap());
    }
    for spelling in ["A", "Ü", "DIR", "none"] {
        text +=
            &format!("{:?}", bed.store.lookup_fold(bed.share, InodeId::ROOT, &name(spelling)).await.unwrap());
    }
    for id in ids {
        text += &format!("{:?}", bed.store.xattrs(bed.share, *id, &[]).await);
    }
    let mut held: Vec<String> =
        bed.store.quotas(bed.share).await.unwrap().iter().map(|entry| format!("{entry:?}")).collect();
    held.sort_unstable();
    text + &format!("{held:?} {:?}", bed.store.usage(bed.share).await.unwrap())
}

#[test]
fn sql_and_rust_answer_every_random_call_alike() {
    block(async {
        let cluster = Cluster::start();
        let (mut worked, mut calls) = (0, 0);
        for seed in seeds(8) {
            println!("seed {seed}");
            let schema = format!("twin_{seed}");
            let sql = Bed::new(open(PostgresConfig { schema, ..config(cluster.port) }).await, 1).await;
            let rust = Bed::new(Arc::new(MemoryStore::new()), 1).await;
            let mut random = Random(seed);
            let mut ids = vec![InodeId::ROOT, InodeId(1025), InodeId(1026)];
            for nth in 0..500 {
                let (who, call) = (caller(&mut random), call(&mut random, &ids));
                while rust.changes.last() < sql.changes.last() {
                    rust.changes.take();
                }
                let (ours, theirs) =
                    (ask(&sql, sql.cx(&who), &call).await, ask(&rust, rust.cx(&who), &call).await);
                assert_eq!(ours, theirs, "seed {seed} call {nth}");
                calls += 1;
                worked += usize::from(ours.starts_with("Ok"));
                if let Some(id) = ours.split("id: InodeId(").nth(1).and_then(|rest| rest.split(')').next()) {
                    ids.push(InodeId(id.parse().unwrap()));
                    ids.sort_unstable();
                    ids.dedup();
                }
                if nth % 50 == 49 {
                    assert_eq!(shown(&sql, &ids).await, shown(&rust, &ids).await, "seed {seed} call {nth}");
                }
            }
            check_consistent(sql.store.as_ref(), sql.share).await;
        }
        println!("{worked} of {calls} calls worked");
        assert!(worked * 10 > calls, "only {worked} of {calls} calls worked: the histories are too dull");
    });
}

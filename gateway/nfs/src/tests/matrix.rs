//! Squash × client rule × read-only × user: each combination gets exactly the access that the share's settings say.

use super::*;
use crate::wire::*;
use bytes::Bytes;
use dfs_model::ShareCeiling;
use std::net::IpAddr;

/// Ids of the guest.
const GUEST: (u32, u32) = (99, 98);
/// Owner and group of what the matrix works on: a file of 0640 and a directory of 0775.
const OWNED: (u32, u32) = (1000, 100);
/// The superuser, the owner, a member of the group, a stranger, and the guest's own ids.
const USERS: [(u32, u32); 5] = [(0, 0), (1000, 1000), (1001, 100), (2000, 2000), GUEST];

/// The rules that the settings are made of, and whether a client on loopback passes.
fn rules() -> Vec<(Vec<&'static str>, bool)> {
    vec![
        (vec!["127.0.0.1"], true),
        (vec!["192.0.2.7", "127.0.0.0/8"], true),
        (vec!["here.example.org"], true),
        (vec!["*"], true),
        (vec!["127.0.0.2"], false),
        (vec!["192.0.2.0/24", "::1", "2001:db8::/32"], false),
        (vec!["elsewhere.example.org", "unknown.example.org"], false),
        (vec![], false),
    ]
}

fn clients(rules: &[&str]) -> ClientList {
    let addresses = |text: &str| vec![text.parse::<IpAddr>().unwrap()];
    ClientList::new(rules.iter().map(|rule| rule.parse().unwrap()).collect()).with_hosts([
        ("here.example.org".to_owned(), addresses("127.0.0.1")),
        ("elsewhere.example.org".to_owned(), addresses("192.0.2.9")),
    ])
}

/// Whom a caller is taken for, by the words of the settings' documentation.
fn taken_for(mode: SquashMode, (uid, gid): (u32, u32)) -> (u32, u32) {
    match mode {
        SquashMode::AllToGuest => GUEST,
        SquashMode::AllToAdmin => (0, 0),
        SquashMode::RootToGuest if uid == 0 => GUEST,
        SquashMode::RootToGuest | SquashMode::RootToAdmin | SquashMode::None => (uid, gid),
    }
}

/// What a caller must be told, for each thing that he tries.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    read: Status,
    write: Status,
    create: Status,
    chmod: Status,
    /// Who owns what he made.
    made: Option<(u32, u32)>,
}

fn expected(mode: SquashMode, caller: (u32, u32), admitted: bool, read_only: bool) -> Told {
    let (uid, gid) = taken_for(mode, caller);
    let (root, owner, member) = (uid == 0, uid == OWNED.0, gid == OWNED.1);
    let told = |may: bool, no: Status| match (admitted, read_only, may) {
        (false, ..) => Status::Acces,
        (true, true, _) => Status::Rofs,
        (true, false, true) => Status::Ok,
        (true, false, false) => no,
    };
    let create = told(root || owner || member, Status::Acces);
    Told {
        read: if admitted && (root || owner || member) { Status::Ok } else { Status::Acces },
        write: told(root || owner, Status::Acces),
        create,
        chmod: told(root || owner, Status::Perm),
        made: (create == Status::Ok).then_some((uid, gid)),
    }
}

/// A tree that everybody's rights differ on; answers its file and directory.
async fn planted(fixture: &Fixture) -> (Handle, Handle) {
    let (mut pipe, root) = fixture.mounted(0).await;
    let made = file(&mut pipe, &root, "f").await;
    let args = MkdirArgs { place: place(&root, "d"), attributes: mode(0o775) };
    let dir = pipe.call::<nfs3::Mkdir>(&args).await.unwrap().ok().unwrap().object.unwrap();
    for (object, bits) in [(&made, 0o640), (&dir, 0o775)] {
        let attributes = SetAttributes { uid: Some(OWNED.0), gid: Some(OWNED.1), ..mode(bits) };
        let args = SetAttrArgs { object: object.clone(), attributes, guard: None };
        pipe.call::<nfs3::SetAttr>(&args).await.unwrap().ok().unwrap();
    }
    (made, dir)
}

async fn tries(pipe: &mut Pipe, made: &Handle, dir: &Handle, name: &str) -> Told {
    let read = ReadArgs { file: made.clone(), offset: 0, count: 10 };
    let data = Data(Bytes::from_static(b"bytes"));
    let write = WriteArgs { file: made.clone(), offset: 0, count: 5, stable: Stable::Unstable, data };
    let create = CreateArgs { place: place(dir, name), how: CreateHow::Guarded(mode(0o600)) };
    let chmod = SetAttrArgs { object: made.clone(), attributes: mode(0o640), guard: None };
    let created = pipe.call::<nfs3::Create>(&create).await.unwrap();
    let owner = match &created {
        Outcome::Ok(good) => good.attributes.as_ref().map(|shown| (shown.uid, shown.gid)),
        Outcome::Fail(..) => None,
    };
    Told {
        read: pipe.call::<nfs3::Read>(&read).await.unwrap().status(),
        write: pipe.call::<nfs3::Write>(&write).await.unwrap().status(),
        create: created.status(),
        chmod: pipe.call::<nfs3::SetAttr>(&chmod).await.unwrap().status(),
        made: owner,
    }
}

#[tokio::test]
async fn access_by_squash_client_rule_and_read_only_is_exactly_what_they_say() {
    use SquashMode::{AllToAdmin, AllToGuest, None, RootToAdmin, RootToGuest};
    let fixture = Fixture::start().await;
    let (made, dir) = planted(&fixture).await;
    let mut pipes = Vec::new();
    for (nth, (uid, gid)) in USERS.into_iter().enumerate() {
        let first_xid = (200 + nth as u32) << 20;
        pipes.push(Pipe::connect_as(fixture.address, uid, gid, first_xid).await.unwrap());
    }
    let mut count = 0;
    for mode in [None, RootToGuest, RootToAdmin, AllToGuest, AllToAdmin] {
        for (rules, admitted) in rules() {
            for read_only in [false, true] {
                let mut export = fixture.export.clone();
                export.admission.squash = Squash { mode, anon_uid: GUEST.0, anon_gid: GUEST.1 };
                export.clients = clients(&rules);
                export.admission.ceiling =
                    if read_only { ShareCeiling::ReadOnly } else { ShareCeiling::ReadWrite };
                fixture.exports.set(vec![export], Vec::new());
                for (caller, pipe) in USERS.into_iter().zip(&mut pipes) {
                    count += 1;
                    let told = tries(pipe, &made, &dir, &format!("made-{count}")).await;
                    let wanted = expected(mode, caller, admitted, read_only);
                    assert_eq!(told, wanted, "{mode:?} {rules:?} read-only {read_only} caller {caller:?}");
                }
            }
        }
    }
    assert_eq!(count, 5 * 8 * 2 * 5);
}

//! Ten thousand users: what it costs, printed; that nothing grows with their number that need not, asserted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use crate::change::Change;
use crate::database::ControlDatabase;
use crate::mirror::Snapshot;
use crate::people::{effective, identities, members_by_group};
use crate::rows::{GroupRow, SessionRow, UserRow};
use crate::testing::{embedded, grant, group, session, user};
use dfs_api::{GrantKind, PermissionLevel, Role, ShareConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};

const USERS: u32 = 10_000;
const GROUPS: u32 = 1000;
const SHARES: u32 = 500;

/// Puts rows straight into a snapshot.
fn fill(users: u32, groups: u32, shares: u32) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let group_name = |nth: u32| format!("group-{nth:04}");
    for nth in 0..groups {
        snapshot.put(Arc::new(group(&group_name(nth), Some(100_000 + nth))));
    }
    for nth in 0..users {
        let groups = (0..5).map(|other| group_name((nth * 7 + other * 131) % groups.max(1)));
        let mut groups: Vec<String> = groups.collect();
        groups.sort();
        groups.dedup();
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$0123456789abcdef012345$0123456789abcdef0123456789abcdef0123456789a";
        snapshot.put(Arc::new(UserRow {
            uid: Some(10_000 + nth),
            groups,
            password_hash: hash.to_owned(),
            full_name: format!("Somebody Number {nth}"),
            email: format!("somebody-{nth}@office.example.org"),
            ..user(&format!("user-{nth:05}"), if nth == 0 { Role::Admin } else { Role::User })
        }));
        snapshot.put(Arc::new(session(&format!("user-{nth:05}"), &format!("{nth:032x}"))));
    }
    for nth in 0..shares {
        let share = format!("share-{nth:03}");
        snapshot.put(Arc::new(ShareConfig::named(&share, "meta", "cold")));
        for other in 0..10 {
            let name = group_name((nth * 13 + other * 97) % groups.max(1));
            snapshot.put(Arc::new(grant(&share, GrantKind::Group, &name, PermissionLevel::Read)));
            let name = format!("user-{:05}", (nth * 17 + other * 991) % users);
            snapshot.put(Arc::new(grant(&share, GrantKind::User, &name, PermissionLevel::Admin)));
        }
    }
    snapshot
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// The shortest of some runs, so that a busy machine counts little.
fn shortest(mut work: impl FnMut()) -> Duration {
    let times = (0..15).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    times.min().unwrap()
}

/// The shortest time of a commit of one user.
async fn commit_time(database: &ControlDatabase) -> Duration {
    let mut times = Vec::new();
    for nth in 0..15 {
        let row = UserRow { last_login_at: Some(nth), ..database.get::<UserRow>("user-00005").unwrap() };
        let start = Instant::now();
        database.commit(Change::default().put(&row), None).await.unwrap();
        times.push(start.elapsed());
    }
    times.into_iter().min().unwrap()
}

async fn filled(folder: &std::path::Path, rows: Snapshot) -> ControlDatabase {
    let database = embedded(folder).await;
    assert!(database.replace(rows, |_| true, None).await.unwrap());
    database
}

#[tokio::test]
async fn ten_thousand_users_cost_a_commit_little_more_than_ten() {
    let (few, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let small = filled(few.path(), fill(10, 10, 5)).await;
    let before = resident_bytes();
    let start = Instant::now();
    let large = filled(many.path(), fill(USERS, GROUPS, SHARES)).await;
    let written = start.elapsed();
    let held = resident_bytes().saturating_sub(before) >> 20;
    let (ten, thousands) = (commit_time(&small).await, commit_time(&large).await);
    eprintln!("{USERS} users, {GROUPS} groups, {SHARES} shares: written in {written:?}, {held} MiB");
    eprintln!("commit of one user: {ten:?} beside 10, {thousands:?} beside {USERS}");
    assert!(thousands < ten * 20, "{ten:?} and {thousands:?}");
    drop(large);
    let start = Instant::now();
    let large = embedded(many.path()).await;
    let file = many.path().join("control.redb").metadata().unwrap().len() >> 20;
    eprintln!("opened in {:?}, the file has {file} MiB", start.elapsed());
    assert_eq!(large.snapshot().count::<UserRow>(), USERS as usize);

    let snapshot = large.snapshot();
    let change = Change::default().put(&user("user-05000", Role::User));
    let in_memory = |snapshot: &Snapshot| {
        shortest(|| {
            for _ in 0..100 {
                let mut after = snapshot.clone();
                change.apply(&mut after);
                assert!(after.has::<UserRow>("user-05000"));
            }
        }) / 100
    };
    let (ten, thousands) = (in_memory(&small.snapshot()), in_memory(&snapshot));
    eprintln!("change of the mirror: {ten:?} beside 10, {thousands:?} beside {USERS}");
    assert!(thousands < Duration::from_millis(2), "{thousands:?}");
}

#[test]
fn lists_permissions_and_the_table_of_the_data_path_stay_fast() {
    let (small, large) = (fill(100, 10, 5), fill(USERS, GROUPS, SHARES));
    let page = |snapshot: &Snapshot| {
        shortest(|| {
            for _ in 0..20 {
                let (rows, ..) = snapshot.page::<UserRow>(Some("user-00050"), 40);
                assert_eq!(rows.len(), 40);
            }
        }) / 20
    };
    let (few, many) = (page(&small), page(&large));
    eprintln!("page of 40 users: {few:?} of 100, {many:?} of {USERS}");
    assert!(many < few * 20 + Duration::from_micros(100), "{few:?} and {many:?}");
    let check = shortest(|| drop(effective(&large, "share-250", "user-05000").unwrap()));
    let groups = shortest(|| assert_eq!(members_by_group(&large).len(), GROUPS as usize));
    let table = shortest(|| assert_eq!(identities(&large).len(), USERS as usize));
    eprintln!(
        "permission of one: {check:?}; members of all groups: {groups:?}; table of the data path: {table:?}"
    );
    assert!(check < Duration::from_millis(1), "{check:?}");
    assert!(table < Duration::from_secs(1), "{table:?}");
    assert_eq!((large.count::<GroupRow>(), large.count::<SessionRow>()), (GROUPS as usize, USERS as usize));
}

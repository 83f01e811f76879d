//! Gateways that share a database.

use super::*;
use crate::backup;
use crate::rows::{GroupRow, SessionRow};
use crate::store::conformance::rows::{one_of_each, shown};
use crate::testing::{embedded, group, session};
use dfs_api::ShareConfig;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_of_one_gateway_is_seen_by_the_other() {
    let bed = ServerBed::start();
    let one = bed.gateway().await;
    one.commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    let other = bed.gateway().await;
    let mut longest = Duration::ZERO;
    for nth in 0..20 {
        let mut told = other.watch();
        let change = Change::default()
            .put(&group(&format!("g{nth}"), Some(nth)))
            .remove::<GroupRow>(&format!("g{}", nth.wrapping_sub(1)));
        one.commit(change, None).await.unwrap();
        let (start, revision) = (Instant::now(), one.revision());
        told.wait_for(|seen| *seen >= revision).await.unwrap();
        longest = longest.max(start.elapsed());
        assert_eq!(shown(&other.snapshot()), shown(&one.snapshot()));
    }
    eprintln!("the longest that a change took to the other gateway: {longest:?}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    // And what is replaced as a whole.
    let rows = backup_of(&one);
    let mut told = other.watch();
    one.replace(rows, |_| true, None).await.unwrap();
    let revision = one.revision();
    told.wait_for(|seen| *seen >= revision).await.unwrap();
    assert_eq!(shown(&other.snapshot()), shown(&one.snapshot()));
}

fn backup_of(database: &ControlDatabase) -> crate::Snapshot {
    let file = backup::backup(&database.snapshot(), "correct horse", "0.1.0", &TestEntropy).unwrap();
    backup::open_backup(&file, "correct horse", "0.1.0").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_two_gateways_are_all_counted() {
    let bed = ServerBed::start();
    let gateways = [Arc::new(bed.gateway().await), Arc::new(bed.gateway().await)];
    gateways[0].commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    let tasks = gateways.iter().cycle().take(4).cloned().map(|gateway| {
        tokio::spawn(async move {
            gateway.watch().wait_for(|_| gateway.get::<UserRow>("ann").is_some()).await.unwrap();
            for _ in 0..15 {
                raise(&gateway, "ann").await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    for gateway in &gateways {
        gateway.watch().wait_for(|revision| *revision == 61).await.unwrap();
        assert_eq!(gateway.get::<UserRow>("ann").unwrap().token_version, 61);
    }
}

#[tokio::test]
async fn gateway_that_lags_too_far_behind_reads_everything() {
    let bed = ServerBed::start();
    let gateway = bed.gateway().await;
    gateway.commit(one_of_each(), None).await.unwrap();
    let seen = gateway.revision();
    gateway.commit(Change::default().remove::<ShareConfig>("docs"), None).await.unwrap();
    let store = bed.store().await;
    let changed = store.load(Some(seen)).await.unwrap();
    assert_eq!((changed.everything, changed.rows.len()), (false, 1));
    assert_eq!((changed.rows[0].key.as_str(), changed.rows[0].value.as_deref()), ("docs", None));
    assert!(store.load(Some(seen + 1)).await.unwrap().rows.is_empty());
    bed.sql().await.execute("UPDATE state SET forgotten = revision", &[]).await.unwrap();
    // One that has seen too little, and one that has seen what a copy that was put back has not.
    for since in [seen, seen + 100] {
        let all = store.load(Some(since)).await.unwrap();
        assert!(all.everything && all.rows.iter().all(|row| row.value.is_some() && row.key != "docs"));
    }
}

#[tokio::test]
async fn database_put_back_from_an_older_copy_is_followed() {
    let bed = ServerBed::start();
    let gateway = bed.gateway().await;
    gateway.commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    gateway.commit(Change::default().put(&user("bob", Role::User)), None).await.unwrap();
    let mut told = gateway.watch();
    let back = "DELETE FROM users WHERE key = 'bob'; UPDATE state SET revision = 1; DELETE FROM commits WHERE revision > 1";
    bed.sql().await.batch_execute(back).await.unwrap();
    told.wait_for(|revision| *revision == 1).await.unwrap();
    assert_eq!(gateway.list::<UserRow>().len(), 1);
    raise(&gateway, "ann").await;
    assert_eq!(gateway.revision(), 2);
}

#[tokio::test]
async fn backup_of_one_store_is_restored_into_the_other() {
    let bed = ServerBed::start();
    let postgres = bed.gateway().await;
    postgres.commit(one_of_each(), None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = embedded(folder.path()).await;
    let report = backup::restore(&file, backup_of(&postgres), false, None).await.unwrap();
    assert_eq!((report.users, report.shares, report.cold_stores), (1, 1, 1));
    let gone = Change::default()
        .remove::<SessionRow>(&SessionRow::key_of("ann", "s1"))
        .remove::<crate::rows::IdempotencyRow>("key");
    postgres.commit(gone, None).await.unwrap();
    assert_eq!(shown(&file.snapshot()), shown(&postgres.snapshot()));
    postgres
        .commit(Change::default().put(&session("ann", "s2")).put(&user("eve", Role::Admin)), None)
        .await
        .unwrap();
    let refused = backup::restore(&postgres, backup_of(&file), false, None).await.unwrap_err();
    assert_eq!((refused.status, refused.kind.as_str()), (409, "not-empty"));
    backup::restore(&postgres, backup_of(&file), true, None).await.unwrap();
    assert_eq!(shown(&postgres.snapshot()), shown(&file.snapshot()));
}

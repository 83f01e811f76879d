//! Commits: one after the other, whole, on what they were thought out on.

use super::Bed;
use super::rows::{one_of_each, shown};
use crate::change::Change;
use crate::database::{ControlDatabase, DatabaseError, Planned};
use crate::rows::{GroupRow, UserRow};
use crate::testing::{group, user};
use dfs_api::Role;
use std::sync::Arc;

pub async fn change_on_an_old_snapshot_is_a_conflict_and_changes_nothing(bed: &dyn Bed) {
    let database = bed.open().await;
    let old = database.snapshot();
    let late = Change::on(&old).put(&user("late", Role::Admin));
    database.commit(Change::on(&old).put(&user("ann", Role::Admin)), None).await.unwrap();
    let before = shown(&database.snapshot());
    assert_eq!(database.commit(late, None).await, Err(DatabaseError::Conflict));
    assert_eq!(shown(&database.snapshot()), before);
    drop(database);
    assert_eq!(shown(&bed.open().await.snapshot()), before);
}

/// Raises a number in a row.
pub async fn raise(database: &ControlDatabase, name: &str) {
    let raised = database.transact(|snapshot| -> Result<Planned<()>, DatabaseError> {
        let mut row = snapshot.get::<UserRow>(name).unwrap().as_ref().clone();
        row.token_version += 1;
        Ok(Planned { change: Change::default().put(&row), audit: None, answer: () })
    });
    raised.await.unwrap();
}

pub async fn concurrent_changes_are_all_counted(bed: &dyn Bed) {
    let database = Arc::new(bed.open().await);
    database.commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    let tasks = (0..4).map(|_| {
        let database = database.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                raise(&database, "ann").await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(database.get::<UserRow>("ann").unwrap().token_version, 41);
    assert_eq!(database.revision(), 41);
    drop(database);
    assert_eq!(bed.open().await.get::<UserRow>("ann").unwrap().token_version, 41);
}

pub async fn caller_who_goes_away_leaves_mirror_and_store_alike(bed: &dyn Bed) {
    let database = bed.open().await;
    for nth in 0..20 {
        let change = Change::default().put(&group(&format!("g{nth:02}"), None));
        let mut commit = Box::pin(database.commit(change, None));
        // Each goes away a little later than the one before.
        for _ in 0..nth {
            let waited = std::future::poll_fn(|cx| {
                use std::future::Future;
                std::task::Poll::Ready(commit.as_mut().poll(cx).is_ready())
            });
            if waited.await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // Whatever is still under way ends before this one.
    database.commit(Change::default().put(&group("last", None)), None).await.unwrap();
    let mirrored = shown(&database.snapshot());
    drop(database);
    assert_eq!(shown(&bed.open().await.snapshot()), mirrored);
}

pub async fn last_step_about_a_row_counts(bed: &dyn Bed) {
    let database = bed.open().await;
    let change = Change::default()
        .put(&group("a", Some(1)))
        .put(&group("a", Some(2)))
        .put(&group("b", None))
        .remove::<GroupRow>("b")
        .remove::<GroupRow>("c")
        .put(&group("c", None));
    database.commit(change, None).await.unwrap();
    let expected = vec![group("a", Some(2)), group("c", None)];
    assert_eq!(database.list::<GroupRow>(), expected);
    drop(database);
    assert_eq!(bed.open().await.list::<GroupRow>(), expected);
}

pub async fn change_of_many_rows_is_seen_whole(bed: &dyn Bed) {
    let database = Arc::new(bed.open().await);
    database.commit(one_of_each(), None).await.unwrap();
    let mut told = database.watch();
    let reader = {
        let database = database.clone();
        tokio::spawn(async move {
            loop {
                let snapshot = database.snapshot();
                let gids: Vec<_> = snapshot.rows::<GroupRow>().filter_map(|group| group.gid).collect();
                assert!(gids.iter().all(|gid| *gid == gids[0] || *gid == 100), "{gids:?}");
                if snapshot.get::<GroupRow>("m0").is_some_and(|group| group.gid == Some(10)) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    for round in 1..=10 {
        let rows = (0..50).map(|nth| group(&format!("m{nth}"), Some(round)));
        let change =
            rows.fold(Change::default().put(&group("a", Some(round))), |change, row| change.put(&row));
        database.commit(change, None).await.unwrap();
    }
    reader.await.unwrap();
    told.mark_unchanged();
    assert_eq!(*told.borrow_and_update(), database.revision());
    drop(database);
    assert_eq!(bed.open().await.list::<GroupRow>().len(), 52);
}

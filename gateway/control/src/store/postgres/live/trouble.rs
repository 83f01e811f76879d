//! A database that goes away.

use super::*;
use crate::database::Planned;
use std::sync::atomic::{AtomicBool, Ordering};

/// Raises a number once; whether it was done is what the answer says.
async fn raised(gateway: &ControlDatabase) -> Result<(), DatabaseError> {
    gateway
        .transact(|snapshot| -> Result<Planned<()>, DatabaseError> {
            let mut row = snapshot.get::<UserRow>("ann").unwrap().as_ref().clone();
            row.token_version += 1;
            Ok(Planned { change: Change::default().put(&row), audit: None, answer: () })
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_lose_and_double_nothing() {
    let bed = ServerBed::start();
    let gateway = bed.gateway().await;
    gateway.commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let killer = {
        let (sql, done) = (bed.sql().await, done.clone());
        tokio::spawn(async move {
            let mut killed = 0;
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE application_name LIKE 'dfs control %' AND pid <> pg_backend_pid()";
            while !done.load(Ordering::Relaxed) {
                killed += sql.query(kill, &[]).await.unwrap().len();
                tokio::time::sleep(Duration::from_millis(12)).await;
            }
            killed
        })
    };
    let (mut sure, mut unsure) = (0, 0);
    for _ in 0..60 {
        match raised(&gateway).await {
            Ok(()) => sure += 1,
            Err(DatabaseError::Unsure(_)) => unsure += 1,
            Err(DatabaseError::Unavailable(_) | DatabaseError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
    done.store(true, Ordering::Relaxed);
    let killed = killer.await.unwrap();
    drop(gateway);
    let counted = bed.gateway().await.get::<UserRow>("ann").unwrap().token_version - 1;
    eprintln!("{sure} changes for sure, {unsure} unsure, {counted} counted, {killed} connections ended");
    assert!(killed > 20 && sure > 30, "{killed} connections ended, {sure} changes");
    assert!((sure..=sure + unsure).contains(&counted), "{counted} of {sure} and {unsure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_dies_loses_nothing_and_is_waited_for() {
    let mut bed = ServerBed::start();
    let gateway = Arc::new(bed.gateway().await);
    gateway.commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    let writer = {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            let mut sure = 0;
            for _ in 0..100 {
                raised(&gateway).await.unwrap();
                sure += 1;
            }
            sure
        })
    };
    let mut told = gateway.watch();
    told.wait_for(|revision| *revision > 20).await.unwrap();
    bed.cluster.kill();
    // What is in the mirror is still there to be read.
    assert!(gateway.get::<UserRow>("ann").is_some());
    bed.cluster.go();
    let sure: u64 = writer.await.unwrap();
    drop(gateway);
    assert_eq!(bed.gateway().await.get::<UserRow>("ann").unwrap().token_version, 1 + sure);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_stays_away_is_told_and_heals() {
    let mut bed = ServerBed::start();
    let options = PostgresOptions { patience: Duration::from_millis(300), ..bed.options() };
    let open = async || ControlDatabase::open_postgres(options.clone(), key(bed.folder.path())).await;
    let gateway = open().await.unwrap();
    gateway.commit(Change::default().put(&user("ann", Role::Admin)), None).await.unwrap();
    gateway.health().await.unwrap();
    bed.cluster.kill();
    for _ in 0..3 {
        let told = gateway.health().await.unwrap_err();
        assert!(matches!(&told, DatabaseError::Unavailable(why) if why.contains("127.0.0.1")), "{told:?}");
    }
    let refused = raised(&gateway).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Unavailable(_)), "{refused:?}");
    let closed = open().await.map(drop).unwrap_err();
    assert!(matches!(closed, DatabaseError::Unavailable(_)), "{closed:?}");
    bed.cluster.go();
    raised(&gateway).await.unwrap();
    gateway.health().await.unwrap();
    assert_eq!(gateway.get::<UserRow>("ann").unwrap().token_version, 2);
}

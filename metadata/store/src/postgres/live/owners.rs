//! Two gateways and one share: ownership, leases, the fence, what one tells the other.

use super::*;
use crate::conformance::check_consistent;
use crate::postgres::{Abandoned, Owner};
use crate::{LeaseState, StoreError};
use dfs_model::{Epoch, InodeId, InodeKind, PackId};

const ROOT: InodeId = InodeId::ROOT;

async fn gateway(cluster: &Cluster, holder: &str, clock: &TestClock) -> Arc<PostgresStore> {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    open(PostgresConfig { holder: holder.into(), clock, ..config(cluster.port) }).await
}

/// A share of a class that outlives its box.
async fn remote(store: &Arc<PostgresStore>) -> Bed {
    let bed = Bed::new(store.clone(), 1).await;
    let class = vec![("durability".to_owned(), "remote".to_owned())];
    store.set_share_settings(bed.share, class).await.unwrap();
    bed
}

#[test]
fn a_share_is_refused_to_a_second_gateway_while_the_first_renews() {
    block(async {
        let cluster = Cluster::start();
        let clock = TestClock::new();
        let one = gateway(&cluster, "one", &clock).await;
        let bed = Bed::new(one.clone(), 1).await;
        let other = gateway(&cluster, "other", &clock).await;
        let owned = other.begin_epoch(bed.share).await;
        assert!(matches!(&owned, Err(StoreError::Owned { holder }) if holder == "one"), "{owned:?}");
        let until = |store: &PostgresStore| match store.ownership(bed.share) {
            Ownership::Ours { until, .. } => until,
            other => panic!("{other:?}"),
        };
        let first = until(&one);
        for _ in 0..3 {
            // More than a lease passes at the watcher, but the owner renews in between.
            clock.advance(Duration::from_secs(16));
            one.inner.renew_now().await.unwrap();
            assert!(matches!(other.begin_epoch(bed.share).await, Err(StoreError::Owned { .. })));
        }
        assert!(until(&one) > first);
        assert_eq!(other.ownership(bed.share), Ownership::NotTaken);
        bed.file(ROOT, "still mine").await;
    });
}

#[test]
fn a_share_is_taken_when_its_lease_has_ended_and_the_old_owner_is_fenced() {
    block(async {
        let cluster = Cluster::start();
        let clock = TestClock::new();
        let one = gateway(&cluster, "one", &clock).await;
        let bed = remote(&one).await;
        let id = bed.file(ROOT, "a").await;
        let pack = bed.pack_up().await;
        let part = bed.part(id, 10, vec![Bed::run(pack, 0, 10, 1)]).await;
        let lease = one.lease(bed.share);
        assert_eq!(lease.state(), LeaseState::Valid);
        one.tasks.iter().for_each(tokio::task::JoinHandle::abort); // as if it were paused
        let other = gateway(&cluster, "other", &clock).await;
        assert!(other.begin_epoch(bed.share).await.is_err());
        clock.advance(Duration::from_secs(14));
        assert!(other.begin_epoch(bed.share).await.is_err(), "the lease has not ended yet");
        clock.advance(Duration::from_secs(2));
        let epoch = other.begin_epoch(bed.share).await.unwrap();
        assert_eq!(epoch, Epoch(bed.epoch.0 + 1));
        assert_ne!(lease.state(), LeaseState::Valid, "its lease ended before it was taken");
        let read = one.inode(bed.share, ROOT).await;
        assert!(matches!(read, Err(StoreError::Fenced { .. })), "no read leaves without a lease: {read:?}");
        // Whatever the paused one still sends is refused.
        let fenced = |what: &str, error: Option<StoreError>| {
            assert!(matches!(error, Some(StoreError::Fenced { .. })), "{what}: {error:?}")
        };
        fenced("create", bed.create(&bed.root, Bed::request(ROOT, "late", InodeKind::File)).await.err());
        fenced("remove", bed.remove(ROOT, "a").await.err());
        fenced("rename", bed.rename(ROOT, "a", ROOT, "b").await.err());
        fenced("place", bed.place(vec![pack], vec![part]).await.err());
        fenced("pack", one.pack_begin(bed.share, bed.epoch, PackId(99), 1, bed.now()).await.err());
        fenced("ends", one.write_ends(bed.share, bed.epoch, &[]).await.err());
        assert_eq!(lease.state(), LeaseState::Lost, "a fenced write tells at once");
        one.inner.renew_now().await.unwrap();
        assert_eq!(one.ownership(bed.share), Ownership::Lost { epoch: bed.epoch });
        assert!(one.begin_epoch(bed.share).await.is_err(), "it has to wait for the lease like everybody");
        let found = other.lookup(bed.share, ROOT, &crate::conformance::name("a")).await.unwrap();
        assert_eq!(found.unwrap().1.id, id);
        check_consistent(other.as_ref(), bed.share).await;
    });
}

#[test]
fn a_share_whose_journal_is_elsewhere_needs_it_a_clean_hand_over_or_a_command() {
    block(async {
        let cluster = Cluster::start();
        let clock = TestClock::new();
        let one = gateway(&cluster, "one", &clock).await;
        let bed = Bed::new(one.clone(), 1).await;
        one.lease(bed.share).note_unplaced(4711, 3);
        one.inner.renew_now().await.unwrap();
        let other = gateway(&cluster, "other", &clock).await;
        let living = other.abandon(bed.share).await;
        assert!(matches!(&living, Err(StoreError::Owned { holder }) if holder == "one"), "{living:?}");
        one.close().await; // as it is: its journal is needed
        let stranded = other.begin_epoch(bed.share).await;
        let Err(StoreError::Stranded { holder, bytes, files }) = &stranded else { panic!("{stranded:?}") };
        assert_eq!((holder.as_str(), *bytes, *files), ("one", 4711, 3));
        let shown = other.owner(bed.share).await.unwrap();
        let journal_of = Some("one".to_owned());
        let (unplaced_bytes, unplaced_files) = (4711, 3);
        assert_eq!(
            shown,
            Owner { epoch: bed.epoch, holder: None, journal_of, unplaced_bytes, unplaced_files }
        );

        // The old box comes back with its journal, and hands the share over.
        let back = gateway(&cluster, "one", &clock).await;
        let epoch = back.begin_epoch(bed.share).await.unwrap();
        let lease = back.lease(bed.share);
        back.release(bed.share, true).await.unwrap();
        assert_eq!(lease.state(), LeaseState::Lost);
        assert_eq!(other.begin_epoch(bed.share).await.unwrap().0, epoch.0 + 1);
        assert!(matches!(back.begin_epoch(bed.share).await, Err(StoreError::Owned { .. })));

        // The other dies for good.
        other.lease(bed.share).note_unplaced(5, 1);
        other.inner.renew_now().await.unwrap();
        other.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        assert!(back.begin_epoch(bed.share).await.is_err());
        clock.advance(Duration::from_secs(16));
        let stranded = back.begin_epoch(bed.share).await;
        assert!(matches!(stranded, Err(StoreError::Stranded { .. })), "{stranded:?}");
        let given_up = back.abandon(bed.share).await.unwrap();
        assert_eq!(given_up, Some(Abandoned { journal_of: "other".into(), bytes: 5, files: 1 }));
        assert_eq!(back.begin_epoch(bed.share).await.unwrap().0, epoch.0 + 2);
        let left = crate::postgres::StrandedJournal { gateway: "other".into(), bytes: 5, files: 1 };
        assert_eq!(back.stranded(bed.share).await.unwrap(), [left]);
        assert_eq!(back.abandon(bed.share).await.unwrap(), None, "nothing is elsewhere");
        assert!(other.begin_epoch(bed.share).await.is_err());
        back.release(bed.share, true).await.unwrap();
        other.begin_epoch(bed.share).await.unwrap();
        assert_eq!(other.stranded(bed.share).await.unwrap(), [], "its gateway has the share again");
    });
}

#[test]
fn a_share_that_was_given_back_is_taken_at_once_and_its_holder_may_always_come_back() {
    block(async {
        let cluster = Cluster::start();
        let clock = TestClock::new();
        let one = gateway(&cluster, "one", &clock).await;
        let bed = remote(&one).await;
        let again = gateway(&cluster, "one", &clock).await; // restarted after a crash
        let epoch = again.begin_epoch(bed.share).await.unwrap();
        assert_eq!(epoch.0, bed.epoch.0 + 1);
        again.close().await;
        let other = gateway(&cluster, "other", &clock).await;
        assert_eq!(other.begin_epoch(bed.share).await.unwrap().0, epoch.0 + 1);
    });
}

#[test]
fn a_new_epoch_waits_for_changes_under_way_and_none_lands_after_it() {
    block(async {
        let cluster = Cluster::start();
        let clock = TestClock::new();
        let one = gateway(&cluster, "one", &clock).await;
        let bed = Arc::new(Bed::new(one.clone(), 1).await);
        let mut workers = Vec::new();
        for worker in 0..6 {
            let bed = Arc::clone(&bed);
            workers.push(tokio::spawn(async move {
                let dir = bed.mkdir(ROOT, &format!("d{worker}")).await;
                for n in 0.. {
                    match bed.create(&bed.root, Bed::request(dir, &format!("f{n}"), InodeKind::File)).await {
                        Ok(_) => {}
                        Err(StoreError::Fenced { .. }) => return (dir, n),
                        Err(other) => panic!("{other}"),
                    }
                }
                unreachable!()
            }));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let again = gateway(&cluster, "one", &clock).await;
        again.begin_epoch(bed.share).await.unwrap();
        let then = again.usage(bed.share).await.unwrap();
        let seen = Bed::open_at(again.clone(), bed.share.0).await;
        let mut confirmed = 0;
        for worker in workers {
            let (dir, made) = worker.await.unwrap();
            assert_eq!(seen.list(dir, 1000).await.len(), made, "exactly the confirmed ones");
            confirmed += made as u64;
        }
        assert!(confirmed > 0);
        assert_eq!(again.usage(bed.share).await.unwrap(), then, "nothing landed after the new epoch");
    });
}

#[test]
fn changes_are_told_to_other_gateways_and_everything_after_a_lost_connection() {
    block(async {
        let cluster = Cluster::start();
        let clock = TestClock::new();
        let (one, other) = (gateway(&cluster, "one", &clock).await, gateway(&cluster, "other", &clock).await);
        let mut heard = other.changes();
        let mut next =
            async || tokio::time::timeout(Duration::from_secs(20), heard.recv()).await.unwrap().unwrap();
        // Listening has begun once anything is heard; the start itself is told too.
        let bed = Bed::new(one.clone(), 1).await;
        let id = bed.file(ROOT, "a").await;
        loop {
            match next().await {
                Changed::Inodes(share, ids) if share == bed.share && ids.contains(&ROOT) => break,
                _ => drop(
                    bed.set(
                        &bed.root,
                        ROOT,
                        dfs_model::AttrPatch { mode: dfs_model::Patch::Set(0o777), ..Default::default() },
                    )
                    .await,
                ),
            }
        }
        bed.rename(ROOT, "a", ROOT, "b").await.unwrap();
        loop {
            if matches!(next().await, Changed::Inodes(_, ids) if ids.contains(&id) && ids.contains(&ROOT)) {
                break;
            }
        }
        let (client, _) = one.inner.pool.manager().plain().await.unwrap();
        client
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'", &[])
            .await
            .unwrap();
        while next().await != Changed::Everything {}
        let epoch_told = one.begin_epoch(bed.share).await.unwrap();
        while next().await != Changed::Share(bed.share) {}
        assert!(epoch_told > bed.epoch);
    });
}

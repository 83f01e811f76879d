//! The cleaner and the owner object.

use super::*;
use crate::{OwnerState, StackError};
use dfs_cold::{ColdStore, KeySpace, PermanentCause, PutBody};
use dfs_log::mutation::Rule;
use dfs_model::PackId;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn quiet() -> Plan {
    Plan { settings: |s| s.background = false, cache: None, ..Plan::default() }
}

impl World {
    pub async fn bucket_delete(&self, key: &Key) {
        self.bucket.delete_batch(std::slice::from_ref(key)).await.unwrap();
    }
}

async fn gc(bench: &Bench, sweep: bool) -> crate::GcReport {
    bench.stack.gc_once(bench.world.clock.wall(), sweep).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn pack_without_references_lives_a_day_and_then_goes_with_its_row() {
    let bench = Bench::new(quiet()).await;
    let inode = bench.create("a").await;
    bench.write(inode, 0, &noise(1, 5000)).await;
    bench.flush().await;
    bench.write(inode, 0, &noise(2, 5000)).await;
    bench.flush().await;
    assert_eq!(bench.packs().len(), 2);
    let first = gc(&bench, true).await;
    assert_eq!((first.buried, first.deleted), (1, 0), "{first:?}");
    tokio::time::sleep(DAY / 2).await;
    assert_eq!(gc(&bench, true).await.deleted, 0, "not before a day");
    tokio::time::sleep(DAY).await;
    let last = gc(&bench, true).await;
    assert_eq!((last.deleted, last.forgotten, last.strays), (1, 1, 0), "{last:?}");
    assert_eq!(bench.packs().len(), 1);
    assert_eq!(bench.read(inode, 0, 5000).await, noise(2, 5000));
    let counts = {
        gc(&bench, false).await;
        bench.stack.status().packs
    };
    assert_eq!((counts.up, counts.live, counts.dead), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn stray_object_goes_after_a_day_and_live_ones_stay() {
    let bench = Bench::new(quiet()).await;
    let inode = bench.create("a").await;
    bench.write(inode, 0, &noise(1, 5000)).await;
    bench.flush().await;
    let keys = KeySpace::new("").unwrap();
    let stray = keys.pack(SHARE, PackId(77));
    bench.world.bucket.put_if_absent(&stray, PutBody::from(Bytes::from_static(b"stray"))).await.unwrap();
    let odd = Key::new(format!("{SHARE}/packs/zz/not-a-pack")).unwrap();
    bench.world.bucket.put_if_absent(&odd, PutBody::from(Bytes::from_static(b"odd"))).await.unwrap();
    assert_eq!(gc(&bench, true).await.young_strays, 1);
    tokio::time::sleep(DAY * 2).await;
    let report = gc(&bench, true).await;
    assert_eq!((report.strays, report.listed), (1, 3), "{report:?}");
    assert_eq!(bench.packs().len(), 2, "the pack, and what the sweep does not understand");
    assert_eq!(bench.read(inode, 0, 5000).await, noise(1, 5000));
}

#[tokio::test(start_paused = true)]
async fn failed_uploads_leave_rows_and_objects_that_the_cleaner_removes() {
    let bench = Bench::new(quiet()).await;
    let inode = bench.create("a").await;
    bench.faults.change(|plan| {
        plan.lost_reply_rate = 0.5;
        plan.late_put_rate = 0.3;
        plan.late_put_delay = Duration::from_secs(20);
    });
    for round in 0..20u64 {
        bench.write(inode, round * 1000, &noise(round, 1000)).await;
        bench.flush().await;
    }
    bench.faults.heal();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = bench.packs().len();
    gc(&bench, true).await;
    tokio::time::sleep(DAY * 2).await;
    let report = gc(&bench, true).await;
    assert!(report.deleted > 0, "{report:?}");
    gc(&bench, true).await;
    let counts = bench.stack.status().packs;
    assert_eq!(
        bench.packs().len() as u64,
        counts.live,
        "{before} before; only live packs are left: {counts:?}"
    );
    assert_eq!((counts.up, counts.dead), (0, 0));
    let whole: Vec<u8> = (0..20).flat_map(|round| noise(round, 1000)).collect();
    assert_eq!(bench.read(inode, 0, 1 << 20).await, whole);
}

#[tokio::test(start_paused = true)]
async fn deleting_before_the_death_is_durable_shows_in_the_report() {
    let plan = Plan { mutations: Mutations::dropping(&[Rule::DeleteAfterDurable]), ..quiet() };
    let bench = Bench::new(plan).await;
    let inode = bench.create("a").await;
    for round in 0..2 {
        bench.write(inode, 0, &noise(round, 5000)).await;
        bench.flush().await;
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(gc(&bench, false).await.deleted, 1, "the mutation is not seen");
}

#[tokio::test(start_paused = true)]
async fn copy_of_the_box_with_an_older_epoch_is_refused_and_a_newer_one_stops_both_from_deleting() {
    let original = Bench::new(quiet()).await;
    let inode = original.create("a").await;
    original.write(inode, 0, &noise(1, 5000)).await;
    original.flush().await;
    // The copy has metadata of its own, from before the original went on.
    let mut copied = World::new(&Mutations::none()).await;
    copied.bucket = original.world.bucket.clone();
    let other = || Plan { seed: 99, ..quiet() };
    let old = Bench::try_open(copied.clone(), other(), Epoch(1)).await.err().unwrap();
    assert!(matches!(&old, StackError::Owned { host, .. } if host == "testbox"), "{old}");
    assert!(old.to_string().contains("stop that gateway"));
    copied.store.begin_epoch(SHARE).await.unwrap();
    let epoch = copied.store.begin_epoch(SHARE).await.unwrap();
    let copy = Bench::try_open(copied, other(), epoch).await.unwrap();
    // The original notices, and says so in the object.
    assert!(matches!(original.stack.check_owner().await, Err(StackError::Owned { .. })));
    assert!(matches!(original.stack.status().owner, OwnerState::Lost { .. }));
    tokio::time::sleep(DAY * 3).await;
    let swept = gc(&copy, true).await;
    assert_eq!(
        swept.strays, 0,
        "the copy does not know the original's pack and must not delete it: {swept:?}"
    );
    assert!(swept.held_back.is_some());
    assert_eq!(gc(&original, true).await.strays, 0);
    assert_eq!(original.read(inode, 0, 5000).await, noise(1, 5000));
}

#[tokio::test(start_paused = true)]
async fn fresh_owner_deletes_nothing_before_it_settled() {
    let bench = Bench::new(quiet()).await;
    let stray = KeySpace::new("").unwrap().pack(SHARE, PackId(5));
    bench.world.bucket.put_if_absent(&stray, PutBody::from(Bytes::from_static(b"x"))).await.unwrap();
    tokio::time::sleep(DAY * 2).await;
    let bench = bench.reopen(quiet()).await;
    let early = gc(&bench, true).await;
    assert_eq!((early.strays, early.held_back.is_some()), (0, true));
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(gc(&bench, true).await.strays, 1);
}

#[tokio::test(start_paused = true)]
async fn unreachable_store_does_not_keep_the_share_closed_and_the_owner_object_is_taken_later() {
    let world = World::new(&Mutations::none()).await;
    let bench = Bench::open(world, quiet()).await;
    assert!(matches!(bench.stack.status().owner, OwnerState::Held { .. }));
    let world = bench.world.clone();
    world.bucket_delete(&KeySpace::new("").unwrap().owner(SHARE)).await;
    assert!(
        matches!(bench.stack.check_owner().await, Err(StackError::Owned { .. })),
        "a lost owner object is noticed"
    );
}

#[tokio::test(start_paused = true)]
async fn owner_object_damaged_on_its_way_is_read_again_and_damaged_for_good_is_nobodys() {
    let bench = Bench::new(quiet()).await;
    bench.faults.change(|plan| plan.wrong_bytes_rate = 0.3);
    for _ in 0..20 {
        bench.stack.check_owner().await.unwrap();
    }
    assert!(bench.faults.counts().wrong_bytes > 2);
    assert!(matches!(bench.stack.status().owner, OwnerState::Held { .. }));
    bench.faults.change(|plan| plan.wrong_bytes_rate = 1.0);
    assert!(matches!(bench.stack.check_owner().await, Err(StackError::Owned { .. })));
}

#[tokio::test(start_paused = true)]
async fn cleaner_that_is_denied_tells_the_cause_in_the_status() {
    let bench = Bench::new(Plan::default()).await;
    bench.faults.change(|plan| plan.permanent = Some(PermanentCause::AccessDenied));
    tokio::time::sleep(Duration::from_secs(120)).await;
    let told = bench.stack.status().last_error.unwrap();
    assert!(told.contains("allow these credentials"), "{told}");
}

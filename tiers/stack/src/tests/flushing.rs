//! From dirty to clean: packing, order, outages, restarts.

use super::*;
use dfs_cold::{ColdOp, PermanentCause};
use dfs_log::mutation::Rule;

#[tokio::test(start_paused = true)]
async fn flushed_files_are_read_back_from_the_bucket_alone() {
    let bench = Bench::new(Plan::default()).await;
    let mut files = Vec::new();
    for n in 0..20u64 {
        let inode = bench.create(&format!("f{n}")).await;
        let data = noise(n, (n * 3001) as usize + 1);
        bench.write(inode, n * 100, &data).await;
        files.push((inode, n * 100, data));
    }
    bench.flush().await;
    assert_eq!(bench.journal.stats().dirty_inodes, 0);
    let bench = bench.reopen(Plan { cache: None, ..Plan::default() }).await;
    for (inode, offset, data) in &files {
        let bytes = bench.read(*inode, 0, 1 << 20).await;
        assert_eq!(bytes[*offset as usize..], data[..]);
        assert!(bytes[..*offset as usize].iter().all(|b| *b == 0), "a hole reads as zeros");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_small_files_need_at_most_twenty_puts() {
    let plan =
        Plan { block_size: 256 << 10, pack_size: 16 << 20, journal_bytes: 96 << 20, ..Plan::default() };
    let bench = Bench::new(Plan { settings: |s| s.background = false, ..plan }).await;
    for n in 0..10_000u64 {
        let inode = bench.create(&format!("f{n}")).await;
        bench.write(inode, 0, &noise(n, 4096)).await;
    }
    bench.flush().await;
    let puts = bench.cold.counters().attempts(ColdOp::Put);
    println!("10,000 files of 4 KiB took {puts} PUTs");
    assert!(puts <= 20 && puts == bench.packs().len() as u64, "{puts} PUTs");
    assert_eq!(bench.journal.stats().dirty_inodes, 0);
}

#[tokio::test(start_paused = true)]
async fn large_cut_is_spread_over_packs_and_placed_once() {
    let bench = Bench::new(Plan { settings: |s| s.background = false, ..Plan::default() }).await;
    let inode = bench.create("big").await;
    let data = noise(9, 1 << 20);
    for (n, part) in data.chunks(50_000).enumerate() {
        bench.write(inode, n as u64 * 50_000, part).await;
    }
    bench.flush().await;
    assert!(bench.packs().len() >= 16, "{} packs", bench.packs().len());
    assert_eq!(bench.read(inode, 0, 2 << 20).await, data);
    let most = bench.stack.status();
    assert_eq!(most.pack_memory, 0, "memory of packs is given back");
    assert_eq!(most.packs_uploaded, bench.packs().len() as u64);
}

#[tokio::test(start_paused = true)]
async fn many_small_overwrites_keep_at_most_eight_extents_in_a_window() {
    let bench = Bench::new(Plan { settings: |s| s.background = false, ..Plan::default() }).await;
    let inode = bench.create("scattered").await;
    let mut model = noise(1, 32 << 10);
    bench.write(inode, 0, &model).await;
    bench.flush().await;
    for round in 0..40u64 {
        let offset = (round * 7919) % (30 << 10);
        let data = noise(100 + round, 100);
        model[offset as usize..offset as usize + 100].copy_from_slice(&data);
        bench.write(inode, offset, &data).await;
        bench.flush().await;
        let most = bench.extents_in_a_window(inode, 4096).await;
        assert!(most <= 8, "round {round}: {most} extents in a window");
    }
    assert!(bench.stack.status().bytes_rewritten > 0, "no window was written anew: the test tests nothing");
    assert_eq!(bench.read(inode, 0, 1 << 20).await, model);
}

#[tokio::test(start_paused = true)]
async fn outage_of_a_minute_under_writes_drains_by_itself() {
    let bench =
        Bench::new(Plan { settings: |s| s.flush_after = Duration::from_secs(5), ..Plan::default() }).await;
    let inode = bench.create("a").await;
    bench.write(inode, 0, &noise(1, 100_000)).await;
    bench.faults.change(|plan| plan.cut = true);
    let mut model = noise(1, 100_000);
    for second in 0..60u64 {
        let data = noise(second + 10, 5000);
        let offset = second * 1500;
        model[offset as usize..offset as usize + 5000].copy_from_slice(&data);
        bench.write(inode, offset, &data).await;
        assert_eq!(bench.read(inode, offset, 5000).await, data, "dirty data is readable in an outage");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(bench.packs().len(), 0);
    assert!(bench.stack.status().uploads_failed > 0 && bench.stack.status().last_error.is_some());
    bench.faults.heal();
    bench.flush().await;
    assert_eq!(bench.journal.stats().dirty_bytes, 0);
    assert_eq!(bench.read(inode, 0, 1 << 20).await, model);
}

#[tokio::test(start_paused = true)]
async fn permanent_refusal_is_told_to_back_pressure_and_taken_back() {
    let bench = Bench::new(Plan::default()).await;
    let inode = bench.create("a").await;
    bench.faults.change(|plan| plan.permanent = Some(PermanentCause::AccessDenied));
    bench.write(inode, 0, &noise(1, 5000)).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let cause = bench.pressure.permanent(SHARE).unwrap();
    assert!(cause.contains("allow these credentials"), "{cause}");
    assert!(bench.stack.status().cold_permanent.is_some());
    bench.faults.heal();
    bench.flush().await;
    assert_eq!(bench.pressure.permanent(SHARE), None);
}

#[tokio::test(start_paused = true)]
async fn old_record_is_flushed_by_its_age_without_anybody_asking() {
    let bench = Bench::new(Plan::default()).await;
    let inode = bench.create("a").await;
    bench.write(inode, 0, b"hello").await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(bench.packs().len(), 0, "not before its age");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(bench.packs().len(), 1);
    assert_eq!(bench.journal.stats().dirty_inodes, 0);
}

#[tokio::test(start_paused = true)]
async fn truncate_alone_is_placed_without_a_pack() {
    let bench = Bench::new(Plan { settings: |s| s.background = false, ..Plan::default() }).await;
    let inode = bench.create("a").await;
    bench.truncate(inode, 12345).await;
    bench.flush().await;
    assert_eq!((bench.packs().len(), bench.row(inode).await.size), (0, 12345));
    assert_eq!(bench.journal.stats().dirty_inodes, 0);
    assert_eq!(bench.read(inode, 0, 20_000).await, vec![0; 12345]);
}

#[tokio::test(start_paused = true)]
async fn removed_file_under_flush_is_buried_and_the_journal_drains() {
    let bench = Bench::new(Plan { settings: |s| s.background = false, ..Plan::default() }).await;
    let (gone, stays) = (bench.create("gone").await, bench.create("stays").await);
    bench.write(gone, 0, &noise(1, 9000)).await;
    bench.write(stays, 0, &noise(2, 9000)).await;
    bench.remove("gone").await;
    bench.flush().await;
    assert_eq!(bench.journal.stats().dirty_inodes, 0);
    assert_eq!(bench.read(stays, 0, 9000).await, noise(2, 9000));
    let gone = bench.stack.read(gone, None, 0, 10, &Activity::INTERACTIVE, &client(1), None).await;
    assert!(matches!(gone, Err(StackReadError::Gone)), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn busy_file_beside_cold_ones_keeps_the_log_below_sixty_percent() {
    let plan = Plan { journal_bytes: 8 << 20, ..Plan::default() };
    let bench = Bench::new(plan).await;
    for n in 0..1000u64 {
        let inode = bench.create(&format!("cold{n}")).await;
        bench.write(inode, 0, &noise(n, 64)).await;
    }
    let busy = bench.create("busy").await;
    bench.faults.change(|plan| plan.latency = (Duration::from_millis(50), Duration::from_millis(10)));
    let mut most: f64 = 0.0;
    for round in 0..2000u64 {
        bench.write(busy, 0, &noise(round, 32 << 10)).await;
        most = most.max(bench.journal.stats().occupancy);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("most occupancy {most:.3}");
    assert!(most < 0.6, "occupancy {most}");
}

#[tokio::test(start_paused = true)]
async fn place_without_data_left_out_never_drains() {
    let plan = Plan { mutations: Mutations::dropping(&[Rule::PlaceWithoutData]), ..Plan::default() };
    let bench = Bench::new(plan).await;
    let inode = bench.create("a").await;
    bench.truncate(inode, 5).await;
    let flushed = tokio::time::timeout(Duration::from_secs(300), bench.stack.flush(FlushScope::All)).await;
    assert!(flushed.is_err() || bench.journal.stats().dirty_inodes > 0, "the mutation is not seen");
}

#[tokio::test(start_paused = true)]
async fn unconfirmed_put_that_counts_loses_bytes() {
    let plan =
        Plan { mutations: Mutations::dropping(&[Rule::ConfirmedPutOnly]), cache: None, ..Plan::default() };
    let bench = Bench::new(Plan { settings: |s| s.background = false, ..plan }).await;
    let inode = bench.create("a").await;
    bench.write(inode, 0, &noise(1, 5000)).await;
    bench.faults.change(|plan| plan.cut = true);
    bench.flush().await;
    bench.faults.heal();
    let read = bench.try_read(inode, 0, 5000).await;
    assert!(matches!(read, Err(StackReadError::Corrupt { .. })), "the mutation is not seen: {read:?}");
}

#[tokio::test(start_paused = true)]
async fn cuts_of_one_file_upload_side_by_side_and_none_is_uploaded_twice() {
    let bench = Bench::new(Plan::default()).await;
    let inode = bench.create("a").await;
    bench.faults.change(|plan| plan.latency = (Duration::from_millis(20), Duration::from_millis(2000)));
    let mut side_by_side = 0;
    for round in 0..100u64 {
        bench.write(inode, round * 40_000, &noise(round, 40_000)).await;
        side_by_side = side_by_side.max(bench.stack.status().uploads_in_flight);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bench.flush().await;
    bench.stack.gc_once(bench.world.clock.wall(), false).await.unwrap();
    let status = bench.stack.status();
    assert!(side_by_side > 1, "uploads never overlapped");
    assert_eq!(
        (status.packs_uploaded, status.packs.up, status.packs.dead),
        (status.packs.live, 0, 0),
        "{status:?}"
    );
    let whole: Vec<u8> = (0..100).flat_map(|round| noise(round, 40_000)).collect();
    assert_eq!(bench.read(inode, 0, 1 << 30).await, whole);
}

/// A store on which a sweep runs between a PUT's landing and its answer.
struct SweptAtOnce {
    inner: Arc<dyn dfs_cold::ColdStore>,
    stack: std::sync::OnceLock<std::sync::Weak<Stack>>,
    clock: Arc<SimClock>,
}

#[async_trait::async_trait]
impl dfs_cold::ColdStore for SweptAtOnce {
    async fn put_if_absent(
        &self,
        key: &Key,
        body: dfs_cold::PutBody,
    ) -> dfs_cold::ColdResult<dfs_cold::PutOutcome> {
        let outcome = self.inner.put_if_absent(key, body).await;
        if let Some(stack) = self.stack.get().and_then(std::sync::Weak::upgrade) {
            stack.gc_once(self.clock.wall(), true).await.unwrap();
        }
        outcome
    }

    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&dfs_cold::ObjectVersion>,
    ) -> dfs_cold::ColdResult<dfs_cold::ObjectVersion> {
        self.inner.put_owner(key, body, expected).await
    }

    async fn get_owner(&self, key: &Key) -> dfs_cold::ColdResult<(Bytes, dfs_cold::ObjectVersion)> {
        self.inner.get_owner(key).await
    }

    async fn get_ranges(
        &self,
        key: &Key,
        ranges: &[std::ops::Range<u64>],
    ) -> dfs_cold::ColdResult<Vec<Bytes>> {
        self.inner.get_ranges(key, ranges).await
    }

    async fn head(&self, key: &Key) -> dfs_cold::ColdResult<dfs_cold::ObjectInfo> {
        self.inner.head(key).await
    }

    async fn list_page(
        &self,
        prefix: &dfs_cold::KeyPrefix,
        after: Option<&dfs_cold::ListToken>,
    ) -> dfs_cold::ColdResult<dfs_cold::ListPage> {
        self.inner.list_page(prefix, after).await
    }

    async fn delete_batch(&self, keys: &[Key]) -> dfs_cold::ColdResult<Vec<dfs_cold::DeleteOutcome>> {
        self.inner.delete_batch(keys).await
    }

    fn describe(&self) -> dfs_cold::ColdInfo {
        self.inner.describe()
    }
}

#[tokio::test(start_paused = true)]
async fn sweep_right_after_a_put_spares_the_pack_because_its_row_is_there() {
    for dropped in [false, true] {
        let rules: &[Rule] = if dropped { &[Rule::RowBeforeObject] } else { &[] };
        let settings: fn(&mut StackSettings) = |s| {
            s.background = false;
            s.pack_delete_after = Duration::ZERO;
            s.owner_settle = Duration::ZERO;
        };
        let plan = Plan { mutations: Mutations::dropping(rules), cache: None, settings, ..Plan::default() };
        let world = World::new(&plan.mutations).await;
        let epoch = world.store.begin_epoch(SHARE).await.unwrap();
        let clock = world.clock.clone();
        let swept =
            Arc::new(SweptAtOnce { inner: world.bucket.clone(), stack: std::sync::OnceLock::new(), clock });
        let bench = Bench::try_open_on(world, plan, epoch, swept.clone()).await.unwrap();
        assert!(swept.stack.set(Arc::downgrade(&bench.stack)).is_ok());
        let inode = bench.create("a").await;
        bench.write(inode, 0, &noise(1, 5000)).await;
        bench.flush().await;
        let read = bench.try_read(inode, 0, 5000).await;
        match dropped {
            false => assert_eq!(read.unwrap(), noise(1, 5000)),
            true => assert!(
                matches!(read, Err(StackReadError::Corrupt { .. })),
                "the mutation is not seen: {read:?}"
            ),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pack_id_used_twice_brings_old_bytes_or_damage() {
    for dropped in [false, true] {
        let rules: &[Rule] = if dropped { &[Rule::PackIdUnique] } else { &[] };
        let plan =
            |seed| Plan { seed, mutations: Mutations::dropping(rules), cache: None, ..Plan::default() };
        let first = Bench::new(plan(1)).await;
        let inode = first.create("a").await;
        first.write(inode, 0, &noise(1, 5000)).await;
        first.flush().await;
        first.stack.shutdown(Duration::from_secs(10)).await;
        // The power cut lost everything that the metadata knew of it; the object stayed.
        let mut world = World::new(&Mutations::dropping(rules)).await;
        world.bucket = first.world.bucket.clone();
        world.store.begin_epoch(SHARE).await.unwrap();
        let again = Bench::open(world, plan(2)).await;
        assert_eq!(again.create("a").await, inode);
        again.write(inode, 0, &noise(2, 5000)).await;
        again.flush().await;
        let read = again.try_read(inode, 0, 5000).await;
        match dropped {
            false => assert_eq!(read.unwrap(), noise(2, 5000)),
            true => {
                assert!(!matches!(&read, Ok(bytes) if *bytes == noise(2, 5000)), "the mutation is not seen")
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cut_that_uploads_faster_than_the_one_before_waits_for_it() {
    let bench = Arc::new(Bench::new(Plan { settings: |s| s.background = false, ..Plan::default() }).await);
    let inode = bench.create("a").await;
    let flush =
        |bench: Arc<Bench>| tokio::spawn(async move { bench.stack.flush(FlushScope::Inode(inode)).await });
    bench.write(inode, 0, &noise(1, 30_000)).await;
    bench.faults.change(|plan| plan.latency = (Duration::from_secs(5), Duration::ZERO));
    let slow = flush(bench.clone());
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.faults.heal();
    bench.write(inode, 10_000, &noise(2, 30_000)).await;
    let fast = flush(bench.clone());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.packs().len(), 1, "the second pack does not wait to be uploaded");
    assert_eq!(bench.row(inode).await.size, 0, "but to be placed");
    slow.await.unwrap().unwrap();
    fast.await.unwrap().unwrap();
    assert_eq!(bench.stack.status().packs_uploaded, 2, "nothing is uploaded twice");
    let whole = [&noise(1, 30_000)[..10_000], &noise(2, 30_000)[..]].concat();
    assert_eq!(bench.read(inode, 0, 1 << 20).await, whole);
}

#[tokio::test(start_paused = true)]
async fn hundred_thousand_files_of_one_flush_never_make_a_transaction_too_large() {
    let clock = Arc::new(SimClock(tokio::time::Instant::now()));
    let mut config = dfs_store::EmbeddedConfig::new(clock);
    (config.segment_bytes, config.log_bytes) = (1 << 20, 16 << 20);
    (config.reserve_bytes, config.min_free_bytes, config.inline) = (0, 0, true);
    let disk = SimDisk::new(3, 2 << 30);
    let store = dfs_store::EmbeddedStore::open(disk, config).await.unwrap();
    let plan = Plan { pack_size: 1 << 20, journal_bytes: 128 << 20, ..Plan::default() };
    let plan = Plan { settings: |s| s.background = false, ..plan };
    let bench = Bench::open(World::on(Arc::new(store)).await, plan).await;
    let mut last = InodeId(0);
    for n in 0..100_000u64 {
        last = bench.create(&format!("f{n}")).await;
        bench.write(last, 0, &n.to_le_bytes()).await;
    }
    bench.flush().await;
    assert_eq!(bench.journal.stats().dirty_inodes, 0);
    let packs = bench.world.store.packs(SHARE, None, usize::MAX).await.unwrap();
    let given_up = packs.iter().filter(|row| row.state != dfs_store::PackState::Live).count();
    assert_eq!(given_up, 0, "packs of {} were uploaded for a place that was refused", packs.len());
    assert_eq!(bench.read(last, 0, 100).await, 99_999u64.to_le_bytes());
}

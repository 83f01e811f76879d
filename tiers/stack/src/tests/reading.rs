//! From the bucket up: coalescing, single flight, read-ahead, damage.

use super::*;
use dfs_cold::ColdOp;
use dfs_log::mutation::Rule;

fn quiet() -> Plan {
    Plan { settings: |s| s.background = false, ..Plan::default() }
}

async fn flushed_file(bench: &Bench, name: &str, data: &[u8]) -> InodeId {
    let inode = bench.create(name).await;
    for (n, part) in data.chunks(60_000).enumerate() {
        bench.write(inode, n as u64 * 60_000, part).await;
    }
    bench.flush().await;
    inode
}

#[tokio::test(start_paused = true)]
async fn neighbouring_blocks_come_in_one_get() {
    let bench = Bench::new(Plan { pack_size: 4 << 20, cache: None, ..quiet() }).await;
    let data = noise(5, 1 << 20);
    let inode = flushed_file(&bench, "a", &data).await;
    let before = bench.cold.counters().attempts(ColdOp::Get);
    assert_eq!(bench.read(inode, 300_000, 400_000).await, data[300_000..700_000]);
    assert_eq!(bench.cold.counters().attempts(ColdOp::Get) - before, 1);
}

#[tokio::test(start_paused = true)]
async fn many_readers_of_one_block_share_one_fetch() {
    let bench = Arc::new(Bench::new(Plan { cache: None, ..quiet() }).await);
    let data = noise(6, 4096);
    let inode = flushed_file(&bench, "a", &data).await;
    bench.faults.change(|plan| plan.latency = (Duration::from_millis(100), Duration::ZERO));
    let before = bench.cold.counters().attempts(ColdOp::Get);
    let readers: Vec<_> = (0..50).map(|n| bench.read(inode, n, 2000)).collect();
    let read = futures_util::future::join_all(readers).await;
    assert!(read.iter().enumerate().all(|(n, bytes)| bytes[..] == data[n..n + 2000]));
    assert_eq!(bench.cold.counters().attempts(ColdOp::Get) - before, 1);
}

#[tokio::test(start_paused = true)]
async fn sequential_reader_waits_for_few_round_trips() {
    let plan =
        Plan { block_size: 64 << 10, pack_size: 4 << 20, journal_bytes: 64 << 20, cache: None, ..quiet() };
    let bench = Bench::new(plan).await;
    let data = noise(7, 16 << 20);
    let inode = flushed_file(&bench, "a", &data).await;
    bench.faults.change(|plan| plan.latency = (Duration::from_millis(100), Duration::ZERO));
    let start = bench.world.clock.monotonic();
    let (mut at, mut issued_before_served) = (0u64, 0);
    while at < data.len() as u64 {
        let gets = bench.cold.counters().attempts(ColdOp::Get);
        let bytes = bench.read(inode, at, 256 << 10).await;
        assert_eq!(bytes, data[at as usize..at as usize + bytes.len()]);
        issued_before_served += u64::from(bench.cold.counters().attempts(ColdOp::Get) > gets + 1);
        at += bytes.len() as u64;
    }
    let took = bench.world.clock.monotonic().since(start);
    let gets = bench.cold.counters().attempts(ColdOp::Get);
    println!("64 reads of 256 KiB took {took:?} at 100 ms a GET, {gets} GETs");
    assert!(took < Duration::from_millis(1500), "without read-ahead it takes 6.4 s, took {took:?}");
    assert!(issued_before_served >= 1, "read-ahead is issued before the read is served");
    assert!(gets <= 40, "{gets} GETs for 16 MiB");
}

#[tokio::test(start_paused = true)]
async fn rotten_warm_block_is_fetched_again_and_counted() {
    let rot = Forgetfulness { forget: 0, refuse: 0, rot: 255, warm: true };
    let bench = Bench::new(Plan { cache: Some(rot), ..quiet() }).await;
    let data = noise(8, 100_000);
    let inode = flushed_file(&bench, "a", &data).await;
    let before = bench.cold.counters().attempts(ColdOp::Get);
    assert_eq!(bench.read(inode, 0, 100_000).await, data);
    assert!(bench.cache.stats().warm_hits > 0, "warm was not asked: the test tests nothing");
    assert!(bench.cold.counters().attempts(ColdOp::Get) > before);
}

#[tokio::test(start_paused = true)]
async fn damaged_block_in_the_bucket_is_an_error_with_its_name_and_never_zeros() {
    let bench = Bench::new(Plan { cache: None, ..quiet() }).await;
    let data = noise(9, 4096);
    let inode = flushed_file(&bench, "a", &data).await;
    let pack = bench.packs().remove(0);
    assert!(bench.world.bucket.tamper(&pack, |bytes| bytes[2000] ^= 1));
    let read = bench.try_read(inode, 0, 4096).await;
    let Err(StackReadError::Corrupt { block }) = read else { panic!("{read:?}") };
    assert!(pack.as_str().ends_with(&block.pack.to_string()));
    assert!(bench.world.bucket.tamper(&pack, |bytes| bytes[2000] ^= 1));
    assert_eq!(bench.read(inode, 0, 4096).await, data, "good again when the object is");
}

#[tokio::test(start_paused = true)]
async fn wrong_and_short_bodies_now_and_then_do_not_reach_a_reader() {
    let bench = Bench::new(Plan { cache: None, ..quiet() }).await;
    let data = noise(10, 500_000);
    let inode = flushed_file(&bench, "a", &data).await;
    bench.faults.change(|plan| {
        plan.wrong_bytes_rate = 0.05;
        plan.partial_rate = 0.2;
    });
    let mut right = 0;
    for n in 0..100 {
        match bench.try_read(inode, n * 4000, 8192).await {
            Ok(bytes) => {
                assert_eq!(bytes, data[n as usize * 4000..n as usize * 4000 + 8192]);
                right += 1;
            }
            Err(error) => {
                assert!(matches!(error, StackReadError::Corrupt { .. } | StackReadError::ColdUnavailable))
            }
        }
    }
    assert!(right > 80, "{right}");
}

#[tokio::test(start_paused = true)]
async fn unreachable_store_is_unavailable_at_the_deadline() {
    let bench = Bench::new(Plan { cache: None, ..quiet() }).await;
    let data = noise(11, 5000);
    let inode = flushed_file(&bench, "a", &data).await;
    bench.faults.change(|plan| plan.latency = (Duration::from_secs(3600), Duration::ZERO));
    let start = bench.world.clock.monotonic();
    let deadline = Some(start.plus(Duration::from_secs(2)));
    let read = bench.stack.read(inode, None, 0, 5000, &Activity::INTERACTIVE, &client(1), deadline).await;
    assert!(matches!(read, Err(StackReadError::ColdUnavailable)), "{read:?}");
    assert!(bench.world.clock.monotonic().since(start) < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn pack_deleted_under_a_reader_is_resolved_again() {
    for dropped in [false, true] {
        let rules: &[Rule] = if dropped { &[Rule::ReaderResolvesAgain] } else { &[] };
        let plan = Plan { mutations: Mutations::dropping(rules), cache: None, ..quiet() };
        let bench = Arc::new(Bench::new(plan).await);
        let old = noise(12, 4096);
        let inode = flushed_file(&bench, "a", &old).await;
        let old_pack = bench.packs().remove(0);
        // The reader has resolved its extents and waits for a slow store while the file is overwritten, flushed, collected.
        bench.faults.change(|plan| plan.latency = (Duration::from_millis(500), Duration::ZERO));
        let reader = tokio::spawn({
            let bench = bench.clone();
            async move { bench.try_read(inode, 0, 4096).await }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        bench.faults.heal();
        let new = noise(13, 4096);
        bench.write(inode, 0, &new).await;
        bench.flush().await;
        bench.world.bucket_delete(&old_pack).await;
        let read = reader.await.unwrap();
        match dropped {
            false => assert_eq!(read.unwrap(), new),
            true => assert!(read.is_err(), "the mutation is not seen: {read:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn plan_older_than_the_row_is_moved() {
    let bench = Bench::new(Plan { cache: None, ..quiet() }).await;
    let inode = bench.create("a").await;
    bench.write(inode, 0, &noise(1, 1000)).await;
    let plan = bench.journal.read_plan(inode, 0, 2000);
    bench.write(inode, 0, &noise(2, 2000)).await;
    bench.flush().await;
    let read = bench.stack.read(inode, plan, 0, 1000, &Activity::INTERACTIVE, &client(1), None).await;
    assert!(matches!(read, Err(StackReadError::Moved)), "{read:?}");
    let beyond = bench.stack.read(inode, None, 0, 5000, &Activity::INTERACTIVE, &client(1), None).await;
    assert!(matches!(beyond, Err(StackReadError::Moved)), "{beyond:?}");
}

#[tokio::test(start_paused = true)]
async fn read_across_two_parts_of_the_file_map_has_every_byte_once() {
    let bench = Bench::new(Plan { cache: None, pack_size: 1 << 20, ..quiet() }).await;
    let inode = bench.create("a").await;
    let (start, data) = ((64 << 20) - 100_000u64, noise(14, 200_000));
    for (n, part) in data.chunks(50_000).enumerate() {
        bench.write(inode, start + n as u64 * 50_000, part).await;
    }
    bench.flush().await;
    let runs = bench.world.store.extents(SHARE, inode, 0, u64::MAX, 100).await.unwrap();
    assert!(
        runs.iter().any(|run| run.contains((64 << 20) - 1) && run.contains(64 << 20)),
        "no run crosses: {runs:?}"
    );
    assert_eq!(bench.read(inode, start, 200_000).await, data);
    assert_eq!(bench.read(inode, start - 10, 20).await[10..], data[..10]);
}

#[tokio::test(start_paused = true)]
async fn read_right_after_a_flush_comes_from_the_journal_and_asks_the_bucket_nothing() {
    let bench = Bench::new(Plan { cache: None, settings: |s| s.background = false, ..Plan::default() }).await;
    let inode = bench.create("a").await;
    let mut model = noise(1, 60_000);
    bench.write(inode, 0, &model).await;
    model[10_000..10_100].copy_from_slice(&noise(2, 100));
    bench.write(inode, 10_000, &noise(2, 100)).await;
    bench.stack.flush(FlushScope::All).await.unwrap();
    assert_eq!(bench.journal.stats().dirty_inodes, 0, "it is clean: the overlay has nothing");
    let gets = || bench.cold.counters().attempts(dfs_cold::ColdOp::Get);
    let before = gets();
    assert_eq!(bench.read(inode, 0, 1 << 20).await, model);
    assert_eq!(gets() - before, 0, "GETs for bytes that are on this machine");
    assert!(bench.stack.status().served.warm > 0);
    // Rot in a placed segment is a miss, not an answer.
    for name in dfs_log::Disk::list(&*bench.disk).unwrap() {
        bench.disk.rot(&name, 4096 + 40 + 60 + 500, 0x40);
    }
    assert_eq!(bench.read(inode, 0, 1 << 20).await, model);
    assert!(gets() > before);
    // Once the log has taken the segments back, the bucket answers.
    for n in 0..40u64 {
        let other = bench.create(&format!("b{n}")).await;
        bench.write(other, 0, &noise(n, 50_000)).await;
        bench.stack.flush(FlushScope::All).await.unwrap();
    }
    let before = gets();
    assert_eq!(bench.read(inode, 0, 1 << 20).await, model);
    assert!(gets() > before, "the segments are not given back");
}

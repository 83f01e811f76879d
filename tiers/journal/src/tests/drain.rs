//! Pressure as writers and the flusher meet it.

use super::*;
use crate::ReserveError;

/// Cuts and places an inode at once, as a flusher with an instant object store would.
fn flush(bench: &Bench, inode: InodeId) -> u64 {
    let Some(cut) = bench.journal.cut(inode) else { return 0 };
    bench.journal.placed(inode, cut.to_seq);
    cut.data_bytes
}

#[tokio::test(start_paused = true)]
async fn cold_small_files_beside_one_overwritten_for_ever_do_not_hold_the_tail() {
    let bench = Bench::new(7, 64).await;
    let born = bench.journal.last_issued();
    for n in 0..1000 {
        bench.write(&row(3000 + n, born), 0, &[7; 100]).await;
    }
    let mut hot = row(2000, born);
    let (mut most, mut cold_flushed) = (0.0f64, 0);
    for _ in 0..3000 {
        let room = bench.journal.reserve(&client(1), 8192, Reserve::Data, None).await.unwrap();
        let record = Record::Write { offset: 0, mtime: Timestamp::EPOCH, data: vec![1; 8192].into() };
        bench.journal.append(room, &hot, bench.meta(), record).unwrap();
        // Nothing is old enough by age: the clock stands still but for delays.
        for dirty in bench.journal.dirty_inodes(100, Some(Monotonic(0))) {
            if dirty.inode == hot.id {
                hot.flushed_seq = bench.journal.last_seq(hot.id).unwrap();
            } else {
                cold_flushed += 1;
            }
            flush(&bench, dirty.inode);
        }
        most = most.max(bench.pressure.occupancy());
    }
    assert!(most < 0.60, "occupancy reached {most}");
    assert_eq!(cold_flushed, 1000);
    println!("highest occupancy {most:.3}");
}

/// Fills the journal with single-write inodes until data gets no room.
async fn fill(bench: &Bench) -> Vec<Inode> {
    let mut rows = Vec::new();
    loop {
        let file = row(3000 + rows.len() as u64, Seq::ZERO);
        let deadline = Some(bench.clock.monotonic().plus(Duration::from_secs(2)));
        match bench.journal.reserve(&client(1), 4096, Reserve::Data, deadline).await {
            Ok(room) => {
                let record = Record::Write { offset: 0, mtime: Timestamp::EPOCH, data: vec![1; 4096].into() };
                bench.journal.append(room, &file, bench.meta(), record).unwrap();
                rows.push(file);
            }
            Err(error) => {
                assert_eq!(error, ReserveError::Delay);
                return rows;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn full_journal_delays_data_serves_control_and_goes_on_after_draining() {
    let bench = Bench::new(3, 20).await;
    let rows = fill(&bench).await;
    let full = bench.pressure.occupancy();
    assert!((0.90..0.96).contains(&full), "data stops at 90 %, not at {full}");
    let now = || Some(bench.clock.monotonic());
    assert!(bench.journal.reserve(&client(1), 100, Reserve::SmallCommit, now()).await.is_ok());
    let truncate = Record::SetSize { size: 0, mtime: None };
    let seq = bench.append(&rows[0], truncate).await;
    assert_eq!(bench.journal.last_seq(rows[0].id), Some(seq));
    let journal = bench.journal.clone();
    let waiter =
        tokio::spawn(async move { journal.reserve(&client(2), 4096, Reserve::Data, None).await.map(drop) });
    pass(Duration::from_secs(30)).await;
    assert!(!waiter.is_finished(), "data waits while nothing drains");
    for file in &rows {
        flush(&bench, file.id);
    }
    assert_eq!(waiter.await.unwrap(), Ok(()));
    assert_eq!(bench.journal.stats().dirty_inodes, 0);
}

#[tokio::test(start_paused = true)]
async fn permanent_cause_refuses_data_when_nearly_full_and_names_it() {
    let bench = Bench::new(3, 20).await;
    let rows = fill(&bench).await;
    bench.pressure.set_permanent(SHARE, Some("bucket gone".into()));
    let refused = bench.journal.reserve(&client(1), 4096, Reserve::Data, None).await;
    assert_eq!(refused.err(), Some(ReserveError::NoSpace { cause: "bucket gone".into() }));
    bench.append(&rows[0], Record::SetSize { size: 0, mtime: None }).await;
    bench.pressure.set_permanent(SHARE, None);
    rows.iter().take(rows.len() / 2).for_each(|file| {
        flush(&bench, file.id);
    });
    assert!(bench.journal.reserve(&client(1), 4096, Reserve::Data, None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn permanent_cause_of_one_share_refuses_another_only_where_it_fills_the_pool_alone() {
    const OTHER: ShareId = ShareId(0x07e4);
    let bench = Bench::new(3, 20).await;
    let settings = options(&bench.clock, &Mutations::none());
    let recovered = Journal::recover(bench.pool.clone(), OTHER, settings, bench.pressure.clone()).await;
    let other = recovered.unwrap().start(Epoch(1), &[], &HashMap::new()).await.unwrap();
    fill(&bench).await;
    let ask = async |journal: &Journal| {
        let deadline = Some(bench.clock.monotonic().plus(Duration::from_secs(2)));
        journal.reserve(&client(1), 4096, Reserve::Data, deadline).await.map(drop)
    };
    let refused = |cause: &str| Err(ReserveError::NoSpace { cause: cause.into() });
    bench.pressure.set_permanent(OTHER, Some("denied".into()));
    assert_eq!(ask(&bench.journal).await, Err(ReserveError::Delay), "what fills the pool will drain");
    assert_eq!(ask(&other).await, refused("denied"));
    bench.pressure.set_permanent(SHARE, Some("bucket gone".into()));
    bench.pressure.set_permanent(OTHER, None);
    assert_eq!(bench.pressure.permanent(SHARE).as_deref(), Some("bucket gone"));
    assert_eq!(ask(&other).await, refused("bucket gone"), "what fills the pool will not drain");
    drop(bench.journal);
    assert_eq!(bench.pressure.status().permanent.len(), 0, "a closed share presses on nobody");
    assert_eq!(ask(&other).await, Err(ReserveError::Delay), "its log keeps its room, but that is no refusal");
}

#[tokio::test(start_paused = true)]
async fn greedy_client_in_the_slowed_band_does_not_starve_a_modest_one() {
    let bench = Bench::new(3, 40).await;
    let mut rows = Vec::new();
    while bench.pressure.occupancy() < 0.80 {
        let file = row(3000 + rows.len() as u64, Seq::ZERO);
        bench.write(&file, 0, &[1; 4096]).await;
        rows.push(file);
    }
    let mut greedy = Vec::new();
    for _ in 0..64 {
        let journal = bench.journal.clone();
        greedy.push(tokio::spawn(async move {
            journal.reserve(&client(9), 60_000, Reserve::Data, None).await.map(drop)
        }));
    }
    tokio::task::yield_now().await;
    let start = bench.clock.monotonic();
    bench.journal.reserve(&client(2), 4096, Reserve::Data, None).await.map(drop).unwrap();
    let modest = bench.clock.monotonic().since(start);
    for task in greedy {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    let all = bench.clock.monotonic().since(start);
    assert!(modest * 10 < all, "4 KiB beside 64 × 60 KB took {modest:?} of {all:?}");
}

#[tokio::test(start_paused = true)]
async fn journals_of_one_folder_share_its_room() {
    let bench = Bench::new(3, 20).await;
    let other = Journal::recover(
        bench.pool.clone(),
        ShareId(2),
        options(&bench.clock, &Mutations::none()),
        bench.pressure.clone(),
    );
    let other = other.await.unwrap().start(Epoch(1), &[], &HashMap::new()).await.unwrap();
    let rows = fill(&bench).await;
    let deadline = Some(bench.clock.monotonic().plus(Duration::from_secs(1)));
    let refused = other.reserve(&client(5), 4096, Reserve::Data, deadline).await;
    assert_eq!(refused.err(), Some(ReserveError::Delay));
    rows.iter().for_each(|file| {
        flush(&bench, file.id);
    });
    assert!(other.reserve(&client(5), 4096, Reserve::Data, None).await.is_ok());
    let before = bench.pressure.occupancy();
    let _ = fill(&bench).await;
    let Bench { journal, pressure, .. } = bench;
    assert!(pressure.occupancy() > before);
    drop(journal);
    pass(Duration::from_secs(3)).await;
    assert_eq!(pressure.occupancy(), 0.0, "a closed journal presses on nobody");
}

#[tokio::test(start_paused = true)]
async fn idle_clean_journal_gives_its_segment_back() {
    let bench = Bench::new(3, 8).await;
    let file = row(2000, Seq::ZERO);
    bench.write(&file, 0, b"x").await;
    assert_eq!(bench.journal.stats().segments_held, 1);
    flush(&bench, file.id);
    pass(Duration::from_secs(60)).await;
    let stats = bench.journal.stats();
    assert_eq!(stats.segments_held - stats.segments_probation, 0);
}

#[tokio::test(start_paused = true)]
async fn flusher_is_woken_by_the_first_dirt_and_by_a_packs_worth() {
    let bench = Bench::new(3, 800).await;
    let journal = bench.journal.clone();
    let woken =
        async || tokio::time::timeout(Duration::from_millis(1), journal.wait_progress()).await.is_ok();
    assert!(!woken().await);
    let file = row(2000, Seq::ZERO);
    bench.write(&file, 0, b"x").await;
    assert!(woken().await);
    bench.write(&file, 1, b"x").await;
    assert!(!woken().await, "more of the same is no news");
    for n in 0..600 {
        bench.write(&file, n * 30_000, &[1; 30_000]).await;
    }
    assert!(woken().await);
    assert!(journal.stats().uncut_bytes > 16 << 20);
}

#[tokio::test(start_paused = true)]
async fn dirty_inodes_come_oldest_first_and_leave_with_their_cut() {
    let bench = Bench::new(3, 8).await;
    let files: Vec<Inode> = (0..3).map(|n| row(2000 + n, Seq::ZERO)).collect();
    for nth in [2usize, 0, 1, 2] {
        bench.write(&files[nth], nth as u64 * 10, &[1; 10]).await;
        pass(Duration::from_secs(1)).await;
    }
    let listed = |older| -> Vec<u64> {
        bench.journal.dirty_inodes(10, older).iter().map(|dirty| dirty.inode.0).collect()
    };
    assert_eq!(listed(None), [2002, 2000, 2001]);
    assert_eq!(listed(Some(Monotonic(1).plus(Duration::from_millis(500)))), [2002]);
    let cut = bench.journal.cut(files[2].id).unwrap();
    assert_eq!(listed(None), [2000, 2001]);
    bench.write(&files[2], 0, b"y").await;
    assert_eq!(listed(None), [2000, 2001, 2002]);
    bench.journal.placed(files[2].id, cut.to_seq);
    bench.journal.gone(files[0].id);
    assert_eq!(listed(None), [2001, 2002]);
    assert!(bench.journal.cut(files[0].id).is_none());
}

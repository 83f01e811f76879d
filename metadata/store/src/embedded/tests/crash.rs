//! Crashes at any step: what is left is a prefix of the operations and holds everything that was confirmed.

use super::*;
use crate::StateTable;
use crate::conformance::check_consistent;
use crate::conformance::model::{Random, World, run_step};
use bytes::Bytes;
use dfs_log::{Crash, Disk};
use dfs_model::ShareId;

const SHARE: ShareId = ShareId(1);

fn config(random: &mut Random) -> EmbeddedConfig {
    let sizes = [4 << 10, 16 << 10, 256 << 10];
    EmbeddedConfig {
        cache_bytes: 256 << 10,
        memtable_bytes: *random.pick(&sizes),
        checkpoint_interval: Duration::from_millis(1 + random.below(20)),
        log_bytes: 512 << 10,
        segment_bytes: 64 << 10,
        sync_max: Duration::from_millis(1 + random.below(30)),
        ..small()
    }
}

/// The states that a history went through, and how far it was confirmed.
struct History {
    states: Vec<World>,
    /// Index into `states` of the newest state known to survive a power cut.
    confirmed: usize,
    /// A step was cut off in the middle: it may have happened or not, and what it would have made is not known.
    open_end: bool,
}

/// Runs random steps until the machine is down or `steps` are done.
async fn run(bed: &Bed, world: World, random: &mut Random, steps: usize) -> History {
    let mut history = History { states: vec![world], confirmed: 0, open_end: false };
    let mut pending = Vec::new();
    for _ in 0..steps {
        let mut world = history.states.last().unwrap().clone();
        let step = world.random_step(random);
        let predicted = world.predict(&step);
        match (run_step(bed, &step).await, predicted) {
            (Ok(ran), Ok(())) => {
                world.commit(&step, ran.made, ran.pack);
                history.states.push(world);
                pending.push((ran.commit, history.states.len() - 1));
            }
            (Err(StoreError::Refused(found)), Err(wanted)) if found == wanted => {}
            (Err(StoreError::Poisoned(_) | StoreError::Broken(_)), _) => {
                history.open_end = true;
                break;
            }
            (found, wanted) => panic!("{step:?}: found {:?}, wanted {wanted:?}", found.map(|_| ())),
        }
        match random.below(4) {
            0 => {
                let last = bed.store.last_commit();
                if bed.store.durable(last).await.is_err() {
                    break;
                }
                assert!(bed.store.durable_commit() >= last);
            }
            1 => tokio::time::sleep(Duration::from_micros(random.below(5_000))).await,
            _ => {}
        }
        let durable = bed.store.durable_commit();
        let reached = pending.iter().filter(|(commit, _)| *commit <= durable).map(|(_, state)| *state).max();
        history.confirmed = history.confirmed.max(reached.unwrap_or(0));
    }
    history
}

/// Finds the state that survived. *Panics* where none did, or one older than `least`.
async fn survivor(bed: &Bed, history: &History, least: usize, seed: u64) -> World {
    let mut differences = Vec::new();
    for (nth, world) in history.states.iter().enumerate().rev() {
        match world.compare(bed.store.as_ref(), SHARE).await {
            Ok(()) => {
                assert!(nth >= least, "seed {seed}: state {nth} survived, {least} was confirmed");
                return world.clone();
            }
            Err(difference) => differences.push(format!("state {nth}: {difference}")),
        }
    }
    panic!("seed {seed}: what survived is no state of the history\n{}", differences.join("\n"));
}

/// One history with `crashes` crashes, each at a random step, recovery included.
async fn crash_history(seed: u64, kind: Crash) {
    let mut random = Random(seed);
    let mut disk = SimDisk::new(seed, 64 << 20);
    let mut world = World::default();
    let mut created = false;
    for _ in 0..4 {
        if random.below(3) > 0 {
            disk.cut_after(random.below(400));
        }
        // Recovery itself may be cut: then crash and try again, on a machine that stays up.
        let mut opened = EmbeddedStore::open(disk.clone(), config(&mut random)).await;
        let mut tries = 0;
        while let Err(error) = &opened {
            assert!(disk.is_down(), "seed {seed}: open failed on a sound machine: {error}");
            disk = disk.crash(kind);
            if tries < 2 && random.below(2) == 0 {
                disk.cut_after(random.below(150));
            }
            tries += 1;
            opened = EmbeddedStore::open(disk.clone(), config(&mut random)).await;
        }
        let store: Arc<dyn MetadataStore> = Arc::new(opened.unwrap());
        if !created && store.share(SHARE).await.is_err() {
            let made = store.create_share(Bed::record(SHARE.0), 0o777, 0, 0).await;
            if made.is_err() {
                drop(store);
                disk = disk.crash(kind);
                continue;
            }
        }
        created = true;
        if store.begin_epoch(SHARE).await.is_err() {
            drop(store);
            disk = disk.crash(kind);
            continue;
        }
        let bed = Bed::open_at(Arc::clone(&store), SHARE.0).await;
        let steps = 20 + random.below(150) as usize;
        let history = run(&bed, world, &mut random, steps).await;
        drop(bed);
        drop(store);
        disk = disk.crash(kind);
        let store: Arc<dyn MetadataStore> =
            Arc::new(EmbeddedStore::open(disk.clone(), config(&mut random)).await.unwrap());
        let bed = Bed::open_at(store, SHARE.0).await;
        // The death of the process loses nothing that was answered.
        let least = if kind == Crash::Process { history.states.len() - 1 } else { history.confirmed };
        world = if history.open_end {
            survivor_or_adopt(&bed, &history, least, seed).await
        } else {
            survivor(&bed, &history, least, seed).await
        };
        check_consistent(bed.store.as_ref(), SHARE).await;
        drop(bed);
        disk = disk.crash(kind);
    }
}

/// As [`survivor`]; a step that was cut off may have happened on top of the newest state, which cannot be told apart from
/// here, so the tree is taken as found if it is consistent and differs from the newest state by what one step can do.
async fn survivor_or_adopt(bed: &Bed, history: &History, least: usize, seed: u64) -> World {
    for (nth, world) in history.states.iter().enumerate().rev() {
        if world.compare(bed.store.as_ref(), SHARE).await.is_ok() {
            assert!(nth >= least, "seed {seed}: state {nth} survived, {least} was confirmed");
            return world.clone();
        }
    }
    check_consistent(bed.store.as_ref(), SHARE).await;
    let found = World::adopt(bed.store.as_ref(), SHARE).await;
    let newest = history.states.last().unwrap();
    let changed = found.differences(newest);
    assert!(changed <= 4, "seed {seed}: {changed} nodes differ from the newest state");
    found
}

#[test]
fn power_cuts_leave_a_prefix_with_everything_confirmed() {
    let seeds = std::env::var("DFS_STORE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(150);
    for seed in 0..seeds {
        println!("seed {seed}");
        simulate(crash_history(seed, Crash::Power));
    }
}

#[test]
fn process_deaths_lose_nothing_that_was_answered() {
    for seed in 0..80 {
        println!("seed {seed}");
        simulate(crash_history(seed, Crash::Process));
    }
}

#[test]
fn recovery_repeated_shows_the_same_rows() {
    for seed in 0..20 {
        println!("seed {seed}");
        simulate(async move {
            let mut random = Random(seed);
            let mut disk = SimDisk::new(seed, 64 << 20);
            let store: Arc<dyn MetadataStore> =
                Arc::new(EmbeddedStore::open(disk.clone(), config(&mut random)).await.unwrap());
            let bed = Bed::new(store, SHARE.0).await;
            run(&bed, World::default(), &mut random, 120).await;
            drop(bed);
            disk = disk.crash(Crash::Power);
            let mut first = None;
            for _ in 0..4 {
                let store = EmbeddedStore::open(disk.clone(), config(&mut random)).await.unwrap();
                let found = World::adopt(&store, SHARE).await;
                assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "seed {seed}");
                drop(store);
                disk = disk.crash(Crash::Power);
            }
        });
    }
}

#[test]
fn dropped_rule_epoch_durable_first_shows_an_epoch_twice_after_a_power_cut() {
    let mut repeated = 0;
    for seed in 0..40 {
        println!("seed {seed}");
        repeated += simulate(async move {
            let mut disk = SimDisk::new(seed, 64 << 20);
            let config = || EmbeddedConfig {
                mutations: Mutations::dropping(&[dfs_log::Rule::EpochDurableFirst]),
                checkpoint_interval: Duration::from_secs(3600),
                sync_max: Duration::from_secs(3600),
                ..small()
            };
            let store = EmbeddedStore::open(disk.clone(), config()).await.unwrap();
            store.create_share(Bed::record(SHARE.0), 0o777, 0, 0).await.unwrap();
            let first = store.begin_epoch(SHARE).await.unwrap();
            drop(store);
            disk = disk.crash(Crash::Power);
            let store = EmbeddedStore::open(disk.clone(), config()).await.unwrap();
            u32::from(store.begin_epoch(SHARE).await.unwrap() == first)
        });
    }
    assert!(repeated > 0, "a lost epoch transaction must show as a repeated epoch");
}

#[test]
fn epoch_is_never_repeated_by_a_power_cut() {
    for seed in 0..40 {
        println!("seed {seed}");
        simulate(async move {
            let mut disk = SimDisk::new(seed, 64 << 20);
            let store = EmbeddedStore::open(disk.clone(), small()).await.unwrap();
            store.create_share(Bed::record(SHARE.0), 0o777, 0, 0).await.unwrap();
            let mut last = store.begin_epoch(SHARE).await.unwrap();
            drop(store);
            for _ in 0..3 {
                disk = disk.crash(Crash::Power);
                let store = EmbeddedStore::open(disk.clone(), small()).await.unwrap();
                let next = store.begin_epoch(SHARE).await.unwrap();
                assert!(next > last, "seed {seed}: {next} after {last}");
                last = next;
            }
        });
    }
}

/// While the disk is full no checkpoint frees the name log; once there is room again, waiting writes go on, however long it
/// took.
#[test]
fn full_disk_that_gets_room_again_lets_waiting_writes_go_on() {
    simulate(async {
        let (disk, folder) = sim_folder(7);
        let config = EmbeddedConfig { reserve_bytes: 4 << 20, ..config(&mut Random(7)) };
        let store = Arc::new(EmbeddedStore::open(folder, config).await.unwrap());
        store.create_share(Bed::record(SHARE.0), 0o755, 0, 0).await.unwrap();
        let epoch = store.begin_epoch(SHARE).await.unwrap();
        let roomy = disk.total_bytes().unwrap();
        disk.set_capacity(1);
        let writer = tokio::spawn(async move {
            for number in 0..100u8 {
                let (key, value) = (Bytes::copy_from_slice(&[number]), Bytes::from(vec![number; 20_000]));
                store.state_put(SHARE, epoch, StateTable::Clients, key, Some(value)).await.unwrap();
            }
        });
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(!writer.is_finished(), "the name log holds more than it can");
        disk.set_capacity(roomy);
        let done = tokio::time::timeout(Duration::from_secs(3600), writer).await;
        assert!(done.is_ok(), "writes wait though the disk has room again");
    });
}

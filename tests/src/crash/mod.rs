//! Power cuts and process deaths at any step of a random history, checked against the states that the class allows.
//!
//! # What is allowed after a power cut
//! * `local`: every name operation, mode change and attribute change that was answered is there; those not answered may be,
//!   as a prefix. A file holds one exact version of its own history, at or after the last one that a COMMIT, a stable WRITE
//!   or a SETATTR answered for.
//! * `relaxed`: names are any prefix of the history; a file holds one exact version of its own history. Nothing that was
//!   answered longer ago than [`SYNC_SLACK`] is missing.
//! * Both: when a rename replaced a name, the moved file holds at least what it held when the rename was sent.
//!
//! After the death of the process alone: everything that was answered is there, in both classes. What was under way at the
//! cut may be there or not, as a whole. No file ever shows bytes that it never had.
//!
//! A disk that failed a sync counts from that moment on like a power cut, and the share refuses changes until it is opened
//! again. A name operation that is repeated with its key, in the same life or after a crash, is answered as the first time
//! and happens once. When all is flushed, no segment, stray object, dead pack or nameless inode is left.
//!
//! `TESTS_SEEDS` says how many seeds, `TESTS_SEED` where to begin, half of them in each class. A failure names its seed;
//! `TESTS_SEEDS=1 tests/run crash --seed n` replays it alone, in both classes, and with `TESTS_TELL=1` tells each step.

mod asked;
mod attributes;
mod check;
mod clones;
mod crowd;
mod directed;
mod drain;
mod ledger;
mod life;
mod mutations;
mod snapshots;
mod steps;

use crate::sim::number;
use dfs_engine::DurabilityClass;
use std::time::Duration;

/// Whatever was answered longer ago than this survives a power cut in every class: `sync_max` and a slow sync.
pub const SYNC_SLACK: Duration = Duration::from_secs(5);

/// Tells of a step where `TESTS_TELL` is set.
fn tell(what: impl FnOnce() -> String) {
    if std::env::var_os("TESTS_TELL").is_some() {
        println!("{}", what());
    }
}

/// Seeds that may fail before a test gives up.
const FAILURES_MAX: usize = 5;

/// The tests of one run share the seeds, so that they run at the same time.
const SHARDS: u64 = 4;

fn shard(shard: u64, class: DurabilityClass) {
    let (first, count) = (number("TESTS_SEED", 1), number("TESTS_SEEDS", 40));
    let odd = u64::from(class == DurabilityClass::Relaxed);
    let played = |seed: u64| match count {
        1 => shard == 0,
        _ => seed % (2 * SHARDS) == shard * 2 + odd,
    };
    let mut failed = Vec::new();
    for seed in (first..first + count).filter(|seed| played(*seed)) {
        let plan = life::Plan { copies: true, ..life::Plan::of(class) };
        if let Err(why) = life::history(seed, &plan, &dfs_log::Mutations::none()) {
            let replay = format!("TESTS_SEEDS=1 tests/run crash --seed {seed}");
            failed.push(format!("class {}, seed {seed}: {why}\nreplay: {replay}", class.as_str()));
        }
        assert!(failed.len() < FAILURES_MAX, "{}", failed.join("\n"));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn local_history_cut_at_any_step_leaves_an_allowed_state_0() {
    shard(0, DurabilityClass::Local);
}

#[test]
fn local_history_cut_at_any_step_leaves_an_allowed_state_1() {
    shard(1, DurabilityClass::Local);
}

#[test]
fn local_history_cut_at_any_step_leaves_an_allowed_state_2() {
    shard(2, DurabilityClass::Local);
}

#[test]
fn local_history_cut_at_any_step_leaves_an_allowed_state_3() {
    shard(3, DurabilityClass::Local);
}

#[test]
fn relaxed_history_cut_at_any_step_leaves_an_allowed_state_0() {
    shard(0, DurabilityClass::Relaxed);
}

#[test]
fn relaxed_history_cut_at_any_step_leaves_an_allowed_state_1() {
    shard(1, DurabilityClass::Relaxed);
}

#[test]
fn relaxed_history_cut_at_any_step_leaves_an_allowed_state_2() {
    shard(2, DurabilityClass::Relaxed);
}

#[test]
fn relaxed_history_cut_at_any_step_leaves_an_allowed_state_3() {
    shard(3, DurabilityClass::Relaxed);
}

#[test]
fn remote_history_cut_at_any_step_leaves_an_allowed_state() {
    let (first, count) = (number("TESTS_SEED", 1), number("TESTS_SEEDS", 40));
    let seeds = (first..first + count).filter(|seed| count == 1 || seed % (4 * SHARDS) == 6);
    for seed in seeds {
        let plan = life::Plan::of(DurabilityClass::Remote);
        if let Err(why) = life::history(seed, &plan, &dfs_log::Mutations::none()) {
            panic!("class remote, seed {seed}: {why}");
        }
    }
}

#[test]
fn remote_share_needs_no_journal_for_what_it_acknowledged() {
    for seed in 1..=30 {
        let none = dfs_log::Mutations::none();
        assert_eq!(directed::box_lost(seed, &none), Ok(()), "seed {seed}");
        assert_eq!(directed::renamed_over_box_lost(seed, &none), Ok(()), "seed {seed}");
        let dropped = dfs_log::Mutations::dropping(&[dfs_log::Rule::DataBeforeRenameOver]);
        assert!(directed::renamed_over_box_lost(seed, &dropped).is_err(), "seed {seed} sees nothing");
    }
}

#[test]
fn remote_commit_is_told_to_wait_while_the_bucket_is_away_and_loses_nothing() {
    for seed in 1..=10 {
        assert_eq!(directed::commit_waits_for_the_bucket(seed), Ok(()), "seed {seed}");
    }
}

#[test]
fn remote_clients_that_wait_at_the_same_time_share_packs() {
    let packs = directed::packs_of_commits(100).unwrap();
    assert!((1..=15).contains(&packs), "{packs} packs for 100 files");
}

#[test]
fn size_and_times_set_together_go_on_from_segment_to_segment() {
    assert_eq!(directed::sizes_and_times(1), Ok(()));
}

#[test]
fn history_of_a_seed_played_twice_is_the_same() {
    for seed in 1..=10 {
        let plan = life::Plan::of(DurabilityClass::Relaxed);
        let play = || life::history(seed, &plan, &dfs_log::Mutations::none());
        assert_eq!(play(), play(), "seed {seed}");
    }
}

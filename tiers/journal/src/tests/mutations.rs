//! Each rule that the journal keeps, dropped alone, is caught by some seed.

use super::*;
use dfs_log::Rule;

/// The first seed of the algebra's histories that notices the dropped rule.
async fn caught_by_algebra(rule: Rule) -> (u64, String) {
    for seed in 0..50 {
        if let Err(why) = algebra::history(seed, 400, Mutations::dropping(&[rule])).await {
            let with_it = algebra::history(seed, 400, Mutations::none()).await;
            assert_eq!(with_it, Ok(()), "seed {seed} with the rule");
            return (seed, why);
        }
    }
    panic!("no seed noticed that {rule:?} is dropped");
}

#[tokio::test(start_paused = true)]
async fn exact_cut_dropped_is_caught() {
    let (seed, why) = caught_by_algebra(Rule::ExactCut).await;
    println!("ExactCut: seed {seed}: {why}");
}

#[tokio::test(start_paused = true)]
async fn punch_is_record_dropped_is_caught() {
    let (seed, why) = caught_by_algebra(Rule::PunchIsRecord).await;
    println!("PunchIsRecord: seed {seed}: {why}");
}

/// The first seed of crash histories that notices the dropped rule.
async fn caught_by_crashes(rule: Rule, seeds: u64) -> (u64, String) {
    for seed in 0..seeds {
        if let Err(why) = recovery::history(seed, Mutations::dropping(&[rule])).await {
            assert_eq!(recovery::history(seed, Mutations::none()).await, Ok(()), "seed {seed} with the rule");
            return (seed, why);
        }
    }
    panic!("no seed of {seeds} noticed that {rule:?} is dropped");
}

#[tokio::test(start_paused = true)]
async fn free_not_by_newer_dropped_is_caught() {
    let (seed, why) = caught_by_crashes(Rule::FreeNotByNewer, 300).await;
    println!("FreeNotByNewer: seed {seed}: {why}");
}

#[tokio::test(start_paused = true)]
async fn exact_cut_dropped_is_caught_by_crashes_too() {
    let (seed, why) = caught_by_crashes(Rule::ExactCut, 300).await;
    println!("ExactCut: seed {seed}: {why}");
}

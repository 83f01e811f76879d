//! Each rule that the journal keeps, dropped alone, is caught by some seed.

use super::*;
use dfs_log::Rule;

#[tokio::test(start_paused = true)]
async fn exact_cut_dropped_is_caught() {
    let mut caught = None;
    for seed in 0..50 {
        let dropped = Mutations::dropping(&[Rule::ExactCut]);
        if let Err(why) = algebra::history(seed, 400, dropped).await {
            caught = Some((seed, why));
            break;
        }
    }
    let (seed, why) = caught.expect("no seed noticed cuts that are not exact");
    println!("ExactCut: seed {seed}: {why}");
    assert_eq!(algebra::history(seed, 400, Mutations::none()).await, Ok(()), "seed {seed} with the rule");
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

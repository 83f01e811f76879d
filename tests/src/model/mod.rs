//! The engine against the model: random histories by several users must get the same answers, refusals included, and leave
//! the same trees. `TESTS_SEED` says where to begin; a failure names its seed and step.

mod asks;
mod compare;

use crate::sim::{World, WorldOptions, number, run_paused};
use compare::Pair;
use dfs_engine::DurabilityClass;
use dfs_log::Mutations;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;

/// Steps of one history.
const STEPS: usize = 400;

fn histories(first: u64, count: u64) {
    for seed in first..first + count {
        if let Err(why) = run_paused(history(seed)) {
            panic!("seed {seed}: {why}");
        }
    }
}

async fn history(seed: u64) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut options = WorldOptions::random(&mut rng, DurabilityClass::Relaxed, Mutations::none());
    World::create(&mut options).await?;
    let world = World::open(&mut options).await?;
    let mut pair = Pair::new(&world);
    for step in 0..STEPS {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let ask = asks::random(&mut rng, &pair);
        pair.both(&ask).await.map_err(|why| format!("step {step}, {ask:?}: {why}"))?;
    }
    pair.same_trees().await
}

#[test]
fn engine_and_model_agree_on_random_histories_0() {
    let count = if number("TESTS_SHORT", 1) == 1 { 60 } else { 1000 };
    histories(number("TESTS_SEED", 1), count);
}

#[test]
fn engine_and_model_agree_on_random_histories_1() {
    let count = if number("TESTS_SHORT", 1) == 1 { 60 } else { 1000 };
    histories(number("TESTS_SEED", 1) + 1_000_000, count);
}

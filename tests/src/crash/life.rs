//! A history of several lives: random steps, a cut at a random step of the disk, recovery (which may be cut too), a check.

use super::check::{End, allowed, dump};
use super::ledger::Ledger;
use super::steps::{Outcome, Player};
use crate::sim::{World, WorldOptions, run_paused};
use dfs_engine::DurabilityClass;
use dfs_log::Mutations;
use dfs_stack::FlushScope;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// Lives of one history.
const LIVES: usize = 3;
/// Most steps of a life.
const STEPS: usize = 60;
/// Most recoveries cut in a row.
const CUT_RECOVERIES: usize = 3;
/// Simulated time after which a life that neither ends nor is cut hangs.
const HANGS_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Plays the history of a seed. *Errors:* what went wrong, in words.
pub fn history(seed: u64, class: DurabilityClass, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut options = WorldOptions::random(&mut rng, class, mutations.clone());
    let mut ledger = Ledger::new();
    run_paused(World::create(&mut options)).map_err(|why| format!("making the share: {why}"))?;
    for life in 0..LIVES {
        options.cut_after = Some(rng.random_range(1..4000));
        let lived = run_paused(live(&mut options, &mut ledger, &mut rng, class))
            .map_err(|why| format!("life {life}: {why}"))?;
        if lived {
            continue;
        }
        let end = if rng.random_bool(0.6) { End::PowerCut } else { End::ProcessDeath };
        recover(&mut options, &mut ledger, &mut rng, class, end)
            .map_err(|why| format!("life {life}: {why}"))?;
    }
    options.cut_after = None;
    run_paused(last_life(&mut options, &mut ledger)).map_err(|why| format!("last life: {why}"))
}

/// One life; `true` when it ended in order.
async fn live(
    options: &mut WorldOptions,
    ledger: &mut Ledger,
    rng: &mut StdRng,
    class: DurabilityClass,
) -> Result<bool, String> {
    let world = match World::open(options).await {
        Ok(world) => world,
        Err(_) if options.is_cut() => return Ok(false),
        Err(why) => return Err(format!("opening: {why}")),
    };
    let steps = rng.random_range(5..STEPS);
    let mut player = Player { world: &world, ledger, rng, class };
    for step in 0..steps {
        let played = tokio::time::timeout(HANGS_AFTER, player.play()).await;
        match played {
            Ok(Ok(Outcome::Answered)) => {}
            Ok(Ok(Outcome::Cut)) => {
                options.rest(&world);
                return Ok(false);
            }
            Ok(Err(why)) => return Err(format!("step {step}: {why}")),
            Err(_) => return Err(format!("step {step} hangs, disk cut: {}", world.is_cut())),
        }
    }
    // The machine dies between two steps.
    options.rest(&world);
    Ok(false)
}

/// Crashes the disk, opens again (cut some times on the way), and checks what is there.
fn recover(
    options: &mut WorldOptions,
    ledger: &mut Ledger,
    rng: &mut StdRng,
    class: DurabilityClass,
    end: End,
) -> Result<(), String> {
    let mut worst = end;
    options.crash(end == End::PowerCut, rng);
    for _ in 0..rng.random_range(0..CUT_RECOVERIES) {
        options.cut_after = Some(rng.random_range(1..200));
        let opened = run_paused(async { World::open(options).await.map(|world| options.rest_of(&world)) });
        match opened {
            Ok(rest) => options.elapsed = rest,
            Err(_) if options.is_cut() => {}
            Err(why) => return Err(format!("recovery: {why}")),
        }
        let power = rng.random_bool(0.5);
        worst = if power { End::PowerCut } else { worst };
        options.crash(power, rng);
    }
    options.cut_after = None;
    run_paused(async {
        let world = World::open(options).await.map_err(|why| format!("recovery: {why}"))?;
        let found = dump(&world).await?;
        let (names, data) = allowed(ledger, &found, class, worst, options.cut_at)?;
        ledger.settle(names, &data);
        note_mtimes(ledger, &found);
        options.rest(&world);
        Ok(())
    })
}

/// What was under way at the cut is now known.
fn note_mtimes(ledger: &mut Ledger, found: &BTreeMap<String, super::check::Found>) {
    let names = ledger.now().clone();
    for (path, entry) in names {
        let version = ledger.files[entry.file].versions.last_mut().unwrap();
        version.mtime = Some(found[&path].attrs.mtime);
        version.answered = Some(Duration::ZERO);
    }
}

/// The object store is well again: everything drains, and reads back from it alone.
async fn last_life(options: &mut WorldOptions, ledger: &mut Ledger) -> Result<(), String> {
    let world = World::open(options).await.map_err(|why| format!("opening: {why}"))?;
    world.calm();
    let flushed = tokio::time::timeout(HANGS_AFTER, world.engine().stack().flush(FlushScope::All)).await;
    flushed.map_err(|_| "the flush hangs".to_owned())?.map_err(|why| format!("flush: {why}"))?;
    let stats = world.engine().journal().stats();
    if stats.dirty_bytes > 0 || stats.dirty_inodes > 0 {
        return Err(format!(
            "after a flush {} bytes of {} inodes are dirty",
            stats.dirty_bytes, stats.dirty_inodes
        ));
    }
    world.forget_cache();
    let found = dump(&world).await?;
    allowed(ledger, &found, DurabilityClass::Local, End::ProcessDeath, world.elapsed()).map(|_| ())
}

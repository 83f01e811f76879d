//! A history of several lives: random steps, a cut at a random step of the disk, recovery (which may be cut too), a check.

use super::asked::{first_lost, repeat_last};
use super::check::{End, Found, allowed, dump};
use super::drain;
use super::ledger::Ledger;
use super::snapshots::{all_show_their_own, end_all};
use super::steps::{Outcome, Player};
use crate::sim::{Tuning, World, WorldOptions, run_paused};
use dfs_engine::DurabilityClass;
use dfs_log::Mutations;
use dfs_stack::FlushScope;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most recoveries cut in a row.
const CUT_RECOVERIES: usize = 3;
/// Simulated time after which a life that neither ends nor is cut hangs.
const HANGS_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What a history is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    pub class: DurabilityClass,
    /// Lives before the last, which is never cut.
    pub lives: usize,
    /// Steps of a life, at most.
    pub steps: usize,
    /// A life ends at a step of the disk below this, or between two of its own steps.
    pub cut_below: u64,
    /// One life in so many has a disk that fails a sync; 0 for none.
    pub failing_disk: u32,
    /// One life in so many has a disk that is full for a while; 0 for none.
    pub full_disk: u32,
    /// Files are cloned too, and snapshots taken.
    pub copies: bool,
    /// `None`: a random one.
    pub tuning: Option<Tuning>,
}

impl Plan {
    /// Everything, often.
    pub fn of(class: DurabilityClass) -> Plan {
        Plan {
            class,
            lives: 4,
            steps: 60,
            cut_below: 4000,
            failing_disk: 6,
            full_disk: 6,
            copies: false,
            tuning: None,
        }
    }
}

/// Plays the history of a seed and answers with a number that stands for all that the disk saw. *Errors:* what went wrong,
/// in words.
pub fn history(seed: u64, plan: &Plan, mutations: &Mutations) -> Result<u64, String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let tuning = plan.tuning.clone().unwrap_or_else(|| Tuning::random(&mut rng));
    let mut options = WorldOptions::tuned(&mut rng, plan.class, mutations.clone(), tuning);
    let mut ledger = Ledger::new();
    run_paused(World::create(&mut options)).map_err(|why| format!("making the share: {why}"))?;
    for life in 0..plan.lives {
        let told = |why: String| format!("life {life}: {why}");
        options.cut_after = Some(rng.random_range(1..plan.cut_below));
        let failed = run_paused(live(&mut options, &mut ledger, &mut rng, plan)).map_err(told)?;
        let power = rng.random_bool(0.6);
        recover(&mut options, &mut ledger, &mut rng, plan.class, Death { power, failed }).map_err(told)?;
    }
    options.cut_after = None;
    run_paused(last_life(&mut options, &mut ledger)).map_err(|why| format!("last life: {why}"))?;
    Ok(options.disk_steps())
}

/// How a life ended.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    pub power: bool,
    /// The disk had failed before: what was not synced may be lost with the process alone.
    pub failed: bool,
}

impl Death {
    fn end(self) -> End {
        if self.power || self.failed { End::PowerCut } else { End::ProcessDeath }
    }
}

/// One life, to its end; `true` when its disk failed before.
async fn live(
    options: &mut WorldOptions,
    ledger: &mut Ledger,
    rng: &mut StdRng,
    plan: &Plan,
) -> Result<bool, String> {
    let world = match hangs("opening", options.open()).await? {
        Ok(world) => world,
        Err(_) if options.is_cut() => return Ok(false),
        Err(why) => return Err(format!("opening: {why}")),
    };
    let steps = rng.random_range(5..plan.steps);
    let mut chance = |one_in: u32| one_in > 0 && rng.random_ratio(1, one_in);
    let (fails, fills) = (chance(plan.failing_disk), chance(plan.full_disk));
    let (fails_at, full_at) = (rng.random_range(0..steps), rng.random_range(0..steps));
    let mut player = Player { world: &world, ledger, rng, class: plan.class, copies: plan.copies };
    for step in 0..steps {
        super::tell(|| format!("-- step {step} at {:?}, disk step {}", world.elapsed(), world.disk_steps()));
        if fails && step == fails_at {
            super::tell(|| "the next sync fails".to_owned());
            world.fail_next_sync();
        }
        if fills && (step == full_at || step == full_at + 10) {
            let free = player.rng.random_range(0..300_000);
            super::tell(|| format!("the disk is full, or free again; {free}"));
            world.leave_free((step == full_at).then_some(free));
        }
        let played = hangs("step", player.play())
            .await
            .map_err(|why| format!("{why} {step}, disk cut: {}", world.is_cut()))?;
        match played.map_err(|why| format!("step {step}: {why}"))? {
            Outcome::Answered => {}
            Outcome::Cut if world.is_cut() => break,
            Outcome::Cut => {
                player.after_failed_sync().await.map_err(|why| format!("step {step}, disk failed: {why}"))?;
                break;
            }
        }
    }
    // The machine dies under a step, or between two.
    options.rest(&world);
    Ok(world.failed_at().is_some())
}

async fn hangs<T>(what: &str, work: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(HANGS_AFTER, work).await.map_err(|_| format!("hangs: {what}"))
}

/// Crashes the disk, opens again (cut some times on the way), and checks what is there.
pub fn recover(
    options: &mut WorldOptions,
    ledger: &mut Ledger,
    rng: &mut StdRng,
    class: DurabilityClass,
    death: Death,
) -> Result<(), String> {
    let mut worst = death.end();
    super::tell(|| format!("== {death:?}, at step {} of the disk", options.disk_steps()));
    options.crash(death.power);
    for _ in 0..rng.random_range(0..CUT_RECOVERIES) {
        options.cut_after = Some(rng.random_range(1..200));
        let opened = run_paused(async {
            hangs("recovery", options.open()).await.flatten().map(|world| world.elapsed())
        });
        match opened {
            Ok(elapsed) => options.elapsed = elapsed,
            Err(_) if options.is_cut() => {}
            Err(why) => return Err(format!("recovery: {why}")),
        }
        let power = rng.random_bool(0.5);
        worst = if power { End::PowerCut } else { worst };
        super::tell(|| format!("== again, power cut: {power}"));
        options.crash(power);
    }
    options.cut_after = None;
    let resends = rng.random_bool(0.5);
    run_paused(async {
        let world =
            hangs("recovery", options.open()).await.flatten().map_err(|why| format!("recovery: {why}"))?;
        let found = dump(&world).await?;
        let (names, data) = allowed(ledger, &found, class, worst, options.cut_at)?;
        let lost = first_lost(ledger, names, world.elapsed()).filter(|_| resends);
        repeat_last(&world, ledger, names, &found).await?;
        ledger.settle(names, &data);
        note_found(ledger, &found);
        all_show_their_own(&world, &ledger.taken).await?;
        if let Some(lost) = lost {
            lost.send(&world, ledger).await?;
        }
        options.rest(&world);
        Ok(())
    })
}

/// What was under way at the cut is now known.
fn note_found(ledger: &mut Ledger, found: &BTreeMap<String, Found>) {
    let names = ledger.now().clone();
    for (path, entry) in names {
        let version = ledger.files[entry.file].versions.last_mut().unwrap();
        version.mtime = Some(found[&path].attrs.mtime);
        version.answered = Some(Duration::ZERO);
        ledger.know(found[&path].attrs.inode, entry.file);
    }
}

/// The object store is well again: everything drains, nothing is left over, and all reads back from the object store alone.
async fn last_life(options: &mut WorldOptions, ledger: &mut Ledger) -> Result<(), String> {
    let world = hangs("opening", options.open()).await.flatten().map_err(|why| format!("opening: {why}"))?;
    world.calm();
    let flushed = hangs("flush", world.engine().stack().flush(FlushScope::All)).await?;
    flushed.map_err(|why| format!("flush: {why}"))?;
    let stats = world.engine().journal().stats();
    if stats.dirty_bytes > 0 || stats.dirty_inodes > 0 {
        return Err(format!(
            "after a flush {} bytes of {} inodes are dirty",
            stats.dirty_bytes, stats.dirty_inodes
        ));
    }
    world.forget_cache();
    all_show_their_own(&world, &ledger.taken).await?;
    end_all(&world).await?;
    let found = dump(&world).await?;
    allowed(ledger, &found, DurabilityClass::Local, End::ProcessDeath, world.elapsed())?;
    drain::nothing_left_over(&world, ledger, &found, &options.tuning).await
}

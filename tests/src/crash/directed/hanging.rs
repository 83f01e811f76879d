//! The syncs of the name log hang while the journal's go on: what is answered or given up meanwhile must not rest on names
//! that a power cut takes back.

use super::{create, flush, lazy, write, write_at};
use crate::crash::SYNC_SLACK;
use crate::crash::check::{Found, dump};
use crate::sim::{Tuning, World, WorldOptions, run_paused};
use dfs_engine::DurabilityClass;
use dfs_log::Mutations;
use dfs_model::{Clock, InodeId, Name};
use dfs_vfs::{NameCase, Remove, RemoveWhat, Stability, Vfs, Walk, WalkStep};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longer than any answer takes that does not wait for the name log, shorter than the time to its next checkpoint.
const MOMENT: Duration = Duration::from_millis(300);

/// The step of a history that is not answered while names hang: `None` after a moment.
pub(super) async fn moment<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(MOMENT, work).await.ok()
}

async fn find(world: &World, name: &str) -> Option<InodeId> {
    let steps = vec![WalkStep::Down(Name::try_from(name).unwrap())];
    let request = Walk { dir: InodeId::ROOT, steps, case: NameCase::Exact, want: Default::default() };
    let walked = world.engine().walk(&world.root_context(), request).await.ok()?;
    walked.steps.last().map(|step| step.inode)
}

async fn remove(world: &World, name: &str) -> Result<(), String> {
    let name = Name::try_from(name).unwrap();
    let request = Remove { dir: InodeId::ROOT, name, what: RemoveWhat::NonDirectory, expect: None };
    let done = world.engine().remove(&world.root_context(), request).await;
    done.map(drop).map_err(|failed| format!("remove: {}", failed.error))
}

pub(super) fn world(
    rng: &mut StdRng,
    class: DurabilityClass,
    mutations: &Mutations,
    tuning: Tuning,
) -> Result<WorldOptions, String> {
    let mut options = WorldOptions::tuned(rng, class, mutations.clone(), tuning);
    run_paused(World::create(&mut options))?;
    Ok(options)
}

/// Cuts the power and shows what is there after it.
pub(super) fn after_a_power_cut(options: &mut WorldOptions) -> Result<BTreeMap<String, Found>, String> {
    options.crash(true);
    run_paused(async { dump(&options.open().await?).await })
}

/// One client waits for the answer to its create; another finds the file, writes to it, stable, and is answered. Then the power
/// goes: the file is there, with these bytes.
pub fn acked_while_created(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut options = world(&mut rng, DurabilityClass::Local, mutations, lazy())?;
    let bytes = vec![3; rng.random_range(1..9000)];
    let acked = run_paused(async {
        let world = options.open().await?;
        let before = create(&world, "before").await?;
        write(&world, before, vec![1; 100], Stability::FileSync).await?;
        world.stall_names();
        let creates = create(&world, "file");
        let finds = async {
            loop {
                match find(&world, "file").await {
                    Some(found) => return write(&world, found, bytes.clone(), Stability::FileSync).await,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        let both = async {
            tokio::select! { made = creates => made.map(drop), wrote = finds => wrote }
        };
        let acked = moment(both).await.transpose()?.is_some();
        options.rest(&world);
        Ok::<bool, String>(acked)
    })?;
    match after_a_power_cut(&mut options)?.get("file") {
        Some(found) if !acked || found.bytes == bytes => Ok(()),
        None if !acked => Ok(()),
        Some(_) => Err("an acknowledged write is not in the file".to_owned()),
        None => Err("the file of an acknowledged write is missing".to_owned()),
    }
}

/// A file whose bytes are synced is removed, and before that is durable its segment of the journal is wanted by others. Then the
/// power goes: the file is gone, or there with its bytes.
pub fn freed_while_unlinking(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut options = world(&mut rng, DurabilityClass::Relaxed, mutations, lazy())?;
    let bytes = vec![5; rng.random_range(1000..60_000)];
    run_paused(async {
        let world = options.open().await?;
        let (file, other) = (create(&world, "file").await?, create(&world, "other").await?);
        write(&world, file, bytes.clone(), Stability::Unstable).await?;
        tokio::time::sleep(SYNC_SLACK).await;
        world.stall_names();
        remove(&world, "file").await?;
        for number in 0..rng.random_range(8..20u64) {
            write_at(&world, other, number * 60_000, vec![6; 60_000], Stability::Unstable).await?;
        }
        options.rest(&world);
        Ok::<(), String>(())
    })?;
    unharmed(&after_a_power_cut(&mut options)?, &bytes)
}

/// A placed file is removed, and before that is durable the cleaner comes by. Then the power goes: the file is gone, or there with
/// its bytes.
pub fn deleted_while_unlinking(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let tuning = Tuning { pack_delete_after: Duration::ZERO, ..lazy() };
    let mut options = world(&mut rng, DurabilityClass::Relaxed, mutations, tuning)?;
    let bytes = vec![5; rng.random_range(1000..60_000)];
    run_paused(async {
        let world = options.open().await?;
        let file = create(&world, "file").await?;
        write(&world, file, bytes.clone(), Stability::Unstable).await?;
        flush(&world).await?;
        // Longer than the owner object must have been ours, and than anything stays unsynced.
        tokio::time::sleep(options.tuning.gc_every * 2).await;
        world.stall_names();
        remove(&world, "file").await?;
        let later = world.clock().wall().plus(Duration::from_secs(1));
        let cleaned = moment(world.engine().stack().gc_once(later, rng.random_bool(0.5))).await;
        cleaned.transpose().map_err(|error| format!("cleaner: {error}"))?;
        options.rest(&world);
        Ok::<(), String>(())
    })?;
    unharmed(&after_a_power_cut(&mut options)?, &bytes)
}

fn unharmed(found: &BTreeMap<String, Found>, bytes: &[u8]) -> Result<(), String> {
    match found.get("file") {
        Some(found) if found.bytes != bytes => Err("the file is back, its bytes are not".to_owned()),
        _ => Ok(()),
    }
}

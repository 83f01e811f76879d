//! The cleaner at work between the steps of somebody else.

use super::{create, flush, lazy, write};
use crate::crash::check::{dump, read};
use crate::sim::{Tuning, World, WorldOptions, run_paused};
use dfs_engine::DurabilityClass;
use dfs_log::Mutations;
use dfs_model::{Clock, Target};
use dfs_vfs::{GetAttr, Stability, Vfs};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

fn world(seed: u64, mutations: &Mutations) -> Result<(StdRng, WorldOptions), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let tuning = Tuning { pack_delete_after: Duration::ZERO, ..lazy() };
    let mut options = WorldOptions::tuned(&mut rng, DurabilityClass::Local, mutations.clone(), tuning);
    run_paused(World::create(&mut options))?;
    Ok((rng, options))
}

/// A round of the cleaner for which everything is old enough.
async fn clean(world: &World) -> Result<(), String> {
    let later = world.clock().wall().plus(Duration::from_secs(1));
    let done = world.engine().stack().gc_once(later, true).await;
    done.map(drop).map_err(|error| format!("cleaner: {error}"))
}

/// Sweeps strays again and again, until it fails.
async fn sweeps(world: &World) -> Result<(), String> {
    loop {
        clean(world).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A pack's object is there and the answer to its PUT is late, while the cleaner sweeps strays: the file reads afterwards.
pub fn swept_while_put(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let (mut rng, mut options) = world(seed, mutations)?;
    let bytes = vec![4; rng.random_range(1000..60_000)];
    run_paused(async {
        let world = options.open().await?;
        let file = create(&world, "file").await?;
        write(&world, file, bytes.clone(), Stability::Unstable).await?;
        // Longer than the owner object must have been ours.
        tokio::time::sleep(options.tuning.gc_every * 2).await;
        world.late_answers(Duration::from_secs(10));
        tokio::select! { done = flush(&world) => done, failed = sweeps(&world) => failed }?;
        world.forget_cache();
        match &dump(&world).await?["file"].bytes {
            found if *found == bytes => Ok(()),
            _ => Err("the file holds other bytes".to_owned()),
        }
    })
}

/// A reader's GET is held up until the pack that it is about is overwritten, buried and deleted: it gets the new bytes.
pub fn deleted_while_read(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let (mut rng, mut options) = world(seed, mutations)?;
    let len = rng.random_range(1000..60_000);
    run_paused(async {
        let world = options.open().await?;
        let file = create(&world, "file").await?;
        write(&world, file, vec![1; len], Stability::Unstable).await?;
        flush(&world).await?;
        tokio::time::sleep(options.tuning.gc_every * 2).await;
        world.forget_cache();
        let want = GetAttr { target: Target::Inode(file), want: Default::default() };
        let attrs = world.engine().get_attr(&world.root_context(), want).await;
        let attrs = attrs.map_err(|failed| failed.error.to_string())?;
        world.latency(Duration::from_secs(20));
        let overwrites = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.latency(Duration::from_millis(1));
            write(&world, file, vec![2; len], Stability::Unstable).await?;
            flush(&world).await?;
            // One round buries, the next deletes.
            clean(&world).await?;
            clean(&world).await
        };
        let (seen, overwritten) = futures_util::future::join(read(&world, &attrs), overwrites).await;
        overwritten?;
        match [1, 2].contains(&seen?.first().copied().unwrap_or_default()) {
            true => Ok(()),
            false => Err("the reader got bytes that the file never had".to_owned()),
        }
    })
}

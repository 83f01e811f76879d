//! A clone whose transaction is not durable yet, and a writer behind it.

use super::hanging::{after_a_power_cut, moment, world};
use super::{create, flush, lazy, write, write_at};
use crate::sim::run_paused;
use dfs_engine::DurabilityClass;
use dfs_log::Mutations;
use dfs_model::{InodeId, Target};
use dfs_vfs::{AccessRule, CopyHow, CopyRange, Read, Stability, Vfs};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

async fn first_byte(world: &crate::sim::World, inode: InodeId) -> Option<u8> {
    let (target, rule) = (Target::Inode(inode), AccessRule::Stateless);
    let reply = world.engine().read(&world.root_context(), Read { target, offset: 0, len: 1, rule }).await;
    reply.ok()?.data.concat().first().copied()
}

/// A file is cloned over another while the syncs of the name log hang; somebody sees it and writes to the clone, and the
/// journal is synced. Then the power goes: the file is the old one, the clone, or the clone with the write, never the old one
/// with a write to the clone.
pub fn written_while_cloned(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut options = world(&mut rng, DurabilityClass::Local, mutations, lazy())?;
    let (old, new) = (vec![1; rng.random_range(2000..9000)], vec![2; rng.random_range(2000..9000)]);
    let written = vec![3; rng.random_range(1..1000)];
    run_paused(async {
        let world = options.open().await?;
        let (from, to) = (create(&world, "from").await?, create(&world, "to").await?);
        write(&world, from, new.clone(), Stability::FileSync).await?;
        write(&world, to, old.clone(), Stability::FileSync).await?;
        flush(&world).await?;
        world.stall_names();
        let request = CopyRange {
            from: Target::Inode(from),
            from_offset: 0,
            to: Target::Inode(to),
            to_offset: 0,
            len: 0,
            how: CopyHow::Replace,
            resume: None,
        };
        let cx = world.root_context();
        let clones = world.engine().copy(&cx, request);
        let writes = async {
            while first_byte(&world, to).await != Some(2) {
                tokio::task::yield_now().await;
            }
            write_at(&world, to, 0, written.clone(), Stability::Unstable).await?;
            let journal = world.engine().journal();
            journal.durable(journal.last_issued()).await.map_err(|error| error.to_string())
        };
        let both = async { tokio::join!(clones, writes) };
        if let Some((_, wrote)) = moment(both).await {
            wrote?;
        }
        options.rest(&world);
        Ok::<(), String>(())
    })?;
    let found = after_a_power_cut(&mut options)?;
    let there = &found.get("to").ok_or("the target is missing")?.bytes;
    let mut over = new.clone();
    over[..written.len()].copy_from_slice(&written);
    match [&old, &new, &over].contains(&there) {
        true => Ok(()),
        false => Err("the target is neither what it was nor what it became".to_owned()),
    }
}

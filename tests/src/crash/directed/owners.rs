//! Two gateways on one share, and a box that is lost: what a former owner still does changes nothing, what it still knows is
//! not told, and what the class `remote` acknowledged needs no journal.

use super::{create, flush, lazy, some_bytes, write};
use crate::crash::check::dump;
use crate::sim::{SHARE, World, WorldOptions, run_paused};
use bytes::Bytes;
use dfs_engine::DurabilityClass;
use dfs_log::Mutations;
use dfs_model::{Clock, FsError, InodeId, Target};
use dfs_store::MetadataStore;
use dfs_vfs::{AccessRule, Commit, Read, RequestContext, Stability, Standing, Vfs};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

fn world(seed: u64, class: DurabilityClass, mutations: &Mutations) -> Result<(StdRng, WorldOptions), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut options = WorldOptions::tuned(&mut rng, class, mutations.clone(), lazy());
    run_paused(World::create(&mut options))?;
    Ok((rng, options))
}

async fn read(world: &World, inode: InodeId) -> Result<Bytes, String> {
    let request = Read { target: Target::Inode(inode), offset: 0, len: 1 << 20, rule: AccessRule::Stateless };
    let read = world.engine().read(&world.root_context(), request).await;
    let read = read.map_err(|failed| format!("read: {}", failed.error))?;
    Ok(read.data.concat().into())
}

/// A gateway has written and not placed; another takes the share and serves; the first places what it has. The file must not
/// change under its new owner.
pub fn placed_after_takeover(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let (mut rng, mut options) = world(seed, DurabilityClass::Remote, mutations)?;
    run_paused(async {
        let first = options.open().await?;
        let file = create(&first, "file").await?;
        if rng.random_bool(0.5) {
            write(&first, file, some_bytes(&mut rng), Stability::FileSync).await?;
        }
        write(&first, file, some_bytes(&mut rng), Stability::Unstable).await?;
        let second = first.taken_over(&options).await?;
        let served = read(&second, file).await?;
        // Refused, or with the rule dropped not.
        let _ = flush(&first).await;
        let row = first.store().inode(SHARE, file).await.map_err(|error| error.to_string())?;
        match row.is_some_and(|row| row.size == served.len() as u64) {
            true => Ok(()),
            false => Err("the file changed under its new owner".to_owned()),
        }
    })
}

/// Another gateway has taken the share and changed a file; the first is asked for it, and to write it. Whatever it finds out
/// must not leave.
pub fn replied_after_takeover(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let (mut rng, mut options) = world(seed, DurabilityClass::Local, mutations)?;
    run_paused(async {
        let first = options.open().await?;
        let file = create(&first, "file").await?;
        write(&first, file, some_bytes(&mut rng), Stability::FileSync).await?;
        flush(&first).await?;
        let second = first.taken_over(&options).await?;
        let new = some_bytes(&mut rng);
        write(&second, file, new.clone(), Stability::FileSync).await?;
        let current = read(&second, file).await?;
        if rng.random_bool(0.5) {
            let found = read(&first, file).await;
            if first.engine().standing() == Standing::Valid && found.is_ok_and(|found| found != current) {
                return Err("a stale read leaves".to_owned());
            }
        } else {
            let done = write(&first, file, vec![1; 20_000], Stability::FileSync).await;
            let told = first.engine().standing() == Standing::Valid && done.is_ok();
            if told && read(&second, file).await? == current {
                return Err("a write is acknowledged that its new owner never sees".to_owned());
            }
        }
        Ok(())
    })
}

/// Files of the class `remote` are written, some stable, some committed, some not; then the box is lost with its journal. What
/// was acknowledged is there; a file that was not is as it was at some point since.
pub fn box_lost(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let (mut rng, mut options) = world(seed, DurabilityClass::Remote, mutations)?;
    let allowed = run_paused(async {
        let world = options.open().await?;
        let mut allowed: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
        for number in 0..rng.random_range(1..6) {
            let name = format!("file {number}");
            let file = create(&world, &name).await?;
            let mut states = vec![Vec::new()];
            for _ in 0..rng.random_range(1..4) {
                // Longer each time, so that a state is the bytes of one write.
                let bytes = vec![rng.random(); states.last().map_or(0, Vec::len) + rng.random_range(1..9000)];
                let stable = rng.random_bool(0.4);
                let how = if stable { Stability::FileSync } else { Stability::Unstable };
                write(&world, file, bytes.clone(), how).await?;
                states.push(bytes);
                let commit = Commit { target: Target::Inode(file), offset: 0, len: 0 };
                let committed = !stable && rng.random_bool(0.4);
                if committed {
                    let done = world.engine().commit(&world.root_context(), commit).await;
                    done.map_err(|failed| format!("commit: {}", failed.error))?;
                }
                if stable || committed {
                    states.drain(..states.len() - 1);
                }
            }
            allowed.push((name, states));
        }
        options.rest(&world);
        Ok::<_, String>(allowed)
    })?;
    options.crash(true);
    options.tuning.journal = "journal of another box";
    run_paused(async {
        let found = dump(&options.open().await?).await?;
        for (name, states) in &allowed {
            let found = found.get(name).ok_or_else(|| format!("{name} is gone"))?;
            if !states.contains(&found.bytes) {
                return Err(format!(
                    "{name}: {} bytes that it never had since the last ack",
                    found.bytes.len()
                ));
            }
        }
        Ok(())
    })
}

/// While the object store is away, a COMMIT of the class `remote` is told to come later, and the write that it is about stays; it
/// is answered once everything is placed.
pub fn commit_waits_for_the_bucket(seed: u64) -> Result<(), String> {
    let (mut rng, mut options) = world(seed, DurabilityClass::Remote, &Mutations::none())?;
    run_paused(async {
        let world = options.open().await?;
        let file = create(&world, "file").await?;
        world.cut_off();
        let bytes = some_bytes(&mut rng);
        write(&world, file, bytes.clone(), Stability::Unstable).await?;
        let commit = || Commit { target: Target::Inode(file), offset: 0, len: 0 };
        let deadline = world.clock().monotonic().plus(Duration::from_secs(10));
        let cx = RequestContext { deadline: Some(deadline), ..world.root_context() };
        match world.engine().commit(&cx, commit()).await {
            Err(failed) if matches!(failed.error, FsError::Delay { .. }) => {}
            other => {
                return Err(format!(
                    "the bucket is away: {:?}",
                    other.map(drop).map_err(|failed| failed.error)
                ));
            }
        }
        let placed = async || {
            let row = world.store().inode(SHARE, file).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(row.map_or(0, |row| row.size))
        };
        if placed().await? != 0 || read(&world, file).await? != bytes {
            return Err("the write is placed, or gone, while the bucket is away".to_owned());
        }
        world.calm();
        let done = world.engine().commit(&world.root_context(), commit()).await;
        done.map_err(|failed| format!("commit: {}", failed.error))?;
        match placed().await? == bytes.len() as u64 {
            true => Ok(()),
            false => Err("acknowledged, and not placed".to_owned()),
        }
    })
}

/// Many clients commit small files, one after the other, while each upload takes its time. Answers how many packs that took.
pub fn packs_of_commits(files: usize) -> Result<u64, String> {
    let (_, mut options) = world(1, DurabilityClass::Remote, &Mutations::none())?;
    run_paused(async {
        let world = options.open().await?;
        world.latency(Duration::from_millis(200));
        let before = world.engine().stack().status().packs_uploaded;
        let client = async |number: usize| {
            tokio::time::sleep(Duration::from_millis(number as u64 * 2)).await;
            let file = create(&world, &format!("file {number}")).await?;
            write(&world, file, vec![7; 1000], Stability::FileSync).await
        };
        futures_util::future::try_join_all((0..files).map(client)).await?;
        Ok(world.engine().stack().status().packs_uploaded - before)
    })
}

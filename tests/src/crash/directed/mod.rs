//! Histories of which too few seeds of a random one would come by the point: a journal that moved, rot on the disk, a reader
//! that was held up, a name log whose syncs hang. The seed chooses sizes, bytes and what else happens.

mod cleaning;
mod cloning;
mod hanging;
mod owners;

pub use cleaning::{deleted_while_read, swept_while_put};
pub use cloning::written_while_cloned;
pub use hanging::{acked_while_created, deleted_while_unlinking, freed_while_unlinking};
pub use owners::{
    box_lost, commit_waits_for_the_bucket, packs_of_commits, placed_after_takeover, replied_after_takeover,
};

use super::check::{Found, dump};
use crate::sim::{Tuning, World, WorldOptions, run_paused};
use bytes::Bytes;
use dfs_engine::DurabilityClass;
use dfs_log::Mutations;
use dfs_model::{Activity, Actor, AttrPatch, Guard, InodeId, Name, Patch, Target, TimePatch, Timestamp};
use dfs_stack::FlushScope;
use dfs_vfs::{
    AccessRule, Create, CreateExisting, NameCase, NewKind, Rename, RenameReplace, SetAttr, Stability, Vfs,
    Write, WriteAt,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

async fn create(world: &World, name: &str) -> Result<InodeId, String> {
    let request = Create {
        dir: InodeId::ROOT,
        name: Name::try_from(name).unwrap(),
        kind: NewKind::File,
        existing: CreateExisting::Guarded,
        attrs: AttrPatch::default(),
    };
    let made = world.engine().create(&world.root_context(), request).await;
    made.map(|made| made.inode).map_err(|failed| format!("create: {}", failed.error))
}

async fn write(world: &World, inode: InodeId, data: Vec<u8>, stability: Stability) -> Result<(), String> {
    write_at(world, inode, 0, data, stability).await
}

async fn write_at(
    world: &World,
    inode: InodeId,
    at: u64,
    data: Vec<u8>,
    stability: Stability,
) -> Result<(), String> {
    let request = Write {
        target: Target::Inode(inode),
        at: WriteAt::Offset(at),
        payload: Bytes::from(data),
        stability,
        rule: AccessRule::Stateless,
    };
    let done = world.engine().write(&world.root_context(), request).await;
    done.map(drop).map_err(|failed| format!("write: {}", failed.error))
}

async fn flush(world: &World) -> Result<(), String> {
    world.engine().stack().flush(FlushScope::All).await.map_err(|error| format!("flush: {error}"))
}

fn some_bytes(rng: &mut StdRng) -> Vec<u8> {
    let fill: u8 = rng.random();
    vec![fill; rng.random_range(1..9000)]
}

fn lazy() -> Tuning {
    Tuning { flush_after: Duration::from_secs(3600), ..Tuning::default() }
}

/// Names, sizes, mtimes and bytes.
fn same(one: &BTreeMap<String, Found>, other: &BTreeMap<String, Found>) -> Result<(), String> {
    let seen = |found: &BTreeMap<String, Found>| {
        let each = found.iter().map(|(path, found)| (path.clone(), found.attrs.mtime, found.bytes.clone()));
        each.collect::<Vec<_>>()
    };
    match seen(one) == seen(other) {
        true => Ok(()),
        false => Err("the share changed under the one that served it last".to_owned()),
    }
}

/// A box with one journal serves and goes down, perhaps recovers and goes down again; a box with another journal serves and
/// flushes all; the first comes back. What it still holds was given up: nothing of it may appear.
pub fn moved_journal(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut options = WorldOptions::tuned(&mut rng, DurabilityClass::Local, mutations.clone(), lazy());
    run_paused(World::create(&mut options))?;
    let file = run_paused(async {
        let world = options.open().await?;
        let file = create(&world, "file").await?;
        if rng.random_bool(0.5) {
            write(&world, file, some_bytes(&mut rng), Stability::FileSync).await?;
            flush(&world).await?;
        }
        let stability = if rng.random_bool(0.5) { Stability::FileSync } else { Stability::Unstable };
        write(&world, file, some_bytes(&mut rng), stability).await?;
        options.rest(&world);
        Ok::<InodeId, String>(file)
    })?;
    options.crash(rng.random_bool(0.5));
    for _ in 0..rng.random_range(0..3) {
        run_paused(async { options.open().await.map(drop) })?;
        options.crash(rng.random_bool(0.5));
    }
    options.tuning.journal = "journal of another box";
    let seen = run_paused(async {
        let world = options.open().await?;
        let other = create(&world, "other").await?;
        write(&world, other, some_bytes(&mut rng), Stability::FileSync).await?;
        if rng.random_bool(0.3) {
            write(&world, file, some_bytes(&mut rng), Stability::FileSync).await?;
        }
        flush(&world).await?;
        let seen = dump(&world).await?;
        options.rest(&world);
        Ok::<BTreeMap<String, Found>, String>(seen)
    })?;
    options.crash(rng.random_bool(0.5));
    options.tuning.journal = "journal";
    run_paused(async {
        let world = options.open().await?;
        same(&seen, &dump(&world).await?)
    })
}

/// Bytes of an acknowledged record rot while later records vouch for it: the share must not open without them.
pub fn rot_in_the_journal(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut options = WorldOptions::tuned(&mut rng, DurabilityClass::Local, mutations.clone(), lazy());
    run_paused(World::create(&mut options))?;
    let writes = rng.random_range(2..6);
    run_paused(async {
        let world = options.open().await?;
        for number in 0..writes {
            let file = create(&world, &format!("file {number}")).await?;
            write(&world, file, vec![7; 3000], Stability::FileSync).await?;
        }
        options.rest(&world);
        Ok::<(), String>(())
    })?;
    options.rot_journal(rng.random_range(1000..2500), 1 << rng.random_range(0..8u8));
    options.crash(rng.random_bool(0.5));
    run_paused(async {
        let Ok(world) = options.open().await else { return Ok(()) };
        let found = dump(&world).await?;
        match found.values().all(|found| found.bytes == [7; 3000]) {
            true => Ok(()),
            false => Err("the share opened without an acknowledged write".to_owned()),
        }
    })
}

/// A reader plans, and is held up until what it planned to read from the journal is placed, its segment freed and filled
/// with another file's bytes.
pub fn late_reader(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let tuning = Tuning { segments: 6, ..lazy() };
    let mut options = WorldOptions::tuned(&mut rng, DurabilityClass::Local, mutations.clone(), tuning);
    run_paused(World::create(&mut options))?;
    run_paused(async {
        let world = options.open().await?;
        let (file, other) = (create(&world, "file").await?, create(&world, "other").await?);
        let bytes = vec![1; rng.random_range(1000..5000)];
        write(&world, file, bytes.clone(), Stability::Unstable).await?;
        let len = bytes.len() as u64;
        let plan = world.engine().journal().read_plan(file, 0, len);
        for _ in 0..rng.random_range(1..20) {
            write(&world, other, vec![2; 60_000], Stability::Unstable).await?;
            flush(&world).await?;
        }
        let (activity, client) = (Activity::INTERACTIVE, Actor::nfs3([127, 0, 0, 1].into()).client);
        match world.engine().stack().read(file, plan, 0, len, &activity, &client, None).await {
            Ok(read) if read.concat() == bytes => Ok(()),
            Ok(_) => Err("the reader got another file's bytes".to_owned()),
            Err(dfs_stack::StackReadError::Moved) => Ok(()),
            Err(error) => Err(format!("the reader got {error}")),
        }
    })
}

/// A file is written, not synced, and renamed over another one. Then the power goes: the name leads to the new bytes.
pub fn renamed_over(seed: u64, mutations: &Mutations) -> Result<(), String> {
    renamed_over_in(DurabilityClass::Local, seed, mutations)
}

/// The same where the class promises that the journal may be lost with its box, which it is.
pub fn renamed_over_box_lost(seed: u64, mutations: &Mutations) -> Result<(), String> {
    renamed_over_in(DurabilityClass::Remote, seed, mutations)
}

fn renamed_over_in(class: DurabilityClass, seed: u64, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut options = WorldOptions::tuned(&mut rng, class, mutations.clone(), lazy());
    run_paused(World::create(&mut options))?;
    let bytes = vec![8; rng.random_range(1000..60_000)];
    run_paused(async {
        let world = options.open().await?;
        let (old, new) = (create(&world, "file").await?, create(&world, "file.new").await?);
        write(&world, old, vec![7; 500], Stability::FileSync).await?;
        write(&world, new, bytes.clone(), Stability::Unstable).await?;
        let name = |name: &str| Name::try_from(name).unwrap();
        let request = Rename {
            from_dir: InodeId::ROOT,
            from_name: name("file.new"),
            open: None,
            to_dir: InodeId::ROOT,
            to_name: name("file"),
            replace: RenameReplace::Posix,
            case: NameCase::Exact,
            parent_lease_keys: [None, None],
        };
        let done = world.engine().rename(&world.root_context(), request).await;
        done.map_err(|failed| format!("rename: {}", failed.error))?;
        options.rest(&world);
        Ok::<(), String>(())
    })?;
    options.crash(true);
    if class == DurabilityClass::Remote {
        options.tuning.journal = "journal of another box";
    }
    run_paused(async {
        let found = dump(&options.open().await?).await?;
        match found.get("file") {
            Some(found) if found.bytes == bytes => Ok(()),
            Some(_) => Err("neither the old bytes nor the new ones are there".to_owned()),
            None => Err("the name is gone".to_owned()),
        }
    })
}

/// A file is overwritten as a whole, stable each time but for the last, while nothing drains and segments are short: the power cut
/// may take the last write, not the one before. Where the journal is full sooner, the write that waits for room is the last.
pub fn overwritten_whole(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let tuning = Tuning { segments: 10, ..lazy() };
    let mut options = WorldOptions::tuned(&mut rng, DurabilityClass::Local, mutations.clone(), tuning);
    run_paused(World::create(&mut options))?;
    let last = rng.random_range(3..8u8);
    let acknowledged = run_paused(async {
        let world = options.open().await?;
        let (filler, file) = (create(&world, "filler").await?, create(&world, "file").await?);
        write(&world, file, vec![0; 60_000], Stability::FileSync).await?;
        world.cut_off();
        let mut acknowledged = 0;
        let writes = async {
            for number in 0..rng.random_range(8..14u64) {
                let at = number * 60_000;
                write_at(&world, filler, at, vec![0xff; 60_000], Stability::Unstable).await?;
            }
            for version in 1..=last {
                let stability = if version < last { Stability::FileSync } else { Stability::Unstable };
                write(&world, file, vec![version; 60_000], stability).await?;
                acknowledged = if version < last { version } else { acknowledged };
            }
            Ok::<(), String>(())
        };
        tokio::time::timeout(Duration::from_secs(600), writes).await.unwrap_or(Ok(()))?;
        options.rest(&world);
        Ok::<u8, String>(acknowledged)
    })?;
    options.crash(true);
    run_paused(async {
        let world = options.open().await?;
        let found = dump(&world).await?;
        let there = &found.get("file").ok_or("the file is gone")?.bytes;
        match (acknowledged..=acknowledged + 1).any(|version| *there == [version; 60_000]) {
            true => Ok(()),
            false => Err("an acknowledged write is lost".to_owned()),
        }
    })
}

/// Writes and flushes until the disk is cut.
async fn recycles(world: &World, life: u8) -> Result<(), String> {
    let file = create(world, &format!("file {life}")).await?;
    loop {
        write(world, file, vec![life; 60_000], Stability::Unstable).await?;
        flush(world).await?;
    }
}

/// Segments of the journal are used again and again, and at some step of the disk the power goes: the share opens.
pub fn cut_while_recycling(seed: u64, mutations: &Mutations) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let tuning = Tuning { segments: 5, ..lazy() };
    let mut options = WorldOptions::tuned(&mut rng, DurabilityClass::Relaxed, mutations.clone(), tuning);
    run_paused(World::create(&mut options))?;
    for life in 0..6 {
        options.cut_after = Some(rng.random_range(100..600));
        run_paused(async {
            let world = match options.open().await {
                Ok(world) => world,
                Err(_) if options.is_cut() => return Ok(()),
                Err(why) => return Err(why),
            };
            let ended = recycles(&world, life).await;
            options.rest(&world);
            ended.or_else(|why| if world.is_cut() { Ok(()) } else { Err(why) })
        })?;
        options.crash(true);
    }
    options.cut_after = None;
    run_paused(async { options.open().await.map(drop) })
}

/// Size and times of a file are set together so often that the journal rolls through segments at every possible byte: none waits
/// for itself.
pub fn sizes_and_times(seed: u64) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let none = Mutations::none();
    let mut options = WorldOptions::tuned(&mut rng, DurabilityClass::Relaxed, none, Tuning::default());
    run_paused(World::create(&mut options))?;
    run_paused(async {
        let world = options.open().await?;
        let file = create(&world, "file").await?;
        for number in 0..6000 {
            let size = Patch::Set(rng.random_range(0..9000));
            let patch =
                AttrPatch { size, mtime: TimePatch::Set(Timestamp::new(number, 0)), ..AttrPatch::default() };
            let request = SetAttr {
                target: Target::Inode(file),
                patch,
                guard: Guard::None,
                rule: AccessRule::Stateless,
            };
            let cx = world.root_context();
            let done =
                tokio::time::timeout(Duration::from_secs(600), world.engine().set_attr(&cx, request)).await;
            let done = done.map_err(|_| format!("change {number} hangs"))?;
            done.map_err(|failed| format!("change {number}: {}", failed.error))?;
        }
        Ok(())
    })
}

//! Quotas through the engine: exact under writers side by side, after crashes, and after everything is placed.

use crate::settings::{new, options, reading, world};
use crate::sim::{World, WorldOptions, run_paused};
use bytes::Bytes;
use dfs_model::quota::{Quota, QuotaLimits, QuotaSubject};
use dfs_model::{
    Actor, AttrMask, AttrPatch, Attrs, Credentials, FsError, Guard, Identity, InodeId, Patch, Target,
};
use dfs_stack::FlushScope;
use dfs_store::{MetadataStore, Usage};
use dfs_vfs::*;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const BLOCK: u64 = 4096;

fn user(world: &World, uid: u32) -> RequestContext {
    let actor = Actor::nfs3(std::net::IpAddr::from([10, 0, 0, 1]));
    let credentials = Arc::new(Credentials::unix(uid, uid, &[]));
    RequestContext { credentials, actor, ..world.root_context() }
}

fn of(uid: u32) -> QuotaSubject {
    QuotaSubject::User(Identity::Uid(uid))
}

fn bytes_hard(blocks: u64) -> Quota {
    let bytes = QuotaLimits { soft: None, hard: Some(blocks * BLOCK) };
    Quota::new(bytes, QuotaLimits::default())
}

async fn quota_world(options: &mut WorldOptions) -> World {
    let world = world(options).await;
    let chmod = AttrPatch { mode: Patch::Set(0o777), ..AttrPatch::default() };
    set(&world, InodeId::ROOT, chmod).await.unwrap();
    world
}

async fn set(world: &World, inode: InodeId, patch: AttrPatch) -> Result<Attrs, FsError> {
    let request =
        SetAttr { target: Target::Inode(inode), patch, guard: Guard::None, rule: AccessRule::Stateless };
    let changed = world.engine().set_attr(&world.root_context(), request).await;
    changed.map(|changed| changed.wcc.post).map_err(|failed| failed.error)
}

async fn make(world: &World, uid: u32, name: &str) -> Result<InodeId, FsError> {
    let made = world.engine().create(&user(world, uid), new(name, NewKind::File)).await;
    made.map(|made| made.inode).map_err(|failed| failed.error)
}

async fn write(world: &World, uid: u32, inode: InodeId, block: u64) -> Result<(), FsError> {
    let request = Write {
        target: Target::Inode(inode),
        at: WriteAt::Offset(block * BLOCK),
        payload: Bytes::from(vec![7; BLOCK as usize]),
        stability: Stability::FileSync,
        rule: AccessRule::Stateless,
    };
    world.engine().write(&user(world, uid), request).await.map(|_| ()).map_err(|failed| failed.error)
}

async fn truncate(world: &World, inode: InodeId, blocks: u64) {
    set(world, inode, AttrPatch { size: Patch::Set(blocks * BLOCK), ..AttrPatch::default() }).await.unwrap();
}

fn held(world: &World, subject: &QuotaSubject) -> Usage {
    let entries = world.engine().quotas().unwrap();
    entries.into_iter().find(|entry| entry.subject == *subject).map_or(Usage::default(), |entry| entry.usage)
}

/// The book says what the files add up to, as clients see them.
async fn assert_exact(world: &World) {
    let cx = world.root_context();
    let mut sums: HashMap<QuotaSubject, Usage> = HashMap::new();
    let request = ReadDir {
        dir: Target::Inode(InodeId::ROOT),
        cookie: dfs_model::Cookie::START,
        verifier: DirVerifier(0),
        want: Some(AttrMask::BASIC),
        handles: false,
        real_only: true,
        bytes_max: usize::MAX,
        entries_max: 1000,
        cost: &|_| 1,
        pattern: None,
    };
    let page = world.engine().read_dir(&cx, request).await.unwrap();
    let root = GetAttr { target: Target::Inode(InodeId::ROOT), want: AttrMask::BASIC };
    let root = world.engine().get_attr(&cx, root).await.unwrap();
    for attrs in page.entries.into_iter().map(|entry| entry.attrs.unwrap().unwrap()).chain([root]) {
        let subjects =
            [QuotaSubject::Share, QuotaSubject::User(attrs.owner), QuotaSubject::Group(attrs.group)];
        for subject in subjects {
            let sum = sums.entry(subject).or_default();
            sum.bytes += attrs.allocated;
            sum.inodes += 1;
        }
    }
    for entry in world.engine().quotas().unwrap() {
        assert_eq!(entry.usage, sums.remove(&entry.subject).unwrap_or_default(), "{:?}", entry.subject);
    }
    assert!(sums.is_empty(), "missing in the book: {sums:?}");
}

/// Everything is placed: the store's rows say what the book says.
async fn assert_placed_exact(world: &World) {
    world.engine().stack().flush(FlushScope::All).await.unwrap();
    assert_exact(world).await;
    let stored = world.store().quotas(world.engine().share_id()).await.unwrap();
    for entry in stored {
        assert_eq!(entry.usage, held(world, &entry.subject), "{:?}", entry.subject);
    }
}

#[test]
fn eight_writers_use_a_hard_limit_up_and_never_exceed_it() {
    run_paused(async {
        let mut options = options(|settings| settings.quotas = true);
        let world = quota_world(&mut options).await;
        world.engine().set_quota(of(1000), Some(bytes_hard(50))).await.unwrap();
        let mut files = Vec::new();
        for nth in 0..8 {
            files.push(make(&world, 1000, &format!("f{nth}")).await.unwrap());
        }
        let writers = files.iter().map(|file| {
            let world = &world;
            async move {
                let mut written = 0;
                for block in 0..10 {
                    match write(world, 1000, *file, block).await {
                        Ok(()) => written += 1,
                        Err(error) => assert_eq!(error, FsError::Quota),
                    }
                }
                written
            }
        });
        let written: u64 = join_all(writers).await.into_iter().sum();
        assert_eq!((written, held(&world, &of(1000)).bytes), (50, 50 * BLOCK));
        assert_eq!(write(&world, 1000, files[0], 100).await, Err(FsError::Quota));
        assert_eq!(write(&world, 1000, files[0], 0).await, Ok(()), "written over, nothing is added");
        assert_exact(&world).await;
        let free = world.engine().fs_info(&user(&world, 1000)).await.unwrap();
        assert_eq!(free.space_available, 0);
        truncate(&world, files[1], 0).await;
        let other = make(&world, 1001, "other").await.unwrap();
        write(&world, 1001, other, 0).await.unwrap();
        assert_exact(&world).await;
        assert_placed_exact(&world).await;
        let remove = |name: &str| Remove {
            dir: InodeId::ROOT,
            name: dfs_model::Name::try_from(name).unwrap(),
            what: RemoveWhat::Any,
            expect: None,
        };
        world.engine().remove(&world.root_context(), remove("f0")).await.unwrap();
        world.engine().remove(&world.root_context(), remove("f2")).await.unwrap();
        assert_exact(&world).await;
        assert_eq!(write(&world, 1000, files[1], 0).await, Ok(()));
        assert_placed_exact(&world).await;
    });
}

#[test]
fn eight_makers_use_an_inode_limit_up_and_an_existing_name_needs_none() {
    run_paused(async {
        let mut options = options(|settings| settings.quotas = true);
        let world = quota_world(&mut options).await;
        let quota = Quota::new(QuotaLimits::default(), QuotaLimits { soft: None, hard: Some(20) });
        world.engine().set_quota(QuotaSubject::EveryUser, Some(quota)).await.unwrap();
        let makers = (0..8).map(|maker| {
            let world = &world;
            async move {
                let mut made = 0;
                for nth in 0..5 {
                    made += u64::from(make(world, 1000, &format!("{maker}-{nth}")).await.is_ok());
                }
                made
            }
        });
        let made: u64 = join_all(makers).await.into_iter().sum();
        assert_eq!((made, held(&world, &of(1000)).inodes), (20, 20));
        assert_eq!(make(&world, 1000, "more").await, Err(FsError::Quota));
        make(&world, 1001, "others").await.unwrap();
        let again = Create { existing: CreateExisting::Unchecked, ..new("0-0", NewKind::File) };
        assert!(world.engine().create(&user(&world, 1000), again).await.unwrap().existed);
        assert_exact(&world).await;
    });
}

/// Dies by kill and by power cut with dirty and placed data, and must know after each what everybody holds.
#[test]
fn book_is_exact_after_every_death() {
    run_paused(async {
        let mut options = options(|settings| settings.quotas = true);
        let mut world = quota_world(&mut options).await;
        world.engine().set_quota(of(1000), Some(bytes_hard(30))).await.unwrap();
        let mut files = Vec::new();
        for life in 0u64..6 {
            let file = make(&world, 1000, &format!("life{life}")).await.unwrap();
            files.push(file);
            for block in 0..4 {
                write(&world, 1000, file, block).await.unwrap();
            }
            write(&world, 1000, files[0], life % 3).await.unwrap();
            if life % 2 == 1 {
                assert_placed_exact(&world).await;
                truncate(&world, file, 2).await;
                write(&world, 1000, file, 1).await.unwrap();
            }
            assert_exact(&world).await;
            let before = held(&world, &of(1000));
            options.rest(&world);
            drop(world);
            options.crash(life % 3 == 0);
            world = World::open(&mut options).await.unwrap();
            assert_eq!(held(&world, &of(1000)), before, "after life {life}");
            assert_exact(&world).await;
            world.engine().read(&world.root_context(), reading(file)).await.unwrap();
        }
        let mut block = 100;
        while write(&world, 1000, files[0], block).await.is_ok() {
            block += 1;
        }
        assert_eq!(held(&world, &of(1000)).bytes, 30 * BLOCK);
        assert_placed_exact(&world).await;
    });
}

#[test]
fn soft_limit_becomes_hard_after_its_grace_also_over_a_restart() {
    run_paused(async {
        let mut options = options(|settings| settings.quotas = true);
        let mut world = quota_world(&mut options).await;
        let soft = QuotaLimits { soft: Some(2 * BLOCK), hard: None };
        let quota = Quota { grace: Duration::from_secs(100), ..Quota::new(soft, QuotaLimits::default()) };
        for (uid, subject) in [(1000, of(1000)), (1001, QuotaSubject::EveryUser)] {
            world.engine().set_quota(subject, Some(quota)).await.unwrap();
            let file = make(&world, uid, &format!("of-{uid}")).await.unwrap();
            for block in 0..3 {
                write(&world, uid, file, block).await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(50)).await;
            assert_eq!(write(&world, uid, file, 3).await, Ok(()), "in grace");
            world.engine().shutdown(Duration::from_secs(10)).await.unwrap();
            options.rest(&world);
            drop(world);
            options.crash(true);
            world = World::open(&mut options).await.unwrap();
            tokio::time::sleep(Duration::from_secs(51)).await;
            assert_eq!(write(&world, uid, file, 4).await, Err(FsError::Quota), "grace of {uid} is over");
            truncate(&world, file, 1).await;
            assert_eq!(write(&world, uid, file, 1).await, Ok(()), "below the limit again");
            assert_eq!(write(&world, uid, file, 2).await, Ok(()), "a new grace begins");
        }
    });
}

#[test]
fn what_changes_hands_is_held_by_the_new_owner_if_he_may() {
    run_paused(async {
        let mut options = options(|settings| settings.quotas = true);
        let world = quota_world(&mut options).await;
        let file = make(&world, 1000, "f").await.unwrap();
        for block in 0..3 {
            write(&world, 1000, file, block).await.unwrap();
        }
        world.engine().set_quota(of(1001), Some(bytes_hard(2))).await.unwrap();
        let give = |uid| AttrPatch { owner: Patch::Set(Identity::Uid(uid)), ..AttrPatch::default() };
        assert_eq!(set(&world, file, give(1001)).await.map(|_| ()), Err(FsError::Quota));
        assert_exact(&world).await;
        truncate(&world, file, 2).await;
        set(&world, file, give(1001)).await.unwrap();
        assert_eq!((held(&world, &of(1000)).bytes, held(&world, &of(1001)).bytes), (0, 2 * BLOCK));
        assert_eq!(write(&world, 1001, file, 2).await, Err(FsError::Quota));
        assert_placed_exact(&world).await;
        world.engine().set_quota(of(1001), None).await.unwrap();
        assert_eq!(write(&world, 1001, file, 2).await, Ok(()));
        assert_placed_exact(&world).await;
    });
}

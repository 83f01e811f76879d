//! What an administrator may set on a share, seen through the engine: blocked operations, read-only, access times.

use crate::sim::{World, WorldOptions, run_paused};
use bytes::Bytes;
use dfs_engine::{DurabilityClass, EngineSettings};
use dfs_log::Mutations;
use dfs_model::{
    Acl, AttrMask, AttrPatch, Attrs, DeviceNumber, FsError, Guard, InodeId, Name, Patch, Rights, Target,
    TimePatch, Timestamp,
};
use dfs_store::MetadataStore;
use dfs_vfs::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;

pub fn options(share: fn(&mut EngineSettings)) -> WorldOptions {
    let mut rng = StdRng::seed_from_u64(1);
    let mut options = WorldOptions::random(&mut rng, DurabilityClass::Local, Mutations::none());
    options.share = share;
    options
}

pub async fn world(options: &mut WorldOptions) -> World {
    World::create(options).await.unwrap();
    World::open(options).await.unwrap()
}

/// Stops the gateway in good order and starts it with other settings.
pub async fn reopened(world: World, options: &mut WorldOptions, share: fn(&mut EngineSettings)) -> World {
    world.engine().shutdown(Duration::from_secs(10)).await.unwrap();
    options.rest(&world);
    drop(world);
    options.crash(false);
    options.share = share;
    World::open(options).await.unwrap()
}

pub fn new(name: &str, kind: NewKind) -> Create {
    let attrs = AttrPatch { mode: Patch::Set(0o644), ..AttrPatch::default() };
    let name = Name::try_from(name).unwrap();
    Create { dir: InodeId::ROOT, name, kind, existing: CreateExisting::Guarded, attrs }
}

pub fn writing(inode: InodeId, bytes: &'static [u8]) -> Write {
    Write {
        target: Target::Inode(inode),
        at: WriteAt::Offset(0),
        payload: Bytes::from_static(bytes),
        stability: Stability::FileSync,
        rule: AccessRule::Stateless,
    }
}

pub fn reading(inode: InodeId) -> Read {
    Read { target: Target::Inode(inode), offset: 0, len: 100, rule: AccessRule::Stateless }
}

pub async fn attrs(world: &World, inode: InodeId) -> Attrs {
    let request = GetAttr { target: Target::Inode(inode), want: AttrMask::BASIC };
    world.engine().get_attr(&world.root_context(), request).await.unwrap()
}

/// Tries everything that can be blocked on a file `f` and around it; answers what was refused.
async fn refused(world: &World) -> Vec<(Operation, FsError)> {
    let (vfs, cx) = (world.engine(), world.root_context());
    let name = |text: &str| Name::try_from(text).unwrap();
    let file =
        world.store().lookup(vfs.share_id(), InodeId::ROOT, &name("f")).await.unwrap().unwrap().0.inode;
    let target = Target::Inode(file);
    let set = |patch| SetAttr { target, patch, guard: Guard::None, rule: AccessRule::Stateless };
    let mut refused = Vec::new();
    let mut tell = |operation, error: Option<Failed>| {
        refused.extend(error.map(|failed| (operation, failed.error)));
    };
    tell(Operation::Read, vfs.read(&cx, reading(file)).await.err());
    tell(Operation::Write, vfs.write(&cx, writing(file, b"new")).await.err());
    let size = AttrPatch { size: Patch::Set(1), ..AttrPatch::default() };
    tell(Operation::Write, vfs.set_attr(&cx, set(size)).await.err());
    tell(Operation::Create, vfs.create(&cx, new("c", NewKind::File)).await.err());
    tell(Operation::Mkdir, vfs.create(&cx, new("d", NewKind::Directory)).await.err());
    tell(
        Operation::Symlink,
        vfs.create(&cx, new("s", NewKind::Symlink(Bytes::from_static(b"f")))).await.err(),
    );
    let device = NewKind::CharDevice(DeviceNumber { major: 1, minor: 3 });
    tell(Operation::Mknod, vfs.create(&cx, new("n", device)).await.err());
    let link = Link { inode: file, dir: InodeId::ROOT, name: name("l"), replace: false };
    tell(Operation::Link, vfs.link(&cx, link).await.err());
    let chmod = AttrPatch { mode: Patch::Set(0o600), ..AttrPatch::default() };
    tell(Operation::SetAttr, vfs.set_attr(&cx, set(chmod)).await.err());
    let acl = AttrPatch { acl: Patch::Set(Arc::new(Acl::of_mode(0o640, false))), ..AttrPatch::default() };
    tell(Operation::SetAcl, vfs.set_attr(&cx, set(acl)).await.err());
    let value = (Bytes::from_static(b"a"), Some(Bytes::new()));
    let xattr = XattrSet { target, space: XattrSpace::User, values: vec![value], mode: XattrMode::Either };
    tell(Operation::SetXattr, vfs.xattr_set(&cx, xattr).await.err());
    let rename = Rename {
        from_dir: InodeId::ROOT,
        from_name: name("f"),
        open: None,
        to_dir: InodeId::ROOT,
        to_name: name("r"),
        replace: RenameReplace::Posix,
        case: NameCase::Exact,
        parent_lease_keys: [None, None],
    };
    tell(Operation::Rename, vfs.rename(&cx, rename).await.err());
    let remove = Remove { dir: InodeId::ROOT, name: name("x"), what: RemoveWhat::Any, expect: None };
    tell(Operation::Remove, vfs.remove(&cx, remove).await.err());
    refused
}

async fn with_two_files(world: &World) -> InodeId {
    let cx = world.root_context();
    world.engine().create(&cx, new("x", NewKind::File)).await.unwrap();
    world.engine().create(&cx, new("f", NewKind::File)).await.unwrap().inode
}

/// Each operation blocked alone refuses itself and nothing else, and `access` does not promise it.
#[test]
fn blocked_operation_is_refused_and_every_other_one_served() {
    run_paused(async {
        let all = |settings: &mut EngineSettings| {
            settings.blocked = Operation::WORDS.map(|(_, operation)| operation).into_iter().collect();
        };
        let one: [fn(&mut EngineSettings); 12] = [
            |settings| settings.blocked = "read".parse().unwrap(),
            |settings| settings.blocked = "write".parse().unwrap(),
            |settings| settings.blocked = "create".parse().unwrap(),
            |settings| settings.blocked = "mkdir".parse().unwrap(),
            |settings| settings.blocked = "symlink".parse().unwrap(),
            |settings| settings.blocked = "mknod".parse().unwrap(),
            |settings| settings.blocked = "link".parse().unwrap(),
            |settings| settings.blocked = "remove".parse().unwrap(),
            |settings| settings.blocked = "rename".parse().unwrap(),
            |settings| settings.blocked = "set_attr".parse().unwrap(),
            |settings| settings.blocked = "set_acl".parse().unwrap(),
            |settings| settings.blocked = "set_xattr".parse().unwrap(),
        ];
        for ((_, operation), blocks) in Operation::WORDS.into_iter().zip(one) {
            let mut options = options(|_| {});
            let world = world(&mut options).await;
            with_two_files(&world).await;
            let world = reopened(world, &mut options, blocks).await;
            let told = refused(&world).await;
            let expected = if operation == Operation::Write { 2 } else { 1 };
            assert_eq!(told, vec![(operation, FsError::AccessDenied); expected]);
        }
        let mut options = options(|_| {});
        let world = world(&mut options).await;
        let file = with_two_files(&world).await;
        let world = reopened(world, &mut options, all).await;
        assert_eq!(refused(&world).await.len(), 13);
        let request = Access { target: Target::Inode(file), rights: Rights::ALL };
        let granted = world.engine().access(&world.root_context(), request).await.unwrap().granted;
        assert_eq!(
            granted,
            Rights::READ_ATTRIBUTES
                .and(Rights::READ_ACL)
                .and(Rights::READ_NAMED_ATTRS)
                .and(Rights::SYNCHRONIZE)
                .and(Rights::DELETE_CHILD)
        );
    });
}

#[test]
fn read_only_share_refuses_every_change_with_its_own_error() {
    run_paused(async {
        let mut options = options(|_| {});
        let world = world(&mut options).await;
        with_two_files(&world).await;
        let world = reopened(world, &mut options, |settings| settings.read_only = true).await;
        let told = refused(&world).await;
        assert!(
            told.iter().all(|(operation, error)| {
                *error == FsError::ReadOnlyShare && *operation != Operation::Read
            })
        );
        assert_eq!(told.len(), 12);
    });
}

#[test]
fn reading_moves_atime_by_the_relatime_rule_and_nothing_else() {
    run_paused(async {
        let mut options = options(|_| {});
        let world = world(&mut options).await;
        let cx = world.root_context();
        let file = with_two_files(&world).await;
        world.engine().write(&cx, writing(file, b"bytes")).await.unwrap();
        let read = async || {
            tokio::time::sleep(Duration::from_secs(10)).await;
            world.engine().read(&cx, reading(file)).await.unwrap().attrs.atime
        };
        let before = attrs(&world, file).await;
        let first = read().await;
        assert!(first > before.mtime, "not newer than the write");
        assert_eq!(read().await, first, "newer than the write, and not a day old");
        tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
        assert!(read().await > first, "a day old");
        let after = attrs(&world, file).await;
        assert_eq!((after.mtime, after.ctime, after.change), (before.mtime, before.ctime, before.change));
        tokio::time::sleep(Duration::from_secs(120)).await;
        let shown = attrs(&world, file).await;
        assert_eq!(shown, after, "recording it changes nothing");
        let world = reopened(world, &mut options, |_| {}).await;
        assert_eq!(attrs(&world, file).await.atime, after.atime, "it is in the journal");
    });
}

#[test]
fn atime_stays_without_relatime_on_a_read_only_share_and_when_it_lies_ahead() {
    run_paused(async {
        let mut options = options(|settings| settings.relatime = false);
        let world = world(&mut options).await;
        let file = with_two_files(&world).await;
        world.engine().write(&world.root_context(), writing(file, b"bytes")).await.unwrap();
        let before = attrs(&world, file).await.atime;
        let reads = async |world: &World| {
            tokio::time::sleep(Duration::from_secs(10)).await;
            world.engine().read(&world.root_context(), reading(file)).await.unwrap();
            attrs(world, file).await.atime
        };
        assert_eq!(reads(&world).await, before);
        let world = reopened(world, &mut options, |settings| settings.read_only = true).await;
        assert_eq!(reads(&world).await, before);
        let world = reopened(world, &mut options, |_| {}).await;
        let ahead = Timestamp::new(1 << 33, 0);
        let patch = AttrPatch { atime: TimePatch::Set(ahead), ..AttrPatch::default() };
        let request =
            SetAttr { target: Target::Inode(file), patch, guard: Guard::None, rule: AccessRule::Stateless };
        world.engine().set_attr(&world.root_context(), request).await.unwrap();
        assert_eq!(reads(&world).await, ahead);
    });
}

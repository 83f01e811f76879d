//! The recycle bin: what is removed can be had back as it was, and goes when its time has come.

use crate::settings::{new, options, reading, reopened, world, writing};
use crate::sim::{World, WorldOptions, run_paused};
use dfs_engine::{EngineSettings, RecycleRules, Recycled};
use dfs_model::{AttrPatch, Credentials, FsError, Guard, InodeId, InodeKind, Name, Patch, Target};
use dfs_stack::FlushScope;
use dfs_store::MetadataStore;
use dfs_vfs::*;
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn with_bin(settings: &mut EngineSettings) {
    settings.recycle = Some(RecycleRules { keep: 7 * HOUR, bytes_max: 1 << 40 });
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

async fn bin_world(options: &mut WorldOptions) -> World {
    let world = world(options).await;
    let patch = AttrPatch { mode: Patch::Set(0o777), ..AttrPatch::default() };
    let target = Target::Inode(InodeId::ROOT);
    let request = SetAttr { target, patch, guard: Guard::None, rule: AccessRule::Stateless };
    world.engine().set_attr(&world.root_context(), request).await.unwrap();
    world
}

fn user(world: &World, uid: u32) -> RequestContext {
    RequestContext { credentials: Arc::new(Credentials::unix(uid, uid, &[])), ..world.root_context() }
}

async fn make(world: &World, cx: &RequestContext, text: &str, bytes: &'static [u8]) -> InodeId {
    let made = world.engine().create(cx, new(text, NewKind::File)).await.unwrap().inode;
    world.engine().write(cx, writing(made, bytes)).await.unwrap();
    made
}

async fn remove_from(world: &World, cx: &RequestContext, dir: InodeId, text: &str) -> Result<u32, FsError> {
    let request = Remove { dir, name: name(text), what: RemoveWhat::NonDirectory, expect: None };
    world.engine().remove(cx, request).await.map(|reply| reply.nlink).map_err(|failed| failed.error)
}

async fn remove(world: &World, cx: &RequestContext, text: &str) -> Result<u32, FsError> {
    remove_from(world, cx, InodeId::ROOT, text).await
}

async fn lookup(world: &World, dir: InodeId, text: &str) -> Option<InodeId> {
    let found = world.store().lookup(world.engine().share_id(), dir, &name(text)).await.unwrap();
    found.map(|(dentry, _)| dentry.inode)
}

async fn bytes_of(world: &World, inode: InodeId) -> Vec<u8> {
    world.engine().read(&world.root_context(), reading(inode)).await.unwrap().data.concat()
}

async fn bin(world: &World) -> Vec<Recycled> {
    world.engine().recycled().await.unwrap()
}

#[test]
fn removed_files_come_back_byte_exact_also_after_a_crash() {
    run_paused(async {
        let mut options = options(with_bin);
        let world = bin_world(&mut options).await;
        let cx = user(&world, 1000);
        let first = make(&world, &cx, "report", b"first").await;
        assert_eq!(remove(&world, &cx, "report").await, Ok(0));
        tokio::time::sleep(Duration::from_secs(5)).await;
        let second = make(&world, &cx, "report", b"second!").await;
        world.engine().stack().flush(FlushScope::All).await.unwrap();
        assert_eq!(remove(&world, &cx, "report").await, Ok(0));
        assert_eq!(lookup(&world, InodeId::ROOT, "report").await, None);
        options.rest(&world);
        drop(world);
        options.crash(true);
        let world = World::open(&mut options).await.unwrap();
        let listed = bin(&world).await;
        let shown: Vec<_> = listed
            .iter()
            .map(|known| (known.attrs.inode, known.name.to_string(), known.dir, known.by))
            .collect();
        let report = |inode| (inode, "report".to_owned(), InodeId::ROOT, 1000);
        assert_eq!(shown, vec![report(first), report(second)], "oldest first");
        assert_eq!(world.engine().restore(&listed[1].entry, None).await, Ok(second));
        assert_eq!(lookup(&world, InodeId::ROOT, "report").await, Some(second));
        assert_eq!(world.engine().restore(&listed[0].entry, None).await, Err(FsError::Exists));
        let elsewhere = Some((InodeId::ROOT, name("report.old")));
        assert_eq!(world.engine().restore(&listed[0].entry, elsewhere).await, Ok(first));
        assert_eq!(
            (bytes_of(&world, first).await, bytes_of(&world, second).await),
            (b"first".to_vec(), b"second!".to_vec())
        );
        assert!(bin(&world).await.is_empty());
        assert_eq!(world.engine().restore(&listed[0].entry, None).await, Err(FsError::NotFound));
    });
}

#[test]
fn links_directories_and_what_is_in_the_bin_are_removed_for_good() {
    run_paused(async {
        let mut options = options(with_bin);
        let world = bin_world(&mut options).await;
        let cx = world.root_context();
        let linked = make(&world, &cx, "a", b"a").await;
        let link = Link { inode: linked, dir: InodeId::ROOT, name: name("b"), replace: false };
        world.engine().link(&cx, link).await.unwrap();
        assert_eq!(remove(&world, &cx, "a").await, Ok(1), "another name is left");
        world.engine().create(&cx, new("d", NewKind::Directory)).await.unwrap();
        let rmdir = Remove { dir: InodeId::ROOT, name: name("d"), what: RemoveWhat::Directory, expect: None };
        world.engine().remove(&cx, rmdir).await.unwrap();
        assert!(bin(&world).await.is_empty());
        assert_eq!(remove(&world, &cx, "b").await, Ok(0));
        let listed = bin(&world).await;
        let folder = lookup(&world, InodeId::ROOT, ".recycle").await.unwrap();
        assert_eq!(remove_from(&world, &cx, folder, &listed[0].entry.to_string()).await, Ok(0));
        assert!(bin(&world).await.is_empty());
        let rmdir =
            Remove { dir: InodeId::ROOT, name: name(".recycle"), what: RemoveWhat::Directory, expect: None };
        assert_eq!(world.engine().remove(&cx, rmdir).await.unwrap_err().error, FsError::NotPermitted);
        let away = Rename {
            from_dir: InodeId::ROOT,
            from_name: name(".recycle"),
            open: None,
            to_dir: InodeId::ROOT,
            to_name: name("x"),
            replace: RenameReplace::Posix,
            case: NameCase::Exact,
            parent_lease_keys: [None, None],
        };
        assert_eq!(world.engine().rename(&cx, away).await.unwrap_err().error, FsError::NotPermitted);
    });
}

#[test]
fn removal_into_the_bin_asks_for_the_rights_of_a_removal_and_hides_from_others() {
    run_paused(async {
        let mut options = options(with_bin);
        let world = bin_world(&mut options).await;
        let (owner, other) = (user(&world, 1000), user(&world, 1001));
        let patch = AttrPatch { mode: Patch::Set(0o1777), ..AttrPatch::default() };
        let target = Target::Inode(InodeId::ROOT);
        let request = SetAttr { target, patch, guard: Guard::None, rule: AccessRule::Stateless };
        world.engine().set_attr(&world.root_context(), request).await.unwrap();
        make(&world, &owner, "f", b"mine").await;
        assert_eq!(remove(&world, &other, "f").await, Err(FsError::NotPermitted), "the directory is sticky");
        assert_eq!(remove(&world, &owner, "f").await, Ok(0));
        let listed = bin(&world).await;
        let folder = lookup(&world, InodeId::ROOT, ".recycle").await.unwrap();
        let entry = listed[0].entry.to_string();
        assert_eq!(remove_from(&world, &other, folder, &entry).await, Err(FsError::NotPermitted));
        let request = Access { target: Target::Inode(folder), rights: dfs_model::Rights::LIST_DIRECTORY };
        assert_eq!(world.engine().access(&other, request).await.unwrap().granted.0, 0);
        assert_eq!(remove_from(&world, &owner, folder, &entry).await, Ok(0));
    });
}

#[test]
fn entries_go_by_age_and_the_oldest_by_size() {
    run_paused(async {
        let mut options = options(with_bin);
        let world = bin_world(&mut options).await;
        let cx = world.root_context();
        for text in ["a", "b", "c"] {
            make(&world, &cx, text, b"12345678").await;
            remove(&world, &cx, text).await.unwrap();
            tokio::time::sleep(3 * HOUR).await;
        }
        tokio::time::sleep(Duration::from_secs(700)).await;
        let names = async |world: &World| {
            bin(world).await.iter().map(|known| known.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&world).await, ["b", "c"], "a is nine hours old");
        world.engine().stack().flush(FlushScope::All).await.unwrap();
        let world = reopened(world, &mut options, |settings| {
            settings.recycle = Some(RecycleRules { keep: 70 * HOUR, bytes_max: 8 });
        })
        .await;
        tokio::time::sleep(Duration::from_secs(700)).await;
        assert_eq!(names(&world).await, ["c"], "eight bytes are kept");
        assert_eq!(world.engine().empty_bin(HOUR).await, Ok(1));
        assert!(bin(&world).await.is_empty());
        let world = reopened(world, &mut options, |settings| settings.recycle = None).await;
        assert_eq!(world.engine().recycled().await.unwrap_err(), FsError::NotSupported);
        make(&world, &world.root_context(), "z", b"1").await;
        assert_eq!(remove(&world, &world.root_context(), "z").await, Ok(0));
    });
}

/// Names that do not fit behind the note are cut at a character, and somebody's own files in the bin are left alone.
#[test]
fn long_names_are_cut_and_foreign_entries_ignored() {
    run_paused(async {
        let mut options = options(with_bin);
        let world = bin_world(&mut options).await;
        let cx = world.root_context();
        let long = "ä".repeat(127);
        make(&world, &cx, &long, b"long").await;
        remove(&world, &cx, &long).await.unwrap();
        let folder = lookup(&world, InodeId::ROOT, ".recycle").await.unwrap();
        let request = Create { dir: folder, ..new("mine", NewKind::File) };
        world.engine().create(&cx, request).await.unwrap();
        let listed = bin(&world).await;
        assert_eq!(listed.len(), 1);
        let kept = std::str::from_utf8(listed[0].name.as_bytes()).unwrap();
        assert!(long.starts_with(kept) && kept.len() > 180, "{} bytes of the name are kept", kept.len());
        assert_eq!(listed[0].attrs.kind, InodeKind::File);
        assert_eq!(world.engine().empty_bin(Duration::ZERO).await, Ok(1));
        assert!(lookup(&world, folder, "mine").await.is_some());
    });
}

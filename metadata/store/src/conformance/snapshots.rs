//! Cases: snapshots of a share.

use super::model::{Random, World, run_step};
use super::{Bed, case_list, name, refused};
use crate::{
    CloneRequest, MetadataStore, ReadDirRequest, SNAPSHOTS_MAX, Snapshot, SnapshotOrigin, StoreError,
    StoreResult, XattrSetRequest,
};
use bytes::Bytes;
use dfs_model::{
    Acl, AttrPatch, Cookie, ExtentRun, FsError, Inode, InodeId, InodeKind, Patch, ShareId, SnapshotId,
    XattrMode,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const ROOT: InodeId = InodeId::ROOT;
const K64: u32 = 65_536;

/// Everything below a directory: per path the place in the listing, the row, the map, the extended attributes.
type Tree = BTreeMap<String, (Cookie, Inode, Vec<ExtentRun>, Vec<(Bytes, Bytes)>)>;

/// An id as the share has it.
fn own(id: InodeId) -> InodeId {
    match id.snapshot() {
        Some((_, own)) => own,
        None if id == InodeId::SNAPSHOTS => ROOT,
        None => id,
    }
}

async fn tree(store: &dyn MetadataStore, share: ShareId, root: InodeId) -> Tree {
    let mut found = Tree::new();
    let mut todo = vec![(String::new(), root)];
    while let Some((path, dir)) = todo.pop() {
        let up_to = store.last_cookie(share, dir).await.unwrap();
        let mut after = Cookie::START;
        loop {
            let request = ReadDirRequest { dir, after, up_to, limit: 3, rows: true };
            let page = store.read_dir(share, request).await.unwrap();
            for (dentry, row) in page.entries {
                after = dentry.cookie;
                let row = row.unwrap();
                assert_eq!((dentry.dir, dentry.inode, dentry.kind), (dir, row.id, row.kind));
                let there = store.lookup(share, dir, &dentry.name).await.unwrap().unwrap();
                assert_eq!((&there.0, &*there.1), (&dentry, &*row));
                assert_eq!(store.inodes(share, &[row.id]).await.unwrap(), [Some(row.clone())]);
                let path = format!("{path}/{}", String::from_utf8_lossy(dentry.name.as_bytes()));
                let map = store.extents(share, row.id, 0, u64::MAX, usize::MAX).await.unwrap();
                let xattrs = store.xattrs(share, row.id, &[]).await.unwrap();
                if row.is_dir() {
                    assert_eq!(row.parent, dir);
                    todo.push((path.clone(), row.id));
                }
                let shown = Inode { id: own(row.id), parent: own(row.parent), ..(*row).clone() };
                found.insert(path, (dentry.cookie, shown, map, xattrs));
            }
            if page.end {
                break;
            }
        }
    }
    found
}

async fn now(bed: &Bed) -> Tree {
    tree(bed.store.as_ref(), bed.share, ROOT).await
}

async fn then(bed: &Bed, snapshot: &Snapshot) -> Tree {
    tree(bed.store.as_ref(), bed.share, ROOT.in_snapshot(snapshot.id)).await
}

async fn take(bed: &Bed, text: &str) -> StoreResult<Snapshot> {
    let taken = bed.store.snapshot_create(bed.cx(&bed.root), name(text), SnapshotOrigin::Asked).await;
    taken.map(|applied| applied.value)
}

async fn delete(bed: &Bed, snapshot: SnapshotId) -> StoreResult<()> {
    bed.store.snapshot_delete(bed.share, bed.epoch, snapshot).await.map(|applied| applied.value)
}

/// Gives back all that deleted snapshots kept; answers how many steps it took.
async fn reaped(bed: &Bed) -> usize {
    for step in 1..10_000 {
        if bed.store.snapshot_reap(bed.share, bed.epoch).await.unwrap().value {
            return step;
        }
    }
    panic!("it never ends");
}

async fn xattr(bed: &Bed, inode: InodeId, value: &'static str) {
    let values = vec![(Bytes::from_static(b"user"), Some(Bytes::from_static(value.as_bytes())))];
    let request = XattrSetRequest { inode, values, mode: XattrMode::Either, any_case: false };
    bed.store.xattr_set(bed.cx(&bed.root), request).await.unwrap();
}

case_list! {
async fn snapshot_shows_what_was_whatever_changes(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    let (a, b) = (bed.file(dir, "a").await, bed.file(dir, "b").await);
    let link = bed.made(ROOT, "l", InodeKind::Symlink, 0o777, &bed.root).await;
    let pack = bed.written(a, 0, K64, 4).await;
    let acl = Patch::Set(Arc::new(Acl::of_mode(0o640, false)));
    bed.set(&bed.root, b, AttrPatch { acl, ..AttrPatch::default() }).await.unwrap();
    xattr(bed, b, "old").await;
    let before = now(bed).await;
    let snapshot = take(bed, "mon").await.unwrap();
    assert_eq!(then(bed, &snapshot).await, before);
    bed.written(a, 10, 1000, 3).await;
    let part = bed.part(a, 100, vec![]).await;
    bed.place(vec![], vec![part]).await.unwrap();
    let acl = Patch::Set(Arc::new(Acl::of_mode(0o777, false)));
    bed.set(&bed.root, b, AttrPatch { acl, ..AttrPatch::default() }).await.unwrap();
    xattr(bed, b, "new").await;
    assert_eq!(then(bed, &snapshot).await, before);
    bed.rename(dir, "b", dir, "c").await.unwrap();
    bed.rename(dir, "a", ROOT, "a").await.unwrap();
    bed.remove(ROOT, "l").await.unwrap();
    bed.remove(ROOT, "a").await.unwrap();
    bed.remove(dir, "c").await.unwrap();
    bed.remove(ROOT, "d").await.unwrap();
    assert!(now(bed).await.is_empty() && bed.gone(link).await);
    let again = bed.file(ROOT, "d").await;
    bed.written(again, 0, K64, 1).await;
    assert_eq!(then(bed, &snapshot).await, before);
    assert_eq!(bed.bury(&[pack]).await, [], "the snapshot's pack is never buried");
    assert_eq!(bed.pack(pack).await.live_bytes, 4 * u64::from(K64 / 2));
    assert_eq!(bed.store.snapshot_bytes(bed.share, snapshot.id).await.unwrap(), 4 * u64::from(K64));
    delete(bed, snapshot.id).await.unwrap();
    reaped(bed).await;
    assert_eq!(bed.bury(&[pack]).await, [pack]);
}
async fn snapshots_are_listed_oldest_first_and_found_by_their_names(bed) {
    assert!(bed.store.snapshots(bed.share).await.unwrap().is_empty());
    let folder = bed.inode(InodeId::SNAPSHOTS).await;
    assert_eq!((folder.kind, folder.mode, folder.nlink, folder.parent), (InodeKind::Directory, 0o555, 2, ROOT));
    assert!(bed.list(InodeId::SNAPSHOTS, 2).await.is_empty());
    let (mon, tue) = (take(bed, "mon").await.unwrap(), take(bed, "Tue").await.unwrap());
    assert!(mon.id < tue.id && mon.change < tue.change && mon.taken < tue.taken);
    assert_eq!(bed.store.snapshots(bed.share).await.unwrap(), [mon.clone(), tue.clone()]);
    let after = bed.inode(InodeId::SNAPSHOTS).await;
    assert!(after.change > folder.change && after.mtime == tue.taken && after.nlink == 4);
    for page in 1..4 {
        let listed = bed.list(InodeId::SNAPSHOTS, page).await;
        assert_eq!(listed.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), [name("mon"), name("Tue")]);
    }
    assert_eq!(bed.lookup(InodeId::SNAPSHOTS, "Tue").await, Some(ROOT.in_snapshot(tue.id)));
    assert_eq!(bed.lookup(InodeId::SNAPSHOTS, "wed").await, None);
    let any = bed.store.lookup_fold(bed.share, InodeId::SNAPSHOTS, &name("TUE")).await.unwrap().unwrap();
    assert_eq!((any.0.name, any.1.parent), (name("Tue"), InodeId::SNAPSHOTS));
    refused(take(bed, "mon").await, FsError::Exists);
    delete(bed, mon.id).await.unwrap();
    refused(delete(bed, mon.id).await, FsError::NotFound);
    assert!(bed.gone(ROOT.in_snapshot(mon.id)).await);
    assert_eq!(bed.lookup(InodeId::SNAPSHOTS, "mon").await, None);
    let mon = take(bed, "mon").await.unwrap();
    assert!(mon.id > tue.id, "numbers are never used again");
    delete(bed, mon.id).await.unwrap();
    delete(bed, tue.id).await.unwrap();
    reaped(bed).await;
}
async fn snapshot_of_what_is_born_later_shows_nothing_of_it(bed) {
    let old = bed.mkdir(ROOT, "old").await;
    let snapshot = take(bed, "s").await.unwrap();
    let new = bed.mkdir(old, "new").await;
    let file = bed.file(new, "f").await;
    bed.written(file, 0, K64, 1).await;
    let past = |id: InodeId| id.in_snapshot(snapshot.id);
    assert!(bed.gone(past(new)).await && bed.gone(past(file)).await);
    assert_eq!(bed.lookup(past(old), "new").await, None);
    assert!(bed.list(past(old), 10).await.is_empty());
    assert!(bed.map(past(file)).await.is_empty());
    let dir = past(new);
    let request = ReadDirRequest { dir, after: Cookie::START, up_to: Cookie(u64::MAX), limit: 9, rows: false };
    refused(bed.store.read_dir(bed.share, request).await, FsError::StaleHandle);
    assert!(bed.gone(ROOT.in_snapshot(SnapshotId(999))).await);
    delete(bed, snapshot.id).await.unwrap();
    reaped(bed).await;
}
async fn snapshot_in_the_middle_deleted_leaves_its_neighbours_as_they_are(bed) {
    let (a, b) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let mut taken = Vec::new();
    let mut packs = Vec::new();
    for nth in 0..4u64 {
        packs.push(bed.written(a, 0, K64, 2).await);
        if nth % 2 == 0 {
            packs.push(bed.written(b, nth * u64::from(K64), K64, 1).await);
        }
        if nth == 2 {
            bed.remove(ROOT, "b").await.unwrap();
            bed.file(ROOT, "b").await;
        }
        let snapshot = take(bed, &format!("s{nth}")).await.unwrap();
        taken.push((snapshot, now(bed).await));
    }
    bed.remove(ROOT, "a").await.unwrap();
    for gone in [1, 1, 0, 0] {
        let (snapshot, _) = taken.remove(gone);
        delete(bed, snapshot.id).await.unwrap();
        for (other, seen) in &taken {
            assert_eq!(then(bed, other).await, *seen, "{} before the reaping", other.name);
        }
        reaped(bed).await;
        for (other, seen) in &taken {
            assert_eq!(then(bed, other).await, *seen, "{} after the reaping", other.name);
        }
    }
    packs.sort();
    let mut buried = bed.bury(&packs).await;
    buried.sort();
    assert_eq!(buried, packs);
}
async fn file_of_a_snapshot_is_cloned_back_over_what_became_of_it(bed) {
    let (a, other) = (bed.file(ROOT, "a").await, bed.file(ROOT, "o").await);
    let pack = bed.written(a, 0, K64, 4).await;
    let was = (bed.inode(a).await, bed.map(a).await);
    let snapshot = take(bed, "s").await.unwrap();
    let own = bed.written(a, 0, K64, 6).await;
    for to in [a, other] {
        let from = a.in_snapshot(snapshot.id);
        let request = CloneRequest { from, to, part: None, drained: [None, None], clear_suid: false };
        let cloned = bed.store.clone_file(bed.cx(&bed.root), request).await.unwrap().value;
        let row = bed.inode(to).await;
        assert_eq!((row.size, row.mtime, &*cloned.to.post), (was.0.size, was.0.mtime, &*row));
        let blocks = |runs: &[ExtentRun]| runs.iter().map(|run| (run.offset, run.blocks.clone())).collect::<Vec<_>>();
        assert_eq!(blocks(&bed.map(to).await), blocks(&was.1));
    }
    assert_eq!(then(bed, &snapshot).await["/a"].2, was.1);
    let past = CloneRequest {
        from: other,
        to: a.in_snapshot(snapshot.id),
        part: None,
        drained: [None, None],
        clear_suid: false,
    };
    assert!(bed.store.clone_file(bed.cx(&bed.root), past).await.is_err());
    assert_eq!(bed.bury(&[own, pack]).await, [own]);
    delete(bed, snapshot.id).await.unwrap();
    reaped(bed).await;
    bed.remove(ROOT, "a").await.unwrap();
    assert_eq!(bed.bury(&[pack]).await, []);
    bed.remove(ROOT, "o").await.unwrap();
    assert_eq!(bed.bury(&[pack]).await, [pack]);
}
async fn snapshots_are_fenced_and_limited(bed) {
    for nth in 0..SNAPSHOTS_MAX {
        take(bed, &format!("s{nth}")).await.unwrap();
    }
    refused(take(bed, "more").await, FsError::Limit);
    let all = bed.store.snapshots(bed.share).await.unwrap();
    assert_eq!(all.len(), SNAPSHOTS_MAX);
    delete(bed, all[7].id).await.unwrap();
    take(bed, "more").await.unwrap();
    bed.store.begin_epoch(bed.share).await.unwrap();
    assert!(matches!(take(bed, "late").await, Err(StoreError::Fenced { .. })));
    assert!(matches!(delete(bed, all[9].id).await, Err(StoreError::Fenced { .. })));
    let reap = bed.store.snapshot_reap(bed.share, bed.epoch).await;
    assert!(matches!(reap, Err(StoreError::Fenced { .. })));
}
async fn snapshot_of_a_large_directory_is_given_back_in_bounded_steps(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    for nth in 0..1200 {
        bed.file(dir, &format!("f{nth}")).await;
    }
    let before = now(bed).await;
    let (first, second) = (take(bed, "1").await.unwrap(), take(bed, "2").await.unwrap());
    for nth in 0..1200 {
        if nth % 3 != 0 {
            bed.remove(dir, &format!("f{nth}")).await.unwrap();
        }
    }
    for nth in 0..300 {
        bed.file(dir, &format!("g{nth}")).await;
    }
    assert_eq!(then(bed, &second).await, before);
    delete(bed, second.id).await.unwrap();
    assert!(!bed.store.snapshot_reap(bed.share, bed.epoch).await.unwrap().value, "one step is not all");
    assert_eq!(then(bed, &first).await, before, "in the middle of it");
    reaped(bed).await;
    assert_eq!(then(bed, &first).await, before);
    delete(bed, first.id).await.unwrap();
    reaped(bed).await;
}
async fn snapshots_over_a_random_history_all_show_their_own(bed) {
    for seed in 1..=3 {
        let mut random = Random(seed);
        let mut world = World::adopt(bed.store.as_ref(), bed.share).await;
        let mut taken: Vec<(Snapshot, Tree)> = Vec::new();
        for nth in 0..260 {
            let step = world.random_step(&mut random);
            if let (Ok(ran), Ok(())) = (run_step(bed, &step).await, world.predict(&step)) {
                world.commit(&step, ran.made, ran.pack);
            }
            match random.below(24) {
                0 => {
                    let snapshot = take(bed, &format!("{seed}-{nth}")).await.unwrap();
                    taken.push((snapshot, now(bed).await));
                }
                1 if !taken.is_empty() => {
                    let (gone, _) = taken.remove(random.below(taken.len() as u64) as usize);
                    delete(bed, gone.id).await.unwrap();
                }
                2 => drop(bed.store.snapshot_reap(bed.share, bed.epoch).await.unwrap()),
                _ => {}
            }
            if nth % 20 == 0 || nth == 259 {
                for (snapshot, seen) in &taken {
                    assert_eq!(then(bed, snapshot).await, *seen, "seed {seed} step {nth}: {}", snapshot.name);
                }
            }
        }
        for (snapshot, _) in taken {
            delete(bed, snapshot.id).await.unwrap();
        }
        reaped(bed).await;
        super::check_consistent(bed.store.as_ref(), bed.share).await;
    }
}
}

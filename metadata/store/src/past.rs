//! What ids of snapshots lead to: the share as of then, and the directory that lists the snapshots. The same for every store:
//! a store answers with its own ids, and this says them as ids of the snapshot.

use crate::{Dentry, DirPage, ReadDirRequest, Snapshot};
use dfs_model::{
    Change, Cookie, DeviceNumber, Generation, Identity, Inode, InodeFlags, InodeId, InodeKind, Name, Seq,
    SnapshotId, Timestamp,
};
use std::sync::Arc;

/// Where an id leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The share as it is.
    Live(InodeId),
    /// The directory of snapshots.
    Folder,
    /// An inode as of a snapshot.
    Past(SnapshotId, InodeId),
}

/// Where an id leads.
pub fn place(id: InodeId) -> Place {
    match id.snapshot() {
        Some((snapshot, own)) => Place::Past(snapshot, own),
        None if id == InodeId::SNAPSHOTS => Place::Folder,
        None => Place::Live(id),
    }
}

/// A row as of a snapshot.
pub fn inode(snapshot: SnapshotId, row: &Inode) -> Arc<Inode> {
    let parent = match row.is_dir() {
        true if row.id == InodeId::ROOT => InodeId::SNAPSHOTS,
        true => row.parent.in_snapshot(snapshot),
        false => row.parent,
    };
    Arc::new(Inode { id: row.id.in_snapshot(snapshot), parent, ..row.clone() })
}

/// A name as of a snapshot.
pub fn dentry(snapshot: SnapshotId, dentry: Dentry) -> Dentry {
    Dentry { dir: dentry.dir.in_snapshot(snapshot), inode: dentry.inode.in_snapshot(snapshot), ..dentry }
}

/// A page as of a snapshot.
pub fn page(snapshot: SnapshotId, page: DirPage) -> DirPage {
    let told = |(name, row): (Dentry, Option<Arc<Inode>>)| {
        (dentry(snapshot, name), row.map(|row| inode(snapshot, &row)))
    };
    DirPage { entries: page.entries.into_iter().map(told).collect(), end: page.end }
}

/// The directory of snapshots: everybody may look, nobody may change. `made`: when the share was.
pub fn folder(snapshots: &[Snapshot], generation: Generation, made: Timestamp) -> Arc<Inode> {
    let newest = snapshots.last();
    let at = newest.map_or(made, |newest| newest.taken);
    let change = newest.map_or(Change::ZERO, |newest| newest.change);
    Arc::new(Inode {
        id: InodeId::SNAPSHOTS,
        generation,
        kind: InodeKind::Directory,
        mode: 0o555,
        nlink: 2 + snapshots.len() as u32,
        owner: Identity::Uid(0),
        group: Identity::Gid(0),
        size: 0,
        allocated: 0,
        atime: at,
        mtime: at,
        ctime: at,
        btime: made,
        change,
        born: Change::ZERO,
        dos: 0,
        create_verifier: None,
        acl: None,
        parent: InodeId::ROOT,
        flags: InodeFlags::default(),
        link_target: None,
        device: DeviceNumber::default(),
        flushed_seq: Seq::ZERO,
        mode_change: Change::ZERO,
        dos_change: Change::ZERO,
    })
}

/// Place of a snapshot in the listing.
fn cookie(snapshot: SnapshotId) -> Cookie {
    Cookie(Cookie::FIRST.0 + snapshot.0)
}

/// The largest cookie in the listing of snapshots.
pub fn last_cookie(snapshots: &[Snapshot]) -> Cookie {
    snapshots.last().map_or(Cookie::DOT_DOT, |newest| cookie(newest.id))
}

/// The name of a snapshot in the directory of snapshots.
pub fn entry(snapshot: &Snapshot) -> Dentry {
    Dentry {
        dir: InodeId::SNAPSHOTS,
        name: snapshot.name.clone(),
        inode: InodeId::ROOT.in_snapshot(snapshot.id),
        kind: InodeKind::Directory,
        cookie: cookie(snapshot.id),
        born: snapshot.change,
        delete_pending: false,
    }
}

/// The snapshot of a name.
pub fn named<'a>(snapshots: &'a [Snapshot], name: &Name, any_case: bool) -> Option<&'a Snapshot> {
    let exact = snapshots.iter().find(|snapshot| snapshot.name == *name);
    let folded = || snapshots.iter().find(|snapshot| snapshot.name.fold_key() == name.fold_key());
    exact.or_else(|| if any_case { folded() } else { None })
}

/// Snapshots that a page of the listing shows, and whether it is the end.
pub fn listed(snapshots: &[Snapshot], request: &ReadDirRequest) -> (Vec<Dentry>, bool) {
    let mut entries = snapshots.iter().map(entry);
    let wanted = |name: &Dentry| name.cookie > request.after && name.cookie <= request.up_to;
    let mut found: Vec<Dentry> = entries.by_ref().filter(wanted).take(request.limit + 1).collect();
    let end = found.len() <= request.limit;
    found.truncate(request.limit);
    (found, end)
}

//! Restores: a tree of a snapshot becomes the tree that is there, file by file, without copying bytes.
//!
//! What is there and the same (the same inode with the same change number) is left alone; a file that changed gets its old
//! bytes back as a clone and keeps its inode, so that handles of clients go on; what is missing is made, what came later is
//! removed. It is many transactions: a crash in between leaves some of it done, and the same call again does the rest. The
//! state before a restore of the whole share is a snapshot of its own.

use crate::copies::replacing;
use crate::engine::Engine;
use crate::snapshots::civil;
use dfs_model::{
    Acl, AttrPatch, Cookie, FsError, Guard, Inode, InodeFlags, InodeId, InodeKind, Name, Patch, Target,
    TimePatch, XattrMode,
};
use dfs_store::{Dentry, ReadDirRequest, Snapshot, SnapshotOrigin};
use dfs_vfs::{
    AccessRule, Create, CreateExisting, Failed, Link, NewKind, Remove, RemoveWhat, RequestContext, SetAttr,
    XattrSet, XattrSpace,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Names read at once.
const PAGE: usize = 1000;
/// Restores of a whole share that may begin within one second.
const RESTORES_A_SECOND: u32 = 100;

/// What a restore did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Restored {
    /// Files, links and directories that were made or given their old content.
    pub restored: u64,
    /// Names that were removed.
    pub removed: u64,
    /// What was the same already.
    pub unchanged: u64,
}

/// A restore under way.
struct Restore<'a> {
    engine: &'a Engine,
    cx: RequestContext,
    /// Inodes of the snapshot with more than one name → the inode that is them now.
    linked: HashMap<InodeId, InodeId>,
    done: Restored,
}

type Entry = (Dentry, Arc<Inode>);

fn error(failed: Failed) -> FsError {
    failed.error
}

fn own(id: InodeId) -> InodeId {
    id.snapshot().map_or(id, |(_, own)| own)
}

impl Engine {
    /// Gives a file (or link, or tree) of a snapshot back, to where it was or to `to`. Paths are from the share's root.
    ///
    /// *Errors:* `NotFound`, `PathNotFound`; those of [`Engine::clone_path`].
    pub async fn restore_path(
        &self,
        snapshot: &Snapshot,
        path: &[Name],
        to: Option<&[Name]>,
    ) -> Result<Restored, FsError> {
        self.check_writable()?;
        let cx = self.own_context();
        let (name, dir) = path.split_last().ok_or(FsError::InvalidArgument)?;
        let from_dir = self.walk_from(&cx, InodeId::ROOT.in_snapshot(snapshot.id), dir).await?.inode;
        let found = self.store.lookup(self.share, from_dir, name).await.map_err(|error| error.to_fs())?;
        let past = found.ok_or(FsError::NotFound)?;
        let (name, dir) = to.unwrap_or(path).split_last().ok_or(FsError::InvalidArgument)?;
        let dir = self.walk_path(&cx, dir).await?.inode;
        let live = self.store.lookup(self.share, dir, name).await.map_err(|error| error.to_fs())?;
        let mut restore = Restore { engine: self, cx, linked: HashMap::new(), done: Restored::default() };
        restore.entry(dir, name, &past, live.as_ref()).await?;
        Ok(restore.done)
    }

    /// Makes the whole share what it was, after a snapshot of what it is. Answers that snapshot.
    pub async fn restore_share(&self, snapshot: &Snapshot) -> Result<(Snapshot, Restored), FsError> {
        let before = self.snapshot_before_restore().await?;
        let cx = self.own_context();
        let mut restore = Restore { engine: self, cx, linked: HashMap::new(), done: Restored::default() };
        restore.tree(InodeId::ROOT.in_snapshot(snapshot.id), InodeId::ROOT).await?;
        self.store.durable(self.store.last_commit()).await.map_err(|error| error.to_fs())?;
        Ok((before, restore.done))
    }

    /// Takes the snapshot that a restore begins with, named by the time; by a number, too, where several begin in one second.
    async fn snapshot_before_restore(&self) -> Result<Snapshot, FsError> {
        let now = self.clock.wall().secs;
        let (year, month, day) = civil(now.div_euclid(86_400));
        let named = format!("before-restore-{year:04}{month:02}{day:02}-{:05}", now.rem_euclid(86_400));
        let mut name = named.clone();
        for nth in 2..=RESTORES_A_SECOND {
            match self.take_snapshot(Name::try_from(name.as_str())?, SnapshotOrigin::BeforeRestore).await {
                Err(FsError::Exists) => name = format!("{named}-{nth}"),
                done => return done,
            }
        }
        Err(FsError::Exists)
    }
}

impl Restore<'_> {
    /// Makes a directory what another was, and all below it.
    async fn tree(&mut self, past: InodeId, live: InodeId) -> Result<(), FsError> {
        let mut todo = vec![(past, live)];
        while let Some((past, live)) = todo.pop() {
            let then = self.names(past).await?;
            let now = self.names(live).await?;
            for (name, there) in &now {
                if !then.contains_key(name) && !self.engine.is_bin(there.1.id) {
                    self.remove(live, there).await?;
                }
            }
            for (name, was) in &then {
                let there = now.get(name);
                if there.is_some_and(|there| self.engine.is_bin(there.1.id)) {
                    continue;
                }
                if let Some(below) = self.entry_shallow(live, name, was, there).await? {
                    todo.push((was.1.id, below));
                }
            }
            let row = self.row(past).await?;
            self.attributes(live, &row).await?;
        }
        Ok(())
    }

    /// One entry with all below it.
    async fn entry(
        &mut self,
        dir: InodeId,
        name: &Name,
        was: &Entry,
        there: Option<&Entry>,
    ) -> Result<(), FsError> {
        match self.entry_shallow(dir, name, was, there).await? {
            Some(below) => self.tree(was.1.id, below).await,
            None => Ok(()),
        }
    }

    /// One entry; answers the directory whose content is still to be made.
    async fn entry_shallow(
        &mut self,
        dir: InodeId,
        name: &Name,
        was: &Entry,
        there: Option<&Entry>,
    ) -> Result<Option<InodeId>, FsError> {
        let row = &was.1;
        let same = there.filter(|there| there.1.id == own(row.id) && there.1.kind == row.kind);
        if row.is_dir() {
            if let Some((_, live)) = there.filter(|there| there.1.is_dir()) {
                return Ok(Some(live.id));
            }
            self.clear(dir, there).await?;
            let made = self.make(dir, name, row).await?;
            self.done.restored += 1;
            return Ok(Some(made));
        }
        if let Some((_, live)) = same {
            if live.change == row.change {
                self.done.unchanged += 1;
            } else {
                self.content(row, live.id).await?;
                self.done.restored += 1;
            }
            self.note(row, live.id);
            return Ok(None);
        }
        self.clear(dir, there).await?;
        let live = match self.linked.get(&row.id).copied() {
            Some(live) => {
                let request = Link { inode: live, dir, name: name.clone(), replace: false };
                self.engine.do_link(&self.cx, request).await.map_err(error)?;
                live
            }
            None => {
                let made = self.make(dir, name, row).await?;
                self.content(row, made).await?;
                made
            }
        };
        self.note(row, live);
        self.done.restored += 1;
        Ok(None)
    }

    fn note(&mut self, was: &Inode, live: InodeId) {
        if was.nlink > 1 {
            self.linked.insert(was.id, live);
        }
    }

    async fn clear(&mut self, dir: InodeId, there: Option<&Entry>) -> Result<(), FsError> {
        match there {
            Some(there) => self.remove(dir, there).await,
            None => Ok(()),
        }
    }

    /// Gives what is there the bytes and attributes that it had.
    async fn content(&mut self, was: &Inode, live: InodeId) -> Result<(), FsError> {
        if was.kind == InodeKind::File {
            self.engine.do_copy(&self.cx, replacing(was.id, live)).await.map_err(error)?;
        }
        self.attributes(live, was).await
    }

    /// Mode, owner, ACL, times and extended attributes as they were.
    async fn attributes(&mut self, live: InodeId, was: &Inode) -> Result<(), FsError> {
        let there = self.row(live).await?;
        let acl = match (&was.acl, &there.acl) {
            (Some(acl), _) => Patch::Set(acl.clone()),
            (None, Some(_)) => Patch::Set(Arc::new(Acl::of_mode(was.mode, was.is_dir()))),
            (None, None) => Patch::Keep,
        };
        let patch = AttrPatch {
            mode: Patch::Set(was.mode),
            owner: Patch::Set(was.owner.clone()),
            group: Patch::Set(was.group.clone()),
            acl,
            mtime: TimePatch::Set(was.mtime),
            ..AttrPatch::default()
        };
        let (target, rule) = (Target::Inode(live), AccessRule::ByOpen);
        if was.kind != InodeKind::Symlink {
            let request = SetAttr { target, patch, guard: Guard::None, rule };
            self.engine.do_set_attr(&self.cx, request).await.map_err(error)?;
        }
        let any = was.flags.has(InodeFlags::HAS_XATTR) || there.flags.has(InodeFlags::HAS_XATTR);
        if !any || !matches!(was.kind, InodeKind::File | InodeKind::Directory) {
            return Ok(());
        }
        let read = async |inode| {
            let found = self.engine.store.xattrs(self.engine.share, inode, &[]).await;
            found.map_err(|error| error.to_fs())
        };
        let (then, now) = (read(was.id).await?, read(live).await?);
        let ended = now.into_iter().filter(|(name, _)| !then.iter().any(|(other, _)| other == name));
        let mut values: Vec<_> = ended.map(|(name, _)| (name, None)).collect();
        values.extend(then.into_iter().map(|(name, value)| (name, Some(value))));
        let request = XattrSet { target, space: XattrSpace::User, values, mode: XattrMode::Either };
        self.engine.do_xattr_set(&self.cx, request).await.map_err(error).map(drop)
    }

    async fn make(&mut self, dir: InodeId, name: &Name, was: &Inode) -> Result<InodeId, FsError> {
        let kind = match was.kind {
            InodeKind::File => NewKind::File,
            InodeKind::Directory => NewKind::Directory,
            InodeKind::Symlink => NewKind::Symlink(was.link_target.clone().unwrap_or_default()),
            InodeKind::BlockDevice => NewKind::BlockDevice(was.device),
            InodeKind::CharDevice => NewKind::CharDevice(was.device),
            InodeKind::Fifo => NewKind::Fifo,
            InodeKind::Socket => NewKind::Socket,
        };
        let attrs = AttrPatch {
            mode: Patch::Set(was.mode),
            owner: Patch::Set(was.owner.clone()),
            group: Patch::Set(was.group.clone()),
            ..AttrPatch::default()
        };
        let request = Create { dir, name: name.clone(), kind, existing: CreateExisting::Guarded, attrs };
        Ok(self.engine.do_create(&self.cx, request).await.map_err(error)?.inode)
    }

    /// Removes a name, and all below it.
    async fn remove(&mut self, dir: InodeId, there: &Entry) -> Result<(), FsError> {
        let mut todo = vec![(dir, there.0.name.clone(), there.1.clone(), false)];
        while let Some((dir, name, row, emptied)) = todo.pop() {
            if row.is_dir() && !emptied {
                todo.push((dir, name, row.clone(), true));
                let below = self.names(row.id).await?;
                todo.extend(below.into_iter().map(|(name, (_, below))| (row.id, name, below, false)));
                continue;
            }
            let request = Remove { dir, name, what: RemoveWhat::Any, expect: Some(row.id) };
            match self.engine.do_remove(&self.cx, request).await.map_err(error) {
                Ok(_) | Err(FsError::NotFound) => self.done.removed += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn row(&self, inode: InodeId) -> Result<Arc<Inode>, FsError> {
        let row = self.engine.store.inode(self.engine.share, inode).await.map_err(|error| error.to_fs())?;
        row.ok_or(FsError::StaleHandle)
    }

    async fn names(&self, dir: InodeId) -> Result<BTreeMap<Name, Entry>, FsError> {
        let (store, share) = (&self.engine.store, self.engine.share);
        let up_to = store.last_cookie(share, dir).await.map_err(|error| error.to_fs())?;
        let (mut after, mut names) = (Cookie::START, BTreeMap::new());
        loop {
            let request = ReadDirRequest { dir, after, up_to, limit: PAGE, rows: true };
            let page = store.read_dir(share, request).await.map_err(|error| error.to_fs())?;
            for (dentry, row) in page.entries {
                after = dentry.cookie;
                let row = row.ok_or(FsError::Internal)?;
                names.insert(dentry.name.clone(), (dentry, row));
            }
            if page.end {
                return Ok(names);
            }
        }
    }
}

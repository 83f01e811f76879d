//! Names: handles, walks, create, link, remove. Each change is one metadata transaction; its rows go into the cells before
//! the reply, its event to the hub.

use crate::access_checks;
use crate::cell::Cell;
use crate::engine::{Engine, dir_wcc};
use crate::reaper::Job;
use dfs_model::{Attrs, FsError, InodeId, InodeKind, Name, PreAttrs, Rights, Timestamp, Wcc};
use dfs_store::{
    Applied, CommitToken, CreateMode, CreateRequest, Created, Fate, LinkRequest, RemoveKind, RemoveRequest,
    Removed, ReplayOutcome, StoreError, Unlinked,
};
use dfs_vfs::{
    ChangeEvent, ChangeKind, Create, CreateExisting, CreateReply, Failed, FileHandle, HandleKind, Link,
    LinkReply, NameCase, NewKind, Operation, ReadLinkReply, Remove, RemoveReply, RemoveWhat, RequestContext,
    Resolved, VfsResult, WALK_NAMES_MAX, Walk, WalkStep, Walked, WalkedStep,
};
use std::sync::Arc;

/// How often an operation looks again when a name changed under it before the client is told to.
pub(crate) const RACES_MAX: usize = 32;

impl Engine {
    pub(crate) async fn do_resolve(&self, wire: &[u8]) -> VfsResult<Resolved> {
        let handle = FileHandle::decode(wire, &self.record.handle_key).map_err(|_| FsError::BadHandle)?;
        if handle.share != self.share || handle.kind != HandleKind::Inode {
            return Err(FsError::BadHandle.into());
        }
        let cell = self.cells.get(handle.inode).await?;
        let state = cell.state.lock();
        if state.gone || state.attrs.generation != handle.generation {
            return Err(FsError::StaleHandle.into());
        }
        Ok(Resolved { inode: handle.inode, kind: state.attrs.kind })
    }

    pub(crate) async fn do_walk(&self, cx: &RequestContext, request: Walk) -> VfsResult<Walked> {
        if request.steps.len() > WALK_NAMES_MAX {
            return Err(FsError::InvalidArgument.into());
        }
        let mut at = self.cells.get(request.dir).await?;
        let first = at.state.lock().attrs.clone();
        let mut steps: Vec<WalkedStep> = Vec::with_capacity(request.steps.len());
        let count = request.steps.len();
        for (index, step) in request.steps.iter().enumerate() {
            match self.step(cx, &at, step, request.case).await {
                Ok((cell, name)) => {
                    let attrs = cell.state.lock().attrs.clone();
                    steps.push(WalkedStep { inode: cell.inode, name, attrs });
                    at = cell;
                }
                Err(error) => {
                    let error = match error {
                        FsError::NotFound if index + 1 < count => FsError::PathNotFound { step: index },
                        other => other,
                    };
                    return Err(Failed::with(error, Some(Wcc::unchanged(first))));
                }
            }
        }
        Ok(Walked { dir: first, steps })
    }

    async fn step(
        &self,
        cx: &RequestContext,
        at: &Arc<Cell>,
        step: &WalkStep,
        case: NameCase,
    ) -> Result<(Arc<Cell>, Option<Name>), FsError> {
        let parent = {
            let state = at.state.lock();
            if state.gone {
                return Err(FsError::StaleHandle);
            }
            match state.attrs.kind {
                InodeKind::Directory => {}
                InodeKind::Symlink => {
                    let target = state.row.link_target.clone().unwrap_or_default();
                    return Err(FsError::IsSymlink { target, rest: Vec::new() });
                }
                _ => return Err(FsError::NotDirectory),
            }
            if !access_checks::granted(&state, &cx.credentials).has(Rights::EXECUTE) {
                return Err(FsError::AccessDenied);
            }
            state.row.parent
        };
        match step {
            WalkStep::Stay => Ok((at.clone(), None)),
            WalkStep::Up => Ok((self.cells.get(parent).await?, None)),
            WalkStep::Down(name) => {
                // As it was before the store is asked.
                let dir_change = at.state.lock().attrs.change;
                let exact = case == NameCase::Exact && !at.inode.is_past();
                let known = exact.then(|| self.found.get(at.inode, name, dir_change)).flatten();
                if let Some(inode) = known
                    && let Ok(cell) = self.cells.get(inode).await
                {
                    return Ok((cell, Some(name.clone())));
                }
                for _ in 0..RACES_MAX {
                    let found = match case {
                        NameCase::Exact => self.store.lookup(self.share, at.inode, name).await,
                        NameCase::Fold => self.store.lookup_fold(self.share, at.inode, name).await,
                    };
                    let Some((dentry, _)) = found.map_err(|error| error.to_fs())? else {
                        return self.folder_of_snapshots(at.inode, name).await;
                    };
                    match self.cells.get(dentry.inode).await {
                        Ok(cell) => {
                            if exact {
                                self.found.put(at.inode, name, dir_change, dentry.inode);
                            }
                            return Ok((cell, Some(dentry.name)));
                        }
                        // Removed between the two reads: the name may lead elsewhere now.
                        Err(FsError::StaleHandle) => {}
                        Err(error) => return Err(error),
                    }
                }
                Err(FsError::delay())
            }
        }
    }

    /// The directory of snapshots, where that is the name of what was not found.
    async fn folder_of_snapshots(
        &self,
        dir: InodeId,
        name: &Name,
    ) -> Result<(Arc<Cell>, Option<Name>), FsError> {
        match crate::snapshots::is_folder(dir, name) {
            true => Ok((self.cells.get(InodeId::SNAPSHOTS).await?, Some(name.clone()))),
            false => Err(FsError::NotFound),
        }
    }

    pub(crate) async fn do_create(&self, cx: &RequestContext, request: Create) -> VfsResult<CreateReply> {
        let dir = request.dir;
        match self.create_inner(cx, request).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.failed(error, dir).await),
        }
    }

    async fn create_inner(&self, cx: &RequestContext, request: Create) -> Result<CreateReply, FsError> {
        self.check_change(creation(&request.kind))?;
        let dir = self.cells.get(request.dir).await?;
        let only_files = request.existing != CreateExisting::Guarded;
        if only_files && request.kind != NewKind::File {
            return Err(FsError::InvalidArgument);
        }
        if !dir.state.lock().row.is_dir() {
            return Err(FsError::NotDirectory);
        }
        let _claim = self.admit_entry_change(cx, &dir).await?;
        let truncate = request.attrs.size.as_set() == Some(&0);
        let grow = request.attrs.size.as_set().copied().filter(|size| *size > 0);
        let asked = create_request(&request);
        let charge = self.charge_creation(cx, &dir, &asked).await?;
        let applied = match self.store.create(self.op_context(cx, Timestamp::EPOCH), asked).await {
            Ok(applied) => applied,
            Err(StoreError::Replayed(outcome)) => return self.create_replayed(&outcome, request.dir).await,
            Err(error) => return Err(error.to_fs()),
        };
        let Created { inode: row, dentry, existed, dir: change } = applied.value;
        if existed {
            return self
                .create_found(
                    cx,
                    row.id,
                    request.dir,
                    truncate && request.existing == CreateExisting::Unchecked,
                )
                .await;
        }
        self.keep_creation(charge, &row);
        dir.state.lock().take_row(&change.post, applied.commit);
        let cell = self.cells.created(&row, applied.commit);
        self.hub.tell(|| name_event(ChangeKind::Created, row.id, row.is_dir(), request.dir, &dentry.name));
        if let (Some(size), NewKind::File) = (grow, &request.kind) {
            let grown = self.set_size(cx, &cell, size, dfs_vfs::AccessRule::ByOpen).await?;
            // The file is made: sent again, this would be answered without another wait.
            self.data_stable(&cell, grown, None).await?;
        }
        self.names_stable(applied.commit).await?;
        let attrs = cell.state.lock().attrs.clone();
        Ok(CreateReply { inode: row.id, attrs, existed: false, dir: dir_wcc(&change) })
    }

    /// The name was there: of the attributes only `size = 0` counts, and truncation is a write.
    async fn create_found(
        &self,
        cx: &RequestContext,
        inode: InodeId,
        dir: InodeId,
        truncate: bool,
    ) -> Result<CreateReply, FsError> {
        let cell = self.cells.get(inode).await?;
        if truncate {
            let written = self.set_size(cx, &cell, 0, dfs_vfs::AccessRule::Stateless).await?;
            self.data_stable(&cell, written, cx.deadline).await?;
        }
        let attrs = cell.state.lock().attrs.clone();
        let dir = self.wcc_now(dir).await.ok_or(FsError::StaleHandle)?;
        Ok(CreateReply { inode, attrs, existed: true, dir })
    }

    async fn create_replayed(&self, outcome: &ReplayOutcome, dir: InodeId) -> Result<CreateReply, FsError> {
        self.names_stable(self.store.last_commit()).await?;
        let cell = self.cells.get(outcome.inode).await?;
        let attrs = cell.state.lock().attrs.clone();
        let dir = self.wcc_replayed(dir, outcome.dir_pre).await?;
        Ok(CreateReply { inode: outcome.inode, attrs, existed: false, dir })
    }

    /// Attributes before the operation as stored with it, and now.
    pub(crate) async fn wcc_replayed(&self, inode: InodeId, pre: PreAttrs) -> Result<Wcc, FsError> {
        let cell = self.cells.get(inode).await?;
        let post = cell.state.lock().attrs.clone();
        Ok(Wcc { pre, post })
    }

    pub(crate) async fn do_link(&self, cx: &RequestContext, request: Link) -> VfsResult<LinkReply> {
        let (inode, dir) = (request.inode, request.dir);
        match self.link_inner(cx, request).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(Failed::with_two(error, self.wcc_now(inode).await, self.wcc_now(dir).await)),
        }
    }

    async fn link_inner(&self, cx: &RequestContext, request: Link) -> Result<LinkReply, FsError> {
        self.check_change(Operation::Link)?;
        if request.replace {
            return Err(FsError::NotSupported);
        }
        let dir = self.cells.get(request.dir).await?;
        let cell = self.cells.get(request.inode).await?;
        let _claim = self.admit_entry_change(cx, &dir).await?;
        let gate = cell.gate.write().await;
        let pre = cell.state.lock().attrs.clone();
        let asked = LinkRequest { inode: request.inode, dir: request.dir, name: request.name.clone() };
        let linked = match self.store.link(self.op_context(cx, pre.ctime), asked).await {
            Ok(applied) => {
                let post = {
                    let mut state = cell.state.lock();
                    state.take_row(&applied.value.inode.post, applied.commit);
                    state.attrs.clone()
                };
                dir.state.lock().take_row(&applied.value.dir.post, applied.commit);
                let wcc = Wcc { pre: pre.pre(), post };
                (LinkReply { inode: wcc, dir: dir_wcc(&applied.value.dir) }, applied.commit)
            }
            Err(StoreError::Replayed(outcome)) => {
                let dir = self.wcc_replayed(request.dir, outcome.dir_pre).await?;
                (LinkReply { inode: Wcc::unchanged(pre), dir }, self.store.last_commit())
            }
            Err(error) => return Err(error.to_fs()),
        };
        drop(gate);
        self.hub.tell(|| name_event(ChangeKind::Linked, request.inode, false, request.dir, &request.name));
        self.names_stable(linked.1).await?;
        Ok(linked.0)
    }

    pub(crate) async fn do_remove(&self, cx: &RequestContext, request: Remove) -> VfsResult<RemoveReply> {
        let dir = request.dir;
        match self.remove_inner(cx, request).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.failed(error, dir).await),
        }
    }

    async fn remove_inner(&self, cx: &RequestContext, request: Remove) -> Result<RemoveReply, FsError> {
        self.check_change(Operation::Remove)?;
        let dir = self.cells.get(request.dir).await?;
        for _ in 0..RACES_MAX {
            if let Some(reply) = self.remove_once(cx, &request, &dir).await? {
                return Ok(reply);
            }
        }
        Err(FsError::delay())
    }

    /// One try; `None` when the name led elsewhere by the time of the transaction.
    async fn remove_once(
        &self,
        cx: &RequestContext,
        request: &Remove,
        dir: &Arc<Cell>,
    ) -> Result<Option<RemoveReply>, FsError> {
        if let Some(reply) = self.remove_replayed(cx, request.dir).await? {
            return Ok(Some(reply));
        }
        let found =
            self.store.lookup(self.share, request.dir, &request.name).await.map_err(|error| error.to_fs())?;
        let expect = match (&found, request.expect) {
            (Some((dentry, _)), Some(expected)) if dentry.inode != expected => return Err(FsError::NotFound),
            (found, _) => found.as_ref().map(|(dentry, _)| dentry.inode),
        };
        let victim = match expect {
            Some(inode) => match self.cells.get(inode).await {
                Ok(cell) => Some(cell),
                Err(FsError::StaleHandle) => return Ok(None),
                Err(error) => return Err(error),
            },
            None => None,
        };
        if let Some(victim) = &victim {
            if self.is_bin(victim.inode) {
                return Err(FsError::NotPermitted);
            }
            if let Some(place) = self.bin_entry(cx, request, victim) {
                return self.remove_to_bin(cx, request, place).await.map(Some);
            }
        }
        let _claim = match &victim {
            Some(victim) => Some(self.admit_unlink(cx, victim, dir).await?),
            None => None,
        };
        let gate = match &victim {
            Some(victim) => Some(victim.gate.write().await),
            None => None,
        };
        let last_ctime = victim.as_ref().map_or(Timestamp::EPOCH, |victim| victim.state.lock().attrs.ctime);
        let asked = RemoveRequest {
            dir: request.dir,
            name: request.name.clone(),
            kind: match request.what {
                RemoveWhat::Any => RemoveKind::Any,
                RemoveWhat::NonDirectory => RemoveKind::NonDirectory,
                RemoveWhat::Directory => RemoveKind::Directory,
            },
            expect,
            keep_orphan: expect.is_some_and(|inode| self.has_opens(inode)),
        };
        let applied = match self.store.remove(self.op_context(cx, last_ctime), asked).await {
            Ok(applied) => applied,
            Err(StoreError::Raced) => return Ok(None),
            Err(StoreError::Replayed(outcome)) => {
                return self.remove_outcome(&outcome, request.dir).await.map(Some);
            }
            Err(error) => return Err(error.to_fs()),
        };
        let reply = self.removed(&applied, dir);
        drop(gate);
        self.after_unlink(&applied.value.victim, applied.commit);
        let victim = &applied.value.victim.inode.post;
        self.hub
            .tell(|| name_event(ChangeKind::Removed, victim.id, victim.is_dir(), request.dir, &request.name));
        self.names_stable(applied.commit).await?;
        Ok(Some(reply))
    }

    fn removed(&self, applied: &Applied<Removed>, dir: &Cell) -> RemoveReply {
        let Removed { dir: change, victim, .. } = &applied.value;
        dir.state.lock().take_row(&change.post, applied.commit);
        self.take_unlinked(victim, applied.commit);
        RemoveReply {
            dir: dir_wcc(change),
            nlink: victim.inode.post.nlink,
            orphaned: victim.fate == Fate::Orphan,
        }
    }

    /// Shows what an inode that lost a name is now. Call it under its gate.
    pub(crate) fn take_unlinked(&self, victim: &Unlinked, commit: CommitToken) {
        if victim.fate == Fate::Gone {
            self.note_quota_gone(&victim.inode.pre);
        }
        if let Some(cell) = self.cells.loaded(victim.inode.post.id) {
            let mut state = cell.state.lock();
            state.take_row(&victim.inode.post, commit);
            let keeps = victim.fate == Fate::Linked || self.has_opens(victim.inode.post.id);
            state.gone = !keeps;
        }
    }

    /// What remains to be done about an inode without a name, off the reply's path.
    pub(crate) fn after_unlink(&self, victim: &Unlinked, commit: CommitToken) {
        let inode = victim.inode.post.id;
        let job = match victim.fate {
            Fate::Linked => return,
            Fate::Gone => Job::Gone { inode, commit },
            Fate::Orphan if self.has_opens(inode) => return,
            Fate::Orphan => Job::Reap { inode },
        };
        // Fails only at shutdown; the next start finds the orphan, or drops the records of an absent inode.
        let _ = self.reaper.send(job);
    }

    async fn remove_replayed(
        &self,
        cx: &RequestContext,
        dir: InodeId,
    ) -> Result<Option<RemoveReply>, FsError> {
        let Some(key) = &cx.replay else { return Ok(None) };
        match self.store.replayed(self.share, key).await.map_err(|error| error.to_fs())? {
            Some(outcome) => self.remove_outcome(&outcome, dir).await.map(Some),
            None => Ok(None),
        }
    }

    async fn remove_outcome(&self, outcome: &ReplayOutcome, dir: InodeId) -> Result<RemoveReply, FsError> {
        self.names_stable(self.store.last_commit()).await?;
        let dir = self.wcc_replayed(dir, outcome.dir_pre).await?;
        Ok(RemoveReply { dir, nlink: 0, orphaned: false })
    }

    pub(crate) async fn do_read_link(&self, inode: InodeId) -> VfsResult<ReadLinkReply> {
        let cell = self.cells.get(inode).await?;
        let state = cell.state.lock();
        match &state.row.link_target {
            Some(target) => Ok(ReadLinkReply { target: target.clone(), attrs: state.attrs.clone() }),
            None => Err(Failed::with(FsError::InvalidArgument, Some(Wcc::unchanged(state.attrs.clone())))),
        }
    }

    pub(crate) async fn do_parent(&self, dir: InodeId) -> VfsResult<Attrs> {
        let cell = self.cells.get(dir).await?;
        let parent = {
            let state = cell.state.lock();
            if !state.row.is_dir() {
                return Err(FsError::NotDirectory.into());
            }
            state.row.parent
        };
        let cell = self.cells.get(parent).await?;
        let attrs = cell.state.lock().attrs.clone();
        Ok(attrs)
    }
}

fn create_request(request: &Create) -> CreateRequest {
    let (link_target, device) = match &request.kind {
        NewKind::Symlink(target) => (Some(target.clone()), Default::default()),
        NewKind::BlockDevice(device) | NewKind::CharDevice(device) => (None, *device),
        _ => (None, Default::default()),
    };
    CreateRequest {
        dir: request.dir,
        name: request.name.clone(),
        kind: request.kind.kind(),
        mode: match request.existing {
            CreateExisting::Unchecked => CreateMode::Unchecked,
            CreateExisting::Guarded => CreateMode::Guarded,
            CreateExisting::Exclusive(verifier) => CreateMode::Exclusive(verifier),
        },
        attrs: request.attrs.clone(),
        link_target,
        device,
    }
}

/// An event about a name.
pub(crate) fn name_event(
    kind: ChangeKind,
    inode: InodeId,
    is_dir: bool,
    dir: InodeId,
    name: &Name,
) -> ChangeEvent {
    ChangeEvent { kind, inode, is_dir, dir: Some(dir), name: Some(name.clone()) }
}

/// The operation that making something is.
fn creation(kind: &NewKind) -> Operation {
    match kind {
        NewKind::File => Operation::Create,
        NewKind::Directory => Operation::Mkdir,
        NewKind::Symlink(_) => Operation::Symlink,
        NewKind::BlockDevice(_) | NewKind::CharDevice(_) | NewKind::Fifo | NewKind::Socket => {
            Operation::Mknod
        }
    }
}

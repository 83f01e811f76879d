//! Rename. Where a name is replaced, the moved file's bytes are stable before the transaction is sent (JOURNAL §4): a crash
//! must never leave neither the old content nor the new.

use crate::cell::Cell;
use crate::engine::{DurabilityClass, Engine, dir_wcc};
use crate::names::{RACES_MAX, name_event};
use dfs_log::Rule;
use dfs_model::{FsError, InodeId, Timestamp};
use dfs_store::{Applied, RenameRequest, Renamed, Replace, ReplayOutcome, StoreError};
use dfs_vfs::{
    ChangeKind, Failed, NameCase, Operation, Rename, RenameReplace, RenameReply, RequestContext, VfsResult,
};
use std::sync::Arc;

/// The inodes that a rename is about, as its look-up found them.
struct Parties {
    moved: Arc<Cell>,
    replaced: Option<Arc<Cell>>,
}

impl Engine {
    pub(crate) async fn do_rename(&self, cx: &RequestContext, request: Rename) -> VfsResult<RenameReply> {
        let (from, to) = (request.from_dir, request.to_dir);
        match self.rename_inner(cx, request).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(Failed::with_two(error, self.wcc_now(from).await, self.wcc_now(to).await)),
        }
    }

    async fn rename_inner(&self, cx: &RequestContext, request: Rename) -> Result<RenameReply, FsError> {
        self.check_change(Operation::Rename)?;
        self.rename_names(cx, request).await
    }

    /// Moves a name, whoever asked for it under whichever operation.
    pub(crate) async fn rename_names(
        &self,
        cx: &RequestContext,
        request: Rename,
    ) -> Result<RenameReply, FsError> {
        if request.case == NameCase::Fold || request.open.is_some() {
            return Err(FsError::NotSupported);
        }
        let from_dir = self.cells.get(request.from_dir).await?;
        let to_dir = self.cells.get(request.to_dir).await?;
        for _ in 0..RACES_MAX {
            if let Some(key) = &cx.replay {
                let known = self.store.replayed(self.share, key).await.map_err(|error| error.to_fs())?;
                if let Some(outcome) = known {
                    return self.rename_outcome(&outcome, &request).await;
                }
            }
            if let Some(reply) = self.rename_once(cx, &request, &from_dir, &to_dir).await? {
                return Ok(reply);
            }
        }
        Err(FsError::delay())
    }

    /// One try; `None` when a name led elsewhere by the time of the transaction.
    async fn rename_once(
        &self,
        cx: &RequestContext,
        request: &Rename,
        from_dir: &Arc<Cell>,
        to_dir: &Arc<Cell>,
    ) -> Result<Option<RenameReply>, FsError> {
        let Some(parties) = self.rename_parties(request).await? else { return Ok(None) };
        let _claims = match &parties {
            Some(Parties { moved, replaced })
                if [Some(moved), replaced.as_ref()]
                    .into_iter()
                    .flatten()
                    .any(|cell| self.is_bin(cell.inode)) =>
            {
                return Err(FsError::NotPermitted);
            }
            Some(found) => {
                let moved = self.admit_rename(cx, &found.moved, from_dir, to_dir).await?;
                let replaced = match &found.replaced {
                    Some(victim) if victim.inode != found.moved.inode => {
                        Some(self.admit_unlink(cx, victim, to_dir).await?)
                    }
                    _ => None,
                };
                Some((moved, replaced))
            }
            None => None,
        };
        if let Some(Parties { moved, replaced: Some(_) }) = &parties {
            self.stable_before_replace(cx, moved).await?;
        }
        let gates = match &parties {
            Some(found) => Some(take_gates(found).await),
            None => None,
        };
        let last_ctime = parties.as_ref().map_or(Timestamp::EPOCH, newest_ctime);
        let asked = rename_request(request, parties.as_ref(), |inode| self.has_opens(inode));
        let applied = match self.store.rename(self.op_context(cx, last_ctime), asked).await {
            Ok(applied) => applied,
            Err(StoreError::Raced) => return Ok(None),
            Err(StoreError::Replayed(outcome)) => {
                return self.rename_outcome(&outcome, request).await.map(Some);
            }
            Err(error) => return Err(error.to_fs()),
        };
        let reply = self.renamed(&applied, from_dir, to_dir);
        drop(gates);
        if !applied.value.same_inode {
            self.tell_renamed(request, &applied.value);
        }
        if let Some(victim) = &applied.value.replaced {
            self.after_unlink(victim, applied.commit);
        }
        self.names_stable(applied.commit).await?;
        Ok(Some(reply))
    }

    /// Who moves and who is replaced. Outer `None`: look again; inner `None`: the source does not exist, which the
    /// transaction shall say after it tested everything else.
    async fn rename_parties(&self, request: &Rename) -> Result<Option<Option<Parties>>, FsError> {
        let source = self.store.lookup(self.share, request.from_dir, &request.from_name).await;
        let target = self.store.lookup(self.share, request.to_dir, &request.to_name).await;
        let Some((source, _)) = source.map_err(|error| error.to_fs())? else { return Ok(Some(None)) };
        let target = target.map_err(|error| error.to_fs())?;
        let moved = match self.cells.get(source.inode).await {
            Ok(cell) => cell,
            Err(FsError::StaleHandle) => return Ok(None),
            Err(error) => return Err(error),
        };
        let replaced = match target {
            None => None,
            Some((dentry, _)) => match self.cells.get(dentry.inode).await {
                Ok(cell) => Some(cell),
                Err(FsError::StaleHandle) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        Ok(Some(Some(Parties { moved, replaced })))
    }

    /// JOURNAL §4, in every class: the file's records so far are synced, or placed where the box may be lost, before a name
    /// that they will replace goes.
    async fn stable_before_replace(&self, cx: &RequestContext, moved: &Cell) -> Result<(), FsError> {
        if self.mutations.off(Rule::DataBeforeRenameOver) {
            return Ok(());
        }
        match self.settings.class {
            DurabilityClass::Relaxed | DurabilityClass::Local => self.sync_inode(moved.inode).await?,
            DurabilityClass::Remote => {
                self.placed(moved.inode, self.journal.last_seq(moved.inode), cx.deadline).await?;
            }
        }
        self.placed_before_replace(moved.inode).await
    }

    fn renamed(&self, applied: &Applied<Renamed>, from_dir: &Cell, to_dir: &Cell) -> RenameReply {
        let done = &applied.value;
        from_dir.state.lock().take_row(&done.from_dir.post, applied.commit);
        to_dir.state.lock().take_row(&done.to_dir.post, applied.commit);
        if !done.same_inode {
            if let Some(cell) = self.cells.loaded(done.moved.post.id) {
                cell.state.lock().take_row(&done.moved.post, applied.commit);
            }
            if let Some(victim) = &done.replaced {
                self.take_unlinked(victim, applied.commit);
            }
        }
        RenameReply {
            from_dir: dir_wcc(&done.from_dir),
            to_dir: dir_wcc(&done.to_dir),
            moved: !done.same_inode,
            replaced: done.replaced.as_ref().map(|victim| victim.inode.post.id),
        }
    }

    fn tell_renamed(&self, request: &Rename, done: &Renamed) {
        let (inode, is_dir) = (done.moved.post.id, done.moved.post.is_dir());
        if let Some(victim) = &done.replaced {
            let victim = &victim.inode.post;
            self.hub.tell(|| {
                name_event(ChangeKind::Removed, victim.id, victim.is_dir(), request.to_dir, &request.to_name)
            });
        }
        self.hub.tell(|| {
            name_event(ChangeKind::RenamedFrom, inode, is_dir, request.from_dir, &request.from_name)
        });
        self.hub.tell(|| name_event(ChangeKind::RenamedTo, inode, is_dir, request.to_dir, &request.to_name));
    }

    async fn rename_outcome(
        &self,
        outcome: &ReplayOutcome,
        request: &Rename,
    ) -> Result<RenameReply, FsError> {
        self.names_stable(self.store.last_commit()).await?;
        let from_dir = self.wcc_replayed(request.from_dir, outcome.dir_pre).await?;
        let to_dir = match outcome.to_dir {
            Some((dir, pre)) => self.wcc_replayed(dir, pre).await?,
            None => from_dir.clone(),
        };
        Ok(RenameReply { from_dir, to_dir, moved: true, replaced: None })
    }
}

/// Gates of the inodes whose rows change, in id order, equal ones once.
async fn take_gates(found: &Parties) -> Vec<tokio::sync::RwLockWriteGuard<'_, ()>> {
    let mut cells: Vec<&Arc<Cell>> = vec![&found.moved];
    cells.extend(found.replaced.as_ref().filter(|cell| cell.inode != found.moved.inode));
    cells.sort_by_key(|cell| cell.inode);
    let mut gates = Vec::with_capacity(cells.len());
    for cell in cells {
        gates.push(cell.gate.write().await);
    }
    gates
}

fn newest_ctime(found: &Parties) -> Timestamp {
    let moved = found.moved.state.lock().attrs.ctime;
    found.replaced.as_ref().map_or(moved, |cell| moved.max(cell.state.lock().attrs.ctime))
}

fn rename_request(
    request: &Rename,
    found: Option<&Parties>,
    has_opens: impl Fn(InodeId) -> bool,
) -> RenameRequest {
    let replaced = found.map(|found| found.replaced.as_ref().map(|cell| cell.inode));
    RenameRequest {
        from_dir: request.from_dir,
        from_name: request.from_name.clone(),
        to_dir: request.to_dir,
        to_name: request.to_name.clone(),
        replace: match request.replace {
            RenameReplace::Never => Replace::Never,
            RenameReplace::Posix => Replace::Posix,
            RenameReplace::Windows => Replace::Windows,
        },
        expect_moved: found.map(|found| found.moved.inode),
        expect_replaced: replaced,
        keep_orphan: replaced.flatten().is_some_and(has_opens),
    }
}

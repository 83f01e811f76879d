//! Attributes: reading them, evaluating access, changing them.
//!
//! A change is split by what keeps it: mode, owner, group, DOS bits, birth time and ACL are one metadata transaction; size and
//! times of a file are journal records. Both run under the inode's gate, the metadata half first; a crash in between may
//! leave that half alone (SEAM §5).

use crate::access_checks;
use crate::cell::{Cell, CellState};
use crate::engine::{Engine, journal_error, reserve_error};
use dfs_journal::{Record, RecordMeta, Reserve};
use dfs_model::inode::mode;
use dfs_model::{
    AttrPatch, Attrs, Credentials, FsError, Guard, InodeId, InodeKind, Patch, Rights, Seq, Target, TimePatch,
    Timestamp, Wcc,
};
use dfs_store::{CommitToken, RowChange, SetAttrRequest, StoreError};
use dfs_vfs::{
    Access, AccessReply, AccessRule, ChangeEvent, ChangeKind, Changed, FILE_SIZE_MAX, Failed, GetAttr,
    Operation, RequestContext, SetAttr, VfsResult,
};
use std::borrow::BorrowMut;
use std::sync::Arc;

/// Bytes of log that the records of one request without data take, generously: its size and its times.
const SMALL_RECORDS: u64 = 256;

/// The inode of a stateless target. Opens and leases are served once a protocol with state is.
pub(crate) fn stateless(target: Target) -> Result<InodeId, FsError> {
    match target {
        Target::Inode(inode) => Ok(inode),
        Target::Open(_) | Target::Lease(_) => Err(FsError::OpenUnknown),
    }
}

/// The part of a patch that is a metadata transaction.
fn metadata_half(patch: &AttrPatch, kind: InodeKind) -> AttrPatch {
    let mut half = patch.clone();
    half.size = Patch::Keep;
    if kind == InodeKind::File {
        half.atime = TimePatch::Keep;
        half.mtime = TimePatch::Keep;
    }
    half
}

/// The operations that a patch is.
fn operations(patch: &AttrPatch) -> [Option<Operation>; 3] {
    let rest = AttrPatch { size: Patch::Keep, acl: Patch::Keep, ..patch.clone() };
    [
        (!patch.size.is_keep()).then_some(Operation::Write),
        (!patch.acl.is_keep()).then_some(Operation::SetAcl),
        (!rest.is_empty()).then_some(Operation::SetAttr),
    ]
}

/// Set-id bits that a record cleared and the row still has stay cleared: an explicit change of the mode is newer than the
/// record, so it must say so itself where it would not touch them.
fn keep_cleared(patch: &mut AttrPatch, shown: u16, stored: u16) {
    const SET_ID: u16 = mode::SUID | mode::SGID;
    if shown & SET_ID == stored & SET_ID || (patch.mode.is_keep() && patch.acl.is_keep()) {
        return;
    }
    let new = patch.mode.as_set().copied();
    let mask = new.map_or(0, |_| patch.mode_mask.unwrap_or(mode::ALL));
    let kept = SET_ID & !mask;
    patch.mode = Patch::Set((new.unwrap_or(0) & mask) | (shown & kept));
    patch.mode_mask = Some(mask | kept);
}

fn explicit_time(patch: TimePatch) -> bool {
    matches!(patch, TimePatch::Set(_))
}

impl Engine {
    pub(crate) async fn do_get_attr(&self, request: GetAttr) -> VfsResult<Attrs> {
        let cell = self.cells.get(stateless(request.target)?).await?;
        let state = cell.state.lock();
        if state.gone { Err(FsError::StaleHandle.into()) } else { Ok(state.attrs.clone()) }
    }

    pub(crate) async fn do_access(&self, cx: &RequestContext, request: Access) -> VfsResult<AccessReply> {
        let cell = self.cells.get(stateless(request.target)?).await?;
        let state = cell.state.lock();
        if state.gone {
            return Err(FsError::StaleHandle.into());
        }
        let granted = Rights(self.rights_of(&state, &cx.credentials).0 & request.rights.0);
        Ok(AccessReply { granted, decided: request.rights, attrs: state.attrs.clone() })
    }

    /// What a caller may do to an inode on this share as it is set up.
    pub(crate) fn rights_of(&self, state: &CellState, who: &Credentials) -> Rights {
        let rules = self.rules();
        let mut useless = rules.blocked.rights(state.row.is_dir()).0;
        if rules.read_only || state.row.id.is_past() {
            useless |= Rights::MUTATING.0;
        }
        Rights(access_checks::granted(state, who).0 & !useless)
    }

    pub(crate) async fn do_set_attr(&self, cx: &RequestContext, request: SetAttr) -> VfsResult<Changed> {
        let inode = stateless(request.target)?;
        match self.set_attr_inner(cx, inode, &request).await {
            Ok(wcc) => Ok(Changed { wcc }),
            Err(error) => Err(self.failed(error, inode).await),
        }
    }

    async fn set_attr_inner(
        &self,
        cx: &RequestContext,
        inode: InodeId,
        request: &SetAttr,
    ) -> Result<Wcc, FsError> {
        self.check_writable()?;
        operations(&request.patch).into_iter().flatten().try_for_each(|part| self.check_blocked(part))?;
        let cell = self.cells.get(inode).await?;
        let kind = cell.state.lock().attrs.kind;
        let size = request.patch.size.as_set().copied();
        if size.is_some() {
            access_checks::must_be_file(&cell.state.lock().attrs)?;
        }
        if size.is_some_and(|size| size > FILE_SIZE_MAX) {
            return Err(FsError::TooLarge);
        }
        let _claim = match size {
            Some(size) => Some(self.admit_truncate(cx, &cell, size).await?),
            None => Some(self.admit_attr_change(cx, &cell).await?),
        };
        let (wcc, seq, commit) = match kind {
            InodeKind::File => self.set_file_attr(cx, &cell, request).await?,
            _ => self.set_other_attr(cx, &cell, request).await?,
        };
        self.hub.tell(|| attr_event(inode, kind, size.is_some()));
        if let Some(commit) = commit {
            self.names_stable(commit).await?;
        }
        // A guarded one that is sent again would be refused by what it did itself: it waits to its end.
        let deadline = if request.guard == Guard::None { cx.deadline } else { None };
        self.data_stable(&cell, seq, deadline).await?;
        Ok(wcc)
    }

    /// Directories, links and special files: one transaction, the guard tested inside.
    async fn set_other_attr(
        &self,
        cx: &RequestContext,
        cell: &Cell,
        request: &SetAttr,
    ) -> Result<(Wcc, Option<Seq>, Option<CommitToken>), FsError> {
        let _gate = cell.gate.write().await;
        let asked = SetAttrRequest {
            inode: cell.inode,
            patch: metadata_half(&request.patch, InodeKind::Directory),
            guard: request.guard,
        };
        let before = cell.state.lock().attrs.clone();
        let (commit, change) = self.set_row(cx, cell, asked, before.ctime).await?;
        let wcc = match change {
            Some(change) => Wcc { pre: Attrs::of(&change.pre).pre(), post: Attrs::of(&change.post) },
            None => Wcc::unchanged(before),
        };
        Ok((wcc, None, Some(commit)))
    }

    /// The metadata half of a change, shown in the cell. One that was made already, by an earlier sending of the same
    /// request, is not made again. Call it under the inode's gate.
    pub(crate) async fn set_row(
        &self,
        cx: &RequestContext,
        cell: &Cell,
        mut asked: SetAttrRequest,
        last_ctime: Timestamp,
    ) -> Result<(CommitToken, Option<RowChange>), FsError> {
        {
            let state = cell.state.lock();
            self.check_quota_move(&state.row, &asked.patch)?;
            keep_cleared(&mut asked.patch, state.attrs.mode, state.row.mode);
        }
        match self.store.set_attr(self.op_context(cx, last_ctime), asked).await {
            Ok(applied) => {
                self.note_quota_move(&applied.value);
                cell.state.lock().take_row(&applied.value.post, applied.commit);
                Ok((applied.commit, Some(applied.value)))
            }
            Err(StoreError::Replayed(_)) => Ok((self.store.last_commit(), None)),
            Err(error) => Err(error.to_fs()),
        }
    }

    /// Whether this very request was answered before a restart: its guard held then and must not be tested again.
    async fn was_set(&self, cx: &RequestContext, guard: Guard) -> Result<bool, FsError> {
        match (&cx.replay, guard) {
            (_, Guard::None) | (None, _) => Ok(false),
            (Some(key), _) => {
                let known = self.store.replayed(self.share, key).await.map_err(|error| error.to_fs())?;
                Ok(known.is_some())
            }
        }
    }

    async fn set_file_attr(
        &self,
        cx: &RequestContext,
        cell: &Arc<Cell>,
        request: &SetAttr,
    ) -> Result<(Wcc, Option<Seq>, Option<CommitToken>), FsError> {
        let patch = &request.patch;
        let times = !patch.atime.is_keep() || !patch.mtime.is_keep();
        let size = patch.size.as_set().copied();
        // One reservation for both records: who holds one and asks for another may wait for itself.
        let room = if size.is_some() || times { Some(self.reserve_small(cx).await?) } else { None };
        let half = metadata_half(patch, InodeKind::File);
        let repeated = self.was_set(cx, request.guard).await?;
        let _gate = cell.gate.write().await;
        let pre = {
            let state = cell.state.lock();
            if state.gone {
                return Err(FsError::StaleHandle);
            }
            if !repeated {
                check_guard(&state.attrs, request.guard)?;
            }
            if size.is_some() {
                access_checks::may_write(&state, &cx.credentials, request.rule)?;
            }
            if times {
                let explicit = explicit_time(patch.atime) || explicit_time(patch.mtime);
                let allowed = access_checks::may_set_times(&state, &cx.credentials, explicit);
                // Who may not even set the times may not set mode or owner, which is tested first (POSIX order).
                allowed.map_err(|error| if half.is_empty() { error } else { FsError::NotPermitted })?;
            }
            state.attrs.clone()
        };
        let mut commit = None;
        if !half.is_empty() {
            let asked = SetAttrRequest { inode: cell.inode, patch: half, guard: Guard::None };
            commit = Some(self.set_row(cx, cell, asked, pre.ctime).await?.0);
        }
        let room = if self.without_records(cell, patch).await? { None } else { room };
        let mut seq = None;
        let mut state = cell.state.lock();
        let now = self.clock.wall();
        let ctime = now.after(pre.ctime).max(state.attrs.ctime);
        if let Some(mut room) = room {
            if let Some(size) = size {
                let clear = access_checks::clears_privilege_bits(&state.attrs, &cx.credentials);
                let record = Record::SetSize { size, mtime: Some(now) };
                seq = Some(self.append(&mut state, &mut room, record, ctime, clear)?);
            }
            if times {
                let record =
                    Record::SetTimes { atime: patch.atime.resolve(now), mtime: patch.mtime.resolve(now) };
                seq = Some(self.append(&mut state, &mut room, record, ctime, false)?);
            }
        }
        Ok((Wcc { pre: pre.pre(), post: state.attrs.clone() }, seq, commit))
    }

    /// Sets a file's size on behalf of another operation (create on an existing name). Answers the record's number, `None`
    /// when the size was right already and nothing needs to change.
    pub(crate) async fn set_size(
        &self,
        cx: &RequestContext,
        cell: &Arc<Cell>,
        size: u64,
        rule: AccessRule,
    ) -> Result<Option<Seq>, FsError> {
        if size > FILE_SIZE_MAX {
            return Err(FsError::TooLarge);
        }
        let _claim = self.admit_truncate(cx, cell, size).await?;
        let room = self.reserve_small(cx).await?;
        let _gate = cell.gate.read().await;
        let mut state = cell.state.lock();
        if state.gone {
            return Err(FsError::StaleHandle);
        }
        access_checks::must_be_file(&state.attrs)?;
        access_checks::may_write(&state, &cx.credentials, rule)?;
        let now = self.clock.wall();
        let ctime = now.after(state.attrs.ctime);
        let clear = access_checks::clears_privilege_bits(&state.attrs, &cx.credentials);
        self.append(&mut state, room, Record::SetSize { size, mtime: Some(now) }, ctime, clear).map(Some)
    }

    pub(crate) async fn reserve_small(
        &self,
        cx: &RequestContext,
    ) -> Result<dfs_journal::Reservation, FsError> {
        let reserved =
            self.journal.reserve(&cx.actor.client, SMALL_RECORDS, Reserve::Control, cx.deadline).await;
        reserved.map_err(|error| reserve_error(&error))
    }

    /// Appends one record under the inode's section and shows its effect. `ctime` is at least the inode's.
    pub(crate) fn append(
        &self,
        state: &mut CellState,
        room: impl BorrowMut<dfs_journal::Reservation>,
        record: Record,
        ctime: Timestamp,
        clear_suid: bool,
    ) -> Result<Seq, FsError> {
        let data = !matches!(record, Record::SetTimes { .. });
        let meta = RecordMeta { ctime, change: self.changes.take(), clear_suid, set_archive: data };
        let charge = self.charge_record(state, &record)?;
        let appended = match self.journal.append(room, &state.row, meta, record) {
            Ok(appended) => appended,
            Err(error) => {
                self.uncharge_record(state, charge);
                return Err(journal_error(&error));
            }
        };
        self.record_landed(state, appended.seq);
        state.show_overlay(&appended.attrs);
        Ok(appended.seq)
    }
}

impl CellState {
    /// Shows what the journal says of the inode after an append.
    pub fn show_overlay(&mut self, over: &dfs_journal::OverlayAttrs) {
        let attrs = &mut self.attrs;
        attrs.size = over.size;
        attrs.allocated = over.allocated_estimate;
        attrs.atime = over.atime.unwrap_or(attrs.atime);
        attrs.mtime = over.mtime.unwrap_or(attrs.mtime);
        attrs.ctime = attrs.ctime.max(over.ctime);
        attrs.change = attrs.change.max(over.change);
        if over.clear_suid.is_some_and(|change| change > self.row.mode_change) {
            attrs.mode = crate::merge::without_privilege_bits(attrs.mode);
        }
        if over.set_archive.is_some_and(|change| change > self.row.dos_change) {
            attrs.dos |= dfs_model::inode::dos::ARCHIVE;
        }
    }
}

pub(crate) fn attr_event(inode: InodeId, kind: InodeKind, sized: bool) -> ChangeEvent {
    let change = if sized { ChangeKind::Size } else { ChangeKind::Attributes };
    ChangeEvent { kind: change, inode, is_dir: kind == InodeKind::Directory, dir: None, name: None }
}

/// Tests a guard against what the client was shown: the clamped, encoded value (SEAM §3.3).
fn check_guard(attrs: &Attrs, guard: Guard) -> Result<(), FsError> {
    let holds = match guard {
        Guard::None => true,
        Guard::Change(change) => attrs.change == change,
        Guard::CtimeAs3(secs, nanos) => attrs.ctime.as_nfs3() == (secs, nanos),
    };
    if holds { Ok(()) } else { Err(FsError::GuardMismatch) }
}

/// A refusal that shows the inode as it is.
pub(crate) fn refused(error: FsError, state: &CellState) -> Failed {
    Failed::with(error, Some(Wcc::unchanged(state.attrs.clone())))
}

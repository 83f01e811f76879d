//! Clones of files: one transaction gives the target the source's extents; no byte is read (JOURNAL P5).
//!
//! ```text
//!  drain both ─ close both gates (ids in order) ─ drain the rest ─ a number of its own ─ clone_file ─ durable ─ open the gates
//! ```
//! With the gates closed neither file has a record that is not placed, so the rows are the files. The target takes a number
//! of the journal that was never issued before, so that nobody mistakes what was read or planned before the clone for what
//! is there after it; the record that carries it repeats the file's access time and may be lost or come back. The gates stay
//! closed until the transaction is durable: a record over a clone that a power cut takes would make a file that never was.
//! A crash or a cancel leaves the old target or the new one.

use crate::access_checks;
use crate::attributes::stateless;
use crate::cell::{Cell, CellState};
use crate::engine::{Engine, journal_error};
use dfs_journal::{Record, RecordMeta};
use dfs_log::Rule;
use dfs_model::{Attrs, ByteRange, FsError, InodeId, Seq, Wcc};
use dfs_stack::FlushScope;
use dfs_store::{Applied, ClonePart, CloneRequest, Cloned, StoreError};
use dfs_vfs::{
    AccessRule, ChangeEvent, ChangeKind, CopyHow, CopyRange, CopyReply, FILE_SIZE_MAX, Failed, Operation,
    RequestContext, VfsResult,
};
use std::sync::Arc;
use std::time::Duration;

/// How long the gates stay closed for what was written since the first drain; writers wait meanwhile.
const CLOSED_MAX: Duration = Duration::from_secs(2);
/// How long a caller without a deadline waits for a drain.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tries before a caller whose files are written all the time is told to come again.
const ROUNDS_MAX: usize = 16;

/// Source and target.
struct Pair {
    from: Arc<Cell>,
    to: Arc<Cell>,
}

impl Engine {
    pub(crate) async fn do_copy(&self, cx: &RequestContext, request: CopyRange) -> VfsResult<CopyReply> {
        let (from, to) = (stateless(request.from)?, stateless(request.to)?);
        match self.copy_inner(cx, from, to, &request).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(Failed::with_two(error, self.wcc_now(from).await, self.wcc_now(to).await)),
        }
    }

    async fn copy_inner(
        &self,
        cx: &RequestContext,
        from: InodeId,
        to: InodeId,
        request: &CopyRange,
    ) -> Result<CopyReply, FsError> {
        let whole = match request.how {
            CopyHow::Copy => return Err(FsError::NotSupported),
            CopyHow::Clone => false,
            CopyHow::Replace => true,
        };
        if whole && (from == to || request.from_offset != 0 || request.to_offset != 0 || request.len != 0) {
            return Err(FsError::InvalidArgument);
        }
        self.check_change(Operation::Write)?;
        self.check_blocked(Operation::Read)?;
        let pair = Pair { from: self.cells.get(from).await?, to: self.cells.get(to).await? };
        check_files(cx, &pair)?;
        let read = claimed(request.from_offset, if whole { 0 } else { request.len })?;
        let written = claimed(request.to_offset, if whole { 0 } else { request.len })?;
        let _source = self.admit_read(cx, &pair.from, read).await?;
        let _target = self.admit_write(cx, &pair.to, written).await?;
        for _ in 0..ROUNDS_MAX {
            self.drain_both(cx, &pair).await?;
            if let Some(reply) = self.clone_closed(cx, &pair, request, whole).await? {
                self.hub.tell(|| data_event(to));
                return Ok(reply);
            }
        }
        Err(FsError::delay())
    }

    /// Waits until what was written to both is placed.
    async fn drain_both(&self, cx: &RequestContext, pair: &Pair) -> Result<(), FsError> {
        if self.mutations.off(Rule::CloneDrains) {
            return Ok(());
        }
        let deadline = cx.deadline.unwrap_or_else(|| self.clock.monotonic().plus(PATIENCE));
        for inode in [pair.from.inode, pair.to.inode] {
            self.flush_inode(inode, Some(deadline)).await?;
        }
        Ok(())
    }

    /// One try with both gates closed; `None` where too much was written meanwhile.
    async fn clone_closed(
        &self,
        cx: &RequestContext,
        pair: &Pair,
        request: &CopyRange,
        whole: bool,
    ) -> Result<Option<CopyReply>, FsError> {
        // Journal room is the last wait: taken before the gates are closed.
        let room = self.reserve_small(cx).await?;
        let (low, high) = match pair.from.inode <= pair.to.inode {
            true => (&pair.from, &pair.to),
            false => (&pair.to, &pair.from),
        };
        let _low = low.gate.write().await;
        let _high = if low.inode == high.inode { None } else { Some(high.gate.write().await) };
        if !self.drained(pair).await {
            return Ok(None);
        }
        check_files(cx, pair)?;
        let source = pair.from.state.lock().attrs.clone();
        let part = if whole { None } else { Some(part_of(request, &source)?) };
        if part.is_some_and(|part| part.len == 0) {
            return Ok(Some(self.nothing_cloned(pair)));
        }
        let (asked, pre, charged) = {
            let mut state = pair.to.state.lock();
            let clear_suid = access_checks::clears_privilege_bits(&state.attrs, &cx.credentials);
            let grown = match part {
                None => source.allocated,
                Some(part) => state.attrs.allocated.saturating_add(part.len),
            };
            let charged = self.charge_clone(&state, grown)?;
            let drained = self.drained_seqs(pair, &state);
            self.number_of_its_own(&mut state, room)?;
            let asked = CloneRequest { from: pair.from.inode, to: pair.to.inode, part, drained, clear_suid };
            (asked, state.attrs.pre(), charged)
        };
        let newest = source.ctime.max(pre.ctime);
        let applied = match self.store.clone_file(self.op_context(cx, newest), asked).await {
            Ok(applied) => applied,
            Err(error) => {
                self.uncharge_record(&pair.to.state.lock(), charged);
                return match error {
                    StoreError::Raced => Ok(None),
                    other => Err(other.to_fs()),
                };
            }
        };
        let post = self.show_clone(pair, &applied);
        if !self.mutations.off(Rule::CloneDurableFirst) {
            self.store.durable(applied.commit).await.map_err(|error| error.to_fs())?;
        }
        Ok(Some(CopyReply {
            copied: applied.value.len,
            wcc: Wcc { pre, post },
            verifier: self.write_verifier(),
            resume: None,
        }))
    }

    /// Whether neither file has a record that is not placed; waits a moment for the rest.
    async fn drained(&self, pair: &Pair) -> bool {
        if self.mutations.off(Rule::CloneDrains) {
            return true;
        }
        for inode in [pair.from.inode, pair.to.inode] {
            let flushed = tokio::time::timeout(CLOSED_MAX, self.stack.flush(FlushScope::Inode(inode))).await;
            if !matches!(flushed, Ok(Ok(()))) || self.journal.last_seq(inode).is_some() {
                return false;
            }
        }
        true
    }

    /// What the rows must say, drained as they are. A cell's row is at least as new as what `placed` brought.
    fn drained_seqs(&self, pair: &Pair, target: &CellState) -> [Option<Seq>; 2] {
        if self.mutations.off(Rule::CloneDrains) {
            return [None, None];
        }
        let to = target.row.flushed_seq;
        let from = if pair.from.inode == pair.to.inode { to } else { pair.from.state.lock().row.flushed_seq };
        [Some(from), Some(to)]
    }

    /// Issues a number of the journal that the target alone has, above all that was read or planned of it. Nobody sees the
    /// record between: the section is held.
    fn number_of_its_own(
        &self,
        state: &mut CellState,
        room: dfs_journal::Reservation,
    ) -> Result<(), FsError> {
        let attrs = &state.attrs;
        let record = Record::SetTimes { atime: Some(attrs.atime), mtime: None };
        let meta =
            RecordMeta { ctime: attrs.ctime, change: attrs.change, clear_suid: false, set_archive: false };
        let appended = self.journal.append(room, &state.row, meta, record);
        let seq = appended.map_err(|error| journal_error(&error))?.seq;
        if !self.mutations.off(Rule::CloneDrains) {
            self.journal.placed(state.row.id, seq);
        }
        Ok(())
    }

    /// Shows the target as the clone made it; answers its attributes. Call it with the gates closed.
    fn show_clone(&self, pair: &Pair, applied: &Applied<Cloned>) -> Attrs {
        let row = &applied.value.to.post;
        self.stack.note_removed(pair.to.inode);
        if let Some(book) = &self.quotas {
            book.placed(row);
        }
        let mut state = pair.to.state.lock();
        state.take_clone(row, applied.commit);
        state.attrs.clone()
    }

    fn nothing_cloned(&self, pair: &Pair) -> CopyReply {
        let wcc = Wcc::unchanged(pair.to.state.lock().attrs.clone());
        CopyReply { copied: 0, wcc, verifier: self.write_verifier(), resume: None }
    }
}

/// Both are files that are there, the source readable and the target writable for the caller.
fn check_files(cx: &RequestContext, pair: &Pair) -> Result<(), FsError> {
    {
        let state = pair.from.state.lock();
        access_checks::must_be_file(&state.attrs)?;
        if state.gone {
            return Err(FsError::StaleHandle);
        }
        access_checks::may_read(&state, &cx.credentials, AccessRule::Stateless)?;
    }
    let state = pair.to.state.lock();
    access_checks::must_be_file(&state.attrs)?;
    if state.gone {
        return Err(FsError::StaleHandle);
    }
    access_checks::may_write(&state, &cx.credentials, AccessRule::Stateless)
}

/// The range that is claimed; a length of 0 is to the end of the largest file.
fn claimed(offset: u64, len: u64) -> Result<ByteRange, FsError> {
    let len = if len == 0 { FILE_SIZE_MAX.saturating_sub(offset) } else { len };
    let end = offset.checked_add(len).filter(|end| *end <= FILE_SIZE_MAX);
    end.and_then(|_| ByteRange::from_len(offset, len)).ok_or(FsError::InvalidArgument)
}

/// The part that is asked for: a length of 0 is to the source's end (RFC 7862 §15.13). *Errors:* `InvalidArgument` beyond it.
fn part_of(request: &CopyRange, source: &Attrs) -> Result<ClonePart, FsError> {
    let left = source.size.checked_sub(request.from_offset).ok_or(FsError::InvalidArgument)?;
    let len = if request.len == 0 { left } else { request.len };
    if len > left {
        return Err(FsError::InvalidArgument);
    }
    Ok(ClonePart { from_offset: request.from_offset, to_offset: request.to_offset, len })
}

fn data_event(inode: InodeId) -> ChangeEvent {
    ChangeEvent { kind: ChangeKind::Data, inode, is_dir: false, dir: None, name: None }
}

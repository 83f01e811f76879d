//! Bytes: read, write, commit.

use crate::access_checks;
use crate::attributes::{refused, stateless};
use crate::cell::Cell;
use crate::engine::{Engine, journal_error, reserve_error};
use dfs_journal::{Record, Reserve};
use dfs_model::{ByteRange, FsError, InodeId, InodeKind, Monotonic, Seq, Wcc};
use dfs_stack::StackReadError;
use dfs_vfs::{
    ChangeEvent, ChangeKind, Commit, CommitReply, FILE_SIZE_MAX, Failed, Operation, Read, ReadReply,
    RequestContext, Stability, VfsResult, Write, WriteAt, WriteReply,
};
use std::sync::Arc;

/// Largest payload of one read or write that is advertised, in bytes.
pub(crate) const IO_MAX: u32 = 1 << 20;
/// A stable write up to this size may use the journal's last part, so that COMMIT-bound clients go on at high occupancy.
const SMALL_STABLE: usize = 64 * 1024;
/// How often a read plans again because the file moved on under it before it gives up.
const REPLANS_MAX: usize = 1000;

impl Engine {
    pub(crate) async fn do_read(&self, cx: &RequestContext, request: Read) -> VfsResult<ReadReply> {
        let inode = stateless(request.target)?;
        let cell = self.cells.get(inode).await?;
        {
            let state = cell.state.lock();
            let checked = self
                .check_blocked(Operation::Read)
                .and_then(|()| access_checks::must_be_file(&state.attrs))
                .and_then(|()| access_checks::may_read(&state, &cx.credentials, request.rule));
            if let Err(error) = checked {
                return Err(refused(error, &state));
            }
        }
        let range =
            ByteRange::from_len(request.offset, u64::from(request.len)).ok_or(FsError::InvalidArgument)?;
        let _claim = match self.admit_read(cx, &cell, range).await {
            Ok(claim) => claim,
            Err(error) => return Err(self.failed(error, inode).await),
        };
        self.read_planned(cx, &cell, &request).await
    }

    async fn read_planned(
        &self,
        cx: &RequestContext,
        cell: &Arc<Cell>,
        request: &Read,
    ) -> VfsResult<ReadReply> {
        for _ in 0..REPLANS_MAX {
            let (attrs, plan, len) = {
                let mut state = cell.state.lock();
                if state.gone {
                    return Err(FsError::StaleHandle.into());
                }
                self.note_access(cell, &mut state, request.len);
                let left = state.attrs.size.saturating_sub(request.offset);
                let len = left.min(u64::from(request.len));
                (state.attrs.clone(), self.journal.read_plan(cell.inode, request.offset, len), len)
            };
            let eof = request.offset.saturating_add(len) >= attrs.size;
            if len == 0 {
                return Ok(ReadReply { data: Vec::new(), len: 0, eof, attrs });
            }
            let read = self
                .stack
                .read(cell.inode, plan, request.offset, len, &cx.activity, &cx.actor.client, cx.deadline)
                .await;
            let error = match read {
                Ok(data) => return Ok(ReadReply { data, len: len as usize, eof, attrs }),
                Err(StackReadError::Moved) => continue,
                Err(error) => error.to_fs(),
            };
            return Err(Failed::with(error, Some(Wcc::unchanged(attrs))));
        }
        Err(Failed::from(FsError::delay()))
    }

    pub(crate) async fn do_write(&self, cx: &RequestContext, request: Write) -> VfsResult<WriteReply> {
        let inode = stateless(request.target)?;
        match self.write_inner(cx, inode, request).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.failed(error, inode).await),
        }
    }

    async fn write_inner(
        &self,
        cx: &RequestContext,
        inode: InodeId,
        request: Write,
    ) -> Result<WriteReply, FsError> {
        self.check_change(Operation::Write)?;
        let cell = self.cells.get(inode).await?;
        let count = request.payload.len() as u64;
        let range = {
            let state = cell.state.lock();
            access_checks::must_be_file(&state.attrs)?;
            access_checks::may_write(&state, &cx.credentials, request.rule)?;
            write_range(&state.attrs, request.at, count)?
        };
        if count == 0 {
            return Ok(self.wrote_nothing(&cell, request.stability));
        }
        let _claim = self.admit_write(cx, &cell, range).await?;
        let stable = request.stability != Stability::Unstable;
        let kind = if stable && request.payload.len() <= SMALL_STABLE {
            Reserve::SmallCommit
        } else {
            Reserve::Data
        };
        let reserved = self.journal.reserve(&cx.actor.client, count, kind, cx.deadline).await;
        let room = reserved.map_err(|error| reserve_error(&error))?;
        let (wcc, seq) = {
            let _gate = cell.gate.read().await;
            let mut state = cell.state.lock();
            if state.gone {
                return Err(FsError::StaleHandle);
            }
            access_checks::may_write(&state, &cx.credentials, request.rule)?;
            write_range(&state.attrs, request.at, count)?;
            let pre = state.attrs.pre();
            let offset = match request.at {
                WriteAt::Offset(offset) => offset,
                WriteAt::Append => state.attrs.size,
            };
            let now = self.clock.wall();
            let clear = access_checks::clears_privilege_bits(&state.attrs, &cx.credentials);
            let record = Record::Write { offset, mtime: now, data: request.payload };
            let ctime = now.after(state.attrs.ctime);
            let seq = self.append(&mut state, room, record, ctime, clear)?;
            (Wcc { pre, post: state.attrs.clone() }, seq)
        };
        self.hub.tell(|| data_event(inode));
        let stability = if stable { Stability::FileSync } else { Stability::Unstable };
        if stable {
            self.data_stable(&cell, Some(seq), cx.deadline).await?;
        }
        Ok(WriteReply { count: count as u32, stability, verifier: self.write_verifier(), wcc })
    }

    fn wrote_nothing(&self, cell: &Cell, asked: Stability) -> WriteReply {
        let attrs = cell.state.lock().attrs.clone();
        WriteReply { count: 0, stability: asked, verifier: self.write_verifier(), wcc: Wcc::unchanged(attrs) }
    }

    pub(crate) async fn do_commit(&self, cx: &RequestContext, request: Commit) -> VfsResult<CommitReply> {
        let inode = stateless(request.target)?;
        let cell = self.cells.get(inode).await?;
        let wcc = {
            let state = cell.state.lock();
            let wcc = Wcc::unchanged(state.attrs.clone());
            let checked = match state.attrs.kind {
                InodeKind::File => {
                    access_checks::may_write(&state, &cx.credentials, dfs_vfs::AccessRule::ByOpen)
                }
                _ => Err(FsError::InvalidArgument),
            };
            if let Err(error) = checked {
                return Err(Failed::with(error, Some(wcc)));
            }
            wcc
        };
        match self.commit_inode(&cell, cx.deadline).await {
            Ok(()) => Ok(CommitReply { verifier: self.write_verifier(), wcc }),
            Err(error) => Err(Failed::with(error, Some(wcc))),
        }
    }

    /// Makes everything appended to an inode so far stable as the class says. The journal's last number of the inode may be
    /// unknown because everything is placed already; then only its creation must be durable.
    async fn commit_inode(&self, cell: &Cell, deadline: Option<Monotonic>) -> Result<(), FsError> {
        let last: Option<Seq> = self.journal.last_seq(cell.inode);
        self.data_stable(cell, last, deadline).await
    }

    /// Syncs an inode in every class: somebody is about to rely on its bytes.
    pub(crate) async fn sync_inode(&self, inode: InodeId) -> Result<(), FsError> {
        self.journal.sync_inode(inode).await.map_err(|error| journal_error(&error))
    }
}

fn write_range(attrs: &dfs_model::Attrs, at: WriteAt, count: u64) -> Result<ByteRange, FsError> {
    let offset = match at {
        WriteAt::Offset(offset) => offset,
        WriteAt::Append => attrs.size,
    };
    let end = offset.checked_add(count).ok_or(FsError::TooLarge)?;
    if end > FILE_SIZE_MAX {
        return Err(FsError::TooLarge);
    }
    ByteRange::from_len(offset, count).ok_or(FsError::TooLarge)
}

fn data_event(inode: InodeId) -> ChangeEvent {
    ChangeEvent { kind: ChangeKind::Data, inode, is_dir: false, dir: None, name: None }
}

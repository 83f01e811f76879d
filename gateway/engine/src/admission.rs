//! Admission: every read, write, truncation, attribute change and name operation is a claim in the one table (SEAM §2),
//! held from here to the reply. With nothing held on the inode it costs one atomic addition.
//!
//! Waiting happens here, before journal room and section, until the request's deadline, and holds nothing but the ticket.

use crate::cell::Cell;
use crate::engine::Engine;
use dfs_locks::{
    Admission, AttrAsk, Fast, FastGuard, Grant, InFlight, IoAsk, IoKind, NameAsk, NamePart, NameRole,
    Request, StreamId, Summary,
};
use dfs_model::{ByteRange, ClientRef, FsError, InodeId};
use dfs_vfs::RequestContext;
use std::sync::Arc;

/// A claim that ends when it is dropped.
pub(crate) enum Admitted {
    /// Nothing held could matter.
    Fast { _guard: FastGuard<Arc<Summary>> },
    /// Two inodes, likewise.
    FastPair { _guards: [FastGuard<Arc<Summary>>; 2] },
    /// In the table.
    Table { _flight: InFlight },
    /// Nothing is held: no byte is touched.
    Nothing,
}

/// Whether the caller's protocol has no state of its own in the table, so that the summary word decides for it.
fn is_stateless(cx: &RequestContext) -> bool {
    let client = matches!(cx.actor.client, ClientRef::Nfs3Host { .. } | ClientRef::Anonymous);
    client && cx.actor.open.is_none() && cx.actor.lock_owner.is_none()
}

impl Engine {
    pub(crate) async fn admit_read(
        &self,
        cx: &RequestContext,
        cell: &Cell,
        range: ByteRange,
    ) -> Result<Admitted, FsError> {
        self.admit_io(cx, cell, Fast::Read, IoKind::Read, range).await
    }

    pub(crate) async fn admit_write(
        &self,
        cx: &RequestContext,
        cell: &Cell,
        range: ByteRange,
    ) -> Result<Admitted, FsError> {
        self.admit_io(cx, cell, Fast::Write, IoKind::Write, range).await
    }

    /// A change of size is a write on the bytes that come or go; one that changes nothing is on the place alone.
    pub(crate) async fn admit_truncate(
        &self,
        cx: &RequestContext,
        cell: &Cell,
        size: u64,
    ) -> Result<Admitted, FsError> {
        let old = cell.state.lock().attrs.size;
        let (low, high) = (old.min(size), old.max(size));
        let range = ByteRange::from_len(low, (high - low).max(1)).ok_or(FsError::TooLarge)?;
        self.admit_io(cx, cell, Fast::Write, IoKind::Write, range).await
    }

    async fn admit_io(
        &self,
        cx: &RequestContext,
        cell: &Cell,
        fast: Fast,
        kind: IoKind,
        range: ByteRange,
    ) -> Result<Admitted, FsError> {
        if range.is_empty() {
            return Ok(Admitted::Nothing);
        }
        if let Some(guard) = self.enter(cx, cell, fast) {
            return Ok(Admitted::Fast { _guard: guard });
        }
        let ask = IoAsk { actor: cx.actor.clone(), inode: cell.inode, stream: StreamId::MAIN, kind, range };
        self.admit_slowly(cx, Request::Io(ask)).await
    }

    /// Attributes other than size change.
    pub(crate) async fn admit_attr_change(
        &self,
        cx: &RequestContext,
        cell: &Cell,
    ) -> Result<Admitted, FsError> {
        if let Some(guard) = self.enter(cx, cell, Fast::SetAttr) {
            return Ok(Admitted::Fast { _guard: guard });
        }
        let ask = AttrAsk { actor: cx.actor.clone(), inode: cell.inode, set: true, question: None };
        self.admit_slowly(cx, Request::Attr(ask)).await
    }

    /// A name enters a directory.
    pub(crate) async fn admit_entry_change(
        &self,
        cx: &RequestContext,
        dir: &Cell,
    ) -> Result<Admitted, FsError> {
        if let Some(guard) = self.enter(cx, dir, Fast::Entries) {
            return Ok(Admitted::Fast { _guard: guard });
        }
        self.admit_names(cx, vec![NamePart { inode: dir.inode, role: NameRole::Entries }]).await
    }

    /// A name leaves a directory or is replaced.
    pub(crate) async fn admit_unlink(
        &self,
        cx: &RequestContext,
        victim: &Cell,
        dir: &Cell,
    ) -> Result<Admitted, FsError> {
        if let (Some(one), Some(two)) =
            (self.enter(cx, victim, Fast::Victim), self.enter(cx, dir, Fast::Entries))
        {
            return Ok(Admitted::FastPair { _guards: [one, two] });
        }
        let parts = vec![
            NamePart { inode: victim.inode, role: NameRole::Victim },
            NamePart { inode: dir.inode, role: NameRole::Entries },
        ];
        self.admit_names(cx, parts).await
    }

    /// A name moves. A directory takes every handle lease below it along, which only the table knows.
    pub(crate) async fn admit_rename(
        &self,
        cx: &RequestContext,
        moved: &Cell,
        from_dir: &Cell,
        to_dir: &Cell,
    ) -> Result<[Admitted; 2], FsError> {
        let is_dir = moved.state.lock().row.is_dir();
        let leaving = if is_dir {
            let parts = vec![
                NamePart { inode: moved.inode, role: NameRole::MovedDirectory { posix: false } },
                NamePart { inode: from_dir.inode, role: NameRole::Entries },
            ];
            self.admit_names(cx, parts).await?
        } else {
            self.admit_unlink(cx, moved, from_dir).await?
        };
        let entering = if to_dir.inode == from_dir.inode {
            Admitted::Nothing
        } else {
            self.admit_entry_change(cx, to_dir).await?
        };
        Ok([leaving, entering])
    }

    fn enter(&self, cx: &RequestContext, cell: &Cell, fast: Fast) -> Option<FastGuard<Arc<Summary>>> {
        if is_stateless(cx) { Summary::enter(cell.summary.clone(), fast).ok() } else { None }
    }

    async fn admit_names(&self, cx: &RequestContext, parts: Vec<NamePart>) -> Result<Admitted, FsError> {
        self.admit_slowly(cx, Request::Name(NameAsk { actor: cx.actor.clone(), parts })).await
    }

    /// Asks the table and waits for leases to be broken and the like, until the deadline.
    async fn admit_slowly(&self, cx: &RequestContext, request: Request) -> Result<Admitted, FsError> {
        let mut answer = self.claims.admit(request, self.clock.monotonic());
        loop {
            let mut ticket = match answer {
                Admission::Granted(Grant::InFlight(flight)) => {
                    return Ok(Admitted::Table { _flight: flight });
                }
                Admission::Granted(_) => return Ok(Admitted::Nothing),
                Admission::Refused(error) => return Err(error),
                Admission::Wait(ticket) => ticket,
            };
            if cx.cancel.is_cancelled() {
                return Err(FsError::Cancelled);
            }
            match cx.deadline {
                None => (&mut ticket).await,
                Some(deadline) => {
                    let left = deadline.since(self.clock.monotonic());
                    if tokio::time::timeout(left, &mut ticket).await.is_err() {
                        return Err(FsError::delay());
                    }
                }
            }
            answer = self.claims.retry(ticket, self.clock.monotonic());
        }
    }

    /// Whether anybody has an inode open, in any protocol.
    pub(crate) fn has_opens(&self, inode: InodeId) -> bool {
        match self.cells.loaded(inode) {
            Some(cell) => cell.summary.has_opens(),
            None => self.claims.summary(inode).has_opens(),
        }
    }
}

//! Listings: one range scan a page, attributes with the journal's overlay applied.
//!
//! The verifier is the directory's high-water cookie at the scan's first page, so a scan ends even while names are added, and
//! nothing present all along is lost or doubled (SEAM §1). Overlays are read before rows: a place moves records from the one
//! into the other.

use crate::access_checks;
use crate::attributes::{refused, stateless};
use crate::cell::Cell;
use crate::engine::Engine;
use bytes::Bytes;
use dfs_journal::OverlayAttrs;
use dfs_model::{Attrs, Cookie, FsError, InodeId, InodeKind, Rights};
use dfs_store::{Dentry, ReadDirRequest};
use dfs_vfs::{DirEntry, DirVerifier, Failed, ReadDir, ReadDirReply, RequestContext, VfsResult};
use std::sync::Arc;

/// Most entries taken from the store in one scan.
const CHUNK: usize = 512;

impl Engine {
    pub(crate) async fn do_read_dir(
        &self,
        cx: &RequestContext,
        request: ReadDir<'_>,
    ) -> VfsResult<ReadDirReply> {
        let dir = stateless(request.dir)?;
        let cell = self.cells.get(dir).await?;
        let (attrs, parent) = {
            let state = cell.state.lock();
            let allowed = access_checks::granted(&state, &cx.credentials).has(Rights::LIST_DIRECTORY);
            let error = match (state.gone, state.row.is_dir(), allowed) {
                (true, ..) => Some(FsError::StaleHandle),
                (_, false, _) => Some(FsError::NotDirectory),
                (_, _, false) => Some(FsError::AccessDenied),
                _ if request.pattern.is_some() => Some(FsError::NotSupported),
                _ => None,
            };
            if let Some(error) = error {
                return Err(refused(error, &state));
            }
            (state.attrs.clone(), state.row.parent)
        };
        match self.page(&cell, parent, &request).await {
            Ok((entries, end, verifier)) => {
                let first = request.cookie == Cookie::START;
                Ok(ReadDirReply { entries, end, first, verifier, dir: attrs })
            }
            Err(error) => Err(Failed::with(error, Some(dfs_model::Wcc::unchanged(attrs)))),
        }
    }

    async fn page(
        &self,
        cell: &Arc<Cell>,
        parent: InodeId,
        request: &ReadDir<'_>,
    ) -> Result<(Vec<DirEntry>, bool, DirVerifier), FsError> {
        let dir = cell.inode;
        let last = self.store.last_cookie(self.share, dir).await.map_err(|error| error.to_fs())?;
        let up_to = match request.verifier {
            DirVerifier(0) => last.max(Cookie::FIRST),
            // A high-water mark that this directory never had is of another directory or incarnation.
            DirVerifier(seen) if seen > last.0.max(Cookie::FIRST.0) => return Err(FsError::BadCookie),
            DirVerifier(seen) => Cookie(seen),
        };
        let mut page = Page { entries: Vec::new(), left: request.bytes_max, full: false };
        self.dots(cell, parent, request, &mut page).await?;
        let mut after = request.cookie.max(Cookie(Cookie::FIRST.0 - 1));
        let mut end = false;
        while !page.full && !end && page.entries.len() < request.entries_max {
            let limit = CHUNK.min(request.entries_max - page.entries.len());
            let asked = ReadDirRequest { dir, after, up_to, limit, rows: false };
            let found = self.store.read_dir(self.share, asked).await.map_err(|error| error.to_fs())?;
            end = found.end;
            let dentries: Vec<Dentry> = found.entries.into_iter().map(|(dentry, _)| dentry).collect();
            let attrs = self.attrs_of_entries(&dentries, request).await?;
            for (dentry, attrs) in dentries.into_iter().zip(attrs) {
                after = dentry.cookie;
                let entry = self.entry(dentry, attrs, request);
                if !page.add(entry, request) {
                    break;
                }
            }
        }
        if page.entries.is_empty() && page.full {
            return Err(FsError::BufferTooSmall);
        }
        Ok((page.entries, end && !page.full, DirVerifier(up_to.0)))
    }

    async fn dots(
        &self,
        cell: &Arc<Cell>,
        parent: InodeId,
        request: &ReadDir<'_>,
        page: &mut Page,
    ) -> Result<(), FsError> {
        if request.real_only {
            return Ok(());
        }
        let past = (Cookie::SNAPSHOTS, crate::snapshots::FOLDER, InodeId::SNAPSHOTS);
        let listed = self.settings.snapshots_listed && cell.inode == InodeId::ROOT;
        let dots = [(Cookie::DOT, ".", cell.inode), (Cookie::DOT_DOT, "..", parent)];
        for (cookie, name, inode) in dots.into_iter().chain(listed.then_some(past)) {
            if cookie > request.cookie && !page.full {
                let shown = self.cells.get(inode).await?;
                let attrs = shown.state.lock().attrs.clone();
                let entry = DirEntry {
                    name: Bytes::from_static(name.as_bytes()),
                    inode,
                    kind: InodeKind::Directory,
                    cookie,
                    handle: request.handles.then(|| self.handle(&attrs)),
                    attrs: request.want.map(|_| Ok(attrs)),
                };
                page.add(entry, request);
            }
        }
        Ok(())
    }

    /// Attributes of entries, in order; `None` where none are wanted. An entry removed meanwhile says so.
    async fn attrs_of_entries(
        &self,
        dentries: &[Dentry],
        request: &ReadDir<'_>,
    ) -> Result<Vec<Option<Result<Attrs, FsError>>>, FsError> {
        if request.want.is_none() && !request.handles {
            return Ok(vec![None; dentries.len()]);
        }
        let inodes: Vec<InodeId> = dentries.iter().map(|dentry| dentry.inode).collect();
        let overlays: Vec<Option<OverlayAttrs>> =
            dentries.iter().map(|dentry| self.overlay_of(dentry.kind, dentry.inode)).collect();
        let rows = self.store.inodes(self.share, &inodes).await.map_err(|error| error.to_fs())?;
        let shown = rows.into_iter().zip(overlays).map(|(row, overlay)| {
            Some(row.map(|row| self.shown(&row, overlay.as_ref())).ok_or(FsError::StaleHandle))
        });
        Ok(shown.collect())
    }

    fn overlay_of(&self, kind: InodeKind, inode: InodeId) -> Option<OverlayAttrs> {
        (kind == InodeKind::File).then(|| self.journal.overlay(inode)).flatten()
    }

    fn entry(
        &self,
        dentry: Dentry,
        attrs: Option<Result<Attrs, FsError>>,
        request: &ReadDir<'_>,
    ) -> DirEntry {
        let known = attrs.as_ref().and_then(|attrs| attrs.as_ref().ok());
        let handle = known.filter(|_| request.handles).map(|attrs| self.handle(attrs));
        DirEntry {
            name: dentry.name.to_bytes(),
            inode: dentry.inode,
            kind: dentry.kind,
            cookie: dentry.cookie,
            handle,
            attrs: attrs.filter(|_| request.want.is_some()),
        }
    }
}

/// A page being filled.
struct Page {
    entries: Vec<DirEntry>,
    left: usize,
    /// An entry did not fit.
    full: bool,
}

impl Page {
    /// Adds an entry if it fits; `false` when it does not.
    fn add(&mut self, entry: DirEntry, request: &ReadDir<'_>) -> bool {
        let cost = (request.cost)(&entry);
        if cost > self.left || self.entries.len() >= request.entries_max {
            self.full = true;
            return false;
        }
        self.left -= cost;
        self.entries.push(entry);
        true
    }
}

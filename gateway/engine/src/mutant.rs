//! What a dropped rule of the journal protocol does instead, where that is more than leaving something out. Reached only in
//! test builds: without the feature `mutation` of the log every switch is off.

use crate::cell::Cell;
use crate::engine::Engine;
use dfs_log::Rule;
use dfs_model::{AttrPatch, Change, FsError, Timestamp};
use dfs_store::{PlaceInode, PlaceRequest, PlacedInode};

/// A change of size or times that is not a record.
struct Unrecorded {
    /// New size.
    size: Option<u64>,
    /// New access time.
    atime: Option<Timestamp>,
    /// New modification time.
    mtime: Option<Timestamp>,
}

impl Engine {
    /// [`Engine::unrecorded`] for a patch of a file.
    pub(crate) async fn without_records(&self, cell: &Cell, patch: &AttrPatch) -> Result<bool, FsError> {
        if !self.mutations.off(Rule::TruncateIsRecord) && !self.mutations.off(Rule::MtimeIsRecord) {
            return Ok(false);
        }
        let now = self.clock.wall();
        let size = patch.size.as_set().copied();
        let mtime = patch.mtime.resolve(now).or_else(|| size.map(|_| now));
        let asked = Unrecorded { size, atime: patch.atime.resolve(now), mtime };
        match asked.size.is_some() || asked.atime.is_some() || asked.mtime.is_some() {
            true => self.unrecorded(cell, asked).await,
            false => Ok(false),
        }
    }

    /// With [`Rule::TruncateIsRecord`] or [`Rule::MtimeIsRecord`] dropped: the change as a metadata transaction of its own,
    /// which no record tells of. The caller holds the inode's gate. Answers whether it did anything.
    async fn unrecorded(&self, cell: &Cell, asked: Unrecorded) -> Result<bool, FsError> {
        let truncates = asked.size.is_some() && self.mutations.off(Rule::TruncateIsRecord);
        let sets_times = asked.size.is_none() && self.mutations.off(Rule::MtimeIsRecord);
        if !truncates && !sets_times {
            return Ok(false);
        }
        let row = self.store.inode(self.share, cell.inode).await.map_err(|error| error.to_fs())?;
        let row = row.ok_or(FsError::StaleHandle)?;
        let size = asked.size.unwrap_or(row.size);
        let part = PlaceInode {
            inode: cell.inode,
            from_seq: row.flushed_seq,
            to_seq: row.flushed_seq,
            extents: Vec::new(),
            zeros: Vec::new(),
            size_low: size.min(row.size),
            size,
            atime: asked.atime,
            mtime: asked.mtime,
            ctime: self.clock.wall(),
            change: Change::ZERO,
            clear_suid: None,
            set_archive: None,
        };
        let request = PlaceRequest { packs: Vec::new(), inodes: vec![part] };
        let placed =
            self.store.place(self.share, self.epoch, request).await.map_err(|error| error.to_fs())?;
        self.stack.note_removed(cell.inode);
        {
            let mut state = cell.state.lock();
            if let Some(PlacedInode::Placed(row)) = placed.value.inodes.first() {
                state.row = row.clone();
            }
            state.attrs.size = asked.size.unwrap_or(state.attrs.size);
            state.attrs.atime = asked.atime.unwrap_or(state.attrs.atime);
            state.attrs.mtime = asked.mtime.unwrap_or(state.attrs.mtime);
        }
        self.names_stable(placed.commit).await?;
        Ok(true)
    }
}

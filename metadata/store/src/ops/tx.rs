//! A transaction in the making: a view, the batch of its changes on top, and typed access to rows.

use super::acl;
use crate::key::{self, prefix_end};
use crate::kv::{Batch, View, Visit};
use crate::rows::share::SnapshotMark;
use crate::rows::{DentryRow, Head, InodeRow, damaged};
use crate::{Dentry, OpContext, RowChange, StoreError, StoreResult};
use bytes::Bytes;
use dfs_log::Mutations;
use dfs_model::{
    Change, Cookie, Epoch, FsError, Inode, InodeFlags, InodeId, Name, PreAttrs, ShareId, Timestamp,
};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads see the batch first, then the view.
pub struct Tx<'a> {
    view: &'a dyn View,
    batch: Batch,
    /// The share of every row touched.
    pub share: ShareId,
    /// Rules that a test dropped.
    pub mutations: &'a Mutations,
    /// The share's snapshots, once the head was read.
    snapshots: Cell<SnapshotMark>,
}

impl<'a> Tx<'a> {
    /// Starts a transaction without changes.
    pub fn new(view: &'a dyn View, share: ShareId, mutations: &'a Mutations) -> Tx<'a> {
        Tx { view, batch: Batch::default(), share, mutations, snapshots: Cell::default() }
    }

    /// The changes, and what snapshots keep of what they change.
    pub fn into_batch(mut self) -> StoreResult<Batch> {
        let mark = self.snapshots.get();
        if mark.newest.0 > 0 {
            self.retain(mark)?;
        }
        Ok(self.batch)
    }

    /// The rows as they were before this transaction.
    pub fn view(&self) -> &'a dyn View {
        self.view
    }

    /// A row as it was before this transaction.
    pub fn before(&self, key: &[u8]) -> StoreResult<Option<Bytes>> {
        self.view.get(key)
    }

    /// The changes so far, in key order.
    pub fn changes(&self) -> impl Iterator<Item = (&Vec<u8>, &Option<Bytes>)> {
        self.batch.iter()
    }

    /// One row.
    pub fn get(&self, key: &[u8]) -> StoreResult<Option<Bytes>> {
        match self.batch.find(key) {
            Some(known) => Ok(known.clone()),
            None => self.view.get(key),
        }
    }

    /// Sets a row.
    pub fn put(&mut self, key: Vec<u8>, value: Bytes) {
        self.batch.put(key, value);
    }

    /// Deletes a row.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.batch.delete(key);
    }

    /// Rows in `[from, to)` in key order, changes of this transaction included, until `visit` answers `false`.
    pub fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> StoreResult<()> {
        let mut own = self.batch.range(from, to).peekable();
        if own.peek().is_none() {
            return self.view.scan(from, to, visit);
        }
        let mut go_on = true;
        self.view.scan(from, to, &mut |key, value| {
            while let Some((own_key, own_value)) = own.next_if(|(own_key, _)| own_key.as_slice() <= key) {
                if let Some(own_value) = own_value
                    && !visit(own_key, own_value)?
                {
                    go_on = false;
                    return Ok(false);
                }
                if own_key.as_slice() == key {
                    return Ok(true);
                }
            }
            go_on = visit(key, value)?;
            Ok(go_on)
        })?;
        for (own_key, own_value) in own {
            if !go_on {
                break;
            }
            if let Some(own_value) = own_value {
                go_on = visit(own_key, own_value)?;
            }
        }
        Ok(())
    }

    /// The first row whose key starts with `prefix`, if any.
    pub fn has_any(&self, prefix: &[u8]) -> StoreResult<bool> {
        let mut found = false;
        self.scan(prefix, &prefix_end(prefix), &mut |_, _| {
            found = true;
            Ok(false)
        })?;
        Ok(found)
    }

    /// The last row in `[from, to)`; changes of this transaction hide and add rows.
    pub fn last(&self, from: &[u8], to: &[u8]) -> StoreResult<Option<(Box<[u8]>, Bytes)>> {
        let own: BTreeMap<&[u8], &Option<Bytes>> =
            self.batch.range(from, to).map(|(key, value)| (key.as_slice(), value)).collect();
        let own_last = own.iter().rev().find_map(|(key, value)| value.as_ref().map(|value| (*key, value)));
        let mut to: Box<[u8]> = to.into();
        let stored = loop {
            match self.view.last(from, &to)? {
                Some((key, _)) if own.contains_key(&*key) => to = key,
                other => break other,
            }
        };
        Ok(match (own_last, stored) {
            (Some((key, value)), Some((stored, _))) if key > &*stored => Some((key.into(), value.clone())),
            (Some((key, value)), None) => Some((key.into(), value.clone())),
            (_, stored) => stored,
        })
    }

    /// The share's head. *Errors:* [`StoreError::NoShare`].
    pub fn head(&self) -> StoreResult<Head> {
        let bytes = self.get(&key::head(self.share))?.ok_or(StoreError::NoShare(self.share))?;
        let head = Head::decode(&bytes).map_err(|error| damaged("share head", error))?;
        // What counts for this transaction is what was there before it.
        if self.batch.find(&key::head(self.share)).is_none() {
            self.snapshots.set(head.snapshots);
        }
        Ok(head)
    }

    /// The share's head, if the caller's epoch is the share's. *Errors:* [`StoreError::Fenced`].
    pub fn fenced_head(&self, ours: Epoch) -> StoreResult<Head> {
        let head = self.head()?;
        if head.epoch != ours && !self.mutations.off(dfs_log::Rule::FenceInTransaction) {
            return Err(StoreError::Fenced { ours, current: head.epoch });
        }
        Ok(head)
    }

    /// Stores the share's head.
    pub fn put_head(&mut self, head: &Head) {
        self.put(key::head(self.share), head.encode());
    }

    /// An inode's row with its ACL, if there is one.
    pub fn find_inode(&self, id: InodeId) -> StoreResult<Option<InodeRow>> {
        let Some(bytes) = self.get(&key::inode(self.share, id))? else { return Ok(None) };
        let mut row = InodeRow::decode(id, &bytes).map_err(|error| damaged(&format!("inode {id}"), error))?;
        if let Some(hash) = row.acl_hash {
            row.inode.acl = Some(acl::load(self, hash)?);
        }
        Ok(Some(row))
    }

    /// An inode's row that a caller's handle names. *Errors:* [`FsError::StaleHandle`].
    pub fn inode(&self, id: InodeId) -> StoreResult<InodeRow> {
        self.find_inode(id)?.ok_or(StoreError::Refused(FsError::StaleHandle))
    }

    /// An inode's row that another row names.
    pub fn named_inode(&self, id: InodeId) -> StoreResult<InodeRow> {
        self.find_inode(id)?
            .ok_or_else(|| damaged("dentry", format!("it leads to inode {id}, which is missing")))
    }

    /// A directory that a caller's handle names. *Errors:* [`FsError::StaleHandle`], [`FsError::NotDirectory`].
    pub fn directory(&self, id: InodeId) -> StoreResult<InodeRow> {
        let row = self.inode(id)?;
        if row.inode.is_dir() { Ok(row) } else { Err(FsError::NotDirectory.into()) }
    }

    /// Stores an inode's row.
    pub fn put_inode(&mut self, row: &InodeRow) {
        self.put(key::inode(self.share, row.inode.id), row.encode());
    }

    /// A name, exactly as spelled.
    pub fn find_dentry(&self, dir: InodeId, name: &Name) -> StoreResult<Option<DentryRow>> {
        let Some(bytes) = self.get(&key::dentry(self.share, dir, name.as_bytes()))? else { return Ok(None) };
        let row = DentryRow::decode_by_name(dir, name.clone(), &bytes);
        row.map(Some).map_err(|error| damaged(&format!("dentry in directory {dir}"), error))
    }

    /// Puts the four rows of a name.
    pub fn put_dentry(&mut self, row: &DentryRow) {
        let Dentry { dir, name, inode, cookie, .. } = &row.dentry;
        self.put(key::dentry(self.share, *dir, name.as_bytes()), row.encode_by_name());
        self.put(key::dir_cookie(self.share, *dir, *cookie), row.encode_by_cookie());
        self.put(key::fold(self.share, *dir, &name.fold_key(), *cookie), Bytes::new());
        self.put(key::reverse(self.share, *inode, *dir, *cookie), Bytes::new());
    }

    /// Deletes the four rows of a name.
    pub fn delete_dentry(&mut self, dentry: &Dentry) {
        let Dentry { dir, name, inode, cookie, .. } = dentry;
        self.delete(key::dentry(self.share, *dir, name.as_bytes()));
        self.delete(key::dir_cookie(self.share, *dir, *cookie));
        self.delete(key::fold(self.share, *dir, &name.fold_key(), *cookie));
        self.delete(key::reverse(self.share, *inode, *dir, *cookie));
    }

    /// Takes the next cookie of a directory.
    pub fn next_cookie(dir: &mut InodeRow) -> StoreResult<Cookie> {
        let next = dir.last_cookie.0.max(Cookie::FIRST.0 - 1) + 1;
        if next >= 1 << 63 {
            return Err(FsError::NoSpace.into());
        }
        dir.last_cookie = Cookie(next);
        Ok(dir.last_cookie)
    }
}

/// The time and number of one operation's changes.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Wall-clock time.
    pub now: Timestamp,
    /// Change number.
    pub change: Change,
}

impl Stamp {
    /// Takes a change number for the operation.
    pub fn take(cx: &OpContext<'_>) -> Stamp {
        Stamp { now: cx.now, change: cx.changes.take() }
    }

    /// Marks something of the inode as changed: ctime and change grow, never go back.
    pub fn touch(self, inode: &mut Inode) {
        inode.ctime = self.now.after(inode.ctime);
        inode.change = inode.change.max(self.change);
    }

    /// Marks a directory's entries as changed.
    pub fn touch_entries(self, dir: &mut Inode) {
        self.touch(dir);
        dir.mtime = dir.ctime;
    }
}

/// What a client compares to notice a change.
pub fn pre(inode: &Inode) -> PreAttrs {
    PreAttrs { size: inode.size, mtime: inode.mtime, ctime: inode.ctime, change: inode.change }
}

/// A row that a call looked at and did not change.
pub fn unchanged(inode: &Inode) -> RowChange {
    let row = Arc::new(inode.clone());
    RowChange { pre: Arc::clone(&row), post: row }
}

/// A row before and after.
pub fn changed(pre: Inode, post: &Inode) -> RowChange {
    RowChange { pre: Arc::new(pre), post: Arc::new(post.clone()) }
}

/// Refuses changes of what is marked immutable. *Errors:* [`FsError::NotPermitted`].
pub fn mutable(inode: &Inode) -> StoreResult<()> {
    if inode.flags.has(InodeFlags::IMMUTABLE) { Err(FsError::NotPermitted.into()) } else { Ok(()) }
}

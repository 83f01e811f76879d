//! Rows as of a snapshot: a view over a view, so that every read is the same code for now and for then.
//!
//! Of each row the first kept form at or after the snapshot decides, else the live row; what belongs to inodes born later is
//! absent (see `retain`).

use super::retain::{self, Keeps, is_younger, keeps};
use crate::StoreResult;
use crate::key;
use crate::kv::{View, Visit};
use crate::rows::damaged;
use bytes::Bytes;
use dfs_model::{InodeId, ShareId, SnapshotId};
use std::collections::BTreeMap;

/// Rows that a scan takes from either side at once.
const CHUNK: usize = 512;

/// See the module.
pub struct AsOf<'a> {
    base: &'a dyn View,
    share: ShareId,
    snapshot: SnapshotId,
    inodes_below: InodeId,
}

/// Rows of one side of a scan in order, and where it goes on; `None` at its end.
type Chunk = (Vec<(Vec<u8>, Option<Bytes>)>, Option<Vec<u8>>);

impl<'a> AsOf<'a> {
    /// The rows of a share as a snapshot shows them.
    pub fn new(base: &'a dyn View, share: ShareId, snapshot: SnapshotId, inodes_below: InodeId) -> AsOf<'a> {
        AsOf { base, share, snapshot, inodes_below }
    }

    /// The kept form that the snapshot shows, if one is kept.
    fn kept(&self, row_key: &[u8]) -> StoreResult<Option<Option<Bytes>>> {
        let mut found = None;
        let from = key::retained(self.share, row_key, self.snapshot);
        self.base.scan(&from, &key::retained_end(self.share, row_key), &mut |_, bytes| {
            found = Some(retain::decode(bytes)?);
            Ok(false)
        })?;
        Ok(found)
    }

    fn live_rows(&self, from: &[u8], to: &[u8]) -> StoreResult<Chunk> {
        let mut rows = Vec::new();
        self.base.scan(from, to, &mut |row_key, bytes| {
            rows.push((row_key.to_vec(), Some(bytes.clone())));
            Ok(rows.len() < CHUNK)
        })?;
        let next = (rows.len() == CHUNK).then(|| rows.last().map(|(last, _)| after(last))).flatten();
        Ok((rows, next))
    }

    /// Kept forms that the snapshot shows of rows in a range.
    fn kept_rows(&self, from: &[u8], to: &[u8]) -> StoreResult<Chunk> {
        let (mut rows, mut next): (Vec<(Vec<u8>, Option<Bytes>)>, _) = (Vec::new(), None);
        let range = (key::retained_from(self.share, from), key::retained_from(self.share, to));
        self.base.scan(&range.0, &range.1, &mut |kept_key, bytes| {
            let known = key::of_retained(self.share, kept_key);
            let (row_key, snapshot) = known.ok_or_else(|| damaged("retained row", "short key"))?;
            if rows.last().is_some_and(|(last, _)| *last == row_key) || snapshot < self.snapshot {
                return Ok(true);
            }
            if rows.len() == CHUNK {
                next = Some(row_key);
                return Ok(false);
            }
            rows.push((row_key, retain::decode(bytes)?));
            Ok(true)
        })?;
        Ok((rows, next))
    }
}

fn after(row_key: &[u8]) -> Vec<u8> {
    let mut next = row_key.to_vec();
    next.push(0);
    next
}

impl View for AsOf<'_> {
    fn get(&self, row_key: &[u8]) -> StoreResult<Option<Bytes>> {
        let Some(how) = keeps(row_key) else { return self.base.get(row_key) };
        if is_younger(row_key, self.inodes_below) {
            return Ok(None);
        }
        if how == Keeps::Content {
            return match self.base.get(row_key)? {
                Some(bytes) => Ok(Some(bytes)),
                None => Ok(self.kept(row_key)?.flatten()),
            };
        }
        match self.kept(row_key)? {
            Some(kept) => Ok(kept),
            None => self.base.get(row_key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> StoreResult<()> {
        if keeps(from).is_none() {
            return self.base.scan(from, to, visit);
        }
        let mut from = from.to_vec();
        while from.as_slice() < to && !is_younger(&from, self.inodes_below) {
            let (live, live_next) = self.live_rows(&from, to)?;
            let (kept, kept_next) = self.kept_rows(&from, to)?;
            let next = match (live_next, kept_next) {
                (Some(live), Some(kept)) => Some(live.min(kept)),
                (one, other) => one.or(other),
            };
            let mut rows: BTreeMap<Vec<u8>, Option<Bytes>> = live.into_iter().collect();
            rows.extend(kept);
            for (row_key, value) in rows {
                if next.as_ref().is_some_and(|next| row_key >= *next) {
                    break;
                }
                if let Some(value) = value
                    && !visit(&row_key, &value)?
                {
                    return Ok(());
                }
            }
            match next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn last(&self, from: &[u8], to: &[u8]) -> StoreResult<Option<(Box<[u8]>, Bytes)>> {
        let mut to = to.to_vec();
        while from < to.as_slice() {
            let live = self.base.last(from, &to)?.map(|(row_key, _)| row_key.to_vec());
            let range = (key::retained_from(self.share, from), key::retained_from(self.share, &to));
            let kept = self.base.last(&range.0, &range.1)?;
            let kept = kept.and_then(|(kept_key, _)| key::of_retained(self.share, &kept_key));
            let Some(row_key) = live.max(kept.map(|(row_key, _)| row_key)) else { return Ok(None) };
            if let Some(value) = self.get(&row_key)? {
                return Ok(Some((row_key.into(), value)));
            }
            to = row_key;
        }
        Ok(None)
    }
}

//! What snapshots keep: rows that the newest snapshot shows are copied to `Retained` before a transaction changes them.
//!
//! ```text
//!  snapshots   1        2        3 (newest)
//!  row K    ───a────────┴──b─────┴──c (live)       Retained: (K, 2) = a, (K, 3) = b
//!              1 and 2 show a    3 shows b         seen from n: the first (K, m ≥ n), else the live row
//! ```
//! A row is kept once per snapshot, at its first change after it; one that was not there is kept as absent. Nothing is kept of
//! what belongs to inodes born after the newest snapshot. So a snapshot costs nothing when it is taken, and live look-ups
//! never look here. A name's new place in a listing is not kept either: cookies grow, and a directory's row says how far it
//! had come. ACLs are content: they are kept when they would go.

use super::{Tx, packs};
use crate::StoreResult;
use crate::key::{self, Table, suffix_u64};
use crate::rows::damaged;
use crate::rows::share::SnapshotMark;
use crate::wire::{Reader, Writer};
use bytes::Bytes;
use dfs_model::{ExtentRun, InodeId, PackId, SnapshotId};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
/// Place of the table's byte in a key.
const TABLE_AT: usize = key::PREFIX_LEN - 1;

/// How the rows of a table are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// As they are, or as absent.
    Both,
    /// As they are; a new one needs no mark.
    Present,
    /// When they go.
    Content,
}

/// How the table of a row is kept; `None`: it is not.
pub(super) fn keeps(row_key: &[u8]) -> Option<Keeps> {
    let table = *row_key.get(TABLE_AT)?;
    let is = |one: Table| table == one as u8;
    match () {
        () if is(Table::Inode) || is(Table::Dentry) || is(Table::Extent) || is(Table::Xattr) => {
            Some(Keeps::Both)
        }
        () if is(Table::DirCookie) => Some(Keeps::Present),
        () if is(Table::Acl) => Some(Keeps::Content),
        () => None,
    }
}

/// Whether a row belongs to an inode that was born after a snapshot.
pub(super) fn is_younger(row_key: &[u8], inodes_below: InodeId) -> bool {
    keeps(row_key) != Some(Keeps::Content)
        && suffix_u64(row_key, 0).is_none_or(|inode| inode >= inodes_below.0)
}

/// A kept row's bytes: version · there (u8) · the row's bytes.
pub(super) fn encode(value: Option<&Bytes>) -> Bytes {
    let mut out = Writer::versioned(VERSION, 2 + value.map_or(0, Bytes::len));
    out.u8(u8::from(value.is_some())).raw(value.map_or(&[], |value| value));
    out.finish()
}

/// The row in a kept row, `None` for one that was absent.
pub(super) fn decode(bytes: &Bytes) -> StoreResult<Option<Bytes>> {
    let mut reader = Reader::versioned(bytes, VERSION).map_err(|error| damaged("retained row", error))?;
    match reader.u8().map_err(|error| damaged("retained row", error))? {
        0 => Ok(None),
        1 => Ok(Some(reader.tail())),
        _ => Err(damaged("retained row", "field there is not valid")),
    }
}

/// The run in an extent's row; `None` for rows of other tables.
pub(super) fn run_of(row_key: &[u8], value: Option<&Bytes>) -> StoreResult<Option<ExtentRun>> {
    match value {
        Some(bytes) if row_key.get(TABLE_AT) == Some(&(Table::Extent as u8)) => {
            ExtentRun::decode(bytes).map(Some).map_err(|error| damaged("extent", error))
        }
        _ => Ok(None),
    }
}

impl Tx<'_> {
    /// Adds the rows that the newest snapshot must keep to the transaction, whose changes are all made.
    pub(super) fn retain(&mut self, mark: SnapshotMark) -> StoreResult<()> {
        let mut kept: Vec<(Vec<u8>, Option<Bytes>)> = Vec::new();
        for (row_key, new) in self.changes() {
            let Some(how) = keeps(row_key) else { continue };
            if is_younger(row_key, mark.inodes_below) || (how == Keeps::Content && new.is_some()) {
                continue;
            }
            let old = self.before(row_key)?;
            let new_place = how != Keeps::Both && old.is_none();
            if old == *new || new_place || self.kept_for(row_key, mark.newest)?.is_some() {
                continue;
            }
            kept.push((row_key.clone(), old));
        }
        let mut live: BTreeMap<PackId, i64> = BTreeMap::new();
        for (row_key, old) in kept {
            if let Some(run) = run_of(&row_key, old.as_ref())? {
                *live.entry(run.pack).or_default() += run.stored_bytes() as i64;
            }
            self.keep(&row_key, mark.newest, old.as_ref())?;
        }
        packs::adjust_live(self, &live)
    }

    /// The first snapshot at or after one for which a form of the row is kept: that form is what both show.
    pub(super) fn kept_for(&self, row_key: &[u8], since: SnapshotId) -> StoreResult<Option<SnapshotId>> {
        let mut found = None;
        let from = key::retained(self.share, row_key, since);
        self.scan(&from, &key::retained_end(self.share, row_key), &mut |kept_key, _| {
            found = key::of_retained(self.share, kept_key).map(|(_, snapshot)| snapshot);
            Ok(false)
        })?;
        Ok(found)
    }

    /// Puts the rows of a kept form.
    pub(super) fn keep(&mut self, row_key: &[u8], of: SnapshotId, value: Option<&Bytes>) -> StoreResult<()> {
        self.put(key::retained(self.share, row_key, of), encode(value));
        self.put(key::retained_of(self.share, of, row_key), Bytes::new());
        if let Some(run) = run_of(row_key, value)? {
            self.put(key::pack_ref_retained(self.share, run.pack, row_key, of), Bytes::new());
        }
        Ok(())
    }

    /// Deletes the rows of a kept form.
    pub(super) fn unkeep(
        &mut self,
        row_key: &[u8],
        of: SnapshotId,
        value: Option<&Bytes>,
    ) -> StoreResult<()> {
        self.delete(key::retained(self.share, row_key, of));
        self.delete(key::retained_of(self.share, of, row_key));
        if let Some(run) = run_of(row_key, value)? {
            self.delete(key::pack_ref_retained(self.share, run.pack, row_key, of));
        }
        Ok(())
    }
}

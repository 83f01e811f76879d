//! Ordered keys and values under the operations: what a row-level store must offer, and layers stacked on each other.
//!
//! ```text
//!   operation ──reads──▶ View = [active memtable @ version, frozen memtable, base]   newest first
//!        └──────writes──▶ Batch ──(redo record)──▶ active memtable
//! ```
//! A [`View`] never changes while it is held. Layers answer `Some(None)` for a row that they know to be deleted, so that an
//! older layer is not asked. Nothing here waits or knows what rows mean.

mod batch;
mod memtable;

pub use batch::Batch;
pub use memtable::Memtable;

use crate::StoreResult;
use bytes::Bytes;
use std::collections::VecDeque;

/// A key and its value, or the mark of its deletion.
pub type Entry = (Box<[u8]>, Option<Bytes>);

/// Rows of a store at one moment.
pub trait View: Send + Sync {
    /// One row.
    fn get(&self, key: &[u8]) -> StoreResult<Option<Bytes>>;

    /// Calls `visit` for the rows in `[from, to)` in the order of their keys until it answers `false`.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> StoreResult<()>;

    /// The last row in `[from, to)`.
    fn last(&self, from: &[u8], to: &[u8]) -> StoreResult<Option<(Box<[u8]>, Bytes)>>;
}

/// What a scan calls with each row; `false` ends it.
pub type Visit<'a> = dyn FnMut(&[u8], &Bytes) -> StoreResult<bool> + 'a;

/// One layer of a [`Layers`] view.
pub trait Layer: Send + Sync {
    /// What the layer knows of a row: nothing, its deletion, its value.
    fn find(&self, key: &[u8]) -> StoreResult<Option<Option<Bytes>>>;

    /// The first `limit` entries in `[from, to)`.
    fn chunk(&self, from: &[u8], to: &[u8], limit: usize) -> StoreResult<Vec<Entry>>;

    /// The last entry in `[from, to)`.
    fn last_entry(&self, from: &[u8], to: &[u8]) -> StoreResult<Option<Entry>>;
}

/// Layers, newest first; the first that knows a row decides.
pub struct Layers(pub Vec<Box<dyn Layer>>);

/// Entries that a scan takes from a layer at first and at most.
const CHUNK_MIN: usize = 32;
const CHUNK_MAX: usize = 512;

impl View for Layers {
    fn get(&self, key: &[u8]) -> StoreResult<Option<Bytes>> {
        for layer in &self.0 {
            if let Some(known) = layer.find(key)? {
                return Ok(known);
            }
        }
        Ok(None)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> StoreResult<()> {
        let mut cursors: Vec<_> = self.0.iter().map(|layer| Cursor::new(layer.as_ref(), from)).collect();
        loop {
            for cursor in &mut cursors {
                cursor.fill(to)?;
            }
            let heads = cursors.iter().filter_map(|cursor| cursor.head.front().map(|(key, _)| key));
            let Some(next) = heads.min().cloned() else { return Ok(()) };
            let mut decided: Option<Option<Bytes>> = None;
            for cursor in &mut cursors {
                if cursor.head.front().is_some_and(|(key, _)| *key == next) {
                    let value = cursor.head.pop_front().and_then(|(_, value)| value);
                    decided.get_or_insert(value);
                }
            }
            if let Some(Some(value)) = decided
                && !visit(&next, &value)?
            {
                return Ok(());
            }
        }
    }

    fn last(&self, from: &[u8], to: &[u8]) -> StoreResult<Option<(Box<[u8]>, Bytes)>> {
        let mut to: Box<[u8]> = to.into();
        loop {
            let mut best: Option<Entry> = None;
            for layer in &self.0 {
                let found = layer.last_entry(from, &to)?;
                if let Some(entry) = found
                    && best.as_ref().is_none_or(|(key, _)| entry.0 > *key)
                {
                    best = Some(entry);
                }
            }
            match best {
                None => return Ok(None),
                Some((key, Some(value))) => return Ok(Some((key, value))),
                Some((key, None)) => to = key,
            }
        }
    }
}

/// Reads one layer in growing chunks.
struct Cursor<'a> {
    layer: &'a dyn Layer,
    head: VecDeque<Entry>,
    /// Where the next chunk starts; `None` when the layer has no more.
    next: Option<Vec<u8>>,
    limit: usize,
}

impl<'a> Cursor<'a> {
    fn new(layer: &'a dyn Layer, from: &[u8]) -> Cursor<'a> {
        Cursor { layer, head: VecDeque::new(), next: Some(from.to_vec()), limit: CHUNK_MIN }
    }

    fn fill(&mut self, to: &[u8]) -> StoreResult<()> {
        if !self.head.is_empty() {
            return Ok(());
        }
        let Some(from) = self.next.take() else { return Ok(()) };
        let entries = self.layer.chunk(&from, to, self.limit)?;
        if entries.len() >= self.limit
            && let Some((key, _)) = entries.last()
        {
            let mut after = key.to_vec();
            after.push(0);
            self.next = Some(after);
            self.limit = (self.limit * 2).min(CHUNK_MAX);
        }
        self.head = entries.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests;

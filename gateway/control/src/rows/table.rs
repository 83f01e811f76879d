//! A table of a snapshot: sorted rows in short chunks that snapshots share.
//!
//! A change copies one chunk and the list of chunks, not the rows: with 10,000 rows that is a hundred pointers and a hundred
//! pairs of pointers. Snapshots that readers still hold keep the chunks that they saw.

use std::ops::Bound;
use std::sync::Arc;

/// Rows in one chunk at most.
const CHUNK_MAX: usize = 128;

type Chunk<R> = Vec<(Arc<str>, Arc<R>)>;

/// Rows of one kind, sorted by key; cheap to copy and to change.
pub struct Table<R> {
    chunks: Vec<Arc<Chunk<R>>>,
    len: usize,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Table { chunks: Vec::new(), len: 0 }
    }
}

impl<R> Clone for Table<R> {
    fn clone(&self) -> Self {
        Table { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<R> Table<R> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunk that has a key, or would have it.
    fn chunk_of(&self, key: &str) -> usize {
        let after =
            self.chunks.partition_point(|chunk| chunk.first().is_some_and(|(first, _)| **first <= *key));
        after.saturating_sub(1)
    }

    /// The row of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<R>> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let at = chunk.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        chunk.get(at).map(|(_, row)| row)
    }

    /// Every row, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<R>)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, row)| (key, row)))
    }

    /// The rows from a key on, by key.
    pub fn from(&self, start: Bound<&str>) -> impl Iterator<Item = (&Arc<str>, &Arc<R>)> {
        let key = match start {
            Bound::Included(key) | Bound::Excluded(key) => key,
            Bound::Unbounded => "",
        };
        let wanted = move |known: &str| match start {
            Bound::Excluded(key) => known > key,
            Bound::Included(key) => known >= key,
            Bound::Unbounded => true,
        };
        let chunks = self.chunks.get(self.chunk_of(key)..).unwrap_or_default();
        let rows = chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, row)| (key, row)));
        rows.skip_while(move |(known, _)| !wanted(known))
    }

    /// The rows whose keys begin so, by key.
    pub fn prefixed<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<R>)> {
        self.from(Bound::Included(prefix)).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Puts a row in place of what its key had.
    pub(crate) fn insert(&mut self, key: Arc<str>, row: Arc<R>) {
        let nth = self.chunk_of(&key);
        let Some(shared) = self.chunks.get_mut(nth) else {
            self.chunks.push(Arc::new(vec![(key, row)]));
            self.len = 1;
            return;
        };
        let chunk = Arc::make_mut(shared);
        match chunk.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => chunk[at] = (key, row),
            Err(at) => {
                chunk.insert(at, (key, row));
                self.len += 1;
            }
        }
        if chunk.len() > CHUNK_MAX {
            let upper = chunk.split_off(CHUNK_MAX / 2);
            self.chunks.insert(nth + 1, Arc::new(upper));
        }
    }

    /// Takes a row out; tells whether there was one.
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        let nth = self.chunk_of(key);
        let Some(shared) = self.chunks.get_mut(nth) else { return false };
        let Ok(at) = shared.binary_search_by(|(known, _)| (**known).cmp(key)) else { return false };
        let chunk = Arc::make_mut(shared);
        chunk.remove(at);
        self.len -= 1;
        let left = chunk.len();
        if left == 0 {
            self.chunks.remove(nth);
        } else if let Some(next) = self.chunks.get(nth + 1).filter(|next| next.len() + left <= CHUNK_MAX / 2)
        {
            let moved = next.clone();
            self.chunks.remove(nth + 1);
            if let Some(shared) = self.chunks.get_mut(nth) {
                Arc::make_mut(shared).extend(moved.iter().cloned());
            }
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn shown(table: &Table<u64>) -> Vec<(String, u64)> {
        table.iter().map(|(key, row)| (key.to_string(), **row)).collect()
    }

    #[test]
    fn table_under_random_changes_is_a_sorted_map_and_old_copies_stay() {
        let mut state = 0x1234_5678_9abc_def1_u64;
        let mut draw = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let (mut table, mut model) = (Table::default(), BTreeMap::new());
        let mut kept: Vec<(Table<u64>, BTreeMap<String, u64>)> = Vec::new();
        for step in 0..20_000 {
            let key = format!("{:03}", draw(900));
            // First it grows, then it shrinks.
            if draw(10) < if step < 10_000 { 7 } else { 2 } {
                table.insert(key.as_str().into(), Arc::new(step));
                model.insert(key, step);
            } else {
                assert_eq!(table.remove(&key), model.remove(&key).is_some());
            }
            assert_eq!(table.len(), model.len());
            if step % 1000 == 0 {
                kept.push((table.clone(), model.clone()));
            }
            if step % 50 == 0 {
                let key = format!("{:03}", draw(900));
                assert_eq!(table.get(&key).map(|row| **row), model.get(&key).copied());
                let after: Vec<u64> = table.from(Bound::Excluded(&key)).map(|(_, row)| **row).collect();
                let bounds = (Bound::Excluded(key.clone()), Bound::Unbounded);
                assert_eq!(after, model.range(bounds).map(|(_, row)| *row).collect::<Vec<_>>());
                let prefix = &key[..2];
                let begun: Vec<u64> = table.prefixed(prefix).map(|(_, row)| **row).collect();
                let expected = model.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, row)| *row);
                assert_eq!(begun, expected.collect::<Vec<_>>());
            }
        }
        kept.push((table, model));
        for (table, model) in kept {
            assert_eq!(shown(&table), model.into_iter().collect::<Vec<_>>());
            assert!(table.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_MAX));
        }
    }

    #[test]
    fn change_of_a_large_table_copies_one_chunk() {
        let mut table = Table::default();
        for number in 0..10_000_u64 {
            table.insert(format!("{number:05}").into(), Arc::new(number));
        }
        let before = table.clone();
        table.insert("05000".into(), Arc::new(1));
        let changed = table.chunks.iter().zip(&before.chunks).filter(|(new, old)| !Arc::ptr_eq(new, old));
        assert_eq!(changed.count(), 1);
        assert_eq!((**table.get("05000").unwrap(), **before.get("05000").unwrap()), (1, 5000));
    }
}

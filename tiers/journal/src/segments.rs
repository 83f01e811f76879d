//! Which segments the log may take back (JOURNAL J4), and how far the oldest unplaced record holds the tail.
//!
//! Every record is counted twice in its segment: when it is published to the overlay, and when it is settled (in durable
//! metadata, dead by a durable removal, or dropped by a durable end). A segment is free when every seq that the log gave
//! out in it was published and settled; a record that is appended but not yet published therefore keeps it. "Overwritten
//! by a newer record" settles nothing.
//!
//! Pure bookkeeping; recovery builds it again. Positions are counted in segments since the start (`ordinal`).

use crate::layer::Hold;
use dfs_model::{Monotonic, Seq};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

#[derive(Clone, Copy, Debug)]
struct Row {
    ordinal: u64,
    published: u64,
    unsettled: u64,
}

/// What the log says about a segment that it no longer appends to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<K> {
    pub id: K,
    /// Records that got a seq in it.
    pub records: u64,
}

/// The books of one journal's segments.
#[derive(Debug)]
pub(crate) struct Segments<K> {
    rows: HashMap<K, Row>,
    /// Segments with unsettled records.
    dirty: BTreeMap<u64, K>,
    head: Option<K>,
    head_bytes: u64,
    next_ordinal: u64,
    probation: VecDeque<K>,
    /// First unplaced record of each inode, with its time; several inodes never share a seq.
    oldest: BTreeMap<Seq, Monotonic>,
}

impl<K> Default for Segments<K> {
    fn default() -> Self {
        Segments {
            rows: HashMap::new(),
            dirty: BTreeMap::new(),
            head: None,
            head_bytes: 0,
            next_ordinal: 0,
            probation: VecDeque::new(),
            oldest: BTreeMap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> Segments<K> {
    /// Notes a published record of `bytes`. Returns true when it is the first of its segment.
    pub fn published(&mut self, segment: K, bytes: u64) -> bool {
        let opens = !self.rows.contains_key(&segment);
        if opens {
            let ordinal = self.next_ordinal;
            self.next_ordinal += 1;
            self.rows.insert(segment, Row { ordinal, published: 0, unsettled: 0 });
            (self.head, self.head_bytes) = (Some(segment), 0);
        }
        if let Some(row) = self.rows.get_mut(&segment) {
            row.published += 1;
            row.unsettled += 1;
            self.dirty.insert(row.ordinal, segment);
        }
        if self.head == Some(segment) {
            self.head_bytes += bytes;
        }
        opens
    }

    /// Notes a record that recovery found settled already.
    pub fn published_dead(&mut self, segment: K) {
        self.published(segment, 0);
        self.settled(&[Hold { segment, records: 1, bytes: 0 }]);
    }

    /// Notes settled records. Returns their bytes and whether a segment came clean by it.
    pub fn settled(&mut self, holds: &[Hold<K>]) -> (u64, bool) {
        let (mut bytes, mut clean) = (0, false);
        for hold in holds {
            bytes += hold.bytes;
            if let Some(row) = self.rows.get_mut(&hold.segment) {
                row.unsettled = row.unsettled.saturating_sub(hold.records);
                if row.unsettled == 0 {
                    self.dirty.remove(&row.ordinal);
                    clean = true;
                }
            }
        }
        (bytes, clean)
    }

    /// Moves the sealed segments whose every record is settled into probation; `sealed` is what the log says.
    pub fn retire(&mut self, sealed: impl Iterator<Item = Sealed<K>>) {
        for segment in sealed {
            let free = match self.rows.get(&segment.id) {
                Some(row) => row.unsettled == 0 && row.published == segment.records,
                None => segment.records == 0,
            };
            if free && !self.probation.contains(&segment.id) {
                self.rows.remove(&segment.id);
                self.probation.push_back(segment.id);
                if self.head == Some(segment.id) {
                    (self.head, self.head_bytes) = (None, 0);
                }
            }
        }
    }

    /// Whether a segment other than the head has nothing unsettled, so that the log should be asked.
    pub fn has_clean_rows(&self) -> bool {
        self.rows.len() > self.dirty.len()
    }

    /// Takes segments out of probation, oldest first, until `keep` remain.
    pub fn leave_probation(&mut self, keep: usize) -> Vec<K> {
        let count = self.probation.len().saturating_sub(keep);
        self.probation.drain(..count).collect()
    }

    /// Puts a segment back that the log did not take.
    pub fn back_to_probation(&mut self, segment: K) {
        self.probation.push_front(segment);
    }

    /// Segments placed and kept readable.
    pub fn probation(&self) -> usize {
        self.probation.len()
    }

    /// Segments with unsettled records.
    pub fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// Whether nothing at all is unsettled.
    pub fn is_clean(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Bytes from the segment of the oldest unsettled record to the head.
    pub fn span_bytes(&self, segment_bytes: u64) -> u64 {
        let Some((oldest, _)) = self.dirty.first_key_value() else { return 0 };
        let last = self.next_ordinal.saturating_sub(1);
        let open = match self.head {
            Some(_) => self.head_bytes.min(segment_bytes),
            None => segment_bytes,
        };
        last.saturating_sub(*oldest) * segment_bytes + open
    }

    /// The ordinal of a segment that is not free, and of the head.
    pub fn ordinals(&self, segment: K) -> Option<(u64, u64)> {
        self.rows.get(&segment).map(|row| (row.ordinal, self.next_ordinal.saturating_sub(1)))
    }

    /// Replaces an inode's oldest unplaced record.
    pub fn move_oldest(&mut self, before: Option<Seq>, after: Option<(Seq, Monotonic)>) {
        if let Some(seq) = before {
            self.oldest.remove(&seq);
        }
        if let Some((seq, at)) = after {
            self.oldest.insert(seq, at);
        }
    }

    /// When the oldest unplaced record came.
    pub fn oldest_at(&self) -> Option<Monotonic> {
        self.oldest.first_key_value().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(segment: u32, records: u64) -> [Hold<u32>; 1] {
        [Hold { segment, records, bytes: records * 10 }]
    }

    fn retire(segments: &mut Segments<u32>, sealed: &[(u32, u64)]) -> Vec<u32> {
        segments.retire(sealed.iter().map(|(id, records)| Sealed { id: *id, records: *records }));
        segments.leave_probation(0)
    }

    #[test]
    fn segment_with_an_appended_but_unpublished_record_is_kept() {
        let mut segments = Segments::default();
        segments.published(1, 10);
        segments.settled(&hold(1, 1));
        assert_eq!(retire(&mut segments, &[(1, 2)]), [], "the log gave out two");
        segments.published(1, 10);
        assert_eq!(retire(&mut segments, &[(1, 2)]), []);
        segments.settled(&hold(1, 1));
        assert_eq!(retire(&mut segments, &[(1, 2)]), [1]);
        assert_eq!(retire(&mut segments, &[]), [], "given back once");
    }

    #[test]
    fn segment_without_any_record_is_free_and_one_never_heard_of_is_not() {
        let mut segments = Segments::<u32>::default();
        assert_eq!(retire(&mut segments, &[(1, 0), (2, 3)]), [1]);
    }

    #[test]
    fn span_reaches_from_the_oldest_dirty_segment_to_the_head() {
        let mut segments = Segments::default();
        assert_eq!(segments.span_bytes(1000), 0);
        for segment in 1..=4 {
            segments.published(segment, 100);
        }
        assert_eq!(segments.span_bytes(1000), 3100);
        segments.settled(&hold(2, 1));
        assert_eq!(segments.span_bytes(1000), 3100, "the oldest still holds the tail");
        segments.settled(&hold(1, 1));
        assert_eq!(segments.span_bytes(1000), 1100);
        segments.settled(&[hold(3, 1), hold(4, 1)].concat());
        assert_eq!(segments.span_bytes(1000), 0);
        assert_eq!(retire(&mut segments, &[(1, 1), (2, 1), (3, 1)]), [1, 2, 3]);
        segments.published(4, 100);
        assert_eq!(segments.span_bytes(1000), 200);
    }

    #[test]
    fn segment_recycled_under_the_same_id_starts_anew() {
        let mut segments = Segments::default();
        segments.published(1, 10);
        segments.settled(&hold(1, 1));
        assert_eq!(retire(&mut segments, &[(1, 1)]), [1]);
        assert!(segments.published(1, 10), "first of its new life");
        assert_eq!(retire(&mut segments, &[(1, 1)]), []);
    }
}

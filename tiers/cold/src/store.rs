//! The seam: what every cold store promises, and the values that cross it.

use crate::{ColdResult, Key, KeyPrefix};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::Timestamp;
use std::ops::Range;

/// Largest body of an owner object; more is refused on reading.
pub const OWNER_LEN_MAX: u64 = 64 * 1024;
/// Most keys of a listing's page.
pub const LIST_PAGE_MAX: usize = 1000;

/// Bytes to upload, in pieces that are never joined by copying. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct PutBody {
    parts: Vec<Bytes>,
    len: u64,
}

impl PutBody {
    /// A body of these pieces, one after the other.
    #[must_use]
    pub fn new(parts: Vec<Bytes>) -> PutBody {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        PutBody { parts, len }
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The pieces that hold the bytes `[start, end)`; shares memory with the body.
    #[must_use]
    pub fn slice(&self, start: u64, end: u64) -> PutBody {
        let mut at = 0u64;
        let mut parts = Vec::new();
        for part in &self.parts {
            let part_end = at + part.len() as u64;
            let (from, to) = (start.max(at), end.min(part_end));
            if from < to {
                parts.push(part.slice((from - at) as usize..(to - at) as usize));
            }
            at = part_end;
        }
        PutBody::new(parts)
    }

    /// All bytes in one buffer; copies when there is more than one piece.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [one] => one.clone(),
            parts => parts.concat().into(),
        }
    }
}

impl From<Vec<Bytes>> for PutBody {
    fn from(parts: Vec<Bytes>) -> PutBody {
        PutBody::new(parts)
    }
}

impl From<Bytes> for PutBody {
    fn from(bytes: Bytes) -> PutBody {
        PutBody::new(vec![bytes])
    }
}

/// Which writing of an object this is, in the store's own words (an ETag); compared for equality only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectVersion(pub String);

/// What a create-only put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object holds exactly the body, durably.
    Stored,
    /// Something is there under the key; nothing was written. The caller abandons the id.
    Exists,
}

/// What a store says about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Bytes.
    pub len: u64,
    /// The store's own Last-Modified, on the store's own clock.
    pub modified: Timestamp,
    /// Which writing it is.
    pub version: ObjectVersion,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ListedObject {
    pub key: Key,
    pub info: ObjectInfo,
}

/// Where a listing goes on: behind the last key that the page looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListToken(pub String);

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// Objects in the order of their keys. Objects with names that are no [`Key`] are not ours and left out.
    pub objects: Vec<ListedObject>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<ListToken>,
}

/// What became of one key of a delete batch.
#[derive(Debug)]
pub enum DeleteOutcome {
    /// It is not there now, whether or not it was before.
    Gone,
    /// The store kept it.
    Failed(crate::ColdError),
}

/// What a store is, for humans and for planning. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdInfo {
    /// `memory`, `dir`, `s3`.
    pub kind: &'static str,
    /// Bucket and endpoint, or folder.
    pub location: String,
    /// Largest body of a put, in bytes.
    pub put_len_max: u64,
    /// Bodies above this many bytes go up in parts.
    pub multipart_above: Option<u64>,
}

/// An object store. Objects are immutable but for the owner object; keys are never reused.
///
/// *Guarantees:* what a successful put stored is durable and visible to every later call. Nothing here retries: the retry
/// layer is the only one that does. *Errors:* [`crate::ColdError`] with the retry class decided by the backend.
/// *Cancel:* every call may be dropped; a dropped put or delete is in doubt (it may happen now, later or never), a dropped
/// read leaves nothing behind.
#[async_trait]
pub trait ColdStore: Send + Sync + 'static {
    /// Writes an object that does not exist. *Guarantees:* of two racing puts exactly one is [`PutOutcome::Stored`]; a
    /// reader sees no object or all of it. *Errors:* `in_doubt` tells whether it may have happened after all; the retry
    /// layer turns that into [`crate::ColdErrorKind::Unknown`].
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome>;

    /// Writes the owner object if its version is still `expected` (`None`: if it is absent) and answers the new version.
    /// *Errors:* `Conflict` when it is not.
    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion>;

    /// Reads the owner object whole, with the version of exactly these bytes. *Errors:* `NotFound`;
    /// `Permanent(BadRequest)` when it is longer than [`OWNER_LEN_MAX`].
    async fn get_owner(&self, key: &Key) -> ColdResult<(Bytes, ObjectVersion)>;

    /// Reads exactly the bytes of each range, in one request from the first's start to the last's end.
    /// *Units and shape:* at least one range, none empty, in order and without overlap; what lies between them is thrown
    /// away. *Guarantees:* each range's bytes keep no other's alive. *Errors:* `NotFound`; `Permanent(OutOfRange)` when the object ends
    /// before the last range does; `Retry` for a body that came short.
    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> ColdResult<Vec<Bytes>>;

    /// Reads exactly the bytes `range`; an empty range needs no request. *Errors:* as [`ColdStore::get_ranges`].
    async fn get_range(&self, key: &Key, range: Range<u64>) -> ColdResult<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut bytes = self.get_ranges(key, &[range]).await?;
        Ok(bytes.pop().unwrap_or_default())
    }

    /// Asks about an object. *Errors:* `NotFound`.
    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo>;

    /// Lists a page of at most [`LIST_PAGE_MAX`] objects below a prefix, in byte order of the keys, behind `after`. A page
    /// may be empty and still name a next one.
    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage>;

    /// Deletes objects, any number; the outcomes are in the order of the keys. Deleting what is absent is success.
    /// *Errors:* an error of the whole call means that nothing is known about any of them.
    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>>;

    /// Says what the store is.
    fn describe(&self) -> ColdInfo;
}

/// From the first range's start to the last one's end.
pub(crate) fn span(ranges: &[Range<u64>]) -> Range<u64> {
    match (ranges.first(), ranges.last()) {
        (Some(first), Some(last)) => first.start..last.end,
        _ => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_body_slice_across_parts_keeps_the_bytes() {
        let parts: Vec<Bytes> =
            ["abc", "", "defg", "h"].iter().map(|s| Bytes::from_static(s.as_bytes())).collect();
        let body = PutBody::new(parts);
        assert_eq!(body.len(), 8);
        for start in 0..9u64 {
            for end in start..9 {
                let want = &b"abcdefgh"[start as usize..end.min(8) as usize];
                assert_eq!(&body.slice(start, end).to_bytes()[..], want);
            }
        }
    }
}

//! A cold store in memory, for tests and shares that may be lost. It dies with the process; nothing else can fail.

use crate::error::{ColdError, ColdErrorKind, ColdOp, ColdResult, PermanentCause};
use crate::store::{
    ColdInfo, ColdStore, DeleteOutcome, LIST_PAGE_MAX, ListPage, ListToken, ListedObject, OWNER_LEN_MAX,
    ObjectInfo, ObjectVersion, PutBody, PutOutcome, span,
};
use crate::{Key, KeyPrefix};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::Clock;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

struct Object {
    bytes: Bytes,
    info: ObjectInfo,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    versions: u64,
}

/// Objects in memory, with the time of a [`Clock`] as their Last-Modified.
pub struct MemoryCold {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
}

impl MemoryCold {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> MemoryCold {
        MemoryCold { state: Mutex::default(), clock }
    }

    /// Keys and lengths of everything stored, in order.
    #[must_use]
    pub fn inventory(&self) -> Vec<(Key, u64)> {
        let state = self.state.lock();
        state.objects.iter().filter_map(|(k, o)| Some((Key::new(k.as_str()).ok()?, o.info.len))).collect()
    }

    /// Changes an object's bytes behind everybody's back, as a damaged store would. `false`: no such object.
    pub fn tamper(&self, key: &Key, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.state.lock();
        let Some(object) = state.objects.get_mut(key.as_str()) else { return false };
        let mut bytes = object.bytes.to_vec();
        change(&mut bytes);
        object.info.len = bytes.len() as u64;
        object.bytes = bytes.into();
        true
    }

    fn insert(&self, state: &mut State, key: &Key, bytes: Bytes) -> ObjectVersion {
        state.versions += 1;
        let version = ObjectVersion(format!("v{}", state.versions));
        let info =
            ObjectInfo { len: bytes.len() as u64, modified: self.clock.wall(), version: version.clone() };
        state.objects.insert(key.as_str().to_owned(), Object { bytes, info });
        version
    }

    fn error(kind: ColdErrorKind, op: ColdOp, key: &Key, detail: impl Into<String>) -> ColdError {
        ColdError::new(kind, op, "memory", detail).key(key)
    }

    fn with<T>(&self, op: ColdOp, key: &Key, read: impl FnOnce(&Object) -> ColdResult<T>) -> ColdResult<T> {
        match self.state.lock().objects.get(key.as_str()) {
            Some(object) => read(object),
            None => Err(Self::error(ColdErrorKind::NotFound, op, key, "no such object")),
        }
    }
}

#[async_trait]
impl ColdStore for MemoryCold {
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        let bytes = body.to_bytes();
        let mut state = self.state.lock();
        if state.objects.contains_key(key.as_str()) {
            return Ok(PutOutcome::Exists);
        }
        self.insert(&mut state, key, bytes);
        Ok(PutOutcome::Stored)
    }

    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion> {
        let mut state = self.state.lock();
        let have = state.objects.get(key.as_str()).map(|object| &object.info.version);
        if have != expected {
            let detail = format!("expected version {expected:?}, found {have:?}");
            return Err(Self::error(ColdErrorKind::Conflict, ColdOp::PutOwner, key, detail));
        }
        Ok(self.insert(&mut state, key, body))
    }

    async fn get_owner(&self, key: &Key) -> ColdResult<(Bytes, ObjectVersion)> {
        self.with(ColdOp::GetOwner, key, |object| match object.info.len {
            0..=OWNER_LEN_MAX => Ok((object.bytes.clone(), object.info.version.clone())),
            len => {
                let kind = ColdErrorKind::Permanent(PermanentCause::BadRequest);
                Err(Self::error(kind, ColdOp::GetOwner, key, format!("owner object of {len} bytes")))
            }
        })
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> ColdResult<Vec<Bytes>> {
        self.with(ColdOp::Get, key, |object| {
            if ranges.iter().any(|range| range.end > object.info.len) {
                let kind = ColdErrorKind::Permanent(PermanentCause::OutOfRange);
                let detail = format!("bytes {:?} of an object of {}", span(ranges), object.info.len);
                return Err(Self::error(kind, ColdOp::Get, key, detail));
            }
            // The object's own memory: it lives as long as the store does.
            Ok(ranges
                .iter()
                .map(|range| object.bytes.slice(range.start as usize..range.end as usize))
                .collect())
        })
    }

    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo> {
        self.with(ColdOp::Head, key, |object| Ok(object.info.clone()))
    }

    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage> {
        let state = self.state.lock();
        let start = match after {
            Some(token) if token.0.as_str() >= prefix.as_str() => Bound::Excluded(token.0.as_str()),
            _ => Bound::Included(prefix.as_str()),
        };
        let mut rows = state.objects.range::<str, _>((start, Bound::Unbounded));
        let mut objects = Vec::new();
        for (text, object) in rows.by_ref().take_while(|(text, _)| text.starts_with(prefix.as_str())) {
            if let Ok(key) = Key::new(text.as_str()) {
                objects.push(ListedObject { key, info: object.info.clone() });
            }
            if objects.len() == LIST_PAGE_MAX {
                break;
            }
        }
        let more = objects.len() == LIST_PAGE_MAX
            && rows.next().is_some_and(|(k, _)| k.starts_with(prefix.as_str()));
        let next = objects.last().filter(|_| more).map(|last| ListToken(last.key.as_str().to_owned()));
        Ok(ListPage { objects, next })
    }

    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        let mut state = self.state.lock();
        for key in keys {
            state.objects.remove(key.as_str());
        }
        Ok(keys.iter().map(|_| DeleteOutcome::Gone).collect())
    }

    fn describe(&self) -> ColdInfo {
        ColdInfo {
            kind: "memory",
            location: "memory".to_owned(),
            put_len_max: u64::MAX,
            multipart_above: None,
        }
    }
}

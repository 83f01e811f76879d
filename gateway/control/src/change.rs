//! A change: rows to put and to remove, all or none.

use crate::database::DatabaseError;
use crate::mirror::Snapshot;
use crate::rows::{RawRow, Row, encode};
use crate::secrets::SecretsKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows to put and to remove in one transaction. Of two steps about one row the later counts.
#[derive(Default)]
pub struct Change {
    base: Option<u64>,
    steps: Vec<Box<dyn Step>>,
}

impl Change {
    /// A change that was thought out on a snapshot: it is refused when anything changed since.
    #[must_use]
    pub fn on(snapshot: &Snapshot) -> Change {
        Change { base: Some(snapshot.revision()), steps: Vec::new() }
    }

    /// Puts a row in place of what its key has.
    #[must_use]
    pub fn put<R: Row>(mut self, row: &R) -> Change {
        self.steps.push(Box::new(Put(Arc::new(row.clone()))));
        self
    }

    /// Removes a row, if it is there.
    #[must_use]
    pub fn remove<R: Row>(mut self, key: &str) -> Change {
        self.steps.push(Box::new(Remove::<R>(key.to_owned(), std::marker::PhantomData)));
        self
    }

    /// Does the other one's steps after its own.
    #[must_use]
    pub fn then(mut self, other: Change) -> Change {
        self.base = self.base.or(other.base);
        self.steps.extend(other.steps);
        self
    }

    /// Whether nothing would happen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(crate) fn base(&self) -> Option<u64> {
        self.base
    }

    /// The rows as a store takes them, each once.
    pub(crate) fn raw(&self, secrets: &SecretsKey) -> Result<Vec<RawRow>, DatabaseError> {
        let mut rows = BTreeMap::new();
        for step in &self.steps {
            let raw = step.raw(secrets)?;
            rows.insert((raw.table, raw.key.clone()), raw);
        }
        Ok(rows.into_values().collect())
    }

    /// The snapshot as it is afterwards, its revision aside.
    pub(crate) fn apply(&self, snapshot: &mut Snapshot) {
        self.steps.iter().for_each(|step| step.apply(snapshot));
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("base", &self.base).field("steps", &self.steps.len()).finish()
    }
}

trait Step: Send + Sync {
    fn raw(&self, secrets: &SecretsKey) -> Result<RawRow, DatabaseError>;
    fn apply(&self, snapshot: &mut Snapshot);
}

struct Put<R>(Arc<R>);

impl<R: Row> Step for Put<R> {
    fn raw(&self, secrets: &SecretsKey) -> Result<RawRow, DatabaseError> {
        let value = Some(encode(self.0.as_ref(), secrets)?);
        Ok(RawRow { table: R::TABLE, key: self.0.key(), value })
    }

    fn apply(&self, snapshot: &mut Snapshot) {
        snapshot.put(self.0.clone());
    }
}

struct Remove<R>(String, std::marker::PhantomData<fn() -> R>);

impl<R: Row> Step for Remove<R> {
    fn raw(&self, _: &SecretsKey) -> Result<RawRow, DatabaseError> {
        Ok(RawRow { table: R::TABLE, key: self.0.clone(), value: None })
    }

    fn apply(&self, snapshot: &mut Snapshot) {
        snapshot.remove::<R>(&self.0);
    }
}

//! The rows that one operation puts and deletes, and their form in a redo record.
//!
//! Record v1: version · count (u32) · per row in key order: flag (0 put, 1 delete) · shared (u16: leading key bytes equal
//! to the previous key's) · length of the rest (u16) · rest · for a put: length (u32) · value. Physical redo: applying a
//! record twice, or applying a suffix of records again, gives the same rows.

use crate::wire::{BadRow, Reader, Writer};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Version of the redo record.
const VERSION: u8 = 1;
const PUT: u8 = 0;
const DELETE: u8 = 1;

/// Changes of rows, applied all or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch(BTreeMap<Vec<u8>, Option<Bytes>>);

impl Batch {
    /// Sets a row.
    pub fn put(&mut self, key: Vec<u8>, value: Bytes) {
        self.0.insert(key, Some(value));
    }

    /// Deletes a row, there or not.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.0.insert(key, None);
    }

    /// What the batch says of a row.
    pub fn find(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.0.get(key)
    }

    /// The changes in key order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Option<Bytes>)> {
        self.0.iter()
    }

    /// The changes in `[from, to)` in key order.
    pub fn range(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Option<Bytes>)> {
        use std::ops::Bound::{Excluded, Included};
        let empty = from >= to;
        let bounds = if empty { (Included(from), Included(from)) } else { (Included(from), Excluded(to)) };
        self.0.range::<[u8], _>(bounds).filter(move |_| !empty)
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the changes out, in key order.
    pub fn into_rows(self) -> impl Iterator<Item = (Vec<u8>, Option<Bytes>)> {
        self.0.into_iter()
    }

    /// The bytes of a redo record. Keys are at most 65,535 bytes, values at most 2^32 − 1; callers' caps are far below.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::versioned(VERSION, 64 + self.0.len() * 64);
        out.u32(self.0.len() as u32);
        let mut previous: &[u8] = &[];
        for (key, value) in &self.0 {
            let shared = key.iter().zip(previous).take_while(|(a, b)| a == b).count();
            let rest = key.get(shared..).unwrap_or_default();
            out.u8(if value.is_some() { PUT } else { DELETE }).u16(shared as u16).bytes16(rest);
            if let Some(value) = value {
                out.u32(value.len() as u32).raw(value);
            }
            previous = key;
        }
        out.into_vec()
    }

    /// Reads a redo record back. *Errors:* [`BadRow`] for bytes that `encode` does not make.
    pub fn decode(bytes: &[u8]) -> Result<Batch, BadRow> {
        let mut reader = Reader::versioned(bytes, VERSION)?;
        let count = reader.u32()?;
        let mut batch = Batch::default();
        let mut key: Vec<u8> = Vec::new();
        for _ in 0..count {
            let flag = reader.u8()?;
            let shared = usize::from(reader.u16()?);
            if shared > key.len() {
                return Err(BadRow::Field("shared"));
            }
            key.truncate(shared);
            let rest = usize::from(reader.u16()?);
            key.extend_from_slice(reader.take(rest)?);
            let value = match flag {
                PUT => {
                    let len = reader.u32()? as usize;
                    Some(Bytes::copy_from_slice(reader.take(len)?))
                }
                DELETE => None,
                _ => return Err(BadRow::Field("flag")),
            };
            batch.0.insert(key.clone(), value);
        }
        if reader.is_empty() { Ok(batch) } else { Err(BadRow::Field("length")) }
    }
}

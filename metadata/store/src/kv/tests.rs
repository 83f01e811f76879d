//! Batches, memtables and layers against a plain map.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use std::sync::Arc;

fn batch(rows: &[(&str, Option<&str>)]) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in rows {
        match value {
            Some(value) => batch.put(key.as_bytes().to_vec(), Bytes::copy_from_slice(value.as_bytes())),
            None => batch.delete(key.as_bytes().to_vec()),
        }
    }
    batch
}

fn all(view: &dyn View) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    view.scan(b"", b"\xff", &mut |key, value| {
        rows.push((String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(value).into_owned()));
        Ok(true)
    })
    .unwrap();
    rows
}

#[test]
fn snapshot_sees_its_moment_while_batches_go_on() {
    let table = Arc::new(Memtable::new(true));
    table.apply(batch(&[("a", Some("1")), ("b", Some("1"))]), 1);
    let before = Layers(vec![Box::new(table.snapshot())]);
    table.apply(batch(&[("a", Some("2")), ("b", None), ("c", Some("2"))]), 2);
    let after = Layers(vec![Box::new(table.snapshot())]);
    assert_eq!(all(&before), [("a".into(), "1".into()), ("b".into(), "1".into())]);
    assert_eq!(all(&after), [("a".into(), "2".into()), ("c".into(), "2".into())]);
    assert_eq!(before.get(b"b").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(after.get(b"b").unwrap(), None);
    assert_eq!(before.get(b"c").unwrap(), None);
}

#[test]
fn layers_merge_newest_first_and_deletions_hide_older_rows() {
    let old = Arc::new(Memtable::new(true));
    old.apply(batch(&[("a", Some("old")), ("b", Some("old")), ("d", Some("old"))]), 1);
    let new = Arc::new(Memtable::new(true));
    new.apply(batch(&[("b", Some("new")), ("c", Some("new")), ("d", None)]), 1);
    let view = Layers(vec![Box::new(new.snapshot()), Box::new(old.snapshot())]);
    let expected = [("a".into(), "old".into()), ("b".into(), "new".into()), ("c".into(), "new".into())];
    assert_eq!(all(&view), expected);
    let (key, value) = view.last(b"", b"\xff").unwrap().unwrap();
    assert_eq!((&*key, &*value), (&b"c"[..], &b"new"[..]));
    assert_eq!(view.last(b"d", b"\xff").unwrap(), None);
}

#[test]
fn scan_over_many_chunks_visits_every_row_once_in_order() {
    let old = Arc::new(Memtable::new(true));
    let new = Arc::new(Memtable::new(true));
    for n in 0..3000u32 {
        let key = format!("{n:05}");
        let table = if n % 3 == 0 { &new } else { &old };
        table.apply(batch(&[(&key, Some("x"))]), u64::from(n) + 1);
    }
    let view = Layers(vec![Box::new(new.snapshot()), Box::new(old.snapshot())]);
    let seen = all(&view);
    assert_eq!(seen.len(), 3000);
    assert!(seen.is_sorted());
}

#[test]
fn redo_record_round_trips_and_refuses_cut_bytes() {
    let wanted =
        batch(&[("share-a", Some("1")), ("share-ab", None), ("share-b", Some("")), ("z", Some("9"))]);
    let bytes = wanted.encode();
    assert_eq!(Batch::decode(&bytes).unwrap(), wanted);
    for len in 0..bytes.len() {
        assert!(Batch::decode(&bytes[..len]).is_err(), "{len} bytes of {}", bytes.len());
    }
}

#[test]
fn redo_record_v1_bytes_are_golden() {
    let bytes = batch(&[("ab", Some("xy")), ("ac", None)]).encode();
    let golden = [
        1, 2, 0, 0, 0, // version, count
        0, 0, 0, 2, 0, b'a', b'b', 2, 0, 0, 0, b'x', b'y', // put ab = xy
        1, 1, 0, 1, 0, b'c', // delete ac, one byte shared
    ];
    assert_eq!(bytes, golden);
}

#[test]
fn deletions_leave_nothing_where_no_older_layer_is() {
    let table = Arc::new(Memtable::new(false));
    table.apply(batch(&[("a", Some("1"))]), 1);
    table.apply(batch(&[("a", None)]), 2);
    assert!(table.is_empty());
    assert_eq!(table.bytes(), 0);
}

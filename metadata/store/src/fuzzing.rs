//! Doors for the fuzzer alone: every row's codec. What is read is written and read again and must stay what it is.

use crate::kv::Batch;
use crate::rows::{DentryRow, Head, InodeRow, PackLedgerRow, identity, replay, share};
use dfs_model::{Cookie, InodeId, Name, PackId, ShareId};

/// Reads bytes as the row of that kind.
pub fn row(kind: u8, bytes: &[u8]) {
    match kind % 8 {
        0 => stable(bytes, |bytes| InodeRow::decode(InodeId(7), bytes).ok().map(|row| row.encode().to_vec())),
        1 => stable(bytes, |bytes| {
            PackLedgerRow::decode(PackId(7), bytes).ok().map(|row| row.encode().to_vec())
        }),
        2 => stable(bytes, |bytes| Head::decode(bytes).ok().map(|head| head.encode().to_vec())),
        3 => stable(bytes, |bytes| {
            let decoded = share::decode_record(ShareId(7), bytes).ok();
            decoded.map(|(record, tail)| share::encode_record(&record, &tail).to_vec())
        }),
        4 => stable(bytes, |bytes| {
            let row = DentryRow::decode_by_cookie(InodeId(7), Cookie(3), bytes).ok();
            row.map(|row| row.encode_by_cookie().to_vec())
        }),
        5 => stable(bytes, |bytes| {
            let name = Name::new(b"name".as_slice()).ok()?;
            DentryRow::decode_by_name(InodeId(7), name, bytes).ok().map(|row| row.encode_by_name().to_vec())
        }),
        6 => stable(bytes, |bytes| {
            identity::decode_acl(bytes).ok().map(|acl| identity::encode_acl(&acl).to_vec())
        }),
        _ => drop(replay::decode_any(bytes)),
    }
}

/// Reads bytes as a redo record of the name log.
pub fn batch(bytes: &[u8]) {
    stable(bytes, |bytes| Batch::decode(bytes).ok().map(|batch| batch.encode()));
}

/// What `again` makes of bytes must not change when it is made again.
fn stable(bytes: &[u8], again: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if let Some(once) = again(bytes) {
        assert_eq!(again(&once).as_ref(), Some(&once), "read, written and read again it is something else");
    }
}

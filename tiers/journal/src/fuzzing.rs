//! Doors for the fuzzer alone.

use crate::record;

/// Reads a record's payload.
pub fn record(kind: u8, flags: u16, payload: &[u8]) {
    if let Ok(decoded) = record::decode(kind, flags, payload) {
        assert!(decoded.data_at as usize <= payload.len(), "data begins behind the payload");
    }
}

//! Doors for the fuzzer alone: headers with their checksums put right, so that the fields behind are reached.

use crate::format::{
    HeaderRead, MAGIC, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
};

/// Bytes of a segment header's copy, and where the second one is: as in the format note.
const COPIES: [(usize, usize); 2] = [(0, 72), (2048, 72)];

/// Reads a segment header, as it is and with right checksums. A header that is taken must be written the same way again.
pub fn segment_header(bytes: &[u8]) {
    let mut page = bytes.to_vec();
    page.resize(SEGMENT_HEADER_BYTES as usize, 0);
    SegmentHeader::decode(bytes);
    SegmentHeader::decode(&page);
    for (at, len) in COPIES {
        if let Some(copy) = page.get_mut(at..at + len) {
            copy[..8].copy_from_slice(&MAGIC);
            let sum = crc32c::crc32c(&copy[..len - 4]);
            copy[len - 4..].copy_from_slice(&sum.to_le_bytes());
        }
    }
    if let HeaderRead::Valid(header) = SegmentHeader::decode(&page) {
        assert_eq!(SegmentHeader::decode(&header.encode()), HeaderRead::Valid(header));
    }
}

/// Reads a record header, as it is and with a right checksum.
pub fn record_header(bytes: &[u8], seed: u32) {
    RecordHeader::decode(bytes, seed);
    let mut bytes = bytes.to_vec();
    bytes.resize(RECORD_HEADER_BYTES as usize, 0);
    let sum = crc32c::crc32c_append(seed, &bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
    if let Some(header) = RecordHeader::decode(&bytes, seed) {
        assert_eq!(RecordHeader::decode(&header.encode(seed), seed), Some(header));
    }
}

//! Bytes of segment headers and record headers, version 1 (the page is in the crate's README). Pure.
//!
//! *Invariants:* a decoder never panics and never reads past what it was given; a record header validates only under the
//! journal id and the generation that it was written with, so what an earlier life left in a segment is never taken
//! for a record.

use dfs_model::{Epoch, Seq};

/// Bytes before a segment's first record; a whole page, so that records never share a sector with the header.
pub const SEGMENT_HEADER_BYTES: u64 = 4096;
/// Bytes before a record's payload.
pub const RECORD_HEADER_BYTES: u64 = 40;
/// Largest record kind that a caller may use; the log keeps those above for itself.
pub const KIND_MAX: u8 = 239;
/// Newest format version.
pub(crate) const VERSION: u16 = 1;
/// The last record of a sealed segment.
pub(crate) const KIND_SEAL: u8 = 255;
/// A record without effect, written to carry `synced_through`.
pub(crate) const KIND_VOUCH: u8 = 254;

pub(crate) const MAGIC: [u8; 8] = *b"DFSsegmt";
const HEADER_LEN: usize = 72;
/// Offset of the second copy of the header: another sector on every device.
const COPY_OFFSET: usize = 2048;
const RECORD_LEN: usize = RECORD_HEADER_BYTES as usize;

/// Bytes that a record with this payload takes in a segment: header, payload, padding to eight bytes.
#[must_use]
pub const fn record_bytes(payload_bytes: u64) -> u64 {
    RECORD_HEADER_BYTES + payload_bytes.next_multiple_of(8)
}

/// Reads a little-endian field; zeros where the bytes end early.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|b| b.try_into().ok()).unwrap_or([0; N])
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(target) = bytes.get_mut(at..at + N) {
        target.copy_from_slice(&value);
    }
}

/// What a segment header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Owner; meaningless when free.
    pub(crate) journal: u128,
    /// Which life of the file; grows over the whole pool.
    pub(crate) generation: u64,
    /// Epoch of every record in it.
    pub(crate) epoch: Epoch,
    /// Seq of its first record, whether that was written yet or not.
    pub(crate) first: Seq,
    /// Last accepted seq of the journal's newest older epoch when this epoch began; zero when it held none.
    pub(crate) vouched: Seq,
    /// Given back to the pool.
    pub(crate) free: bool,
}

/// Outcome of reading a header page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderRead {
    /// Never written.
    Blank,
    /// The newer of the valid copies.
    Valid(SegmentHeader),
    /// Written by a newer version.
    Newer(u16),
    /// Neither copy is valid, and not blank.
    Bad,
}

impl SegmentHeader {
    /// The whole header page: two copies, in different sectors.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut copy = [0; HEADER_LEN];
        put(&mut copy, 0, MAGIC);
        put(&mut copy, 8, VERSION.to_le_bytes());
        put(&mut copy, 10, [u8::from(self.free), 0]);
        put(&mut copy, 12, self.epoch.0.to_le_bytes());
        put(&mut copy, 16, self.journal.to_le_bytes());
        put(&mut copy, 32, self.generation.to_le_bytes());
        put(&mut copy, 40, self.first.0.to_le_bytes());
        put(&mut copy, 48, self.vouched.0.to_le_bytes());
        let sum = crc32c::crc32c(copy.get(..HEADER_LEN - 4).unwrap_or_default());
        put(&mut copy, HEADER_LEN - 4, sum.to_le_bytes());
        let mut page = vec![0; SEGMENT_HEADER_BYTES as usize];
        put(&mut page, 0, copy);
        put(&mut page, COPY_OFFSET, copy);
        page
    }

    /// Reads a header page.
    pub(crate) fn decode(page: &[u8]) -> HeaderRead {
        let copies = [Self::decode_copy(page, 0), Self::decode_copy(page, COPY_OFFSET)];
        let rank = |read: &HeaderRead| match read {
            HeaderRead::Bad => (0, 0, false),
            HeaderRead::Blank => (1, 0, false),
            HeaderRead::Valid(header) => (2, header.generation, header.free),
            HeaderRead::Newer(_) => (3, 0, false),
        };
        let best = copies.into_iter().max_by_key(rank).unwrap_or(HeaderRead::Bad);
        // One copy blank, the other bad: a torn first header would leave a valid or a blank one.
        match best {
            HeaderRead::Blank if copies.contains(&HeaderRead::Bad) => HeaderRead::Bad,
            best => best,
        }
    }

    fn decode_copy(page: &[u8], at: usize) -> HeaderRead {
        let copy: [u8; HEADER_LEN] = field(page, at);
        if copy == [0; HEADER_LEN] {
            return HeaderRead::Blank;
        }
        let sum = crc32c::crc32c(copy.get(..HEADER_LEN - 4).unwrap_or_default());
        if field::<8>(&copy, 0) != MAGIC || field(&copy, HEADER_LEN - 4) != sum.to_le_bytes() {
            return HeaderRead::Bad;
        }
        let version = u16::from_le_bytes(field(&copy, 8));
        if version > VERSION {
            return HeaderRead::Newer(version);
        }
        HeaderRead::Valid(SegmentHeader {
            journal: u128::from_le_bytes(field(&copy, 16)),
            generation: u64::from_le_bytes(field(&copy, 32)),
            epoch: Epoch(u32::from_le_bytes(field(&copy, 12))),
            first: Seq(u64::from_le_bytes(field(&copy, 40))),
            vouched: Seq(u64::from_le_bytes(field(&copy, 48))),
            free: field::<1>(&copy, 10) == [1],
        })
    }
}

/// What a record header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Payload bytes.
    pub(crate) length: u32,
    /// CRC-32C of the payload.
    pub(crate) payload_sum: u32,
    /// Meaning, the caller's.
    pub(crate) kind: u8,
    /// The caller's.
    pub(crate) flags: u16,
    /// Number of the record; of a seal or vouch record the number of the last one before it.
    pub(crate) seq: Seq,
    /// The caller's key.
    pub(crate) inode: u64,
    /// Highest seq of the epoch known to be synced when this was written.
    pub(crate) synced_through: Seq,
}

impl RecordHeader {
    /// The header's bytes, its checksum seeded with the segment's life.
    pub(crate) fn encode(&self, seed: u32) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        put(&mut bytes, 4, self.payload_sum.to_le_bytes());
        put(&mut bytes, 8, self.length.to_le_bytes());
        put(&mut bytes, 12, [self.kind, 0]);
        put(&mut bytes, 14, self.flags.to_le_bytes());
        put(&mut bytes, 16, self.seq.0.to_le_bytes());
        put(&mut bytes, 24, self.inode.to_le_bytes());
        put(&mut bytes, 32, self.synced_through.0.to_le_bytes());
        let sum = crc32c::crc32c_append(seed, bytes.get(4..).unwrap_or_default());
        put(&mut bytes, 0, sum.to_le_bytes());
        bytes
    }

    /// Decodes and verifies a header. *Errors:* `None` when it was not written in this life of the segment.
    pub(crate) fn decode(bytes: &[u8], seed: u32) -> Option<RecordHeader> {
        let body = bytes.get(4..RECORD_LEN)?;
        let kind = field::<1>(bytes, 12)[0];
        if kind == 0 || u32::from_le_bytes(field(bytes, 0)) != crc32c::crc32c_append(seed, body) {
            return None;
        }
        Some(RecordHeader {
            length: u32::from_le_bytes(field(bytes, 8)),
            payload_sum: u32::from_le_bytes(field(bytes, 4)),
            kind,
            flags: u16::from_le_bytes(field(bytes, 14)),
            seq: Seq(u64::from_le_bytes(field(bytes, 16))),
            inode: u64::from_le_bytes(field(bytes, 24)),
            synced_through: Seq(u64::from_le_bytes(field(bytes, 32))),
        })
    }
}

/// Start value of record checksums in one life of a segment. Two lives differ unless their generations agree in the low
/// 32 bits' image: generations are consecutive, and a CRC tells any two 32-bit runs apart.
pub(crate) fn seed(journal: u128, generation: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&journal.to_le_bytes()), &generation.to_le_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            journal: 7 << 100,
            generation: 12,
            epoch: Epoch(3),
            first: Seq::new(Epoch(3), 9),
            vouched: Seq::new(Epoch(2), 77),
            free: false,
        }
    }

    #[test]
    fn segment_header_round_trip_keeps_every_field() {
        assert_eq!(SegmentHeader::decode(&header().encode()), HeaderRead::Valid(header()));
        let free = SegmentHeader { free: true, ..header() };
        assert_eq!(SegmentHeader::decode(&free.encode()), HeaderRead::Valid(free));
        assert_eq!(SegmentHeader::decode(&[0; 4096]), HeaderRead::Blank);
        assert_eq!(SegmentHeader::decode(&[]), HeaderRead::Blank);
    }

    #[test]
    fn segment_header_with_one_bad_copy_is_read_from_the_other() {
        for bad in [5, COPY_OFFSET + 41] {
            let mut page = header().encode();
            page[bad] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&page), HeaderRead::Valid(header()));
            page[5 + COPY_OFFSET] ^= 1;
            page[5] ^= 1;
            assert_eq!(SegmentHeader::decode(&page), HeaderRead::Bad);
        }
    }

    #[test]
    fn segment_header_torn_between_lives_shows_the_newer() {
        let newer = SegmentHeader { generation: 13, ..header() };
        let mut page = newer.encode();
        page[..512].copy_from_slice(&header().encode()[..512]);
        assert_eq!(SegmentHeader::decode(&page), HeaderRead::Valid(newer));
    }

    #[test]
    fn segment_header_of_newer_version_is_named() {
        let mut page = header().encode();
        page[8] = 9;
        let sum = crc32c::crc32c(&page[..HEADER_LEN - 4]);
        page[HEADER_LEN - 4..HEADER_LEN].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&page), HeaderRead::Newer(9));
    }

    #[test]
    fn record_header_under_another_life_is_refused() {
        let record = RecordHeader {
            length: 5,
            payload_sum: 99,
            kind: 3,
            flags: 0x8001,
            seq: Seq::new(Epoch(4), 1),
            inode: u64::MAX,
            synced_through: Seq(0),
        };
        let bytes = record.encode(seed(1, 2));
        assert_eq!(RecordHeader::decode(&bytes, seed(1, 2)), Some(record));
        assert_eq!(RecordHeader::decode(&bytes, seed(1, 3)), None);
        assert_eq!(RecordHeader::decode(&bytes, seed(2, 2)), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&flipped, seed(1, 2)), None, "bit {bit}");
        }
        assert_eq!(RecordHeader::decode(&bytes[..20], seed(1, 2)), None);
    }

    #[test]
    fn seeds_of_consecutive_generations_differ() {
        let mut seeds: Vec<u32> = (0..20_000).map(|g| seed(u128::MAX / 3, g)).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 20_000);
    }

    #[test]
    fn version_one_bytes_stay_as_released() {
        let page = header().encode();
        let hex: String = page[..HEADER_LEN].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(&hex[..32], "4446537365676d740100000003000000");
        let record = RecordHeader { length: 1, kind: 1, seq: Seq(0x0102), ..RecordHeader::default() };
        let hex: String = record.encode(0).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            &hex[8..],
            "000000000100000001000000020100000000000000000000000000000000000000000000".get(..72).unwrap()
        );
    }
}

//! Tests of blocks and packs: round trips, damage of every byte, hostile footers, golden bytes.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use bytes::Bytes;
use dfs_model::{BlockId, Change, Epoch, ExtentRun, Generation, InodeId, PackId, Seq, ShareId, Timestamp};
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use xxhash_rust::xxh3::xxh3_64;

const PACK: PackId = PackId(0x00aa_bbcc_ddee_ff00_1122_3344_5566_7788);

fn identity() -> PackIdentity {
    PackIdentity { share: ShareId(0x5151), pack: PACK, epoch: Epoch(3) }
}

fn record(inode: u64, extents: Vec<ExtentRun>) -> PlaceRecord {
    let stamp = |run: ExtentRun| ExtentRun { seq: Seq::new(Epoch(3), 9), born: Change(77), ..run };
    PlaceRecord {
        inode: InodeId(inode),
        generation: Generation(2),
        from_seq: Seq::new(Epoch(2), 5),
        to_seq: Seq::new(Epoch(3), 9),
        part: 0,
        last_part: true,
        extents: extents.into_iter().map(stamp).collect(),
        zeros: vec![(1 << 20, 3 << 20)],
        size_low: 0,
        size: 4 << 20,
        atime: None,
        mtime: Some(Timestamp::new(1_700_000_000, 5)),
        ctime: Timestamp::new(-1, 999_999_999),
        change: Change(77),
        clear_suid: Some(Change(70)),
        set_archive: None,
    }
}

/// Bytes that shrink to about a third, or not at all.
fn bytes(seed: u64, len: usize, shrinks: bool) -> Bytes {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut out = vec![0u8; len];
    random.fill(&mut out[..]);
    if shrinks {
        out.iter_mut().enumerate().filter(|(i, _)| i % 8 != 0).for_each(|(_, b)| *b = 7);
    }
    out.into()
}

fn pack_of(compression: Compression, contents: &[Bytes]) -> (FinishedPack, Vec<PlaceRecord>) {
    let mut encoder = Encoder::new(compression).unwrap();
    let mut builder = PackBuilder::new(identity());
    let mut records = Vec::new();
    for (i, content) in contents.iter().enumerate() {
        let index = builder.push(encoder.encode(content.clone()).unwrap()).unwrap();
        let run = builder.run(i as u64 * 256 * 1024, index, 1).unwrap();
        records.push(record(1025 + i as u64, vec![run]));
        builder.record(records[i].clone()).unwrap();
    }
    (builder.finish().unwrap(), records)
}

fn join(pack: &FinishedPack) -> Bytes {
    let whole: Bytes = pack.parts.concat().into();
    assert_eq!(whole.len() as u64, pack.len);
    whole
}

fn any_compression() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::None), Just(Compression::Lz4), Just(Compression::Zstd)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pack_any_contents_round_trips(
        compression in any_compression(),
        specs in prop::collection::vec((any::<u64>(), 1usize..40_000, any::<bool>()), 0..12),
    ) {
        let contents: Vec<Bytes> = specs.iter().map(|(seed, len, shrinks)| bytes(*seed, *len, *shrinks)).collect();
        let (pack, records) = pack_of(compression, &contents);
        let whole = join(&pack);
        let reader = PackReader::open_whole(PACK, &whole).unwrap();
        prop_assert_eq!(reader.identity(), identity());
        prop_assert_eq!(reader.places(), &records[..]);
        prop_assert_eq!(reader.blocks(), &pack.blocks[..]);
        for (run, content) in records.iter().map(|record| &record.extents[0]).zip(&contents) {
            let piece = run.pieces(0, u64::MAX).next().unwrap();
            let stored = whole.slice(piece.pack_offset as usize..piece.pack_end() as usize);
            prop_assert_eq!(&decode_block(piece.id, stored, &piece.block).unwrap(), content);
        }
    }

    #[test]
    fn footer_hostile_with_right_checksum_never_panics(seed in any::<u64>(), changes in 1usize..6) {
        let (pack, _) = pack_of(Compression::Lz4, &[bytes(1, 900, true), bytes(2, 500, false)]);
        let footer = &pack.parts[pack.parts.len() - 2];
        let mut random = SmallRng::seed_from_u64(seed);
        let mut bad = footer.to_vec();
        for _ in 0..changes {
            let at = random.random_range(0..bad.len());
            bad[at] = if random.random() { random.random() } else { 0xff };
        }
        if random.random_range(0..4) == 0 { bad.truncate(random.random_range(0..bad.len())); }
        let offset = pack.len - (footer.len() + TRAILER_LEN) as u64;
        let trailer = Trailer { pack: PACK, footer_offset: offset, footer_len: bad.len() as u32, footer_hash: xxh3_64(&bad) };
        if let Ok(reader) = PackReader::open(&trailer, &bad) {
            for run in reader.places().iter().flat_map(|place| &place.extents) { run.validate().unwrap(); }
        }
    }

    #[test]
    fn trailer_and_header_random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(Trailer::parse(PACK, 1000, &bytes).is_err());
        prop_assert!(PackIdentity::parse_header(PACK, &bytes).is_err());
    }
}

#[test]
fn pack_with_any_single_byte_changed_is_refused() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let (pack, _) = pack_of(compression, &[bytes(1, 700, true), bytes(2, 300, false)]);
        let whole = join(&pack);
        PackReader::open_whole(PACK, &whole).unwrap();
        for at in 0..whole.len() {
            for flip in [1u8, 0x80, 0xff] {
                let mut bad = whole.to_vec();
                bad[at] ^= flip;
                assert!(
                    PackReader::open_whole(PACK, &bad.into()).is_err(),
                    "{compression:?} byte {at} ^ {flip:#x}"
                );
            }
        }
        for len in 0..whole.len() {
            assert!(PackReader::open_whole(PACK, &whole.slice(..len)).is_err(), "cut to {len}");
        }
    }
}

#[test]
fn block_that_does_not_shrink_is_stored_raw_and_shared() {
    let content = bytes(9, 8192, false);
    for compression in [Compression::Lz4, Compression::Zstd] {
        let block = Encoder::new(compression).unwrap().encode(content.clone()).unwrap();
        assert_eq!(block.reference.compression, Compression::None);
        assert_eq!(block.stored.as_ptr(), content.as_ptr());
        let small = Encoder::new(compression).unwrap().encode(bytes(9, 8192, true)).unwrap();
        assert_eq!(small.reference.compression, compression);
        assert!(small.reference.stored_len < 4096, "{}", small.reference.stored_len);
    }
}

#[test]
fn decode_damaged_block_names_pack_block_and_both_checksums() {
    let block = Encoder::new(Compression::Zstd).unwrap().encode(bytes(3, 5000, true)).unwrap();
    let id = BlockId { pack: PackId(0xabc), index: 12 };
    let mut bad = block.stored.to_vec();
    bad[100] ^= 4;
    let error = decode_block(id, bad.clone().into(), &block.reference).unwrap_err();
    let (expected, actual) = (block.reference.hash, block_hash(&bad));
    assert_eq!(
        error.to_string(),
        format!(
            "pack 00000000000000000000000000000abc block 12: damaged: checksum {actual:016x}, expected {expected:016x}"
        )
    );
    let short = decode_block(id, block.stored.slice(1..), &block.reference).unwrap_err();
    assert!(matches!(short, BlockError::Length { .. }));
}

#[test]
fn decode_lying_reference_with_right_checksum_is_refused() {
    let id = BlockId { pack: PACK, index: 0 };
    for compression in [Compression::Lz4, Compression::Zstd] {
        let block = Encoder::new(compression).unwrap().encode(bytes(3, 5000, true)).unwrap();
        for decoded_len in [4999, 5001, 1 << 20] {
            let reference = BlockRef { decoded_len, ..block.reference };
            assert!(matches!(
                decode_block(id, block.stored.clone(), &reference),
                Err(BlockError::Decode { .. })
            ));
        }
        for garbage in 0..200u64 {
            let stored = bytes(garbage, 300, false);
            let reference =
                BlockRef { stored_len: 300, decoded_len: 5000, compression, hash: block_hash(&stored) };
            assert!(decode_block(id, stored, &reference).is_err());
        }
    }
    let too_big = BlockRef { stored_len: 10, decoded_len: u32::MAX, compression: Compression::Zstd, hash: 0 };
    assert!(matches!(decode_block(id, Bytes::new(), &too_big), Err(BlockError::Reference { .. })));
}

#[test]
fn open_other_version_encryption_or_name_says_so() {
    let (pack, _) = pack_of(Compression::None, &[bytes(1, 10, false)]);
    let whole = join(&pack);
    let open = |bytes: Vec<u8>| PackReader::open_whole(PACK, &bytes.into()).unwrap_err();
    let mut newer = whole.to_vec();
    newer[8] = 2;
    assert_eq!(open(newer), PackError::Newer { pack: PACK, version: 2 });
    let mut encrypted = whole.to_vec();
    encrypted[10] = 1;
    assert_eq!(open(encrypted), PackError::Encryption { pack: PACK, number: 1 });
    let other = PackReader::open_whole(PackId(1), &whole).unwrap_err();
    assert_eq!(other, PackError::OtherPack { expected: PackId(1), found: PACK });
    assert!(matches!(open(b"hello".to_vec()), PackError::Length { .. }));
    assert!(matches!(open(vec![0; 500]), PackError::Magic { .. }));
}

#[test]
fn record_with_foreign_extent_is_refused() {
    let mut encoder = Encoder::new(Compression::None).unwrap();
    let mut builder = PackBuilder::new(identity());
    builder.push(encoder.encode(bytes(1, 100, false)).unwrap()).unwrap();
    let run = builder.run(0, 0, 1).unwrap();
    let foreign = ExtentRun { pack: PackId(9), ..run.clone() };
    assert!(matches!(builder.record(record(1025, vec![foreign])), Err(PackError::Invalid { .. })));
    let moved = ExtentRun { pack_offset: 65, ..run.clone() };
    assert!(matches!(builder.record(record(1025, vec![moved])), Err(PackError::Invalid { .. })));
    assert!(matches!(builder.run(0, 0, 2), Err(PackError::Invalid { .. })));
    assert!(matches!(encoder.encode(Bytes::new()), Err(PackError::BlockLength { .. })));
    let trimmed = run.slice(10, 20).unwrap();
    builder.record(record(1025, vec![trimmed.clone()])).unwrap();
    let reader = PackReader::open_whole(PACK, &join(&builder.finish().unwrap())).unwrap();
    assert_eq!(reader.places()[0].extents, record(1025, vec![trimmed]).extents);
}

#[test]
fn pack_of_the_most_small_blocks_fits_and_one_more_is_refused() {
    let mut encoder = Encoder::new(Compression::None).unwrap();
    let mut builder = PackBuilder::new(identity());
    let block = encoder.encode(bytes(1, 3, false)).unwrap();
    for inode in 0..BLOCKS_PER_PACK_MAX as u64 {
        let index = builder.push(block.clone()).unwrap();
        let run = builder.run(0, index, 1).unwrap();
        builder.record(record(1025 + inode, vec![run])).unwrap();
    }
    assert!(matches!(builder.push(block), Err(PackError::Full { .. })));
    let whole = join(&builder.finish().unwrap());
    assert_eq!(PackReader::open_whole(PACK, &whole).unwrap().places().len(), RECORDS_PER_PACK_MAX);
}

/// The format of every released version stays readable: version 1 as this program wrote it the day it was fixed.
#[test]
fn pack_version_1_golden_bytes_are_written_and_read() {
    let (pack, records) = pack_of(Compression::None, &[Bytes::from_static(b"hello pack")]);
    let whole = join(&pack);
    let hex: String = whole.iter().map(|b| format!("{b:02x}")).collect();
    let golden: String = include_str!("golden_v1.hex").split_whitespace().collect();
    assert_eq!(hex, golden);
    let old: Vec<u8> =
        (0..golden.len() / 2).map(|i| u8::from_str_radix(&golden[2 * i..2 * i + 2], 16).unwrap()).collect();
    assert_eq!(PackReader::open_whole(PACK, &old.into()).unwrap().places(), &records[..]);
}

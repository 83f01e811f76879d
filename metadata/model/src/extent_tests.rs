//! Tests of the rows of a file's map.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

fn block(decoded_len: u32, hash: u64) -> BlockRef {
    BlockRef { stored_len: decoded_len.div_ceil(2), decoded_len, compression: Compression::Lz4, hash }
}

/// A run whose block lengths are given, at a given file offset.
fn run(offset: u64, lens: &[u32]) -> ExtentRun {
    let blocks = lens.iter().enumerate().map(|(i, len)| block(*len, 100 + i as u64)).collect();
    ExtentRun::new(offset, PackId(7), 5, 4096, blocks).unwrap()
}

/// Every byte of the run as (file byte, block index, byte in the decoded block, pack offset of the block).
fn bytes_of(run: &ExtentRun) -> Vec<(u64, u32, u32, u64)> {
    let mut all = Vec::new();
    for piece in run.pieces(0, u64::MAX) {
        for i in 0..piece.len {
            all.push((piece.offset + u64::from(i), piece.id.index, piece.skip + i, piece.pack_offset));
        }
    }
    all
}

prop_compose! {
    fn any_run()(
        offset in 0u64..5000,
        lens in prop::collection::vec(1u32..40, 1..=BLOCKS_PER_RUN_MAX),
        cut in (0u64..30, 0u64..30),
    ) -> ExtentRun {
        let whole = run(offset, &lens);
        whole.slice(whole.offset + cut.0, whole.end().saturating_sub(cut.1)).unwrap_or(whole)
    }
}

proptest! {
    #[test]
    fn slice_any_range_keeps_exactly_its_bytes(run in any_run(), a in 0u64..6000, b in 0u64..6000) {
        let want: Vec<_> = bytes_of(&run).into_iter().filter(|x| a <= x.0 && x.0 < b).collect();
        match run.slice(a, b) {
            None => prop_assert!(want.is_empty()),
            Some(part) => {
                part.validate().unwrap();
                prop_assert_eq!(bytes_of(&part), want);
            }
        }
    }

    #[test]
    fn without_any_range_keeps_the_rest(run in any_run(), a in 0u64..6000, len in 0u64..900) {
        let b = a + len;
        let want: Vec<_> = bytes_of(&run).into_iter().filter(|x| x.0 < a || x.0 >= b).collect();
        let (left, right) = run.without(a, b);
        let mut have = Vec::new();
        for part in [left, right].into_iter().flatten() {
            part.validate().unwrap();
            have.extend(bytes_of(&part));
        }
        prop_assert_eq!(have, want);
    }

    #[test]
    fn split_then_join_restores_the_run(run in any_run(), at in 0u64..6000) {
        let (left, right) = run.split_at(at);
        match (left, right) {
            (Some(mut left), Some(right)) => {
                prop_assert!(left.join(&right));
                prop_assert_eq!(left, run);
            }
            (one, other) => prop_assert_eq!(one.or(other), Some(run)),
        }
    }

    #[test]
    fn codec_round_trip_keeps_fields_and_tail(run in any_run(), tail in prop::collection::vec(any::<u8>(), 0..40)) {
        let run = ExtentRun { seq: Seq(9), born: Change(11), tail: tail.into(), ..run };
        let mut bytes = Vec::new();
        run.encode(&mut bytes);
        prop_assert_eq!(ExtentRun::decode(&bytes).unwrap(), run);
    }

    #[test]
    fn decode_hostile_bytes_never_breaks_an_invariant(mut bytes in prop::collection::vec(any::<u8>(), 0..300), run in any_run(), at in 0usize..200, bit in 0u8..8) {
        if let Some(first) = bytes.first_mut() { *first = VERSION; }
        if let Ok(run) = ExtentRun::decode(&bytes) { run.validate().unwrap(); }
        let mut good = Vec::new();
        run.encode(&mut good);
        let at = at % good.len();
        good[at] ^= 1 << bit;
        if let Ok(run) = ExtentRun::decode(&good) {
            run.validate().unwrap();
            let _ = run.pieces(0, u64::MAX).count();
        }
    }
}

#[test]
fn encode_known_run_gives_golden_bytes() {
    let mut run = run(0x1122, &[10, 6]).slice(0x1124, u64::MAX).unwrap();
    run.seq = Seq::new(crate::Epoch(3), 4);
    run.born = Change::new(crate::Epoch(3), 9);
    let mut bytes = Vec::new();
    run.encode(&mut bytes);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "01020000020000002411000000000000\
         0e000000000000000700000000000000\
         00000000000000000010000000000000\
         05000000040000000003000009000000\
         00030000050000000a00000164000000\
         00000000030000000600000165000000\
         00000000"
    );
}

#[test]
fn pieces_of_a_skipped_first_block_start_inside_it() {
    let cut = run(1000, &[10, 10, 10]).slice(1013, 1025).unwrap();
    assert_eq!((cut.first_block, cut.skip, cut.pack_offset, cut.blocks.len()), (6, 3, 4101, 2));
    let pieces: Vec<_> =
        cut.pieces(0, 1021).map(|p| (p.offset, p.len, p.skip, p.id.index, p.pack_end())).collect();
    assert_eq!(pieces, [(1013, 7, 3, 6, 4106), (1020, 1, 0, 7, 4111)]);
}

#[test]
fn new_with_impossible_blocks_is_refused() {
    let make = |blocks| ExtentRun::new(0, PackId(1), 0, 0, blocks);
    assert_eq!(make(vec![]), Err(BadExtent::Invalid("number of blocks")));
    assert_eq!(make(vec![block(8, 0); 65]), Err(BadExtent::Invalid("number of blocks")));
    assert_eq!(make(vec![block(BLOCK_LEN_MAX + 1, 0)]), Err(BadExtent::Invalid("length of a block")));
    let raw = BlockRef { stored_len: 4, decoded_len: 8, compression: Compression::None, hash: 0 };
    assert_eq!(make(vec![raw]), Err(BadExtent::Invalid("length of a block")));
    assert_eq!(
        ExtentRun::new(FILE_END_MAX - 3, PackId(1), 0, 0, vec![block(8, 0)]),
        Err(BadExtent::Invalid("end in the file"))
    );
}

#[test]
fn join_of_other_pack_seq_or_gap_is_refused() {
    let (left, right) = run(0, &[10, 10]).split_at(10);
    let (left, right) = (left.unwrap(), right.unwrap());
    for other in [
        ExtentRun { pack: PackId(8), ..right.clone() },
        ExtentRun { seq: Seq(1), ..right.clone() },
        ExtentRun { offset: 11, ..right.clone() },
        ExtentRun { first_block: 9, ..right.clone() },
        ExtentRun { pack_offset: 1, ..right.clone() },
    ] {
        let mut joined = left.clone();
        assert!(!joined.join(&other));
        assert_eq!(joined, left);
    }
}

#[test]
fn decode_newer_version_is_refused_by_name() {
    assert_eq!(ExtentRun::decode(&[2; 200]), Err(BadExtent::Version(2)));
    let mut bytes = Vec::new();
    run(0, &[8]).encode(&mut bytes);
    bytes[HEAD_LEN + 7] = 9;
    assert_eq!(ExtentRun::decode(&bytes), Err(BadExtent::Compression(9)));
}

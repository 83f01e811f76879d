//! A pack: whole, its trailer, and its footer behind the checksum; also a good footer with some bytes changed, because its
//! archive is not found by chance.
#![no_main]

use bytes::Bytes;
use dfs_block::{Compression, Encoder, FinishedPack, PackBuilder, PackIdentity, PackReader, PlaceRecord, TRAILER_LEN, Trailer};
use dfs_model::{Change, Epoch, Generation, InodeId, PackId, Seq, ShareId, Timestamp};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

const PACK: PackId = PackId(0x5eed);

/// Footer of a good pack, and where its blocks end.
fn good() -> Option<(Vec<u8>, u64)> {
    let mut builder = PackBuilder::new(PackIdentity { share: ShareId(1), pack: PACK, epoch: Epoch(2) });
    let mut encoder = Encoder::new(Compression::Lz4).ok()?;
    for number in 0..3u8 {
        builder.push(encoder.encode(Bytes::from(vec![number; 4096])).ok()?).ok()?;
    }
    for part in 0..2 {
        let mut run = builder.run(0, 0, 3).ok()?;
        (run.seq, run.born) = (Seq::new(Epoch(2), 9), Change(77));
        builder.record(PlaceRecord {
            inode: InodeId(5),
            generation: Generation(1),
            from_seq: Seq::new(Epoch(2), 5),
            to_seq: Seq::new(Epoch(2), 9),
            part,
            last_part: part == 1,
            extents: vec![run],
            zeros: vec![(1 << 20, 3 << 20)],
            size_low: 0,
            size: 4 << 20,
            atime: None,
            mtime: Some(Timestamp::new(1, 2)),
            ctime: Timestamp::new(3, 4),
            change: Change(77),
            clear_suid: Some(Change(70)),
            set_archive: None,
        })
        .ok()?;
    }
    let FinishedPack { parts, .. } = builder.finish().ok()?;
    let whole = Bytes::from(parts.concat());
    PackReader::open_whole(PACK, &whole).ok()?;
    let tail = whole.get(whole.len() - TRAILER_LEN..)?;
    let range = Trailer::parse(PACK, whole.len() as u64, tail).ok()?.footer_range();
    Some((whole.get(range.start as usize..range.end as usize)?.to_vec(), range.start))
}

fuzz_target!(|data: &[u8]| {
    static GOOD: OnceLock<(Vec<u8>, u64)> = OnceLock::new();
    let _ = PackReader::open_whole(PackId(0), &Bytes::copy_from_slice(data));
    if let Some(tail) = data.get(..TRAILER_LEN) {
        let _ = Trailer::parse(PackId(0), data.len() as u64, tail);
    }
    dfs_block::fuzzing::footer(PACK.0, 1 << 20, data);
    let (footer, end) = GOOD.get_or_init(|| good().expect("a good pack"));
    let mut changed = footer.clone();
    for edit in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % changed.len();
        changed[at] ^= edit[2];
    }
    dfs_block::fuzzing::footer(PACK.0, *end, &changed);
});

//! Cases: clones of files (JOURNAL P5).

use super::{Bed, case_list, refused};
use crate::{ClonePart, CloneRequest, Cloned, StoreError, StoreResult};
use dfs_model::inode::dos;
use dfs_model::quota::QuotaSubject;
use dfs_model::{
    AttrPatch, Credentials, FsError, Identity, InodeId, InodeKind, Patch, ShareCeiling, Timestamp,
};

const ROOT: InodeId = InodeId::ROOT;
const K64: u32 = 65_536;
/// Block size of the bed's shares.
const BLOCK: u64 = 256 * 1024;

fn whole(from: InodeId, to: InodeId) -> CloneRequest {
    CloneRequest { from, to, part: None, drained: [None, None], clear_suid: false }
}

fn part(from: InodeId, from_offset: u64, to: InodeId, to_offset: u64, len: u64) -> CloneRequest {
    CloneRequest { part: Some(ClonePart { from_offset, to_offset, len }), ..whole(from, to) }
}

async fn clone(bed: &Bed, request: CloneRequest) -> StoreResult<Cloned> {
    bed.store.clone_file(bed.cx(&bed.root), request).await.map(|applied| applied.value)
}

/// Offset, end, pack and bytes skipped of every run.
async fn shape(bed: &Bed, id: InodeId) -> Vec<(u64, u64, u128, u32)> {
    bed.map(id).await.iter().map(|run| (run.offset, run.end(), run.pack.0, run.skip)).collect()
}

case_list! {
async fn clone_of_a_whole_file_has_its_map_size_and_time_and_nothing_of_its_own(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let pack = bed.written(from, 0, K64, 4).await;
    let own = bed.written(to, 0, K64, 8).await;
    let (source, before) = (bed.inode(from).await, bed.inode(to).await);
    let seq = bed.next_seq();
    let mut request = whole(from, to);
    request.drained = [Some(source.flushed_seq), Some(before.flushed_seq)];
    let cloned = clone(bed, request).await.unwrap();
    let row = bed.inode(to).await;
    assert_eq!((&*cloned.to.pre, &*cloned.to.post, cloned.len), (&*before, &*row, 4 * u64::from(K64)));
    assert_eq!((row.size, row.allocated, row.mtime), (source.size, source.allocated, source.mtime));
    assert_eq!((row.flushed_seq, row.dos & dos::ARCHIVE), (seq, dos::ARCHIVE));
    assert!(row.change > before.change && row.ctime > before.ctime);
    assert_eq!((row.owner.clone(), row.mode, row.btime), (before.owner.clone(), before.mode, before.btime));
    assert_eq!(shape(bed, to).await, shape(bed, from).await);
    assert!(bed.map(to).await.iter().all(|run| run.seq == seq && run.born == row.change));
    assert_eq!(*bed.inode(from).await, *source);
    assert_eq!(bed.pack(pack).await.live_bytes, 2 * 4 * u64::from(K64 / 2));
    assert_eq!(bed.bury(&[own, pack]).await, [own]);
}
async fn clone_and_source_go_their_own_ways(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let old = bed.written(from, 0, K64, 2).await;
    clone(bed, whole(from, to)).await.unwrap();
    let new = bed.written(from, 0, K64, 1).await;
    let k64 = u64::from(K64);
    assert_eq!(shape(bed, from).await, [(0, k64, new.0, 0), (k64, 2 * k64, old.0, 0)]);
    assert_eq!(shape(bed, to).await, [(0, 2 * k64, old.0, 0)]);
    bed.remove(ROOT, "a").await.unwrap();
    assert_eq!(bed.bury(&[new, old]).await, [new]);
    bed.remove(ROOT, "b").await.unwrap();
    assert_eq!(bed.bury(&[old]).await, [old]);
}
async fn clone_of_an_empty_file_empties_the_target(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let own = bed.written(to, 0, K64, 1).await;
    clone(bed, whole(from, to)).await.unwrap();
    assert_eq!((bed.inode(to).await.size, bed.inode(to).await.allocated), (0, 0));
    assert_eq!(bed.bury(&[own]).await, [own]);
}
async fn clone_of_a_part_takes_its_blocks_and_keeps_the_rest(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let pack = bed.written(from, 0, K64, 12).await;
    let own = bed.written(to, 0, K64, 8).await;
    let cloned = clone(bed, part(from, BLOCK, to, 0, BLOCK)).await.unwrap();
    assert_eq!(cloned.len, BLOCK);
    assert_eq!(shape(bed, to).await, [(0, BLOCK, pack.0, 0), (BLOCK, 2 * BLOCK, own.0, 0)]);
    assert_eq!(bed.map(to).await[0].blocks, bed.map(from).await[0].blocks[4..8]);
    let row = bed.inode(to).await;
    assert_eq!((row.size, row.mtime), (2 * BLOCK, row.ctime));
    clone(bed, part(from, 2 * BLOCK, to, 4 * BLOCK, BLOCK)).await.unwrap();
    assert_eq!(bed.inode(to).await.size, 5 * BLOCK);
    assert_eq!(shape(bed, to).await[2], (4 * BLOCK, 5 * BLOCK, pack.0, 0));
}
async fn clone_of_a_part_within_one_file_works_where_it_does_not_overlap(bed) {
    let id = bed.file(ROOT, "a").await;
    let pack = bed.written(id, 0, K64, 4).await;
    clone(bed, part(id, 0, id, BLOCK, BLOCK)).await.unwrap();
    assert_eq!(shape(bed, id).await, [(0, BLOCK, pack.0, 0), (BLOCK, 2 * BLOCK, pack.0, 0)]);
    refused(clone(bed, part(id, 0, id, BLOCK, BLOCK + 1)).await, FsError::InvalidArgument);
}
async fn clone_of_a_part_with_a_hole_makes_the_hole(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    bed.written(from, 3 * BLOCK, K64, 4).await;
    bed.written(to, 0, K64, 16).await;
    clone(bed, part(from, 0, to, BLOCK, 2 * BLOCK)).await.unwrap();
    let ranges: Vec<_> = shape(bed, to).await.iter().map(|run| (run.0, run.1)).collect();
    assert_eq!(ranges, [(0, BLOCK), (3 * BLOCK, 4 * BLOCK)]);
    assert_eq!(bed.inode(to).await.allocated, 2 * BLOCK);
}
async fn clone_that_ends_within_a_block_cuts_what_it_covers_only(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let pack = bed.written(from, 0, 100_000, 1).await;
    let own = bed.written(to, 0, K64, 4).await;
    clone(bed, part(from, 0, to, 0, 100_000)).await.unwrap();
    assert_eq!(shape(bed, to).await, [(0, 100_000, pack.0, 0), (100_000, BLOCK, own.0, 100_000 - K64)]);
}
async fn clone_of_impossible_parts_is_invalid(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    bed.written(from, 0, K64, 8).await;
    let wrong = [
        whole(from, from),
        part(from, 0, to, 0, 0),
        part(from, 1, to, 0, 5),
        part(from, 0, to, 4096, 4096),
        part(from, 0, to, 0, 2 * BLOCK + 1),
        part(from, 0, to, BLOCK * ((i64::MAX as u64) / BLOCK), BLOCK),
        part(from, BLOCK, to, 0, u64::MAX),
    ];
    let before = bed.inode(to).await;
    for request in wrong {
        refused(clone(bed, request).await, FsError::InvalidArgument);
    }
    assert_eq!(*bed.inode(to).await, *before);
}
async fn clone_of_what_is_no_file_is_invalid_and_of_nothing_is_stale(bed) {
    let (file, dir) = (bed.file(ROOT, "a").await, bed.mkdir(ROOT, "d").await);
    let link = bed.made(ROOT, "l", InodeKind::Symlink, 0o777, &bed.root).await;
    for (from, to) in [(file, dir), (dir, file), (file, link), (link, file)] {
        refused(clone(bed, whole(from, to)).await, FsError::InvalidArgument);
    }
    let gone = InodeId(9_999_999);
    refused(clone(bed, whole(gone, file)).await, FsError::StaleHandle);
    refused(clone(bed, whole(file, gone)).await, FsError::StaleHandle);
}
async fn clone_of_rows_that_moved_on_is_raced(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let seqs = [bed.inode(from).await.flushed_seq, bed.inode(to).await.flushed_seq];
    bed.written(from, 0, K64, 1).await;
    for drained in [[Some(seqs[0]), Some(seqs[1])], [None, Some(bed.next_seq())]] {
        let request = CloneRequest { drained, ..whole(from, to) };
        assert!(matches!(clone(bed, request).await, Err(StoreError::Raced)));
    }
    assert_eq!(bed.inode(to).await.size, 0);
}
async fn clone_by_a_stale_epoch_or_a_reader_is_refused(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let reader = Credentials { ceiling: ShareCeiling::ReadOnly, ..Credentials::unix(0, 0, &[]) };
    let by = |who| bed.store.clone_file(bed.cx(who), whole(from, to));
    refused(by(&reader).await, FsError::ReadOnlyShare);
    bed.store.begin_epoch(bed.share).await.unwrap();
    assert!(matches!(by(&bed.root).await, Err(StoreError::Fenced { .. })));
}
async fn clone_is_held_by_the_owner_of_the_target(bed) {
    let from = bed.file(ROOT, "a").await;
    let to = bed.made(ROOT, "b", InodeKind::File, 0o644, &bed.user).await;
    bed.written(from, 0, K64, 4).await;
    clone(bed, whole(from, to)).await.unwrap();
    let held = bed.store.quotas(bed.share).await.unwrap();
    let his = QuotaSubject::User(Identity::Uid(1000));
    let entry = held.iter().find(|entry| entry.subject == his).unwrap();
    assert_eq!((entry.usage.bytes, entry.usage.inodes), (4 * u64::from(K64), 1));
    assert_eq!(bed.store.usage(bed.share).await.unwrap().bytes, 8 * u64::from(K64));
}
async fn clone_clears_set_id_bits_where_asked_and_any_verifier(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    bed.set(&bed.root, to, AttrPatch { mode: Patch::Set(0o6755), ..AttrPatch::default() }).await.unwrap();
    clone(bed, whole(from, to)).await.unwrap();
    assert_eq!(bed.inode(to).await.mode, 0o6755);
    clone(bed, CloneRequest { clear_suid: true, ..whole(from, to) }).await.unwrap();
    assert_eq!((bed.inode(to).await.mode, bed.inode(to).await.create_verifier), (0o755, None));
}
async fn clone_is_the_base_of_the_next_place(bed) {
    let (from, to) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let late = bed.part(to, 5, vec![]).await;
    bed.written(from, 0, K64, 2).await;
    clone(bed, whole(from, to)).await.unwrap();
    let row = bed.inode(to).await;
    assert!(row.flushed_seq >= late.to_seq, "records issued before the clone never apply to it");
    let placed = bed.place(vec![], vec![late]).await.unwrap();
    assert!(matches!(placed.inodes[0], crate::PlacedInode::OutOfOrder { .. }));
    let mut next = bed.part(to, 100_000, vec![]).await;
    next.mtime = Some(Timestamp::new(5, 5));
    bed.place(vec![], vec![next]).await.unwrap();
    assert_eq!(bed.inode(to).await.allocated, 100_000);
    assert_eq!(bed.inode(from).await.allocated, 2 * u64::from(K64));
}
}

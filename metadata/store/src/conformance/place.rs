//! Cases: `place` (JOURNAL §5.3).

use super::{Bed, case_list, refused};
use crate::{PackState, PlacedInode, StoreError};
use dfs_model::inode::dos;
use dfs_model::{AttrPatch, FsError, InodeId, InodeKind, PackId, Patch, Seq, Timestamp};

const ROOT: InodeId = InodeId::ROOT;
const K64: u32 = 65_536;

async fn ranges(bed: &Bed, id: InodeId) -> Vec<(u64, u64)> {
    bed.map(id).await.iter().map(|run| (run.offset, run.end())).collect()
}

case_list! {
async fn place_sets_map_size_times_and_seq(bed) {
    let id = bed.file(ROOT, "a").await;
    let pack = bed.pack_up().await;
    let mut part = bed.part(id, 100_000, vec![Bed::run(pack, 0, 50_000, 2)]).await;
    part.mtime = Some(Timestamp::new(77, 1));
    part.atime = Some(Timestamp::new(78, 2));
    let placed = bed.place(vec![pack], vec![part.clone()]).await.unwrap();
    let row = bed.inode(id).await;
    assert!(matches!(&placed.inodes[..], [PlacedInode::Placed(post)] if **post == *row));
    assert_eq!((row.size, row.allocated, row.flushed_seq), (100_000, 100_000, part.to_seq));
    assert_eq!((row.mtime, row.atime), (Timestamp::new(77, 1), Timestamp::new(78, 2)));
    assert_eq!(bed.map(id).await, part.extents);
    let ledger = bed.pack(pack).await;
    assert_eq!((ledger.state, ledger.live_bytes), (PackState::Live, 50_000));
}
async fn place_out_of_order_skips_that_inode_and_places_the_others(bed) {
    let (a, b) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let pack = bed.pack_up().await;
    let mut late = bed.part(a, 10, vec![Bed::run(pack, 0, 10, 1)]).await;
    late.from_seq = bed.next_seq();
    late.to_seq = bed.next_seq();
    let fine = bed.part(b, 10, vec![Bed::run(pack, 0, 10, 1)]).await;
    let flushed = bed.inode(a).await.flushed_seq;
    let placed = bed.place(vec![pack], vec![late, fine]).await.unwrap();
    assert!(matches!(placed.inodes[0], PlacedInode::OutOfOrder { flushed_seq } if flushed_seq == flushed));
    assert!(matches!(placed.inodes[1], PlacedInode::Placed(_)));
    assert_eq!((bed.inode(a).await.size, bed.inode(b).await.size), (0, 10));
}
async fn place_batches_of_one_inode_land_in_order_only(bed) {
    let id = bed.file(ROOT, "a").await;
    let (p1, p2) = (bed.pack_up().await, bed.pack_up().await);
    let first = bed.part(id, 10, vec![Bed::run(p1, 0, 10, 1)]).await;
    let mut second = bed.part(id, 20, vec![Bed::run(p2, 10, 10, 1)]).await;
    second.from_seq = first.to_seq;
    second.size_low = 10;
    let early = bed.place(vec![p2], vec![second.clone()]).await.unwrap();
    assert!(matches!(early.inodes[0], PlacedInode::OutOfOrder { .. }));
    bed.place(vec![p1], vec![first]).await.unwrap();
    let p3 = bed.pack_up().await;
    second.extents = vec![Bed::run(p3, 10, 10, 1)];
    bed.place(vec![p3], vec![second]).await.unwrap();
    assert_eq!(ranges(bed, id).await, [(0, 10), (10, 20)]);
}
async fn place_of_an_absent_inode_is_skipped_and_makes_none(bed) {
    let id = bed.file(ROOT, "a").await;
    let pack = bed.pack_up().await;
    let part = bed.part(id, 10, vec![Bed::run(pack, 0, 10, 1)]).await;
    bed.remove(ROOT, "a").await.unwrap();
    let placed = bed.place(vec![pack], vec![part]).await.unwrap();
    assert!(matches!(placed.inodes[0], PlacedInode::Absent));
    assert!(bed.gone(id).await);
    assert_eq!(bed.bury(&[pack]).await, [pack]);
}
async fn place_of_an_orphan_works(bed) {
    let id = bed.file(ROOT, "a").await;
    let mut removal = Bed::removal(ROOT, "a");
    removal.keep_orphan = true;
    bed.remove_by(&bed.root, removal).await.unwrap();
    bed.written(id, 0, 4096, 1).await;
    assert_eq!(bed.inode(id).await.size, 4096);
}
async fn place_with_a_pack_that_is_not_up_is_refused_whole(bed) {
    let id = bed.file(ROOT, "a").await;
    let used = bed.written(id, 0, 10, 1).await;
    let dead = bed.pack_up().await;
    bed.bury(&[dead]).await;
    for pack in [used, dead, PackId(0xdead_beef)] {
        let part = bed.part(id, 10, vec![Bed::run(pack, 0, 10, 1)]).await;
        refused(bed.place(vec![pack], vec![part]).await, FsError::Internal);
    }
    assert_eq!(bed.map(id).await[0].pack, used);
}
async fn place_of_several_packs_turns_all_live_or_none(bed) {
    let id = bed.file(ROOT, "a").await;
    let (p1, p2, dead) = (bed.pack_up().await, bed.pack_up().await, bed.pack_up().await);
    bed.bury(&[dead]).await;
    let runs = vec![Bed::run(p1, 0, K64, 1), Bed::run(p2, u64::from(K64), K64, 1)];
    let part = bed.part(id, 2 * u64::from(K64), runs).await;
    refused(bed.place(vec![p1, p2, dead], vec![part.clone()]).await, FsError::Internal);
    assert_eq!(bed.pack(p1).await.state, PackState::Up);
    bed.place(vec![p1, p2], vec![part]).await.unwrap();
    assert_eq!((bed.pack(p1).await.state, bed.pack(p2).await.state), (PackState::Live, PackState::Live));
}
async fn place_by_a_stale_epoch_is_fenced(bed) {
    let id = bed.file(ROOT, "a").await;
    let pack = bed.pack_up().await;
    let part = bed.part(id, 10, vec![Bed::run(pack, 0, 10, 1)]).await;
    bed.store.begin_epoch(bed.share).await.unwrap();
    assert!(matches!(bed.place(vec![pack], vec![part]).await, Err(StoreError::Fenced { .. })));
    assert_eq!((bed.inode(id).await.size, bed.pack(pack).await.state), (0, PackState::Up));
}
async fn place_without_data_truncates(bed) {
    let id = bed.file(ROOT, "a").await;
    let pack = bed.written(id, 0, K64, 4).await;
    let part = bed.part(id, 100_000, vec![]).await;
    bed.place(vec![], vec![part]).await.unwrap();
    assert_eq!(ranges(bed, id).await, [(0, 100_000)]);
    assert_eq!((bed.inode(id).await.size, bed.inode(id).await.allocated), (100_000, 100_000));
    assert_eq!(bed.pack(pack).await.live_bytes, 2 * u64::from(K64 / 2), "whole blocks count while a part is used");
    let part = bed.part(id, 0, vec![]).await;
    bed.place(vec![], vec![part]).await.unwrap();
    assert!(bed.map(id).await.is_empty());
    assert_eq!(bed.bury(&[pack]).await, [pack]);
}
async fn place_truncate_down_and_up_again_leaves_a_hole(bed) {
    let id = bed.file(ROOT, "a").await;
    bed.written(id, 0, K64, 4).await;
    let mut part = bed.part(id, 200_000, vec![]).await;
    part.size_low = 1;
    bed.place(vec![], vec![part]).await.unwrap();
    assert_eq!(ranges(bed, id).await, [(0, 1)]);
    assert_eq!(bed.inode(id).await.size, 200_000);
}
async fn place_zero_ranges_cut_runs_in_the_middle(bed) {
    let id = bed.file(ROOT, "a").await;
    bed.written(id, 0, K64, 4).await;
    let mut part = bed.part(id, 4 * u64::from(K64), vec![]).await;
    part.zeros = vec![(10, 20), (70_000, 200_000)];
    bed.place(vec![], vec![part]).await.unwrap();
    assert_eq!(ranges(bed, id).await, [(0, 10), (20, 70_000), (200_000, 262_144)]);
}
async fn place_over_parts_of_old_runs_keeps_what_is_not_covered(bed) {
    let id = bed.file(ROOT, "a").await;
    let old = bed.written(id, 0, K64, 4).await;
    let new = bed.written(id, 60_000, 20_000, 2).await;
    let runs = bed.map(id).await;
    let seen: Vec<_> = runs.iter().map(|run| (run.offset, run.end(), run.pack)).collect();
    assert_eq!(seen, [(0, 60_000, old), (60_000, 100_000, new), (100_000, 262_144, old)]);
    bed.written(id, 0, K64, 4).await;
    assert_eq!(bed.map(id).await.len(), 1);
    assert_eq!((bed.pack(old).await.live_bytes, bed.pack(new).await.live_bytes), (0, 0));
    assert_eq!(bed.bury(&[old, new]).await, [old, new]);
}
async fn place_far_apart_is_sparse_and_up_to_the_largest_size(bed) {
    let id = bed.file(ROOT, "a").await;
    let tib16 = 16u64 << 40;
    bed.written(id, tib16 - 4096, 4096, 1).await;
    bed.written(id, i64::MAX as u64 - 4096, 4096, 1).await;
    let row = bed.inode(id).await;
    assert_eq!((row.size, row.allocated), (i64::MAX as u64, 8192));
}
async fn place_ctime_and_change_only_grow(bed) {
    let id = bed.file(ROOT, "a").await;
    let mut part = bed.part(id, 5, vec![]).await;
    let patch = AttrPatch { mode: Patch::Set(0o600), ..AttrPatch::default() };
    let chmod = bed.set(&bed.root, id, patch).await.unwrap().post;
    part.change = dfs_model::Change(chmod.change.0 - 1);
    part.ctime = Timestamp::new(1, 1);
    bed.place(vec![], vec![part]).await.unwrap();
    let row = bed.inode(id).await;
    assert_eq!((row.ctime, row.change, row.mode), (chmod.ctime, chmod.change, 0o600));
}
async fn place_clears_suid_unless_a_newer_chmod_set_it(bed) {
    for (newer, wanted) in [(true, 0o6755), (false, 0o755)] {
        let id = bed.made(ROOT, &format!("a{newer}"), InodeKind::File, 0o644, &bed.root).await;
        let before = bed.change();
        bed.set(&bed.root, id, AttrPatch { mode: Patch::Set(0o6755), ..AttrPatch::default() }).await.unwrap();
        let mut part = bed.part(id, 5, vec![]).await;
        part.clear_suid = Some(if newer { before } else { part.change });
        bed.place(vec![], vec![part]).await.unwrap();
        assert_eq!(bed.inode(id).await.mode, wanted);
    }
}
async fn place_sets_archive_unless_newer_dos_bits_say_else(bed) {
    for (newer, wanted) in [(true, 0), (false, dos::ARCHIVE)] {
        let id = bed.file(ROOT, &format!("a{newer}")).await;
        let before = bed.change();
        bed.set(&bed.root, id, AttrPatch { dos: Patch::Set(0), ..AttrPatch::default() }).await.unwrap();
        let mut part = bed.part(id, 5, vec![]).await;
        part.set_archive = Some(if newer { before } else { part.change });
        bed.place(vec![], vec![part]).await.unwrap();
        assert_eq!(bed.inode(id).await.dos, wanted);
    }
}
async fn place_repeated_is_out_of_order_and_harmless(bed) {
    let id = bed.file(ROOT, "a").await;
    let part = bed.part(id, 5, vec![]).await;
    bed.place(vec![], vec![part.clone()]).await.unwrap();
    let row = bed.inode(id).await;
    let again = bed.place(vec![], vec![part.clone()]).await.unwrap();
    assert!(matches!(again.inodes[0], PlacedInode::OutOfOrder { flushed_seq } if flushed_seq == part.to_seq));
    assert_eq!(*bed.inode(id).await, *row);
}
async fn place_of_impossible_extents_is_invalid(bed) {
    let id = bed.file(ROOT, "a").await;
    let pack = bed.pack_up().await;
    let run = Bed::run(pack, 0, 10, 1);
    let beyond = bed.part(id, 5, vec![run.clone()]).await;
    let twice = bed.part(id, 20, vec![run.clone(), run.clone()]).await;
    let mut backwards = bed.part(id, 20, vec![]).await;
    (backwards.from_seq, backwards.to_seq) = (Seq(9), Seq(8));
    let foreign = bed.part(id, 20, vec![Bed::run(PackId(1), 0, 10, 1)]).await;
    let mut broken = bed.part(id, 20, vec![run]).await;
    broken.extents[0].len = 11;
    for part in [beyond, twice, backwards, foreign, broken] {
        refused(bed.place(vec![pack], vec![part]).await, FsError::InvalidArgument);
    }
    assert_eq!(bed.pack(pack).await.state, PackState::Up);
}
async fn place_into_a_directory_is_invalid(bed) {
    let dir = bed.mkdir(ROOT, "d").await;
    let part = bed.part(dir, 0, vec![]).await;
    refused(bed.place(vec![], vec![part]).await, FsError::InvalidArgument);
}
async fn extents_of_a_range_include_the_run_that_starts_before_it(bed) {
    let id = bed.file(ROOT, "a").await;
    bed.written(id, 0, K64, 4).await;
    bed.written(id, 1 << 20, K64, 1).await;
    let end = 1 << 20;
    let get = |start, end, limit| bed.store.extents(bed.share, id, start, end, limit);
    assert_eq!(get(200_000, 200_001, 9).await.unwrap().len(), 1);
    assert_eq!(get(262_144, end, 9).await.unwrap().len(), 0);
    assert_eq!(get(262_143, end + 1, 9).await.unwrap().len(), 2);
    assert_eq!(get(0, u64::MAX, 1).await.unwrap().len(), 1);
    assert_eq!(get(5, 5, 9).await.unwrap().len(), 0);
}
}

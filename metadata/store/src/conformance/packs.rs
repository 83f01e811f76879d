//! Cases: the pack ledger (JOURNAL P1, P2).

use super::{Bed, case_list, refused};
use crate::{PackState, StoreError};
use dfs_model::{FsError, InodeId, PackId};

const ROOT: InodeId = InodeId::ROOT;

case_list! {
async fn pack_begin_inserts_a_row_up(bed) {
    let pack = bed.pack_up().await;
    let row = bed.pack(pack).await;
    assert_eq!((row.state, row.len, row.live_bytes, row.epoch), (PackState::Up, 1 << 20, 0, bed.epoch));
}
async fn pack_begin_of_a_used_id_is_exists(bed) {
    let pack = bed.pack_up().await;
    bed.bury(&[pack]).await;
    let now = bed.now();
    refused(bed.store.pack_begin(bed.share, bed.epoch, pack, 1, now).await, FsError::Exists);
    assert_eq!(bed.pack(pack).await.state, PackState::Dead);
}
async fn packs_bury_takes_up_packs_and_unreferenced_live_ones_only(bed) {
    let id = bed.file(ROOT, "a").await;
    let held = bed.written(id, 0, 4096, 1).await;
    let up = bed.pack_up().await;
    assert_eq!(bed.bury(&[held, up, PackId(0x999)]).await, [up]);
    assert_eq!((bed.pack(held).await.state, bed.pack(up).await.state), (PackState::Live, PackState::Dead));
    bed.written(id, 0, 4096, 1).await;
    assert_eq!(bed.bury(&[held, up]).await, [held, up]);
}
async fn packs_bury_counts_references_of_every_inode(bed) {
    let (a, b) = (bed.file(ROOT, "a").await, bed.file(ROOT, "b").await);
    let pack = bed.pack_up().await;
    let parts = vec![
        bed.part(a, 10, vec![Bed::run(pack, 0, 10, 1)]).await,
        bed.part(b, 10, vec![Bed::run(pack, 0, 10, 1)]).await,
    ];
    bed.place(vec![pack], parts).await.unwrap();
    bed.remove(ROOT, "a").await.unwrap();
    assert!(bed.bury(&[pack]).await.is_empty());
    bed.remove(ROOT, "b").await.unwrap();
    assert_eq!(bed.bury(&[pack]).await, [pack]);
}
async fn packs_forget_drops_dead_rows_only(bed) {
    let (up, dead) = (bed.pack_up().await, bed.pack_up().await);
    bed.bury(&[dead]).await;
    bed.store.packs_forget(bed.share, bed.epoch, &[up, dead, PackId(0x999)]).await.unwrap();
    assert!(bed.store.pack(bed.share, dead).await.unwrap().is_none());
    assert_eq!(bed.pack(up).await.state, PackState::Up);
}
async fn packs_are_listed_in_order_of_id_page_by_page(bed) {
    let mut expected = Vec::new();
    for _ in 0..25 {
        expected.push(bed.pack_up().await);
    }
    expected.sort_unstable();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = bed.store.packs(bed.share, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.pack);
        seen.extend(page.iter().map(|row| row.pack));
    }
    assert_eq!(seen, expected);
    assert!(bed.store.packs(bed.share, Some(PackId(u128::MAX)), 7).await.unwrap().is_empty());
}
async fn pack_calls_by_a_stale_epoch_are_fenced(bed) {
    let pack = bed.pack_up().await;
    bed.store.begin_epoch(bed.share).await.unwrap();
    let now = bed.now();
    let fenced = |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::Fenced { .. })));
    fenced(bed.store.pack_begin(bed.share, bed.epoch, PackId(0x777), 1, now).await.map(|_| ()));
    fenced(bed.store.packs_bury(bed.share, bed.epoch, &[pack], now).await.map(|_| ()));
    fenced(bed.store.packs_forget(bed.share, bed.epoch, &[pack]).await.map(|_| ()));
    fenced(bed.store.reap(bed.share, bed.epoch, ROOT).await.map(|_| ()));
}
}

//! What the operations refuse and what they leave behind.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::MemoryStore;
use crate::conformance::model::random_history;
use crate::conformance::{Bed, run_all};
use crate::kv::View;
use crate::shell::Backend;
use crate::{OpContext, XattrSetRequest};
use dfs_log::{Mutations, Rule};
use dfs_model::{
    Ace, AceType, Acl, AttrPatch, Epoch, Identity, InodeId, InodeKind, PackId, Patch, Rights, Seq, XattrMode,
};
use std::sync::Arc;

#[tokio::test]
async fn memory_passes_every_conformance_case() {
    let count = run_all(Arc::new(MemoryStore::new())).await;
    assert!(count >= 100, "{count} cases");
}

#[tokio::test]
async fn memory_agrees_with_the_naive_model_over_random_histories() {
    let mut worked = 0;
    for seed in 0..60 {
        println!("seed {seed}");
        let bed = Bed::new(Arc::new(MemoryStore::new()), 1).await;
        worked += random_history(&bed, seed, 400).await;
    }
    assert!(worked > 60 * 100, "only {worked} steps worked: the histories are too dull");
}

const ROOT: InodeId = InodeId::ROOT;

/// Whatever belongs to an inode goes with it: afterwards the store has the rows that it had before.
#[tokio::test]
async fn removed_inode_leaves_no_row_behind() {
    let store = Arc::new(MemoryStore::new());
    let bed = Bed::new(store.clone(), 1).await;
    let rows = || {
        let mut keys = Vec::new();
        let view = store.backend.view().unwrap();
        view.scan(&[], &[0xff; 64], &mut |key, _| {
            keys.push(key.to_vec());
            Ok(true)
        })
        .unwrap();
        keys
    };
    let before = rows();
    let id = bed.file(ROOT, "f").await;
    let ace = Ace::new(AceType::Allow, Identity::Uid(7), Rights::READ_DATA);
    let acl = Arc::new(Acl { dacl: Some(vec![ace]), ..Acl::default() });
    let (owner, group) = (Patch::Set(Identity::Uid(77)), Patch::Set(Identity::Gid(78)));
    let patch = AttrPatch { owner, group, acl: Patch::Set(acl), ..AttrPatch::default() };
    bed.set(&bed.root, id, patch).await.unwrap();
    let values = vec![("a".into(), Some("1".into())), ("b".into(), Some("2".into()))];
    let request = XattrSetRequest { inode: id, values, mode: XattrMode::Either, any_case: false };
    bed.store.xattr_set(bed.cx(&bed.root), request).await.unwrap();
    assert!(rows().len() >= before.len() + 10);
    bed.remove(ROOT, "f").await.unwrap();
    assert_eq!(rows(), before);
}

async fn without(rule: Rule) -> Bed {
    Bed::new(Arc::new(MemoryStore::with_mutations(Mutations::dropping(&[rule]))), 1).await
}

/// Each rule that the store owns can be dropped at run time, and then the wrong thing happens that the conformance cases
/// look for: so a case that names the rule can fail.
#[tokio::test]
async fn dropped_rule_place_compares_from_lets_a_late_place_land() {
    let bed = without(Rule::PlaceComparesFrom).await;
    let id = bed.file(ROOT, "a").await;
    let mut late = bed.part(id, 10, vec![]).await;
    late.from_seq = bed.next_seq();
    late.to_seq = bed.next_seq();
    bed.place(vec![], vec![late]).await.unwrap();
    assert_eq!(bed.inode(id).await.size, 10);
}

#[tokio::test]
async fn dropped_rule_place_needs_inode_makes_an_inode_without_a_name() {
    let bed = without(Rule::PlaceNeedsInode).await;
    let id = bed.file(ROOT, "a").await;
    let part = bed.part(id, 10, vec![]).await;
    bed.remove(ROOT, "a").await.unwrap();
    bed.place(vec![], vec![part]).await.unwrap();
    assert!(!bed.gone(id).await);
    assert!(bed.store.names_of(bed.share, id, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn dropped_rule_birth_flushed_seq_makes_old_records_apply() {
    let bed = without(Rule::BirthFlushedSeq).await;
    bed.next_seq();
    let id = bed.file(ROOT, "a").await;
    assert_eq!(bed.inode(id).await.flushed_seq, Seq::ZERO);
}

#[tokio::test]
async fn dropped_rule_row_before_object_places_into_a_buried_pack() {
    let bed = without(Rule::RowBeforeObject).await;
    let id = bed.file(ROOT, "a").await;
    let pack = bed.pack_up().await;
    bed.bury(&[pack]).await;
    let part = bed.part(id, 10, vec![Bed::run(pack, 0, 10, 1)]).await;
    bed.place(vec![pack], vec![part]).await.unwrap();
    let absent = PackId(0x1234);
    let part = bed.part(id, 10, vec![Bed::run(absent, 0, 10, 1)]).await;
    bed.place(vec![absent], vec![part]).await.unwrap();
    assert!(bed.store.pack(bed.share, absent).await.unwrap().is_none());
}

#[tokio::test]
async fn dropped_rule_fence_lets_a_stale_epoch_write() {
    let bed = without(Rule::FenceInTransaction).await;
    bed.store.begin_epoch(bed.share).await.unwrap();
    let cx = OpContext { epoch: Epoch(1), ..bed.cx(&bed.root) };
    bed.store.create(cx, Bed::request(ROOT, "late", InodeKind::File)).await.unwrap();
}

#[tokio::test]
async fn dropped_rules_of_ends_bring_dropped_records_back() {
    for rule in [Rule::Ends, Rule::EndsTakesMinimum] {
        let bed = without(rule).await;
        let e2 = bed.store.begin_epoch(bed.share).await.unwrap();
        bed.store.write_ends(bed.share, e2, &[]).await.unwrap();
        let e3 = bed.store.begin_epoch(bed.share).await.unwrap();
        let table = bed.store.write_ends(bed.share, e3, &[(bed.epoch, 9), (e2, 0)]).await.unwrap();
        assert!(table.contains(&(bed.epoch, 9)), "{rule:?}: {table:?}");
    }
}

#[tokio::test]
async fn snapshot_is_two_rows_whatever_the_share_holds() {
    let store = Arc::new(MemoryStore::new());
    let bed = Bed::new(store.clone(), 1).await;
    for files in [1, 500, 2000] {
        for nth in 0..files {
            bed.file(InodeId::ROOT, &format!("{files}-{nth}")).await;
        }
        let view = crate::shell::Backend::view(&store.backend).unwrap();
        let mutations = dfs_log::Mutations::none();
        let mut tx = super::Tx::new(&view, bed.share, &mutations);
        let name = crate::conformance::name("s");
        super::snapshot_create(&mut tx, &bed.cx(&bed.root), &name, crate::SnapshotOrigin::Asked).unwrap();
        assert_eq!(tx.into_batch().unwrap().len(), 2, "{files} files");
    }
}

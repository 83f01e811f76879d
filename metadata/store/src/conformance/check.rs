//! Whether all that a store shows of a share agrees with itself, seen through the trait alone.

use crate::{MetadataStore, PackState, ReadDirRequest, Usage};
use dfs_model::quota::QuotaSubject;
use dfs_model::{Cookie, Inode, InodeFlags, InodeId, InodeKind, PackId, ShareId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Walks the tree and panics at the first disagreement: link counts, parents, listings, both name indexes, orphans,
/// usage, allocated bytes and the pack ledger.
pub async fn check_consistent(store: &dyn MetadataStore, share: ShareId) {
    let mut names: BTreeMap<InodeId, BTreeSet<(InodeId, Vec<u8>)>> = BTreeMap::new();
    let mut rows: BTreeMap<InodeId, Inode> = BTreeMap::new();
    let root = store.inode(share, InodeId::ROOT).await.unwrap().expect("the root is there");
    rows.insert(root.id, (*root).clone());
    let mut queue = vec![InodeId::ROOT];
    let mut subdirs: BTreeMap<InodeId, u32> = BTreeMap::new();
    while let Some(dir) = queue.pop() {
        for (dentry, row) in listing(store, share, dir).await {
            let row = row.expect("rows were asked for");
            assert_eq!(row.id, dentry.inode);
            let found =
                store.lookup(share, dir, &dentry.name).await.unwrap().expect("listed names are found");
            assert_eq!(found.0, dentry, "both rows of a name agree");
            assert_eq!(*found.1, *row);
            let folded =
                store.lookup_fold(share, dir, &dentry.name).await.unwrap().expect("found in any case");
            assert_eq!(folded.0.name, dentry.name, "exact spelling wins");
            names.entry(row.id).or_default().insert((dir, dentry.name.as_bytes().to_vec()));
            if row.kind == InodeKind::Directory {
                assert_eq!(row.parent, dir, "parent of {}", row.id);
                *subdirs.entry(dir).or_default() += 1;
                assert!(!rows.contains_key(&row.id), "a directory has one name");
                queue.push(row.id);
            }
            rows.insert(row.id, (*row).clone());
        }
    }
    for (id, row) in &rows {
        let links = match row.kind {
            InodeKind::Directory => 2 + subdirs.get(id).copied().unwrap_or(0),
            _ => names.get(id).map_or(0, |names| names.len() as u32),
        };
        assert_eq!(row.nlink, links, "link count of {id}");
        assert!(!row.flags.has(InodeFlags::ORPHAN), "{id} has names and is no orphan");
        let reverse = store.names_of(share, *id, usize::MAX).await.unwrap();
        let reverse: BTreeSet<_> =
            reverse.into_iter().map(|(dir, name)| (dir, name.as_bytes().to_vec())).collect();
        assert_eq!(reverse, names.get(id).cloned().unwrap_or_default(), "reverse index of {id}");
    }
    let orphans = store.orphans(share, InodeId(0), usize::MAX).await.unwrap();
    for id in &orphans {
        let row = store.inode(share, *id).await.unwrap().expect("an orphan has a row");
        assert!(row.flags.has(InodeFlags::ORPHAN) && row.nlink == 0, "orphan {id}");
        assert!(rows.insert(*id, (*row).clone()).is_none(), "an orphan has no name");
    }
    check_data(store, share, &rows).await;
}

async fn listing(
    store: &dyn MetadataStore,
    share: ShareId,
    dir: InodeId,
) -> Vec<(crate::Dentry, Option<std::sync::Arc<Inode>>)> {
    let request =
        ReadDirRequest { dir, after: Cookie::START, up_to: Cookie(u64::MAX), limit: usize::MAX, rows: true };
    let page = store.read_dir(share, request).await.unwrap();
    let cookies: Vec<_> = page.entries.iter().map(|(dentry, _)| dentry.cookie).collect();
    assert!(page.end && cookies.is_sorted_by(|a, b| a < b), "cookies of {dir}");
    assert!(cookies.first().is_none_or(|first| *first >= Cookie::FIRST));
    let last = store.last_cookie(share, dir).await.unwrap();
    assert!(cookies.last().is_none_or(|cookie| *cookie <= last), "high-water cookie of {dir}");
    page.entries
}

/// What users and groups hold is what their inodes add up to.
async fn check_usage(store: &dyn MetadataStore, share: ShareId, rows: &BTreeMap<InodeId, Inode>) {
    let mut sums: HashMap<QuotaSubject, Usage> = HashMap::new();
    for row in rows.values() {
        let owners = [
            QuotaSubject::Share,
            QuotaSubject::User(row.owner.clone()),
            QuotaSubject::Group(row.group.clone()),
        ];
        for subject in owners {
            let sum = sums.entry(subject).or_default();
            sum.bytes += row.allocated;
            sum.inodes += 1;
        }
    }
    for entry in store.quotas(share).await.unwrap() {
        let sum = sums.remove(&entry.subject).unwrap_or_default();
        assert_eq!(entry.usage, sum, "usage of {:?}", entry.subject);
    }
    assert!(sums.is_empty(), "usage rows are missing: {sums:?}");
}

async fn check_data(store: &dyn MetadataStore, share: ShareId, rows: &BTreeMap<InodeId, Inode>) {
    let mut live: BTreeMap<PackId, u64> = BTreeMap::new();
    let mut total = 0;
    for (id, row) in rows {
        let runs = store.extents(share, *id, 0, u64::MAX, usize::MAX).await.unwrap();
        let apart = runs.iter().zip(runs.iter().skip(1)).all(|(a, b)| a.end() <= b.offset);
        assert!(apart, "extents of {id} overlap");
        assert!(runs.last().is_none_or(|run| run.end() <= row.size), "extents of {id} beyond its size");
        let bytes: u64 = runs.iter().map(|run| run.len).sum();
        assert_eq!(row.allocated, bytes, "allocated bytes of {id}");
        total += bytes;
        for run in &runs {
            run.validate().unwrap();
            *live.entry(run.pack).or_default() += run.stored_bytes();
        }
    }
    check_usage(store, share, rows).await;
    let usage = store.usage(share).await.unwrap();
    assert_eq!(usage.inodes, rows.len() as u64, "inodes in use");
    assert_eq!(usage.bytes, total, "bytes in use");
    // What only snapshots show counts in the ledger too.
    let past = !store.snapshots(share).await.unwrap().is_empty();
    for row in store.packs(share, None, usize::MAX).await.unwrap() {
        let expected = live.remove(&row.pack).unwrap_or(0);
        let right = if past { row.live_bytes >= expected } else { row.live_bytes == expected };
        assert!(right, "live bytes of {}: {}, not {expected}", row.pack, row.live_bytes);
        assert!(
            expected == 0 || row.state == PackState::Live,
            "extents refer to {} which is {:?}",
            row.pack,
            row.state
        );
    }
    assert!(live.is_empty(), "extents refer to packs without a row: {live:?}");
}

//! What a share that drained leaves behind: no journal segment, no stray object, no dead pack, no inode without a name.

use super::check::Found;
use super::ledger::Ledger;
use crate::sim::{SHARE, Tuning, World};
use dfs_cold::KeySpace;
use dfs_model::{Clock, InodeId, InodeKind, PackId};
use dfs_store::{MetadataStore, PackState};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Longer than an idle journal keeps its last segment.
const IDLE: Duration = Duration::from_secs(120);

/// Checks all of it. Call it when everything was flushed and nobody writes.
pub async fn nothing_left_over(
    world: &World,
    ledger: &Ledger,
    found: &BTreeMap<String, Found>,
    tuning: &Tuning,
) -> Result<(), String> {
    tokio::time::sleep(IDLE).await;
    let (stats, pool) = (world.engine().journal().stats(), world.pool().status());
    if stats.segments_dirty > 0 || stats.segments_held > stats.segments_probation {
        return Err(format!("a clean journal holds segments: {stats:?}"));
    }
    if pool.free_segments + stats.segments_probation < pool.segments {
        return Err(format!("segments are neither free nor on probation: {pool:?}, {stats:?}"));
    }
    inodes(world, ledger, found).await?;
    clean(world, tuning).await?;
    packs(world, found).await
}

/// Every inode that lost its names is gone.
async fn inodes(world: &World, ledger: &Ledger, found: &BTreeMap<String, Found>) -> Result<(), String> {
    let named: BTreeSet<InodeId> = found.values().map(|found| found.attrs.inode).collect();
    for inode in ledger.seen.difference(&named) {
        if world.store().inode(SHARE, *inode).await.map_err(|error| error.to_string())?.is_some() {
            return Err(format!("inode {inode} has no name and is there"));
        }
    }
    Ok(())
}

/// Rounds of the cleaner, each after everything dead became old enough.
async fn clean(world: &World, tuning: &Tuning) -> Result<(), String> {
    tokio::time::sleep(tuning.gc_every + Duration::from_secs(1)).await;
    for round in 0..3 {
        let later = tuning.pack_delete_after + Duration::from_secs(3600) * (round + 1);
        let now = world.clock().wall().plus(later * (round + 1));
        let report =
            world.engine().stack().gc_once(now, true).await.map_err(|error| format!("cleaner: {error}"))?;
        if let Some(why) = report.held_back {
            return Err(format!("the cleaner deletes nothing: {why}"));
        }
    }
    Ok(())
}

/// The ledger of packs, the bucket and the file maps agree.
async fn packs(world: &World, found: &BTreeMap<String, Found>) -> Result<(), String> {
    let rows = world.store().packs(SHARE, None, usize::MAX).await.map_err(|error| error.to_string())?;
    if let Some(row) = rows.iter().find(|row| row.state != PackState::Live) {
        return Err(format!("after the cleaner a pack is {:?}", row.state));
    }
    let mut referred: BTreeMap<PackId, u64> = BTreeMap::new();
    let files = found.values().filter(|found| found.attrs.kind == InodeKind::File);
    for inode in files.map(|found| found.attrs.inode).collect::<BTreeSet<_>>() {
        let runs = world.store().extents(SHARE, inode, 0, u64::MAX, usize::MAX).await;
        for run in runs.map_err(|error| error.to_string())? {
            *referred.entry(run.pack).or_default() += run.stored_bytes();
        }
    }
    let live: BTreeMap<PackId, u64> = rows.iter().map(|row| (row.pack, row.live_bytes)).collect();
    if live != referred {
        return Err(format!("the ledger says {live:?}, the file maps {referred:?}"));
    }
    let keys = KeySpace::new("").map_err(|error| format!("{error:?}"))?;
    let objects = world.bucket().inventory().into_iter().filter_map(|(key, _)| keys.parse_pack(SHARE, &key));
    let objects: BTreeSet<PackId> = objects.collect();
    let known: BTreeSet<PackId> = live.into_keys().collect();
    if objects != known {
        let strays: Vec<_> = objects.difference(&known).collect();
        let missing: Vec<_> = known.difference(&objects).collect();
        return Err(format!("stray objects {strays:?}, missing objects {missing:?}"));
    }
    Ok(())
}

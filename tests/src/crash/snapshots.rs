//! Snapshots in a history: what was acknowledged before one was asked for is in it, exactly, whatever happens afterwards.

use super::check::{Found, dump_from};
use super::steps::{Outcome, Player, Step};
use crate::sim::World;
use dfs_model::{FsError, InodeId, InodeKind, Name, SnapshotId};
use dfs_store::SnapshotOrigin;
use rand::Rng;
use std::collections::BTreeMap;

/// Snapshots of a history at once.
const AT_ONCE: usize = 3;

/// What a snapshot showed when it was taken: per path kind, mode and bytes.
pub type Shown = BTreeMap<String, (InodeKind, u16, Vec<u8>)>;

/// Snapshots that are there, with what they show; durable in every class.
pub type Taken = BTreeMap<SnapshotId, (Name, Shown)>;

fn shown(found: BTreeMap<String, Found>) -> Shown {
    found.into_iter().map(|(path, found)| (path, (found.attrs.kind, found.attrs.mode, found.bytes))).collect()
}

/// Every snapshot shows what it showed when it was taken, and nothing else is listed.
pub async fn all_show_their_own(world: &World, taken: &Taken) -> Result<(), String> {
    let listed =
        world.engine().all_snapshots().await.map_err(|error| format!("listing snapshots: {error}"))?;
    for (id, (name, was)) in taken {
        if !listed.iter().any(|snapshot| snapshot.id == *id && snapshot.name == *name) {
            return Err(format!("snapshot {id} is not listed"));
        }
        let now = shown(dump_from(world, InodeId::ROOT.in_snapshot(*id)).await?);
        if now != *was {
            let paths: Vec<_> =
                was.keys().chain(now.keys()).filter(|path| was.get(*path) != now.get(*path)).collect();
            return Err(format!("snapshot {id} shows other things than when it was taken: {paths:?}"));
        }
    }
    Ok(())
}

impl Player<'_> {
    /// Takes a snapshot, or ends one.
    pub(super) async fn snapshot(&mut self) -> Step {
        self.world.calm();
        if self.ledger.taken.len() >= AT_ONCE || (!self.ledger.taken.is_empty() && self.rng.random_bool(0.2))
        {
            return self.end_snapshot().await;
        }
        let name = Name::try_from(format!("s{}", self.ledger.xid()).as_str()).unwrap();
        match self.world.engine().take_snapshot(name.clone(), SnapshotOrigin::Asked).await {
            Ok(snapshot) => {
                let found = match dump_from(self.world, InodeId::ROOT.in_snapshot(snapshot.id)).await {
                    Ok(found) => shown(found),
                    Err(_) if self.world.is_cut() || self.world.failed_at().is_some() => {
                        return Ok(Outcome::Cut);
                    }
                    Err(why) => return Err(format!("a new snapshot: {why}")),
                };
                self.holds_all(&found)?;
                self.ledger.taken.insert(snapshot.id, (name, found));
                Ok(Outcome::Answered)
            }
            Err(error) => self.judge_snapshot("snapshot", &error),
        }
    }

    /// Nobody else is at work: the snapshot is the share as the ledger has it.
    fn holds_all(&self, found: &Shown) -> Result<(), String> {
        for (path, entry) in self.ledger.now() {
            let Some((kind, mode, bytes)) = found.get(path) else {
                return Err(format!("{path} is not in the snapshot"));
            };
            if (*kind, *mode) != (entry.kind, entry.mode) {
                return Err(format!("{path} is {kind:?} {mode:o} in the snapshot"));
            }
            if *kind == InodeKind::File && bytes != self.ledger.bytes(entry.file) {
                return Err(format!("{path} has other bytes in the snapshot than were acknowledged"));
            }
        }
        match found.len() == self.ledger.now().len() {
            true => Ok(()),
            false => Err("the snapshot has names that are not there".to_owned()),
        }
    }

    async fn end_snapshot(&mut self) -> Step {
        let nth = self.rng.random_range(0..self.ledger.taken.len());
        let Some((id, (name, _))) = self.ledger.taken.iter().nth(nth).map(|(id, taken)| (*id, taken.clone()))
        else {
            return Ok(Outcome::Answered);
        };
        // Whether it is there after a cut under this, nobody knows.
        self.ledger.taken.remove(&id);
        match self.world.engine().delete_snapshot(&name).await {
            Ok(()) => Ok(Outcome::Answered),
            Err(error) => self.judge_snapshot("end of a snapshot", &error),
        }
    }

    fn judge_snapshot(&self, what: &str, error: &FsError) -> Step {
        if *error == FsError::NoSpace && self.world.is_full() {
            return Ok(Outcome::Answered);
        }
        self.judge(what, &error.clone().into())
    }
}

/// Ends every snapshot and gives back what they kept.
pub async fn end_all(world: &World) -> Result<(), String> {
    let told = |error: FsError| format!("ending snapshots: {error}");
    for snapshot in world.engine().all_snapshots().await.map_err(told)? {
        world.engine().delete_snapshot(&snapshot.name).await.map_err(told)?;
    }
    world.engine().reap_snapshots().await.map_err(told)
}

//! Name operations as they were sent: with a replay key, so that they can be repeated, also after a crash.

use super::check::{Found, dump, matches_names};
use super::ledger::{DataVersion, FileHistory, Ledger};
use crate::sim::World;
use dfs_model::{InodeId, ReplayKey, Timestamp};
use dfs_vfs::{Create, Failed, Link, Remove, Rename, SetAttr, Vfs};
use std::collections::BTreeMap;
use std::time::Duration;

/// A client resends for less time than this; outcomes are kept for twice as long.
const RESENDS_FOR: Duration = Duration::from_secs(300);

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "few and short-lived")]
pub enum NameOp {
    Create(Create),
    Remove(Remove),
    Rename(Rename),
    Link(Link),
    SetAttr(SetAttr),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub xid: u32,
    pub at: Duration,
    /// The path that it makes or is about.
    pub path: String,
    pub op: NameOp,
}

impl Asked {
    /// Sends it, for the first time or again. A create answers with what it made.
    pub async fn send(&self, world: &World) -> Result<Option<(InodeId, Timestamp)>, Failed> {
        let (procedure, engine) = (self.procedure(), world.engine());
        let mut cx = world.root_context();
        let client = [127, 0, 0, 1].into();
        cx.replay = Some(ReplayKey::Rpc { client, xid: self.xid, procedure, checksum: u64::from(self.xid) });
        match self.op.clone() {
            NameOp::Create(create) => {
                let made = engine.create(&cx, create).await?;
                Ok(Some((made.inode, made.attrs.mtime)))
            }
            NameOp::Remove(remove) => engine.remove(&cx, remove).await.map(|_| None),
            NameOp::Rename(rename) => engine.rename(&cx, rename).await.map(|_| None),
            NameOp::Link(link) => engine.link(&cx, link).await.map(|_| None),
            NameOp::SetAttr(change) => engine.set_attr(&cx, change).await.map(|_| None),
        }
    }

    fn procedure(&self) -> u32 {
        match &self.op {
            NameOp::SetAttr(_) => 2,
            NameOp::Create(_) => 8,
            NameOp::Remove(_) => 12,
            NameOp::Rename(_) => 14,
            NameOp::Link(_) => 15,
        }
    }

    fn is_recent(&self, now: Duration) -> bool {
        now < self.at + RESENDS_FOR
    }
}

/// After a crash that left the names at version `at`: the newest operation that survived is repeated and answered as before,
/// and changes nothing.
pub async fn repeat_last(
    world: &World,
    ledger: &Ledger,
    at: usize,
    found: &BTreeMap<String, Found>,
) -> Result<(), String> {
    if ledger.names[..at].iter().any(|earlier| earlier.names == ledger.names[at].names) {
        // Created and removed again: whether both happened or neither cannot be seen.
        return Ok(());
    }
    let Some(index) = (1..=at).rev().find(|index| ledger.names[*index].op.is_some()) else { return Ok(()) };
    let Some(asked) = ledger.names[index].op.as_ref().filter(|asked| asked.is_recent(world.elapsed())) else {
        return Ok(());
    };
    // An inode that went since has no attributes to answer with.
    if let (NameOp::Create(_) | NameOp::SetAttr(_), Some(made)) =
        (&asked.op, ledger.names[index].names.get(&asked.path))
        && !ledger.names[at].names.values().any(|there| there.file == made.file)
    {
        return Ok(());
    }
    let again = asked.send(world).await;
    let again = again
        .map_err(|failed| format!("repeated after the crash, {asked:?} is answered {}", failed.error))?;
    if let Some((inode, _)) = again {
        let made = ledger.names[index].names.get(&asked.path);
        let there = ledger.names[at]
            .names
            .get(&asked.path)
            .filter(|there| Some(there.file) == made.map(|made| made.file));
        let same = there.is_none() || found.get(&asked.path).is_some_and(|found| found.attrs.inode == inode);
        if !same {
            return Err(format!(
                "repeated after the crash, the create of {} answers inode {inode}",
                asked.path
            ));
        }
    }
    matches_names(ledger, &ledger.names[at], &dump(world).await?)
        .map_err(|why| format!("{asked:?} happened twice: {why}"))
}

/// The first operation that a crash undid, as its client sends it again.
pub fn first_lost(ledger: &Ledger, at: usize, now: Duration) -> Option<Lost> {
    let next = ledger.names.get(at + 1)?;
    let asked = next.op.clone().filter(|asked| asked.is_recent(now))?;
    Some(Lost { asked, names: next.names.clone() })
}

pub struct Lost {
    asked: Asked,
    names: super::ledger::Namespace,
}

impl Lost {
    /// Sends it again, to a ledger that has settled.
    pub async fn send(self, world: &World, ledger: &mut Ledger) -> Result<(), String> {
        let done = self.asked.send(world).await;
        let made =
            done.map_err(|failed| format!("sent again, {:?} is answered {}", self.asked, failed.error))?;
        if let (Some((inode, mtime)), Some(entry)) = (made, self.names.get(&self.asked.path)) {
            let first =
                DataVersion { bytes: Vec::new(), mtime: Some(mtime), answered: Some(world.elapsed()) };
            ledger.files[entry.file] = FileHistory { versions: vec![first], stable: 0 };
            ledger.know(inode, entry.file);
        }
        ledger.push_names(self.names, BTreeMap::new(), Some(world.elapsed()));
        Ok(())
    }
}

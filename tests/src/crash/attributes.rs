//! Random changes of attributes.

use super::asked::NameOp;
use super::ledger::{Entry, FileNumber, Namespace};
use super::steps::{FILE_MAX, Outcome, Player, Step};
use dfs_model::{AttrPatch, Identity, InodeId, InodeKind, Patch, Target, TimePatch, Timestamp};
use dfs_vfs::{AccessRule, Failed, SetAttr, Vfs};
use rand::Rng;
use std::collections::BTreeMap;

impl Player<'_> {
    async fn patch(&mut self, path: &str, patch: AttrPatch) -> Result<Result<Timestamp, Failed>, String> {
        let inode = match self.inode(path).await {
            Ok(inode) => inode,
            Err(failed) => return Ok(Err(failed)),
        };
        let request = set_attr(inode, patch);
        let done = self.world.engine().set_attr(&self.world.root_context(), request).await;
        Ok(done.map(|changed| changed.wcc.post.mtime))
    }

    pub(super) async fn truncate(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let mut bytes = self.ledger.bytes(entry.file).to_vec();
        let size = if self.rng.random_bool(0.3) { 0 } else { self.rng.random_range(0..=FILE_MAX) };
        bytes.resize(size as usize, 0);
        let patch = AttrPatch { size: Patch::Set(size), ..AttrPatch::default() };
        self.changed_data("truncate", &path, entry.file, patch, bytes).await
    }

    pub(super) async fn set_times(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let bytes = self.ledger.bytes(entry.file).to_vec();
        let mtime =
            Timestamp::new(self.rng.random_range(1..2_000_000_000), self.rng.random_range(0..1_000_000_000));
        let patch = AttrPatch { mtime: TimePatch::Set(mtime), ..AttrPatch::default() };
        self.changed_data("set times", &path, entry.file, patch, bytes).await
    }

    async fn changed_data(
        &mut self,
        what: &str,
        path: &str,
        file: FileNumber,
        patch: AttrPatch,
        bytes: Vec<u8>,
    ) -> Step {
        match self.patch(path, patch).await? {
            Ok(mtime) => {
                let now = self.now();
                self.ledger.push_data(file, bytes, Some(mtime), Some(now));
                self.stable_data(file);
                Ok(Outcome::Answered)
            }
            Err(failed) => {
                self.ledger.push_data(file, bytes, None, None);
                self.judge(what, &failed)
            }
        }
    }

    pub(super) async fn set_mode(&mut self) -> Step {
        let mode = 0o600 | self.rng.random_range(0..0o200u16);
        let patch = AttrPatch { mode: Patch::Set(mode), ..AttrPatch::default() };
        self.changed_row(patch, |entry| entry.mode = mode).await
    }

    pub(super) async fn set_owner(&mut self) -> Step {
        let owner = self.rng.random_range(0..4000u32);
        let patch = AttrPatch { owner: Patch::Set(Identity::Uid(owner)), ..AttrPatch::default() };
        self.changed_row(patch, |entry| entry.owner = owner).await
    }

    /// A change of a row alone, which can be repeated.
    async fn changed_row(&mut self, patch: AttrPatch, change: impl Fn(&mut Entry)) -> Step {
        let kind = if self.rng.random_bool(0.7) { InodeKind::File } else { InodeKind::Directory };
        let Some((path, entry)) = self.pick(kind) else { return Ok(Outcome::Answered) };
        let inode = match self.inode(&path).await {
            Ok(inode) => inode,
            Err(failed) => return self.judge("walk", &failed),
        };
        let names = self.changed_entries(entry.file, change);
        self.ask(path, NameOp::SetAttr(set_attr(inode, patch)), names, BTreeMap::new()).await
    }

    fn changed_entries(&self, file: FileNumber, change: impl Fn(&mut Entry)) -> Namespace {
        let mut names = self.ledger.now().clone();
        names.values_mut().filter(|other| other.file == file).for_each(change);
        names
    }

    /// Mode, size and mtime at once: a transaction and two records; a crash may leave the first part of them.
    pub(super) async fn set_all(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let mode = 0o600 | self.rng.random_range(0..0o200u16);
        let mut bytes = self.ledger.bytes(entry.file).to_vec();
        bytes.resize(self.rng.random_range(0..=FILE_MAX) as usize, 0);
        let mtime = Timestamp::new(self.rng.random_range(1..2_000_000_000), 0);
        let patch = AttrPatch {
            mode: Patch::Set(mode),
            size: Patch::Set(bytes.len() as u64),
            mtime: TimePatch::Set(mtime),
            ..AttrPatch::default()
        };
        let names = self.changed_entries(entry.file, |entry| entry.mode = mode);
        let done = self.patch(&path, patch).await?;
        let answered = done.is_ok();
        let step = self.noted("mode, size and times", names, BTreeMap::new(), done.map(|_| ()));
        let now = answered.then_some(self.now());
        self.ledger.push_data(entry.file, bytes.clone(), None, None);
        self.ledger.push_data(entry.file, bytes, Some(mtime), now);
        if answered {
            self.stable_data(entry.file);
        }
        step
    }
}

fn set_attr(inode: InodeId, patch: AttrPatch) -> SetAttr {
    SetAttr { target: Target::Inode(inode), patch, guard: Default::default(), rule: AccessRule::Stateless }
}

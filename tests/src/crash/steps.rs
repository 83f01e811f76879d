//! Random steps: what clients do, what the gateway does by itself, and what goes wrong below it.

use super::ledger::{Entry, FileNumber, Ledger, Namespace};
use crate::sim::World;
use bytes::Bytes;
use dfs_engine::DurabilityClass;
use dfs_model::{AttrPatch, FsError, InodeId, InodeKind, Name, Patch, Target, TimePatch, Timestamp};
use dfs_stack::FlushScope;
use dfs_vfs::{
    AccessRule, Commit, Create, CreateExisting, Failed, Link, NameCase, NewKind, Remove, RemoveWhat, Rename,
    RenameReplace, SetAttr, Stability, Vfs, Walk, WalkStep, Write, WriteAt,
};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a step ended.
pub enum Outcome {
    /// Answered, and noted.
    Answered,
    /// The disk was cut under it; what may have happened is noted.
    Cut,
}

/// Largest file of a history, in bytes: several windows of the smallest block size.
const FILE_MAX: u64 = 200_000;

/// What a step needs.
pub struct Player<'a> {
    pub world: &'a World,
    pub ledger: &'a mut Ledger,
    pub rng: &'a mut StdRng,
    pub class: DurabilityClass,
}

/// A step's failure: the disk was cut, or the engine did something wrong.
type Step = Result<Outcome, String>;

impl Player<'_> {
    /// Plays one random step. *Errors:* what no history allows.
    pub async fn play(&mut self) -> Step {
        match self.rng.random_range(0..100) {
            0..30 => self.write().await,
            30..38 => self.truncate().await,
            38..42 => self.set_times().await,
            42..46 => self.set_mode().await,
            46..54 => self.commit().await,
            54..68 => self.create().await,
            68..76 => self.rename().await,
            76..82 => self.remove().await,
            82..86 => self.link().await,
            86..90 => self.sleep().await,
            90..94 => self.flush().await,
            _ => self.read_back().await,
        }
    }

    fn now(&self) -> Duration {
        self.world.elapsed()
    }

    fn pick(&mut self, kind: InodeKind) -> Option<(String, Entry)> {
        let all = self.ledger.now().iter().filter(|(_, entry)| entry.kind == kind);
        all.map(|(path, entry)| (path.clone(), entry.clone())).choose(self.rng)
    }

    /// A directory: the root one time in two.
    fn pick_dir(&mut self) -> String {
        if self.rng.random_bool(0.5) {
            return String::new();
        }
        self.pick(InodeKind::Directory).map_or_else(String::new, |(path, _)| path)
    }

    fn new_path(&mut self) -> String {
        let dir = self.pick_dir();
        let name = format!("n{}", self.rng.random_range(0..12));
        if dir.is_empty() { name } else { format!("{dir}/{name}") }
    }

    async fn inode(&self, path: &str) -> Result<InodeId, Failed> {
        let steps = path.split('/').filter(|part| !part.is_empty());
        let steps = steps.map(|part| WalkStep::Down(Name::try_from(part).unwrap())).collect();
        let request = Walk { dir: InodeId::ROOT, steps, case: NameCase::Exact, want: Default::default() };
        let walked = self.world.engine().walk(&self.world.root_context(), request).await?;
        Ok(walked.steps.last().map_or(InodeId::ROOT, |step| step.inode))
    }

    async fn parent(&self, path: &str) -> Result<(InodeId, Name), Failed> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.inode(dir).await?, Name::try_from(name).unwrap()))
    }

    /// What an error means: the cut, or a defect.
    fn judge(&self, what: &str, failed: &Failed) -> Step {
        if self.world.is_cut() { Ok(Outcome::Cut) } else { Err(format!("{what}: {}", failed.error)) }
    }

    fn stable_data(&mut self, file: FileNumber) {
        if self.class == DurabilityClass::Local {
            self.ledger.stabilize(file);
        }
    }

    async fn write(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let old = self.ledger.bytes(entry.file).to_vec();
        let offset = match self.rng.random_range(0..4) {
            0 => 0,
            1 => old.len() as u64,
            _ => self.rng.random_range(0..=FILE_MAX),
        };
        let len = if self.rng.random_bool(0.8) {
            self.rng.random_range(1..5000)
        } else {
            self.rng.random_range(1..90_000)
        };
        let fill: u8 = self.rng.random();
        let data: Vec<u8> = (0..len).map(|at: usize| fill.wrapping_add((at / 7) as u8)).collect();
        let stability = if self.rng.random_bool(0.2) { Stability::FileSync } else { Stability::Unstable };
        let mut new = old;
        let end = offset as usize + data.len();
        new.resize(new.len().max(end), 0);
        new[offset as usize..end].copy_from_slice(&data);
        let inode = match self.inode(&path).await {
            Ok(inode) => inode,
            Err(failed) => return self.judge("walk", &failed),
        };
        let request = Write {
            target: Target::Inode(inode),
            at: WriteAt::Offset(offset),
            payload: Bytes::from(data),
            stability,
            rule: AccessRule::Stateless,
        };
        match self.world.engine().write(&self.world.root_context(), request).await {
            Ok(reply) => {
                let now = self.now();
                self.ledger.push_data(entry.file, new, Some(reply.wcc.post.mtime), Some(now));
                if stability == Stability::FileSync {
                    self.stable_data(entry.file);
                }
                Ok(Outcome::Answered)
            }
            Err(failed) => {
                self.ledger.push_data(entry.file, new, None, None);
                self.judge("write", &failed)
            }
        }
    }

    async fn patch(&mut self, path: &str, patch: AttrPatch) -> Result<Result<Timestamp, Failed>, String> {
        let inode = match self.inode(path).await {
            Ok(inode) => inode,
            Err(failed) => return Ok(Err(failed)),
        };
        let request = SetAttr {
            target: Target::Inode(inode),
            patch,
            guard: Default::default(),
            rule: AccessRule::Stateless,
        };
        let done = self.world.engine().set_attr(&self.world.root_context(), request).await;
        Ok(done.map(|changed| changed.wcc.post.mtime))
    }

    async fn truncate(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let mut bytes = self.ledger.bytes(entry.file).to_vec();
        let size = if self.rng.random_bool(0.3) { 0 } else { self.rng.random_range(0..=FILE_MAX) };
        bytes.resize(size as usize, 0);
        let patch = AttrPatch { size: Patch::Set(size), ..AttrPatch::default() };
        self.changed_data("truncate", &path, entry.file, patch, bytes).await
    }

    async fn set_times(&mut self) -> Step {
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

    async fn set_mode(&mut self) -> Step {
        let kind = if self.rng.random_bool(0.7) { InodeKind::File } else { InodeKind::Directory };
        let Some((path, entry)) = self.pick(kind) else { return Ok(Outcome::Answered) };
        let mode = 0o600 | self.rng.random_range(0..0o200u16);
        let mut names = self.ledger.now().clone();
        names.values_mut().filter(|other| other.file == entry.file).for_each(|other| other.mode = mode);
        let patch = AttrPatch { mode: Patch::Set(mode), ..AttrPatch::default() };
        let done = self.patch(&path, patch).await?;
        self.noted("chmod", names, BTreeMap::new(), done.map(|_| ()))
    }

    async fn commit(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let inode = match self.inode(&path).await {
            Ok(inode) => inode,
            Err(failed) => return self.judge("walk", &failed),
        };
        let request = Commit { target: Target::Inode(inode), offset: 0, len: 0 };
        match self.world.engine().commit(&self.world.root_context(), request).await {
            Ok(_) => {
                self.stable_data(entry.file);
                Ok(Outcome::Answered)
            }
            Err(failed) => self.judge("commit", &failed),
        }
    }

    /// Notes a name operation that was answered, or may have happened.
    fn noted(
        &mut self,
        what: &str,
        names: Namespace,
        floors: BTreeMap<FileNumber, usize>,
        done: Result<(), Failed>,
    ) -> Step {
        match done {
            Ok(()) => {
                let now = self.now();
                self.ledger.push_names(names, floors, Some(now));
                if self.class == DurabilityClass::Local {
                    self.ledger.stabilize_names();
                }
                Ok(Outcome::Answered)
            }
            Err(failed) => {
                self.ledger.push_names(names, floors, None);
                self.judge(what, &failed)
            }
        }
    }

    async fn create(&mut self) -> Step {
        let path = self.new_path();
        if self.ledger.now().contains_key(&path) || self.ledger.now().len() > 24 {
            return Ok(Outcome::Answered);
        }
        let (kind, mode) = match self.rng.random_range(0..5) {
            0 => (NewKind::Directory, 0o755),
            1 => (NewKind::Symlink(Bytes::from_static(b"somewhere")), 0o777),
            _ => (NewKind::File, 0o644),
        };
        let (dir, name) = match self.parent(&path).await {
            Ok(found) => found,
            Err(failed) => return self.judge("walk", &failed),
        };
        let attrs = AttrPatch { mode: Patch::Set(mode), ..AttrPatch::default() };
        let request = Create { dir, name, kind: kind.clone(), existing: CreateExisting::Guarded, attrs };
        let done = self.world.engine().create(&self.world.root_context(), request).await;
        let now = self.now();
        let mtime = done.as_ref().ok().map(|reply| reply.attrs.mtime);
        let file = self.ledger.new_file(mtime, done.is_ok().then_some(now));
        let mut names = self.ledger.now().clone();
        names.insert(path, Entry { file, kind: kind.kind(), mode });
        self.noted("create", names, BTreeMap::new(), done.map(|_| ()))
    }

    async fn rename(&mut self) -> Step {
        let kind = if self.rng.random_bool(0.8) { InodeKind::File } else { InodeKind::Directory };
        let Some((from, entry)) = self.pick(kind) else { return Ok(Outcome::Answered) };
        let to = if self.rng.random_bool(0.6) {
            self.pick(kind).map(|(path, _)| path).unwrap_or_default()
        } else {
            self.new_path()
        };
        let target = self.ledger.now().get(&to).cloned();
        let into_itself = to == from || to.starts_with(&format!("{from}/")) || to.is_empty();
        let bad_target = target.as_ref().is_some_and(|target| {
            target.kind != entry.kind
                || target.file == entry.file
                || self.ledger.now().keys().any(|path| path.starts_with(&format!("{to}/")))
        });
        if into_itself || bad_target {
            return Ok(Outcome::Answered);
        }
        let mut floors = BTreeMap::new();
        if target.is_some() && kind == InodeKind::File {
            floors.insert(entry.file, self.ledger.files[entry.file].versions.len() - 1);
        }
        let mut names = Namespace::new();
        for (path, other) in self.ledger.now() {
            let moved = path.strip_prefix(&from).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            if *path != to {
                names.insert(moved.map_or_else(|| path.clone(), |rest| format!("{to}{rest}")), other.clone());
            }
        }
        let (Ok((from_dir, from_name)), Ok((to_dir, to_name))) =
            (self.parent(&from).await, self.parent(&to).await)
        else {
            return self.judge("walk", &Failed::from(FsError::NotFound));
        };
        let request = Rename {
            from_dir,
            from_name,
            open: None,
            to_dir,
            to_name,
            replace: RenameReplace::Posix,
            case: NameCase::Exact,
            parent_lease_keys: [None, None],
        };
        let done = self.world.engine().rename(&self.world.root_context(), request).await;
        self.noted("rename", names, floors, done.map(|_| ()))
    }

    async fn remove(&mut self) -> Step {
        let Some((path, entry)) =
            self.ledger.now().iter().map(|(path, entry)| (path.clone(), entry.clone())).choose(self.rng)
        else {
            return Ok(Outcome::Answered);
        };
        let below = format!("{path}/");
        if self.ledger.now().keys().any(|other| other.starts_with(&below)) {
            return Ok(Outcome::Answered);
        }
        let (dir, name) = match self.parent(&path).await {
            Ok(found) => found,
            Err(failed) => return self.judge("walk", &failed),
        };
        let what =
            if entry.kind == InodeKind::Directory { RemoveWhat::Directory } else { RemoveWhat::NonDirectory };
        let mut names = self.ledger.now().clone();
        names.remove(&path);
        let request = Remove { dir, name, what, expect: None };
        let done = self.world.engine().remove(&self.world.root_context(), request).await;
        self.noted("remove", names, BTreeMap::new(), done.map(|_| ()))
    }

    async fn link(&mut self) -> Step {
        let Some((from, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let to = self.new_path();
        if self.ledger.now().contains_key(&to) {
            return Ok(Outcome::Answered);
        }
        let (Ok(inode), Ok((dir, name))) = (self.inode(&from).await, self.parent(&to).await) else {
            return self.judge("walk", &Failed::from(FsError::NotFound));
        };
        let mut names = self.ledger.now().clone();
        names.insert(to, entry);
        let done = self
            .world
            .engine()
            .link(&self.world.root_context(), Link { inode, dir, name, replace: false })
            .await;
        self.noted("link", names, BTreeMap::new(), done.map(|_| ()))
    }

    async fn sleep(&mut self) -> Step {
        let millis = if self.rng.random_bool(0.7) {
            self.rng.random_range(1..500)
        } else {
            self.rng.random_range(500..60_000)
        };
        self.unless_cut(tokio::time::sleep(Duration::from_millis(millis))).await
    }

    /// Waits for something that the gateway does by itself, but no longer than the disk lives: the time of the cut counts.
    async fn unless_cut<T>(&self, work: impl Future<Output = T>) -> Step {
        let cut = async {
            while !self.world.is_cut() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            _ = work => Ok(Outcome::Answered),
            () = cut => Ok(Outcome::Cut),
        }
    }

    /// Flushes while the object store misbehaves; gives up waiting where it is cut.
    async fn flush(&mut self) -> Step {
        self.world.trouble(self.rng);
        let patience = Duration::from_secs(self.rng.random_range(1..120));
        let flush = self.world.engine().stack().flush(FlushScope::All);
        self.unless_cut(tokio::time::timeout(patience, flush)).await
    }

    /// A file reads as it was written.
    async fn read_back(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        self.world.calm();
        let inode = match self.inode(&path).await {
            Ok(inode) => inode,
            Err(failed) => return self.judge("walk", &failed),
        };
        let want = dfs_vfs::GetAttr { target: Target::Inode(inode), want: Default::default() };
        let attrs = match self.world.engine().get_attr(&self.world.root_context(), want).await {
            Ok(attrs) => attrs,
            Err(failed) => return self.judge("getattr", &failed),
        };
        match super::check::read(self.world, &attrs).await {
            Ok(bytes) if bytes == self.ledger.bytes(entry.file) => Ok(Outcome::Answered),
            Ok(bytes) => Err(format!(
                "{path}: read {} bytes that differ from the {} written",
                bytes.len(),
                self.ledger.bytes(entry.file).len()
            )),
            Err(_) if self.world.is_cut() => Ok(Outcome::Cut),
            Err(why) => Err(format!("{path}: {why}")),
        }
    }
}

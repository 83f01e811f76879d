//! Random steps: what clients do, what the gateway does by itself, and what goes wrong below it.

use super::asked::{Asked, NameOp};
use super::ledger::{DataVersion, Entry, FileHistory, FileNumber, Ledger, Namespace};
use crate::sim::World;
use bytes::Bytes;
use dfs_engine::DurabilityClass;
use dfs_model::{AttrPatch, FsError, InodeId, InodeKind, Name, Patch, Target};
use dfs_stack::FlushScope;
use dfs_vfs::{
    AccessRule, Commit, Create, CreateExisting, Failed, Link, NameCase, NewKind, Remove, RemoveWhat, Rename,
    RenameReplace, Stability, Vfs, Walk, WalkStep, Write, WriteAt,
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
pub const FILE_MAX: u64 = 200_000;

/// What a step needs.
pub struct Player<'a> {
    pub world: &'a World,
    pub ledger: &'a mut Ledger,
    pub rng: &'a mut StdRng,
    pub class: DurabilityClass,
    pub copies: bool,
}

/// A step's failure: the disk was cut, or the engine did something wrong.
pub type Step = Result<Outcome, String>;

impl Player<'_> {
    /// Plays one random step. *Errors:* what no history allows.
    pub async fn play(&mut self) -> Step {
        // The draw is made only where clones are: histories without keep what their seeds choose.
        if self.copies && self.rng.random_bool(0.06) {
            return self.clone_file().await;
        }
        if self.copies && self.rng.random_bool(0.04) {
            return self.snapshot().await;
        }
        match self.rng.random_range(0..100) {
            0..24 => self.write().await,
            24..31 => self.truncate().await,
            31..35 => self.set_times().await,
            35..37 => self.set_mode().await,
            37 => self.set_owner().await,
            38 => self.set_all().await,
            39..46 => self.commit().await,
            46..56 => self.create().await,
            56..59 => self.create_again().await,
            59..67 => self.rename().await,
            67..73 => self.remove().await,
            73..77 => self.link().await,
            77..81 => self.sleep().await,
            81..84 => self.flush().await,
            84 => self.removed_and_cleaned().await,
            85..94 => self.crowd().await,
            _ => self.read_back().await,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.world.elapsed()
    }

    pub(super) fn pick(&mut self, kind: InodeKind) -> Option<(String, Entry)> {
        let all = self.ledger.now().iter().filter(|(_, entry)| entry.kind == kind);
        all.map(|(path, entry)| (path.clone(), entry.clone())).choose(self.rng)
    }

    /// A directory: the root one time in three.
    fn pick_dir(&mut self) -> String {
        if self.rng.random_bool(0.3) {
            return String::new();
        }
        self.pick(InodeKind::Directory).map_or_else(String::new, |(path, _)| path)
    }

    pub(super) fn new_path(&mut self) -> String {
        let dir = self.pick_dir();
        let name = format!("n{}", self.rng.random_range(0..12));
        if dir.is_empty() { name } else { format!("{dir}/{name}") }
    }

    pub(super) async fn inode(&self, path: &str) -> Result<InodeId, Failed> {
        let steps = path.split('/').filter(|part| !part.is_empty());
        let steps = steps.map(|part| WalkStep::Down(Name::try_from(part).unwrap())).collect();
        let request = Walk { dir: InodeId::ROOT, steps, case: NameCase::Exact, want: Default::default() };
        let walked = self.world.engine().walk(&self.world.root_context(), request).await?;
        Ok(walked.steps.last().map_or(InodeId::ROOT, |step| step.inode))
    }

    pub(super) async fn parent(&self, path: &str) -> Result<(InodeId, Name), Failed> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.inode(dir).await?, Name::try_from(name).unwrap()))
    }

    /// What an error means: the cut, a disk that failed before, or a defect.
    pub(super) fn judge(&self, what: &str, failed: &Failed) -> Step {
        let told = matches!(failed.error, FsError::ReadOnlyShare | FsError::Io);
        let failing = self.world.failed_at().is_some() && told;
        if self.world.is_cut() || failing {
            Ok(Outcome::Cut)
        } else {
            Err(format!("{what}: {}", failed.error))
        }
    }

    pub(super) fn stable_data(&mut self, file: FileNumber) {
        if self.class != DurabilityClass::Relaxed {
            self.ledger.stabilize(file);
        }
    }

    /// A write to a file: where, what, and the file with it.
    pub(super) fn plan_write(&mut self, file: FileNumber) -> (u64, Bytes, Vec<u8>) {
        let old = self.ledger.bytes(file).to_vec();
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
        let mut new = old;
        let end = offset as usize + data.len();
        new.resize(new.len().max(end), 0);
        new[offset as usize..end].copy_from_slice(&data);
        (offset, Bytes::from(data), new)
    }

    async fn write(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let (offset, data, new) = self.plan_write(entry.file);
        let stability = if self.rng.random_bool(0.2) { Stability::FileSync } else { Stability::Unstable };
        let appends = offset == self.ledger.bytes(entry.file).len() as u64 && self.rng.random_bool(0.5);
        let inode = match self.inode(&path).await {
            Ok(inode) => inode,
            Err(failed) => return self.judge("walk", &failed),
        };
        let request = Write {
            target: Target::Inode(inode),
            at: if appends { WriteAt::Append } else { WriteAt::Offset(offset) },
            payload: data,
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
    pub(super) fn noted(
        &mut self,
        what: &str,
        names: Namespace,
        floors: BTreeMap<FileNumber, usize>,
        done: Result<(), Failed>,
    ) -> Step {
        let now = self.now();
        self.ledger.push_names(names, floors, done.is_ok().then_some(now));
        match done {
            Ok(()) => {
                if self.class != DurabilityClass::Relaxed {
                    self.ledger.stabilize_names();
                }
                Ok(Outcome::Answered)
            }
            Err(failed) => self.judge(what, &failed),
        }
    }

    /// Sends a name operation, one time in eight twice, and notes it.
    pub(super) async fn ask(
        &mut self,
        path: String,
        op: NameOp,
        names: Namespace,
        floors: BTreeMap<FileNumber, usize>,
    ) -> Step {
        let asked = Asked { xid: self.ledger.xid(), at: self.now(), path, op };
        let done = asked.send(self.world).await;
        let mut twice = Ok(None);
        if self.refuses_for_space(&asked.op, &done) {
            return Ok(Outcome::Answered);
        }
        if let (Ok(first), true) = (&done, self.rng.random_bool(0.125)) {
            twice = asked.send(self.world).await;
            if let (Some((first, _)), Ok(Some((second, _)))) = (first, &twice)
                && first != second
            {
                return Err(format!("repeated, the create of {} answers another inode", asked.path));
            }
        }
        if let NameOp::Create(_) = &asked.op {
            let entry = &names[&asked.path];
            let made = done.as_ref().ok().copied().flatten();
            let now = done.is_ok().then_some(self.now());
            let first = DataVersion { bytes: Vec::new(), mtime: made.map(|(_, mtime)| mtime), answered: now };
            self.ledger.files[entry.file] = FileHistory { versions: vec![first], stable: 0 };
            if let Some((inode, _)) = made {
                self.ledger.know(inode, entry.file);
            }
        }
        let step = self.noted("a name operation", names, floors, done.map(|_| ()));
        self.ledger.names.last_mut().unwrap().op = Some(asked);
        match twice {
            Ok(_) => step,
            Err(failed) => step.and(self.judge("a repeated name operation", &failed)),
        }
    }

    /// On a full disk what makes things may be refused, and then it did not happen.
    fn refuses_for_space<T>(&self, op: &NameOp, done: &Result<T, Failed>) -> bool {
        let makes = matches!(op, NameOp::Create(_) | NameOp::Link(_));
        let refused = done.as_ref().err().is_some_and(|failed| failed.error == FsError::NoSpace);
        makes && refused && self.world.is_full()
    }

    async fn create(&mut self) -> Step {
        let path = self.new_path();
        if self.ledger.now().contains_key(&path) || self.ledger.now().len() > 24 {
            return Ok(Outcome::Answered);
        }
        let (kind, mode) = match self.rng.random_range(0..11) {
            0..2 => (NewKind::Directory, 0o755),
            2..4 => (NewKind::Symlink(Bytes::from_static(b"somewhere")), 0o777),
            4 => (NewKind::Fifo, 0o644),
            _ => (NewKind::File, 0o644),
        };
        let (dir, name) = match self.parent(&path).await {
            Ok(found) => found,
            Err(failed) => return self.judge("walk", &failed),
        };
        let attrs = AttrPatch { mode: Patch::Set(mode), ..AttrPatch::default() };
        let existing = match (&kind, self.rng.random_range(0..4)) {
            (NewKind::File, 0) => CreateExisting::Unchecked,
            (NewKind::File, 1) => CreateExisting::Exclusive(self.rng.random()),
            _ => CreateExisting::Guarded,
        };
        let request = Create { dir, name, kind: kind.clone(), existing, attrs };
        let file = self.ledger.new_file(None, None);
        let mut names = self.ledger.now().clone();
        names.insert(path.clone(), Entry::new(file, kind.kind(), mode));
        self.ask(path, NameOp::Create(request), names, BTreeMap::new()).await
    }

    /// Creates on a name that is there: only an unchecked one succeeds, and may truncate.
    async fn create_again(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let (dir, name) = match self.parent(&path).await {
            Ok(found) => found,
            Err(failed) => return self.judge("walk", &failed),
        };
        let existing = match self.rng.random_range(0..4) {
            0 => CreateExisting::Guarded,
            1 => CreateExisting::Exclusive(self.rng.random()),
            _ => CreateExisting::Unchecked,
        };
        let truncates = existing == CreateExisting::Unchecked && self.rng.random_bool(0.7);
        let size = if truncates { Patch::Set(0) } else { Patch::Keep };
        let attrs = AttrPatch { size, ..AttrPatch::default() };
        let request = Create { dir, name, kind: NewKind::File, existing, attrs };
        let done = self.world.engine().create(&self.world.root_context(), request).await;
        match done {
            Ok(reply) if existing == CreateExisting::Unchecked && reply.existed => {
                if truncates {
                    let now = self.now();
                    self.ledger.push_data(entry.file, Vec::new(), Some(reply.attrs.mtime), Some(now));
                    self.stable_data(entry.file);
                }
                Ok(Outcome::Answered)
            }
            Ok(_) => Err(format!("{path}: created though it was there ({existing:?})")),
            Err(failed) if failed.error == FsError::Exists && existing != CreateExisting::Unchecked => {
                Ok(Outcome::Answered)
            }
            Err(failed) => {
                if truncates {
                    self.ledger.push_data(entry.file, Vec::new(), None, None);
                }
                self.judge("create again", &failed)
            }
        }
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
        self.ask(from, NameOp::Rename(request), names, floors).await
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
        self.ask(path, NameOp::Remove(request), names, BTreeMap::new()).await
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
        names.insert(to.clone(), entry);
        self.ask(to, NameOp::Link(Link { inode, dir, name, replace: false }), names, BTreeMap::new()).await
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
    pub(super) async fn unless_cut<T>(&self, work: impl Future<Output = T>) -> Step {
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

    /// Flushes, removes a file, and gives the cleaner a moment.
    async fn removed_and_cleaned(&mut self) -> Step {
        self.world.calm();
        self.world.slow(2);
        let flush = self.world.engine().stack().flush(FlushScope::All);
        if let Outcome::Cut = self.unless_cut(tokio::time::timeout(Duration::from_secs(60), flush)).await? {
            return Ok(Outcome::Cut);
        }
        if let Outcome::Cut = self.remove().await? {
            return Ok(Outcome::Cut);
        }
        let moment = Duration::from_millis(self.rng.random_range(1..90));
        self.unless_cut(tokio::time::sleep(moment)).await
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

    /// After a failed sync every change is refused, and what was answered still reads.
    pub async fn after_failed_sync(&mut self) -> Result<(), String> {
        self.world.calm();
        let files: Vec<(String, Entry)> = self
            .ledger
            .now()
            .iter()
            .filter(|(_, entry)| entry.kind == InodeKind::File)
            .map(|(path, entry)| (path.clone(), entry.clone()))
            .collect();
        for (path, entry) in files {
            // The last name operation may have happened or not, so the path may lead elsewhere.
            let Ok(inode) = self.inode(&path).await else { continue };
            if self.ledger.ids.get(&inode) != Some(&entry.file) {
                continue;
            }
            let at = WriteAt::Offset(0);
            let (payload, stability) = (Bytes::from_static(b"no"), Stability::Unstable);
            let request =
                Write { target: Target::Inode(inode), at, payload, stability, rule: AccessRule::Stateless };
            if self.world.engine().write(&self.world.root_context(), request).await.is_ok() {
                return Err(format!("{path}: written to after a failed sync"));
            }
            let want = dfs_vfs::GetAttr { target: Target::Inode(inode), want: Default::default() };
            let attrs = self.world.engine().get_attr(&self.world.root_context(), want).await;
            let attrs = attrs.map_err(|failed| format!("{path}: {}", failed.error))?;
            let there = super::check::read(self.world, &attrs).await;
            let there = match there {
                Err(_) if self.world.is_cut() => return Ok(()),
                there => there.map_err(|why| format!("{path}: {why}"))?,
            };
            let versions = &self.ledger.files[entry.file].versions;
            let answered = versions.iter().rposition(|version| version.answered.is_some()).unwrap_or(0);
            if !versions[answered..].iter().any(|version| version.bytes == there) {
                return Err(format!("{path}: reads bytes that it never had, or too old ones"));
            }
        }
        Ok(())
    }
}

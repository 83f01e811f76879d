//! Several clients at once. What they do is noted as every order in which it may have happened.

use super::check::read;
use super::ledger::{Entry, FileNumber, Namespace};
use super::steps::{Outcome, Player, Step};
use crate::sim::World;
use bytes::Bytes;
use dfs_engine::DurabilityClass;
use dfs_model::{AttrPatch, Attrs, InodeId, InodeKind, Patch, Target};
use dfs_stack::FlushScope;
use dfs_vfs::{
    AccessRule, Create, CreateExisting, Failed, GetAttr, NewKind, Remove, RemoveWhat, Stability, Vfs, Write,
    WriteAt, WriteReply,
};
use futures_util::future::join_all;
use rand::Rng;
use rand::seq::IteratorRandom;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

/// One write of a crowd.
struct Planned {
    file: FileNumber,
    inode: InodeId,
    offset: u64,
    data: Bytes,
    new: Vec<u8>,
    stability: Stability,
}

impl Planned {
    fn over(&self, old: &[u8]) -> Vec<u8> {
        let end = self.offset as usize + self.data.len();
        let mut new = old.to_vec();
        new.resize(new.len().max(end), 0);
        new[self.offset as usize..end].copy_from_slice(&self.data);
        new
    }

    async fn send(&self, world: &World) -> Result<WriteReply, Failed> {
        write(world, self.inode, self.offset, self.data.clone(), self.stability).await
    }
}

async fn write(
    world: &World,
    inode: InodeId,
    offset: u64,
    payload: Bytes,
    stability: Stability,
) -> Result<WriteReply, Failed> {
    let at = WriteAt::Offset(offset);
    let request = Write { target: Target::Inode(inode), at, payload, stability, rule: AccessRule::Stateless };
    world.engine().write(&world.root_context(), request).await
}

async fn attrs(world: &World, inode: InodeId) -> Result<Attrs, Failed> {
    let want = GetAttr { target: Target::Inode(inode), want: Default::default() };
    world.engine().get_attr(&world.root_context(), want).await
}

/// What one of several name operations does to the namespace.
enum Change {
    Add(String, Entry),
    Drop(String),
}

impl Change {
    fn apply(&self, names: &mut Namespace) {
        match self {
            Change::Add(path, entry) => drop(names.insert(path.clone(), entry.clone())),
            Change::Drop(path) => drop(names.remove(path)),
        }
    }
}

impl Player<'_> {
    /// A random kind of crowd.
    pub(super) async fn crowd(&mut self) -> Step {
        match self.rng.random_range(0..10) {
            0..3 => self.writers_apart().await,
            3..5 => self.writers_together().await,
            5..7 => self.found_while_created().await,
            7..9 => self.names_together().await,
            _ => self.reader_among_writers().await,
        }
    }

    async fn plan(&mut self, path: &str, file: FileNumber) -> Result<Planned, Failed> {
        let (offset, data, new) = self.plan_write(file);
        let stability = if self.rng.random_bool(0.4) { Stability::FileSync } else { Stability::Unstable };
        Ok(Planned { file, inode: self.inode(path).await?, offset, data, new, stability })
    }

    /// Writers on different files.
    async fn writers_apart(&mut self) -> Step {
        let mut files: BTreeMap<FileNumber, String> = BTreeMap::new();
        for _ in 0..4 {
            files.extend(self.pick(InodeKind::File).map(|(path, entry)| (entry.file, path)));
        }
        let mut planned = Vec::new();
        for (file, path) in files {
            match self.plan(&path, file).await {
                Ok(plan) => planned.push(plan),
                Err(failed) => return self.judge("walk", &failed),
            }
        }
        let world = self.world;
        let done = join_all(planned.iter().map(|plan| plan.send(world))).await;
        let mut step = Ok(Outcome::Answered);
        for (plan, done) in planned.into_iter().zip(done) {
            let now = done.is_ok().then_some(self.now());
            let mtime = done.as_ref().ok().map(|reply| reply.wcc.post.mtime);
            self.ledger.push_data(plan.file, plan.new, mtime, now);
            match done {
                Ok(_) if plan.stability == Stability::FileSync => self.stable_data(plan.file),
                Ok(_) => {}
                Err(failed) => step = step.and(self.judge("write of a crowd", &failed)),
            }
        }
        step
    }

    /// Two writers on one file: the result is one of the two orders.
    async fn writers_together(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let (one, two) = match (self.plan(&path, entry.file).await, self.plan(&path, entry.file).await) {
            (Ok(one), Ok(mut two)) => {
                two.offset = if self.rng.random_bool(0.7) { one.offset } else { two.offset };
                (
                    Planned { stability: Stability::Unstable, ..one },
                    Planned { stability: Stability::Unstable, ..two },
                )
            }
            (Err(failed), _) | (_, Err(failed)) => return self.judge("walk", &failed),
        };
        let old = self.ledger.bytes(entry.file).to_vec();
        let (first, second) = (one.over(&old), two.over(&old));
        let (ends_two, ends_one) = (two.over(&first), one.over(&second));
        let done = futures_util::future::join(one.send(self.world), two.send(self.world)).await;
        let (file, now) = (entry.file, Some(self.now()));
        let failed = match done {
            (Ok(one), Ok(two)) => {
                let mtime = Some(one.wcc.post.mtime.max(two.wcc.post.mtime));
                let there =
                    attrs(self.world, self.inode(&path).await.map_err(|failed| failed.error.to_string())?)
                        .await;
                let there = there.map_err(|failed| failed.error.to_string())?;
                self.world.calm();
                let found = match read(self.world, &there).await {
                    Ok(found) => found,
                    Err(_) if self.world.is_cut() => {
                        // Both were answered; which came last cannot be seen any more.
                        self.ledger.push_data(file, first, None, None);
                        self.ledger.push_data(file, second, None, None);
                        self.ledger.push_data(file, ends_one, None, now);
                        self.ledger.push_data(file, ends_two, None, None);
                        return Ok(Outcome::Cut);
                    }
                    Err(why) => return Err(format!("{path}: {why}")),
                };
                if ends_one == ends_two {
                    // They do not overlap: either may have been the first.
                    self.ledger.push_data(file, first.clone(), None, None);
                }
                let (before, after) = if ends_one != ends_two && found == ends_two {
                    (first, ends_two)
                } else {
                    (second, ends_one)
                };
                if found != after {
                    return Err(format!("{path}: after two writes at once it holds neither order"));
                }
                self.ledger.push_data(file, before, None, None);
                self.ledger.push_data(file, after, mtime, now);
                return Ok(Outcome::Answered);
            }
            (Ok(_), Err(failed)) => {
                self.ledger.push_data(file, second, None, None);
                self.ledger.push_data(file, first, None, now);
                failed
            }
            (Err(failed), Ok(_)) => {
                self.ledger.push_data(file, first, None, None);
                self.ledger.push_data(file, second, None, now);
                failed
            }
            (Err(failed), Err(_)) => {
                self.ledger.push_data(file, first, None, None);
                self.ledger.push_data(file, second, None, None);
                failed
            }
        };
        self.ledger.push_data(file, ends_one, None, None);
        self.ledger.push_data(file, ends_two, None, None);
        self.judge("one of two writes", &failed)
    }

    /// One client creates, another finds the file before the first is answered and writes to it, stable.
    pub(super) async fn found_while_created(&mut self) -> Step {
        let path = self.new_path();
        if self.ledger.now().contains_key(&path) || self.ledger.now().len() > 24 {
            return Ok(Outcome::Answered);
        }
        let (dir, name) = match self.parent(&path).await {
            Ok(found) => found,
            Err(failed) => return self.judge("walk", &failed),
        };
        let file = self.ledger.new_file(None, None);
        let (offset, data, new) = self.plan_write(file);
        let attrs = AttrPatch { mode: Patch::Set(0o644), ..AttrPatch::default() };
        let request = Create { dir, name, kind: NewKind::File, existing: CreateExisting::Guarded, attrs };
        let world = self.world;
        let ended = Cell::new(false);
        let create = async {
            let done = world.engine().create(&world.root_context(), request).await;
            ended.set(true);
            done
        };
        let finder = async {
            let mut looks = 0;
            loop {
                looks += 1;
                match self.inode(&path).await {
                    Ok(inode) => return Some(write(world, inode, offset, data, Stability::FileSync).await),
                    Err(_) if ended.get() || world.is_cut() => return None,
                    // At first without letting time pass, so that the create is still under way.
                    Err(_) if looks < 30 => tokio::task::yield_now().await,
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let (created, written) = futures_util::future::join(create, finder).await;
        let now = self.now();
        let wrote = matches!(written, Some(Ok(_)));
        let answered = (created.is_ok() || wrote).then_some(now);
        self.ledger.files[file].versions[0].answered = answered;
        if let Some(written) = &written {
            let mtime = written.as_ref().ok().map(|reply| reply.wcc.post.mtime);
            self.ledger.push_data(file, new, mtime, wrote.then_some(now));
        }
        let mut names = self.ledger.now().clone();
        names.insert(path, Entry::new(file, InodeKind::File, 0o644));
        self.ledger.push_names(names, BTreeMap::new(), answered);
        if let Ok(reply) = &created {
            self.ledger.know(reply.inode, file);
        }
        if self.class != DurabilityClass::Relaxed && answered.is_some() {
            self.ledger.stabilize_names();
        }
        if wrote {
            self.stable_data(file);
        }
        match (created, written) {
            (Err(failed), _) | (_, Some(Err(failed))) => self.judge("create and write at once", &failed),
            _ => Ok(Outcome::Answered),
        }
    }

    /// Creates and removals of different names at once.
    async fn names_together(&mut self) -> Step {
        let mut changes: BTreeMap<String, (Change, InodeId, dfs_model::Name)> = BTreeMap::new();
        for _ in 0..3 {
            let drops = self.rng.random_bool(0.4);
            let found = self
                .ledger
                .now()
                .iter()
                .filter(|(_, entry)| entry.kind != InodeKind::Directory)
                .choose(self.rng);
            let found = found.map(|(path, entry)| (path.clone(), entry.file));
            // Two removals of one inode at once are two different histories of its link count.
            let twin =
                |file: FileNumber| self.ledger.now().values().filter(|entry| entry.file == file).count() > 1;
            let change = match found {
                Some((path, file)) if drops && !twin(file) => Change::Drop(path),
                _ => {
                    let path = self.new_path();
                    if self.ledger.now().contains_key(&path) || changes.contains_key(&path) {
                        continue;
                    }
                    let file = self.ledger.new_file(None, None);
                    Change::Add(path, Entry::new(file, InodeKind::File, 0o600))
                }
            };
            let path = match &change {
                Change::Add(path, _) | Change::Drop(path) => path.clone(),
            };
            match self.parent(&path).await {
                Ok((dir, name)) => changes.insert(path, (change, dir, name)),
                Err(failed) => return self.judge("walk", &failed),
            };
        }
        let changes: Vec<(Change, InodeId, dfs_model::Name)> = changes.into_values().collect();
        let world = self.world;
        let done = join_all(
            changes.iter().map(|(change, dir, name)| change_name(world, change, *dir, name.clone())),
        )
        .await;
        let now = self.now();
        for ((change, _, _), done) in changes.iter().zip(&done) {
            if let (Change::Add(_, entry), Ok(Some(made))) = (change, done) {
                let version = &mut self.ledger.files[entry.file].versions[0];
                (version.mtime, version.answered) = (Some(made.mtime), Some(now));
                self.ledger.know(made.inode, entry.file);
            }
        }
        let changes: Vec<Change> = changes.into_iter().map(|(change, _, _)| change).collect();
        let answered = done.iter().map(Result::is_ok).collect::<Vec<bool>>();
        self.note_subsets(&changes, &answered, now);
        match done.into_iter().find_map(Result::err) {
            Some(failed) => self.judge("names at once", &failed),
            None => Ok(Outcome::Answered),
        }
    }

    /// Notes every set of the changes that may be there: first those that lack an answered one, then the others.
    fn note_subsets(&mut self, changes: &[Change], answered: &[bool], now: Duration) {
        let before = self.ledger.now().clone();
        let must: u32 = answered.iter().enumerate().map(|(bit, yes)| u32::from(*yes) << bit).sum();
        let all = (1u32 << changes.len()) - 1;
        let mut sets: Vec<u32> = (1..=all).filter(|set| set & must != must).collect();
        let first_whole = sets.len();
        sets.extend((0..=all).filter(|set| set & must == must && *set != 0));
        for (at, set) in sets.into_iter().enumerate() {
            let mut names = before.clone();
            let chosen = changes.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
            chosen.for_each(|(_, change)| change.apply(&mut names));
            let whole = at == first_whole && must != 0;
            self.ledger.push_names(names, BTreeMap::new(), whole.then_some(now));
            if whole && self.class != DurabilityClass::Relaxed {
                self.ledger.stabilize_names();
            }
        }
    }

    /// A reader of a file that others overwrite, flush and clean up behind: it sees some state that was current meanwhile.
    pub(super) async fn reader_among_writers(&mut self) -> Step {
        let Some((path, entry)) = self.pick(InodeKind::File) else { return Ok(Outcome::Answered) };
        let inode = match self.inode(&path).await {
            Ok(inode) => inode,
            Err(failed) => return self.judge("walk", &failed),
        };
        self.world.calm();
        self.world.slow(self.rng.random_range(2..80));
        let rounds = self.rng.random_range(2..6);
        let plans: Vec<(u64, Bytes)> = (0..rounds)
            .map(|_| {
                let (offset, data, _) = self.plan_write(entry.file);
                (if self.rng.random_bool(0.5) { 0 } else { offset }, data)
            })
            .collect();
        let pauses: Vec<u64> = (0..rounds).map(|_| self.rng.random_range(0..300)).collect();
        // The states of the file: those up to the first number were answered, those up to the end begun.
        let states = RefCell::new((0usize, vec![self.ledger.bytes(entry.file).to_vec()]));
        let world = self.world;
        let done = Cell::new(false);
        let writer = async {
            let mut mtimes = Vec::new();
            let mut failed = None;
            for ((offset, data), pause) in plans.into_iter().zip(pauses) {
                let plan = Planned {
                    file: entry.file,
                    inode,
                    offset,
                    data,
                    new: Vec::new(),
                    stability: Stability::Unstable,
                };
                let next = plan.over(states.borrow().1.last().unwrap());
                states.borrow_mut().1.push(next);
                match plan.send(world).await {
                    Ok(reply) => mtimes.push(reply.wcc.post.mtime),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
                let newest = states.borrow().1.len() - 1;
                states.borrow_mut().0 = newest;
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let flush = world.engine().stack().flush(FlushScope::All);
                // Whether it ends in time is no matter here.
                let _ = tokio::time::timeout(Duration::from_secs(2), flush).await;
            }
            done.set(true);
            (mtimes, failed)
        };
        let reader = watch(world, inode, &path, &states, &done);
        let ((mtimes, failed), seen) = futures_util::future::join(writer, reader).await;
        let now = self.now();
        let (_, states) = states.into_inner();
        for (at, bytes) in states.into_iter().skip(1).enumerate() {
            let mtime = mtimes.get(at).copied();
            self.ledger.push_data(entry.file, bytes, mtime, mtime.map(|_| now));
        }
        seen?;
        match failed {
            Some(failed) => self.judge("a write beside a reader", &failed),
            None => Ok(Outcome::Answered),
        }
    }
}

/// Reads a file again and again while it is written; every state seen must be one between the answered and the begun.
async fn watch(
    world: &World,
    inode: InodeId,
    path: &str,
    states: &RefCell<(usize, Vec<Vec<u8>>)>,
    done: &Cell<bool>,
) -> Result<(), String> {
    while !done.get() && !world.is_cut() {
        let from = states.borrow().0;
        let Ok(there) = attrs(world, inode).await else { break };
        let whole = Attrs { size: there.size.max(super::steps::FILE_MAX * 2), ..there };
        match read(world, &whole).await {
            Ok(found) if states.borrow().1[from..].contains(&found) => {}
            Ok(found) => {
                return Err(format!("{path}: a reader saw {} bytes that were never the file", found.len()));
            }
            Err(_) if world.is_cut() => break,
            Err(why) => return Err(format!("{path}: a reader among writers: {why}")),
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    Ok(())
}

async fn change_name(
    world: &World,
    change: &Change,
    dir: InodeId,
    name: dfs_model::Name,
) -> Result<Option<Attrs>, Failed> {
    let (cx, engine) = (world.root_context(), world.engine());
    match change {
        Change::Add(..) => {
            let attrs = AttrPatch { mode: Patch::Set(0o600), ..AttrPatch::default() };
            let request = Create { dir, name, kind: NewKind::File, existing: CreateExisting::Guarded, attrs };
            engine.create(&cx, request).await.map(|reply| Some(reply.attrs))
        }
        Change::Drop(_) => {
            let request = Remove { dir, name, what: RemoveWhat::NonDirectory, expect: None };
            engine.remove(&cx, request).await.map(|_| None)
        }
    }
}

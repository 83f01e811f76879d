//! A naive tree that says what random histories must do: written straight from the rules, sharing no code with the store.
//!
//! [`World::predict`] tells how a step ends, [`World::commit`] does it, [`World::compare`] looks whether a store shows the
//! same tree. Clones are cheap enough to keep one per step, so that a crash test can ask which prefix survived.

use super::{Bed, check_consistent};
use crate::{CommitToken, MetadataStore, Placed, PlacedInode, ReadDirRequest, StoreError, StoreResult};
use dfs_model::{AttrPatch, Cookie, Credentials, FsError, InodeId, InodeKind, PackId, Patch, ShareId};
use std::collections::BTreeMap;

/// Bytes of the blocks that steps write.
const BLOCK: u64 = 4096;

/// A small generator of random numbers (SplitMix64), so that a seed means the same history everywhere.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit.max(1)
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: InodeKind,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub parent: InodeId,
    pub names: BTreeMap<String, InodeId>,
    pub size: u64,
    /// Block of the file → the pack that holds it.
    pub blocks: BTreeMap<u64, PackId>,
}

/// One step of a history. `who` is 0 root, 1 user, 2 other.
#[derive(Clone, Debug)]
pub enum Step {
    Create {
        who: usize,
        dir: InodeId,
        name: String,
        kind: InodeKind,
        mode: u16,
    },
    Link {
        who: usize,
        inode: InodeId,
        dir: InodeId,
        name: String,
    },
    Remove {
        who: usize,
        dir: InodeId,
        name: String,
    },
    Rename {
        who: usize,
        from_dir: InodeId,
        from: String,
        to_dir: InodeId,
        to: String,
    },
    Chmod {
        who: usize,
        inode: InodeId,
        mode: u16,
    },
    /// Blocks `[first, first + count)` are written, unless `count` is 0; before it the file was cut at block `low`.
    Place {
        inode: InodeId,
        low: u64,
        first: u64,
        count: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    pub nodes: BTreeMap<InodeId, Node>,
}

const USERS: [(u32, &[u32]); 3] = [(0, &[0]), (1000, &[1000, 2000]), (1001, &[1001])];

impl Default for World {
    fn default() -> World {
        let root = Node {
            kind: InodeKind::Directory,
            mode: 0o777,
            uid: 0,
            gid: 0,
            parent: InodeId::ROOT,
            names: BTreeMap::new(),
            size: 0,
            blocks: BTreeMap::new(),
        };
        World { nodes: BTreeMap::from([(InodeId::ROOT, root)]) }
    }
}

impl World {
    fn may(&self, node: &Node, who: usize, bit: u16) -> bool {
        let (uid, groups) = USERS[who];
        let shift = match (uid == node.uid, groups.contains(&node.gid)) {
            _ if uid == 0 => return true,
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        node.mode >> shift & bit != 0
    }

    fn dir(&self, id: InodeId) -> Result<&Node, FsError> {
        match self.nodes.get(&id) {
            None => Err(FsError::StaleHandle),
            Some(node) if node.kind != InodeKind::Directory => Err(FsError::NotDirectory),
            Some(node) => Ok(node),
        }
    }

    fn search(&self, dir: &Node, who: usize) -> Result<(), FsError> {
        if self.may(dir, who, 1) { Ok(()) } else { Err(FsError::AccessDenied) }
    }

    fn may_delete(&self, dir: &Node, victim: InodeId, who: usize) -> Result<(), FsError> {
        if !self.may(dir, who, 2) || !self.may(dir, who, 1) {
            return Err(FsError::AccessDenied);
        }
        let uid = USERS[who].0;
        let owner = uid == 0 || uid == dir.uid || uid == self.nodes[&victim].uid;
        if dir.mode & 0o1000 != 0 && !owner { Err(FsError::NotPermitted) } else { Ok(()) }
    }

    /// How a step ends.
    pub fn predict(&self, step: &Step) -> Result<(), FsError> {
        match step {
            Step::Create { who, dir, name, .. } => {
                let dir = self.dir(*dir)?;
                self.search(dir, *who)?;
                match (dir.names.contains_key(name), self.may(dir, *who, 2)) {
                    (true, _) => Err(FsError::Exists),
                    (false, false) => Err(FsError::AccessDenied),
                    (false, true) => Ok(()),
                }
            }
            Step::Link { who, inode, dir, name } => {
                let target = self.nodes.get(inode).ok_or(FsError::StaleHandle)?;
                let dir = self.dir(*dir)?;
                self.search(dir, *who)?;
                if dir.names.contains_key(name) {
                    return Err(FsError::Exists);
                }
                if !self.may(dir, *who, 2) {
                    return Err(FsError::AccessDenied);
                }
                if target.kind == InodeKind::Directory { Err(FsError::NotPermitted) } else { Ok(()) }
            }
            Step::Remove { who, dir, name } => {
                let dir = self.dir(*dir)?;
                self.search(dir, *who)?;
                let victim = *dir.names.get(name).ok_or(FsError::NotFound)?;
                self.may_delete(dir, victim, *who)?;
                if self.nodes[&victim].names.is_empty() { Ok(()) } else { Err(FsError::NotEmpty) }
            }
            Step::Rename { who, from_dir, from, to_dir, to } => {
                self.predict_rename(*who, *from_dir, from, *to_dir, to)
            }
            Step::Chmod { who, inode, .. } => {
                let node = self.nodes.get(inode).ok_or(FsError::StaleHandle)?;
                let uid = USERS[*who].0;
                if uid == 0 || uid == node.uid { Ok(()) } else { Err(FsError::NotPermitted) }
            }
            Step::Place { .. } => Ok(()),
        }
    }

    fn predict_rename(
        &self,
        who: usize,
        from_dir: InodeId,
        from: &str,
        to_dir: InodeId,
        to: &str,
    ) -> Result<(), FsError> {
        let (source_dir, target_dir) = (self.dir(from_dir)?, self.dir(to_dir)?);
        self.search(source_dir, who)?;
        self.search(target_dir, who)?;
        let moved = *source_dir.names.get(from).ok_or(FsError::NotFound)?;
        let replaced = target_dir.names.get(to).copied();
        if replaced == Some(moved) {
            return Ok(());
        }
        let is_dir = self.nodes[&moved].kind == InodeKind::Directory;
        if is_dir && from_dir != to_dir && self.is_below(to_dir, moved) {
            return Err(FsError::InvalidArgument);
        }
        self.may_delete(source_dir, moved, who)?;
        if !self.may(target_dir, who, 2) {
            return Err(FsError::AccessDenied);
        }
        if let Some(replaced) = replaced {
            self.may_delete(target_dir, replaced, who)?;
        }
        if is_dir && from_dir != to_dir && !self.may(&self.nodes[&moved], who, 2) {
            return Err(FsError::AccessDenied);
        }
        let Some(replaced) = replaced.map(|id| &self.nodes[&id]) else { return Ok(()) };
        match (is_dir, replaced.kind == InodeKind::Directory) {
            (true, false) => Err(FsError::NotDirectory),
            (false, true) => Err(FsError::IsDirectory),
            (true, true) if !replaced.names.is_empty() => Err(FsError::NotEmpty),
            _ => Ok(()),
        }
    }

    fn is_below(&self, mut at: InodeId, top: InodeId) -> bool {
        while at != top {
            if at == InodeId::ROOT {
                return false;
            }
            at = self.nodes[&at].parent;
        }
        true
    }

    /// Number of names that lead to a node.
    fn links(&self, id: InodeId) -> usize {
        self.nodes.values().flat_map(|node| node.names.values()).filter(|to| **to == id).count()
    }

    fn drop_name(&mut self, dir: InodeId, name: &str) {
        let gone = self.nodes.get_mut(&dir).and_then(|node| node.names.remove(name));
        if let Some(gone) = gone
            && self.links(gone) == 0
        {
            self.nodes.remove(&gone);
        }
    }

    /// Does a step that was predicted to work; `made` is the id that a create answered, `pack` that of a place.
    pub fn commit(&mut self, step: &Step, made: Option<InodeId>, pack: Option<PackId>) {
        match step {
            Step::Create { who, dir, name, kind, mode } => {
                let id = made.expect("a create made something");
                let (uid, groups) = USERS[*who];
                let mode = if *kind == InodeKind::Symlink { 0o777 } else { *mode };
                let node = Node {
                    kind: *kind,
                    mode,
                    uid,
                    gid: groups[0],
                    parent: if *kind == InodeKind::Directory { *dir } else { InodeId(0) },
                    names: BTreeMap::new(),
                    size: 0,
                    blocks: BTreeMap::new(),
                };
                self.nodes.insert(id, node);
                self.nodes.get_mut(dir).unwrap().names.insert(name.clone(), id);
            }
            Step::Link { inode, dir, name, .. } => {
                self.nodes.get_mut(dir).unwrap().names.insert(name.clone(), *inode);
            }
            Step::Remove { dir, name, .. } => self.drop_name(*dir, name),
            Step::Rename { from_dir, from, to_dir, to, .. } => {
                let moved = self.nodes[from_dir].names[from];
                if self.nodes[to_dir].names.get(to) == Some(&moved) {
                    return;
                }
                self.drop_name(*to_dir, to);
                self.nodes.get_mut(from_dir).unwrap().names.remove(from);
                self.nodes.get_mut(to_dir).unwrap().names.insert(to.clone(), moved);
                let node = self.nodes.get_mut(&moved).unwrap();
                if node.kind == InodeKind::Directory {
                    node.parent = *to_dir;
                }
            }
            Step::Chmod { inode, mode, .. } => self.nodes.get_mut(inode).unwrap().mode = *mode,
            Step::Place { inode, low, first, count } => {
                let Some(node) = self.nodes.get_mut(inode) else { return };
                node.blocks.retain(|block, _| block < low);
                node.size = (node.size.min(low * BLOCK)).max((first + count) * BLOCK);
                for block in *first..first + count {
                    node.blocks.insert(block, pack.expect("a place with blocks has a pack"));
                }
            }
        }
    }

    /// A random step that may well be refused.
    pub fn random_step(&self, random: &mut Random) -> Step {
        let ids: Vec<InodeId> = self.nodes.keys().copied().collect();
        let dirs: Vec<InodeId> =
            ids.iter().copied().filter(|id| self.nodes[id].kind == InodeKind::Directory).collect();
        let dir = |random: &mut Random| match random.below(20) {
            0 => InodeId(random.pick(&ids).0 + random.below(5)),
            _ => *random.pick(&dirs),
        };
        let name = |random: &mut Random| format!("n{}", random.below(5));
        let who = [0, 0, 0, 1, 1, 2][random.below(6) as usize];
        match random.below(20) {
            0..=4 => Step::Create {
                who,
                dir: dir(random),
                name: name(random),
                kind: *random.pick(&[InodeKind::File, InodeKind::File, InodeKind::Symlink]),
                mode: 0o666,
            },
            5..=7 => Step::Create {
                who,
                dir: dir(random),
                name: name(random),
                kind: InodeKind::Directory,
                mode: *random.pick(&[0o777, 0o777, 0o1777, 0o755]),
            },
            8 => {
                Step::Link { who, inode: InodeId(random.pick(&ids).0), dir: dir(random), name: name(random) }
            }
            9..=10 => Step::Remove { who, dir: dir(random), name: name(random) },
            11..=15 => Step::Rename {
                who,
                from_dir: dir(random),
                from: name(random),
                to_dir: dir(random),
                to: name(random),
            },
            16 => Step::Chmod {
                who,
                inode: *random.pick(&ids),
                mode: *random.pick(&[0o777, 0o755, 0o1777, 0o666]),
            },
            _ => self.random_place(&ids, random),
        }
    }

    fn random_place(&self, ids: &[InodeId], random: &mut Random) -> Step {
        let files: Vec<_> = ids.iter().filter(|id| self.nodes[*id].kind == InodeKind::File).collect();
        let inode = if files.is_empty() { InodeId(9_999_999) } else { **random.pick(&files) };
        let size = self.nodes.get(&inode).map_or(0, |node| node.size / BLOCK);
        let low = if random.below(3) == 0 { random.below(size + 1) } else { size };
        Step::Place { inode, low, first: random.below(12), count: random.below(6) }
    }

    /// The tree that a store shows.
    pub async fn adopt(store: &dyn MetadataStore, share: ShareId) -> World {
        let mut world = World { nodes: BTreeMap::new() };
        let mut queue = vec![InodeId::ROOT];
        while let Some(id) = queue.pop() {
            let row = store.inode(share, id).await.unwrap().expect("a listed inode is there");
            let mut names = BTreeMap::new();
            if row.kind == InodeKind::Directory {
                let request = ReadDirRequest {
                    dir: id,
                    after: Cookie::START,
                    up_to: Cookie(u64::MAX),
                    limit: usize::MAX,
                    rows: false,
                };
                for (dentry, _) in store.read_dir(share, request).await.unwrap().entries {
                    queue.push(dentry.inode);
                    names.insert(dentry.name.to_string(), dentry.inode);
                }
            }
            let blocks = blocks_of(store, share, id).await;
            let size = if row.kind == InodeKind::File { row.size } else { 0 };
            let parent = if row.kind == InodeKind::Directory { row.parent } else { InodeId(0) };
            let (uid, gid) = (row.uid(), row.gid());
            world
                .nodes
                .insert(id, Node { kind: row.kind, mode: row.mode, uid, gid, parent, names, size, blocks });
        }
        world
    }

    /// Number of nodes that differ from another tree's.
    pub fn differences(&self, other: &World) -> usize {
        let ids: std::collections::BTreeSet<_> = self.nodes.keys().chain(other.nodes.keys()).collect();
        let same = |a: &Node, b: &Node| {
            let strip = |node: &Node| Node { parent: InodeId(0), ..node.clone() };
            strip(a) == strip(b)
        };
        let differs = |id: &&&InodeId| match (self.nodes.get(id), other.nodes.get(id)) {
            (Some(a), Some(b)) => !same(a, b),
            _ => true,
        };
        ids.iter().filter(differs).count()
    }

    /// Whether a store shows exactly this tree. *Errors:* the first difference, in words.
    pub async fn compare(&self, store: &dyn MetadataStore, share: ShareId) -> Result<(), String> {
        for (id, node) in &self.nodes {
            let Some(row) = store.inode(share, *id).await.unwrap() else {
                return Err(format!("{id} is missing"));
            };
            let seen = (row.kind, row.mode, row.uid(), row.gid(), row.size);
            let wanted = (
                node.kind,
                node.mode,
                node.uid,
                node.gid,
                if node.kind == InodeKind::Symlink { 6 } else { node.size },
            );
            if seen != wanted {
                return Err(format!("{id} is {seen:?}, wanted {wanted:?}"));
            }
            if node.kind == InodeKind::Directory {
                let request = ReadDirRequest {
                    dir: *id,
                    after: Cookie::START,
                    up_to: Cookie(u64::MAX),
                    limit: 1000,
                    rows: false,
                };
                let page = store.read_dir(share, request).await.unwrap();
                let names: BTreeMap<_, _> =
                    page.entries.iter().map(|(dentry, _)| (dentry.name.to_string(), dentry.inode)).collect();
                if names != node.names {
                    return Err(format!("{id} lists {names:?}, wanted {:?}", node.names));
                }
            }
            let blocks = blocks_of(store, share, *id).await;
            if blocks != node.blocks {
                return Err(format!("{id} maps {blocks:?}, wanted {:?}", node.blocks));
            }
        }
        let usage = store.usage(share).await.unwrap();
        match usage.inodes == self.nodes.len() as u64 {
            true => Ok(()),
            false => Err(format!("{} inodes, wanted {}", usage.inodes, self.nodes.len())),
        }
    }
}

async fn blocks_of(store: &dyn MetadataStore, share: ShareId, id: InodeId) -> BTreeMap<u64, PackId> {
    let mut blocks = BTreeMap::new();
    for run in store.extents(share, id, 0, u64::MAX, usize::MAX).await.unwrap() {
        (run.offset / BLOCK..run.end() / BLOCK).for_each(|block| {
            blocks.insert(block, run.pack);
        });
    }
    blocks
}

fn credentials(bed: &Bed, who: usize) -> &Credentials {
    [&bed.root, &bed.user, &bed.other][who]
}

/// What a step did in the store: the id made, the pack taken, and what to wait for.
pub struct Ran {
    pub made: Option<InodeId>,
    pub pack: Option<PackId>,
    pub commit: CommitToken,
}

/// Runs a step in the store.
pub async fn run_step(bed: &Bed, step: &Step) -> StoreResult<Ran> {
    let store = &bed.store;
    let plain = |commit| Ran { made: None, pack: None, commit };
    match step {
        Step::Create { who, dir, name, kind, mode } => {
            let mut request = Bed::request(*dir, name, *kind);
            request.attrs.mode = Patch::Set(*mode);
            let made = store.create(bed.cx(credentials(bed, *who)), request).await?;
            Ok(Ran { made: Some(made.value.inode.id), pack: None, commit: made.commit })
        }
        Step::Link { who, inode, dir, name } => {
            let request = crate::LinkRequest { inode: *inode, dir: *dir, name: super::name(name) };
            store.link(bed.cx(credentials(bed, *who)), request).await.map(|applied| plain(applied.commit))
        }
        Step::Remove { who, dir, name } => {
            let request = Bed::removal(*dir, name);
            store.remove(bed.cx(credentials(bed, *who)), request).await.map(|applied| plain(applied.commit))
        }
        Step::Rename { who, from_dir, from, to_dir, to } => {
            let request = Bed::renaming(*from_dir, from, *to_dir, to);
            store.rename(bed.cx(credentials(bed, *who)), request).await.map(|applied| plain(applied.commit))
        }
        Step::Chmod { who, inode, mode } => {
            let patch = AttrPatch { mode: Patch::Set(*mode), ..AttrPatch::default() };
            let request = crate::SetAttrRequest { inode: *inode, patch, guard: dfs_model::Guard::None };
            store.set_attr(bed.cx(credentials(bed, *who)), request).await.map(|applied| plain(applied.commit))
        }
        Step::Place { inode, low, first, count } => run_place(bed, *inode, *low, *first, *count).await,
    }
}

async fn run_place(bed: &Bed, inode: InodeId, low: u64, first: u64, count: u64) -> StoreResult<Ran> {
    let now = bed.now();
    let row = bed.store.inode(bed.share, inode).await?;
    let size = row.as_ref().map_or(0, |row| row.size);
    let size_low = size.min(low * BLOCK);
    let mut packs = Vec::new();
    let mut extents = Vec::new();
    if count > 0 {
        let pack = PackId(u128::from(bed.next_seq().0) | 1 << 100);
        bed.store.pack_begin(bed.share, bed.epoch, pack, 1 << 20, now).await?;
        packs.push(pack);
        extents.push(Bed::run(pack, first * BLOCK, BLOCK as u32, count as u32));
    }
    let pack = packs.first().copied();
    let part = crate::PlaceInode {
        inode,
        from_seq: row.map_or(dfs_model::Seq::ZERO, |row| row.flushed_seq),
        to_seq: bed.next_seq(),
        extents,
        zeros: Vec::new(),
        size_low,
        size: size_low.max((first + count) * BLOCK),
        atime: None,
        mtime: Some(now),
        ctime: now,
        change: bed.change(),
        clear_suid: None,
        set_archive: None,
    };
    let request = crate::PlaceRequest { packs, inodes: vec![part] };
    let applied = bed.store.place(bed.share, bed.epoch, request).await?;
    let Placed { inodes } = applied.value;
    assert!(!matches!(inodes[0], PlacedInode::OutOfOrder { .. }));
    Ok(Ran { made: None, pack, commit: applied.commit })
}

/// Runs `steps` random steps and panics where the store and the model part; answers how many steps worked.
pub async fn random_history(bed: &Bed, seed: u64, steps: usize) -> usize {
    let mut random = Random(seed);
    let (mut world, mut worked) = (World::default(), 0);
    for nth in 0..steps {
        let step = world.random_step(&mut random);
        let predicted = world.predict(&step);
        match (run_step(bed, &step).await, predicted) {
            (Ok(ran), Ok(())) => {
                world.commit(&step, ran.made, ran.pack);
                worked += 1;
            }
            (Err(StoreError::Refused(found)), Err(wanted)) if found == wanted => {}
            (found, wanted) => {
                panic!("seed {seed} step {nth} {step:?}: found {:?}, wanted {wanted:?}", found.map(|_| ()))
            }
        }
        if nth % 16 == 0 || nth + 1 == steps {
            world
                .compare(bed.store.as_ref(), bed.share)
                .await
                .unwrap_or_else(|difference| panic!("seed {seed} step {nth} {step:?}: {difference}"));
        }
    }
    check_consistent(bed.store.as_ref(), bed.share).await;
    worked
}

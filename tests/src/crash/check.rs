//! Is the state after a crash one that the class allows?

use super::SYNC_SLACK;
use super::ledger::{Entry, FileNumber, Ledger, NameVersion};
use crate::sim::World;
use dfs_engine::DurabilityClass;
use dfs_model::{AttrMask, Attrs, Cookie, Identity, InodeId, InodeKind, Target};
use dfs_vfs::{AccessRule, DirVerifier, Read, ReadDir, Vfs};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// What ended the life before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    PowerCut,
    ProcessDeath,
}

/// A file as it is found.
pub struct Found {
    pub attrs: Attrs,
    pub bytes: Vec<u8>,
}

/// Reads the whole share.
pub async fn dump(world: &World) -> Result<BTreeMap<String, Found>, String> {
    dump_from(world, world.engine().root()).await
}

/// Reads everything below a directory.
pub async fn dump_from(world: &World, root: InodeId) -> Result<BTreeMap<String, Found>, String> {
    world.calm();
    let mut found = BTreeMap::new();
    let mut todo = vec![(String::new(), root)];
    while let Some((path, dir)) = todo.pop() {
        for (name, attrs) in list(world, dir).await? {
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            if attrs.kind == InodeKind::Directory {
                todo.push((path.clone(), attrs.inode));
            }
            let bytes = match attrs.kind {
                InodeKind::File => read(world, &attrs).await.map_err(|why| format!("{path}: {why}"))?,
                _ => Vec::new(),
            };
            found.insert(path, Found { attrs, bytes });
        }
    }
    Ok(found)
}

async fn list(world: &World, dir: InodeId) -> Result<Vec<(String, Attrs)>, String> {
    let request = ReadDir {
        dir: Target::Inode(dir),
        cookie: Cookie::START,
        verifier: DirVerifier(0),
        want: Some(AttrMask::BASIC),
        handles: false,
        real_only: true,
        bytes_max: usize::MAX,
        entries_max: usize::MAX,
        cost: &|_| 1,
        pattern: None,
    };
    let page = world
        .engine()
        .read_dir(&world.root_context(), request)
        .await
        .map_err(|failed| format!("listing: {}", failed.error))?;
    let mut entries = Vec::new();
    for entry in page.entries {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        let attrs = entry.attrs.ok_or("no attributes")?.map_err(|error| format!("{name}: {error}"))?;
        entries.push((name, attrs));
    }
    Ok(entries)
}

/// All bytes of a file.
pub async fn read(world: &World, attrs: &Attrs) -> Result<Vec<u8>, String> {
    let request = Read {
        target: Target::Inode(attrs.inode),
        offset: 0,
        len: attrs.size as u32 + 1,
        rule: AccessRule::Stateless,
    };
    let reply = world
        .engine()
        .read(&world.root_context(), request)
        .await
        .map_err(|failed| format!("read: {}", failed.error))?;
    if !reply.eof {
        return Err("no end of file".to_owned());
    }
    Ok(reply.data.concat())
}

/// Finds the versions that the share is at; an error says why none is allowed.
pub fn allowed(
    ledger: &Ledger,
    found: &BTreeMap<String, Found>,
    class: DurabilityClass,
    end: End,
    now: Duration,
) -> Result<(usize, BTreeMap<FileNumber, usize>), String> {
    let first = least_names(ledger, class, end, now);
    let mut reasons = Vec::new();
    for at in (first..ledger.names.len()).rev() {
        match matches_names(ledger, &ledger.names[at], found)
            .and_then(|()| files(ledger, at, found, class, end, now))
        {
            Ok(data) => return Ok((at, data)),
            Err(why) => reasons.push(format!("  names {at}: {why}")),
        }
    }
    let last = ledger.names.len() - 1;
    Err(format!("no allowed state after {end:?} (names {first} to {last}):\n{}", reasons.join("\n")))
}

fn old_enough(answered: Option<Duration>, now: Duration) -> bool {
    answered.is_some_and(|at| at + SYNC_SLACK < now)
}

fn least_names(ledger: &Ledger, class: DurabilityClass, end: End, now: Duration) -> usize {
    let answered = ledger.names.iter().rposition(|version| version.answered.is_some()).unwrap_or(0);
    match (end, class) {
        (End::ProcessDeath, _) => answered,
        (End::PowerCut, DurabilityClass::Local | DurabilityClass::Remote) => answered.max(ledger.stable),
        (End::PowerCut, DurabilityClass::Relaxed) => {
            ledger.names.iter().rposition(|version| old_enough(version.answered, now)).unwrap_or(0)
        }
    }
}

/// Whether the share has exactly the names of a version.
pub fn matches_names(
    ledger: &Ledger,
    version: &NameVersion,
    found: &BTreeMap<String, Found>,
) -> Result<(), String> {
    let mut inodes: HashMap<FileNumber, InodeId> = HashMap::new();
    for (path, entry) in &version.names {
        let Some(there) = found.get(path) else { return Err(format!("{path} is missing")) };
        let (kind, mode, owner) = (there.attrs.kind, there.attrs.mode, &there.attrs.owner);
        if (kind, mode, owner) != (entry.kind, entry.mode, &Identity::Uid(entry.owner)) {
            let Entry { kind: kind_expected, mode: mode_expected, owner: owner_expected, .. } = entry;
            return Err(format!(
                "{path}: {kind:?} {mode:o} of {owner:?}, expected {kind_expected:?} {mode_expected:o} of {owner_expected}"
            ));
        }
        if ledger.ids.get(&there.attrs.inode).is_some_and(|file| *file != entry.file) {
            return Err(format!("{path} leads to another inode"));
        }
        let inode = *inodes.entry(entry.file).or_insert(there.attrs.inode);
        if inode != there.attrs.inode {
            return Err(format!("{path} is not a link of its group any more"));
        }
        let links = version.names.values().filter(|other| other.file == entry.file).count();
        if entry.kind == InodeKind::File && there.attrs.nlink as usize != links {
            return Err(format!("{path}: {} links, expected {links}", there.attrs.nlink));
        }
    }
    match found.keys().find(|path| !version.names.contains_key(*path)) {
        Some(path) => Err(format!("{path} should not be there")),
        None => Ok(()),
    }
}

fn files(
    ledger: &Ledger,
    names: usize,
    found: &BTreeMap<String, Found>,
    class: DurabilityClass,
    end: End,
    now: Duration,
) -> Result<BTreeMap<FileNumber, usize>, String> {
    let version = &ledger.names[names];
    let mut at = BTreeMap::new();
    for (path, entry) in version.names.iter().filter(|(_, entry)| entry.kind == InodeKind::File) {
        let history = &ledger.files[entry.file];
        let answered = history.versions.iter().rposition(|version| version.answered.is_some()).unwrap_or(0);
        let old = history.versions.iter().rposition(|version| old_enough(version.answered, now)).unwrap_or(0);
        let floor = version.floors.get(&entry.file).copied().unwrap_or(0);
        let least = match (end, class) {
            (End::ProcessDeath, _) => answered,
            (End::PowerCut, DurabilityClass::Local | DurabilityClass::Remote) => {
                history.stable.max(old).max(floor)
            }
            (End::PowerCut, DurabilityClass::Relaxed) => old.max(floor),
        };
        let there = &found[path];
        let same = |version: &super::ledger::DataVersion| {
            version.bytes == there.bytes && version.mtime.is_none_or(|mtime| mtime == there.attrs.mtime)
        };
        match (least..history.versions.len()).rev().find(|index| same(&history.versions[*index])) {
            Some(index) => {
                at.insert(entry.file, index);
            }
            None => {
                let why = format!("stable {}, old {old}, floor {floor}, answered {answered}", history.stable);
                return Err(format!("{} ({why})", wrong_bytes(path, history, least, there)));
            }
        }
    }
    Ok(at)
}

fn wrong_bytes(path: &str, history: &super::ledger::FileHistory, least: usize, there: &Found) -> String {
    let last = history.versions.len() - 1;
    super::tell(|| {
        let each = history.versions.iter().enumerate().map(|(index, version)| {
            let differs = version.bytes.iter().zip(&there.bytes).filter(|(one, other)| one != other).count();
            let first = version.bytes.iter().zip(&there.bytes).position(|(one, other)| one != other);
            format!("version {index}: {} bytes, {differs} differ from {first:?} on", version.bytes.len())
        });
        each.collect::<Vec<_>>().join("\n")
    });
    let older = history.versions.iter().rposition(|version| version.bytes == there.bytes);
    let older =
        older.map_or("bytes that it never had".to_owned(), |index| format!("the bytes of version {index}"));
    format!(
        "{path}: {older}, mtime {:?}, size {}; allowed are versions {least} to {last}",
        there.attrs.mtime,
        there.bytes.len()
    )
}

//! The file work of a folder store: blocking, relative to one open folder, every step that must survive a crash synced.

use super::FileError;
use crate::Key;
use crate::store::{ListPage, ListToken, ListedObject, OWNER_LEN_MAX, ObjectInfo, ObjectVersion, PutOutcome};
use bytes::Bytes;
use dfs_model::Timestamp;
use parking_lot::Mutex;
use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, fdatasync, flock, fstat, fsync,
    linkat, mkdirat, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where bodies are written before they get their name.
const TEMP: &str = ".tmp";
/// Taken for the moment in which an owner object is compared and replaced.
const LOCK: &str = ".lock";
/// Seconds after which a temporary file belongs to nobody any more.
const TEMP_AGE_MAX: i64 = 24 * 3600;

const FOLDER_FLAGS: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);
const READ_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const CREATE_FLAGS: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);

fn file_mode() -> Mode {
    Mode::RUSR | Mode::WUSR | Mode::RGRP
}

fn folder_mode() -> Mode {
    Mode::RWXU | Mode::RGRP | Mode::XGRP
}

type Outcome<T> = Result<T, FileError>;

/// An open folder.
pub(super) struct Folder {
    root: OwnedFd,
    /// Sub-folders whose names are known to survive a crash.
    synced: Mutex<HashSet<String>>,
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn modified(stat: &Stat) -> Timestamp {
    #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Timestamp::new(stat.st_mtime, nanos)
}

fn info_of(stat: &Stat) -> ObjectInfo {
    let time = modified(stat);
    let version = format!("{:x}-{:x}.{:x}-{:x}", stat.st_ino, time.secs, time.nanos, stat.st_size);
    ObjectInfo {
        len: u64::try_from(stat.st_size).unwrap_or(0),
        modified: time,
        version: ObjectVersion(version),
    }
}

impl Folder {
    /// Opens the folder, proves that it can be written with a file of that name, and removes forgotten temporary files.
    pub(super) fn open(path: &Path, probe: &str) -> Outcome<Folder> {
        let root =
            rustix::fs::open(path, FOLDER_FLAGS, Mode::empty()).map_err(FileError::at("open the folder"))?;
        let folder = Folder { root, synced: Mutex::default() };
        folder.ensure(TEMP)?;
        let name = format!("{TEMP}/{probe}");
        folder.write_temp(&name, &[Bytes::from_static(b"?")])?;
        let now =
            statat(&folder.root, &name, AtFlags::empty()).map_err(FileError::at("look at a new file"))?;
        folder.discard(&name);
        folder.sweep_temp(modified(&now).secs - TEMP_AGE_MAX);
        Ok(folder)
    }

    fn sweep_temp(&self, before: i64) {
        let Ok(fd) = openat(&self.root, TEMP, FOLDER_FLAGS, Mode::empty()) else { return };
        let Ok(entries) = Dir::read_from(&fd) else { return };
        for entry in entries.flatten() {
            let old = statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                    && modified(&stat).secs < before
            });
            if old && let Err(error) = unlinkat(&fd, entry.file_name(), AtFlags::empty()) {
                tracing::debug!(%error, "cold folder: a forgotten temporary file stays");
            }
        }
    }

    /// Makes a sub-folder with its parents, each name synced.
    fn ensure(&self, name: &str) -> Outcome<()> {
        if name.is_empty() || self.synced.lock().contains(name) {
            return Ok(());
        }
        let (parent, _) = name.rsplit_once('/').unwrap_or(("", name));
        self.ensure(parent)?;
        match mkdirat(&self.root, name, folder_mode()) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(FileError::at("make a folder")(errno)),
        }
        self.sync_folder(parent)?;
        self.synced.lock().insert(name.to_owned());
        Ok(())
    }

    fn sync_folder(&self, name: &str) -> Outcome<()> {
        let name = if name.is_empty() { "." } else { name };
        let fd =
            openat(&self.root, name, FOLDER_FLAGS, Mode::empty()).map_err(FileError::at("open a folder"))?;
        fsync(fd).map_err(FileError::at("sync a folder"))
    }

    fn write_temp(&self, temp: &str, parts: &[Bytes]) -> Outcome<()> {
        let fd =
            openat(&self.root, temp, CREATE_FLAGS, file_mode()).map_err(FileError::at("create a file"))?;
        let mut file = File::from(fd);
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        let done = written.map_err(|error| FileError::at("write a file")(errno(&error)));
        let done = done.and_then(|()| fdatasync(file.as_fd()).map_err(FileError::at("sync a file")));
        if done.is_err() {
            self.discard(temp);
        }
        done
    }

    fn discard(&self, temp: &str) {
        if let Err(error) = unlinkat(&self.root, temp, AtFlags::empty()) {
            tracing::debug!(%error, temp, "cold folder: a temporary file stays");
        }
    }

    /// Gives a temporary file its name unless the name is taken. `false`: it is.
    fn name_new(&self, temp: &str, name: &str) -> Outcome<bool> {
        let renamed = match renameat_with(&self.root, temp, &self.root, name, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                // A file system without that rename: a hard link never replaces either.
                let linked = linkat(&self.root, temp, &self.root, name, AtFlags::empty());
                if linked.is_ok() {
                    self.discard(temp);
                }
                linked
            }
            other => other,
        };
        match renamed {
            Ok(()) => Ok(true),
            Err(taken) => {
                self.discard(temp);
                if taken == Errno::EXIST { Ok(false) } else { Err(FileError::at("name a file")(taken)) }
            }
        }
    }

    /// Writes a new object; the existing one stays if there is one.
    pub(super) fn put_new(&self, name: &str, temp: &str, parts: &[Bytes]) -> Outcome<PutOutcome> {
        match statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(PutOutcome::Exists),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(FileError::at("look for the object")(errno)),
        }
        let (parent, _) = name.rsplit_once('/').unwrap_or(("", name));
        self.ensure(parent)?;
        self.write_temp(temp, parts)?;
        if !self.name_new(temp, name)? {
            return Ok(PutOutcome::Exists);
        }
        // The object is there now; whether it stays after a power cut is in doubt until the folder is synced.
        self.sync_folder(parent).map_err(|error| FileError { in_doubt: true, ..error })?;
        Ok(PutOutcome::Stored)
    }

    /// Replaces the owner object if its version is the expected one; `Ok(Err(_))` is the version that is there instead.
    pub(super) fn replace(
        &self,
        name: &str,
        temp: &str,
        body: &Bytes,
        expected: Option<&ObjectVersion>,
    ) -> Outcome<Result<ObjectVersion, Option<ObjectVersion>>> {
        let flags = OFlags::RDWR.union(OFlags::CREATE).union(OFlags::CLOEXEC);
        let lock =
            openat(&self.root, LOCK, flags, file_mode()).map_err(FileError::at("open the lock file"))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(FileError::at("take the lock file"))?;
        let found = match statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(info_of(&stat).version),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(FileError::at("look for the object")(errno)),
        };
        if found.as_ref() != expected {
            return Ok(Err(found));
        }
        let (parent, _) = name.rsplit_once('/').unwrap_or(("", name));
        self.ensure(parent)?;
        self.write_temp(temp, std::slice::from_ref(body))?;
        let stat = statat(&self.root, temp, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(FileError::at("look at a new file"))?;
        if let Err(errno) = renameat(&self.root, temp, &self.root, name) {
            self.discard(temp);
            return Err(FileError::at("name a file")(errno));
        }
        self.sync_folder(parent).map_err(|error| FileError { in_doubt: true, ..error })?;
        Ok(Ok(info_of(&stat).version))
    }

    fn open_object(&self, name: &str) -> Outcome<(File, ObjectInfo)> {
        let fd =
            openat(&self.root, name, READ_FLAGS, Mode::empty()).map_err(FileError::at("open the object"))?;
        let stat = fstat(&fd).map_err(FileError::at("look at the object"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(FileError::at("read what is no file")(Errno::NOENT));
        }
        Ok((File::from(fd), info_of(&stat)))
    }

    /// Reads a whole small object; `Ok(Err(_))` is its length when it is not small.
    pub(super) fn read_small(&self, name: &str) -> Outcome<Result<(Bytes, ObjectVersion), u64>> {
        let (file, info) = self.open_object(name)?;
        if info.len > OWNER_LEN_MAX {
            return Ok(Err(info.len));
        }
        let mut bytes = vec![0; info.len as usize];
        file.read_exact_at(&mut bytes, 0).map_err(|error| FileError::at("read the object")(errno(&error)))?;
        Ok(Ok((bytes.into(), info.version)))
    }

    /// Reads a range; `Ok(Err(_))` is the object's length when it ends before the range.
    pub(super) fn read_ranges(&self, name: &str, ranges: &[Range<u64>]) -> Outcome<Result<Vec<Bytes>, u64>> {
        let (file, info) = self.open_object(name)?;
        if ranges.iter().any(|range| range.end > info.len) {
            return Ok(Err(info.len));
        }
        let mut all = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(&mut bytes, range.start)
                .map_err(|error| FileError::at("read the object")(errno(&error)))?;
            all.push(bytes.into());
        }
        Ok(Ok(all))
    }

    pub(super) fn info(&self, name: &str) -> Outcome<ObjectInfo> {
        self.open_object(name).map(|(_, info)| info)
    }

    pub(super) fn delete(&self, name: &str) -> Outcome<()> {
        match unlinkat(&self.root, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(FileError::at("delete the object")(errno)),
        }
    }

    /// Objects below a prefix in byte order of their keys, behind `after`.
    pub(super) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Outcome<ListPage> {
        let mut page = Page { objects: Vec::new(), limit, after: after.unwrap_or_default() };
        let more = self.walk(prefix, &mut page)?;
        let next = page.objects.last().filter(|_| more).map(|last| ListToken(last.key.as_str().to_owned()));
        Ok(ListPage { objects: page.objects, next })
    }

    /// Adds what lies below `under` (empty or closed by `/`). `true`: the page is full and more may follow.
    fn walk(&self, under: &str, page: &mut Page<'_>) -> Outcome<bool> {
        for (name, is_folder) in self.entries(under)? {
            let path = format!("{under}{name}");
            // A folder whose every key sorts before `after` is not looked into.
            let passed = if is_folder {
                path.as_str() < page.after && !page.after.starts_with(&path)
            } else {
                path.as_str() <= page.after
            };
            if passed {
                continue;
            }
            if page.objects.len() == page.limit {
                return Ok(true);
            }
            if is_folder {
                if self.walk(&path, page)? {
                    return Ok(true);
                }
                continue;
            }
            match (Key::new(path.as_str()), self.info(&path)) {
                (Ok(key), Ok(info)) => page.objects.push(ListedObject { key, info }),
                // Deleted meanwhile, or not ours.
                (_, Err(FileError { errno: Errno::NOENT, .. })) | (Err(_), _) => {}
                (_, Err(error)) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Names in a folder, a folder's with its `/`, in the byte order that their keys have. Dot names are not objects.
    fn entries(&self, under: &str) -> Outcome<Vec<(String, bool)>> {
        let path = if under.is_empty() { "." } else { under };
        let fd = match openat(&self.root, path, FOLDER_FLAGS, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            Err(errno) => return Err(FileError::at("open a folder")(errno)),
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&fd).map_err(FileError::at("list a folder"))? {
            let entry = entry.map_err(FileError::at("list a folder"))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(_) => continue,
                },
                kind => kind,
            };
            match kind {
                FileType::Directory => names.push((format!("{name}/"), true)),
                FileType::RegularFile => names.push((name.to_owned(), false)),
                _ => {}
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// A page being filled.
struct Page<'a> {
    objects: Vec<ListedObject>,
    limit: usize,
    after: &'a str,
}

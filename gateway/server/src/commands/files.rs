//! Files that are written as a whole or not at all.

use super::{Failure, cannot};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes a file aside, syncs it, and puts it in its place. *Guarantees:* without `overwrite` what is there stays, also what
/// came in between. *A crash* leaves the old file or the new one, and perhaps one aside. *Errors:* exit code 2 for a file that
/// is there, 5 for what the disk refuses; nothing is left behind then.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32, overwrite: bool) -> Result<(), Failure> {
    // A link stays a link to the file that is replaced.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let aside = PathBuf::from(name);
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        put(&aside, &path, overwrite)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&aside);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(&path),
            _ => cannot("write", &path, &error),
        }
    })
}

/// The refusal of a file that is there.
pub(super) fn exists(path: &Path) -> Failure {
    Failure::new(2, format!("{} exists; --force overwrites it", path.display()))
}

fn put(aside: &Path, path: &Path, overwrite: bool) -> std::io::Result<()> {
    if !overwrite {
        match renameat_with(CWD, aside, CWD, path, RenameFlags::NOREPLACE) {
            // Some file systems do not know how: a look before has to do.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !path.exists() => {}
            done => return Ok(done?),
        }
    }
    std::fs::rename(aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_is_there_is_replaced_only_when_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        replace(&path, b"one", 0o600, false).unwrap();
        let failure = replace(&path, b"two", 0o600, false).unwrap_err();
        assert!(failure.code == 2 && failure.message.contains("--force"), "{failure:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        replace(&path, b"three", 0o600, true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
        assert_eq!(replace(&folder.path().join("no/f"), b"x", 0o600, true).unwrap_err().code, 5);
    }
}

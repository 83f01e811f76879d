//! A file that this program writes for somebody: whole or not at all, for its owner only, never over another without a word.

use crate::failure::Failure;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file on its way. Dropped before [`Fresh::finish`], nothing is left.
pub(crate) struct Fresh {
    path: PathBuf,
    aside: PathBuf,
    file: File,
    force: bool,
}

impl Fresh {
    /// Begins one. *Errors:* usage, where something is there and it was not forced.
    pub fn begin(path: &Path, force: bool) -> Result<Fresh, Failure> {
        if !force && path.symlink_metadata().is_ok() {
            return Err(there(path));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".part.{}", std::process::id()));
        let aside = path.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside);
        let file = file.map_err(|error| Failure::io(aside.display(), &error))?;
        Ok(Fresh { path: path.to_owned(), aside, file, force })
    }

    /// Adds to it.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts it where it shall be. *Guarantees:* it is on disk, whole, before it has its name.
    pub fn finish(self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::io(self.path.display(), &error);
        self.file.sync_all().map_err(failed)?;
        if self.force {
            return std::fs::rename(&self.aside, &self.path).map_err(failed);
        }
        // A link, other than a rename, does not replace what somebody put there meanwhile. The name aside goes with `self`.
        match std::fs::hard_link(&self.aside, &self.path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(there(&self.path)),
            other => other.map_err(failed),
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.aside);
    }
}

fn there(path: &Path) -> Failure {
    Failure::usage(format!("{} is there already; --force replaces it", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn file_is_whole_private_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        let write = |text: &str, force| {
            let mut file = Fresh::begin(&path, force)?;
            file.write(text.as_bytes()).unwrap();
            file.finish()
        };
        write("one", false).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write("two", false).unwrap_err().message.contains("--force"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        write("three", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three");
        drop(Fresh::begin(&folder.path().join("other"), false).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn file_that_came_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        let file = Fresh::begin(&path, false).unwrap();
        std::fs::write(&path, "of somebody else").unwrap();
        assert!(file.finish().is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "of somebody else");
    }
}

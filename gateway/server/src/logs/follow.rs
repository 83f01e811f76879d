//! Lines as they are written, also when the file is put aside meanwhile, once or several times.

use crate::logging::aside;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes read at once.
const PIECE: usize = 64 << 10;
/// Files put aside that are looked through for the one that was being read.
const ASIDE_MAX: usize = 1000;

/// Reads a log as it grows.
pub(crate) struct Follower {
    path: PathBuf,
    file: File,
    at: u64,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
}

impl Follower {
    /// Goes on after `at` in a file that was opened under this path.
    pub fn new(path: &Path, file: File, at: u64) -> Follower {
        Follower { path: path.to_owned(), file, at, begun: Vec::new() }
    }

    /// The whole lines that were written since the last call. *Errors:* the file cannot be read.
    pub fn poll(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        self.read(&mut lines)?;
        while let Some(next) = self.successor()? {
            // What was written before the file was put aside.
            self.read(&mut lines)?;
            self.file = next;
            self.at = 0;
            self.begun.clear();
            self.read(&mut lines)?;
        }
        Ok(lines)
    }

    fn read(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        if self.file.metadata()?.len() < self.at {
            // Somebody emptied it.
            self.at = 0;
            self.begun.clear();
        }
        let mut piece = vec![0; PIECE];
        loop {
            let got = self.file.read_at(&mut piece, self.at)?;
            if got == 0 {
                return Ok(());
            }
            self.at += got as u64;
            self.begun.extend_from_slice(&piece[..got]);
            while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.begun.drain(..=end).collect();
                lines.push(String::from_utf8_lossy(&line[..end]).into_owned());
            }
        }
    }

    /// The file that was begun after the one being read. `None`: that is the one in use, or its successor is not there yet.
    fn successor(&self) -> io::Result<Option<File>> {
        let current = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let id = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino()));
        let ours = id(&self.file)?;
        if id(&current)? == ours {
            return Ok(None);
        }
        let mut newer = current;
        for number in 1..ASIDE_MAX {
            let Ok(file) = File::open(aside(&self.path, number)) else { break };
            if id(&file)? == ours {
                return Ok(Some(newer));
            }
            newer = file;
        }
        // It is gone: whatever came between is gone with it, or is the oldest that is left.
        Ok(Some(newer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn add(path: &Path, text: &str) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn put_aside(path: &Path) {
        for number in (0..5).rev() {
            let from = if number == 0 { path.to_owned() } else { aside(path, number) };
            let _ = std::fs::rename(from, aside(path, number + 1));
        }
    }

    #[test]
    fn lines_are_followed_over_several_rotations_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        add(&path, "old\n");
        let mut follower = Follower::new(&path, File::open(&path).unwrap(), 4);
        assert_eq!(follower.poll().unwrap(), [""; 0]);
        add(&path, "one\ntw");
        assert_eq!(follower.poll().unwrap(), ["one"]);
        add(&path, "o\nthree\n");
        put_aside(&path);
        assert_eq!(follower.poll().unwrap(), ["two", "three"], "the file is away and no new one is there");
        add(&path, "four\n");
        put_aside(&path);
        add(&path, "five\n");
        put_aside(&path);
        add(&path, "six\n");
        assert_eq!(follower.poll().unwrap(), ["four", "five", "six"]);
        assert_eq!(follower.poll().unwrap(), [""; 0]);
    }

    #[test]
    fn file_that_was_emptied_is_read_from_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        add(&path, "long old text\n");
        let mut follower = Follower::new(&path, File::open(&path).unwrap(), 14);
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(follower.poll().unwrap(), ["new"]);
    }
}

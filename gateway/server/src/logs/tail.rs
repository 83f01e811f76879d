//! The last lines of a log, read backwards in pieces: neither a long log nor a long line takes more memory than what is shown.
//!
//! An event may have several lines; those without a moment of their own belong to the one above.

use super::time;
use crate::logging::aside;
use dfs_model::Timestamp;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes read at once.
const PIECE: u64 = 64 << 10;
/// Bytes shown at most: a log without a bound asked for by mistake must not fill the memory.
const BYTES_MAX: usize = 1 << 30;

/// The moment that a line of either form begins with.
pub(super) fn moment(line: &str) -> Option<Timestamp> {
    match line.strip_prefix('{') {
        Some(_) => {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            time::parse(event["timestamp"].as_str()?)
        }
        None => time::parse(line),
    }
}

/// What is known of a log after its last lines were read.
pub(crate) struct Tail {
    /// The lines, the oldest first.
    pub lines: Vec<String>,
    /// The file in use.
    pub file: File,
    /// Where the next line begins in it.
    pub end: u64,
}

/// The last `count` lines, of those since a moment, also from files that were put aside. *Errors:* the file in use cannot be
/// read.
pub(crate) fn last_lines(path: &Path, count: Option<usize>, since: Option<Timestamp>) -> io::Result<Tail> {
    let file = File::open(path)?;
    let end = end_of_lines(&file)?;
    let mut taken = Taken { lines: Vec::new(), bytes: 0, pending: 0, count, since };
    let mut more = taken.take(&file, end)?;
    for number in 1.. {
        if !more {
            break;
        }
        let Ok(file) = File::open(aside(path, number)) else { break };
        more = taken.take(&file, file.metadata()?.len())?;
    }
    let mut lines = taken.lines;
    if let Some(count) = count {
        lines.truncate(count);
    }
    lines.reverse();
    Ok(Tail { lines, file, end })
}

/// Lines from the newest on.
struct Taken {
    lines: Vec<String>,
    bytes: usize,
    /// How many of the last ones wait for the line above that has a moment.
    pending: usize,
    count: Option<usize>,
    since: Option<Timestamp>,
}

impl Taken {
    /// Takes lines of a file from its end on; whether an older one is wanted too.
    fn take(&mut self, file: &File, end: u64) -> io::Result<bool> {
        let mut lines = Backwards { file, at: end, held: Vec::new(), searched: 0 };
        loop {
            let enough = self.count.is_some_and(|count| self.lines.len() >= count) && self.pending == 0;
            if enough || self.bytes > BYTES_MAX {
                return Ok(false);
            }
            let Some(line) = lines.next()? else { return Ok(true) };
            if line.is_empty() {
                continue;
            }
            if let Some(since) = self.since {
                match moment(&line) {
                    Some(at) if at < since => {
                        self.lines.truncate(self.lines.len() - self.pending);
                        return Ok(false);
                    }
                    Some(_) => self.pending = 0,
                    None => self.pending += 1,
                }
            }
            self.bytes += line.len();
            self.lines.push(line);
        }
    }
}

/// Where the last whole line ends: what follows is being written.
fn end_of_lines(file: &File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let start = len.saturating_sub(PIECE);
    let mut piece = vec![0; (len - start) as usize];
    file.read_exact_at(&mut piece, start)?;
    let last = piece.iter().rposition(|byte| *byte == b'\n');
    Ok(last.map_or(start, |at| start + at as u64 + 1))
}

/// The lines of a file from its end on.
struct Backwards<'a> {
    file: &'a File,
    /// Bytes before this are not read yet.
    at: u64,
    /// What was read and not given yet.
    held: Vec<u8>,
    /// No newline is in `held[searched..]`.
    searched: usize,
}

impl Backwards<'_> {
    /// The line above; an empty one is what follows a newline at the end.
    fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(before) = self.held[..self.searched].iter().rposition(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&self.held[before + 1..]).into_owned();
                self.held.truncate(before);
                self.searched = before;
                return Ok(Some(line));
            }
            if self.at == 0 {
                let rest = std::mem::take(&mut self.held);
                self.searched = 0;
                return Ok((!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned()));
            }
            let size = PIECE.min(self.at);
            let mut piece = vec![0; size as usize];
            self.at -= size;
            self.file.read_exact_at(&mut piece, self.at)?;
            self.searched = piece.len();
            piece.extend_from_slice(&self.held);
            self.held = piece;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u32) -> String {
        format!("2026-11-26T18:{minute:02}:00.000000Z")
    }

    fn last(path: &Path, count: Option<usize>, since: Option<u32>) -> Vec<String> {
        let since = since.map(|minute| time::parse(&at(minute)).unwrap());
        last_lines(path, count, since).unwrap().lines
    }

    #[test]
    fn last_lines_come_from_files_put_aside_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(aside(&path, 2), "a\nb\n").unwrap();
        std::fs::write(aside(&path, 1), "c\n").unwrap();
        std::fs::write(&path, "d\ne\nbeing writ").unwrap();
        assert_eq!(last(&path, Some(1), None), ["e"]);
        assert_eq!(last(&path, Some(4), None), ["b", "c", "d", "e"]);
        assert_eq!(last(&path, Some(0), None), [""; 0]);
        assert_eq!(last(&path, Some(99), None), ["a", "b", "c", "d", "e"]);
        assert_eq!(last_lines(&path, None, None).unwrap().end, 4);
    }

    #[test]
    fn lines_since_a_moment_are_found_in_both_forms_with_what_belongs_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let json = format!("{{\"timestamp\":\"{}\",\"message\":\"json\"}}", at(3));
        std::fs::write(aside(&path, 1), format!("{} old\n more of old\n", at(1))).unwrap();
        std::fs::write(&path, format!(" still old\n{} two\n more\n{json}\n", at(2))).unwrap();
        let two = [format!("{} two", at(2)), " more".to_owned(), json.clone()];
        assert_eq!(last(&path, None, Some(2)), two);
        assert_eq!(last(&path, None, Some(3)), std::slice::from_ref(&json));
        assert_eq!(last(&path, None, Some(4)), [""; 0]);
        assert_eq!(last(&path, None, Some(0)).len(), 6);
        assert_eq!(last(&path, Some(2), Some(2)), two[1..]);
    }

    #[test]
    fn lines_longer_than_a_piece_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = "x".repeat(PIECE as usize * 3 + 7);
        std::fs::write(&path, format!("first\n{long}\nlast\n")).unwrap();
        assert_eq!(last(&path, Some(2), None), [long, "last".to_owned()]);
    }
}

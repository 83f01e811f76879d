//! A log file that puts itself aside, by size and by age, and that nobody waits for.
//!
//! Whoever logs puts a line into a bounded queue and, if the file is free, writes what is queued; who finds the file busy
//! goes on, and who is writing takes the line along. So lines are in the file as soon as it takes them, at most one caller
//! waits for a disk that hangs, and none for a lock. What does not fit the queue, and what the disk refuses (it is full), is
//! dropped and counted; the count is the first line that can be written again. A crash of the process loses what is queued: nothing,
//! unless the disk hangs.
//!
//! `FILE` becomes `FILE.1`, that becomes `FILE.2` and so on; the last is deleted. A rename that fails leaves the file in use.

use dfs_model::{Clock, Monotonic};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of lines that wait while the disk hangs; a few seconds of a busy log.
const QUEUE_BYTES_MAX: usize = 4 << 20;
/// A rotation that failed is tried again after this long, not with every line.
const RETRY: Duration = Duration::from_secs(60);

/// When a file is put aside, and how many are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes; `0` never.
    pub bytes: u64,
    /// Age; zero never.
    pub age: Duration,
    /// Files kept beside the one in use.
    pub keep: usize,
}

/// The name of a file that was put aside; 1 is the newest.
pub(crate) fn aside(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// A log file.
pub(crate) struct LogFile {
    path: PathBuf,
    limits: Limits,
    json: bool,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    open: Mutex<Open>,
    reopen: AtomicBool,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
}

struct Open {
    file: File,
    len: u64,
    opened: Monotonic,
    /// How old the file was then.
    age_then: Duration,
    /// The last write ended within a line.
    torn: bool,
    /// Lines dropped that the log has been told of.
    told: u64,
    /// No rotation before this.
    not_before: Monotonic,
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

impl LogFile {
    /// Opens a file, made when it is not there. *Errors:* as the system says them.
    pub fn open(path: &Path, limits: Limits, json: bool, clock: Arc<dyn Clock>) -> io::Result<Arc<LogFile>> {
        let file = open_append(path)?;
        let open = Open::new(file, clock.as_ref())?;
        Ok(Arc::new(LogFile {
            path: path.to_owned(),
            limits,
            json,
            clock,
            queue: Mutex::default(),
            open: Mutex::new(open),
            reopen: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Opens the file again with the next line.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Lines that were lost.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes a line. *Guarantees:* waits for no lock; at most one caller at a time waits for the disk.
    pub fn put(&self, line: &[u8]) {
        if !self.queued(line) {
            self.write_queued();
            if !self.queued(line) {
                return self.lose(1);
            }
        }
        self.write_queued();
    }

    /// Puts a line into the queue; `false`: it is full.
    fn queued(&self, line: &[u8]) -> bool {
        let mut queue = self.queue.lock();
        if queue.bytes + line.len() > QUEUE_BYTES_MAX {
            return false;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        true
    }

    /// Writes what is queued, unless somebody is writing. Who holds the file looks once more after giving it back, so a line
    /// that was put meanwhile is not left behind.
    fn write_queued(&self) {
        while let Some(mut open) = self.open.try_lock() {
            self.drain(&mut open);
            drop(open);
            if self.queue.lock().lines.is_empty() {
                break;
            }
        }
    }

    fn lose(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        metrics::counter!("dfs_server_log_lines_dropped_total").increment(lines);
    }

    fn drain(&self, open: &mut Open) {
        if self.reopen.swap(false, Ordering::AcqRel) {
            self.open_again(open);
        }
        loop {
            let Some(line) = self.next() else { return };
            self.rotate_if_due(open, line.len() as u64);
            self.tell_dropped(open);
            if open.write(&line).is_err() {
                self.lose(1);
            }
        }
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut queue = self.queue.lock();
        let line = queue.lines.pop_front()?;
        queue.bytes -= line.len();
        Some(line)
    }

    fn open_again(&self, open: &mut Open) {
        if let Ok(next) = open_append(&self.path).and_then(|file| Open::new(file, self.clock.as_ref())) {
            *open = Open { told: open.told, ..next };
        }
    }

    fn rotate_if_due(&self, open: &mut Open, more: u64) {
        let now = self.clock.monotonic();
        let full = self.limits.bytes > 0 && open.len > 0 && open.len + more > self.limits.bytes;
        let age = open.age_then + now.since(open.opened);
        let old = !self.limits.age.is_zero() && open.len > 0 && age >= self.limits.age;
        if !(full || old) || now < open.not_before {
            return;
        }
        if let Err(error) = self.rotate(open) {
            open.not_before = now.plus(RETRY);
            let text = format!("the log file could not be put aside, it grows on: {error}");
            let _ = open.write(self.line(&text).as_bytes());
        }
    }

    fn rotate(&self, open: &mut Open) -> io::Result<()> {
        // Somebody else may have put it aside already: their file is not to be renamed.
        let path_now = std::fs::metadata(&self.path);
        let ours = path_now.is_ok_and(|meta| same_file(&meta, &open.file));
        if ours {
            for number in (1..self.limits.keep).rev() {
                match std::fs::rename(aside(&self.path, number), aside(&self.path, number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            match self.limits.keep {
                0 => std::fs::remove_file(&self.path)?,
                _ => std::fs::rename(&self.path, aside(&self.path, 1))?,
            }
        }
        let next = Open::new(open_append(&self.path)?, self.clock.as_ref())?;
        *open = Open { told: open.told, ..next };
        Ok(())
    }

    /// Says how many lines were lost, as soon as something can be written.
    fn tell_dropped(&self, open: &mut Open) {
        let dropped = self.dropped();
        if dropped == open.told {
            return;
        }
        let text =
            format!("{} lines of this log were lost: the file could not be written", dropped - open.told);
        if open.write(self.line(&text).as_bytes()).is_ok() {
            open.told = dropped;
        }
    }

    /// A line of this file's own, in the form of the others.
    fn line(&self, text: &str) -> String {
        let at = crate::logs::time::show(self.clock.wall());
        match self.json {
            true => format!("{}\n", serde_json::json!({"timestamp": at, "level": "WARN", "message": text})),
            false => format!("{at}  WARN {text}\n"),
        }
    }
}

fn same_file(meta: &std::fs::Metadata, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (meta.dev(), meta.ino()))
}

impl Open {
    fn new(file: File, clock: &dyn Clock) -> io::Result<Open> {
        let meta = file.metadata()?;
        // The age of a file that was there counts from when it was made, where the file system knows.
        let age = meta.created().ok().and_then(|made| {
            let made = made.duration_since(std::time::UNIX_EPOCH).ok()?;
            let now = clock.wall();
            Duration::from_secs(u64::try_from(now.secs).ok()?).checked_sub(made)
        });
        let age_then = if meta.len() == 0 { Duration::ZERO } else { age.unwrap_or_default() };
        let opened = clock.monotonic();
        let (len, torn, told) = (meta.len(), false, 0);
        Ok(Open { file, len, opened, age_then, torn, told, not_before: Monotonic::default() })
    }

    /// Writes a line, or as much as fits. *Errors:* as the system says them; the file may end within the line.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.len += 1;
            self.torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.len += written as u64;
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The subscriber hands each event over in one call.
impl Write for &LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

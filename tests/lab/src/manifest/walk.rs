//! Walking a tree and describing each name in it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

/// One read of a file's contents, large enough to keep a network mount busy.
const READ_BYTES: usize = 1 << 20;

struct Entry {
    path: PathBuf,
    name: String,
    metadata: Metadata,
    link: String,
    content: String,
}

/// Returns the sorted lines of a folder's manifest, the folder itself as `.`. *Errors:* the first that any name gave.
pub fn manifest(folder: &Path, threads: usize) -> io::Result<Vec<String>> {
    let mut entries = Vec::new();
    walk(folder, folder, &mut entries)?;
    entries.sort_by(|one, other| one.path.as_os_str().as_bytes().cmp(other.path.as_os_str().as_bytes()));
    name_link_groups(&mut entries);
    hash_all(&mut entries, threads.max(1))?;
    Ok(entries.iter().map(line).collect())
}

fn context(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn walk(root: &Path, path: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path).map_err(|error| context(path, error))?;
    let relative = path.strip_prefix(root).unwrap_or(path);
    let name =
        if relative.as_os_str().is_empty() { ".".into() } else { escape(relative.as_os_str().as_bytes()) };
    let kind = metadata.file_type();
    let link = if kind.is_symlink() {
        escape(fs::read_link(path).map_err(|error| context(path, error))?.as_os_str().as_bytes())
    } else if kind.is_char_device() || kind.is_block_device() {
        let device = metadata.rdev();
        format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
    } else {
        "-".into()
    };
    entries.push(Entry { path: path.to_path_buf(), name, metadata, link, content: "-".into() });
    if kind.is_dir() {
        let mut names: Vec<OsString> = Vec::new();
        for child in fs::read_dir(path).map_err(|error| context(path, error))? {
            names.push(child.map_err(|error| context(path, error))?.file_name());
        }
        for child in names {
            walk(root, &path.join(child), entries)?;
        }
    }
    Ok(())
}

/// Puts the first name of a file that has several into `link` of each of them.
fn name_link_groups(entries: &mut [Entry]) {
    let mut first: HashMap<(u64, u64), String> = HashMap::new();
    for entry in entries.iter_mut() {
        if entry.metadata.nlink() > 1 && entry.metadata.is_file() {
            let key = (entry.metadata.dev(), entry.metadata.ino());
            let name = first.entry(key).or_insert_with(|| entry.name.clone());
            entry.link = format!("{} of {name}", entry.metadata.nlink());
        }
    }
}

/// Reads every regular file once, names of one file once each, on several threads.
fn hash_all(entries: &mut [Entry], threads: usize) -> io::Result<()> {
    let files: Vec<usize> = (0..entries.len()).filter(|&at| entries[at].metadata.is_file()).collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let paths: Vec<&Path> = files.iter().map(|&at| entries[at].path.as_path()).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let hash = hash(path).map_err(|error| context(path, error));
                    let failed = hash.is_err();
                    if let Ok(mut all) = results.lock() {
                        all.push((path.to_path_buf(), hash));
                    }
                    if failed {
                        return;
                    }
                }
            });
        }
    });
    let results = results.into_inner().map_err(|_| io::Error::other("a reader thread died"))?;
    let mut by_path = HashMap::new();
    for (path, hash) in results {
        by_path.insert(path, hash?);
    }
    for at in files {
        match by_path.remove(&entries[at].path) {
            Some(hash) => entries[at].content = hash,
            None => return Err(io::Error::other(format!("{} was not read", entries[at].path.display()))),
        }
    }
    Ok(())
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0u8; READ_BYTES]);
    loop {
        let got = file.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        hasher.update(&buffer[..got]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn line(entry: &Entry) -> String {
    let (metadata, kind) = (&entry.metadata, entry.metadata.file_type());
    let word = match () {
        () if kind.is_dir() => "folder",
        () if kind.is_file() => "file",
        () if kind.is_symlink() => "symlink",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () if kind.is_char_device() => "char",
        () if kind.is_block_device() => "block",
        () => "unknown",
    };
    let size = if kind.is_file() || kind.is_symlink() { metadata.size().to_string() } else { "-".into() };
    format!(
        "{}\t{word}\t{:04o}\t{}:{}\t{}.{:09}\t{size}\t{}\t{}",
        entry.name,
        metadata.mode() & 0o7777,
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        entry.link,
        entry.content
    )
}

/// Writes bytes as one word of printable ASCII: a backslash and anything outside `!`..`~` become `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'\\' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

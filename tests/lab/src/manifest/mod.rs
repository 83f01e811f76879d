//! The manifest of a tree: one sorted line for each name, with everything that an unpacked archive should keep.
//!
//! A line has eight fields between tabs: path, type, mode, owner, mtime, size, link, content. The path is relative and
//! escaped (`\xNN`), so that any name of bytes is one line of text. `link` is the target of a symbolic link, the device
//! number of a device, or, for a file with several names, the first of them. `content` is the SHA-256 of a regular file.
//! The size of a folder is left out: it is the file system's own affair. Nothing here writes to the tree.

mod diff;
#[cfg(test)]
mod tests;
mod walk;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// The names of the fields after the path, in their order.
const FIELDS: [&str; 7] = ["type", "mode", "owner", "mtime", "size", "link", "content"];

/// Writes the manifest of a folder to a file, or to standard output. *Errors:* of reading any part of the tree; a
/// manifest with holes would pass for a shorter tree.
pub fn print(folder: &Path, out: Option<&Path>, threads: usize) -> io::Result<bool> {
    let lines = walk::manifest(folder, threads)?;
    let sink: Box<dyn Write> = match out {
        Some(path) => Box::new(File::create(path)?),
        None => Box::new(io::stdout().lock()),
    };
    let mut sink = BufWriter::new(sink);
    for line in &lines {
        writeln!(sink, "{line}")?;
    }
    sink.flush()?;
    Ok(true)
}

/// Compares two manifests read from files and prints what differs. Returns whether they agree.
pub fn compare_files(wanted: &Path, found: &Path, show: usize, ignore: &[String]) -> io::Result<bool> {
    if let Some(bad) = ignore.iter().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(io::Error::other(format!("no field {bad}; there are {}", FIELDS.join(", "))));
    }
    let (wanted, found) = (std::fs::read_to_string(wanted)?, std::fs::read_to_string(found)?);
    let report = diff::compare(&wanted, &found, ignore);
    print!("{}", report.text(show));
    Ok(report.agrees())
}

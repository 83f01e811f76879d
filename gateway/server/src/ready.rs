//! What a running gateway leaves in its data folder for `dfs start`, `dfs status` and `dfs stop`.
//!
//! `lock` is held by the process that runs; `pid` says who that is; `ready` says, once it serves, who and where. Only the
//! lock is believed: the other two may be left over from a process that was killed. All are written in place and stay where
//! they are when the gateway ends, so that a gateway that ran once starts again on a disk that has become full.

use crate::commands::{Failure, cannot};
use crate::listeners::Addresses;
use rustix::fs::{FlockOperation, flock};
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Held by the running gateway.
pub(crate) const LOCK_FILE: &str = "lock";
/// Its door for commands of this machine, open to the folder's owner only.
pub(crate) const SOCKET_FILE: &str = "control.sock";
/// Its process id.
const PID_FILE: &str = "pid";
/// Its process id and addresses, once it serves.
const READY_FILE: &str = "ready";
/// In place of an address where nothing listens.
const OFF: &str = "off";
/// Files that every gateway that ran leaves in its folder.
pub(crate) const LEFT_BEHIND: [&str; 3] = [LOCK_FILE, PID_FILE, READY_FILE];
/// Last line of what is whole.
const END: &str = "end";
/// Length of both, spaces included: more than any content, less than any block of a disk.
const FILE_BYTES: usize = 256;

/// A gateway that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub pid: u32,
    /// Nowhere, while the adapter does not serve.
    pub nfs: Option<SocketAddr>,
    pub control: SocketAddr,
    pub metrics: Option<SocketAddr>,
    /// Shares that could not be opened when it began to serve.
    pub shares_failed: usize,
}

impl Ready {
    /// Where NFS is served, in words.
    pub fn nfs_shown(&self) -> String {
        self.nfs.map_or_else(|| OFF.to_owned(), |at| at.to_string())
    }
}

/// Whether a process holds the data folder's lock.
pub(crate) fn is_locked(data_dir: &Path) -> bool {
    let Ok(file) = std::fs::File::open(data_dir.join(LOCK_FILE)) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// The process id of the gateway that runs on the folder.
pub(crate) fn running_pid(data_dir: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(data_dir.join(PID_FILE)).ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    is_locked(data_dir).then_some(pid)
}

/// The gateway that serves from the folder.
pub(crate) fn ready(data_dir: &Path) -> Option<Ready> {
    let text = std::fs::read_to_string(data_dir.join(READY_FILE)).ok()?;
    let found = parse(&text)?;
    is_locked(data_dir).then_some(found)
}

fn parse(text: &str) -> Option<Ready> {
    text.lines().any(|line| line == END).then_some(())?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let address = |name: &str| match value(name)? {
        OFF => Some(None),
        address => Some(Some(address.parse().ok()?)),
    };
    Some(Ready {
        pid: value("pid")?.parse().ok()?,
        nfs: address("nfs")?,
        control: value("control")?.parse().ok()?,
        metrics: address("metrics")?,
        shares_failed: value("failed")?.parse().ok()?,
    })
}

/// Overwrites a file without asking the disk for room where it was written before.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    let padded = format!("{text:FILE_BYTES$}");
    let written = opened.and_then(|mut file| file.write_all(padded.as_bytes()));
    written.map_err(|error| cannot("write", path, &error))
}

/// Says that this process runs and does not serve yet. To be called with the lock held.
pub(crate) fn announce_start(data_dir: &Path) -> Result<(), Failure> {
    write(&data_dir.join(READY_FILE), "")?;
    write(&data_dir.join(PID_FILE), &std::process::id().to_string())
}

/// Says that this process serves. *Guarantees:* a reader sees all of it or nothing.
pub(crate) fn announce_ready(data_dir: &Path, at: &Addresses, shares_failed: usize) -> Result<(), Failure> {
    let address = |at: Option<SocketAddr>| at.map_or_else(|| OFF.to_owned(), |address| address.to_string());
    let (pid, nfs, control, metrics) = (std::process::id(), address(at.nfs), at.control, address(at.metrics));
    let text = format!(
        "pid {pid}\nnfs {nfs}\ncontrol {control}\nmetrics {metrics}\nfailed {shares_failed}\n{END}\n"
    );
    write(&data_dir.join(READY_FILE), &text)
}

/// Takes back both, at an orderly end; the lock goes with the process.
pub(crate) fn withdraw(data_dir: &Path) {
    let _ = std::fs::remove_file(data_dir.join(SOCKET_FILE));
    for name in [READY_FILE, PID_FILE] {
        // What stays behind is not believed without the lock.
        let _ = write(&data_dir.join(name), "");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn ready_file_half_written_is_not_believed() {
        let text = "pid 7\nnfs 127.0.0.1:1\ncontrol 127.0.0.1:2\nmetrics off\nfailed 3\nend\n   ";
        assert_eq!(parse(text).unwrap().metrics, None);
        assert_eq!(parse(&text.replace("127.0.0.1:1", "off")).unwrap().nfs, None);
        assert_eq!(parse(text).unwrap().control.port(), 2);
        assert_eq!(parse(text).unwrap().shares_failed, 3);
        assert_eq!(parse(""), None);
        for end in 0..text.len() - 4 {
            assert_eq!(parse(&text[..end]), None, "{end}");
        }
    }

    #[test]
    fn files_written_again_keep_their_length_and_only_the_last_text() {
        let folder = tempfile::tempdir().unwrap();
        let at = Addresses {
            nfs: Some("[::1]:12049".parse().unwrap()),
            control: "[::1]:8080".parse().unwrap(),
            metrics: None,
        };
        let len = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len() as usize;
        for _ in 0..2 {
            announce_start(folder.path()).unwrap();
            let text = std::fs::read_to_string(folder.path().join(READY_FILE)).unwrap();
            assert_eq!(parse(&text), None);
            announce_ready(folder.path(), &at, 0).unwrap();
            let text = std::fs::read_to_string(folder.path().join(READY_FILE)).unwrap();
            assert_eq!(parse(&text).unwrap().nfs, at.nfs);
            withdraw(folder.path());
            assert_eq!((len(READY_FILE), len(PID_FILE)), (FILE_BYTES, FILE_BYTES));
        }
    }
}

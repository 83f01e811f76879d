//! What a running gateway leaves in its data folder for `dfs start`, `dfs status` and `dfs stop`.
//!
//! `lock` is held by the process that runs; `pid` says who that is; `ready` says, once it serves, who and where. Only the
//! lock is believed: the other two may be left over from a process that was killed.

use crate::commands::Failure;
use crate::listeners::Addresses;
use rustix::fs::{FlockOperation, flock};
use std::net::SocketAddr;
use std::path::Path;

/// Held by the running gateway.
pub(crate) const LOCK_FILE: &str = "lock";
/// Its process id.
const PID_FILE: &str = "pid";
/// Its process id and addresses, once it serves.
const READY_FILE: &str = "ready";

/// A gateway that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub pid: u32,
    pub nfs: SocketAddr,
    pub control: SocketAddr,
    pub metrics: Option<SocketAddr>,
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
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Some(Ready {
        pid: value("pid")?.parse().ok()?,
        nfs: value("nfs")?.parse().ok()?,
        control: value("control")?.parse().ok()?,
        metrics: match value("metrics")? {
            "off" => None,
            address => Some(address.parse().ok()?),
        },
    })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::new(5, format!("cannot write {}: {error}", path.display())))
}

/// Says that this process runs and does not serve yet. To be called with the lock held.
pub(crate) fn announce_start(data_dir: &Path) -> Result<(), Failure> {
    write(&data_dir.join(READY_FILE), "")?;
    write(&data_dir.join(PID_FILE), &std::process::id().to_string())
}

/// Says that this process serves. *Guarantees:* a reader sees all of it or nothing.
pub(crate) fn announce_ready(data_dir: &Path, at: &Addresses) -> Result<(), Failure> {
    let metrics = at.metrics.map_or_else(|| "off".to_owned(), |address| address.to_string());
    let text =
        format!("pid {}\nnfs {}\ncontrol {}\nmetrics {metrics}\n", std::process::id(), at.nfs, at.control);
    let new = data_dir.join("ready.new");
    write(&new, &text)?;
    let path = data_dir.join(READY_FILE);
    std::fs::rename(&new, &path)
        .map_err(|error| Failure::new(5, format!("cannot write {}: {error}", path.display())))
}

/// Takes back both, at an orderly end; the lock goes with the process.
pub(crate) fn withdraw(data_dir: &Path) {
    for name in [READY_FILE, PID_FILE] {
        // A file that stays behind is not believed without the lock.
        let _ = std::fs::remove_file(data_dir.join(name));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn ready_file_half_written_is_not_believed() {
        let text = "pid 7\nnfs 127.0.0.1:1\ncontrol 127.0.0.1:2\nmetrics off\n";
        assert_eq!(parse(text).unwrap().metrics, None);
        assert_eq!(parse(text).unwrap().control.port(), 2);
        assert_eq!(parse(""), None);
        for end in 0..text.len() - 4 {
            assert_eq!(parse(&text[..end]), None, "{end}");
        }
    }
}

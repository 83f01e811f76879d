//! MOUNT version 3: from a path to a handle, and the lists that `showmount` shows.
//!
//! A share is `/name`; a directory below it may be mounted as `/name/sub/dir`, walked with the caller's own credentials.
//! The list of mounts is what clients told us, for people to read: nothing depends on it, and it is bounded.

use crate::creds;
use crate::exports::{Exports, ShareExport};
use crate::metrics::NfsMetrics;
use crate::status::of_mount;
use crate::wire::mount::{DirPath, ExportEntry, HostName, MountEntry, MountReply};
use crate::wire::{Handle, List, MountStatus};
use bytes::Bytes;
use dfs_model::{AttrMask, FsError, InodeKind, Name};
use dfs_net::{Peer, Quiet};
use dfs_rpc::{Flavor, OpaqueAuth};
use dfs_vfs::{NameCase, RequestContext, WALK_NAMES_MAX, Walk, WalkStep};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// Most mounts that are remembered; the list is for people.
const MOUNTS_MAX: usize = 1024;
/// Most bytes of a list that is sent.
pub(crate) const LIST_BYTES_MAX: usize = 128 * 1024;

/// A MOUNT request; NULL is answered where it is decoded.
pub(crate) enum MountWork {
    Mount(DirPath),
    Dump,
    Unmount(DirPath),
    UnmountAll,
    Export,
}

/// The mounts that clients told of.
#[derive(Default)]
pub(crate) struct Mounts {
    told: Mutex<BTreeSet<(IpAddr, Bytes)>>,
    quiet: Quiet,
}

impl Mounts {
    fn add(&self, client: IpAddr, path: &DirPath, metrics: &NfsMetrics) {
        let mut mounts = self.told.lock();
        if mounts.len() < MOUNTS_MAX {
            mounts.insert((client, Bytes::copy_from_slice(&path.0)));
        }
        metrics.mounts.set(mounts.len() as f64);
    }

    pub(crate) fn remove(&self, client: IpAddr, path: Option<&DirPath>, metrics: &NfsMetrics) {
        let mut mounts = self.told.lock();
        mounts.retain(|(of, known)| *of != client || path.is_some_and(|path| path.0 != *known));
        metrics.mounts.set(mounts.len() as f64);
    }

    pub(crate) fn dump(&self) -> List<MountEntry> {
        let mut bytes = 0;
        let entry = |(client, path): &(IpAddr, Bytes)| MountEntry {
            host: HostName(Bytes::from(client.to_string())),
            path: DirPath(path.clone()),
        };
        let fits = |entry: &MountEntry| {
            bytes += 20 + entry.host.0.len() + entry.path.0.len();
            bytes <= LIST_BYTES_MAX
        };
        List(self.told.lock().iter().map(entry).take_while(fits).collect())
    }
}

/// The exports with the rules that admit clients.
pub(crate) fn export_list(exports: &dyn Exports) -> List<ExportEntry> {
    let mut bytes = 0;
    let entry = |export: Arc<ShareExport>| ExportEntry {
        path: DirPath(Bytes::from(format!("/{}", export.name))),
        groups: List(
            export.clients.rules().iter().map(|rule| HostName(Bytes::from(rule.to_string()))).collect(),
        ),
    };
    let fits = |entry: &ExportEntry| {
        bytes +=
            20 + entry.path.0.len() + entry.groups.0.iter().map(|group| 12 + group.0.len()).sum::<usize>();
        bytes <= LIST_BYTES_MAX
    };
    List(exports.list().into_iter().map(entry).take_while(fits).collect())
}

/// Splits `/name/sub/dir`. *Errors:* `NotFound` for a path that is no absolute path or climbs.
fn split(path: &[u8]) -> Result<(&[u8], Vec<WalkStep>), FsError> {
    let rest = path.strip_prefix(b"/").ok_or(FsError::NotFound)?;
    let mut parts = rest.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    let name = parts.next().ok_or(FsError::NotFound)?;
    let steps = parts.map(|part| Name::new(Bytes::copy_from_slice(part)).map(WalkStep::Down));
    let steps = steps.collect::<Result<Vec<_>, _>>()?;
    if steps.len() > WALK_NAMES_MAX { Err(FsError::NameTooLong) } else { Ok((name, steps)) }
}

/// Answers MNT. `context` makes the context of a call to the export.
pub(crate) async fn mount(
    exports: &dyn Exports,
    mounts: &Mounts,
    metrics: &NfsMetrics,
    peer: &Peer,
    credential: &OpaqueAuth,
    path: &DirPath,
    context: impl FnOnce(&Arc<ShareExport>, Arc<dfs_model::Credentials>) -> RequestContext,
) -> MountReply {
    let (name, steps) = match split(&path.0) {
        Ok(split) => split,
        Err(error) => return MountReply::Fail(of_mount(&error)),
    };
    let Some(export) = exports.by_name(name) else {
        let down = exports.is_down_by_name(name);
        if let Some(left_out) = mounts.quiet.allow().filter(|_| down) {
            tracing::warn!(client = %peer.address, share = %name.escape_ascii(), left_out, "mount refused: the share is not open");
        }
        return MountReply::Fail(if down { MountStatus::Io } else { MountStatus::NoEnt });
    };
    if !export.admits(peer.address) {
        if let Some(left_out) = mounts.quiet.allow() {
            tracing::info!(client = %peer.address, share = %export.name, left_out, "mount refused: not in the share's client list");
        }
        return MountReply::Fail(MountStatus::Acces);
    }
    let Ok(credentials) = creds::credentials(credential, &export) else {
        return MountReply::Fail(MountStatus::Acces);
    };
    let cx = context(&export, credentials);
    let request = Walk { dir: export.vfs.root(), steps, case: NameCase::Exact, want: AttrMask::BASIC };
    let walked = match export.vfs.walk(&cx, request).await {
        Ok(walked) => walked,
        Err(failed) => return MountReply::Fail(of_mount(&failed.error)),
    };
    let attrs = walked.steps.last().map_or(&walked.dir, |step| &step.attrs);
    if attrs.kind != InodeKind::Directory {
        return MountReply::Fail(MountStatus::NotDir);
    }
    mounts.add(peer.address.ip(), path, metrics);
    tracing::info!(client = %peer.address, share = %export.name, path = %path.0.escape_ascii(), "mounted");
    let handle = export.vfs.encode_handle(&export.vfs.handle_of(attrs));
    MountReply::Ok {
        handle: Handle(Bytes::copy_from_slice(&handle)),
        flavors: vec![Flavor::SYS.0, Flavor::NONE.0],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_into_share_and_steps_and_never_climb() {
        let (name, steps) = split(b"//docs/a//./b/").unwrap();
        assert_eq!(name, b"docs");
        let expected: Vec<_> =
            ["a", "b"].iter().map(|n| WalkStep::Down(Name::try_from(*n).unwrap())).collect();
        assert_eq!(steps, expected);
        for bad in [&b""[..], b"docs", b"/", b"//./"] {
            assert_eq!(split(bad).unwrap_err(), FsError::NotFound);
        }
        assert_eq!(split(b"/docs/../other").unwrap_err(), FsError::InvalidName);
        let deep = [&b"/docs"[..], &b"/x".repeat(65)].concat();
        assert_eq!(split(&deep).unwrap_err(), FsError::NameTooLong);
    }
}

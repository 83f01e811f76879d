//! MOUNT version 3: from a path to a handle, and the lists that `showmount` shows.
//!
//! A share is `/name`; a directory below it may be mounted as `/name/sub/dir`, walked with the caller's own credentials.
//! Who may mount is decided by client lists alone: a kernel mounts as its machine's root, for users that come later and are
//! judged one by one then (`creds.rs`). Below a share's root names are seen, so there the caller's permission counts too.

use crate::creds::{self, Reach};
use crate::exports::{Exports, ShareExport};
use crate::mounts::LIST_BYTES_MAX;
use crate::status::of_mount;
use crate::wire::mount::{DirPath, ExportEntry, HostName, MountReply};
use crate::wire::{Handle, List, MountStatus};
use bytes::Bytes;
use dfs_auth::IdentityTable;
use dfs_model::{AttrMask, FsError, InodeKind, Name};
use dfs_net::{Peer, Quiet};
use dfs_rpc::{Flavor, OpaqueAuth};
use dfs_vfs::{NameCase, RequestContext, WALK_NAMES_MAX, Walk, WalkStep};
use std::sync::Arc;

/// A MOUNT request; NULL is answered where it is decoded.
pub(crate) enum MountWork {
    Mount(DirPath),
    Dump,
    Unmount(DirPath),
    UnmountAll,
    Export,
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

/// What MNT is answered from.
pub(crate) struct Door<'a> {
    pub exports: &'a dyn Exports,
    pub identities: &'a IdentityTable,
    pub quiet: &'a Quiet,
}

/// Answers MNT. `context` makes the context of a call to the export.
pub(crate) async fn mount(
    door: Door<'_>,
    peer: &Peer,
    credential: &OpaqueAuth,
    path: &DirPath,
    context: impl FnOnce(&Arc<ShareExport>, Arc<dfs_model::Credentials>) -> RequestContext,
) -> MountReply {
    let (name, steps) = match split(&path.0) {
        Ok(split) => split,
        Err(error) => return MountReply::Fail(of_mount(&error)),
    };
    let Some(export) = door.exports.by_name(name) else {
        let down = door.exports.is_down_by_name(name);
        if let Some(left_out) = door.quiet.allow().filter(|_| down) {
            tracing::warn!(client = %peer.address, share = %name.escape_ascii(), left_out, "mount refused: the share is not open");
        }
        return MountReply::Fail(if down { MountStatus::Io } else { MountStatus::NoEnt });
    };
    if !export.admits(peer.address) {
        if let Some(left_out) = door.quiet.allow() {
            tracing::info!(client = %peer.address, share = %export.name, left_out, "mount refused: not in the share's client list");
        }
        return MountReply::Fail(MountStatus::Acces);
    }
    let Ok(caller) = creds::caller(credential, &export, door.identities) else {
        return MountReply::Fail(MountStatus::Acces);
    };
    if caller.reach != Reach::Files && !steps.is_empty() {
        return MountReply::Fail(MountStatus::Acces);
    }
    let cx = context(&export, caller.credentials);
    let request = Walk { dir: export.vfs.root(), steps, case: NameCase::Exact, want: AttrMask::BASIC };
    let walked = match export.vfs.walk(&cx, request).await {
        Ok(walked) => walked,
        Err(failed) => return MountReply::Fail(of_mount(&failed.error)),
    };
    let attrs = walked.steps.last().map_or(&walked.dir, |step| &step.attrs);
    if attrs.kind != InodeKind::Directory {
        return MountReply::Fail(MountStatus::NotDir);
    }
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

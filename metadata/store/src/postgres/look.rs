//! What depends on a list of the row in the database: worked out here, by dfs-model, and tested there.
//!
//! An operation that needs a list answers a row to look at; it is asked again with mode and list for exactly that row. What was
//! seen of directories is kept, so that creates below one that hands entries on are one round trip too. Nothing here is
//! trusted: the database compares what was seen with what is there.

use super::names::{Answer, word};
use crate::ops;
use crate::{CreateRequest, OpContext, StoreError, StoreResult};
use dfs_model::acl::Heir;
use dfs_model::acl::apply::{self, Newborn};
use dfs_model::inode::mode;
use dfs_model::{AclMode, AclRef, AttrPatch, FsResult, Identity, Inode, InodeId, InodeKind, ShareId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Directories remembered; all are forgotten when there are more.
const REMEMBERED_MAX: usize = 4096;

/// A row that was shown.
pub struct Seen {
    pub inode: Arc<Inode>,
    /// Address of its list.
    pub acl: Option<Vec<u8>>,
    /// What a change of mode does to lists in its share.
    how: AclMode,
}

impl Seen {
    /// From the answer that shows it.
    pub fn of(answer: &Answer, inode: Arc<Inode>) -> Seen {
        let how = answer.code.as_ref().and_then(|word| word.parse().ok()).unwrap_or_default();
        Seen { inode, acl: answer.acl.clone(), how }
    }

    /// Group of what is made below it.
    pub fn group_below(&self, cx: &OpContext<'_>, request: &CreateRequest) -> Identity {
        let inherits = self.inode.mode & mode::SGID != 0;
        let inherited = if inherits { self.inode.group.clone() } else { Identity::Gid(cx.credentials.gid) };
        request.attrs.group.as_set().cloned().unwrap_or(inherited)
    }

    /// Mode and list after a patch.
    pub fn changed(&self, patch: &AttrPatch) -> StoreResult<(u16, Option<AclRef>)> {
        let (bits, list) = apply::changed(&self.inode, patch, self.how)?;
        if let Some(list) = &list {
            ops::checked_form(list)?;
        }
        Ok((bits, list))
    }
}

/// Mode and list of a new object below `seen` (`None`: a directory without a list), before the set-id bits.
pub fn newborn(
    cx: &OpContext<'_>,
    request: &CreateRequest,
    seen: Option<&Seen>,
    group: Option<&Identity>,
) -> FsResult<(u16, Option<AclRef>)> {
    let is_dir = request.kind == InodeKind::Directory;
    let own = Identity::Uid(cx.credentials.uid);
    let owner = request.attrs.owner.as_set().unwrap_or(&own);
    let own_group = Identity::Gid(cx.credentials.gid);
    if let Some(new) = request.attrs.acl.as_set() {
        ops::check_audit(None, new, cx.credentials).map_err(|error| error.to_fs())?;
    }
    let new = Newborn {
        kind: request.kind,
        heir: Heir { is_dir, owner, group: group.unwrap_or(&own_group) },
        parent: seen.and_then(|seen| seen.inode.acl.as_ref()),
        asked: &request.attrs,
        default_mode: if is_dir { 0o755 } else { 0o644 },
        umask: cx.credentials.umask.unwrap_or(0),
    };
    let (bits, list) = apply::newborn(new, seen.map_or(AclMode::default(), |seen| seen.how))?;
    if let Some(list) = &list {
        ops::checked_form(list).map_err(|error| error.to_fs())?;
    }
    Ok((bits, list))
}

/// A list that a patch asks for.
#[derive(Default)]
pub struct Asked {
    /// As it is stored.
    pub list: Option<AclRef>,
    /// What is wrong with it.
    pub bad: Option<&'static str>,
    /// Its nine bits.
    pub bits: i32,
    /// It says no more than its bits on a file.
    pub trivial_file: bool,
    /// It says no more than its bits on a directory.
    pub trivial_dir: bool,
}

/// Looks at the list that a patch asks for.
pub fn asked(patch: &AttrPatch) -> StoreResult<Asked> {
    let Some(wanted) = patch.acl.as_set() else { return Ok(Asked::default()) };
    match wanted.checked() {
        Err(error) => {
            let bad = word(Err(StoreError::Refused(error)))?;
            Ok(Asked { list: Some(wanted.clone()), bad, ..Asked::default() })
        }
        Ok(list) => Ok(Asked {
            bad: word(ops::checked_form(&list).map(drop))?,
            bits: i32::from(list.mode()),
            trivial_file: list.is_trivial(false),
            trivial_dir: list.is_trivial(true),
            list: Some(Arc::new(list)),
        }),
    }
}

/// What was seen of directories with a list.
#[derive(Default)]
pub struct Looks(Mutex<HashMap<(ShareId, InodeId), Arc<Seen>>>);

impl Looks {
    pub fn of(&self, share: ShareId, dir: InodeId) -> Option<Arc<Seen>> {
        self.0.lock().get(&(share, dir)).cloned()
    }

    pub fn note(&self, share: ShareId, dir: InodeId, seen: Seen) -> Arc<Seen> {
        let seen = Arc::new(seen);
        let mut looks = self.0.lock();
        if looks.len() >= REMEMBERED_MAX {
            looks.clear();
        }
        if seen.acl.is_some() {
            looks.insert((share, dir), Arc::clone(&seen));
        } else {
            looks.remove(&(share, dir));
        }
        seen
    }

    pub fn forget(&self, share: ShareId, dir: InodeId) {
        self.0.lock().remove(&(share, dir));
    }

    pub fn forget_all(&self) {
        self.0.lock().clear();
    }
}

//! The recycle bin of a share: what is removed moves into `.recycle` and stays there for a while.
//!
//! The bin is a directory in the share's root, its entries are the files themselves. An entry's name says when it was removed,
//! from which directory and by whom, so that removal and note are one rename: a crash leaves the file at its old name or in
//! the bin. Everybody may put files in and take his own out again (mode 1733); listing it is the superuser's. Files with
//! other names, directories and links are removed for good, as is whatever is removed from the bin itself. What is in the
//! bin counts as held by its owner.
//!
//! Entry: `seconds-directory-inode-uid-name`, numbers in lower-case hexadecimal; the name is cut where it would not fit.

use crate::cell::Cell;
use crate::engine::Engine;
use dfs_model::{
    Acl, Activity, ActivityClass, Actor, AttrMask, AttrPatch, Attrs, ClientRef, Cookie, Credentials, FsError,
    InodeId, InodeKind, InternalJob, Name, Patch, Target, Timestamp,
};
use dfs_vfs::{
    Create, CreateExisting, DirVerifier, Failed, NameCase, NewKind, ReadDir, Remove, RemoveReply, RemoveWhat,
    Rename, RenameReplace, RequestContext,
};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Name of the bin in the share's root.
const BIN: &str = ".recycle";
/// Everybody puts in, nobody but the superuser looks in, everybody takes out his own.
const BIN_MODE: u16 = 0o1733;
/// How often entries beyond the rules are removed.
const ROUND: Duration = Duration::from_secs(600);
/// Entries read at once.
const PAGE: usize = 1000;

/// How long the bin keeps what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecycleRules {
    /// Entries older than this go.
    pub keep: Duration,
    /// The oldest entries go until those that stay hold at most so many bytes.
    pub bytes_max: u64,
}

/// An entry of the bin.
#[derive(Clone, Debug)]
pub struct Recycled {
    /// Its name in the bin.
    pub entry: Name,
    /// When it was removed, to the second.
    pub removed: Timestamp,
    /// The directory that it was removed from; may be gone.
    pub dir: InodeId,
    /// Its name there.
    pub name: Name,
    /// User id of who removed it.
    pub by: u32,
    /// The file.
    pub attrs: Attrs,
}

fn entry_name(now: Timestamp, dir: InodeId, inode: InodeId, uid: u32, name: &Name) -> Result<Name, FsError> {
    let mut entry = format!("{:010x}-{:x}-{:x}-{uid:x}-", now.secs.max(0), dir.0, inode.0).into_bytes();
    let mut kept = name.as_bytes();
    let room = Name::LEN_MAX - entry.len();
    if kept.len() > room {
        // Not in the middle of a character.
        let cut = (0..=room).rev().find(|at| kept.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80));
        kept = kept.get(..cut.unwrap_or(room)).unwrap_or_default();
    }
    entry.extend_from_slice(kept);
    Name::new(entry)
}

/// What an entry's name says; `None` for what somebody put into the bin by hand.
fn read_entry(entry: &Name, attrs: Attrs) -> Option<Recycled> {
    let mut parts = entry.as_bytes().splitn(5, |byte| *byte == b'-');
    let mut number = || {
        let digits = std::str::from_utf8(parts.next()?).ok()?;
        u64::from_str_radix(digits, 16).ok()
    };
    let (secs, dir, inode, uid) = (number()?, number()?, number()?, number()?);
    let name = Name::new(bytes::Bytes::copy_from_slice(parts.next()?)).ok()?;
    if attrs.kind != InodeKind::File || attrs.inode.0 != inode {
        return None;
    }
    let removed = Timestamp::new(i64::try_from(secs).ok()?, 0);
    Some(Recycled {
        entry: entry.clone(),
        removed,
        dir: InodeId(dir),
        name,
        by: u32::try_from(uid).ok()?,
        attrs,
    })
}

impl Engine {
    /// Files in the bin, oldest first. *Errors:* `NotSupported` on a share without a bin.
    pub async fn recycled(&self) -> Result<Vec<Recycled>, FsError> {
        let bin = self.bin()?;
        let cx = self.own_context();
        let (mut cookie, mut verifier, mut found) = (Cookie::START, DirVerifier(0), Vec::new());
        loop {
            let request = ReadDir {
                dir: Target::Inode(bin),
                cookie,
                verifier,
                want: Some(AttrMask::BASIC),
                handles: false,
                real_only: true,
                bytes_max: usize::MAX,
                entries_max: PAGE,
                cost: &|_| 1,
                pattern: None,
            };
            let page = self.do_read_dir(&cx, request).await.map_err(|failed| failed.error)?;
            for entry in page.entries {
                cookie = entry.cookie;
                if let (Ok(name), Some(Ok(attrs))) = (Name::new(entry.name), entry.attrs) {
                    found.extend(read_entry(&name, attrs));
                }
            }
            verifier = page.verifier;
            if page.end {
                found.sort_by(|a, b| (a.removed, &a.entry).cmp(&(b.removed, &b.entry)));
                return Ok(found);
            }
        }
    }

    /// Moves an entry back to where it was removed from, or to `to`. *Errors:* `NotSupported`; `NotFound` for no such entry;
    /// `StaleHandle` when the directory is gone, `Exists` when the name is taken: give another place.
    pub async fn restore(&self, entry: &Name, to: Option<(InodeId, Name)>) -> Result<InodeId, FsError> {
        let bin = self.bin()?;
        let listed = self.recycled().await?.into_iter().find(|known| known.entry == *entry);
        let known = listed.ok_or(FsError::NotFound)?;
        let (to_dir, to_name) = to.unwrap_or((known.dir, known.name));
        self.rename_names(&self.own_context(), moving(bin, entry, to_dir, to_name)).await?;
        Ok(known.attrs.inode)
    }

    /// Removes the entries that are older than `age`, for good; answers how many. *Errors:* `NotSupported`.
    pub async fn empty_bin(&self, age: Duration) -> Result<usize, FsError> {
        let limit = self.clock.wall();
        let old = self.recycled().await?.into_iter().filter(|known| known.removed.plus(age) <= limit);
        let mut removed = 0;
        for known in old {
            removed += self.drop_entry(&known).await?;
        }
        Ok(removed)
    }

    /// Removes what the rules do not keep. One round; answers how many entries went.
    pub(crate) async fn tidy_bin(&self) -> Result<usize, FsError> {
        let Some(rules) = self.rules().recycle else { return Ok(0) };
        let mut removed = self.empty_bin(rules.keep).await?;
        let left = self.recycled().await?;
        let mut bytes: u64 = left.iter().map(|known| known.attrs.allocated).sum();
        for known in left {
            if bytes <= rules.bytes_max {
                break;
            }
            bytes -= known.attrs.allocated;
            removed += self.drop_entry(&known).await?;
        }
        Ok(removed)
    }

    async fn drop_entry(&self, known: &Recycled) -> Result<usize, FsError> {
        let (name, what) = (known.entry.clone(), RemoveWhat::NonDirectory);
        let request = Remove { dir: self.bin()?, name, what, expect: Some(known.attrs.inode) };
        match self.do_remove(&self.own_context(), request).await.map_err(|failed| failed.error) {
            Ok(_) => Ok(1),
            Err(FsError::NotFound) => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn bin(&self) -> Result<InodeId, FsError> {
        self.bin.get().copied().ok_or(FsError::NotSupported)
    }

    /// Whether an inode is the bin itself, which may be neither removed nor moved.
    pub(crate) fn is_bin(&self, inode: InodeId) -> bool {
        self.bin.get() == Some(&inode)
    }

    /// The name that a file gets in the bin; `None` where it is removed for good.
    pub(crate) fn bin_entry(
        &self,
        cx: &RequestContext,
        request: &Remove,
        victim: &Cell,
    ) -> Option<(InodeId, Name)> {
        let bin = *self.bin.get()?;
        self.rules().recycle?;
        let state = victim.state.lock();
        let only_name = state.attrs.kind == InodeKind::File && state.attrs.nlink == 1;
        // What the share's own housekeeping removes, it means to remove.
        let housekeeping = matches!(cx.actor.client, ClientRef::Internal(_));
        if bin == request.dir || housekeeping || !only_name || request.what == RemoveWhat::Directory {
            return None;
        }
        let uid = cx.credentials.uid;
        let entry = entry_name(self.clock.wall(), request.dir, victim.inode, uid, &request.name);
        entry.ok().map(|entry| (bin, entry))
    }

    /// Removes a name by moving its file into the bin. The caller needs the rights of the removal.
    pub(crate) async fn remove_to_bin(
        &self,
        cx: &RequestContext,
        request: &Remove,
        (bin, entry): (InodeId, Name),
    ) -> Result<RemoveReply, FsError> {
        let moved = self.rename_names(cx, moving(request.dir, &request.name, bin, entry)).await?;
        Ok(RemoveReply { dir: moved.from_dir, nlink: 0, orphaned: false })
    }

    /// Finds or makes the bin. *Errors:* `Exists` when something else has its name.
    pub(crate) async fn open_bin(&self) -> Result<(), FsError> {
        if self.rules().recycle.is_none() || self.check_writable().is_err() {
            return Ok(());
        }
        let name = Name::try_from(BIN)?;
        let found =
            self.store.lookup(self.share, InodeId::ROOT, &name).await.map_err(|error| error.to_fs())?;
        let bin = match found {
            Some((dentry, row)) if row.is_dir() => dentry.inode,
            Some(_) => return Err(FsError::Exists),
            None => {
                // A list that says the mode: nothing is inherited from the root.
                let acl = Patch::Set(Arc::new(Acl::of_mode(BIN_MODE, true)));
                let attrs = AttrPatch { mode: Patch::Set(BIN_MODE), acl, ..AttrPatch::default() };
                let (dir, existing) = (InodeId::ROOT, CreateExisting::Guarded);
                let request = Create { dir, name, kind: NewKind::Directory, existing, attrs };
                let made = self.do_create(&self.own_context(), request).await;
                made.map_err(|failed: Failed| failed.error)?.inode
            }
        };
        let _ = self.bin.set(bin);
        Ok(())
    }

    /// A request of the share's own housekeeping.
    pub(crate) fn own_context(&self) -> RequestContext {
        let job = InternalJob::Administrator;
        RequestContext {
            request: 0,
            replay: None,
            share: self.share,
            credentials: Arc::new(Credentials::unix(0, 0, &[])),
            actor: Actor::of(ClientRef::Internal(job)),
            deadline: None,
            cancel: Default::default(),
            activity: Activity {
                class: ActivityClass::Internal(job),
                evidence: "housekeeping",
                sequential: false,
                promote: false,
            },
        }
    }
}

fn moving(from_dir: InodeId, from_name: &Name, to_dir: InodeId, to_name: Name) -> Rename {
    Rename {
        from_dir,
        from_name: from_name.clone(),
        open: None,
        to_dir,
        to_name,
        replace: RenameReplace::Never,
        case: NameCase::Exact,
        parent_lease_keys: [None, None],
    }
}

/// Keeps the bin by its rules until the engine is dropped.
pub(crate) async fn run(engine: Weak<Engine>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(engine) = engine.upgrade() else { return };
        if engine.check_writable().is_err() {
            continue;
        }
        match engine.tidy_bin().await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(share = %engine.share, removed, "entries left the recycle bin"),
            Err(error) => tracing::warn!(share = %engine.share, %error, "the recycle bin is tidied later"),
        }
    }
}

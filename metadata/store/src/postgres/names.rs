//! Operations on names and attributes.

use super::Inner;
use super::call::{Answered, Effect};
use super::rows::Columns;
use super::sql::Query;
use super::values::{Context, Param, PatchColumns, capped};
use crate::ops::{self, DOS_SETTABLE};
use crate::rows::damaged;
use crate::rows::identity::storable;
use crate::{
    Applied, CreateMode, CreateRequest, Created, Dentry, Fate, LinkRequest, Linked, OpContext, RemoveKind,
    RemoveRequest, Removed, RenameRequest, Renamed, Replace, RowChange, SetAttrRequest, StoreError,
    StoreResult, Unlinked,
};
use dfs_model::{AttrPatch, Epoch, FsError, Guard, Inode, InodeId, Patch, ShareId};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// Doors: more than operations are ever under way, so that two directories seldom share one.
const DOORS: usize = 512;

/// One door per directory, or for a few that share it.
pub struct Doors(Vec<Mutex<()>>);

impl Doors {
    pub fn new() -> Doors {
        Doors((0..DOORS).map(|_| Mutex::new(())).collect())
    }

    fn of(share: ShareId, dir: InodeId) -> usize {
        let mixed = (share.0 as u64 ^ dir.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize % DOORS
    }

    async fn enter(
        &self,
        share: ShareId,
        first: InodeId,
        second: InodeId,
    ) -> [Option<MutexGuard<'_, ()>>; 2] {
        let (a, b) = (Doors::of(share, first), Doors::of(share, second));
        let one = match self.0.get(a.min(b)) {
            Some(door) => Some(door.lock().await),
            None => None,
        };
        let other = match self.0.get(a.max(b)) {
            Some(door) if a != b => Some(door.lock().await),
            _ => None,
        };
        [one, other]
    }
}

/// What an operation can be refused with, by the word that SQL uses.
const WORDS: &[(&str, FsError)] = &[
    ("StaleHandle", FsError::StaleHandle),
    ("NotFound", FsError::NotFound),
    ("NotDirectory", FsError::NotDirectory),
    ("IsDirectory", FsError::IsDirectory),
    ("NotEmpty", FsError::NotEmpty),
    ("Exists", FsError::Exists),
    ("AccessDenied", FsError::AccessDenied),
    ("NotPermitted", FsError::NotPermitted),
    ("ReadOnlyShare", FsError::ReadOnlyShare),
    ("InvalidArgument", FsError::InvalidArgument),
    ("InvalidOwner", FsError::InvalidOwner),
    ("DeletePending", FsError::DeletePending),
    ("TooManyLinks", FsError::TooManyLinks),
    ("NameTooLong", FsError::NameTooLong),
    ("NoSpace", FsError::NoSpace),
    ("NotSupported", FsError::NotSupported),
    ("GuardMismatch", FsError::GuardMismatch),
    ("Internal", FsError::Internal),
];

/// The word for what is wrong with a request itself.
fn word(result: StoreResult<()>) -> StoreResult<Option<&'static str>> {
    match result {
        Ok(()) => Ok(None),
        Err(StoreError::Refused(error)) => match WORDS.iter().find(|(_, known)| *known == error) {
            Some((word, _)) => Ok(Some(word)),
            None => Err(StoreError::Refused(error)),
        },
        Err(other) => Err(other),
    }
}

/// One row of an operation's answer.
pub struct Answer {
    /// Which row.
    pub what: String,
    /// A word that goes with it.
    pub code: Option<String>,
    /// A number that goes with it.
    pub number: Option<i64>,
    pub dentry: Option<Dentry>,
    pub inode: Option<Arc<Inode>>,
}

/// Reads an operation's rows; refusals become errors.
pub fn answers(share: ShareId, ours: Epoch, answered: &Answered) -> StoreResult<Vec<Answer>> {
    answered.rows.iter().map(|row| answer(share, ours, &mut Columns::of(row))).collect()
}

fn answer(share: ShareId, ours: Epoch, columns: &mut Columns<'_>) -> StoreResult<Answer> {
    let (what, code, number): (String, Option<String>, Option<i64>) =
        (columns.next()?, columns.next()?, columns.next()?);
    match what.as_str() {
        "no share" => return Err(StoreError::NoShare(share)),
        "fenced" => {
            let current = Epoch(u32::try_from(number.unwrap_or(0)).unwrap_or(u32::MAX));
            return Err(StoreError::Fenced { ours, current });
        }
        "refused" if code.as_deref() == Some("Raced") => return Err(StoreError::Raced),
        "refused" => {
            let known = WORDS.iter().find(|(word, _)| code.as_deref() == Some(word));
            let Some((_, error)) = known else { return Err(damaged("answer", code.unwrap_or_default())) };
            return Err(StoreError::Refused(error.clone()));
        }
        _ => {}
    }
    let (dentry, inode) = (columns.dentry()?, columns.inode()?.map(Arc::new));
    if what == "replayed" {
        let outcome = columns.outcome()?.ok_or_else(|| damaged("answer", "an outcome is missing"))?;
        return Err(StoreError::Replayed(Box::new(outcome)));
    }
    Ok(Answer { what, code, number, dentry, inode })
}

/// The rows of one answer, taken by what they are.
struct Parts(Vec<Answer>);

impl Parts {
    fn has(&self, what: &str) -> bool {
        self.0.iter().any(|answer| answer.what == what)
    }

    fn part(&self, what: &str) -> StoreResult<&Answer> {
        self.0
            .iter()
            .find(|answer| answer.what == what)
            .ok_or_else(|| damaged("answer", format!("'{what}' is missing")))
    }

    fn inode(&self, what: &str) -> StoreResult<Arc<Inode>> {
        let part = self.part(what)?;
        part.inode.clone().ok_or_else(|| damaged("answer", format!("'{what}' has no inode")))
    }

    fn dentry(&self, what: &str) -> StoreResult<Dentry> {
        let part = self.part(what)?;
        part.dentry.clone().ok_or_else(|| damaged("answer", format!("'{what}' has no name")))
    }

    /// Before and after; a row that is only there as it is was not changed.
    fn change(&self, before: &str, what: &str) -> StoreResult<RowChange> {
        let post = self.inode(what)?;
        let pre = if self.has(before) { self.inode(before)? } else { Arc::clone(&post) };
        Ok(RowChange { pre, post })
    }

    fn unlinked(&self) -> StoreResult<Unlinked> {
        let fate = match self.part("inode")?.number {
            Some(0) => Fate::Linked,
            Some(1) => Fate::Orphan,
            Some(2) => Fate::Gone,
            other => return Err(damaged("answer", format!("fate {other:?}"))),
        };
        Ok(Unlinked { inode: self.change("inode was", "inode")?, fate })
    }
}

impl Inner {
    /// Runs an operation that carries a context.
    async fn operate(
        &self,
        query: Query,
        effect: Effect,
        cx: &OpContext<'_>,
        rest: &[Param<'_>],
    ) -> StoreResult<Parts> {
        let context = Context::new(cx, self.own_call());
        let mut params = Vec::with_capacity(64);
        context.push(&mut params);
        params.extend_from_slice(rest);
        let answered = self.call(query, effect, &params).await?;
        answers(cx.share, cx.epoch, &answered).map(Parts)
    }

    fn applied<T>(&self, value: T) -> Applied<T> {
        Applied { value, commit: self.committed() }
    }

    /// See [`crate::MetadataStore::create`].
    pub(super) async fn create(
        &self,
        cx: &OpContext<'_>,
        request: &CreateRequest,
    ) -> StoreResult<Applied<Created>> {
        let _door = self.doors.enter(cx.share, request.dir, request.dir).await;
        let (how, verifier) = match &request.mode {
            CreateMode::Unchecked => (0i32, None),
            CreateMode::Guarded => (1, None),
            CreateMode::Exclusive(verifier) => (2, Some(verifier.as_slice())),
        };
        let patch = PatchColumns::of(&request.attrs);
        let (name, fold) = (request.name.as_bytes(), request.name.fold_key());
        let mut rest: Vec<Param<'_>> = Vec::with_capacity(40);
        let (dir, kind) = (capped(request.dir.0), request.kind as i32);
        let umask = cx.credentials.umask.map(i32::from);
        let target = request.link_target.as_deref();
        let (major, minor) = (request.device.major as i32, request.device.minor as i32);
        let bad_kind = word(ops::kind_rules(cx, request))?;
        let bad_owner = owners(&request.attrs);
        let bad_acl = acl_caps(&request.attrs)?;
        let fold = fold.as_ref();
        rest.extend::<[Param<'_>; 13]>([
            &dir, &name, &fold, &kind, &how, &verifier, &umask, &target, &major, &minor, &bad_kind,
            &bad_owner, &bad_acl,
        ]);
        patch.push(&mut rest);
        let parts = self.operate(Query::Create, Effect::Grows, cx, &rest).await?;
        let existed = parts.has("existed");
        let what = if existed { "existed" } else { "inode" };
        let created = Created {
            inode: parts.inode(what)?,
            dentry: parts.dentry(what)?,
            existed,
            dir: parts.change("dir was", "dir")?,
        };
        if existed {
            return Ok(Applied { value: created, commit: self.last_commit() });
        }
        self.changed(cx.share, &[request.dir]);
        Ok(self.applied(created))
    }

    /// See [`crate::MetadataStore::link`].
    pub(super) async fn link_name(
        &self,
        cx: &OpContext<'_>,
        request: &LinkRequest,
    ) -> StoreResult<Applied<Linked>> {
        let _door = self.doors.enter(cx.share, request.dir, request.dir).await;
        let (inode, dir) = (capped(request.inode.0), capped(request.dir.0));
        let (name, fold) = (request.name.as_bytes(), request.name.fold_key());
        let fold = fold.as_ref();
        let parts = self.operate(Query::Link, Effect::Grows, cx, &[&inode, &dir, &name, &fold]).await?;
        self.changed(cx.share, &[request.dir, request.inode]);
        Ok(self.applied(Linked {
            inode: parts.change("inode was", "inode")?,
            dir: parts.change("dir was", "dir")?,
            dentry: parts.dentry("inode")?,
        }))
    }

    /// See [`crate::MetadataStore::remove`].
    pub(super) async fn remove(
        &self,
        cx: &OpContext<'_>,
        request: &RemoveRequest,
    ) -> StoreResult<Applied<Removed>> {
        let _door = self.doors.enter(cx.share, request.dir, request.dir).await;
        let (dir, name) = (capped(request.dir.0), request.name.as_bytes());
        let kinds = match request.kind {
            RemoveKind::Any => 0i32,
            RemoveKind::NonDirectory => 1,
            RemoveKind::Directory => 2,
        };
        let expected = request.expect.map(|inode| capped(inode.0));
        let rest: [Param<'_>; 5] = [&dir, &name, &kinds, &expected, &request.keep_orphan];
        let parts = self.operate(Query::Remove, Effect::Changes, cx, &rest).await?;
        let victim = parts.unlinked()?;
        self.changed(cx.share, &[request.dir, victim.inode.post.id]);
        let dir = parts.change("dir was", "dir")?;
        Ok(self.applied(Removed { dir, victim, dentry: parts.dentry("inode was")? }))
    }

    /// See [`crate::MetadataStore::rename`].
    pub(super) async fn rename(
        &self,
        cx: &OpContext<'_>,
        request: &RenameRequest,
    ) -> StoreResult<Applied<Renamed>> {
        let _doors = self.doors.enter(cx.share, request.from_dir, request.to_dir).await;
        let (from, to) = (capped(request.from_dir.0), capped(request.to_dir.0));
        let (from_name, to_name) = (request.from_name.as_bytes(), request.to_name.as_bytes());
        let fold = request.to_name.fold_key();
        let fold = fold.as_ref();
        let how = match request.replace {
            Replace::Never => 0i32,
            Replace::Posix => 1,
            Replace::Windows => 2,
        };
        let moved = request.expect_moved.map(|inode| capped(inode.0));
        let replaced = request.expect_replaced.map(|inode| inode.map_or(0, |inode| capped(inode.0)));
        let rest: [Param<'_>; 9] =
            [&from, &from_name, &to, &to_name, &fold, &how, &moved, &replaced, &request.keep_orphan];
        let parts = self.operate(Query::Rename, Effect::Changes, cx, &rest).await?;
        if parts.has("same") {
            let value = Renamed {
                same_inode: true,
                moved: parts.change("", "same")?,
                replaced: None,
                from_dir: parts.change("", "from")?,
                to_dir: parts.change("", "to")?,
                dentry: parts.dentry("same")?,
            };
            return Ok(Applied { value, commit: self.last_commit() });
        }
        let replaced = if parts.has("inode") { Some(parts.unlinked()?) } else { None };
        let moved = parts.change("moved was", "moved")?;
        let mut touched = vec![request.from_dir, request.to_dir, moved.post.id];
        touched.extend(replaced.as_ref().map(|victim| victim.inode.post.id));
        self.changed(cx.share, &touched);
        Ok(self.applied(Renamed {
            same_inode: false,
            moved,
            replaced,
            from_dir: parts.change("from was", "from")?,
            to_dir: parts.change("to was", "to")?,
            dentry: parts.dentry("moved")?,
        }))
    }

    /// See [`crate::MetadataStore::set_attr`].
    pub(super) async fn set_attr(
        &self,
        cx: &OpContext<'_>,
        request: &SetAttrRequest,
    ) -> StoreResult<Applied<RowChange>> {
        let _door = self.doors.enter(cx.share, request.inode, request.inode).await;
        let patch = PatchColumns::of(&request.patch);
        let inode = capped(request.inode.0);
        let (guard, number, nanos) = match request.guard {
            Guard::None => (0i32, 0i64, 0i32),
            Guard::CtimeAs3(secs, nanos) => (1, i64::from(secs), i32::try_from(nanos).unwrap_or(-1)),
            Guard::Change(change) => (2, change.0 as i64, 0),
        };
        let invalid = |wrong: bool| wrong.then_some("InvalidArgument");
        let bad_size = invalid(!request.patch.size.is_keep());
        let bad_owner = owners(&request.patch);
        let bad_dos = invalid(request.patch.dos.as_set().is_some_and(|bits| bits & !DOS_SETTABLE != 0));
        let bad_acl = acl_caps(&request.patch)?;
        let takes = cx.credentials.privileges.take_ownership;
        let mut rest: Vec<Param<'_>> = Vec::with_capacity(40);
        rest.extend::<[Param<'_>; 9]>([
            &inode, &guard, &number, &nanos, &bad_size, &bad_owner, &bad_dos, &bad_acl, &takes,
        ]);
        patch.push(&mut rest);
        let parts = self.operate(Query::SetAttr, Effect::Changes, cx, &rest).await?;
        let change = parts.change("inode was", "inode")?;
        if !parts.has("inode was") {
            return Ok(Applied { value: change, commit: self.last_commit() });
        }
        self.changed(cx.share, &[request.inode]);
        Ok(self.applied(change))
    }
}

fn owners(patch: &AttrPatch) -> Option<&'static str> {
    let identities = [patch.owner.as_set(), patch.group.as_set()];
    (!identities.into_iter().flatten().all(storable)).then_some("InvalidOwner")
}

fn acl_caps(patch: &AttrPatch) -> StoreResult<Option<&'static str>> {
    match &patch.acl {
        Patch::Set(acl) => word(ops::checked_form(acl).map(|_| ())),
        Patch::Keep => Ok(None),
    }
}

//! Operations on names and attributes.

use super::Inner;
use super::call::{Answered, Effect};
use super::look::Seen;
use super::rows::Columns;
use super::sql::Query;
use super::values::{Context, Param, PatchColumns, capped, identity};
use crate::ops::{self, DOS_SETTABLE};
use crate::rows::damaged;
use crate::rows::identity::storable;
use crate::{
    Applied, CreateMode, CreateRequest, Created, Dentry, Fate, LinkRequest, Linked, OpContext, RemoveKind,
    RemoveRequest, Removed, RenameRequest, Renamed, Replace, RowChange, SetAttrRequest, StoreError,
    StoreResult, Unlinked,
};
use dfs_model::{AttrPatch, Epoch, FsError, Guard, Inode, InodeId, ShareId};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// Doors: more than operations are ever under way, so that two directories seldom share one.
const DOORS: usize = 512;

/// How often a row that changes between look and change is looked at again.
const LOOKS_MAX: usize = 8;

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

    pub(super) async fn enter(
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
    ("PrivilegeNotHeld", FsError::PrivilegeNotHeld),
    ("NoXattr", FsError::NoXattr),
    ("XattrTooBig", FsError::XattrTooBig),
    ("GuardMismatch", FsError::GuardMismatch),
    ("Limit", FsError::Limit),
    ("Internal", FsError::Internal),
];

/// The word for what is wrong with a request itself.
pub fn word(result: StoreResult<()>) -> StoreResult<Option<&'static str>> {
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
    /// Address of the inode's ACL.
    pub acl: Option<Vec<u8>>,
}

impl Inner {
    /// The answers of a call made in epoch `ours`. *Errors:* what they say; a fenced one ends the lease of that opening.
    pub(super) fn answers(
        &self,
        share: ShareId,
        ours: Epoch,
        answered: &Answered,
    ) -> StoreResult<Vec<Answer>> {
        let read: StoreResult<Vec<Answer>> =
            answered.rows.iter().map(|row| answer(share, ours, &mut Columns::of(row))).collect();
        if matches!(read, Err(StoreError::Fenced { .. })) {
            self.ownership.fenced(share, ours);
        }
        read
    }
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
    let acl = inode.as_ref().and_then(|_| columns.acl_address.take());
    Ok(Answer { what, code, number, dentry, inode, acl })
}

/// The rows of one answer, taken by what they are.
pub struct Parts(Vec<Answer>);

impl Parts {
    /// What was seen, where the operation shows a row instead of doing something.
    pub fn seen(&self) -> StoreResult<Option<Seen>> {
        match self.0.iter().find(|answer| answer.what == "look") {
            Some(answer) => Ok(Some(Seen::of(answer, self.inode("look")?))),
            None => Ok(None),
        }
    }

    fn has(&self, what: &str) -> bool {
        self.0.iter().any(|answer| answer.what == what)
    }

    /// The row of this kind.
    pub fn part(&self, what: &str) -> StoreResult<&Answer> {
        self.0
            .iter()
            .find(|answer| answer.what == what)
            .ok_or_else(|| damaged("answer", format!("'{what}' is missing")))
    }

    /// Its inode.
    pub fn inode(&self, what: &str) -> StoreResult<Arc<Inode>> {
        let part = self.part(what)?;
        part.inode.clone().ok_or_else(|| damaged("answer", format!("'{what}' has no inode")))
    }

    fn dentry(&self, what: &str) -> StoreResult<Dentry> {
        let part = self.part(what)?;
        part.dentry.clone().ok_or_else(|| damaged("answer", format!("'{what}' has no name")))
    }

    /// Before and after; a row that is only there as it is was not changed.
    pub fn change(&self, before: &str, what: &str) -> StoreResult<RowChange> {
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
    pub(super) async fn operate(
        &self,
        query: Query,
        effect: Effect,
        cx: &OpContext<'_>,
        rest: &[Param<'_>],
    ) -> StoreResult<Parts> {
        self.attempt_in(&self.context(cx), query, effect, cx, rest).await
    }

    /// What names one operation and stamps it, through all of its attempts.
    pub(super) fn context(&self, cx: &OpContext<'_>) -> Context {
        Context::new(cx, self.own_call())
    }

    /// One attempt of an operation that may be shown a row first.
    pub(super) async fn attempt_in(
        &self,
        context: &Context,
        query: Query,
        effect: Effect,
        cx: &OpContext<'_>,
        rest: &[Param<'_>],
    ) -> StoreResult<Parts> {
        let mut params = Vec::with_capacity(64);
        context.push(&mut params);
        params.extend_from_slice(rest);
        let answered = self.call(query, effect, &params).await?;
        self.answers(cx.share, cx.epoch, &answered).map(Parts)
    }

    pub(super) fn applied<T>(&self, value: T) -> Applied<T> {
        Applied { value, commit: self.committed() }
    }

    /// See [`crate::MetadataStore::create`].
    pub(super) async fn create(
        &self,
        cx: &OpContext<'_>,
        request: &CreateRequest,
    ) -> StoreResult<Applied<Created>> {
        let _door = self.doors.enter(cx.share, request.dir, request.dir).await;
        let context = self.context(cx);
        let mut seen = self.looks.of(cx.share, request.dir);
        for _ in 0..LOOKS_MAX {
            let parts = self.create_under(&context, cx, request, seen.as_deref()).await?;
            if let Some(shown) = parts.seen()? {
                seen = Some(self.looks.note(cx.share, request.dir, shown));
                continue;
            }
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
            return Ok(self.applied(created));
        }
        Err(StoreError::Raced)
    }

    /// One attempt, under a directory that looks like `seen` (`None`: without a list).
    async fn create_under(
        &self,
        context: &Context,
        cx: &OpContext<'_>,
        request: &CreateRequest,
        seen: Option<&Seen>,
    ) -> StoreResult<Parts> {
        let (how, verifier) = match &request.mode {
            CreateMode::Unchecked => (0i32, None),
            CreateMode::Guarded => (1, None),
            CreateMode::Exclusive(verifier) => (2, Some(verifier.as_slice())),
        };
        let seen = seen.filter(|seen| seen.acl.is_some());
        let group = seen.map(|seen| seen.group_below(cx, request));
        let worked_out = super::look::newborn(cx, request, seen, group.as_ref());
        let bad_acl =
            word(worked_out.as_ref().map(|_| ()).map_err(|error| StoreError::Refused(error.clone())))?;
        let (mode, list) = worked_out.unwrap_or_default();
        let patch = PatchColumns::of(&request.attrs).with(mode, list.as_deref());
        let (dir, kind) = (capped(request.dir.0), request.kind as i32);
        let (name, fold) = (request.name.as_bytes(), request.name.fold_key());
        let fold = fold.as_ref();
        let target = request.link_target.as_deref();
        let (major, minor) = (request.device.major as i32, request.device.minor as i32);
        let (seen_acl, seen_group) =
            (seen.and_then(|seen| seen.acl.as_deref()), group.as_ref().map(identity));
        let bad_kind = word(ops::kind_rules(cx, request))?;
        let bad_owner = owners(&request.attrs);
        let mut rest: Vec<Param<'_>> = Vec::with_capacity(40);
        rest.extend::<[Param<'_>; 14]>([
            &dir,
            &name,
            &fold,
            &kind,
            &how,
            &verifier,
            &target,
            &major,
            &minor,
            &seen_acl,
            &seen_group,
            &bad_kind,
            &bad_owner,
            &bad_acl,
        ]);
        patch.push(&mut rest);
        self.attempt_in(context, Query::Create, Effect::Grows, cx, &rest).await
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
        let context = self.context(cx);
        let mut seen = None;
        for _ in 0..LOOKS_MAX {
            let parts = self.set_attr_of(&context, cx, request, seen.as_ref()).await?;
            if let Some(shown) = parts.seen()? {
                seen = Some(shown);
                continue;
            }
            let change = parts.change("inode was", "inode")?;
            if !parts.has("inode was") {
                return Ok(Applied { value: change, commit: self.last_commit() });
            }
            self.looks.forget(cx.share, request.inode);
            self.changed(cx.share, &[request.inode]);
            return Ok(self.applied(change));
        }
        Err(StoreError::Raced)
    }

    /// One attempt, on an inode that looks like `seen`, where its list has to change with its mode.
    async fn set_attr_of(
        &self,
        context: &Context,
        cx: &OpContext<'_>,
        request: &SetAttrRequest,
        seen: Option<&Seen>,
    ) -> StoreResult<Parts> {
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
        let asked = super::look::asked(&request.patch)?;
        let worked_out = match seen {
            Some(seen) => Some(seen.changed(&request.patch)?),
            None => None,
        };
        let (seen_acl, seen_mode) =
            (seen.and_then(|seen| seen.acl.as_deref()), seen.map(|seen| i32::from(seen.inode.mode)));
        let (new_mode, new_list) =
            (worked_out.as_ref().map(|(bits, _)| i32::from(*bits)), worked_out.and_then(|(_, list)| list));
        let has_list = new_list.is_some();
        let list = asked.list.as_ref().or(new_list.as_ref());
        let patch =
            PatchColumns::of(&request.patch).with_list(list.map(|acl| acl.as_ref()), asked.list.is_some());
        let mut rest: Vec<Param<'_>> = Vec::with_capacity(40);
        rest.extend::<[Param<'_>; 15]>([
            &inode,
            &guard,
            &number,
            &nanos,
            &bad_size,
            &bad_owner,
            &bad_dos,
            &asked.bad,
            &seen_acl,
            &seen_mode,
            &new_mode,
            &has_list,
            &asked.bits,
            &asked.trivial_file,
            &asked.trivial_dir,
        ]);
        patch.push(&mut rest);
        self.attempt_in(context, Query::SetAttr, Effect::Changes, cx, &rest).await
    }
}

fn owners(patch: &AttrPatch) -> Option<&'static str> {
    let identities = [patch.owner.as_set(), patch.group.as_set()];
    (!identities.into_iter().flatten().all(storable)).then_some("InvalidOwner")
}

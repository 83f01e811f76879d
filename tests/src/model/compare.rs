//! Asks both sides and compares what they answer.

use super::asks::{Ask, Existing, Guarded, Kind};
use crate::sim::World;
use bytes::Bytes;
use dfs_engine::Engine;
use dfs_journal::Reserve;
use dfs_model::{
    Actor, AttrMask, AttrPatch, Attrs, ClientRef, Cookie, Credentials, DeviceNumber, FsError, Guard,
    Identity, InodeId, InodeKind, Patch, PreAttrs, Rights, Target, TimePatch, Timestamp, Wcc,
};
use dfs_stack::FlushScope;
use dfs_vfs::*;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::HashSet;
use std::sync::Arc;

/// The two sides and the files that both know.
pub struct Pair {
    opened: Arc<Engine>,
    engine: Arc<dyn Vfs>,
    model: Arc<dyn Vfs>,
    users: Vec<RequestContext>,
    /// Inode of each file on either side, with its kind.
    files: Vec<(InodeId, InodeId, InodeKind)>,
}

/// What is compared of an answer.
type Seen = Result<Vec<String>, String>;

fn seen_attrs(attrs: &Attrs) -> String {
    format!(
        "{:?} {:o} nlink {} {:?} {:?} size {} a {} m {} c {} b {} dev {:?} {:?}",
        attrs.kind,
        attrs.mode,
        attrs.nlink,
        attrs.owner,
        attrs.group,
        attrs.size,
        seen_time(attrs.atime),
        seen_time(attrs.mtime),
        seen_time(attrs.ctime),
        seen_time(attrs.btime),
        attrs.device,
        attrs.acl
    )
}

fn seen_time(time: Timestamp) -> String {
    format!("{}.{:09}", time.secs % 100_000, time.nanos)
}

fn seen_pre(pre: &PreAttrs) -> String {
    format!("pre {} m {} c {}", pre.size, seen_time(pre.mtime), seen_time(pre.ctime))
}

fn seen_wcc(wcc: &Wcc) -> String {
    let moved = if wcc.pre.change < wcc.post.change { "changed" } else { "same" };
    format!("{} {} {moved}", seen_pre(&wcc.pre), seen_attrs(&wcc.post))
}

fn seen_failed(failed: &Failed) -> String {
    let shown: Vec<String> =
        failed.wcc.iter().map(|wcc| wcc.as_ref().map_or("-".to_owned(), seen_wcc)).collect();
    let error = match &failed.error {
        FsError::IsSymlink { .. } => "IsSymlink".to_owned(),
        other => format!("{other:?}"),
    };
    format!("{error} {}", shown.join(" | "))
}

impl Pair {
    pub fn new(world: &World) -> Pair {
        let (engine, model) = (world.engine().clone(), world.model());
        let files = vec![(engine.root(), model.root(), InodeKind::Directory)];
        let who = [(0, 0, vec![0]), (1000, 100, vec![100]), (1001, 100, vec![100, 200]), (2000, 300, vec![])];
        let users =
            who.iter().map(|(uid, gid, groups)| user(world, Credentials::unix(*uid, *gid, groups))).collect();
        Pair { opened: world.engine().clone(), engine, model, users, files }
    }

    pub fn some_file(&self, rng: &mut StdRng) -> usize {
        rng.random_range(0..self.files.len())
    }

    pub fn some_dir(&self, rng: &mut StdRng) -> usize {
        let dirs: Vec<usize> =
            (0..self.files.len()).filter(|at| self.files[*at].2 == InodeKind::Directory).collect();
        if rng.random_bool(0.4) { 0 } else { dirs[rng.random_range(0..dirs.len())] }
    }

    /// Asks both. *Errors:* how their answers differ.
    pub async fn both(&mut self, ask: &Ask) -> Result<(), String> {
        let (engine, model) = (self.engine.clone(), self.model.clone());
        let ((engine, made_engine), (model, made_model)) = match ask {
            // A clone takes time: before it for what is to be drained, which is nothing here, and after it to be durable.
            Ask::Copy { .. } => {
                let flushed = self.opened.stack().flush(FlushScope::All).await;
                flushed.map_err(|error| format!("flush: {error}"))?;
                // Nor shall the journal roll for its record.
                let client = ClientRef::Anonymous;
                let room = self.opened.journal().reserve(&client, 4096, Reserve::Control, None).await;
                drop(room.map_err(|error| format!("reserve: {error}"))?);
                let answer = self.one(&model, ask, |file| file.1).await;
                (self.one(&engine, ask, |file| file.0).await, answer)
            }
            _ => {
                let answer = self.one(&engine, ask, |file| file.0).await;
                (answer, self.one(&model, ask, |file| file.1).await)
            }
        };
        if engine != model {
            return Err(format!("\n  engine {engine:#?}\n  model  {model:#?}"));
        }
        if let (Some(one), Some(two)) = (made_engine, made_model)
            && !self.files.iter().any(|file| file.0 == one.0)
        {
            self.files.push((one.0, two.0, one.1));
        }
        Ok(())
    }

    async fn one(
        &self,
        vfs: &Arc<dyn Vfs>,
        ask: &Ask,
        side: impl Fn(&(InodeId, InodeId, InodeKind)) -> InodeId,
    ) -> (Seen, Option<(InodeId, InodeKind)>) {
        let id = |file: &usize| side(&self.files[*file]);
        let mut made = None;
        let answer = if ask.is_about_names() {
            self.ask_names(vfs, ask, &id, &mut made).await
        } else {
            self.ask_data(vfs, ask, &id).await
        };
        (answer.map_err(|failed| seen_failed(&failed)), made)
    }

    /// Asks about names.
    async fn ask_names(
        &self,
        vfs: &Arc<dyn Vfs>,
        ask: &Ask,
        id: &impl Fn(&usize) -> InodeId,
        made: &mut Option<(InodeId, InodeKind)>,
    ) -> VfsResult<Vec<String>> {
        match ask {
            Ask::Lookup { who, dir, name } => {
                let steps = vec![WalkStep::Down(name.clone())];
                let request = Walk { dir: id(dir), steps, case: NameCase::Exact, want: AttrMask::BASIC };
                let walked = vfs.walk(&self.users[*who], request).await?;
                let last = walked.steps.last().unwrap();
                *made = Some((last.inode, last.attrs.kind));
                Ok(vec![seen_attrs(&walked.dir), seen_attrs(&last.attrs)])
            }
            Ask::Create { who, dir, .. } => {
                let reply = vfs.create(&self.users[*who], create(ask, id(dir))).await?;
                *made = Some((reply.inode, reply.attrs.kind));
                Ok(vec![format!("existed {}", reply.existed), seen_attrs(&reply.attrs), seen_wcc(&reply.dir)])
            }
            Ask::Link { who, file, dir, name } => {
                let request = Link { inode: id(file), dir: id(dir), name: name.clone(), replace: false };
                let reply = vfs.link(&self.users[*who], request).await?;
                Ok(vec![seen_wcc(&reply.inode), seen_wcc(&reply.dir)])
            }
            Ask::Remove { who, dir, name, what } => {
                let what =
                    [RemoveWhat::NonDirectory, RemoveWhat::Directory, RemoveWhat::Any][usize::from(*what)];
                let request = Remove { dir: id(dir), name: name.clone(), what, expect: None };
                let reply = vfs.remove(&self.users[*who], request).await?;
                Ok(vec![seen_wcc(&reply.dir), format!("nlink {}", reply.nlink)])
            }
            Ask::Rename { who, from, from_name, to, to_name } => {
                let request = Rename {
                    from_dir: id(from),
                    from_name: from_name.clone(),
                    open: None,
                    to_dir: id(to),
                    to_name: to_name.clone(),
                    replace: RenameReplace::Posix,
                    case: NameCase::Exact,
                    parent_lease_keys: [None, None],
                };
                let reply = vfs.rename(&self.users[*who], request).await?;
                Ok(vec![seen_wcc(&reply.from_dir), seen_wcc(&reply.to_dir), format!("moved {}", reply.moved)])
            }
            Ask::ReadLink { who, file } => {
                let reply = vfs.read_link(&self.users[*who], id(file)).await?;
                Ok(vec![format!("{:?}", reply.target), seen_attrs(&reply.attrs)])
            }
            Ask::ReadDir { who, dir, entries } => {
                list(vfs, &self.users[*who], id(dir), *entries).await.map(|listed| {
                    let shown =
                        listed.into_iter().map(|(name, attrs)| format!("{name} {}", seen_attrs(&attrs)));
                    shown.collect()
                })
            }
            _ => panic!("not a question about names"),
        }
    }

    /// Asks about attributes and bytes.
    async fn ask_data(
        &self,
        vfs: &Arc<dyn Vfs>,
        ask: &Ask,
        id: &impl Fn(&usize) -> InodeId,
    ) -> VfsResult<Vec<String>> {
        match ask {
            Ask::GetAttr { who, file } => {
                let request = GetAttr { target: Target::Inode(id(file)), want: AttrMask::BASIC };
                Ok(vec![seen_attrs(&vfs.get_attr(&self.users[*who], request).await?)])
            }
            Ask::Access { who, file, rights } => {
                let request = Access { target: Target::Inode(id(file)), rights: Rights(*rights) };
                let reply = vfs.access(&self.users[*who], request).await?;
                Ok(vec![format!("{:x}", reply.granted.0), seen_attrs(&reply.attrs)])
            }
            Ask::SetAttr { who, .. } => {
                let request = self.set_attr(vfs, ask, id).await?;
                Ok(vec![seen_wcc(&vfs.set_attr(&self.users[*who], request).await?.wcc)])
            }
            Ask::SetAcl { who, file, acl, mode } => {
                let patch = AttrPatch {
                    acl: Patch::Set(Arc::new(acl.clone())),
                    mode: mode.map_or(Patch::Keep, Patch::Set),
                    ..AttrPatch::default()
                };
                let (target, guard) = (Target::Inode(id(file)), Guard::None);
                let request = SetAttr { target, patch, guard, rule: AccessRule::Stateless };
                Ok(vec![seen_wcc(&vfs.set_attr(&self.users[*who], request).await?.wcc)])
            }
            Ask::SetSecurity { who, file, parts, acl, uid, gid } => {
                let descriptor = SecurityDescriptor {
                    owner: Some(Identity::Uid(*uid)),
                    group: Some(Identity::Gid(*gid)),
                    acl: Some(acl.clone()),
                };
                let request = SetSecurity {
                    target: Target::Inode(id(file)),
                    parts: security_parts(*parts),
                    descriptor,
                };
                Ok(vec![seen_wcc(&vfs.set_security(&self.users[*who], request).await?.wcc)])
            }
            Ask::GetSecurity { who, file, parts } => {
                let request = GetSecurity { target: Target::Inode(id(file)), parts: security_parts(*parts) };
                Ok(vec![format!("{:?}", vfs.get_security(&self.users[*who], request).await?)])
            }
            Ask::XattrSet { .. } | Ask::XattrGet { .. } | Ask::XattrList { .. } => {
                self.ask_xattrs(vfs, ask, id).await
            }
            Ask::Read { who, file, offset, len } => {
                let (target, rule) = (Target::Inode(id(file)), AccessRule::Stateless);
                let request = Read { target, offset: *offset, len: *len, rule };
                let reply = vfs.read(&self.users[*who], request).await?;
                let bytes = reply.data.concat();
                assert_eq!(bytes.len(), reply.len);
                let hash = xxhash_rust::xxh3::xxh3_64(&bytes);
                Ok(vec![format!("{} {hash:x} eof {}", bytes.len(), reply.eof), seen_attrs(&reply.attrs)])
            }
            Ask::Write { who, file, offset, len, fill, stable } => {
                let request = Write {
                    target: Target::Inode(id(file)),
                    at: WriteAt::Offset(*offset),
                    payload: Bytes::from(vec![*fill; *len]),
                    stability: if *stable { Stability::FileSync } else { Stability::Unstable },
                    rule: AccessRule::Stateless,
                };
                let reply = vfs.write(&self.users[*who], request).await?;
                Ok(vec![format!("{} {:?}", reply.count, reply.stability), seen_wcc(&reply.wcc)])
            }
            Ask::Commit { who, file } => {
                let request = Commit { target: Target::Inode(id(file)), offset: 0, len: 0 };
                Ok(vec![seen_wcc(&vfs.commit(&self.users[*who], request).await?.wcc)])
            }
            Ask::Copy { .. } => self.ask_copy(vfs, ask, id).await,
            _ => panic!("not a question about attributes or bytes"),
        }
    }

    /// Asks for a clone or a copy.
    async fn ask_copy(
        &self,
        vfs: &Arc<dyn Vfs>,
        ask: &Ask,
        id: &impl Fn(&usize) -> InodeId,
    ) -> VfsResult<Vec<String>> {
        let Ask::Copy { who, from, to, blocks, odd, len, how } = ask else { panic!("not a copy") };
        let unit = u64::from(vfs.fs_info(&self.users[*who]).await?.clone_unit);
        let request = CopyRange {
            from: Target::Inode(id(from)),
            from_offset: blocks.0 * unit + odd,
            to: Target::Inode(id(to)),
            to_offset: blocks.1 * unit,
            len: *len,
            how: [CopyHow::Replace, CopyHow::Clone, CopyHow::Copy][usize::from(*how)],
            resume: None,
        };
        let reply = vfs.copy(&self.users[*who], request).await?;
        Ok(vec![format!("{}", reply.copied), seen_wcc(&reply.wcc)])
    }

    /// Asks about extended attributes.
    async fn ask_xattrs(
        &self,
        vfs: &Arc<dyn Vfs>,
        ask: &Ask,
        id: &impl Fn(&usize) -> InodeId,
    ) -> VfsResult<Vec<String>> {
        let space = |any_case: &bool| if *any_case { XattrSpace::Ea } else { XattrSpace::User };
        match ask {
            Ask::XattrSet { who, file, values, mode, any_case } => {
                let mode = match mode {
                    0 => XattrMode::Create,
                    1 => XattrMode::Replace,
                    _ => XattrMode::Either,
                };
                let values = values.iter().map(|(name, len)| {
                    (Bytes::from_static(name.as_bytes()), len.map(|len| Bytes::from(vec![len as u8; len])))
                });
                let target = Target::Inode(id(file));
                let request = XattrSet { target, space: space(any_case), values: values.collect(), mode };
                Ok(vec![seen_wcc(&vfs.xattr_set(&self.users[*who], request).await?.wcc)])
            }
            Ask::XattrGet { who, file, names, any_case } => {
                let names = names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect();
                let request = XattrGet { target: Target::Inode(id(file)), space: space(any_case), names };
                let found = vfs.xattr_get(&self.users[*who], request).await?;
                Ok(found.iter().map(|(name, value)| format!("{name:?} {value:?}")).collect())
            }
            Ask::XattrList { who, file, bytes_max } => {
                let (target, space) = (Target::Inode(id(file)), XattrSpace::User);
                let request = XattrList { target, space, cookie: 0, bytes_max: *bytes_max };
                let page = vfs.xattr_list(&self.users[*who], request).await?;
                Ok(vec![format!("{:?} {} {}", page.names, page.cookie, page.end)])
            }
            _ => panic!("not a question about extended attributes"),
        }
    }

    async fn set_attr(
        &self,
        vfs: &Arc<dyn Vfs>,
        ask: &Ask,
        id: &impl Fn(&usize) -> InodeId,
    ) -> VfsResult<SetAttr> {
        let Ask::SetAttr { file, mode, uid, gid, size, mtime, guard, .. } = ask else {
            panic!("not a SetAttr")
        };
        let target = Target::Inode(id(file));
        let ctime =
            vfs.get_attr(&self.users[0], GetAttr { target, want: AttrMask::BASIC }).await?.ctime.as_nfs3();
        let patch = AttrPatch {
            mode: mode.map_or(Patch::Keep, Patch::Set),
            owner: uid.map_or(Patch::Keep, |uid| Patch::Set(Identity::Uid(uid))),
            group: gid.map_or(Patch::Keep, |gid| Patch::Set(Identity::Gid(gid))),
            size: size.map_or(Patch::Keep, Patch::Set),
            mtime: match mtime {
                None => TimePatch::Keep,
                Some(None) => TimePatch::ServerNow,
                Some(Some(at)) => TimePatch::Set(*at),
            },
            ..AttrPatch::default()
        };
        let guard = match guard {
            Guarded::No => Guard::None,
            Guarded::Right => Guard::CtimeAs3(ctime.0, ctime.1),
            Guarded::Wrong => Guard::CtimeAs3(ctime.0 ^ 1, ctime.1),
        };
        Ok(SetAttr { target, patch, guard, rule: AccessRule::Stateless })
    }

    /// Walks both trees and compares all of them.
    pub async fn same_trees(&self) -> Result<(), String> {
        let engine = tree(&self.engine, &self.users[0]).await?;
        let model = tree(&self.model, &self.users[0]).await?;
        if engine == model {
            Ok(())
        } else {
            Err(format!("trees differ:\n  engine {engine:#?}\n  model {model:#?}"))
        }
    }
}

fn security_parts(bits: u8) -> SecurityParts {
    SecurityParts { owner: bits & 1 != 0, group: bits & 2 != 0, dacl: bits & 4 != 0, sacl: bits & 8 != 0 }
}

fn user(world: &World, credentials: Credentials) -> RequestContext {
    let actor = Actor::nfs3(std::net::IpAddr::from([10, 0, 0, credentials.uid as u8]));
    RequestContext { credentials: Arc::new(credentials), actor, ..world.root_context() }
}

fn create(ask: &Ask, dir: InodeId) -> Create {
    let Ask::Create { name, kind, existing, mode, truncate, .. } = ask else { panic!("not a Create") };
    let kind = match kind {
        Kind::File => NewKind::File,
        Kind::Directory => NewKind::Directory,
        Kind::Symlink => NewKind::Symlink(Bytes::from_static(b"../target")),
        Kind::Fifo => NewKind::Fifo,
        Kind::Device => NewKind::CharDevice(DeviceNumber { major: 1, minor: 3 }),
    };
    let existing = match existing {
        Existing::Unchecked => CreateExisting::Unchecked,
        Existing::Guarded => CreateExisting::Guarded,
        Existing::Exclusive(verifier) => CreateExisting::Exclusive([*verifier; 8]),
    };
    let attrs = AttrPatch {
        mode: mode.map_or(Patch::Keep, Patch::Set),
        size: if *truncate { Patch::Set(0) } else { Patch::Keep },
        ..AttrPatch::default()
    };
    Create { dir, name: name.clone(), kind, existing, attrs }
}

/// A whole listing, in pages, with the rules of cookies tested on the way.
async fn list(
    vfs: &Arc<dyn Vfs>,
    cx: &RequestContext,
    dir: InodeId,
    entries: usize,
) -> VfsResult<Vec<(String, Attrs)>> {
    let mut listed = Vec::new();
    let (mut cookie, mut verifier) = (Cookie::START, DirVerifier(0));
    let mut seen = HashSet::new();
    loop {
        let request = ReadDir {
            dir: Target::Inode(dir),
            cookie,
            verifier,
            want: Some(AttrMask::BASIC),
            handles: true,
            real_only: false,
            bytes_max: usize::MAX,
            entries_max: entries,
            cost: &|_| 1,
            pattern: None,
        };
        let page = vfs.read_dir(cx, request).await?;
        for entry in page.entries {
            assert!(entry.cookie > cookie, "cookies grow");
            cookie = entry.cookie;
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            assert!(seen.insert(name.clone()), "{name} is listed twice");
            listed.push((name, entry.attrs.unwrap()?));
        }
        verifier = page.verifier;
        if page.end {
            return Ok(listed);
        }
    }
}

async fn tree(vfs: &Arc<dyn Vfs>, cx: &RequestContext) -> Result<Vec<String>, String> {
    let mut shown = Vec::new();
    let mut todo = vec![(String::new(), vfs.root())];
    while let Some((path, dir)) = todo.pop() {
        let listed =
            list(vfs, cx, dir, 100).await.map_err(|failed| format!("listing {path}: {}", failed.error))?;
        for (name, attrs) in listed {
            shown.push(format!("{path}/{name} {}", seen_attrs(&attrs)));
            if attrs.kind == InodeKind::Directory && name != "." && name != ".." {
                todo.push((format!("{path}/{name}"), attrs.inode));
            }
            if attrs.kind == InodeKind::File {
                let request = Read {
                    target: Target::Inode(attrs.inode),
                    offset: 0,
                    len: attrs.size as u32,
                    rule: AccessRule::Stateless,
                };
                let reply = vfs
                    .read(cx, request)
                    .await
                    .map_err(|failed| format!("reading {path}/{name}: {}", failed.error))?;
                shown.push(format!("  {:x}", xxhash_rust::xxh3::xxh3_64(&reply.data.concat())));
            }
        }
    }
    shown.sort();
    Ok(shown)
}

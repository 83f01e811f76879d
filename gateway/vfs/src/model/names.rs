//! Names: create, link, remove, rename, and listings.

use super::ModelVfs;
use super::tree::{Node, Tree};
use crate::*;
use bytes::Bytes;
use dfs_model::acl::Heir;
use dfs_model::acl::apply::Newborn;
use dfs_model::inode::mode;
use dfs_model::{
    AclMode, AttrPatch, Attrs, Cookie, Credentials, FsError, Identity, InodeId, InodeKind, Name, Patch,
    Rights, Timestamp, Wcc, access, acl,
};

/// Most links of one inode.
const LINKS_MAX: u32 = 65_000;

fn add_right(kind: InodeKind) -> Rights {
    let add = if kind == InodeKind::Directory { Rights::ADD_SUBDIRECTORY } else { Rights::ADD_FILE };
    add.and(Rights::EXECUTE)
}

impl ModelVfs {
    pub(super) fn create_now(&self, cx: &RequestContext, request: Create) -> VfsResult<CreateReply> {
        let now = self.clock.wall();
        let mut tree = self.tree.lock();
        let before = tree.attrs(request.dir)?;
        let done = create(&mut tree, cx, &request, now);
        let after = tree.attrs(request.dir)?;
        match done {
            Ok((inode, existed)) => {
                let attrs = tree.attrs(inode)?;
                Ok(CreateReply { inode, attrs, existed, dir: Wcc { pre: before.pre(), post: after } })
            }
            Err(error) => Err(Failed::with(error, Some(Wcc::unchanged(after)))),
        }
    }

    pub(super) fn link_now(&self, cx: &RequestContext, request: &Link) -> VfsResult<LinkReply> {
        let now = self.clock.wall();
        let mut tree = self.tree.lock();
        let (file, dir) = (tree.attrs(request.inode), tree.attrs(request.dir));
        let done = link(&mut tree, &cx.credentials, request, now);
        match (done, file, dir) {
            (Ok(()), Ok(file), Ok(dir)) => Ok(LinkReply {
                inode: Wcc { pre: file.pre(), post: tree.attrs(request.inode)? },
                dir: Wcc { pre: dir.pre(), post: tree.attrs(request.dir)? },
            }),
            (done, file, dir) => {
                let error = done.err().unwrap_or(FsError::StaleHandle);
                Err(Failed::with_two(error, file.ok().map(Wcc::unchanged), dir.ok().map(Wcc::unchanged)))
            }
        }
    }

    pub(super) fn remove_now(&self, cx: &RequestContext, request: &Remove) -> VfsResult<RemoveReply> {
        let now = self.clock.wall();
        let mut tree = self.tree.lock();
        let before = tree.attrs(request.dir)?;
        match remove(&mut tree, &cx.credentials, request, now) {
            Ok(nlink) => {
                let dir = Wcc { pre: before.pre(), post: tree.attrs(request.dir)? };
                Ok(RemoveReply { dir, nlink, orphaned: false })
            }
            Err(error) => Err(Failed::with(error, Some(Wcc::unchanged(before)))),
        }
    }

    pub(super) fn rename_now(&self, cx: &RequestContext, request: &Rename) -> VfsResult<RenameReply> {
        let now = self.clock.wall();
        let mut tree = self.tree.lock();
        let (from, to) = (tree.attrs(request.from_dir), tree.attrs(request.to_dir));
        match (rename(&mut tree, &cx.credentials, request, now), from, to) {
            (Ok((moved, replaced)), Ok(from), Ok(to)) => Ok(RenameReply {
                from_dir: Wcc { pre: from.pre(), post: tree.attrs(request.from_dir)? },
                to_dir: Wcc { pre: to.pre(), post: tree.attrs(request.to_dir)? },
                moved,
                replaced,
            }),
            (done, from, to) => {
                let error = done.err().unwrap_or(FsError::StaleHandle);
                Err(Failed::with_two(error, from.ok().map(Wcc::unchanged), to.ok().map(Wcc::unchanged)))
            }
        }
    }

    pub(super) fn read_dir_now(&self, cx: &RequestContext, request: &ReadDir<'_>) -> VfsResult<ReadDirReply> {
        let tree = self.tree.lock();
        let dir = super::attributes::stateless(request.dir)?;
        let node = tree.node(dir)?;
        let attrs = node.attrs();
        let refuse = |error| Failed::with(error, Some(Wcc::unchanged(attrs.clone())));
        if !node.row.is_dir() {
            return Err(refuse(FsError::NotDirectory));
        }
        if !access::granted(&node.row, &cx.credentials).has(Rights::LIST_DIRECTORY) {
            return Err(refuse(FsError::AccessDenied));
        }
        if request.pattern.is_some() {
            return Err(refuse(FsError::NotSupported));
        }
        let high = node.next_cookie.saturating_sub(1).max(Cookie::FIRST.0);
        let up_to = match request.verifier.0 {
            0 => high,
            seen if seen > high => return Err(refuse(FsError::BadCookie)),
            seen => seen,
        };
        let (entries, end) = page(self, &tree, node, request, up_to).map_err(refuse)?;
        let first = request.cookie == Cookie::START;
        Ok(ReadDirReply { entries, end, first, verifier: DirVerifier(up_to), dir: attrs })
    }
}

fn page(
    vfs: &ModelVfs,
    tree: &Tree,
    node: &Node,
    request: &ReadDir<'_>,
    up_to: u64,
) -> Result<(Vec<DirEntry>, bool), FsError> {
    let mut all: Vec<(Cookie, Bytes, InodeId)> =
        node.entries.iter().map(|(name, (cookie, inode))| (*cookie, name.to_bytes(), *inode)).collect();
    all.retain(|(cookie, ..)| cookie.0 <= up_to);
    if !request.real_only {
        all.push((Cookie::DOT, Bytes::from_static(b"."), node.row.id));
        all.push((Cookie::DOT_DOT, Bytes::from_static(b".."), node.row.parent));
    }
    all.retain(|(cookie, ..)| *cookie > request.cookie);
    all.sort_by_key(|(cookie, ..)| *cookie);
    let mut left = request.bytes_max;
    let mut entries = Vec::new();
    for (cookie, name, inode) in all {
        let attrs = tree.attrs(inode)?;
        let handle = request.handles.then(|| vfs.handle_of(&attrs));
        let entry = DirEntry {
            name,
            inode,
            kind: attrs.kind,
            cookie,
            attrs: request.want.map(|_| Ok(attrs)),
            handle,
        };
        let cost = (request.cost)(&entry);
        if cost > left || entries.len() >= request.entries_max {
            return if entries.is_empty() { Err(FsError::BufferTooSmall) } else { Ok((entries, false)) };
        }
        left -= cost;
        entries.push(entry);
    }
    Ok((entries, true))
}

fn create(
    tree: &mut Tree,
    cx: &RequestContext,
    request: &Create,
    now: Timestamp,
) -> Result<(InodeId, bool), FsError> {
    let who = &*cx.credentials;
    let kind = request.kind.kind();
    if request.existing != CreateExisting::Guarded && kind != InodeKind::File {
        return Err(FsError::InvalidArgument);
    }
    let dir = tree.searchable(request.dir, who)?;
    if let Some((_, inode)) = dir.entries.get(&request.name) {
        return create_found(tree, cx, request, *inode, now);
    }
    access::check(&dir.row, who, add_right(kind))?;
    if matches!(kind, InodeKind::BlockDevice | InodeKind::CharDevice) && !who.is_root() {
        return Err(FsError::NotPermitted);
    }
    if kind == InodeKind::Directory && dir.row.nlink >= LINKS_MAX {
        return Err(FsError::TooManyLinks);
    }
    let dir = dir.row.clone();
    let id = tree.new_inode();
    let mut row = tree.blank(id, kind, now);
    initial(&mut row, who, &request.attrs, &dir, now)?;
    match &request.kind {
        NewKind::Symlink(target) => {
            row.size = target.len() as u64;
            row.mode = 0o777;
            row.link_target = Some(target.clone());
        }
        NewKind::BlockDevice(device) | NewKind::CharDevice(device) => row.device = *device,
        NewKind::Directory => {
            row.nlink = 2;
            row.parent = request.dir;
        }
        NewKind::File => row.size = request.attrs.size.as_set().copied().unwrap_or(0),
        NewKind::Fifo | NewKind::Socket => {}
    }
    if let CreateExisting::Exclusive(verifier) = request.existing {
        row.create_verifier = Some(verifier);
    }
    tree.nodes.insert(id, Node::of(row));
    enter(tree, request.dir, &request.name, id)?;
    if kind == InodeKind::Directory {
        tree.node_mut(request.dir)?.row.nlink += 1;
    }
    tree.touch(request.dir, now, true)?;
    Ok((id, false))
}

fn create_found(
    tree: &mut Tree,
    cx: &RequestContext,
    request: &Create,
    inode: InodeId,
    now: Timestamp,
) -> Result<(InodeId, bool), FsError> {
    let row = &tree.node(inode)?.row;
    match request.existing {
        CreateExisting::Guarded => Err(FsError::Exists),
        CreateExisting::Exclusive(verifier) if row.create_verifier == Some(verifier) => Ok((inode, true)),
        CreateExisting::Exclusive(_) => Err(FsError::Exists),
        CreateExisting::Unchecked if row.kind != InodeKind::File => Err(FsError::Exists),
        CreateExisting::Unchecked if request.attrs.size == Patch::Set(0) => {
            super::attributes::may_write(row, &cx.credentials, AccessRule::Stateless)?;
            tree.touch(inode, now, true)?;
            let node = tree.node_mut(inode)?;
            node.row.size = 0;
            node.bytes.truncate(0);
            super::attributes::drop_privilege_bits(&mut node.row, &cx.credentials);
            Ok((inode, true))
        }
        CreateExisting::Unchecked => Ok((inode, true)),
    }
}

fn initial(
    row: &mut dfs_model::Inode,
    who: &Credentials,
    attrs: &AttrPatch,
    dir: &dfs_model::Inode,
    now: Timestamp,
) -> Result<(), FsError> {
    let inherits = dir.mode & mode::SGID != 0;
    row.owner = Identity::Uid(who.uid);
    row.group = if inherits { dir.group.clone() } else { Identity::Gid(who.gid) };
    if let Some(owner) = attrs.owner.as_set() {
        if *owner != row.owner && !who.is_root() {
            return Err(FsError::NotPermitted);
        }
        row.owner = owner.clone();
    }
    if let Some(group) = attrs.group.as_set() {
        let member = matches!(group, Identity::Gid(gid) if who.in_group(*gid));
        if *group != row.group && !who.is_root() && !member {
            return Err(FsError::NotPermitted);
        }
        row.group = group.clone();
    }
    let new = Newborn {
        kind: row.kind,
        heir: Heir { is_dir: row.is_dir(), owner: &row.owner, group: &row.group },
        parent: dir.acl.as_ref(),
        asked: attrs,
        default_mode: if row.is_dir() { 0o755 } else { 0o644 },
        umask: who.umask.unwrap_or(0),
    };
    (row.mode, row.acl) = acl::apply::newborn(new, AclMode::default())?;
    if inherits && row.is_dir() {
        row.mode |= mode::SGID;
    }
    let in_group = matches!(row.group, Identity::Gid(gid) if who.in_group(gid));
    if !row.is_dir() && !who.is_root() && !in_group {
        row.mode &= !mode::SGID;
    }
    row.atime = attrs.atime.resolve(now).unwrap_or(row.atime);
    row.mtime = attrs.mtime.resolve(now).unwrap_or(row.mtime);
    Ok(())
}

fn enter(tree: &mut Tree, dir: InodeId, name: &Name, inode: InodeId) -> Result<(), FsError> {
    let node = tree.node_mut(dir)?;
    let cookie = Cookie(node.next_cookie);
    node.next_cookie += 1;
    node.entries.insert(name.clone(), (cookie, inode));
    Ok(())
}

fn link(tree: &mut Tree, who: &Credentials, request: &Link, now: Timestamp) -> Result<(), FsError> {
    if request.replace {
        return Err(FsError::NotSupported);
    }
    tree.node(request.inode)?;
    let dir = tree.searchable(request.dir, who)?;
    let taken = dir.entries.contains_key(&request.name);
    let dir_row = dir.row.clone();
    let row = &tree.node(request.inode)?.row;
    if taken {
        return Err(FsError::Exists);
    }
    access::check(&dir_row, who, Rights::ADD_FILE)?;
    if row.is_dir() {
        return Err(FsError::NotPermitted);
    }
    if row.nlink >= LINKS_MAX {
        return Err(FsError::TooManyLinks);
    }
    enter(tree, request.dir, &request.name, request.inode)?;
    tree.node_mut(request.inode)?.row.nlink += 1;
    tree.touch(request.inode, now, false)?;
    tree.touch(request.dir, now, true)
}

/// One name less; the inode goes with its last one.
fn drop_name(tree: &mut Tree, inode: InodeId, now: Timestamp) -> Result<u32, FsError> {
    let is_dir = tree.node(inode)?.row.is_dir();
    let nlink = if is_dir { 0 } else { tree.node(inode)?.row.nlink - 1 };
    if nlink == 0 {
        tree.nodes.remove(&inode);
        return Ok(0);
    }
    tree.node_mut(inode)?.row.nlink = nlink;
    tree.touch(inode, now, false)?;
    Ok(nlink)
}

fn remove(tree: &mut Tree, who: &Credentials, request: &Remove, now: Timestamp) -> Result<u32, FsError> {
    let dir = tree.searchable(request.dir, who)?;
    let (_, victim) = *dir.entries.get(&request.name).ok_or(FsError::NotFound)?;
    if request.expect.is_some_and(|expect| expect != victim) {
        return Err(FsError::NotFound);
    }
    let victim_node = tree.node(victim)?;
    access::check_delete(&dir.row, &victim_node.row, who)?;
    match (request.what, victim_node.row.is_dir()) {
        (RemoveWhat::NonDirectory, true) => return Err(FsError::IsDirectory),
        (RemoveWhat::Directory, false) => return Err(FsError::NotDirectory),
        (_, true) if !victim_node.entries.is_empty() => return Err(FsError::NotEmpty),
        _ => {}
    }
    let was_dir = victim_node.row.is_dir();
    tree.node_mut(request.dir)?.entries.remove(&request.name);
    if was_dir {
        tree.node_mut(request.dir)?.row.nlink -= 1;
    }
    let nlink = drop_name(tree, victim, now)?;
    tree.touch(request.dir, now, true)?;
    Ok(nlink)
}

fn rename(
    tree: &mut Tree,
    who: &Credentials,
    request: &Rename,
    now: Timestamp,
) -> Result<(bool, Option<InodeId>), FsError> {
    if !(tree.node(request.from_dir)?.row.is_dir() & tree.node(request.to_dir)?.row.is_dir()) {
        return Err(FsError::NotDirectory);
    }
    let from = tree.searchable(request.from_dir, who)?;
    let to = tree.searchable(request.to_dir, who)?;
    let (cookie, moved) = *from.entries.get(&request.from_name).ok_or(FsError::NotFound)?;
    let target = to.entries.get(&request.to_name).map(|(_, inode)| *inode);
    let moved_row = tree.node(moved)?.row.clone();
    if target == Some(moved) {
        return Ok((false, None));
    }
    if moved_row.is_dir() && tree.is_within(request.to_dir, moved) {
        return Err(FsError::InvalidArgument);
    }
    access::check_delete(&from.row, &moved_row, who)?;
    access::check(&to.row, who, add_right(moved_row.kind))?;
    let changes_parent = moved_row.is_dir() && request.from_dir != request.to_dir;
    if let Some(target) = target {
        let victim = tree.node(target)?;
        access::check_delete(&to.row, &victim.row, who)?;
        may_change_parent(&moved_row, who, changes_parent)?;
        match (moved_row.is_dir(), victim.row.is_dir()) {
            (true, false) => return Err(FsError::NotDirectory),
            (false, true) => return Err(FsError::IsDirectory),
            (true, true) if !victim.entries.is_empty() => return Err(FsError::NotEmpty),
            _ => {}
        }
    }
    may_change_parent(&moved_row, who, changes_parent)?;
    if changes_parent && to.row.nlink >= LINKS_MAX {
        return Err(FsError::TooManyLinks);
    }
    if let Some(target) = target {
        let was_dir = tree.node(target)?.row.is_dir();
        tree.node_mut(request.to_dir)?.entries.remove(&request.to_name);
        if was_dir {
            tree.node_mut(request.to_dir)?.row.nlink -= 1;
        }
        drop_name(tree, target, now)?;
    }
    tree.node_mut(request.from_dir)?.entries.remove(&request.from_name);
    if request.from_dir == request.to_dir {
        tree.node_mut(request.to_dir)?.entries.insert(request.to_name.clone(), (cookie, moved));
    } else {
        enter(tree, request.to_dir, &request.to_name, moved)?;
    }
    if changes_parent {
        tree.node_mut(request.from_dir)?.row.nlink -= 1;
        tree.node_mut(request.to_dir)?.row.nlink += 1;
        tree.node_mut(moved)?.row.parent = request.to_dir;
    }
    tree.touch(moved, now, false)?;
    tree.touch(request.from_dir, now, true)?;
    if request.from_dir != request.to_dir {
        tree.touch(request.to_dir, now, true)?;
    }
    Ok((true, target))
}

/// The `..` of a directory that changes its parent is written: POSIX asks for the right to.
fn may_change_parent(
    moved: &dfs_model::Inode,
    who: &Credentials,
    changes_parent: bool,
) -> Result<(), FsError> {
    if changes_parent { access::check(moved, who, Rights::ADD_SUBDIRECTORY) } else { Ok(()) }
}

/// Attributes of a root-to-leaf walk.
pub(super) fn walk(
    tree: &Tree,
    who: &Credentials,
    request: &Walk,
) -> Result<Vec<(InodeId, Option<Name>, Attrs)>, FsError> {
    let mut at = request.dir;
    let mut steps = Vec::new();
    for (index, step) in request.steps.iter().enumerate() {
        let last = index + 1 == request.steps.len();
        let node = tree.node(at)?;
        if node.row.kind == InodeKind::Symlink {
            let target = node.row.link_target.clone().unwrap_or_default();
            return Err(FsError::IsSymlink { target, rest: Vec::new() });
        }
        let dir = tree.searchable(at, who)?;
        let (next, name) = match step {
            WalkStep::Stay => (at, None),
            WalkStep::Up => (dir.row.parent, None),
            WalkStep::Down(name) => match dir.entries.get(name) {
                Some((_, inode)) => (*inode, Some(name.clone())),
                None if last => return Err(FsError::NotFound),
                None => return Err(FsError::PathNotFound { step: index }),
            },
        };
        steps.push((next, name, tree.attrs(next)?));
        at = next;
    }
    Ok(steps)
}

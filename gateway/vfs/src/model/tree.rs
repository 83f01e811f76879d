//! The state: inodes, directories, bytes; and the few moves that everything else is made of.

use super::bytes_of::FileBytes;
use dfs_model::{
    Attrs, Change, Cookie, Credentials, Epoch, FsError, Generation, Identity, Inode, InodeFlags, InodeId,
    InodeKind, Name, Rights, Seq, Timestamp, access,
};
use std::collections::BTreeMap;

/// An inode with what belongs to it.
pub(super) struct Node {
    pub row: Inode,
    pub bytes: FileBytes,
    pub xattrs: dfs_model::xattr::Xattrs,
    pub entries: BTreeMap<Name, (Cookie, InodeId)>,
    pub next_cookie: u64,
}

/// Everything.
pub(super) struct Tree {
    pub nodes: BTreeMap<InodeId, Node>,
    next_inode: u64,
    next_change: u64,
}

impl Tree {
    pub fn new(root: (u16, u32, u32), now: Timestamp) -> Tree {
        let mut tree = Tree { nodes: BTreeMap::new(), next_inode: InodeId::FIRST.0, next_change: 1 };
        let mut row = tree.blank(InodeId::ROOT, InodeKind::Directory, now);
        (row.mode, row.owner, row.group) = (root.0, Identity::Uid(root.1), Identity::Gid(root.2));
        row.nlink = 2;
        tree.nodes.insert(InodeId::ROOT, Node::of(row));
        tree
    }

    pub fn change(&mut self) -> Change {
        self.next_change += 1;
        Change::new(Epoch(1), self.next_change)
    }

    pub fn new_inode(&mut self) -> InodeId {
        self.next_inode += 1;
        InodeId(self.next_inode - 1)
    }

    /// A row with nothing but its times.
    pub fn blank(&mut self, id: InodeId, kind: InodeKind, now: Timestamp) -> Inode {
        let change = self.change();
        Inode {
            id,
            generation: Generation(1),
            kind,
            mode: 0,
            nlink: 1,
            owner: Identity::Uid(0),
            group: Identity::Gid(0),
            size: 0,
            allocated: 0,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            change,
            born: change,
            dos: 0,
            create_verifier: None,
            acl: None,
            parent: id,
            flags: InodeFlags::default(),
            link_target: None,
            device: Default::default(),
            flushed_seq: Seq::ZERO,
            mode_change: change,
            dos_change: change,
        }
    }

    pub fn node(&self, id: InodeId) -> Result<&Node, FsError> {
        self.nodes.get(&id).ok_or(FsError::StaleHandle)
    }

    pub fn node_mut(&mut self, id: InodeId) -> Result<&mut Node, FsError> {
        self.nodes.get_mut(&id).ok_or(FsError::StaleHandle)
    }

    /// Attributes now.
    pub fn attrs(&self, id: InodeId) -> Result<Attrs, FsError> {
        self.node(id).map(Node::attrs)
    }

    /// A directory that the caller may search.
    pub fn searchable(&self, id: InodeId, who: &Credentials) -> Result<&Node, FsError> {
        let node = self.node(id)?;
        if !node.row.is_dir() {
            return Err(FsError::NotDirectory);
        }
        access::check(&node.row, who, Rights::EXECUTE)?;
        Ok(node)
    }

    /// Marks an inode as changed now; with `contents` its mtime moves too.
    pub fn touch(&mut self, id: InodeId, now: Timestamp, contents: bool) -> Result<(), FsError> {
        let change = self.change();
        let row = &mut self.node_mut(id)?.row;
        let at = now.after(row.ctime);
        row.ctime = at;
        row.change = change;
        if contents {
            row.mtime = at;
        }
        Ok(())
    }

    /// Whether `id` is `below` or lies under it.
    pub fn is_within(&self, mut id: InodeId, below: InodeId) -> bool {
        loop {
            if id == below {
                return true;
            }
            match self.nodes.get(&id) {
                Some(node) if node.row.parent != id => id = node.row.parent,
                _ => return false,
            }
        }
    }
}

impl Node {
    pub fn of(row: Inode) -> Node {
        Node {
            row,
            bytes: FileBytes::default(),
            xattrs: BTreeMap::new(),
            entries: BTreeMap::new(),
            next_cookie: Cookie::FIRST.0,
        }
    }

    pub fn attrs(&self) -> Attrs {
        Attrs::of(&self.row)
    }
}

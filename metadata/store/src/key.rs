//! Keys of rows: order-preserving bytes, share first, so that a share is one range and a directory's listing another.
//!
//! `key = share id (16 bytes, big-endian) · table (1 byte) · suffix`, numbers in the suffix big-endian. Rows about shares
//! themselves live under the share id 0, which no share may have. The suffixes are drawn in the crate's README.

use dfs_model::{Cookie, Epoch, InodeId, PackId, ShareId, SnapshotId};

/// Which kind of row a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Under share 0: (share) → its record.
    Share = 0x01,
    /// Under share 0: (share) → its rows are being deleted.
    Doomed = 0x02,
    /// () → epoch and counters.
    Head = 0x10,
    /// (inode) → the inode.
    Inode = 0x20,
    /// (directory, name) → the dentry.
    Dentry = 0x21,
    /// (directory, cookie) → the dentry, with its name.
    DirCookie = 0x22,
    /// (directory, fold key, 0, cookie) → nothing.
    Fold = 0x23,
    /// (inode, directory, cookie) → nothing.
    Reverse = 0x24,
    /// (inode, offset) → an extent run.
    Extent = 0x28,
    /// (pack, inode, offset) → nothing; one per extent row.
    PackRef = 0x29,
    /// (pack) → the ledger's row.
    Pack = 0x2a,
    /// (inode) → nothing.
    Orphan = 0x2b,
    /// (hash) → an ACL and how many inodes name it.
    Acl = 0x2c,
    /// (inode, name) → the value of an extended attribute.
    Xattr = 0x2d,
    /// (subject) → what a user or group holds.
    Usage = 0x2e,
    /// (subject) → a quota.
    Quota = 0x2f,
    /// (client, slot) → outcome of a name operation.
    Replay = 0x30,
    /// (epoch) → the last n accepted of its journal.
    Ends = 0x31,
    /// (state table, key) → bytes of the claim table.
    State = 0x32,
    /// (snapshot) → the snapshot.
    Snapshot = 0x33,
    /// (table, suffix of a row, snapshot) → the row as of that snapshot and those before it down to the next such row.
    Retained = 0x34,
    /// (snapshot, table, suffix of a row) → nothing; one per row in `Retained`.
    RetainedOf = 0x35,
}

/// Bytes before the suffix.
pub const PREFIX_LEN: usize = 17;

/// Builds a key field by field.
pub struct KeyBuilder(Vec<u8>);

/// Starts a key.
pub fn key(share: ShareId, table: Table) -> KeyBuilder {
    let mut bytes = Vec::with_capacity(PREFIX_LEN + 24);
    bytes.extend_from_slice(&share.0.to_be_bytes());
    bytes.push(table as u8);
    KeyBuilder(bytes)
}

impl KeyBuilder {
    /// An eight-byte number.
    pub fn u64(mut self, value: u64) -> KeyBuilder {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Raw bytes.
    pub fn raw(mut self, bytes: &[u8]) -> KeyBuilder {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The key.
    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// One past the last key that starts with `prefix` (empty: no such bound, which no caller's prefix produces).
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The eight-byte number at `at` of a key's suffix.
pub fn suffix_u64(bytes: &[u8], at: usize) -> Option<u64> {
    let rest = bytes.get(PREFIX_LEN + at..)?;
    rest.first_chunk::<8>().map(|chunk| u64::from_be_bytes(*chunk))
}

const STORE: ShareId = ShareId(0);

#[allow(missing_docs)]
pub fn share(share: ShareId) -> Vec<u8> {
    key(STORE, Table::Share).raw(&share.0.to_be_bytes()).done()
}

#[allow(missing_docs)]
pub fn shares() -> Vec<u8> {
    key(STORE, Table::Share).done()
}

#[allow(missing_docs)]
pub fn doomed(share: ShareId) -> Vec<u8> {
    key(STORE, Table::Doomed).raw(&share.0.to_be_bytes()).done()
}

#[allow(missing_docs)]
pub fn all_doomed() -> Vec<u8> {
    key(STORE, Table::Doomed).done()
}

#[allow(missing_docs)]
pub fn head(share: ShareId) -> Vec<u8> {
    key(share, Table::Head).done()
}

#[allow(missing_docs)]
pub fn inode(share: ShareId, inode: InodeId) -> Vec<u8> {
    key(share, Table::Inode).u64(inode.0).done()
}

#[allow(missing_docs)]
pub fn dentry(share: ShareId, dir: InodeId, name: &[u8]) -> Vec<u8> {
    key(share, Table::Dentry).u64(dir.0).raw(name).done()
}

#[allow(missing_docs)]
pub fn dir_cookie(share: ShareId, dir: InodeId, cookie: Cookie) -> Vec<u8> {
    key(share, Table::DirCookie).u64(dir.0).u64(cookie.0).done()
}

/// Prefix of the fold rows of one fold key.
pub fn fold_prefix(share: ShareId, dir: InodeId, fold: &[u8]) -> Vec<u8> {
    key(share, Table::Fold).u64(dir.0).raw(fold).raw(&[0]).done()
}

#[allow(missing_docs)]
pub fn fold(share: ShareId, dir: InodeId, fold: &[u8], cookie: Cookie) -> Vec<u8> {
    key(share, Table::Fold).u64(dir.0).raw(fold).raw(&[0]).u64(cookie.0).done()
}

#[allow(missing_docs)]
pub fn reverse(share: ShareId, inode: InodeId, dir: InodeId, cookie: Cookie) -> Vec<u8> {
    key(share, Table::Reverse).u64(inode.0).u64(dir.0).u64(cookie.0).done()
}

/// Prefix of the reverse rows of one inode.
pub fn reverse_prefix(share: ShareId, inode: InodeId) -> Vec<u8> {
    key(share, Table::Reverse).u64(inode.0).done()
}

#[allow(missing_docs)]
pub fn extent(share: ShareId, inode: InodeId, offset: u64) -> Vec<u8> {
    key(share, Table::Extent).u64(inode.0).u64(offset).done()
}

#[allow(missing_docs)]
pub fn pack_ref(share: ShareId, pack: PackId, inode: InodeId, offset: u64) -> Vec<u8> {
    key(share, Table::PackRef).raw(&pack.0.to_be_bytes()).u64(inode.0).u64(offset).done()
}

/// Prefix of the references to one pack.
pub fn pack_refs(share: ShareId, pack: PackId) -> Vec<u8> {
    key(share, Table::PackRef).raw(&pack.0.to_be_bytes()).done()
}

#[allow(missing_docs)]
pub fn pack(share: ShareId, pack: PackId) -> Vec<u8> {
    key(share, Table::Pack).raw(&pack.0.to_be_bytes()).done()
}

#[allow(missing_docs)]
pub fn orphan(share: ShareId, inode: InodeId) -> Vec<u8> {
    key(share, Table::Orphan).u64(inode.0).done()
}

#[allow(missing_docs)]
pub fn acl(share: ShareId, hash: [u8; 16]) -> Vec<u8> {
    key(share, Table::Acl).raw(&hash).done()
}

#[allow(missing_docs)]
pub fn xattr(share: ShareId, inode: InodeId, name: &[u8]) -> Vec<u8> {
    key(share, Table::Xattr).u64(inode.0).raw(name).done()
}

#[allow(missing_docs)]
pub fn snapshot(share: ShareId, snapshot: SnapshotId) -> Vec<u8> {
    key(share, Table::Snapshot).u64(snapshot.0).done()
}

/// Table and suffix of a row's key.
pub fn parts(row_key: &[u8]) -> &[u8] {
    row_key.get(PREFIX_LEN - 1..).unwrap_or_default()
}

/// The kept form of a row as of a snapshot. A snapshot's number begins with a zero byte, which no name holds, so that all
/// forms of a row lie together.
pub fn retained(share: ShareId, row_key: &[u8], snapshot: SnapshotId) -> Vec<u8> {
    key(share, Table::Retained).raw(parts(row_key)).u64(snapshot.0).done()
}

/// One past the kept forms of a row.
pub fn retained_end(share: ShareId, row_key: &[u8]) -> Vec<u8> {
    key(share, Table::Retained).raw(parts(row_key)).raw(&[1]).done()
}

/// The kept forms of rows from this one on.
pub fn retained_from(share: ShareId, row_key: &[u8]) -> Vec<u8> {
    key(share, Table::Retained).raw(parts(row_key)).done()
}

/// The row's key and the snapshot, of a key in `Retained`.
pub fn of_retained(share: ShareId, row_key: &[u8]) -> Option<(Vec<u8>, SnapshotId)> {
    let (parts, snapshot) = row_key.get(PREFIX_LEN..)?.split_last_chunk::<8>()?;
    let mut own = share.0.to_be_bytes().to_vec();
    own.extend_from_slice(parts);
    Some((own, SnapshotId(u64::from_be_bytes(*snapshot))))
}

/// Names the kept form of a row by its snapshot.
pub fn retained_of(share: ShareId, snapshot: SnapshotId, row_key: &[u8]) -> Vec<u8> {
    key(share, Table::RetainedOf).u64(snapshot.0).raw(parts(row_key)).done()
}

/// A kept run's reference to its pack.
pub fn pack_ref_retained(share: ShareId, pack: PackId, row_key: &[u8], snapshot: SnapshotId) -> Vec<u8> {
    let place = row_key.get(PREFIX_LEN..).unwrap_or_default();
    key(share, Table::PackRef).raw(&pack.0.to_be_bytes()).raw(place).u64(snapshot.0).done()
}

#[allow(missing_docs)]
pub fn ends(share: ShareId, epoch: Epoch) -> Vec<u8> {
    key(share, Table::Ends).raw(&epoch.0.to_be_bytes()).done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_end_carries_over_trailing_ff() {
        assert_eq!(prefix_end(&[1, 2]), vec![1, 3]);
        assert_eq!(prefix_end(&[1, 0xff, 0xff]), vec![2]);
    }

    #[test]
    fn keys_of_one_directory_sort_by_cookie() {
        let share = ShareId(7);
        let cookies = [16u64, 17, 255, 256, 65_536, 1 << 40];
        let keys: Vec<_> = cookies.iter().map(|c| dir_cookie(share, InodeId(2000), Cookie(*c))).collect();
        assert!(keys.is_sorted());
    }

    #[test]
    fn fold_prefix_of_a_name_does_not_cover_a_longer_name() {
        let share = ShareId(7);
        let longer = fold(share, InodeId(1024), b"ab", Cookie(16));
        assert!(!longer.starts_with(&fold_prefix(share, InodeId(1024), b"a")));
    }
}

//! Requests and replies about the share as a whole and about client records.

use bytes::Bytes;
use dfs_model::{AttrMask, InodeId, ShareId, Timestamp};

/// Space, limits and features of a share, as the caller may use them (quota aware).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct FsInfo {
    pub share: ShareId,
    pub fsid: u64,
    /// Bytes.
    pub space_total: u64,
    pub space_free: u64,
    /// Free for this caller.
    pub space_available: u64,
    pub inodes_total: u64,
    pub inodes_free: u64,
    pub inodes_available: u64,
    /// Bytes; offset + length of a file.
    pub file_size_max: u64,
    pub name_len_max: u32,
    pub links_max: u32,
    /// Bytes; best and largest sizes of one read and one write.
    pub read_max: u32,
    pub write_max: u32,
    pub time_granularity_nanos: u32,
    pub features: Features,
    pub label: String,
    pub serial: u32,
    /// Bytes; unit of clone.
    pub clone_unit: u32,
    pub case_sensitive: bool,
    pub read_only: bool,
}

/// What the share answers with something else than `NotSupported`; what is advertised is computed from this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Features {
    pub acls: bool,
    pub xattrs: bool,
    pub streams: bool,
    pub clone: bool,
    pub copy: bool,
    pub seek: bool,
    pub deallocate: bool,
    pub locks: bool,
    pub snapshots: bool,
    pub offline: bool,
}

/// A client's record that must outlive a restart (SEAM §2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ClientRecord {
    pub owner: Bytes,
    pub verifier: [u8; 8],
    pub principal: String,
    pub minor: u8,
    pub reclaim_complete: bool,
    pub nsm_state: Option<u32>,
}

/// What happens to a client record.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum ClientCall {
    Put(ClientRecord),
    ReclaimComplete { owner: Bytes },
    Forget { owner: Bytes },
    Renew { owner: Bytes },
    List,
}

/// Answer to a client call.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ClientReply {
    pub clients: Vec<ClientRecord>,
    pub may_reclaim: bool,
}

/// A snapshot of the share.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SnapshotInfo {
    pub id: u64,
    pub name: String,
    pub taken: Timestamp,
    pub root: InodeId,
}

/// Asks for a page of an inode's streams.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct StreamList {
    pub inode: InodeId,
    pub want: AttrMask,
}

/// A named stream.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct StreamInfo {
    pub name: Bytes,
    pub size: u64,
    pub allocated: u64,
}

/// Renames or deletes (`to = None`) a stream.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct StreamChange {
    pub inode: InodeId,
    pub name: Bytes,
    pub to: Option<Bytes>,
}

/// Whether this gateway may speak for a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It owns the share.
    Valid,
    /// Its lease has run out and may be renewed: what was found out before may be told then.
    Lapsed,
    /// Another gateway owns the share: nothing may be told any more.
    Lost,
}

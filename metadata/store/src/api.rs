//! The trait and its requests and replies.

use crate::copies::Copies;
use crate::error::StoreResult;
use crate::lease::Lease;
use crate::share::{QuotaEntry, ShareRecord, StateTable, Usage};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::quota::{Quota, QuotaSubject};
use dfs_model::{
    AttrPatch, Change, Cookie, Credentials, DeviceNumber, Epoch, ExtentRun, Guard, Inode, InodeId, InodeKind,
    Name, PackId, ReplayKey, Seq, ShareId, Timestamp, XattrMode, xattr::XattrChange,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hands out a share's change numbers; shared by the journal's records and the name operations.
#[derive(Debug)]
pub struct ChangeCounter(AtomicU64);

impl ChangeCounter {
    /// A counter for a new epoch: above every number of older epochs.
    #[must_use]
    pub fn new(epoch: Epoch) -> ChangeCounter {
        ChangeCounter(AtomicU64::new(Change::new(epoch, 0).0))
    }

    /// The next number, larger than all before it.
    pub fn take(&self) -> Change {
        Change(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The last number handed out.
    pub fn last(&self) -> Change {
        Change(self.0.load(Ordering::Relaxed))
    }
}

/// What every mutating call carries. *Guarantees:* an `epoch` older than the share's is refused inside the transaction
/// with [`StoreError::Fenced`].
#[derive(Clone, Copy)]
pub struct OpContext<'a> {
    /// The share.
    pub share: ShareId,
    /// The caller's epoch, checked in the same transaction.
    pub epoch: Epoch,
    /// Who asks; permissions are evaluated inside the transaction by `dfs_model::access`.
    pub credentials: &'a Credentials,
    /// Wall-clock time of the change.
    pub now: Timestamp,
    /// Source of change numbers.
    pub changes: &'a ChangeCounter,
    /// `flushed_seq` of an inode born here: the journal's last issued seq (JOURNAL §2).
    pub born_seq: Seq,
    /// Key under which the outcome is stored with the change, so that a repeat gets the same answer.
    pub replay: Option<&'a ReplayKey>,
}

/// Position of a transaction in the store's own order; [`MetadataStore::durable`] waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitToken(pub u64);

/// A result that is applied and visible, and durable once the token is.
#[derive(Clone, Debug)]
pub struct Applied<T> {
    /// The result.
    pub value: T,
    /// What to wait for.
    pub commit: CommitToken,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dentry {
    /// The directory.
    pub dir: InodeId,
    /// The name as stored.
    pub name: Name,
    /// Where it leads.
    pub inode: InodeId,
    /// Kind of that inode.
    pub kind: InodeKind,
    /// Its place in listings.
    pub cookie: Cookie,
    /// Change number at birth.
    pub born: Change,
    /// Marked for deletion by an SMB client.
    pub delete_pending: bool,
}

/// How `create` treats an existing name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMode {
    /// An existing regular file is answered with `existed`; other kinds are `Exists`.
    Unchecked,
    /// An existing name is `Exists`.
    Guarded,
    /// An existing file made with the same verifier is answered with `existed`, everything else is `Exists`.
    Exclusive([u8; 8]),
}

/// Asks for a new inode under a name.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// The directory.
    pub dir: InodeId,
    /// The name.
    pub name: Name,
    /// Kind of the new inode.
    pub kind: InodeKind,
    /// Treatment of an existing name.
    pub mode: CreateMode,
    /// Initial attributes; `Keep` takes the default (owner of the caller, group of the caller or of a SGID directory, mode
    /// 0644/0755, size 0, times now). Setting another owner needs the rights of chown. `size` is ignored.
    pub attrs: AttrPatch,
    /// Target of a symlink.
    pub link_target: Option<Bytes>,
    /// Number of a device node.
    pub device: DeviceNumber,
}

/// A row before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RowChange {
    pub pre: Arc<Inode>,
    pub post: Arc<Inode>,
}

/// What `create` did.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Created {
    pub inode: Arc<Inode>,
    pub dentry: Dentry,
    /// The name was there already; nothing changed.
    pub existed: bool,
    pub dir: RowChange,
}

/// Asks for another name of an inode (never of a directory).
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct LinkRequest {
    pub inode: InodeId,
    pub dir: InodeId,
    pub name: Name,
}

/// What `link` did.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Linked {
    pub inode: RowChange,
    pub dir: RowChange,
    pub dentry: Dentry,
}

/// Which kinds `remove` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveKind {
    /// Anything.
    Any,
    /// Anything but a directory (`IsDirectory` else).
    NonDirectory,
    /// A directory (`NotDirectory` else), which must be empty.
    Directory,
}

/// Asks for the end of a name.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RemoveRequest {
    pub dir: InodeId,
    pub name: Name,
    pub kind: RemoveKind,
    /// [`StoreError::Raced`] when the name leads elsewhere.
    pub expect: Option<InodeId>,
    /// With the last name gone, keep the inode as an orphan (somebody has it open).
    pub keep_orphan: bool,
}

/// What happened to an inode that lost a name.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Unlinked {
    /// `post.nlink` is 0 when that was its last name.
    pub inode: RowChange,
    pub fate: Fate,
}

/// What became of an inode after losing a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Other names remain.
    Linked,
    /// Kept as an orphan: somebody has it open, or it has so many extents that they are freed by [`MetadataStore::reap`].
    Orphan,
    /// Gone with all its rows.
    Gone,
}

/// What `remove` did.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Removed {
    pub dir: RowChange,
    pub victim: Unlinked,
    pub dentry: Dentry,
}

/// What `rename` does with an existing destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// `Exists`.
    Never,
    /// Replaced atomically: file by file, empty directory by directory (POSIX rename).
    Posix,
    /// Replaced if it is a file; never a directory.
    Windows,
}

/// Asks for a name to move.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RenameRequest {
    pub from_dir: InodeId,
    pub from_name: Name,
    pub to_dir: InodeId,
    pub to_name: Name,
    pub replace: Replace,
    /// [`StoreError::Raced`] when the source leads elsewhere.
    pub expect_moved: Option<InodeId>,
    /// [`StoreError::Raced`] when the destination leads elsewhere (`Some(None)`: must not exist).
    pub expect_replaced: Option<Option<InodeId>>,
    /// With the last name of the replaced inode gone, keep it as an orphan.
    pub keep_orphan: bool,
}

/// What `rename` did.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Renamed {
    /// Source and destination were two names of one inode (or the same name): nothing happened.
    pub same_inode: bool,
    pub moved: RowChange,
    pub replaced: Option<Unlinked>,
    pub from_dir: RowChange,
    /// Equals `from_dir` for a rename within one directory.
    pub to_dir: RowChange,
    /// The name as it is now.
    pub dentry: Dentry,
}

/// Asks for attributes to change: mode, owner, group, DOS bits, birth time, ACL of any inode, and times of inodes that
/// are not regular files. Size of files and times of files are journal records and must be `Keep` here.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct SetAttrRequest {
    pub inode: InodeId,
    pub patch: AttrPatch,
    /// Tested by the caller already when the overlay decides (regular files); else [`Guard::None`].
    pub guard: Guard,
}

/// Asks for extended attributes to change, all or none, in order ([`dfs_model::xattr::change`]).
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct XattrSetRequest {
    pub inode: InodeId,
    /// New values, or `None` for an attribute's end.
    pub values: Vec<XattrChange>,
    /// How a new value treats an existing one.
    pub mode: XattrMode,
    /// A name that differs only in the case of ASCII letters is the same one (SMB).
    pub any_case: bool,
}

/// Asks for a page of a listing.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct ReadDirRequest {
    pub dir: InodeId,
    /// Names with a larger cookie.
    pub after: Cookie,
    /// Names up to this cookie: the directory's high-water mark at the first page, so that a scan ends.
    pub up_to: Cookie,
    /// Most entries.
    pub limit: usize,
    /// Whether inode rows are wanted.
    pub rows: bool,
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct DirPage {
    /// Entries in the order of their cookies.
    pub entries: Vec<(Dentry, Option<Arc<Inode>>)>,
    /// No entry up to `up_to` follows.
    pub end: bool,
}

/// One inode's part of a `place` (JOURNAL §5.3).
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PlaceInode {
    pub inode: InodeId,
    pub from_seq: Seq,
    pub to_seq: Seq,
    /// New extents; each replaces whatever the map held in its range.
    pub extents: Vec<ExtentRun>,
    /// Half-open byte ranges `[start, end)` that read as zeros at `to_seq` and hold no extent.
    pub zeros: Vec<(u64, u64)>,
    /// Lowest size that the file had in the cut: map parts at and beyond it are dropped before `extents` are added.
    pub size_low: u64,
    pub size: u64,
    pub atime: Option<Timestamp>,
    pub mtime: Option<Timestamp>,
    pub ctime: Timestamp,
    pub change: Change,
    /// Some record up to `to_seq` clears suid/sgid, the last one with this change number.
    pub clear_suid: Option<Change>,
    /// Some record sets ARCHIVE, the last one with this change number.
    pub set_archive: Option<Change>,
}

/// A whole `place`.
#[derive(Clone, Debug)]
pub struct PlaceRequest {
    /// The uploaded packs that hold the blocks of `inodes`' extents; empty when no inode brings data. Every one must be `up`,
    /// else the whole place is refused and nothing changes; all turn `live` together. A cut larger than a pack is spread
    /// over several and placed once.
    pub packs: Vec<PackId>,
    /// The inodes.
    pub inodes: Vec<PlaceInode>,
}

/// What `place` did with each inode, in the order of the request.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Outcome per inode.
    pub inodes: Vec<PlacedInode>,
}

/// What `place` did with one inode.
#[derive(Clone, Debug)]
pub enum PlacedInode {
    /// The row now holds every record up to `to_seq`.
    Placed(Arc<Inode>),
    /// It is gone; its records are dead.
    Absent,
    /// `flushed_seq` was not `from_seq`; nothing changed.
    OutOfOrder {
        /// The row's.
        flushed_seq: Seq,
    },
}

/// State of a pack row; never goes back (JOURNAL P1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PackState {
    /// Its upload may be under way.
    Up = 1,
    /// Extents may refer to it.
    Live = 2,
    /// No extent refers to it; its object may be deleted.
    Dead = 3,
}

/// Row of the pack ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PackRow {
    pub pack: PackId,
    pub state: PackState,
    /// Length of the object in bytes.
    pub len: u64,
    /// Stored bytes of its blocks that extents refer to (a hint; references decide).
    pub live_bytes: u64,
    /// When the row entered its state.
    pub since: Timestamp,
    /// Epoch that made it.
    pub epoch: Epoch,
}

/// What a name operation answered, stored with its replay key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ReplayOutcome {
    /// Which operation.
    pub op: ReplayOp,
    /// The inode made, linked, moved or removed.
    pub inode: InodeId,
    /// The (source) directory with its pre-operation attributes.
    pub dir: InodeId,
    pub dir_pre: dfs_model::PreAttrs,
    /// The destination directory of a rename.
    pub to_dir: Option<(InodeId, dfs_model::PreAttrs)>,
    pub at: Timestamp,
}

/// Operations whose outcome is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum ReplayOp {
    Create = 1,
    Link = 2,
    Remove = 3,
    Rename = 4,
    SetAttr = 5,
}

/// The operation-level metadata store. Object-safe; implementations serve many shares.
///
/// *Guarantees:* every call is atomic and linearizable; reads see every operation that returned. A mutation is visible on
/// return and survives a power cut once [`MetadataStore::durable`] answered for its token; what a crash loses is a suffix
/// of the operations. *Cancel:* dropping a future leaves either nothing or the whole operation.
#[async_trait]
pub trait MetadataStore: Copies {
    /// Waits until everything up to the token survives a power cut. *Errors:* [`StoreError::Poisoned`].
    async fn durable(&self, commit: CommitToken) -> StoreResult<()>;
    /// The token of the newest transaction.
    fn last_commit(&self) -> CommitToken;
    /// The newest token that is known durable.
    fn durable_commit(&self) -> CommitToken;
    /// Why the store takes no more changes, if so.
    fn poisoned(&self) -> Option<String>;
    /// Bytes of rows that one [`MetadataStore::place`] should stay below; a place that changes more than twice as many is
    /// refused with [`FsError::TooLarge`].
    fn place_bytes_max(&self) -> u64;
    /// Writes a durable checkpoint now (graceful stop, tests); a no-op where there is none.
    async fn checkpoint(&self) -> StoreResult<()>;

    /// Adds a share with an empty root directory (inode 1024, mode and owner given). Durable on return.
    async fn create_share(
        &self,
        record: ShareRecord,
        root_mode: u16,
        root_uid: u32,
        root_gid: u32,
    ) -> StoreResult<()>;
    /// Every share of this store.
    async fn shares(&self) -> StoreResult<Vec<ShareRecord>>;
    /// One share. *Errors:* [`StoreError::NoShare`].
    async fn share(&self, share: ShareId) -> StoreResult<ShareRecord>;
    /// Replaces the settings of a share. Durable on return.
    async fn set_share_settings(&self, share: ShareId, settings: Vec<(String, String)>) -> StoreResult<()>;
    /// Deletes a share with all its rows. Durable on return.
    async fn delete_share(&self, share: ShareId) -> StoreResult<()>;

    /// Takes the next epoch of a share. Durable on return (JOURNAL §7.1).
    async fn begin_epoch(&self, share: ShareId) -> StoreResult<Epoch>;
    /// The lease of this store's newest opening of a share ([`MetadataStore::begin_epoch`]); one that is over where it was
    /// not opened. A newer opening, here or elsewhere, ends it for good.
    fn lease(&self, share: ShareId) -> Arc<Lease>;
    /// Lowers `ends[e]` to `min(ends[e], held)` for **every** epoch below `epoch` (0 where the caller holds no journal of
    /// it) and answers the resulting table. Durable on return (JOURNAL §2, §7.4).
    async fn write_ends(
        &self,
        share: ShareId,
        epoch: Epoch,
        held: &[(Epoch, u64)],
    ) -> StoreResult<Vec<(Epoch, u64)>>;

    /// One inode.
    async fn inode(&self, share: ShareId, inode: InodeId) -> StoreResult<Option<Arc<Inode>>>;
    /// Several inodes, in order.
    async fn inodes(&self, share: ShareId, inodes: &[InodeId]) -> StoreResult<Vec<Option<Arc<Inode>>>>;
    /// A name, exactly as spelled.
    async fn lookup(
        &self,
        share: ShareId,
        dir: InodeId,
        name: &Name,
    ) -> StoreResult<Option<(Dentry, Arc<Inode>)>>;
    /// A name in any case: exact spelling first, then the lowest cookie.
    async fn lookup_fold(
        &self,
        share: ShareId,
        dir: InodeId,
        name: &Name,
    ) -> StoreResult<Option<(Dentry, Arc<Inode>)>>;
    /// A page of a directory in the order of cookies; one range scan.
    async fn read_dir(&self, share: ShareId, request: ReadDirRequest) -> StoreResult<DirPage>;
    /// The largest cookie the directory has given out.
    async fn last_cookie(&self, share: ShareId, dir: InodeId) -> StoreResult<Cookie>;
    /// Names that lead to an inode, at most `limit`.
    async fn names_of(
        &self,
        share: ShareId,
        inode: InodeId,
        limit: usize,
    ) -> StoreResult<Vec<(InodeId, Name)>>;
    /// Extent runs that touch `[start, end)`, in order, at most `limit`.
    async fn extents(
        &self,
        share: ShareId,
        inode: InodeId,
        start: u64,
        end: u64,
        limit: usize,
    ) -> StoreResult<Vec<ExtentRun>>;
    /// What the share holds.
    async fn usage(&self, share: ShareId) -> StoreResult<Usage>;

    /// Makes an inode under a name. Tests ADD_FILE / ADD_SUBDIRECTORY and EXECUTE of the directory.
    async fn create(&self, cx: OpContext<'_>, request: CreateRequest) -> StoreResult<Applied<Created>>;
    /// Adds a name to an inode.
    async fn link(&self, cx: OpContext<'_>, request: LinkRequest) -> StoreResult<Applied<Linked>>;
    /// Takes a name away.
    async fn remove(&self, cx: OpContext<'_>, request: RemoveRequest) -> StoreResult<Applied<Removed>>;
    /// Moves a name.
    async fn rename(&self, cx: OpContext<'_>, request: RenameRequest) -> StoreResult<Applied<Renamed>>;
    /// Changes attributes. Tests ownership and rights (POSIX chmod/chown/utimes rules) inside the transaction.
    async fn set_attr(&self, cx: OpContext<'_>, request: SetAttrRequest) -> StoreResult<Applied<RowChange>>;
    /// Extended attributes of an inode in the order of their names: those named, as spelled, or all where `names` is empty;
    /// at most [`dfs_model::xattr::TOTAL_LEN_MAX`] bytes. Names that it lacks are left out. *Errors:* `StaleHandle`.
    async fn xattrs(
        &self,
        share: ShareId,
        inode: InodeId,
        names: &[Bytes],
    ) -> StoreResult<Vec<(Bytes, Bytes)>>;
    /// Changes extended attributes of a file or directory; ctime and change move, [`dfs_model::InodeFlags::HAS_XATTR`]
    /// follows. Tests WRITE_NAMED_ATTRS. They go with their inode. *Errors:* `NotPermitted` for other kinds, and those of
    /// [`dfs_model::xattr::change`].
    async fn xattr_set(&self, cx: OpContext<'_>, request: XattrSetRequest)
    -> StoreResult<Applied<RowChange>>;
    /// The stored outcome of an earlier operation.
    async fn replayed(&self, share: ShareId, key: &ReplayKey) -> StoreResult<Option<ReplayOutcome>>;

    /// Frees an orphan: all its rows and extents. `false`: more is left, call again (bounded work per call).
    async fn reap(&self, share: ShareId, epoch: Epoch, inode: InodeId) -> StoreResult<Applied<bool>>;
    /// Orphans above `after`, at most `limit`.
    async fn orphans(&self, share: ShareId, after: InodeId, limit: usize) -> StoreResult<Vec<InodeId>>;

    /// Inserts a pack row `up`.
    async fn pack_begin(
        &self,
        share: ShareId,
        epoch: Epoch,
        pack: PackId,
        len: u64,
        now: Timestamp,
    ) -> StoreResult<Applied<()>>;
    /// Moves packs `up → dead` (any) or `live → dead` (only where no extent refers to it, tested in the transaction).
    /// Answers those that are dead now.
    async fn packs_bury(
        &self,
        share: ShareId,
        epoch: Epoch,
        packs: &[PackId],
        now: Timestamp,
    ) -> StoreResult<Applied<Vec<PackId>>>;
    /// Forgets dead packs whose objects are gone.
    async fn packs_forget(&self, share: ShareId, epoch: Epoch, packs: &[PackId]) -> StoreResult<Applied<()>>;
    /// Pack rows above `after`, in order of id, at most `limit`.
    async fn packs(&self, share: ShareId, after: Option<PackId>, limit: usize) -> StoreResult<Vec<PackRow>>;
    /// One pack row.
    async fn pack(&self, share: ShareId, pack: PackId) -> StoreResult<Option<PackRow>>;
    /// Makes dirty state clean (JOURNAL §5.3): epoch, pack row `up → live`, each inode by `from_seq`.
    /// *Errors:* [`StoreError::Refused`] with [`dfs_model::FsError::Internal`] when the pack row is not `up`; cut again under a new id.
    async fn place(
        &self,
        share: ShareId,
        epoch: Epoch,
        request: PlaceRequest,
    ) -> StoreResult<Applied<Placed>>;

    /// The share's own usage first, then everybody who holds something or has a quota. What a user and a group hold is kept
    /// with every create, removal, change of owner and place, in the same transaction: one inode each, and the bytes of
    /// `allocated`; the share's root and orphans count too.
    async fn quotas(&self, share: ShareId) -> StoreResult<Vec<QuotaEntry>>;
    /// Sets or (with `None`) ends a quota; the store keeps it, the engine acts on it. Fenced by `epoch`.
    /// *Errors:* `InvalidOwner` for an identity that cannot be stored.
    async fn quota_set(
        &self,
        share: ShareId,
        epoch: Epoch,
        subject: QuotaSubject,
        quota: Option<Quota>,
    ) -> StoreResult<Applied<()>>;

    /// Writes or (with `None`) deletes a state row. Fenced by `epoch`.
    async fn state_put(
        &self,
        share: ShareId,
        epoch: Epoch,
        table: StateTable,
        key: Bytes,
        value: Option<Bytes>,
    ) -> StoreResult<Applied<()>>;
    /// Every row of a state table.
    async fn state_list(&self, share: ShareId, table: StateTable) -> StoreResult<Vec<(Bytes, Bytes)>>;
}

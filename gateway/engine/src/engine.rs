//! The engine of one share: what it holds, and the helpers that every operation uses.

use crate::atime::AccessedFiles;
use crate::cell::{Cell, Cells};
use crate::hub::ChangeHub;
use crate::merge::merged;
use crate::quota::QuotaBook;
use crate::recycle::RecycleRules;
use dfs_journal::{Journal, JournalError, ReserveError};
use dfs_locks::ClaimTable;
use dfs_log::Rule;
use dfs_model::{Attrs, Clock, Epoch, FsError, Inode, InodeId, Monotonic, PreAttrs, Seq, ShareId, Wcc};
use dfs_stack::Stack;
use dfs_store::{ChangeCounter, CommitToken, Lease, MetadataStore, OpContext, ShareRecord};
use dfs_vfs::{Failed, FileHandle, HandleKind, Operation, OperationSet, RequestContext, WriteVerifier};
use std::sync::Arc;

/// What a share's acknowledgements promise (DESIGN §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurabilityClass {
    /// Replies at once; survives the death of the process; at most `journal.sync_max` is lost at a power cut.
    Relaxed,
    /// COMMIT, stable writes and name operations wait for the group sync; survives a power cut.
    Local,
    /// COMMIT and stable writes wait until the data is in the object store and placed, names until they are committed;
    /// survives the loss of the box where the metadata store does.
    Remote,
}

impl DurabilityClass {
    /// The word of configuration, CLI and REST.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DurabilityClass::Relaxed => "relaxed",
            DurabilityClass::Local => "local",
            DurabilityClass::Remote => "remote",
        }
    }
}

/// Settings of a share's engine.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The promise.
    pub class: DurabilityClass,
    /// Bytes that statfs shows as the share's size.
    pub capacity: u64,
    /// Name shown as the label.
    pub label: String,
    /// Refuse every change.
    pub read_only: bool,
    /// Operations that are refused, whoever asks.
    pub blocked: OperationSet,
    /// Whether reading moves the access time of files, by the relatime rule ([`crate::atime`]).
    pub relatime: bool,
    /// Whether what is removed stays in a recycle bin for a while.
    pub recycle: Option<RecycleRules>,
    /// Whether the root's listing shows `.snapshots`, which is always found by its name.
    pub snapshots_listed: bool,
    /// Whether quotas are kept and acted on ([`crate::Engine::set_quota`]).
    pub quotas: bool,
    /// Cells (inodes with attributes in memory) kept beyond those in use.
    pub cells: usize,
    /// Whether deny modes and mandatory locks of SMB bind NFS (SEAM §2 footnote 3).
    pub smb_state_binds_nfs: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        EngineSettings {
            class: DurabilityClass::Local,
            capacity: 1 << 50,
            label: String::new(),
            read_only: false,
            blocked: OperationSet::default(),
            relatime: true,
            recycle: None,
            snapshots_listed: false,
            quotas: false,
            cells: 100_000,
            smb_state_binds_nfs: true,
        }
    }
}

/// One share, open for business. Made by [`Engine::open`].
pub struct Engine {
    pub(crate) share: ShareId,
    pub(crate) epoch: Epoch,
    pub(crate) lease: Arc<Lease>,
    pub(crate) record: ShareRecord,
    pub(crate) settings: EngineSettings,
    /// Those of the settings that may change; the settings say how they were at the opening.
    pub(crate) live: parking_lot::RwLock<crate::live::LiveRules>,
    pub(crate) store: Arc<dyn MetadataStore>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) stack: Arc<Stack>,
    pub(crate) claims: ClaimTable,
    pub(crate) cells: Arc<Cells>,
    pub(crate) changes: Arc<ChangeCounter>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) found: crate::found::FoundNames,
    pub(crate) hub: ChangeHub,
    pub(crate) accessed: AccessedFiles,
    pub(crate) quotas: Option<Arc<QuotaBook>>,
    pub(crate) snapshots: crate::snapshots::Snapshots,
    /// The recycle bin's directory, once it is there.
    pub(crate) bin: std::sync::OnceLock<InodeId>,
    pub(crate) reaper: tokio::sync::mpsc::UnboundedSender<crate::reaper::Job>,
    pub(crate) mutations: dfs_log::Mutations,
}

impl Engine {
    /// The epoch of this opening.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The share as its metadata store knows it.
    #[must_use]
    pub fn record(&self) -> &ShareRecord {
        &self.record
    }

    /// The settings of the opening; [`Engine::rules`] says what became of those that may change.
    #[must_use]
    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// The tiers below.
    #[must_use]
    pub fn stack(&self) -> &Arc<Stack> {
        &self.stack
    }

    /// The journal below.
    #[must_use]
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The claim table, for protocols with state and for tests with synthetic actors.
    #[must_use]
    pub fn claims(&self) -> &ClaimTable {
        &self.claims
    }

    /// Change events from the commit point.
    #[must_use]
    pub fn changes(&self) -> &ChangeHub {
        &self.hub
    }

    /// Cells in memory.
    #[must_use]
    pub fn cells_held(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn op_context<'a>(
        &'a self,
        cx: &'a RequestContext,
        last_ctime: dfs_model::Timestamp,
    ) -> OpContext<'a> {
        OpContext {
            share: self.share,
            epoch: self.epoch,
            credentials: &cx.credentials,
            now: self.clock.wall().after(last_ctime),
            changes: &self.changes,
            born_seq: self.journal.last_issued(),
            replay: cx.replay.as_ref(),
        }
    }

    pub(crate) fn write_verifier(&self) -> WriteVerifier {
        WriteVerifier { share: self.share, epoch: self.epoch }
    }

    pub(crate) fn handle(&self, attrs: &Attrs) -> FileHandle {
        FileHandle {
            kind: HandleKind::Inode,
            share: self.share,
            inode: attrs.inode,
            generation: attrs.generation,
        }
    }

    /// Refuses changes on a read-only or poisoned share, and on one that is another gateway's now.
    pub(crate) fn check_writable(&self) -> Result<(), FsError> {
        if self.is_lost() {
            return Err(FsError::Fenced);
        }
        let stopped =
            self.rules().read_only || self.journal.poisoned().is_some() || self.store.poisoned().is_some();
        if stopped { Err(FsError::ReadOnlyShare) } else { Ok(()) }
    }

    /// Refuses what the administrator blocked. *Errors:* `AccessDenied`.
    pub(crate) fn check_blocked(&self, operation: Operation) -> Result<(), FsError> {
        if self.rules().blocked.has(operation) { Err(FsError::AccessDenied) } else { Ok(()) }
    }

    /// Refuses a change that is blocked, or any on a read-only or poisoned share.
    pub(crate) fn check_change(&self, operation: Operation) -> Result<(), FsError> {
        self.check_writable()?;
        self.check_blocked(operation)
    }

    /// The attributes of an inode now, for a reply that failed.
    pub(crate) async fn wcc_now(&self, inode: InodeId) -> Option<Wcc> {
        let cell = self.cells.get(inode).await.ok()?;
        let state = cell.state.lock();
        (!state.gone).then(|| Wcc::unchanged(state.attrs.clone()))
    }

    /// A refusal with the attributes of one inode.
    pub(crate) async fn failed(&self, error: FsError, inode: InodeId) -> Failed {
        Failed::with(error, self.wcc_now(inode).await)
    }

    /// Waits as the class says until a metadata transaction is stable.
    pub(crate) async fn names_stable(&self, commit: CommitToken) -> Result<(), FsError> {
        match self.settings.class {
            DurabilityClass::Relaxed => Ok(()),
            DurabilityClass::Local | DurabilityClass::Remote => {
                self.store.durable(commit).await.map_err(|error| error.to_fs())
            }
        }
    }

    /// Waits as the class says until an inode's records, and the transaction that made it, are stable (JOURNAL §4); at most
    /// until `deadline` for what is in the object store's hands.
    pub(crate) async fn data_stable(
        &self,
        cell: &Cell,
        seq: Option<Seq>,
        deadline: Option<Monotonic>,
    ) -> Result<(), FsError> {
        match self.settings.class {
            DurabilityClass::Relaxed => return self.check_not_poisoned(),
            DurabilityClass::Local => {}
            DurabilityClass::Remote => {
                let commit = cell.state.lock().commit;
                self.placed(cell.inode, seq, deadline).await?;
                return self.store.durable(commit).await.map_err(|error| error.to_fs());
            }
        }
        let commit = cell.state.lock().commit;
        if let Some(seq) = seq {
            self.journal.durable(seq).await.map_err(|error| journal_error(&error))?;
        }
        if self.mutations.off(Rule::GoneEverywhere) && commit > self.store.durable_commit() {
            // The mutant looks at durable metadata alone: an inode whose creation is in flight is not there.
            self.journal.gone(cell.inode);
        }
        if !self.mutations.off(Rule::AckWaitsForCreate) {
            self.store.durable(commit).await.map_err(|error| error.to_fs())?;
        }
        self.check_not_poisoned()
    }

    fn check_not_poisoned(&self) -> Result<(), FsError> {
        if self.journal.poisoned().is_some() { Err(FsError::Io) } else { Ok(()) }
    }

    /// Attributes of a row that was read from the store *after* the inode's overlay.
    pub(crate) fn shown(&self, row: &Inode, overlay: Option<&dfs_journal::OverlayAttrs>) -> Attrs {
        match self.cells.loaded(row.id) {
            Some(cell) => cell.state.lock().attrs.clone(),
            None => merged(row, overlay),
        }
    }
}

/// What a client is told of a journal error.
pub(crate) fn journal_error(error: &JournalError) -> FsError {
    match error {
        JournalError::Poisoned { .. } => FsError::ReadOnlyShare,
        _ => FsError::Io,
    }
}

/// What a client is told when no room could be reserved.
pub(crate) fn reserve_error(error: &ReserveError) -> FsError {
    match error {
        ReserveError::Delay => FsError::delay(),
        ReserveError::NoSpace { .. } => FsError::NoSpace,
        ReserveError::Poisoned { .. } => FsError::ReadOnlyShare,
        ReserveError::TooLarge { .. } => FsError::InvalidArgument,
    }
}

/// Attributes before and after, from two rows of a directory.
pub(crate) fn dir_wcc(change: &dfs_store::RowChange) -> Wcc {
    let pre = Attrs::of(&change.pre);
    Wcc { pre: PreAttrs { ..pre.pre() }, post: Attrs::of(&change.post) }
}

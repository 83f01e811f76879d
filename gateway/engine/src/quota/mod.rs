//! Where the engine asks its quota book: before a record is appended, an inode made or handed over, and after one is gone.

mod book;

pub(crate) use book::QuotaBook;
use book::{InodeCharge, Owners};

use crate::cell::{Cell, CellState};
use crate::engine::Engine;
use dfs_journal::Record;
use dfs_model::inode::mode;
use dfs_model::quota::{Quota, QuotaSubject};
use dfs_model::{AttrPatch, Credentials, FsError, Identity, Inode, Seq};
use dfs_store::{CreateRequest, QuotaEntry, RowChange, Usage};
use dfs_vfs::RequestContext;

fn owners(row: &Inode) -> Owners<'_> {
    (&row.owner, &row.group)
}

impl Engine {
    /// Everybody's quota and what he holds, bytes that are not placed yet included. *Errors:* `NotSupported` on a share
    /// without quotas.
    pub fn quotas(&self) -> Result<Vec<QuotaEntry>, FsError> {
        Ok(self.quotas.as_ref().ok_or(FsError::NotSupported)?.entries())
    }

    /// Sets or ends a quota; counts at once, and durable on return. What is exceeded already only stops growth.
    /// *Errors:* `NotSupported` on a share without quotas; `InvalidOwner`; `ReadOnlyShare`.
    pub async fn set_quota(&self, subject: QuotaSubject, quota: Option<Quota>) -> Result<(), FsError> {
        let book = self.quotas.as_ref().ok_or(FsError::NotSupported)?;
        let kept = book.set(&subject, quota, self.clock.wall());
        let set = self.store.quota_set(self.share, self.epoch, subject, kept).await;
        let commit = set.map_err(|error| error.to_fs())?.commit;
        self.store.durable(commit).await.map_err(|error| error.to_fs())
    }

    /// Gives the store the quota rows that changed. What it cannot take now is lost with the process: the grace of a soft
    /// limit starts again then.
    pub(crate) async fn record_quotas(&self) {
        let Some(book) = &self.quotas else { return };
        for (subject, quota) in book.take_changed() {
            if let Err(error) = self.store.quota_set(self.share, self.epoch, subject, quota).await {
                tracing::warn!(share = %self.share, %error, "since when a soft quota is exceeded is not stored");
                return;
            }
        }
    }

    /// Charges a record that is about to be appended; answers what was charged before. Call it in the inode's section.
    pub(crate) fn charge_record(&self, state: &CellState, record: &Record) -> Result<Option<u64>, FsError> {
        let Some(book) = self.quotas.as_ref().filter(|_| !matches!(record, Record::SetTimes { .. })) else {
            return Ok(None);
        };
        let row = &state.row;
        let before = book.charged(row.id, row.allocated);
        let bytes = self.journal.allocated_after(row, record);
        book.charge(row.id, owners(row), row.allocated, bytes, self.clock.wall())?;
        Ok(Some(before))
    }

    /// Charges a clone, after which a file holds `bytes`; answers what was charged before. Call it in the target's section.
    pub(crate) fn charge_clone(&self, state: &CellState, bytes: u64) -> Result<Option<u64>, FsError> {
        let Some(book) = &self.quotas else { return Ok(None) };
        let row = &state.row;
        let before = book.charged(row.id, row.allocated);
        book.charge(row.id, owners(row), row.allocated, bytes, self.clock.wall())?;
        Ok(Some(before))
    }

    /// Takes a charge back whose record was not appended.
    pub(crate) fn uncharge_record(&self, state: &CellState, before: Option<u64>) {
        if let (Some(book), Some(before)) = (&self.quotas, before) {
            book.uncharge(state.row.id, owners(&state.row), state.row.allocated, before);
        }
    }

    /// A charged record is in the journal.
    pub(crate) fn record_landed(&self, state: &CellState, seq: Seq) {
        if let Some(book) = &self.quotas {
            book.landed(state.row.id, seq);
        }
    }

    /// Charges an inode that is about to be made. A name that is there already makes none.
    pub(crate) async fn charge_creation(
        &self,
        cx: &RequestContext,
        dir: &Cell,
        asked: &CreateRequest,
    ) -> Result<Option<InodeCharge<'_>>, FsError> {
        let Some(book) = &self.quotas else { return Ok(None) };
        let own = Identity::Uid(cx.credentials.uid);
        let group = {
            let row = &dir.state.lock().row;
            let inherits = row.mode & mode::SGID != 0;
            if inherits { row.group.clone() } else { Identity::Gid(cx.credentials.gid) }
        };
        let owner = asked.attrs.owner.as_set().unwrap_or(&own);
        let group = asked.attrs.group.as_set().unwrap_or(&group);
        match book.charge_inode((owner, group), self.clock.wall()) {
            Ok(charge) => Ok(Some(charge)),
            Err(error) => match self.store.lookup(self.share, asked.dir, &asked.name).await {
                Ok(Some(_)) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The inode was made.
    pub(crate) fn keep_creation(&self, charge: Option<InodeCharge<'_>>, row: &Inode) {
        match (charge, &self.quotas) {
            (Some(charge), _) => charge.keep(row),
            (None, Some(book)) => book.force_inode(row),
            (None, None) => {}
        }
    }

    /// Whether a patch may give an inode to somebody else.
    pub(crate) fn check_quota_move(&self, row: &Inode, patch: &AttrPatch) -> Result<(), FsError> {
        match &self.quotas {
            Some(book) if !(patch.owner.is_keep() && patch.group.is_keep()) => {
                let owner = patch.owner.as_set().unwrap_or(&row.owner);
                let group = patch.group.as_set().unwrap_or(&row.group);
                book.check_move(row, (owner, group), self.clock.wall())
            }
            _ => Ok(()),
        }
    }

    /// An inode may have changed hands.
    pub(crate) fn note_quota_move(&self, change: &RowChange) {
        if let Some(book) = &self.quotas {
            book.moved(&change.pre, &change.post, self.clock.wall());
        }
    }

    /// An inode is gone; `row` is its last.
    pub(crate) fn note_quota_gone(&self, row: &Inode) {
        if let Some(book) = &self.quotas {
            book.gone(row, self.clock.wall());
        }
    }

    /// How much more a caller may take by the quotas.
    pub(crate) fn quota_left(&self, who: &Credentials) -> Usage {
        match &self.quotas {
            Some(book) => book.left((&Identity::Uid(who.uid), &Identity::Gid(who.gid)), self.clock.wall()),
            None => Usage { bytes: u64::MAX, inodes: u64::MAX },
        }
    }
}

//! What a store knows of a share as a whole.

use dfs_model::quota::{Quota, QuotaSubject};
use dfs_model::{Epoch, Generation, ShareId, Timestamp};

/// The share as its metadata store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ShareRecord {
    pub share: ShareId,
    /// Display name at creation; the control plane's decides.
    pub name: String,
    /// Which life of the share: the generation of inodes born in it.
    pub incarnation: Generation,
    /// File system id shown to clients; constant.
    pub fsid: u64,
    /// Key of the handles' MAC; the same on every gateway.
    pub handle_key: [u8; 16],
    /// Version of the case-folding table of its names.
    pub fold_version: u16,
    /// Block size in bytes, a power of two from 64 KiB to 1 MiB.
    pub block_size: u32,
    pub created: Timestamp,
    /// Current epoch; 0 before the first opening.
    pub epoch: Epoch,
    /// Free-form settings kept with the share: `names`, `acl_mode`, `smb_state_binds_nfs`, compression …
    pub settings: Vec<(String, String)>,
}

/// How much a share holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Usage {
    /// Bytes of data in placed files, before compression.
    pub bytes: u64,
    pub inodes: u64,
}

/// One line of a share's quotas: whom it is for, his quota if any, and what he holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct QuotaEntry {
    pub subject: QuotaSubject,
    pub quota: Option<Quota>,
    /// Of placed files; nothing for [`QuotaSubject::EveryUser`] and [`QuotaSubject::EveryGroup`].
    pub usage: Usage,
}

/// Tables of state that must outlive a restart (SEAM §2 Persist); values are the claim table's codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum StateTable {
    Clients = 1,
    PersistentOpens = 2,
    MonitoredHosts = 3,
    Grace = 4,
}

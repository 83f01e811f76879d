//! What the control plane manages: the running gateway.

use crate::copies::CopiesBackend;
use crate::manage::ManageBackend;
use async_trait::async_trait;
use dfs_api::{
    AbandonedJournal, AdoptShare, ColdStoreConfig, EmptyBin, MetadataStoreConfig, Netgroup, Problem,
    QuotaStatus, RecycledFile, RestoreFile, SetQuota, ShareConfig, ShareTierStatus, StrandedJournal,
    TierStatus,
};

/// What the running gateway says of a share.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ShareFacts {
    pub id: String,
    pub state: String,
    /// Its configuration, where a shared metadata store keeps it.
    pub config: Option<ShareConfig>,
    /// Journals that it was taken without.
    pub stranded: Vec<StrandedJournal>,
    pub epoch: u32,
    pub used_bytes: u64,
    pub inodes: u64,
}

/// What the running gateway says of itself.
#[derive(Clone, Debug, Default)]
pub struct HealthFacts {
    /// `ok`, `degraded` or `failed`.
    pub status: String,
    /// Shares served.
    pub shares: usize,
    /// Shares that are configured and could not be opened.
    pub shares_failed: usize,
}

/// The running gateway. *Errors:* problems in operator's words; nothing half-done remains after one.
#[async_trait]
pub trait Backend: CopiesBackend + ManageBackend {
    /// Opens or makes a metadata store.
    async fn add_metadata_store(&self, config: &MetadataStoreConfig) -> Result<(), Problem>;
    /// Closes a metadata store that no share uses.
    async fn remove_metadata_store(&self, name: &str) -> Result<(), Problem>;
    /// `up`, or what is wrong.
    async fn metadata_health(&self, name: &str) -> String;
    /// Connects a cold store and proves that it can be used (a probe object is written, read and deleted).
    async fn add_cold_store(&self, config: &ColdStoreConfig) -> Result<(), Problem>;
    /// Forgets a cold store that no share uses.
    async fn remove_cold_store(&self, name: &str) -> Result<(), Problem>;
    /// `up`, or what is wrong.
    async fn cold_health(&self, name: &str) -> String;
    /// Makes (or, when its stores know it already, opens) a share and serves it. Answers its id.
    async fn create_share(&self, config: &ShareConfig) -> Result<String, Problem>;
    /// Opens a share that could not be opened before; nothing for one that is served. *Errors:* why it still cannot.
    async fn open_share(&self, name: &str) -> Result<(), Problem>;
    /// Finds a share in a shared metadata store and waits to serve it. Answers its settings there.
    async fn adopt_share(&self, name: &str, request: &AdoptShare) -> Result<ShareConfig, Problem>;
    /// Hands a share over, so that another gateway may serve it without this one's journal.
    async fn release_share(&self, name: &str) -> Result<(), Problem>;
    /// Tells what a journal on another gateway has that is nowhere else; with `confirm` gives it up.
    async fn abandon_journal(&self, name: &str, confirm: bool) -> Result<AbandonedJournal, Problem>;
    /// Puts the rules of a share into force that may change while it is served: clients, squash, read-only, blocked operations,
    /// access times, recycle bin. Requests under way end by the old ones.
    async fn change_share(&self, config: &ShareConfig) -> Result<(), Problem>;
    /// Tells every netgroup that there is; client lists go by it at once.
    async fn set_netgroups(&self, groups: &[Netgroup]);
    /// Stops serving a share and deletes its names. Its packs are left in the cold store. *Errors:* `would-cut-clients` while
    /// clients use it and it is not forced.
    async fn delete_share(&self, name: &str, force: bool) -> Result<(), Problem>;
    /// What is known of a share.
    async fn share_facts(&self, name: &str) -> ShareFacts;
    /// A share's quotas, and what everybody holds there.
    async fn quotas(&self, share: &str) -> Result<Vec<QuotaStatus>, Problem>;
    /// Sets or ends a quota.
    async fn set_quota(&self, share: &str, request: &SetQuota) -> Result<(), Problem>;
    /// The files in a share's recycle bin, oldest first.
    async fn recycled(&self, share: &str) -> Result<Vec<RecycledFile>, Problem>;
    /// Takes a file out of the bin.
    async fn restore(&self, share: &str, request: &RestoreFile) -> Result<(), Problem>;
    /// Removes files from the bin for good; answers how many.
    async fn empty_bin(&self, share: &str, request: &EmptyBin) -> Result<usize, Problem>;
    /// The tiers.
    async fn tier_status(&self) -> TierStatus;
    /// One share's tiers.
    async fn share_tier_status(&self, name: &str) -> Option<ShareTierStatus>;
    /// Places everything that is dirty now; one share or all.
    async fn flush(&self, share: Option<&str>) -> Result<(), Problem>;
    /// How it is.
    async fn health(&self) -> HealthFacts;
}

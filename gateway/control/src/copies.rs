//! Copies: what the running gateway does of them.

use async_trait::async_trait;
use dfs_api::{
    CloneFile, ClonedFile, Problem, RestoreSnapshot, RestoredSnapshot, SnapshotPlan, SnapshotStatus,
    TakeSnapshot,
};

/// Copies of the running gateway's shares; part of [`crate::Backend`].
#[async_trait]
pub trait CopiesBackend: Send + Sync + 'static {
    /// Clones a file.
    async fn clone_file(&self, share: &str, request: &CloneFile) -> Result<ClonedFile, Problem>;
    /// Snapshots of a share, oldest first.
    async fn list_snapshots(&self, share: &str) -> Result<Vec<SnapshotStatus>, Problem>;
    /// One snapshot, with what it holds.
    async fn show_snapshot(&self, share: &str, name: &str) -> Result<SnapshotStatus, Problem>;
    /// Takes a snapshot.
    async fn take_snapshot(&self, share: &str, request: &TakeSnapshot) -> Result<SnapshotStatus, Problem>;
    /// Ends a snapshot.
    async fn delete_snapshot(&self, share: &str, name: &str) -> Result<(), Problem>;
    /// Gives a file, a tree or the whole share back.
    async fn restore_snapshot(
        &self,
        share: &str,
        name: &str,
        request: &RestoreSnapshot,
    ) -> Result<RestoredSnapshot, Problem>;
    /// A share's schedule.
    async fn snapshot_plan(&self, share: &str) -> Result<SnapshotPlan, Problem>;
    /// Sets or ends a share's schedule.
    async fn set_snapshot_plan(&self, share: &str, plan: &SnapshotPlan) -> Result<(), Problem>;
}

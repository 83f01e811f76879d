//! Quotas and the recycle bin, between the control plane's words and the engine's.

use super::{LiveShare, Runtime};
use dfs_api::{
    EmptyBin, Problem, QuotaLimits, QuotaStatus, QuotaSubject, RecycledFile, RestoreFile, SetQuota,
};
use dfs_model::quota::{self, Quota};
use dfs_model::{FsError, Identity, InodeId, Name};
use dfs_store::QuotaEntry;
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Runtime {
    pub(super) fn served(&self, share: &str) -> Result<Arc<LiveShare>, Problem> {
        self.share(share).ok_or_else(|| Problem::not_found("share that is served", share))
    }

    pub(super) fn list_quotas(&self, share: &str) -> Result<Vec<QuotaStatus>, Problem> {
        let live = self.served(share)?;
        let entries = live.engine.quotas().map_err(|error| refused(&error, "rules.quotas"))?;
        let mut shown: Vec<QuotaStatus> = entries.iter().filter_map(status).collect();
        shown.sort_by_key(|line| order(line.subject));
        Ok(shown)
    }

    pub(super) async fn change_quota(&self, share: &str, request: &SetQuota) -> Result<(), Problem> {
        let live = self.served(share)?;
        let subject = match request.subject {
            QuotaSubject::Share => quota::QuotaSubject::Share,
            QuotaSubject::User(uid) => quota::QuotaSubject::User(Identity::Uid(uid)),
            QuotaSubject::Group(gid) => quota::QuotaSubject::Group(Identity::Gid(gid)),
            QuotaSubject::EveryUser => quota::QuotaSubject::EveryUser,
            QuotaSubject::EveryGroup => quota::QuotaSubject::EveryGroup,
        };
        let kind = |limits: dfs_api::Limits| quota::QuotaLimits { soft: limits.soft, hard: limits.hard };
        let limits = request.limits.map(|limits| Quota {
            grace: Duration::from_secs(u64::from(limits.grace_seconds)),
            ..Quota::new(kind(limits.bytes), kind(limits.inodes))
        });
        if limits.is_some_and(|quota| !quota.has_limits()) {
            let why = "limits without a limit: give one, or leave limits out to end the quota";
            return Err(Problem::field("limits", why));
        }
        live.engine.set_quota(subject, limits).await.map_err(|error| refused(&error, "rules.quotas"))
    }

    pub(super) async fn list_recycled(&self, share: &str) -> Result<Vec<RecycledFile>, Problem> {
        let live = self.served(share)?;
        let found = live.engine.recycled().await.map_err(|error| refused(&error, "rules.recycle"))?;
        let shown = found.into_iter().map(|file| RecycledFile {
            inode: file.attrs.inode.0,
            name: String::from_utf8_lossy(file.name.as_bytes()).into_owned(),
            directory: file.dir.0,
            removed_at: file.removed.secs,
            removed_by: file.by,
            bytes: file.attrs.size,
        });
        Ok(shown.collect())
    }

    pub(super) async fn restore_file(&self, share: &str, request: &RestoreFile) -> Result<(), Problem> {
        let live = self.served(share)?;
        let found = live.engine.recycled().await.map_err(|error| refused(&error, "rules.recycle"))?;
        let file = found.into_iter().find(|file| file.attrs.inode.0 == request.inode);
        let file = file.ok_or_else(|| Problem::not_found("file in the bin", &request.inode.to_string()))?;
        let to = match &request.path {
            Some(path) => Some(self.place_of(&live, path).await?),
            None => None,
        };
        match live.engine.restore(&file.entry, to).await {
            Ok(_) => Ok(()),
            Err(FsError::Exists) => Err(Problem::conflict("the name is taken: give another path")),
            Err(FsError::StaleHandle | FsError::NotFound | FsError::NotDirectory) => {
                Err(Problem::conflict("the directory that it was removed from is gone: give a path"))
            }
            Err(error) => Err(refused(&error, "rules.recycle")),
        }
    }

    pub(super) async fn remove_recycled(&self, share: &str, request: &EmptyBin) -> Result<usize, Problem> {
        let live = self.served(share)?;
        let age = DAY.saturating_mul(request.older_than_days);
        live.engine.empty_bin(age).await.map_err(|error| refused(&error, "rules.recycle"))
    }

    /// Directory and name that a path from the share's root means.
    async fn place_of(&self, live: &LiveShare, path: &str) -> Result<(InodeId, Name), Problem> {
        let bad = |why: String| Problem::field("path", why);
        let metadata = self.state.read().metadata.get(&live.config.metadata).cloned();
        let metadata = metadata.ok_or_else(|| Problem::not_found("metadata store", &live.config.metadata))?;
        let mut dir = InodeId::ROOT;
        let mut names = Vec::new();
        for step in path.split('/').filter(|step| !step.is_empty()) {
            names.push(Name::try_from(step).map_err(|error| bad(format!("'{step}': {error}")))?);
        }
        let last = names.pop().ok_or_else(|| bad("a path has at least the file's name".to_owned()))?;
        for name in names {
            let found = metadata.lookup(live.id, dir, &name).await;
            let found = found.map_err(|error| Problem::internal(error.to_string()))?;
            let (dentry, _) = found.ok_or_else(|| bad(format!("there is no directory '{name}' in it")))?;
            dir = dentry.inode;
        }
        Ok((dir, last))
    }
}

fn refused(error: &FsError, rule: &str) -> Problem {
    match error {
        FsError::NotSupported => {
            Problem::conflict(format!("the share does not do this: it was made without {rule}"))
        }
        FsError::ReadOnlyShare => Problem::conflict("the share is read-only"),
        other => Problem::internal(other.to_string()),
    }
}

/// A line of the book; none for what belongs to an identity without a Unix id.
fn status(entry: &QuotaEntry) -> Option<QuotaStatus> {
    let subject = match &entry.subject {
        quota::QuotaSubject::Share => QuotaSubject::Share,
        quota::QuotaSubject::User(Identity::Uid(uid)) => QuotaSubject::User(*uid),
        quota::QuotaSubject::Group(Identity::Gid(gid)) => QuotaSubject::Group(*gid),
        quota::QuotaSubject::EveryUser => QuotaSubject::EveryUser,
        quota::QuotaSubject::EveryGroup => QuotaSubject::EveryGroup,
        quota::QuotaSubject::User(_) | quota::QuotaSubject::Group(_) => return None,
    };
    let kind = |limits: quota::QuotaLimits| dfs_api::Limits { soft: limits.soft, hard: limits.hard };
    let limits = entry.quota.map(|quota| QuotaLimits {
        bytes: kind(quota.bytes),
        inodes: kind(quota.inodes),
        grace_seconds: u32::try_from(quota.grace.as_secs()).unwrap_or(u32::MAX),
    });
    let (used_bytes, used_inodes) = (entry.usage.bytes, entry.usage.inodes);
    Some(QuotaStatus { subject, limits, used_bytes, used_inodes })
}

fn order(subject: QuotaSubject) -> (u8, u32) {
    match subject {
        QuotaSubject::Share => (0, 0),
        QuotaSubject::EveryUser => (1, 0),
        QuotaSubject::User(uid) => (2, uid),
        QuotaSubject::EveryGroup => (3, 0),
        QuotaSubject::Group(gid) => (4, gid),
    }
}

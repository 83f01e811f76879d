//! Copies, between the control plane's words and the engine's.

use super::{LiveShare, Runtime};
use async_trait::async_trait;
use dfs_api::{
    CloneFile, ClonedFile, Problem, RestoreSnapshot, RestoredSnapshot, SnapshotPlan, SnapshotSchedule,
    SnapshotStatus, TakeSnapshot,
};
use dfs_control::CopiesBackend;
use dfs_engine::Restored;
use dfs_model::{FsError, Name};
use dfs_store::{Snapshot, SnapshotOrigin};
use std::time::Duration;

/// The names of a path from the share's root.
fn names(field: &str, path: &str) -> Result<Vec<Name>, Problem> {
    let steps = path.split('/').filter(|step| !step.is_empty());
    let named =
        |step| Name::try_from(step).map_err(|error| Problem::field(field, format!("'{step}': {error}")));
    steps.map(named).collect()
}

#[async_trait]
impl CopiesBackend for Runtime {
    async fn clone_file(&self, share: &str, request: &CloneFile) -> Result<ClonedFile, Problem> {
        let live = self.served(share)?;
        let (from, to) = (names("from", &request.from)?, names("to", &request.to)?);
        let cloned = live.engine.clone_path(&from, &to, request.replace).await;
        let bytes = cloned.map_err(|error| refused(&error, request))?;
        Ok(ClonedFile { bytes })
    }

    async fn list_snapshots(&self, share: &str) -> Result<Vec<SnapshotStatus>, Problem> {
        let all = self.served(share)?.engine.all_snapshots().await.map_err(|error| common(&error))?;
        Ok(all.iter().map(status).collect())
    }

    async fn show_snapshot(&self, share: &str, name: &str) -> Result<SnapshotStatus, Problem> {
        let live = self.served(share)?;
        let snapshot = named(&live, name).await?;
        let held = live.engine.snapshot_bytes(&snapshot).await.map_err(|error| common(&error))?;
        Ok(SnapshotStatus { held_bytes: Some(held), ..status(&snapshot) })
    }

    async fn take_snapshot(&self, share: &str, request: &TakeSnapshot) -> Result<SnapshotStatus, Problem> {
        let live = self.served(share)?;
        let name = Name::try_from(request.name.as_str());
        let name = name.map_err(|error| Problem::field("name", error.to_string()))?;
        match live.engine.take_snapshot(name, SnapshotOrigin::Asked).await {
            Ok(snapshot) => Ok(status(&snapshot)),
            Err(FsError::Exists) => Err(Problem::conflict(format!(
                "there is a snapshot named '{}': give another name",
                request.name
            ))),
            Err(FsError::Limit) => {
                Err(Problem::conflict("the share has as many snapshots as it may: delete some"))
            }
            Err(error) => Err(common(&error)),
        }
    }

    async fn delete_snapshot(&self, share: &str, name: &str) -> Result<(), Problem> {
        let live = self.served(share)?;
        let snapshot = named(&live, name).await?;
        live.engine.delete_snapshot(&snapshot.name).await.map_err(|error| common(&error))
    }

    async fn restore_snapshot(
        &self,
        share: &str,
        name: &str,
        request: &RestoreSnapshot,
    ) -> Result<RestoredSnapshot, Problem> {
        let live = self.served(share)?;
        let snapshot = named(&live, name).await?;
        let Some(path) = &request.path else {
            let (before, done) =
                live.engine.restore_share(&snapshot).await.map_err(|error| common(&error))?;
            return Ok(restored(done, Some(status(&before).name)));
        };
        let from = names("path", path)?;
        let to = request.to.as_deref().map(|to| names("to", to)).transpose()?;
        if from.is_empty() {
            return Err(Problem::field("path", "the whole share is restored when the path is left out"));
        }
        match live.engine.restore_path(&snapshot, &from, to.as_deref()).await {
            Ok(done) => Ok(restored(done, None)),
            Err(FsError::NotFound | FsError::PathNotFound { .. } | FsError::NotDirectory) => {
                let why = format!(
                    "'{path}' is not in snapshot '{name}', or the directory that it shall be in is gone: give another place"
                );
                Err(Problem::conflict(why))
            }
            Err(error) => Err(common(&error)),
        }
    }

    async fn snapshot_plan(&self, share: &str) -> Result<SnapshotPlan, Problem> {
        let found = self.served(share)?.engine.snapshot_schedule().await.map_err(|error| common(&error))?;
        let schedule = found.map(|schedule| SnapshotSchedule {
            every_seconds: schedule.every.as_secs(),
            keep: schedule.keep,
            keep_seconds: schedule.keep_for.map(|age| age.as_secs()),
        });
        Ok(SnapshotPlan { schedule })
    }

    async fn set_snapshot_plan(&self, share: &str, plan: &SnapshotPlan) -> Result<(), Problem> {
        let live = self.served(share)?;
        let schedule = plan.schedule.map(|schedule| dfs_engine::SnapshotSchedule {
            every: Duration::from_secs(schedule.every_seconds),
            keep: schedule.keep,
            keep_for: schedule.keep_seconds.map(Duration::from_secs),
        });
        match live.engine.set_snapshot_schedule(schedule).await {
            Ok(()) => Ok(()),
            Err(FsError::InvalidArgument) => {
                let why = "at least 60 seconds from one to the next, and at least one kept";
                Err(Problem::field("schedule", why))
            }
            Err(error) => Err(common(&error)),
        }
    }
}

async fn named(live: &LiveShare, name: &str) -> Result<Snapshot, Problem> {
    let unknown = || Problem::not_found("snapshot", name);
    let wanted = Name::try_from(name).map_err(|_| unknown())?;
    match live.engine.snapshot_named(&wanted).await {
        Err(FsError::NotFound) => Err(unknown()),
        other => other.map_err(|error| common(&error)),
    }
}

fn status(snapshot: &Snapshot) -> SnapshotStatus {
    let origin = match snapshot.origin {
        SnapshotOrigin::Asked => "asked",
        SnapshotOrigin::Schedule => "schedule",
        SnapshotOrigin::BeforeRestore => "before_restore",
    };
    SnapshotStatus {
        id: snapshot.id.0,
        name: String::from_utf8_lossy(snapshot.name.as_bytes()).into_owned(),
        origin: origin.to_owned(),
        taken_at: snapshot.taken.secs,
        held_bytes: None,
    }
}

fn restored(done: Restored, before: Option<String>) -> RestoredSnapshot {
    let Restored { restored, removed, unchanged } = done;
    RestoredSnapshot { restored, removed, unchanged, before }
}

fn refused(error: &FsError, request: &CloneFile) -> Problem {
    let CloneFile { from, to, .. } = request;
    match error {
        FsError::NotFound | FsError::PathNotFound { .. } | FsError::NotDirectory => {
            Problem::not_found("file or directory on the way", &format!("{from}' or '{to}"))
        }
        FsError::Exists => {
            Problem::conflict(format!("'{to}' is there: give another name, or ask to replace it"))
        }
        FsError::IsDirectory | FsError::WrongType | FsError::InvalidArgument => Problem::conflict(format!(
            "only a file can be cloned, and onto another file only: '{from}' to '{to}'"
        )),
        other => common(other),
    }
}

/// What is told of errors that any copy can meet.
pub(super) fn common(error: &FsError) -> Problem {
    match error {
        FsError::ReadOnlyShare => Problem::conflict("the share is read-only"),
        FsError::ColdUnavailable | FsError::Delay { .. } => Problem::new(
            503,
            "unavailable",
            "what was written last cannot be placed now: the object store is away, or the file is written all the time; try again",
        ),
        FsError::Quota => {
            Problem::conflict("a quota of the file's owner, of its group or of the share is used up")
        }
        FsError::NoSpace => Problem::conflict("there is no space for more metadata: see `dfs status`"),
        FsError::TooLarge => Problem::conflict("the file has too many extents to be cloned in one step"),
        FsError::AccessDenied => Problem::conflict("an operation that this needs is blocked on the share"),
        other => Problem::internal(other.to_string()),
    }
}

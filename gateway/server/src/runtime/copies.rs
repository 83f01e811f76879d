//! Copies, between the control plane's words and the engine's.

use super::Runtime;
use async_trait::async_trait;
use dfs_api::{CloneFile, ClonedFile, Problem};
use dfs_control::CopiesBackend;
use dfs_model::{FsError, Name};

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

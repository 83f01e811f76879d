//! A cold store in a folder: a local disk, a mounted file server, anything with POSIX names.
//!
//! An object is a file under its key. It is written under a temporary name in `.tmp`, synced, given its name by a rename that
//! never replaces, and the folder is synced: a reader, a second gateway or a crash sees no object or all of it. Everything is
//! done relative to the folder as it was opened, so a path that later leads elsewhere (an unmounted disk) changes nothing.
//! The owner object is replaced by a rename under a lock file. A crash or a dropped call leaves at most a temporary file,
//! removed by a later opening; a dropped put may still land.

mod files;

use crate::error::{ColdError, ColdErrorKind, ColdOp, ColdResult, PermanentCause};
use crate::store::{
    ColdInfo, ColdStore, DeleteOutcome, LIST_PAGE_MAX, ListPage, ListToken, ObjectInfo, ObjectVersion,
    PutBody, PutOutcome, span,
};
use crate::{Key, KeyPrefix};
use async_trait::async_trait;
use bytes::Bytes;
use dfs_model::Entropy;
use files::Folder;
use rustix::io::Errno;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A folder as a cold store.
pub struct DirCold {
    folder: Arc<Folder>,
    location: String,
    entropy: Arc<dyn Entropy>,
}

/// A failed file operation: what was done, and what the system said.
pub(super) struct FileError {
    pub doing: &'static str,
    pub errno: Errno,
    /// Whether the object may be there all the same.
    pub in_doubt: bool,
}

impl FileError {
    pub(super) fn at(doing: &'static str) -> impl FnOnce(Errno) -> FileError {
        move |errno| FileError { doing, errno, in_doubt: false }
    }
}

impl DirCold {
    /// Opens a folder, making it first if `create` says so, and tries that it can be written. *Errors:*
    /// `Permanent(BucketMissing)` for no such folder, `Permanent(ReadOnly)` for one that takes no files.
    pub async fn open(path: &Path, create: bool, entropy: Arc<dyn Entropy>) -> ColdResult<DirCold> {
        let location = path.display().to_string();
        let (path, number) = (path.to_owned(), entropy.random_u128());
        let opened = tokio::task::spawn_blocking(move || {
            if create {
                std::fs::create_dir_all(&path).map_err(|error| FileError {
                    doing: "make the folder",
                    errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
                    in_doubt: false,
                })?;
            }
            Folder::open(&path, &format!("{number:032x}"))
        });
        match opened.await {
            Ok(Ok(folder)) => Ok(DirCold { folder: Arc::new(folder), location, entropy }),
            Ok(Err(error)) => Err(translate(ColdOp::Open, &location, "", error)),
            Err(_) => Err(ColdError::new(ColdErrorKind::Cancelled, ColdOp::Open, &location, "shutting down")),
        }
    }

    /// Runs file work on a thread that may block.
    async fn work<T: Send + 'static>(
        &self,
        op: ColdOp,
        key: &str,
        work: impl FnOnce(&Folder) -> Result<T, FileError> + Send + 'static,
    ) -> ColdResult<T> {
        let folder = Arc::clone(&self.folder);
        match tokio::task::spawn_blocking(move || work(&folder)).await {
            Ok(result) => result.map_err(|error| translate(op, &self.location, key, error)),
            Err(_) => {
                let error = ColdError::new(ColdErrorKind::Cancelled, op, &self.location, "shutting down");
                Err(ColdError { in_doubt: true, key: key.to_owned(), ..error })
            }
        }
    }

    fn temp_name(&self) -> String {
        format!(".tmp/{:032x}", self.entropy.random_u128())
    }

    fn error(&self, kind: ColdErrorKind, op: ColdOp, key: &Key, detail: impl Into<String>) -> ColdError {
        ColdError::new(kind, op, &self.location, detail).key(key)
    }
}

/// What the system's words mean for a cold store.
fn translate(op: ColdOp, location: &str, key: &str, error: FileError) -> ColdError {
    let writes = matches!(op, ColdOp::Put | ColdOp::PutOwner | ColdOp::Delete | ColdOp::Open);
    let reads_object = matches!(op, ColdOp::Get | ColdOp::GetOwner | ColdOp::Head);
    let permanent = ColdErrorKind::Permanent;
    let kind = match error.errno {
        Errno::NOENT | Errno::NOTDIR if reads_object => ColdErrorKind::NotFound,
        Errno::NOENT | Errno::NOTDIR => permanent(PermanentCause::BucketMissing),
        Errno::NOSPC | Errno::DQUOT => permanent(PermanentCause::StoreFull),
        Errno::ROFS => permanent(PermanentCause::ReadOnly),
        Errno::ACCESS | Errno::PERM if writes => permanent(PermanentCause::ReadOnly),
        Errno::ACCESS | Errno::PERM => permanent(PermanentCause::AccessDenied),
        Errno::NAMETOOLONG | Errno::INVAL => permanent(PermanentCause::BadRequest),
        _ => ColdErrorKind::Retry,
    };
    let detail = format!("cannot {}: {}", error.doing, std::io::Error::from(error.errno));
    let in_doubt = error.in_doubt;
    ColdError { in_doubt, key: key.to_owned(), ..ColdError::new(kind, op, location, detail) }
}

#[async_trait]
impl ColdStore for DirCold {
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        let (name, temp) = (key.as_str().to_owned(), self.temp_name());
        self.work(ColdOp::Put, key.as_str(), move |folder| folder.put_new(&name, &temp, body.parts())).await
    }

    async fn put_owner(
        &self,
        key: &Key,
        body: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion> {
        let (name, temp, expected) = (key.as_str().to_owned(), self.temp_name(), expected.cloned());
        let replaced = self.work(ColdOp::PutOwner, key.as_str(), move |folder| {
            folder.replace(&name, &temp, &body, expected.as_ref())
        });
        replaced.await?.map_err(|found| {
            let detail = format!("another version is there: {found:?}");
            self.error(ColdErrorKind::Conflict, ColdOp::PutOwner, key, detail)
        })
    }

    async fn get_owner(&self, key: &Key) -> ColdResult<(Bytes, ObjectVersion)> {
        let name = key.as_str().to_owned();
        let got = self.work(ColdOp::GetOwner, key.as_str(), move |folder| folder.read_small(&name)).await?;
        got.map_err(|len| {
            let kind = ColdErrorKind::Permanent(PermanentCause::BadRequest);
            self.error(kind, ColdOp::GetOwner, key, format!("owner object of {len} bytes"))
        })
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> ColdResult<Vec<Bytes>> {
        let (name, asked) = (key.as_str().to_owned(), ranges.to_vec());
        let got =
            self.work(ColdOp::Get, key.as_str(), move |folder| folder.read_ranges(&name, &asked)).await?;
        got.map_err(|len| {
            let kind = ColdErrorKind::Permanent(PermanentCause::OutOfRange);
            self.error(kind, ColdOp::Get, key, format!("bytes {:?} of an object of {len}", span(ranges)))
        })
    }

    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo> {
        let name = key.as_str().to_owned();
        self.work(ColdOp::Head, key.as_str(), move |folder| folder.info(&name)).await
    }

    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage> {
        let (under, after) = (prefix.as_str().to_owned(), after.map(|token| token.0.clone()));
        self.work(ColdOp::List, prefix.as_str(), move |folder| {
            folder.list(&under, after.as_deref(), LIST_PAGE_MAX)
        })
        .await
    }

    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        let names: Vec<String> = keys.iter().map(|key| key.as_str().to_owned()).collect();
        let location = self.location.clone();
        self.work(ColdOp::Delete, "", move |folder| {
            let outcome = |name: &String| match folder.delete(name) {
                Ok(()) => DeleteOutcome::Gone,
                Err(error) => DeleteOutcome::Failed(translate(ColdOp::Delete, &location, name, error)),
            };
            Ok(names.iter().map(outcome).collect())
        })
        .await
    }

    fn describe(&self) -> ColdInfo {
        ColdInfo {
            kind: "dir",
            location: self.location.clone(),
            put_len_max: u64::MAX,
            multipart_above: None,
        }
    }
}

#[cfg(test)]
mod tests;

//! The one error of the neutral layer (SEAM §4). Protocols map it to their status in one exhaustive match each.

use crate::ByteRange;
use crate::LockOwner;
use bytes::Bytes;
use std::time::Duration;

/// Result of a neutral operation.
pub type FsResult<T> = Result<T, FsError>;

/// Why an operation was refused. One variant per thing a caller would do differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum FsError {
    #[error("no such name")]
    NotFound,
    #[error("no such name at step {step} of the path")]
    PathNotFound { step: usize },
    #[error("the handle names nothing that exists")]
    StaleHandle,
    #[error("not a handle of this gateway")]
    BadHandle,
    #[error("the share is served by another gateway")]
    Moved,
    #[error("access denied")]
    AccessDenied,
    #[error("only the owner or the superuser may do this")]
    NotPermitted,
    #[error("a privilege is missing")]
    PrivilegeNotHeld,
    #[error("the owner or group is not known")]
    InvalidOwner,
    #[error("the share is read-only")]
    ReadOnlyShare,
    #[error("the file may not be deleted")]
    CannotDelete,
    #[error("not a directory")]
    NotDirectory,
    #[error("is a directory")]
    IsDirectory,
    #[error("the name exists")]
    Exists,
    #[error("the directory is not empty")]
    NotEmpty,
    #[error("a symlink is in the way")]
    IsSymlink { target: Bytes, rest: Vec<Bytes> },
    #[error("wrong type of file for this operation")]
    WrongType,
    #[error("no such type of file")]
    BadType,
    #[error("crosses shares")]
    CrossShare,
    #[error("too many links")]
    TooManyLinks,
    #[error("the name is too long")]
    NameTooLong,
    #[error("not a valid name")]
    InvalidName,
    #[error("the name's character set is not accepted")]
    BadCharset,
    #[error("invalid argument")]
    InvalidArgument,
    #[error("beyond the largest file size")]
    TooLarge,
    #[error("no space")]
    NoSpace,
    #[error("quota exceeded")]
    Quota,
    #[error("an open denies the sharing asked for")]
    ShareDenied,
    #[error("an open denies this access")]
    IoDenied,
    #[error("in use")]
    InUse { is_dir: bool },
    #[error("marked for deletion")]
    DeletePending,
    #[error("a byte-range lock is in the way")]
    RangeLocked,
    #[error("lock denied")]
    LockDenied { holder: Option<Box<LockHolder>> },
    #[error("no such lock")]
    LockNotHeld,
    #[error("not a valid lock range")]
    LockRange,
    #[error("would deadlock")]
    Deadlock,
    #[error("a lease could not be broken")]
    CannotBreakLease,
    #[error("the open does not allow this")]
    OpenMode,
    #[error("no such open")]
    OpenUnknown,
    #[error("the state has expired")]
    Expired,
    #[error("the state was revoked")]
    Revoked,
    #[error("in grace")]
    Grace,
    #[error("not in grace")]
    NoGrace,
    #[error("nothing to reclaim")]
    ReclaimBad,
    #[error("the object changed since")]
    GuardMismatch,
    #[error("not a cookie of this directory")]
    BadCookie,
    #[error("the cookie has expired")]
    CookieExpired,
    #[error("the reply does not fit")]
    BufferTooSmall,
    #[error("no such extended attribute")]
    NoXattr,
    #[error("the extended attribute is too big")]
    XattrTooBig,
    #[error("beyond the end of the file")]
    SeekBeyondEnd,
    #[error("not supported")]
    NotSupported,
    #[error("attribute not supported")]
    AttrNotSupported,
    #[error("try again later")]
    Delay { after: Duration },
    #[error("fenced: another gateway owns the share")]
    Fenced,
    #[error("the cold store cannot be reached")]
    ColdUnavailable,
    #[error("limit reached")]
    Limit,
    #[error("cancelled")]
    Cancelled,
    #[error("damaged data")]
    Corrupt,
    #[error("input/output error")]
    Io,
    #[error("internal error")]
    Internal,
}

/// Who holds a lock that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LockHolder {
    pub owner: Option<LockOwner>,
    pub range: ByteRange,
    pub exclusive: bool,
}

impl FsError {
    /// "Try again later", with no better idea when.
    #[must_use]
    pub fn delay() -> FsError {
        FsError::Delay { after: Duration::from_secs(1) }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn retry(&self) -> bool {
        matches!(
            self,
            FsError::Delay { .. } | FsError::ColdUnavailable | FsError::Grace | FsError::CannotBreakLease
        )
    }
}

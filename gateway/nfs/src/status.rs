//! The one place where [`FsError`] becomes an NFSv3 status (SEAM §4). No wildcard: a new error is decided here.

use crate::wire::{MountStatus, Status};
use dfs_model::FsError;

/// The status of a refusal. `Cancelled` has none: its caller is gone, and what is returned for it is not sent.
#[must_use]
pub fn of(error: &FsError) -> Status {
    match error {
        FsError::NotFound | FsError::PathNotFound { .. } | FsError::NoXattr => Status::NoEnt,
        FsError::StaleHandle | FsError::OpenUnknown | FsError::Expired | FsError::Revoked => Status::Stale,
        FsError::BadHandle => Status::BadHandle,
        FsError::AccessDenied
        | FsError::CannotDelete
        | FsError::ShareDenied
        | FsError::IoDenied
        | FsError::InUse { .. }
        | FsError::DeletePending
        | FsError::RangeLocked
        | FsError::LockDenied { .. }
        | FsError::OpenMode => Status::Acces,
        FsError::NotPermitted | FsError::PrivilegeNotHeld => Status::Perm,
        FsError::ReadOnlyShare => Status::Rofs,
        FsError::NotDirectory => Status::NotDir,
        FsError::IsDirectory => Status::IsDir,
        FsError::Exists => Status::Exist,
        FsError::NotEmpty => Status::NotEmpty,
        FsError::BadType => Status::BadType,
        FsError::CrossShare => Status::Xdev,
        FsError::TooManyLinks => Status::Mlink,
        FsError::NameTooLong => Status::NameTooLong,
        FsError::InvalidOwner
        | FsError::IsSymlink { .. }
        | FsError::WrongType
        | FsError::InvalidName
        | FsError::BadCharset
        | FsError::InvalidArgument
        | FsError::LockNotHeld
        | FsError::Deadlock
        | FsError::NoGrace
        | FsError::ReclaimBad
        | FsError::SeekBeyondEnd
        | FsError::AttrNotSupported => Status::Inval,
        FsError::TooLarge | FsError::XattrTooBig | FsError::LockRange => Status::Fbig,
        FsError::NoSpace => Status::NoSpc,
        FsError::Quota => Status::Dquot,
        FsError::GuardMismatch => Status::NotSync,
        FsError::BadCookie | FsError::CookieExpired => Status::BadCookie,
        FsError::BufferTooSmall => Status::TooSmall,
        FsError::NotSupported => Status::NotSupp,
        FsError::Moved
        | FsError::CannotBreakLease
        | FsError::Grace
        | FsError::Delay { .. }
        | FsError::Fenced
        | FsError::ColdUnavailable
        | FsError::Cancelled => Status::Jukebox,
        FsError::Limit | FsError::Internal => Status::ServerFault,
        FsError::Corrupt | FsError::Io => Status::Io,
    }
}

/// The status of a refused mount.
#[must_use]
pub fn of_mount(error: &FsError) -> MountStatus {
    match of(error) {
        Status::NoEnt | Status::Stale => MountStatus::NoEnt,
        Status::Perm => MountStatus::Perm,
        Status::Acces => MountStatus::Acces,
        Status::NotDir => MountStatus::NotDir,
        Status::NameTooLong => MountStatus::NameTooLong,
        Status::Inval => MountStatus::Inval,
        Status::NotSupp => MountStatus::NotSupp,
        Status::Io => MountStatus::Io,
        _ => MountStatus::ServerFault,
    }
}

/// Whether the same request, sent again, should be run again rather than answered from the replay cache.
#[must_use]
pub fn is_transient(status: Status) -> bool {
    matches!(status, Status::Jukebox)
}

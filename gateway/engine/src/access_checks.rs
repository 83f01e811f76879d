//! Rights of a caller on what a cell shows, under the rules of stateless protocols (SEAM §5 `rule`).

use crate::cell::CellState;
use dfs_model::{Attrs, Credentials, FsError, InodeKind, Rights, ShareCeiling, access};
use dfs_vfs::AccessRule;

/// Rights on an inode as shown.
pub(crate) fn granted(state: &CellState, who: &Credentials) -> Rights {
    access::granted(&state.row, who)
}

/// May the caller read the bytes? Stateless: the owner may whatever the mode says (his client checked at open), and
/// execute implies read.
pub(crate) fn may_read(state: &CellState, who: &Credentials, rule: AccessRule) -> Result<(), FsError> {
    let rights = granted(state, who);
    let by_right = rights.has(Rights::READ_DATA) || rights.has(Rights::EXECUTE);
    let by_owner = access::is_owner(&state.row, who) && who.ceiling != ShareCeiling::None;
    match rule {
        AccessRule::ByOpen => Ok(()),
        AccessRule::Stateless if by_right || by_owner => Ok(()),
        AccessRule::Stateless => Err(FsError::AccessDenied),
    }
}

/// May the caller change the bytes or the size? Stateless: the owner may whatever the mode says.
pub(crate) fn may_write(state: &CellState, who: &Credentials, rule: AccessRule) -> Result<(), FsError> {
    match who.ceiling {
        ShareCeiling::None => return Err(FsError::AccessDenied),
        ShareCeiling::ReadOnly => return Err(FsError::ReadOnlyShare),
        ShareCeiling::ReadWrite | ShareCeiling::Admin => {}
    }
    if rule == AccessRule::ByOpen || access::is_owner(&state.row, who) {
        return Ok(());
    }
    access::check(&state.row, who, Rights::WRITE_DATA)
}

/// May the caller set the times? To the server's clock: whoever may write; to anything else: the owner, or whom the ACL lets.
pub(crate) fn may_set_times(state: &CellState, who: &Credentials, explicit: bool) -> Result<(), FsError> {
    match who.ceiling {
        ShareCeiling::None => return Err(FsError::AccessDenied),
        ShareCeiling::ReadOnly => return Err(FsError::ReadOnlyShare),
        ShareCeiling::ReadWrite | ShareCeiling::Admin => {}
    }
    access::check_times(&state.row, who, explicit)
}

/// Only regular files have bytes.
pub(crate) fn must_be_file(attrs: &Attrs) -> Result<(), FsError> {
    match attrs.kind {
        InodeKind::File => Ok(()),
        InodeKind::Directory => Err(FsError::IsDirectory),
        _ => Err(FsError::WrongType),
    }
}

/// Whether a change of bytes by this caller takes set-user-id and set-group-id away: anybody's but the superuser's.
pub(crate) fn clears_privilege_bits(attrs: &Attrs, who: &Credentials) -> bool {
    !who.is_root() && crate::merge::without_privilege_bits(attrs.mode) != attrs.mode
}

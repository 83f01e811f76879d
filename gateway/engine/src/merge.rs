//! One consistent version of an inode: its metadata row with the journal's overlay applied (JOURNAL §1).

use dfs_journal::OverlayAttrs;
use dfs_model::inode::{dos, mode};
use dfs_model::{Attrs, Change, Inode};

/// Mode after a write by somebody who may not keep privileges: set-user-id goes, set-group-id goes with group execution.
#[must_use]
pub(crate) fn without_privilege_bits(mode: u16) -> u16 {
    let mode = mode & !mode::SUID;
    if mode & 0o010 != 0 { mode & !mode::SGID } else { mode }
}

/// Attributes as clients see them. The overlay must have been read before the row, or both under the inode's section: a
/// place moves records from the one into the other, never the other way.
#[must_use]
pub(crate) fn merged(row: &Inode, overlay: Option<&OverlayAttrs>) -> Attrs {
    let mut attrs = Attrs::of(row);
    let Some(over) = overlay else { return attrs };
    if over.last_seq <= row.flushed_seq {
        return attrs;
    }
    attrs.size = over.size;
    attrs.allocated = over.allocated_estimate;
    attrs.atime = over.atime.unwrap_or(attrs.atime);
    attrs.mtime = over.mtime.unwrap_or(attrs.mtime);
    attrs.ctime = attrs.ctime.max(over.ctime);
    attrs.change = attrs.change.max(over.change);
    if newer(over.clear_suid, row.mode_change) {
        attrs.mode = without_privilege_bits(attrs.mode);
    }
    if newer(over.set_archive, row.dos_change) {
        attrs.dos |= dos::ARCHIVE;
    }
    attrs
}

fn newer(effect: Option<Change>, explicit: Change) -> bool {
    effect.is_some_and(|change| change > explicit)
}

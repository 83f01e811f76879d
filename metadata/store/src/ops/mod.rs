//! The operations: pure functions over a view that collect a batch and make the reply.
//!
//! Each reads what it needs through a [`Tx`], tests permissions and rules, puts rows into the transaction's batch and
//! answers. The caller applies the batch whole or not at all, so an operation that fails half-way has changed nothing.
//! Operations may be run again from the start (their effects are only in the `Tx`), never interleaved.

mod acl;
mod as_of;
mod attrs;
mod clone;
mod create;
mod link;
mod packs;
mod place;
mod read;
mod remove;
mod rename;
mod replay;
mod retain;
mod share;
mod snapshots;
mod tx;
mod usage;
mod xattr;

pub use acl::{check_audit, checked_form};
pub use attrs::{DOS_SETTABLE, set_attr};
pub use clone::{check_clone, clone_file};
pub use create::{create, kind_rules};
pub use link::link;
pub use packs::{pack, pack_begin, packs, packs_bury, packs_forget};
pub use place::{check_shape, place};
pub use read::{
    extents, inode, inodes, last_cookie, lookup, lookup_fold, names_of, orphans, read_dir, state_list, usage,
};
pub use remove::{reap, remove};
pub use rename::rename;
pub use replay::{REPLAY_AGE_MAX, prune_replays, replayed};
pub use share::{
    begin_epoch, check_record, check_settings, check_state, create_share, delete_some, doom_share,
    doomed_shares, read_share, read_shares, set_settings, state_put, write_ends,
};
pub use snapshots::{
    as_of, has_deleted, snapshot_bytes, snapshot_create, snapshot_delete, snapshot_reap, snapshots,
};
pub use tx::Tx;
pub use usage::{quota_set, quotas};
pub use xattr::{xattr_set, xattrs};

#[cfg(test)]
mod tests;

//! The procedures of NFSv3, one file each: arguments to one call of the seam, its answer to results.

pub(crate) mod access;
pub(crate) mod commit;
pub(crate) mod create;
pub(crate) mod fsinfo;
pub(crate) mod fsstat;
pub(crate) mod getattr;
pub(crate) mod link;
pub(crate) mod lookup;
pub(crate) mod mkdir;
pub(crate) mod mknod;
pub(crate) mod pathconf;
pub(crate) mod read;
pub(crate) mod readdir;
pub(crate) mod readdirplus;
pub(crate) mod readlink;
pub(crate) mod remove;
pub(crate) mod rename;
pub(crate) mod rmdir;
pub(crate) mod setattr;
pub(crate) mod symlink;
pub(crate) mod write;

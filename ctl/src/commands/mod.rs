//! One file per family of commands.

pub(crate) mod file;
pub(crate) mod login;
pub(crate) mod netgroup;
pub(crate) mod owners;
pub(crate) mod quota;
pub(crate) mod recycle;
mod rules;
pub(crate) mod share;
pub(crate) mod snapshot;
pub(crate) mod store;
pub(crate) mod tier;

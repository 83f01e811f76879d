//! One file per family of commands.

pub(crate) mod adapter;
mod adapter_settings;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod client;
pub(crate) mod context;
pub(crate) mod file;
pub(crate) mod group;
pub(crate) mod idmap;
pub(crate) mod job;
pub(crate) mod login;
pub(crate) mod netgroup;
pub(crate) mod quota;
pub(crate) mod recycle;
pub(crate) mod settings;
pub(crate) mod share;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod tier;
pub(crate) mod user;
mod user_change;

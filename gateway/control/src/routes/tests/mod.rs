//! The control plane over HTTP, with a gateway that only remembers what it was told.
#![allow(clippy::unwrap_used, clippy::panic)]

mod audit;
mod backups;
mod bed;
mod gateway;
mod limits;
mod logins;
mod once;
mod people;
mod problems;
mod roles;
mod things;
